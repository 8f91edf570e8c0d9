//! What an engine does in a child process that got a copy of it. Real forks, one after the other, and
//! alone in this process: a child says what it found by its exit code.
#![cfg(target_os = "linux")]

mod engine_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine_support::{builder, current_thread, millis, numbered};
use fork::Fork;
use productgraph::correlation::{RequestId, SessionId};
use productgraph::event::{EventId, Timestamp};
use productgraph::providers::Memory;
use productgraph::{
    BoxFuture, Cause, Completion, DeadLetter, DeadLetterStats, DropReason, Encoded, Engine, Event,
    Events, HealthState, LaneState, Limits, Outcome, Provider, RedriveError, RefuseReason,
    RejectReason, TrackError,
};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use tracing::span;

/// Far more than a child needs, and less than any timeout that it must not wait for.
const BOUND: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(3600);
/// A child has found out after as many events at the latest.
const PUSHES: usize = 257;

/// Runs `child` in a child process, which has to end by itself and in time; `parent` here meanwhile.
fn in_a_child(what: &str, child: impl FnOnce()) {
    match fork::fork().expect("forks") {
        Fork::Child => {
            let went = catch_unwind(AssertUnwindSafe(child));
            std::process::exit(i32::from(went.is_err()))
        }
        Fork::Parent(pid) => assert_ends_well(what, pid),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "bounds a wait for another process"
)]
fn assert_ends_well(what: &str, pid: i32) {
    let start = std::time::Instant::now();
    let status = loop {
        if let Some(status) = fork::waitpid_nohang(pid).expect("a child") {
            break status;
        }
        if start.elapsed() > BOUND {
            let killed = std::process::Command::new("sh")
                .args(["-c", &format!("kill -9 {pid}")])
                .status();
            panic!("{what}: the child hangs (killed: {killed:?})");
        }
        std::thread::yield_now();
    };
    assert_eq!(status, 0, "{what}: the child failed, see above");
}

/// Counts errors that are logged on this thread.
#[derive(Clone, Default)]
struct Errors(Arc<AtomicUsize>);

