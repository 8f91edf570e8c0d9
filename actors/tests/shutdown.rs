//! The end of an engine: on every kind of runtime, with every kind of provider, awaited or dropped.

#![expect(
    clippy::disallowed_methods,
    reason = "deadlines are kept in real time here"
)]

mod common;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Door, block_on, eventually, expect_panics};
use productgraph_actors::testing::{Script, Step, Victim};
use productgraph_actors::{
    BatchLimits, Completion, DropReason, Pipeline, PipelineBuilder, RefuseReason, Report,
};
use tokio::runtime::{Builder, Handle, Runtime};

const EVENTS: u64 = 30;
const DEADLINE: Duration = Duration::from_millis(80);
/// How late a report may be on a machine that is busy with other things.
const GENEROUS: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Healthy,
    Slow,
    Hanging,
    Failing,
    Panicking,
    /// Blocks its thread.
    Blocking,
}

const KINDS: [Kind; 6] = [
    Kind::Healthy,
    Kind::Slow,
    Kind::Hanging,
    Kind::Failing,
    Kind::Panicking,
    Kind::Blocking,
];

impl Kind {
    fn settles(self) -> bool {
        matches!(self, Self::Healthy | Self::Slow)
    }

    fn step(self) -> Step {
        match self {
            Self::Healthy | Self::Blocking => Step::Deliver,
            Self::Slow => Step::After(Duration::from_millis(5), Box::new(Step::Deliver)),
            Self::Hanging => Step::Hang,
            Self::Failing => Step::Fail(None),
            Self::Panicking => Step::Panic,
        }
    }
}

/// An engine with `lanes` providers of one kind that has work in flight.
struct Bed {
    pipeline: Pipeline<u64>,
    door: Door,
}

impl Bed {
    fn new(kind: Kind, lanes: usize, runtime: Option<Handle>) -> Self {
        expect_panics();
        let door = Door::default();
        let (entered, inside) = std::sync::mpsc::channel();
        let mut builder: PipelineBuilder<u64> =
            Pipeline::builder(|_| 8).batch(BatchLimits::new(10, Duration::from_secs(5)));
        for lane in 0..lanes {
            let (door, entered) = (door.clone(), entered.clone());
            let script = Script::new(&format!("lane-{lane}"), move |_: &[u64], _| {
                // nobody may be listening any more
                let _ = entered.send(());
                if kind == Kind::Blocking {
                    door.pass();
                }
                kind.step()
            });
            builder = builder.provider(script.provider());
        }
        if let Some(runtime) = runtime {
            builder = builder.runtime(runtime);
        }
        let pipeline = builder.spawn().expect("spawns");
        let sender = pipeline.sender();
        for n in 0..EVENTS {
            sender.try_send(n).expect("room");
        }
        inside
            .recv_timeout(Duration::from_secs(10))
            .expect("a request is under way");
        Self { pipeline, door }
    }

    /// Ends it with `end`, and looks at what was reported.
    fn end(self, kind: Kind, end: impl FnOnce(&Pipeline<u64>) -> Report) {
        let start = Instant::now();
        let report = end(&self.pipeline);
        let took = start.elapsed();
        assert!(took <= DEADLINE + GENEROUS, "{kind:?} took {took:?}");
        check(kind, &report);
        let refused = self.pipeline.sender().try_send(1).expect_err("closed");
        assert_eq!(refused.reason, RefuseReason::Closed);
        assert_eq!(
            block_on(self.pipeline.shutdown(DEADLINE)),
            report,
            "idempotent"
        );
        assert_eq!(
            self.pipeline.shutdown_blocking(DEADLINE),
            report,
            "idempotent"
        );
        assert_eq!(
            block_on(self.pipeline.flush(DEADLINE)),
            report,
            "a flush comes too late"
        );
        self.drop_in_time(kind);
    }

    fn drop_in_time(self, kind: Kind) {
        let start = Instant::now();
        drop(self.pipeline);
        let took = start.elapsed();
        assert!(took <= GENEROUS, "drop of {kind:?} took {took:?}");
        self.door.open();
    }
}

