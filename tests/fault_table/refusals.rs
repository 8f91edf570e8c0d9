//! Destinations that will not have this client, or not now.

use std::time::Duration;

use productgraph::{Backoff, DropReason, LaneState};
use productgraph_collector::{Answer, Fault, RetryAfter, When};
use tokio::time::Instant;

use crate::engine_support::faulty::{EVENTS, hasty};
use crate::engine_support::{collector, in_time, log, millis, provider};
use crate::stage::{Losses, Stage, Times, cases, failed, hold, outage};

cases! {
    a_401_until_the_key_is_right: hold(Fault::status(401), "status");
    a_402_of_a_used_up_quota: hold(Fault::status(402), "status");
    a_403_until_the_key_is_right: hold(Fault::html(403), "status");
    a_404_until_the_address_is_right: hold(Fault::html(404), "status");
    a_410: hold(Fault::status(410), "status");
    a_408: outage(Fault::status(408), "status");
    a_429_without_a_word_on_when: outage(Fault::status(429), "status");
}

#[tokio::test]
async fn a_refused_client_outlasts_the_retry_budget() {
    let name = "a_refused_client_outlasts_the_retry_budget";
    let store = collector();
    let mut lane = hasty();
    lane.backoff = Backoff::new(millis(1), millis(5), millis(20)).expect("it works");
    let faulty = provider(&store, name);
    let mut stage = Stage::of(name, faulty, store, lane, |builder| builder);
    // what failed before it was refused does not count against the budget afterwards
    stage.store.faults().push(Fault::status(503));
    let refusal = Fault::status(401);
    stage.store.faults().set_standing(refusal, When::Always);
    stage.gets_into_trouble("status", LaneState::Held).await;
    let start = Instant::now();
    // far more probes than the budget would pay for
    failed(&stage, 10).await;
    in_time(tokio::time::sleep_until(start + millis(60))).await;
    stage.store.faults().push(Fault::status(503));
    stage.store.faults().clear_standing();
    let said = [log::FAILS, log::HELD, log::WORKS_AGAIN];
    stage.recovers(Times::Once, &said).await;
}

#[tokio::test]
async fn a_failing_destination_does_not_outlast_the_retry_budget() {
    let name = "a_failing_destination_does_not_outlast_the_retry_budget";
    let store = collector();
    let mut lane = hasty();
    lane.backoff = Backoff::new(millis(5), millis(20), millis(100)).expect("it works");
    let faulty = provider(&store, name);
    let mut stage = Stage::of(name, faulty, store, lane, |builder| builder);
    let failure = Fault::status(503);
    stage.store.faults().set_standing(failure, When::Always);
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    failed(&stage, 2).await;
    let report = in_time(stage.engine.flush(crate::engine_support::BOUND)).await;
    assert!(report.is_settled(), "{report}");
    let losses = Losses {
        dropped: &[(DropReason::Expired, EVENTS as u64)],
        ..Losses::default()
    };
    stage.check(&report, &[], &losses);
    log::assert_said(name, &[log::FAILS, log::EXPIRED]).await;
    let lost = log::fields_of(name).pop().expect("a line");
    assert!(lost.contains("events=20"), "{lost}");
    assert!(lost.contains("status 503"), "{lost}");
}

/// The fields of each line that tells of the breaker: what `log::said_of` takes for a part of the outage.
fn openings(name: &str) -> Vec<String> {
    let mut lines = log::fields_of(name);
    lines.retain(|line| line.contains("failed_attempts=") && line.contains("next_attempt_in="));
    lines
}

#[tokio::test]
async fn five_failures_in_a_row_are_told_of_once_however_many_follow() {
    let name = "five_failures_in_a_row_are_told_of_once_however_many_follow";
    let mut stage = Stage::direct(name);
    let failure = Fault::status(503);
    stage.store.faults().set_standing(failure, When::Always);
    stage.gets_into_trouble("status", LaneState::Retrying).await;
    // a line of the flusher comes before its next attempt begins
    failed(&stage, 12).await;
    let opened = openings(name);
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert!(opened[0].contains("failed_attempts=5"), "{opened:?}");
    assert!(opened[0].contains("status 503"), "{opened:?}");
    stage.store.faults().clear();
    let said = [log::FAILS, log::WORKS_AGAIN];
    stage.recovers(Times::Once, &said).await;
    assert_eq!(openings(name), opened);
    assert_eq!(log::fields_of(name).len(), 3);
}

/// How long a destination is left alone that asks for it with its first answer.
async fn asked_to_wait(name: &'static str, retry_after: RetryAfter) -> Duration {
    let store = collector();
    let mut lane = hasty();
    lane.backoff = lane.backoff.with_retry_after_cap(millis(1500));
    let faulty = provider(&store, name);
    let mut stage = Stage::of(name, faulty, store, lane, |builder| builder);
    let answer = Answer::new(429).retry_after(retry_after);
    stage.store.faults().push(answer);
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    in_time(stage.store.wait_for_requests(1)).await;
    let start = Instant::now();
    in_time(stage.store.wait_for_events(EVENTS as u64)).await;
    let waited = start.elapsed();
    let said = [log::FAILS, log::WORKS_AGAIN];
    stage.recovers(Times::Once, &said).await;
    waited
}

const MOMENT: Duration = millis(700);

#[tokio::test]
async fn a_429_with_seconds() {
    let waited = asked_to_wait("a_429_with_seconds", RetryAfter::Seconds(1)).await;
    assert!(waited > MOMENT, "{waited:?}");
}

#[tokio::test]
async fn a_429_with_a_date() {
    // whole seconds, so between one and two
    let date = RetryAfter::Date { date_in: 2 };
    let waited = asked_to_wait("a_429_with_a_date", date).await;
    assert!(waited > MOMENT, "{waited:?}");
}

#[tokio::test]
async fn a_429_with_a_date_in_the_past() {
    let date = RetryAfter::Date { date_in: -86_400 };
    let _soon = asked_to_wait("a_429_with_a_date_in_the_past", date).await;
}

#[tokio::test]
async fn a_429_with_rubbish() {
    let words = RetryAfter::Verbatim("in a while".to_owned());
    let _soon = asked_to_wait("a_429_with_rubbish", words).await;
}

#[tokio::test]
async fn a_429_with_a_year() {
    let year = RetryAfter::Seconds(31_536_000);
    let waited = asked_to_wait("a_429_with_a_year", year).await;
    assert!(waited > MOMENT, "{waited:?}");
}

#[tokio::test]
async fn a_503_with_a_date_a_year_away() {
    let year = RetryAfter::Date {
        date_in: 31_536_000,
    };
    let waited = asked_to_wait("a_503_with_a_date_a_year_away", year).await;
    assert!(waited > MOMENT, "{waited:?}");
}
