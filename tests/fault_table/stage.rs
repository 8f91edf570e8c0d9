//! An engine with a destination in trouble and a sound one beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use productgraph::providers::{IntoProvider, ProductGraph};
use productgraph::{
    DropReason, Engine, EngineBuilder, LaneOptions, LaneState, LaneStatus, ProviderLedger, Reason,
    RejectReason, Report,
};
use productgraph_collector::{Collector, Fault, When};

use crate::engine_support::faulty::{self, EVENTS, hasty};
use crate::engine_support::{
    BOUND, account, assert_final, assert_holds_once, builder, collector, delivered, held, ids_of,
    in_time, log, millis, provider, until,
};

/// Longer than any sound answer takes, short enough for a test that waits for it.
pub(crate) const TIMEOUT: Duration = millis(400);

/// The engine and what is around it. The destination in trouble is called after its test, by which it is
/// known in the log; what it stores in the end is in `store`.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) engine: Engine,
    pub(crate) store: Collector,
    pub(crate) sound: Collector,
    tracked: usize,
}

/// What became of the events at the destination in trouble, besides those delivered.
#[derive(Default)]
pub(crate) struct Losses<'a> {
    pub(crate) rejected: &'a [(RejectReason, u64)],
    pub(crate) dropped: &'a [(DropReason, u64)],
}

impl Stage {
    /// A `ProductGraph` provider that sends straight to the store.
    pub(crate) fn direct(name: &'static str) -> Self {
        let store = collector();
        let faulty = provider(&store, name);
        Self::new(name, faulty, store)
    }

    /// A `ProductGraph` provider that reaches the store in its own way.
    pub(crate) fn new(name: &'static str, faulty: ProductGraph, store: Collector) -> Self {
        let faulty = faulty.name(name).timeout(TIMEOUT);
        Self::of(name, faulty, store, hasty(), |builder| builder)
    }