#[track_caller]
fn check(kind: Kind, report: &Report) {
    assert!(report.ledger.balances(), "{kind:?}: {report}");
    assert_eq!(report.ledger.accepted, EVENTS);
    for provider in &report.ledger.providers {
        assert_eq!(provider.pending, 0, "{kind:?}: {report}");
        let delivered = if kind.settles() { EVENTS } else { 0 };
        assert_eq!(provider.delivered, delivered, "{kind:?}: {report}");
    }
    if kind.settles() {
        assert!(report.is_settled(), "{kind:?}: {report}");
    } else {
        let Completion::DeadlinePassed { unsettled } = &report.completion else {
            panic!("{kind:?}: {report}");
        };
        assert_eq!(unsettled.len(), report.ledger.providers.len());
        assert!(report.elapsed >= DEADLINE, "{kind:?}: {report}");
        for provider in &report.ledger.providers {
            assert_eq!(provider.dropped.get(DropReason::Deadline), EVENTS);
        }
    }
}

fn multi_thread(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn current_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Awaits a shutdown in one way for every kind of provider, and drops an engine of every kind.
fn matrix(lanes: usize, home: Option<&Handle>, call: impl Fn(&Pipeline<u64>) -> Report) {
    for kind in KINDS {
        Bed::new(kind, lanes, home.cloned()).end(kind, &call);
        Bed::new(kind, lanes, home.cloned()).drop_in_time(kind);
    }
}

#[test]
fn attached_to_one_worker_that_providers_may_block() {
    let runtime = multi_thread(1);
    matrix(1, Some(runtime.handle()), |p| {
        runtime.block_on(p.shutdown(DEADLINE))
    });
}

#[test]
fn attached_to_four_workers_that_providers_may_block_all() {
    let runtime = multi_thread(4);
    matrix(4, Some(runtime.handle()), |p| {
        runtime.block_on(p.shutdown(DEADLINE))
    });
}

#[test]
fn on_a_runtime_of_its_own_and_awaited_on_one_thread() {
    let runtime = current_thread();
    matrix(2, None, |p| runtime.block_on(p.shutdown(DEADLINE)));
}

#[test]
fn on_a_runtime_of_its_own_and_awaited_on_several_threads() {
    let runtime = multi_thread(2);
    matrix(2, None, |p| runtime.block_on(p.shutdown(DEADLINE)));
}

#[test]
fn on_a_runtime_of_its_own_and_waited_for_by_a_thread_without_one() {
    matrix(2, None, |p| p.shutdown_blocking(DEADLINE));
}

#[test]
fn on_a_runtime_of_its_own_and_awaited_without_tokio() {
    matrix(2, None, |p| block_on(p.shutdown(DEADLINE)));
}

#[tokio::test(start_paused = true)]
async fn attached_to_one_thread_with_a_virtual_clock_the_deadline_is_exact() {
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Blocking) {
        let script = Script::new("lane-0", move |_: &[u64], _| kind.step());
        let pipeline = Pipeline::builder(|_| 8)
            .batch(BatchLimits::new(10, Duration::from_secs(5)))
            .provider(script.provider())
            .runtime(Handle::current())
            .spawn()
            .expect("spawns");
        let sender = pipeline.sender();
        for n in 0..EVENTS {
            sender.try_send(n).expect("room");
        }
        let start = tokio::time::Instant::now();
        let report = pipeline.shutdown(DEADLINE).await;
        let took = start.elapsed();
        assert!(
            took <= DEADLINE + Duration::from_millis(50),
            "{kind:?} took {took:?}"
        );
        check(kind, &report);
        assert_eq!(pipeline.shutdown(DEADLINE).await, report);
        assert_eq!(pipeline.bytes_held(), 0, "{kind:?}");
    }
}

fn hanging(runtime: Option<Handle>) -> Pipeline<u64> {
    Bed::new(Kind::Hanging, 1, runtime).pipeline
}

fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    block_on(async { tokio::join!(a, b) })
}

#[test]
fn two_that_shut_down_at_once_get_one_report_and_the_first_deadline_holds() {
    let pipeline = hanging(None);
    let (first, second) = both(
        pipeline.shutdown(4 * DEADLINE),
        pipeline.shutdown(DEADLINE / 8),
    );
    assert_eq!(first, second);
    assert!(first.elapsed >= 4 * DEADLINE, "{first}");

    let pipeline = hanging(None);
    std::thread::scope(|scope| {
        let (asked, ask) = std::sync::mpsc::channel();
        let pipeline = &pipeline;
        let first = scope.spawn(move || {
            block_on(async {
                let mut shutdown = std::pin::pin!(pipeline.shutdown(4 * DEADLINE));
                let poll = std::future::poll_fn(|cx| {
                    let poll = shutdown.as_mut().poll(cx);
                    let _ = asked.send(());
                    poll
                });
                poll.await
            })
        });
        ask.recv().expect("asked");
        let second = pipeline.shutdown_blocking(DEADLINE / 8);
        assert_eq!(first.join().expect("no panic"), second);
        assert!(second.elapsed >= 4 * DEADLINE, "{second}");
    });
}

#[test]
fn a_flush_that_meets_a_shutdown_returns_with_it() {
    for kind in KINDS {
        let bed = Bed::new(kind, 2, None);
        let pipeline = &bed.pipeline;
        let start = Instant::now();
        let (flushed, report) = both(
            pipeline.flush(Duration::from_secs(60)),
            pipeline.shutdown(DEADLINE),
        );
        assert!(start.elapsed() <= DEADLINE + GENEROUS, "{kind:?}");
        check(kind, &report);
        if !kind.settles() {
            assert_eq!(flushed, report);
        }
        bed.drop_in_time(kind);
    }
}

#[test]
fn a_flush_keeps_its_deadline_while_providers_block_every_thread() {
    let bed = Bed::new(Kind::Blocking, 2, None);
    let start = Instant::now();
    let report = block_on(bed.pipeline.flush(DEADLINE));
    assert!(start.elapsed() <= DEADLINE + GENEROUS);
    assert!(
        matches!(report.completion, Completion::DeadlinePassed { .. }),
        "{report}"
    );
    bed.door.open();
    let report = block_on(bed.pipeline.shutdown(Duration::from_secs(10)));
    assert!(
        report.is_settled() && report.ledger.is_clean(),
        "a flush ends nothing: {report}"
    );
}

#[test]
fn a_shutdown_behind_a_full_mailbox_keeps_its_deadline() {
    for blocking in [false, true] {
        let bed = Bed::new(Kind::Blocking, 2, None);
        for _ in 0..1000 {
            bed.pipeline.crash(Victim::Flusher(99));
        }
        bed.end(Kind::Blocking, |p| {
            if blocking {
                p.shutdown_blocking(DEADLINE)
            } else {
                block_on(p.shutdown(DEADLINE))
            }
        });
    }
}

#[test]
fn events_that_race_with_a_shutdown_are_all_counted() {
    for round in 0..20 {
        let script = Script::delivering("sink");
        let pipeline = Pipeline::builder(|_| 8)
            .queue_capacity(64)
            .batch(BatchLimits::new(7, Duration::from_secs(5)))
            .provider(script.provider())
            .spawn()
            .expect("spawns");
        let (calls, taken) = (AtomicU64::new(0), AtomicU64::new(0));
        let report = std::thread::scope(|scope| {
            for _ in 0..3 {
                let sender = pipeline.sender();
                let (calls, taken) = (&calls, &taken);
                scope.spawn(move || {
                    loop {
                        calls.fetch_add(1, Ordering::SeqCst);
                        match sender.try_send(1) {
                            Ok(()) => drop(taken.fetch_add(1, Ordering::SeqCst)),
                            Err(refused) if refused.reason == RefuseReason::Closed => return,
                            Err(_) => {}
                        }
                    }
                });
            }
            eventually("events are taken", || {
                taken.load(Ordering::SeqCst) > round * 50
            });
            block_on(pipeline.shutdown(Duration::from_secs(10)))
        });
        assert!(report.is_settled() && report.ledger.balances(), "{report}");
        let ledger = pipeline.ledger();
        let (calls, taken) = (calls.into_inner(), taken.into_inner());
        assert!(ledger.balances(), "{ledger}");
        assert_eq!(ledger.accepted, taken);
        assert_eq!(ledger.accepted + ledger.refused.total(), calls);
        assert_eq!(ledger.providers[0].pending, 0, "{ledger}");
        let sink = &ledger.providers[0];
        assert_eq!(sink.delivered, script.delivered().len() as u64);
        assert_eq!(pipeline.bytes_held(), 0);
    }
}

