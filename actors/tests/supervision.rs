//! Restarts have a limit, and reaching it shows.

mod common;

use std::time::Duration;

use common::expect_panics;
use productgraph_actors::testing::{Script, Victim};
use productgraph_actors::{BatchLimits, Pipeline};

#[tokio::test(start_paused = true)]
async fn an_actor_that_keeps_crashing_is_dead_in_the_end_and_its_events_are_counted() {
    expect_panics();
    let script = Script::delivering("sink");
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(10, Duration::from_secs(5)))
        .runtime(tokio::runtime::Handle::current())
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    assert_eq!(pipeline.dead_actors(), 0);
    let mut crashes = 0;
    while pipeline.dead_actors() == 0 {
        pipeline.crash(Victim::FanOut);
        crashes += 1;
        assert!(crashes < 20_000, "{} restarts", pipeline.restarts());
        tokio::task::yield_now().await;
    }
    assert!(pipeline.restarts() >= 100, "{}", pipeline.restarts());
    let sender = pipeline.sender();
    for event in 0..25 {
        sender.try_send(event).expect("there is room");
    }
    let report = pipeline.shutdown(Duration::from_secs(3)).await;
    assert!(!report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(report.ledger.providers[0].dropped.total(), 25, "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_end_leaves_nobody_dead() {
    let script = Script::delivering("sink");
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .runtime(tokio::runtime::Handle::current())
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    pipeline.sender().try_send(1).expect("there is room");
    let report = pipeline.shutdown(Duration::from_secs(3)).await;
    assert!(report.is_settled(), "{report}");
    // the actors stop after the report
    tokio::time::advance(Duration::from_secs(60)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((pipeline.dead_actors(), pipeline.restarts()), (0, 0));
}
