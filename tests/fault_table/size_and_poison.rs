//! Events that a destination will never take, alone or together.

use productgraph::{Backoff, BreakerState, DropReason, LaneState, RejectReason};
use productgraph_collector::{Fault, When};

use crate::engine_support::faulty::{EVENTS, hasty};
use crate::engine_support::{
    account, assert_holds_once, collector, id_of, ids_of, in_time, log, millis, numbered, provider,
};
use crate::stage::{Losses, Stage, Times};

const FEW: &[&str] = &[log::REJECTED];
const REFUSES: &str =
    "ERROR destination refuses every request; breaker open, one attempt at a time";

/// The ids of `all` events without these.
fn without(all: usize, bad: &[usize]) -> Vec<String> {
    let good = (0..all).filter(|n| !bad.contains(n));
    good.map(id_of).collect()
}

#[tokio::test]
async fn three_events_that_spoil_every_request_they_are_in() {
    const ALL: usize = 64;
    let bad = [3, 17, 42];
    let mut stage = Stage::direct("three_events_that_spoil_every_request_they_are_in");
    for n in bad {
        stage.store.faults().poison(id_of(n));
    }
    stage.track(ALL);
    stage.sends_to_the_sound_one().await;
    in_time(stage.store.wait_for_events((ALL - bad.len()) as u64)).await;
    let requests = stage.store.stats().received;
    assert!(requests <= 3 * 2 * 7 + 1, "{requests} requests");
    let losses = Losses {
        rejected: &[(RejectReason::Poison, 3)],
        ..Losses::default()
    };
    stage
        .settles(&without(ALL, &bad), Times::Once, &losses, FEW)
        .await;
}

#[tokio::test]
async fn a_400_to_everything() {
    let name = "a_400_to_everything";
    let mut stage = Stage::direct(name);
    let refusal = Fault::status(400);
    stage.store.faults().set_standing(refusal, When::Always);
    stage.track(8);
    stage.sends_to_the_sound_one().await;
    let report = in_time(stage.engine.flush(crate::engine_support::BOUND)).await;
    assert!(report.is_settled(), "{report}");
    let lost = [(RejectReason::Poison, 8)];
    let losses = Losses {
        rejected: &lost,
        ..Losses::default()
    };
    stage.check(&report, &[], &losses);
    assert_eq!(stage.store.stats().received, 15);
    log::assert_said(name, FEW).await;

    // what comes after it is delivered as if nothing had been
    stage.store.faults().clear();
    stage.track(EVENTS);
    let ids = &ids_of(0..8 + EVENTS)[8..];
    stage.settles(ids, Times::Once, &losses, FEW).await;
}

#[tokio::test]
async fn a_400_to_five_hundred_events() {
    const ALL: u64 = 500;
    let name = "a_400_to_five_hundred_events";
    let store = collector();
    let mut lane = hasty();
    lane.backoff = Backoff::new(millis(5), millis(20), millis(100)).expect("it works");
    let faulty = provider(&store, name);
    let mut stage = Stage::of(name, faulty, store, lane, |builder| builder);
    let refusal = Fault::status(400);
    stage.store.faults().set_standing(refusal, When::Always);
    stage.track(500);
    stage.sends_to_the_sound_one().await;
    let report = in_time(stage.engine.flush(crate::engine_support::BOUND)).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");

    // isolating them all would take a thousand requests: some are, the time of the others is spent
    let lost = account(&report.ledger, name);
    let poison = lost.rejected.get(RejectReason::Poison);
    let expired = lost.dropped.get(DropReason::Expired);
    assert!(poison > 0 && expired > 0, "{report}");
    assert_eq!(poison + expired, ALL, "{report}");
    let requests = stage.store.stats().received;
    assert!((29..200).contains(&requests), "{requests} requests");
    log::assert_said(name, &[log::REJECTED, REFUSES, log::EXPIRED]).await;
    let told = log::fields_of(name).swap_remove(1);
    assert!(told.contains("refusals=29"), "{told}");
    let lane = stage.lane();
    assert_eq!(lane.breaker, BreakerState::Open, "{lane:?}");
    assert_eq!(lane.last_error.expect("it fails").kind, "status");

    // what comes after it is delivered, and that is the end of the trouble
    stage.store.faults().clear();
    stage.track(EVENTS);
    let losses = Losses {
        rejected: &[(RejectReason::Poison, poison)],
        dropped: &[(DropReason::Expired, expired)],
    };
    let ids = &ids_of(0..500 + EVENTS)[500..];
    let said = [log::REJECTED, REFUSES, log::EXPIRED, log::WORKS_AGAIN];
    stage.settles(ids, Times::Once, &losses, &said).await;
}

#[tokio::test]
async fn a_body_limit_that_nobody_told_of() {
    const ALL: usize = 200;
    const LIMIT: usize = 8_000;
    let mut stage = Stage::direct("a_body_limit_that_nobody_told_of");
    stage.store.faults().set_secret_body_limit(Some(LIMIT));
    stage.track(ALL);
    stage.sends_to_the_sound_one().await;
    in_time(stage.store.wait_for_events(ALL as u64)).await;
    let refused = stage.store.stats().by_status[&413];
    assert!((1..=20).contains(&refused), "{refused} were too large");
    stage.recovers(Times::Once, &[]).await;
}

#[tokio::test]
async fn one_event_over_the_limit_of_the_service() {
    let name = "one_event_over_the_limit_of_the_service";
    let mut stage = Stage::direct(name);
    stage.track(EVENTS);
    let large = numbered(EVENTS).with("text", "x".repeat(150_000));
    let handle = stage.engine.handle();
    handle.try_track(large).expect("there is room");
    let report = in_time(stage.engine.flush(crate::engine_support::BOUND)).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    for provider in &report.ledger.providers {
        assert_eq!(provider.delivered, EVENTS as u64, "{report}");
        let rejected = &provider.rejected;
        assert_eq!(rejected.get(RejectReason::TooLarge), 1, "{report}");
        assert_eq!(rejected.total() + provider.dropped.total(), 1, "{report}");
    }
    assert_holds_once(&stage.store, &ids_of(0..EVENTS));
    assert_holds_once(&stage.sound, &ids_of(0..EVENTS));
    log::assert_said(name, FEW).await;
    assert_eq!(stage.lane().state, LaneState::Healthy);
    assert_eq!(stage.engine.stats().bytes_held, 0);
}

#[tokio::test]
async fn one_event_over_a_limit_that_nobody_told_of() {
    const LIMIT: usize = 8_000;
    let name = "one_event_over_a_limit_that_nobody_told_of";
    let mut stage = Stage::direct(name);
    stage.store.faults().set_secret_body_limit(Some(LIMIT));
    stage.track(EVENTS);
    let large = numbered(EVENTS).with("text", "x".repeat(LIMIT));
    let handle = stage.engine.handle();
    handle.try_track(large).expect("there is room");
    let report = in_time(stage.engine.flush(crate::engine_support::BOUND)).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    let [faulty, sound] = &report.ledger.providers[..] else {
        panic!("{report}")
    };
    assert_eq!(faulty.delivered, EVENTS as u64, "{report}");
    assert_eq!(faulty.rejected.get(RejectReason::TooLarge), 1, "{report}");
    assert_eq!(sound.delivered, EVENTS as u64 + 1, "{report}");
    assert_holds_once(&stage.store, &ids_of(0..EVENTS));
    assert_holds_once(&stage.sound, &ids_of(0..EVENTS + 1));
    log::assert_said(name, FEW).await;
    assert_eq!(stage.engine.stats().bytes_held, 0);
}
