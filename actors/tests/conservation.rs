//! Conservation: whatever happens in whatever order, every accepted event is in exactly one count.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use common::expect_panics;
use productgraph_actors::testing::{Encoding, Script, Step, Victim};
use productgraph_actors::{
    Backoff, BatchLimits, Completion, Counts, DropReason, LaneOptions, Limits, Overflow, Pipeline,
    Priority, RefuseReason, RejectReason, Report, Sender, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
/// Turns of the runtime after which nothing moves any more that does not wait for the clock.
const TURNS: usize = 40;

/// Most weigh a little, one in a hundred more than any engine here can hold.
fn weigh(event: &u64) -> usize {
    if event % 101 == 100 {
        1 << 20
    } else {
        1 + usize::try_from(event % 5).unwrap_or(0) * 8
    }
}

fn is_poison(event: u64) -> bool {
    event % 13 == 5
}

fn priority(event: &u64) -> Priority {
    if event % 10 == 0 {
        Priority::High
    } else {
        Priority::Normal
    }
}

#[derive(Clone, Debug)]
enum Behaviour {
    Deliver,
    DeliverThenFail,
    Fail(Option<u64>),
    Verdicts(u64, bool),
    TooLarge,
    RefusePoison,
    Unauthorized,
    Final,
    Hang,
    Panic,
    Slow(u64),
}

impl Behaviour {
    fn step(&self, events: &[u64]) -> Step {
        match *self {
            Self::Deliver => Step::Deliver,
            Self::DeliverThenFail => Step::DeliverThenFail,
            Self::Fail(after) => Step::Fail(after.map(|ms| MS * u32::try_from(ms).unwrap_or(0))),
            Self::Verdicts(seed, short) => Step::Verdicts(verdicts(seed, events.len(), short)),
            Self::TooLarge => Step::TooLarge,
            Self::RefusePoison if events.iter().any(|&id| is_poison(id)) => Step::Refuse,
            Self::RefusePoison => Step::Deliver,
            Self::Unauthorized => Step::Unauthorized,
            Self::Final => Step::Final,
            Self::Hang => Step::Hang,
            Self::Panic => Step::Panic,
            Self::Slow(ms) => Step::After(Duration::from_millis(ms), Box::new(Step::Deliver)),
        }
    }
}

fn verdicts(seed: u64, events: usize, short: bool) -> Vec<Verdict> {
    let verdict = |i: usize| match seed >> (2 * (i % 32)) & 3 {
        0 | 1 => Verdict::Delivered,
        2 => Verdict::Rejected(RejectReason::Invalid),
        _ => Verdict::Retry,
    };
    (0..if short { events / 2 } else { events + 1 })
        .map(verdict)
        .collect()
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        6 => Just(Behaviour::Deliver),
        1 => Just(Behaviour::DeliverThenFail),
        2 => prop::option::of(0u64..200_000).prop_map(Behaviour::Fail),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(seed, short)| Behaviour::Verdicts(seed, short)),
        1 => Just(Behaviour::TooLarge),
        2 => Just(Behaviour::RefusePoison),
        1 => Just(Behaviour::Unauthorized),
        1 => Just(Behaviour::Final),
        1 => Just(Behaviour::Hang),
        2 => Just(Behaviour::Panic),
        2 => (0u64..20_000).prop_map(Behaviour::Slow),
    ]
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        12 => Just(Encoding::Honest),
        1 => Just(Encoding::Nothing),
        1 => Just(Encoding::TooMany),
        1 => Just(Encoding::Elsewhere),
        1 => Just(Encoding::Panic),
    ]
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        Just(Overflow::DropNewest),
        Just(Overflow::DropOldest),
        Just(Overflow::ByPriority)
    ]
}

#[derive(Clone, Debug)]
struct LanePlan {
    behaviours: Vec<Behaviour>,
    encodings: Vec<Encoding>,
    max_events: usize,
    max_body_events: usize,
    concurrency: usize,
    max_bytes: Option<usize>,
    overflow: Overflow,
    timeout: u64,
    probe: u64,
    budget: u64,
}

