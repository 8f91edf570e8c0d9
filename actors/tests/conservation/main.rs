//! Conservation: whatever happens in whatever order, every accepted event is in exactly one count.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is virtual: a sleep is a step of the schedule"
)]

#[path = "../common/mod.rs"]
mod common;
mod plan;
mod world;

use common::expect_panics;
use plan::{end, engine_plan, op};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use tokio::runtime::Builder;
use world::World;

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 600;
    }
    config.rng_seed = RngSeed::Fixed(2);
    config.max_shrink_iters = 4000;
    let seeds = FileFailurePersistence::Direct("tests/conservation/seeds.proptest-regressions");
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
