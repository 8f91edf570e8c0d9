//! Providers with bugs: they panic, they block, they never come back.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;
use productgraph::providers::{IntoProvider, ProductGraph, Setup};
use productgraph::{
    BoxFuture, Encoded, Event, Events, LaneState, Limits, Outcome, Provider, RejectReason,
};

use crate::engine_support::faulty::{EVENTS, hasty};
use crate::engine_support::{collector, held, id_of, ids_of, in_time, log, millis, until};
use crate::stage::{Losses, Stage, Times, lets_go};

/// What the provider does instead of its work.
#[derive(Clone, Copy, PartialEq)]
enum Bug {
    PanicsInEncode,
    PanicsInSend,
    PanicsOn(usize),
    Blocks,
    NeverCompletes,
}

/// The bug, and how many more calls it spoils.
struct Bugs {
    bug: Bug,
    left: Mutex<usize>,
    fixed: Condvar,
}

impl Bugs {
    fn new(bug: Bug, calls: usize) -> Arc<Self> {
        Arc::new(Self {
            bug,
            left: Mutex::new(calls),
            fixed: Condvar::new(),
        })
    }

    /// Whether this call is spoilt.
    fn strikes(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let strikes = *left > 0;
        *left = left.saturating_sub(1);
        strikes
    }

    fn fix(&self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        self.fixed.notify_all();
    }

    /// Holds the thread until the bug is fixed.
    fn block(&self) {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.fixed.wait_while(left, |left| *left > 0));
    }
}

/// A sound provider with a bug in front of it.
struct Buggy {
    inner: Box<dyn Provider<Event>>,
    bugs: Arc<Bugs>,
}

impl Provider<Event> for Buggy {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn encode(&self, events: &Events<'_, Event>, max_bytes: usize) -> Encoded {
        match self.bugs.bug {
            Bug::PanicsInEncode => assert!(!self.bugs.strikes(), "a bug in encode"),
            Bug::PanicsOn(n) => {
                let id = id_of(n);
                let hit = events
                    .iter()
                    .any(|e| e.id().is_some_and(|e| e.to_string() == id));
                assert!(!hit, "a bug in encode that one event brings out");
            }
            _ => {}
        }
        self.inner.encode(events, max_bytes)
    }

    fn send<'a>(&'a self, body: Bytes, events: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match self.bugs.bug {
                Bug::PanicsInSend => assert!(!self.bugs.strikes(), "a bug in send"),
                Bug::Blocks => self.bugs.block(),
                Bug::NeverCompletes if self.bugs.strikes() => std::future::pending().await,
                _ => {}
            }
            self.inner.send(body, events).await
        })
    }
}

fn stage(name: &'static str, bugs: &Arc<Bugs>) -> Stage {
    let store = collector();
    let inner = ProductGraph::new(store.endpoint()).name(name);
    let buggy = Buggy {
        inner: inner.into_provider(&Setup::new("shop")).expect("valid"),
        bugs: Arc::clone(bugs),
    };
    let mut lane = hasty();
    if bugs.bug == Bug::NeverCompletes {
        lane.attempt_timeout = millis(100);
    }
    Stage::of(name, buggy, store, lane, |builder| builder)
}

/// Two panics may be bad luck.
async fn two_panics(name: &'static str, bug: Bug) {
    let bugs = Bugs::new(bug, 2);
    let mut stage = stage(name, &bugs);
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    stage
        .recovers(Times::Once, &[log::FAILS, log::WORKS_AGAIN])
        .await;
}

#[tokio::test]
async fn a_provider_that_panics_in_encode() {
    two_panics("a_provider_that_panics_in_encode", Bug::PanicsInEncode).await;
}

#[tokio::test]
async fn a_provider_that_panics_in_send() {
    two_panics("a_provider_that_panics_in_send", Bug::PanicsInSend).await;
}

#[tokio::test]
async fn a_provider_that_panics_on_one_event() {
    let name = "a_provider_that_panics_on_one_event";
    let bugs = Bugs::new(Bug::PanicsOn(7), 0);
    let mut stage = stage(name, &bugs);
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    let mut ids = ids_of(0..EVENTS);
    ids.remove(7);
    let report = in_time(stage.engine.flush(crate::engine_support::BOUND)).await;
    let losses = Losses {
        rejected: &[(RejectReason::Panicked, 1)],
        ..Losses::default()
    };
    stage.check(&report, &ids, &losses);
    assert_eq!(held(&stage.store).into_keys().collect::<Vec<_>>(), ids);
    // each half that is sound ends an episode, each that is not begins one
    until(|| log::said_of(name).contains(&log::REJECTED.to_owned())).await;
    let said = log::said_of(name);
    assert!(said.len() <= 12, "{said:?}");
    let told = said.iter().filter(|line| *line == log::REJECTED).count();
    assert_eq!(told, 1, "{said:?}");
}

#[tokio::test]
async fn a_provider_that_panics_always() {
    let name = "a_provider_that_panics_always";
    let bugs = Bugs::new(Bug::PanicsInSend, usize::MAX);
    let mut stage = stage(name, &bugs);
    stage.track(4);
    stage.sends_to_the_sound_one().await;
    let report = in_time(stage.engine.flush(crate::engine_support::BOUND)).await;
    let losses = Losses {
        rejected: &[(RejectReason::Panicked, 4)],
        ..Losses::default()
    };
    stage.check(&report, &[], &losses);
    log::assert_said(name, &[log::FAILS, log::REJECTED]).await;
    // once the bug is gone the lane works as before
    bugs.fix();
    stage.track(EVENTS);
    let ids = &ids_of(0..4 + EVENTS)[4..];
    let said = [log::FAILS, log::REJECTED, log::WORKS_AGAIN];
    stage.settles(ids, Times::Once, &losses, &said).await;
}

#[tokio::test]
async fn a_provider_that_blocks_its_thread() {
    let bugs = Bugs::new(Bug::Blocks, 1);
    let mut stage = stage("a_provider_that_blocks_its_thread", &bugs);
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    until(|| stage.lane().in_flight == 1).await;
    // the engine has a thread for each lane and one more, so the others go on
    for _ in 0..5 {
        stage.track(EVENTS);
        stage.sends_to_the_sound_one().await;
    }
    assert_eq!(stage.account().pending, 6 * EVENTS as u64);
    bugs.fix();
    stage.recovers(Times::Once, &[]).await;
}

#[tokio::test]
async fn a_provider_that_blocks_its_thread_through_the_shutdown() {
    let bugs = Bugs::new(Bug::Blocks, 1);
    let name = "a_provider_that_blocks_its_thread_through_the_shutdown";
    let mut stage = stage(name, &bugs);
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    until(|| stage.lane().in_flight == 1).await;
    let engine = stage.ends_at_the_deadline(&[]).await;
    // the thread that is blocked has its request in hand, whatever was counted
    assert!(engine.stats().bytes_held > 0);
    bugs.fix();
    lets_go(&engine).await;
}

#[tokio::test]
async fn a_provider_that_never_completes() {
    let bugs = Bugs::new(Bug::NeverCompletes, usize::MAX);
    let mut stage = stage("a_provider_that_never_completes", &bugs);
    stage
        .gets_into_trouble("attempt timeout", LaneState::Retrying)
        .await;
    bugs.fix();
    stage
        .recovers(Times::Once, &[log::FAILS, log::WORKS_AGAIN])
        .await;
}