#[test]
fn a_runtime_dropped_under_the_engine_leaves_everything_counted() {
    for workers in [1, 4] {
        let runtime = multi_thread(workers);
        let pipeline = hanging(Some(runtime.handle().clone()));
        drop(runtime);
        abandoned(&pipeline);
    }
    // it never ran at all, and somebody is waiting for it already
    let runtime = current_thread();
    let pipeline = idle_on(&runtime);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(pipeline.shutdown(Duration::from_secs(60))));
        eventually("it is asked to end", || pipeline.sender().is_closed());
        drop(runtime);
        let report = waiting.join().expect("no panic");
        assert_eq!(report.completion, Completion::Abandoned);
    });
    abandoned(&pipeline);
}

fn idle_on(runtime: &Runtime) -> Pipeline<u64> {
    let script = Script::delivering("sink");
    let pipeline = Pipeline::builder(|_| 8)
        .provider(script.provider())
        .runtime(runtime.handle().clone())
        .spawn()
        .expect("spawns");
    for n in 0..EVENTS {
        pipeline.sender().try_send(n).expect("room");
    }
    pipeline
}

#[track_caller]
fn abandoned(pipeline: &Pipeline<u64>) {
    let start = Instant::now();
    let report = block_on(pipeline.shutdown(Duration::from_secs(60)));
    assert!(start.elapsed() < GENEROUS);
    assert_eq!(report.completion, Completion::Abandoned);
    assert!(report.ledger.balances(), "{report}");
    assert_eq!(
        report.ledger.providers[0]
            .dropped
            .get(DropReason::Abandoned),
        EVENTS,
        "{report}"
    );
    assert_eq!(block_on(pipeline.flush(Duration::from_secs(60))), report);
    assert_eq!(pipeline.shutdown_blocking(Duration::from_secs(60)), report);
    assert!(pipeline.sender().try_send(1).is_err());
}

#[test]
fn a_runtime_that_nobody_drives_keeps_no_shutdown_waiting() {
    let runtime = current_thread();
    let pipeline = idle_on(&runtime);
    let start = Instant::now();
    let report = block_on(pipeline.shutdown(DEADLINE));
    assert!(start.elapsed() <= DEADLINE + 2 * GENEROUS);
    assert!(report.ledger.balances(), "{report}");
    assert_eq!(
        report.ledger.providers[0].dropped.get(DropReason::Deadline),
        EVENTS
    );
}

#[test]
fn an_engine_leaves_no_task_behind_on_a_runtime_that_is_not_its_own() {
    let runtime = multi_thread(2);
    let alive = || runtime.metrics().num_alive_tasks();
    for kind in KINDS {
        let bed = Bed::new(kind, 2, Some(runtime.handle().clone()));
        let _ = runtime.block_on(bed.pipeline.shutdown(DEADLINE));
        bed.door.open();
        eventually("tasks end after a shutdown", || alive() == 0);
        drop(bed);

        let bed = Bed::new(kind, 2, Some(runtime.handle().clone()));
        for _ in 0..1000 {
            bed.pipeline.crash(Victim::Flusher(99));
        }
        bed.drop_in_time(kind);
        eventually("tasks end after a drop", || alive() == 0);
    }
}
