//! Conservation with redrives: whatever dies and is put back whenever, every event is in one count.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is virtual: a sleep is a step of the schedule"
)]

mod common;
#[allow(dead_code, reason = "its own test uses all of it")]
#[path = "conservation/plan.rs"]
mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::expect_panics;
use plan::{EnginePlan, Op, engine_plan, op, priority, weigh};
use productgraph_actors::testing::Victim;
use productgraph_actors::{
    BatchLimits, DeadLetter, DeadLetterLimits, DropReason, Ledger, Pipeline, RedriveError, Redriven,
};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use tokio::runtime::{Builder, Handle};

const HOUR: Duration = Duration::from_secs(3600);
/// Turns of the runtime after which nothing moves any more that does not wait for the clock.
const TURNS: usize = 40;

#[derive(Clone, Debug)]
enum Step {
    Engine(Op),
    /// Puts back letters whose number this divides.
    Redrive(u64),
    /// Takes letters whose number this divides.
    Take(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => op().prop_map(Step::Engine),
        3 => (1u64..4).prop_map(Step::Redrive),
        1 => (2u64..5).prop_map(Step::Take),
    ]
}

struct World {
    pipeline: Pipeline<u64>,
    lanes: usize,
    ceiling: usize,
    healed: Arc<AtomicBool>,
    next: u64,
    moved: u64,
}

impl World {
    fn new(plan: &EnginePlan, limits: DeadLetterLimits) -> Self {
        let healed = Arc::default();
        let mut batch = BatchLimits::new(plan.batch, Duration::from_millis(plan.age));
        batch.max_bytes = plan.max_bytes;
        let mut builder = Pipeline::builder(weigh)
            .priority(priority)
            .max_bytes(plan.max_bytes)
            .queue_capacity(plan.capacity)
            .overflow(plan.overflow)
            .batch(batch)
            .dead_letters(limits)
            .runtime(Handle::current());
        for (n, lane) in plan.lanes.iter().enumerate() {
            let script = lane.script(&format!("lane-{n}"), &healed);
            builder = builder.boxed_provider(Box::new(script.provider()), lane.options());
        }
        Self {
            pipeline: builder.spawn().expect("spawns"),
            lanes: plan.lanes.len(),
            ceiling: plan.max_bytes,
            healed,
            next: 0,
            moved: 0,
        }
    }

    async fn play(&mut self, step: &Step) {
        match *step {
            Step::Engine(Op::Track(events)) => {
                let sender = self.pipeline.sender();
                for _ in 0..events {
                    // what is refused is no affair of the providers
                    let _ = sender.try_send(self.next);
                    self.next += 1;
                }
            }
            Step::Engine(Op::Wait(ms)) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Engine(Op::Pause(lane, paused)) => {
                self.pipeline.set_paused(&format!("lane-{lane}"), paused);
            }
            Step::Engine(Op::Flush(ms)) => {
                let report = self.pipeline.flush(Duration::from_millis(ms)).await;
                assert!(report.ledger.balances(), "{report}");
            }
            Step::Engine(Op::Crash(victim)) => self.pipeline.crash(match victim {
                0 => Victim::Buffer,
                1 => Victim::FanOut,
                lane => Victim::Flusher(lane - 2),
            }),
            Step::Redrive(part) => drop(self.redrive(part)),
            Step::Take(part) => {
                let meant = |letter: &DeadLetter<u64>| letter.number().is_multiple_of(part);
                drop(self.pipeline.take_dead_letters(meant));
            }
        }
        for _ in 0..TURNS {
            self.check();
            tokio::task::yield_now().await;
        }
    }

    fn redrive(&mut self, part: u64) -> Redriven {
        let before = self.pipeline.dead_letters().len() as u64;
        let meant = |letter: &DeadLetter<u64>| letter.number().is_multiple_of(part);
        let redriven = self.pipeline.redrive(meant).expect("open");
        self.moved += redriven.moved;
        let after = self.pipeline.dead_letters().len() as u64;
        assert_eq!(after + redriven.moved, before);
        assert!(redriven.left <= after);
        redriven
    }

    fn check(&self) -> Ledger {
        let ledger = self.pipeline.ledger();
        assert!(ledger.balances(), "{ledger}");
        let (mut died, mut redriven, mut pending, mut kept) = (0, 0, 0, 0);
        for (n, provider) in ledger.providers.iter().enumerate() {
            assert_eq!(self.pipeline.audit(n), provider.pending, "{ledger}");
            died += provider.rejected.total() + provider.dropped.get(DropReason::Expired);
            redriven += provider.redriven;
            pending += provider.pending;
            kept += provider.dead_letters;
        }
        let stats = self.pipeline.dead_letter_stats();
        let found = stats.kept + stats.evicted + stats.not_kept + stats.taken + stats.redriven;
        assert_eq!((died, redriven), (found, self.moved), "{stats:?}, {ledger}");
        assert_eq!(kept, stats.kept);
        if pending == 0 {
            assert_eq!(self.pipeline.bytes_held(), 0, "{ledger}");
        }
        ledger
    }

    /// Every provider is well again: what is put back arrives, but for what can never fit.
    async fn heal(mut self) {
        self.healed.store(true, Ordering::SeqCst);
        for n in 0..self.lanes {
            self.pipeline.set_paused(&format!("lane-{n}"), false);
        }
        let report = self.pipeline.flush(HOUR).await;
        assert!(report.is_settled(), "{report}");
        loop {
            let redriven = self.redrive(1);
            let report = self.pipeline.flush(HOUR).await;
            assert!(report.is_settled(), "{report}");
            let ledger = self.check();
            assert!(ledger.providers.iter().all(|p| p.pending == 0), "{ledger}");
            if redriven.moved == 0 {
                break;
            }
        }
        for letter in self.pipeline.dead_letters() {
            let most = self.ceiling - self.ceiling / 8;
            assert!(weigh(letter.event()) > most, "{letter:?}");
        }
        self.end(HOUR).await;
    }

    async fn end(self, timeout: Duration) {
        let report = self.pipeline.shutdown(timeout).await;
        let ledger = self.check();
        assert_eq!(ledger.providers, report.ledger.providers);
        assert!(ledger.providers.iter().all(|p| p.pending == 0), "{ledger}");
        assert_eq!(self.pipeline.bytes_held(), 0);
        assert_eq!(self.pipeline.redrive(|_| true), Err(RedriveError::Closed));
    }
}

fn config() -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct("tests/redrive.proptest-regressions");
    ProptestConfig {
        rng_seed: RngSeed::Fixed(27),
        max_shrink_iters: 4000,
        failure_persistence: Some(Box::new(seeds)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn with_redrives_at_any_time_every_event_is_in_exactly_one_count_after_every_step(
        plan in engine_plan(),
        steps in prop::collection::vec(step(), 1..40),
        kept in 1usize..200,
        kept_bytes in 0usize..40_000,
        end in prop::option::of(0u64..60_000),
    ) {
        expect_panics();
        fastrand::seed(7);
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut world = World::new(&plan, DeadLetterLimits::new(kept, kept_bytes));
            for step in &steps {
                world.play(step).await;
            }
            match end {
                Some(ms) => {
                    // some of it has hardly left the store
                    world.redrive(1);
                    world.end(Duration::from_millis(ms)).await;
                }
                None => world.heal().await,
            }
        });
    }
}