impl LanePlan {
    fn script(&self, name: &str) -> Script<u64> {
        const EVENT: usize = 8;
        let behaviours = self.behaviours.clone();
        let encodings = self.encodings.clone();
        let at = |n: u64, len: usize| usize::try_from(n).unwrap_or(0) % len;
        let limits = Limits::new(self.max_events, self.max_body_events * EVENT);
        Script::limited(name, limits, EVENT, move |events, n| {
            behaviours[at(n, behaviours.len())].step(events)
        })
        .encoding(move |_, n| encodings[at(n, encodings.len())])
    }

    fn options(&self) -> LaneOptions {
        let mut options = LaneOptions::default();
        let budget = Duration::from_millis(self.budget);
        options.concurrency = self.concurrency;
        options.max_bytes = self.max_bytes;
        options.overflow = self.overflow;
        options.attempt_timeout = Duration::from_millis(self.timeout);
        options.hold_probe = Duration::from_millis(self.probe);
        options.backoff = Backoff::new(100 * MS, 5000 * MS, budget).expect("valid");
        options
    }
}

fn lane_plan() -> impl Strategy<Value = LanePlan> {
    (
        prop::collection::vec(behaviour(), 1..12),
        prop::collection::vec(encoding(), 1..8),
        (1usize..40, 1usize..40, 1usize..5),
        prop::option::of(1usize..2000),
        overflow(),
        (1u64..30_000, 50u64..10_000, 100u64..120_000),
    )
        .prop_map(
            |(behaviours, encodings, sizes, max_bytes, overflow, times)| LanePlan {
                behaviours,
                encodings,
                max_events: sizes.0,
                max_body_events: sizes.1,
                concurrency: sizes.2,
                max_bytes,
                overflow,
                timeout: times.0,
                probe: times.1,
                budget: times.2,
            },
        )
}

#[derive(Clone, Debug)]
enum Op {
    Track(u64),
    Wait(u64),
    Pause(usize, bool),
    Flush(u64),
    Crash(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1u64..60).prop_map(Op::Track),
        2 => (0u64..400).prop_map(Op::Wait),
        2 => (0u64..40_000).prop_map(Op::Wait),
        1 => (0usize..3, any::<bool>()).prop_map(|(lane, paused)| Op::Pause(lane, paused)),
        2 => (0u64..20_000).prop_map(Op::Flush),
        2 => (0usize..5).prop_map(Op::Crash),
    ]
}

#[derive(Clone, Debug)]
enum End {
    Shutdown(u64),
    ShutdownWhileTracking(u64),
    Drop,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => (0u64..60_000).prop_map(End::Shutdown),
        1 => (0u64..60_000).prop_map(End::ShutdownWhileTracking),
        1 => Just(End::Drop),
    ]
}

#[derive(Clone, Debug)]
struct EnginePlan {
    lanes: Vec<LanePlan>,
    capacity: usize,
    max_bytes: usize,
    overflow: Overflow,
    batch: usize,
    age: u64,
}

fn engine_plan() -> impl Strategy<Value = EnginePlan> {
    (
        prop::collection::vec(lane_plan(), 1..4),
        1usize..128,
        8usize..8000,
        overflow(),
        1usize..20,
        0u64..5000,
    )
        .prop_map(
            |(lanes, capacity, max_bytes, overflow, batch, age)| EnginePlan {
                lanes,
                capacity,
                max_bytes,
                overflow,
                batch,
                age,
            },
        )
}

/// What one script answered, summed up.
#[derive(Default)]
struct Answered {
    seen: usize,
    /// Events that the engine was told are stored.
    stored: HashSet<u64>,
    /// Events that the engine was told will never be taken.
    refused: HashSet<u64>,
    /// Requests refused as poisoned with one event in them.
    poison: u64,
    twice: bool,
}

impl Answered {
    fn read(&mut self, script: &Script<u64>) {
        let answers = script.answers(self.seen);
        self.seen += answers.len();
        for (events, step) in answers {
            match step {
                Step::Deliver => events.iter().for_each(|&id| self.store(id)),
                Step::Verdicts(verdicts) => {
                    for (&id, verdict) in events.iter().zip(verdicts) {
                        match verdict {
                            Verdict::Delivered => self.store(id),
                            Verdict::Rejected(_) => drop(self.refused.insert(id)),
                            _ => {}
                        }
                    }
                }
                Step::Final => self.refused.extend(events),
                Step::Refuse if events.len() == 1 => {
                    assert!(is_poison(events[0]), "{} is no poison", events[0]);
                    self.poison += 1;
                    self.refused.extend(events);
                }
                Step::TooLarge if events.len() == 1 => self.refused.extend(events),
                _ => {}
            }
        }
    }