impl tracing::Subscriber for Errors {
    fn enabled(&self, about: &tracing::Metadata<'_>) -> bool {
        *about.level() == tracing::Level::ERROR
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn engine(memory: &Memory) -> Engine {
    builder().provider(memory.clone()).spawn().expect("starts")
}

/// Tracks in the child until the engine says where it is; how many events it took before.
fn tracked_in_vain(engine: &Engine) -> usize {
    let handle = engine.handle();
    let found = (0..=PUSHES).find(|n| {
        let tracked = handle.try_track(numbered(*n));
        matches!(tracked, Err(TrackError::Forked(event)) if event.id() == numbered(*n).id())
    });
    found.expect("it says so soon")
}

#[test]
fn a_child_process_is_told_and_the_parent_goes_on() {
    a_child_is_refused_and_told_at_once_and_can_start_an_engine_of_its_own();
    a_child_that_only_asks_is_told_as_well();
    a_child_never_waits_whatever_the_threads_of_the_parent_held();
    a_child_gets_no_dead_letters_and_never_waits_for_them();
    a_runtime_that_goes_on_in_the_child_sends_nothing_there();
    children_that_start_engines_make_ids_of_their_own();
}

fn a_child_is_refused_and_told_at_once_and_can_start_an_engine_of_its_own() {
    let memory = Memory::new();
    let mut engine = Some(engine(&memory));
    for n in 0..10 {
        engine.as_ref().expect("there").handle().track(numbered(n));
    }
    let before = engine.as_ref().expect("there").flush(BOUND);
    assert!(current_thread().block_on(before).is_settled());

    in_a_child("idle", || {
        let engine = engine.take().expect("there");
        let errors = Errors::default();
        tracing::subscriber::with_default(errors.clone(), || {
            let taken = tracked_in_vain(&engine);
            engine.handle().track(numbered(0));

            let report = futures_block_on(engine.flush(LONG));
            assert_eq!(report.completion, Completion::Forked, "{report}");
            assert!(report.ledger.balances(), "{report}");
            let account = &report.ledger.providers[0];
            assert_eq!(account.delivered, 10, "by the parent, before: {report}");
            assert_eq!(account.dropped.get(DropReason::Forked), taken as u64);
            assert_eq!(report.ledger.refused.get(RefuseReason::Forked), 2);
            let shown = report.to_string();
            assert!(shown.starts_with("forked, the engine stayed in the parent: "));

            let again = engine.shutdown_blocking(LONG);
            assert_eq!(again, futures_block_on(engine.shutdown(LONG)));
            assert_eq!(again.completion, Completion::Forked);
            assert_eq!(engine.health().state, HealthState::Unhealthy);
        });
        assert_eq!(errors.0.load(Ordering::SeqCst), 1, "said once");

        let handle = engine.handle();
        drop(engine);
        let forked = handle.try_track(numbered(0));
        assert!(matches!(forked, Err(TrackError::Forked(_))), "{forked:?}");

        let own = Memory::new();
        let engine = self::engine(&own);
        engine.handle().track(numbered(77));
        let report = engine.shutdown_blocking(BOUND);
        assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
        assert_eq!(own.delivered_ids(), ["e-00077"]);
    });

    let errors = Errors::default();
    let engine = engine.expect("the child took a copy");
    tracing::subscriber::with_default(errors.clone(), || {
        engine.handle().track(numbered(10));
    });
    let report = engine.shutdown_blocking(BOUND);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(memory.delivered_ids().len(), 11);
    assert_eq!(errors.0.load(Ordering::SeqCst), 0);
}

fn a_child_that_only_asks_is_told_as_well() {
    let memory = Memory::new();
    let engine = engine(&memory);
    engine.handle().track(numbered(0));
    in_a_child("asks", || {
        let health = engine.health();
        assert_eq!(health.state, HealthState::Unhealthy, "{health:?}");
        let states = health.providers.iter().map(|lane| lane.state);
        assert!(states.into_iter().all(|state| state == LaneState::Closed));
        let ledger = engine.ledger();
        assert!(ledger.balances(), "{ledger}");
        assert_eq!(ledger.providers[0].dropped.get(DropReason::Forked), 1);
        let waits = futures_block_on(engine.handle().track_wait(numbered(1)));
        assert!(matches!(waits, Err(TrackError::Forked(_))), "{waits:?}");
        let report = futures_block_on(engine.handle().flush());
        assert_eq!(report.completion, Completion::Forked, "{report}");
    });
    let report = engine.shutdown_blocking(BOUND);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
}

/// Keeps nothing: a process that grows is forked more and more slowly.
struct Forgets(&'static str, fn() -> Outcome);

impl Provider<Event> for Forgets {
    fn name(&self) -> &'static str {
        self.0
    }

    fn limits(&self) -> Limits {
        Limits::new(1000, 1 << 20)
    }

    fn encode(&self, events: &Events<'_, Event>, _: usize) -> Encoded {
        Encoded {
            body: Bytes::from_static(b"body"),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready((self.1)()))
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered
}

fn refused() -> Outcome {
    Outcome::Final {
        reason: RejectReason::Invalid,
        cause: Cause::new("refused"),
    }
}

/// Forks while the threads of the engine and of the application are in the middle of everything.
fn a_child_never_waits_whatever_the_threads_of_the_parent_held() {
    let engine = builder()
        .batch_size(3)
        .queue_capacity(64)
        .provider(Forgets("one", delivered))
        .provider(Forgets("two", delivered))
        .spawn()
        .expect("starts");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) {
                engine.handle().track(numbered(n));
                n += 1;
            }
        });
        scope.spawn(|| {
            let runtime = current_thread();
            while !stop.load(Ordering::SeqCst) {
                runtime.block_on(engine.flush(millis(5)));
                assert!(engine.health().providers.len() == 2);
            }
        });
        // also when a round fails
        let _stops = Stops(&stop);
        for round in 0..200 {
            in_a_child(&format!("busy, round {round}"), || {
                tracked_in_vain(&engine);
                let report = futures_block_on(engine.flush(LONG));
                assert_eq!(report.completion, Completion::Forked);
                assert!(report.ledger.balances(), "{report}");
                let report = engine.shutdown_blocking(LONG);
                assert_eq!(report.completion, Completion::Forked);
                assert_eq!(engine.health().state, HealthState::Unhealthy);
            });
        }
    });
    let report = engine.shutdown_blocking(BOUND);
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
}

