//! An engine at work, and everything that must hold about it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use productgraph_actors::testing::{Script, Step, Victim};
use productgraph_actors::{
    BatchLimits, Completion, Counts, DropReason, Pipeline, ProviderLedger, RefuseReason,
    RejectReason, Report, Sender, Verdict,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::plan::{End, EnginePlan, MS, Op, is_poison, priority, weigh};

/// Turns of the runtime after which nothing moves any more that does not wait for the clock.
const TURNS: usize = 40;

/// What one script answered, summed up.
#[derive(Default)]
pub(crate) struct Answered {
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
pub(crate) struct World {
    pipeline: Arc<Pipeline<u64>>,
    sender: Sender<u64>,
    scripts: Vec<Script<u64>>,
    healed: Arc<AtomicBool>,
    answered: Vec<Answered>,
    next: u64,
    accepted: u64,
    refused: Counts<RefuseReason>,
    crashed: bool,
    flushes: Vec<JoinHandle<()>>,
}

impl World {
    pub(crate) fn new(plan: &EnginePlan) -> Self {
        let healed = Arc::default();
        let script = |n: usize| plan.lanes[n].script(&format!("lane-{n}"), &healed);
        let scripts: Vec<_> = (0..plan.lanes.len()).map(script).collect();
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
            healed,
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

pub(crate) fn check_flush(report: &Report, before: u64) {
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
    pub(crate) async fn play(&mut self, op: &Op) {
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

    pub(crate) async fn end(mut self, end: &End) {
        match *end {
            End::Shutdown(ms) => self.shut_down(Duration::from_millis(ms), 0).await,
            End::ShutdownWhileTracking(ms) => self.shut_down(Duration::from_millis(ms), 20).await,
            End::Heal => self.heal().await,
            End::Drop => self.drop_it().await,
        }
    }

    /// Nothing may be stuck anywhere.
    async fn heal(mut self) {
        const HOUR: Duration = Duration::from_secs(3600);
        self.healed.store(true, Ordering::SeqCst);
        for n in 0..self.scripts.len() {
            self.pipeline.set_paused(&format!("lane-{n}"), false);
        }
        let report = self.pipeline.flush(HOUR).await;
        assert!(report.is_settled(), "{report}");
        let pending = |p: &ProviderLedger| p.pending > 0;
        assert!(!report.ledger.providers.iter().any(pending), "{report}");
        for lane in self.pipeline.lanes() {
            assert_eq!((lane.pending_bytes, lane.in_flight), (0, 0));
        }
        self.shut_down(HOUR, 0).await;
        let report = self.pipeline.shutdown(HOUR).await;
        assert!(
            report.is_settled() && report.elapsed < HOUR / 60,
            "{report}"
        );
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
pub(crate) async fn nothing_runs() {
    for _ in 0..10 * TURNS {
        tokio::task::yield_now().await;
    }
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}
