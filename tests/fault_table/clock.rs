//! Clocks that jump. Of the wall clock only three things are taken: the time of an event, the time in its
//! id, and the date that a `Retry-After` may name. Everything that waits goes by the monotonic clock.

use std::collections::HashSet;
use std::time::Duration;

use productgraph::event::{EventId, Timestamp};
use productgraph::providers::Memory;
use productgraph::{Cause, DropReason, Engine, LaneState, Outcome};
use proptest::prelude::*;
use tokio::runtime::Handle;

use crate::engine_support::faulty::{EVENTS, track};
use crate::engine_support::{
    BOUND, account, builder, id_of, ids_of, in_time, log, millis, numbered, text,
};
use crate::stage::{Stage, Times};

const HOURS: Duration = Duration::from_secs(8 * 3600);

proptest! {
    #[test]
    fn ids_stay_unique_whatever_the_wall_clock_does(
        times in prop::collection::vec(-90_000_000i64..90_000_000, 1..300),
        start in any::<u32>(),
    ) {
        let mut seen = HashSet::new();
        for (n, jump) in times.iter().enumerate() {
            let at = Timestamp::from_unix_millis(1_767_225_600_000 + jump);
            let id = EventId::v7(at, u64::from(start) + n as u64).to_string();
            prop_assert!(seen.insert(id));
        }
    }

    #[test]
    fn ids_of_one_instant_sort_by_sequence_wherever_the_clock_stands(
        millis in -90_000_000i64..253_402_300_799_000, start in 0u64..3_000,
    ) {
        let at = Timestamp::from_unix_millis(millis);
        let ids: Vec<_> = (start..start + 50).map(|n| EventId::v7(at, n).to_string()).collect();
        prop_assert!(ids.is_sorted(), "{ids:?}");
    }
}

#[tokio::test]
async fn events_of_a_clock_that_jumps_travel_as_they_are_and_in_the_order_they_were_tracked() {
    let name = "events_of_a_clock_that_jumps";
    let mut stage = Stage::direct(name);
    let times = [
        "2026-01-01T08:00:00.000Z",
        "2026-01-01T16:00:00.000Z",
        "2026-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.000Z",
        "2200-12-31T23:59:59.999Z",
    ];
    let handle = stage.engine.handle();
    for (n, time) in times.iter().enumerate() {
        let at = Timestamp::parse(time).expect("a time");
        let event = numbered(n).with_timestamp(at);
        handle.try_track(event).expect("there is room");
    }
    stage.tracked_by_hand(times.len());
    let report = in_time(stage.engine.flush(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    let events = stage.store.events();
    let sent: Vec<_> = events.iter().map(|e| text(e, "event.timestamp")).collect();
    assert_eq!(sent, times);
    let mut sequences: Vec<_> = events
        .iter()
        .map(|event| event["event.sequence"].as_u64())
        .collect();
    assert!(sequences.is_sorted(), "{sequences:?}");
    sequences.dedup();
    assert_eq!(sequences.len(), times.len(), "{sequences:?}");
    assert_eq!(stage.store.event_ids(), ids_of(0..times.len()));
    stage.recovers(Times::Once, &[]).await;
}

fn again() -> Outcome {
    Outcome::Retry {
        not_before: None,
        cause: Cause::new("down"),
    }
}

/// An engine on the virtual clock of the test, whose first provider is to misbehave.
fn virtual_engine(name: &'static str) -> (Engine, Memory, Memory) {
    log::listen();
    let (faulty, sound) = (Memory::new().name(name), Memory::new().name("sound"));
    let engine = builder()
        .runtime(Handle::current())
        .batch_interval(Duration::from_secs(5))
        .retry(
            millis(500),
            Duration::from_secs(30),
            Duration::from_secs(300),
        )
        .expect("a policy that works")
        .provider(faulty.clone())
        .provider(sound.clone())
        .spawn()
        .expect("it starts");
    (engine, faulty, sound)
}

/// The machine stands still for hours, with a clock that counts them.
async fn suspend() {
    tokio::time::advance(HOURS).await;
}

async fn pass(time: Duration) {
    tokio::time::sleep_until(tokio::time::Instant::now() + time).await;
}

async fn ends_clean(engine: &Engine, memories: [&Memory; 2], events: usize) {
    let report = engine.flush(BOUND).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    for memory in memories {
        assert_eq!(memory.delivered_ids(), ids_of(0..events));
    }
    assert!(engine.health().is_healthy());
}

/// Yields until it is so, without letting the virtual clock move by itself.
async fn comes_true(mut what: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if what() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came true");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_suspended_while_events_wait_for_their_batch() {
    let (engine, faulty, sound) = virtual_engine("suspended_with_a_batch");
    track(&engine, 0..EVENTS);
    pass(Duration::from_secs(1)).await;
    assert_eq!(sound.requests(), 0);
    suspend().await;
    comes_true(|| sound.delivered_ids().len() == EVENTS).await;
    ends_clean(&engine, [&faulty, &sound], EVENTS).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_suspended_during_a_wait_before_a_retry() {
    let name = "suspended_during_a_wait";
    let (engine, faulty, sound) = virtual_engine(name);
    faulty.answer(again());
    track(&engine, 0..EVENTS);
    let _ = engine.flush(Duration::ZERO).await;
    comes_true(|| faulty.requests() == 1 && engine.health().providers[0].failures == 1).await;
    // longer than the retry budget: there is one more attempt all the same
    suspend().await;
    comes_true(|| faulty.requests() == 2).await;
    ends_clean(&engine, [&faulty, &sound], EVENTS).await;
    log::assert_said(name, &[log::FAILS, log::WORKS_AGAIN]).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_suspended_with_a_first_request_in_flight() {
    let name = "suspended_with_a_first_request";
    let (engine, faulty, sound) = virtual_engine(name);
    faulty.never_answer();
    track(&engine, 0..EVENTS);
    let _ = engine.flush(Duration::ZERO).await;
    comes_true(|| faulty.requests() == 1).await;
    suspend().await;
    comes_true(|| engine.health().providers[0].state == LaneState::Retrying).await;
    ends_clean(&engine, [&faulty, &sound], EVENTS).await;
    log::assert_said(name, &[log::FAILS, log::WORKS_AGAIN]).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_suspended_with_a_repeated_request_in_flight() {
    let name = "suspended_with_a_repeated_request";
    let (engine, faulty, sound) = virtual_engine(name);
    faulty.answer(again());
    faulty.never_answer();
    track(&engine, 0..EVENTS);
    let _ = engine.flush(Duration::ZERO).await;
    comes_true(|| faulty.requests() == 1 && engine.health().providers[0].failures == 1).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(faulty.requests(), 2);
    // the hours count against the budget of what had failed before, and are more than all of it
    suspend().await;
    let report = engine.flush(BOUND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    let mine = account(&report.ledger, name);
    assert_eq!(
        mine.dropped.get(DropReason::Expired),
        EVENTS as u64,
        "{report}"
    );
    assert_eq!(account(&report.ledger, "sound").delivered, EVENTS as u64);
    assert_eq!(sound.delivered_ids(), ids_of(0..EVENTS));
    log::assert_said(name, &[log::FAILS, log::EXPIRED]).await;
    // nothing else is lost
    engine
        .handle()
        .try_track(numbered(EVENTS))
        .expect("there is room");
    let report = engine.flush(BOUND).await;
    assert!(report.is_settled(), "{report}");
    assert_eq!(faulty.delivered_ids(), [id_of(EVENTS)]);
}