/// Forks while dead letters are kept, listed, counted, taken and put back.
fn a_child_gets_no_dead_letters_and_never_waits_for_them() {
    let engine = builder()
        .batch_size(3)
        .queue_capacity(64)
        .provider(Forgets("refuses", refused))
        .spawn()
        .expect("starts");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let repeat = |work: fn(&Engine, usize)| {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || {
                let turns = (0..).take_while(|_| !stop.load(Ordering::SeqCst));
                turns.for_each(|n| work(engine, n));
            });
        };
        repeat(|engine, n| engine.handle().track(numbered(n)));
        repeat(|engine, _| drop(engine.dead_letters()));
        repeat(|engine, _| assert_eq!(engine.dead_letter_stats().hook_panics, 0));
        repeat(|engine, n| {
            let nth = |letter: &DeadLetter| letter.number() % 8 == n as u64 % 8;
            drop(engine.take_dead_letters(nth));
            engine.redrive(nth).expect("open");
        });
        // also when a round fails
        let _stops = Stops(&stop);
        while engine.dead_letter_stats().redriven == 0 {
            std::thread::yield_now();
        }
        for round in 0..200 {
            in_a_child(&format!("dead letters, round {round}"), || {
                let unasked = |_: &DeadLetter| panic!("nothing to choose from");
                assert_eq!(engine.dead_letters().len(), 0);
                assert_eq!(engine.dead_letter_stats(), DeadLetterStats::default());
                assert_eq!(engine.take_dead_letters(unasked).len(), 0);
                assert_eq!(engine.redrive(unasked), Err(RedriveError::Closed));
            });
        }
    });
    let report = engine.shutdown_blocking(BOUND);
    assert!(report.ledger.balances(), "{report}");
    assert!(!engine.dead_letters().is_empty(), "the parent has them");
}

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn a_runtime_that_goes_on_in_the_child_sends_nothing_there() {
    let memory = Memory::new();
    let runtime = current_thread();
    let engine = builder()
        .batch_size(1)
        .runtime(runtime.handle().clone())
        .provider(memory.clone())
        .spawn()
        .expect("starts");
    runtime.block_on(async {
        engine.handle().track(numbered(0));
        match fork::fork().expect("forks") {
            Fork::Child => {
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                // the parent sends it
                std::process::exit(i32::from(memory.requests() > 0))
            }
            Fork::Parent(pid) => assert_ends_well("attached", pid),
        }
        let report = engine.shutdown(BOUND).await;
        assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    });
    assert_eq!(memory.requests(), 1);
}

/// Generators are copied with everything else.
fn children_that_start_engines_make_ids_of_their_own() {
    let at = Timestamp::from_unix_millis(1_767_225_600_000);
    let ids = || {
        let session = SessionId::of_process();
        assert_eq!(session, SessionId::of_process(), "one for each process");
        let request = RequestId::mint();
        // the same for every process, but for what is random
        let event = EventId::v7(at, 7);
        format!("{session}\n{request}\n{event}\n")
    };
    let mut seen = BTreeSet::new();
    let mut see = |text: &str| {
        let before = seen.len();
        seen.extend(text.lines().map(str::to_owned));
        assert_eq!(seen.len() - before, 3, "{text:?} in {seen:?}");
    };
    see(&ids());
    for child in 0..3 {
        let (mut reads, mut writes) = std::io::pipe().expect("a pipe");
        in_a_child(&format!("ids, {child}"), || {
            let engine = engine(&Memory::new());
            writes.write_all(ids().as_bytes()).expect("heard");
            drop(engine);
        });
        drop(writes);
        let mut text = String::new();
        reads.read_to_string(&mut text).expect("text");
        see(&text);
    }
    // what the parent does next is what the children did first, if they go on alike
    see(&format!(
        "{}\n{}\n{}",
        SessionId::mint(),
        RequestId::mint(),
        EventId::v7(at, 7)
    ));
}

/// An executor with nothing of tokio in it.
fn futures_block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}