    fn store(&mut self, id: u64) {
        self.twice |= !self.stored.insert(id);
    }
}

/// An engine and what the test knows about it.
struct World {
    pipeline: Arc<Pipeline<u64>>,
    sender: Sender<u64>,
    scripts: Vec<Script<u64>>,
    answered: Vec<Answered>,
    next: u64,
    accepted: u64,
    refused: Counts<RefuseReason>,
    crashed: bool,
    flushes: Vec<JoinHandle<()>>,
}

impl World {
    fn new(plan: &EnginePlan) -> Self {
        let scripts: Vec<_> = (0..plan.lanes.len())
            .map(|n| plan.lanes[n].script(&format!("lane-{n}")))
            .collect();
        let mut batch = BatchLimits::new(plan.batch, Duration::from_millis(plan.age));
        batch.max_bytes = plan.max_bytes;
        let mut builder = Pipeline::builder(weigh)
            .priority(priority)
            .max_bytes(plan.max_bytes)
            .queue_capacity(plan.capacity)
            .overflow(plan.overflow)
            .batch(batch)
            .runtime(Handle::current());
        for (script, lane) in scripts.iter().zip(&plan.lanes) {
            builder = builder.boxed_provider(Box::new(script.provider()), lane.options());
        }
        let pipeline = builder.spawn().expect("spawns");
        Self {
            sender: pipeline.sender(),
            pipeline: Arc::new(pipeline),
            answered: scripts.iter().map(|_| Answered::default()).collect(),
            scripts,
            next: 0,
            accepted: 0,
            refused: Counts::default(),
            crashed: false,
            flushes: Vec::new(),
        }
    }

    fn track(&mut self, events: u64) {
        for _ in 0..events {
            match self.sender.try_send(self.next) {
                Ok(()) => self.accepted += 1,
                Err(refused) => {
                    assert_eq!(refused.event, self.next);
                    self.refused.add(refused.reason, 1);
                }
            }
            self.next += 1;
        }
    }

    /// Lets everything run that need not wait, and looks at the accounts between any two turns.
    async fn settle(&mut self) {
        for _ in 0..TURNS {
            self.check();
            tokio::task::yield_now().await;
        }
        self.check();
    }

    fn check(&mut self) {
        let ledger = self.pipeline.ledger();
        assert_eq!(ledger.accepted, self.accepted);
        assert_eq!(ledger.refused, self.refused);
        assert!(ledger.balances(), "{ledger}");
        let mut pending = 0;
        for (n, provider) in ledger.providers.iter().enumerate() {
            pending += provider.pending;
            assert_eq!(self.pipeline.audit(n), provider.pending, "{ledger}");
            let answered = &mut self.answered[n];
            answered.read(&self.scripts[n]);
            assert!(
                provider.delivered <= answered.stored.len() as u64,
                "{ledger}"
            );
            assert!(
                provider.rejected.get(RejectReason::Poison) <= answered.poison,
                "{ledger}"
            );
            if !self.crashed {
                assert!(!answered.twice, "stored twice without need");
                assert!(answered.stored.is_disjoint(&answered.refused));
            }
        }
        if pending == 0 {
            assert_eq!(self.pipeline.bytes_held(), 0, "{ledger}");
        }
    }

    fn flush(&mut self, timeout: Duration) {
        let before = self.accepted;
        let pipeline = Arc::clone(&self.pipeline);
        self.flushes.push(tokio::spawn(async move {
            let start = Instant::now();
            let report = pipeline.flush(timeout).await;
            assert!(start.elapsed() <= timeout + 50 * MS, "{report}");
            check_flush(&report, before);
        }));
    }
}

fn check_flush(report: &Report, before: u64) {
    assert!(report.ledger.balances(), "{report}");
    for provider in &report.ledger.providers {
        let settled = report.ledger.accepted - provider.pending;
        match &report.completion {
            Completion::Settled => assert!(settled >= before, "{before} before: {report}"),
            Completion::DeadlinePassed { unsettled } if unsettled.contains(&provider.name) => {
                assert!(
                    provider.pending + provider.dropped.get(DropReason::Deadline) > 0,
                    "{report}"
                );
            }
            Completion::DeadlinePassed { .. } => {
                assert!(settled >= before, "{before} before: {report}");
            }
            _ => {}
        }
    }
}

