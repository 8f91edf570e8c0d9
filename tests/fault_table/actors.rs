//! The engine's own actors, killed: where they stand, again and again, and for good.

use std::collections::BTreeSet;
use std::time::Duration;

use productgraph::providers::Memory;
use productgraph::testing::Victim;
use productgraph::{Completion, DropReason, Engine, EngineBuilder, HealthState};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::engine_support::faulty::{EVENTS, track};
use crate::engine_support::{
    BOUND, account, assert_final, builder, held, ids_of, in_time, log, until,
};
use crate::stage::{Stage, Times};

fn crash(engine: &Engine, victim: Victim) {
    engine.pipeline().expect("it is enabled").crash(victim);
}

/// Killed while events come in and requests are under way.
async fn killed(name: &'static str, victim: Victim) {
    let mut stage = Stage::direct(name);
    for round in 1..=5 {
        stage.track(EVENTS);
        crash(&stage.engine, victim);
        until(|| stage.engine.health().restarts >= round).await;
        stage.track(EVENTS);
    }
    assert_eq!(stage.engine.health().dead_actors, 0);
    // the crash is the panic hook's to tell; no destination is in trouble
    stage.recovers(Times::Once, &[]).await;
}

#[tokio::test]
async fn the_buffer_is_killed() {
    killed("the_buffer_is_killed", Victim::Buffer).await;
}

#[tokio::test]
async fn the_fan_out_is_killed() {
    killed("the_fan_out_is_killed", Victim::FanOut).await;
}

#[tokio::test]
async fn a_flusher_is_killed() {
    killed("a_flusher_is_killed", Victim::Flusher(0)).await;
}

#[tokio::test]
async fn a_flusher_is_killed_with_a_request_in_flight() {
    let name = "a_flusher_is_killed_with_a_request_in_flight";
    let mut stage = Stage::direct(name);
    let gate = stage.store.faults().hold();
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    in_time(stage.store.wait_for_waiting(1)).await;
    crash(&stage.engine, Victim::Flusher(0));
    // its attempt is aborted, and made again from what the lane kept
    in_time(stage.store.wait_for_requests(1)).await;
    in_time(stage.store.wait_for_waiting(1)).await;
    assert_eq!(stage.account().pending, EVENTS as u64);
    gate.release();
    stage.recovers(Times::Once, &[]).await;
}

/// An engine on the virtual clock of this test, with two providers in memory.
fn virtual_engine(change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> (Engine, [Memory; 2]) {
    log::listen();
    let memories = [Memory::new().name("one"), Memory::new().name("other")];
    let builder = builder()
        .runtime(Handle::current())
        .provider(memories[0].clone())
        .provider(memories[1].clone());
    (change(builder).spawn().expect("it starts"), memories)
}

async fn pass(time: Duration) {
    tokio::time::sleep_until(Instant::now() + time).await;
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test(start_paused = true)]
async fn every_actor_is_killed_again_and_again() {
    let (engine, memories) = virtual_engine(|builder| builder.batch_size(7));
    let victims = [
        Victim::Buffer,
        Victim::FanOut,
        Victim::Flusher(0),
        Victim::Flusher(1),
    ];
    for (round, victim) in victims.into_iter().cycle().take(60).enumerate() {
        track(&engine, round * EVENTS..(round + 1) * EVENTS);
        crash(&engine, victim);
        pass(millis(5)).await;
        assert!(engine.ledger().balances(), "{}", engine.ledger());
    }
    let report = engine.shutdown(Duration::from_secs(600)).await;
    assert_final(&report);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert!(engine.health().restarts >= 20);
    let all: BTreeSet<_> = ids_of(0..60 * EVENTS).into_iter().collect();
    for memory in memories {
        let ids: BTreeSet<_> = memory.delivered_ids().into_iter().collect();
        assert_eq!(ids, all);
    }
}

/// Batches that the hand-off takes before the buffer stops.
const HAND_OFF: usize = 8;

#[tokio::test(start_paused = true)]
async fn a_wedge_of_a_full_hand_off_and_a_dead_fan_out_comes_loose() {
    let (engine, memories) = virtual_engine(|builder| builder.batch_size(1));
    // each death makes the next life begin later: five seconds in the end
    for _ in 0..12 {
        crash(&engine, Victim::FanOut);
        pass(millis(1)).await;
    }
    let all = 4 * HAND_OFF;
    track(&engine, 0..all);
    pass(Duration::from_secs(1)).await;
    for memory in &memories {
        assert_eq!(memory.requests(), 0);
    }
    let ledger = engine.ledger();
    assert!(ledger.balances(), "{ledger}");
    assert!(ledger.providers.iter().all(|p| p.pending == all as u64));
    let report = engine.flush(millis(100)).await;
    let both = ["one".to_owned(), "other".to_owned()];
    assert!(
        matches!(&report.completion, Completion::DeadlinePassed { unsettled } if *unsettled == both),
        "{report}"
    );

    let report = engine.flush(Duration::from_secs(60)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    for memory in &memories {
        assert_eq!(memory.delivered_ids(), ids_of(0..all));
    }
    let report = engine.shutdown(Duration::from_secs(60)).await;
    assert!(report.is_settled(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_dead_for_good_shows_and_the_shutdown_counts_what_it_left() {
    let (engine, memories) = virtual_engine(|builder| builder.batch_size(1));
    while engine.health().dead_actors == 0 {
        crash(&engine, Victim::FanOut);
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.health().state, HealthState::Unhealthy);
    assert_eq!(log::fields_with(log::DIED).len(), 1);
    track(&engine, 0..EVENTS);
    let report = engine.shutdown(millis(300)).await;
    assert_final(&report);
    assert!(!report.is_settled(), "{report}");
    for (name, memory) in ["one", "other"].into_iter().zip(memories) {
        let dropped = &account(&report.ledger, name).dropped;
        assert_eq!(dropped.get(DropReason::Deadline), EVENTS as u64, "{report}");
        assert_eq!(memory.requests(), 0);
    }
    assert_eq!(engine.stats().bytes_held, 0);
}

#[tokio::test]
async fn a_dying_flusher_costs_the_other_provider_nothing() {
    let name = "a_dying_flusher_costs_the_other_provider_nothing";
    let mut stage = Stage::direct(name);
    for _ in 0..6 {
        crash(&stage.engine, Victim::Flusher(0));
        stage.track(EVENTS);
        stage.sends_to_the_sound_one().await;
    }
    let report = in_time(stage.engine.flush(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    let ids: BTreeSet<_> = ids_of(0..6 * EVENTS).into_iter().collect();
    assert_eq!(held(&stage.store).into_keys().collect::<BTreeSet<_>>(), ids);
    assert!(log::said_of(name).is_empty());
}