    /// Any provider, lane and engine.
    pub(crate) fn of(
        name: &'static str,
        faulty: impl IntoProvider + Send + 'static,
        store: Collector,
        lane: LaneOptions,
        change: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Self {
        log::listen();
        let sound = collector();
        let builder = builder()
            .batch_size(1000)
            .provider_with(faulty, lane)
            .provider(provider(&sound, "sound"));
        let engine = change(builder).spawn().expect("it starts");
        Self {
            name,
            engine,
            store,
            sound,
            tracked: 0,
        }
    }

    /// Tracks so many more events.
    pub(crate) fn track(&mut self, events: usize) {
        faulty::track(&self.engine, self.tracked..self.tracked + events);
        self.tracked += events;
    }

    /// For events that the test tracked itself, numbered from where the last ones ended.
    pub(crate) fn tracked_by_hand(&mut self, events: usize) {
        self.tracked += events;
    }

    /// The lane in trouble.
    pub(crate) fn lane(&self) -> LaneStatus {
        self.engine.health().providers.swap_remove(0)
    }

    /// The account in trouble.
    pub(crate) fn account(&self) -> ProviderLedger {
        account(&self.engine.ledger(), self.name).clone()
    }

    /// Tracks the usual number of events, has them sent and waits until the trouble shows as this cause.
    /// The sound destination has everything by then.
    pub(crate) async fn gets_into_trouble(&mut self, kind: &str, state: LaneState) {
        self.track(EVENTS);
        self.sends_to_the_sound_one().await;
        let shows = || {
            let lane = self.lane();
            lane.failures > 1 && lane.last_error.is_some_and(|cause| cause.kind == kind)
        };
        in_time(async {
            while !shows() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let lane = self.lane();
        assert_eq!(lane.state, state, "{lane:?}");
        assert!(!self.engine.health().is_healthy());
        let account = self.account();
        assert_eq!(account.pending, EVENTS as u64, "{account:?}");
        assert!(self.engine.ledger().balances());
    }

    /// Closes the batch, and waits until the sound destination has everything so far.
    pub(crate) async fn sends_to_the_sound_one(&self) {
        // the flush cannot settle; it only sends what is there
        let _ = in_time(self.engine.flush(Duration::ZERO)).await;
        in_time(self.sound.wait_for_events(self.tracked as u64)).await;
        delivered(&self.engine, "sound", self.tracked).await;
        assert_holds_once(&self.sound, &ids_of(0..self.tracked));
    }

    /// The trouble is over: everything is delivered, stored as often as `times` allows, and this was
    /// logged and nothing more.
    pub(crate) async fn recovers(self, times: Times, said: &[&str]) {
        let ids = ids_of(0..self.tracked);
        self.settles(&ids, times, &Losses::default(), said).await;
    }

    /// Every event gets its end: those with these ids delivered, the others lost for these reasons.
    pub(crate) async fn settles(
        self,
        ids: &[String],
        times: Times,
        losses: &Losses<'_>,
        said: &[&str],
    ) {
        let report = in_time(self.engine.flush(BOUND)).await;
        assert!(report.is_settled(), "{report}");
        self.check(&report, ids, losses);
        times.check(&self.store, ids);
        log::assert_said(self.name, said).await;
        let lane = self.lane();
        assert_eq!(lane.state, LaneState::Healthy, "{lane:?}");
        let report = in_time(self.engine.shutdown(BOUND)).await;
        assert_final(&report);
        assert!(report.is_settled(), "{report}");
        self.check(&report, ids, losses);
        assert_eq!(log::said_of(self.name), said);
        assert_eq!(self.engine.stats().bytes_held, 0);
    }

    /// The trouble outlasts the shutdown: everything that is left is counted, and let go once no code of
    /// a provider has a hold on it.
    pub(crate) async fn ends_at_the_deadline(self, said: &[&str]) -> Engine {
        let report = in_time(self.engine.shutdown(millis(100))).await;
        assert_final(&report);
        assert!(!report.is_settled(), "{report}");
        let lost = [(DropReason::Deadline, self.tracked as u64)];
        let losses = Losses {
            dropped: &lost,
            ..Losses::default()
        };
        self.check(&report, &[], &losses);
        assert!(held(&self.store).is_empty());
        log::assert_said(self.name, said).await;
        self.engine
    }

    #[track_caller]
    pub(crate) fn check(&self, report: &Report, ids: &[String], losses: &Losses<'_>) {
        assert!(report.ledger.balances(), "{report}");
        let tracked = self.tracked as u64;
        assert_eq!(report.ledger.accepted, tracked, "{report}");
        let mine = account(&report.ledger, self.name);
        assert_eq!(mine.delivered, ids.len() as u64, "{report}");
        assert_eq!(
            counts(mine.rejected.iter()),
            counts(losses.rejected.iter().copied()),
            "{report}"
        );
        assert_eq!(
            counts(mine.dropped.iter()),
            counts(losses.dropped.iter().copied()),
            "{report}"
        );
        let sound = account(&report.ledger, "sound");
        assert_eq!(sound.delivered, tracked, "{report}");
        assert_holds_once(&self.sound, &ids_of(0..self.tracked));
        let lane = &self.engine.health().providers[1];
        assert_eq!(lane.failures, 0, "{lane:?}");
        assert!(lane.last_error.is_none(), "{lane:?}");
    }
}

fn counts<R: Reason>(counts: impl Iterator<Item = (R, u64)>) -> BTreeMap<&'static str, u64> {
    counts.map(|(reason, n)| (reason.as_str(), n)).collect()
}

/// How often the store has each delivered event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Times {
    Once,
    /// The destination stored what it then failed to confirm: the same ids again, never others.
    AtLeastOnce,
}

impl Times {
    #[track_caller]
    fn check(self, store: &Collector, ids: &[String]) {
        match self {
            Self::Once => assert_holds_once(store, ids),
            Self::AtLeastOnce => {
                let held = held(store);
                assert!(held.keys().eq(ids), "{held:?}");
                assert!(
                    held.values().any(|times| *times > 1),
                    "nothing was repeated"
                );
            }
        }
    }
}

/// A fault that stands until the trouble showed, then ends.
pub(crate) async fn outage(name: &'static str, fault: impl Into<Fault>, kind: &str) {
    let mut stage = Stage::direct(name);
    stage.store.faults().set_standing(fault, When::Always);
    stage.gets_into_trouble(kind, LaneState::Retrying).await;
    stage.store.faults().clear();
    stage
        .recovers(Times::Once, &[log::FAILS, log::WORKS_AGAIN])
        .await;
}

/// The same with a fault that says that this client is not welcome.
pub(crate) async fn hold(name: &'static str, fault: impl Into<Fault>, kind: &str) {
    let mut stage = Stage::direct(name);
    stage.store.faults().set_standing(fault, When::Always);
    stage.gets_into_trouble(kind, LaneState::Held).await;
    stage.store.faults().clear();
    stage
        .recovers(Times::Once, &[log::HELD, log::WORKS_AGAIN])
        .await;
}

/// Tests of one line each, called after what they call.
macro_rules! cases {
    ($($name:ident: $case:ident($($argument:expr),* $(,)?);)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                $case(stringify!($name), $($argument),*).await;
            }
        )+
    };
}
pub(crate) use cases;

/// Waits until an engine that has ended holds nothing.
pub(crate) async fn lets_go(engine: &Engine) {
    until(|| engine.stats().bytes_held == 0).await;
}

/// Waits until the destination in trouble was tried this often.
pub(crate) async fn failed(stage: &Stage, attempts: u64) {
    until(|| stage.lane().attempts >= attempts).await;
}