impl World {
    async fn play(&mut self, op: &Op) {
        match *op {
            Op::Track(events) => self.track(events),
            Op::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Op::Pause(lane, paused) => {
                let known = self.pipeline.set_paused(&format!("lane-{lane}"), paused);
                assert_eq!(known, lane < self.scripts.len());
            }
            Op::Flush(ms) => self.flush(Duration::from_millis(ms)),
            Op::Crash(victim) => self.pipeline.crash(match victim {
                0 => Victim::Buffer,
                1 => Victim::FanOut,
                lane => {
                    self.crashed = true;
                    Victim::Flusher(lane - 2)
                }
            }),
        }
        self.settle().await;
    }

    async fn end(mut self, end: &End) {
        match *end {
            End::Shutdown(ms) => self.shut_down(Duration::from_millis(ms), 0).await,
            End::ShutdownWhileTracking(ms) => self.shut_down(Duration::from_millis(ms), 20).await,
            End::Drop => self.drop_it().await,
        }
    }

    async fn shut_down(&mut self, timeout: Duration, rounds: u32) {
        let start = Instant::now();
        let pipeline = Arc::clone(&self.pipeline);
        let shutdown = tokio::spawn(async move {
            let report = pipeline.shutdown(timeout).await;
            (report, start.elapsed())
        });
        for _ in 0..rounds {
            tokio::time::sleep(timeout / rounds).await;
            self.track(3);
            self.check();
        }
        let (report, took) = shutdown.await.expect("no panic");
        assert!(took <= timeout + 50 * MS, "{took:?}: {report}");
        for flush in self.flushes.drain(..) {
            flush.await.expect("a flush keeps its word");
        }
        self.settle().await;
        self.check_end(&report);
        assert_eq!(self.pipeline.shutdown(timeout).await, report);
        assert_eq!(self.pipeline.bytes_held(), 0);
        nothing_runs().await;
    }

    fn check_end(&self, report: &Report) {
        assert!(report.ledger.balances(), "{report}");
        assert_eq!(report.ledger.providers, self.pipeline.ledger().providers);
        for (n, provider) in report.ledger.providers.iter().enumerate() {
            assert_eq!(provider.pending, 0, "{report}");
            let given_up = provider.dropped.get(DropReason::Deadline);
            match &report.completion {
                Completion::Settled => assert_eq!(given_up, 0, "{report}"),
                Completion::DeadlinePassed { unsettled } => {
                    assert_eq!(unsettled.contains(&provider.name), given_up > 0, "{report}");
                }
                _ => panic!("{report}"),
            }
            if given_up == 0 && !self.crashed {
                let answered = &self.answered[n];
                assert_eq!(provider.delivered, answered.stored.len() as u64, "{report}");
                assert_eq!(provider.rejected.get(RejectReason::Poison), answered.poison);
            }
        }
    }

    async fn drop_it(self) {
        for flush in self.flushes {
            flush.abort();
            drop(flush.await);
        }
        let pipeline = Arc::into_inner(self.pipeline).expect("the last one");
        drop(pipeline);
        let refused = self.sender.try_send(0).expect_err("closed");
        assert_eq!(refused.reason, RefuseReason::Closed);
        nothing_runs().await;
        let requests: Vec<_> = self.scripts.iter().map(Script::requests).collect();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(
            requests,
            self.scripts
                .iter()
                .map(Script::requests)
                .collect::<Vec<_>>()
        );
    }
}

/// The engine has left nothing behind on a runtime that is not its own.
async fn nothing_runs() {
    for _ in 0..10 * TURNS {
        tokio::task::yield_now().await;
    }
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 400;
    }
    config.rng_seed = RngSeed::Fixed(2);
    config.max_shrink_iters = 4000;
    let seeds = FileFailurePersistence::Direct("tests/conservation.proptest-regressions");
    config.failure_persistence = Some(Box::new(seeds));
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_accepted_event_is_in_exactly_one_count_after_every_step(
        plan in engine_plan(),
        ops in prop::collection::vec(op(), 1..30),
        end in end(),
    ) {
        expect_panics();
        fastrand::seed(7);
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut world = World::new(&plan);
            for op in &ops {
                world.play(op).await;
            }
            world.end(&end).await;
        });
    }
}
