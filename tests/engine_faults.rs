//! Where every event ends when a destination misbehaves, over real sockets; and that the destination
//! beside it does not notice.

mod engine_support;

use std::collections::BTreeSet;
use std::time::Duration;

use engine_support::faulty::{EVENTS, engine_called, engine_of, hasty, track};
use engine_support::{
    BOUND, account, assert_final, assert_holds, assert_holds_once, builder, collector, delivered,
    held, id_of, ids_of, in_time, log, millis, numbered, provider, until,
};
use productgraph::{
    Backoff, Completion, DropReason, HealthState, LaneState, RejectReason, TrackError,
};
use productgraph_collector::{Answer, Collector, Fault, RetryAfter, When};

/// A fault that strikes the first requests and then ends.
struct Passing {
    fault: Fault,
    strikes: usize,
    /// Whether the events are stored by requests that are struck.
    stored: bool,
    /// Whether a struck request fails at all.
    fails: bool,
    /// Whether it fails because the client is refused.
    holds: bool,
}

impl Passing {
    fn new(fault: impl Into<Fault>) -> Self {
        Self {
            fault: fault.into(),
            strikes: 2,
            stored: false,
            fails: true,
            holds: false,
        }
    }

    fn stored(self) -> Self {
        Self {
            stored: true,
            ..self
        }
    }

    fn harmless(self) -> Self {
        Self {
            fails: false,
            ..self
        }
    }

    fn held(self) -> Self {
        Self {
            holds: true,
            ..self
        }
    }

    fn once(self) -> Self {
        Self { strikes: 1, ..self }
    }

    /// One request is struck until the fault ends, then delivered; nothing is lost, and repeated is
    /// only what was stored without an answer.
    async fn run(self, name: &'static str) {
        log::listen();
        let (faulty, sound) = (collector(), collector());
        faulty.faults().push_times(self.strikes, self.fault);
        let holds = self.holds;
        let engine = engine_called(name, provider(&faulty, name), &sound);
        track(&engine, 0..EVENTS);
        let report = in_time(engine.flush(BOUND)).await;
        assert!(report.is_settled(), "{report}");
        assert!(report.ledger.is_clean(), "{report}");
        assert!(report.ledger.balances(), "{report}");

        let failed = if self.fails { self.strikes } else { 0 };
        let expected = failed as u64 + 1;
        in_time(faulty.wait_for_requests(expected)).await;
        let stats = faulty.stats();
        assert_eq!(stats.received, expected, "{stats:?}");
        let times = if self.stored { failed + 1 } else { 1 };
        assert_holds(&faulty, &ids_of(0..EVENTS), times);
        let bodies: BTreeSet<_> = faulty
            .requests()
            .into_iter()
            .filter_map(|request| request.body)
            .filter(|body| !body.is_empty())
            .collect();
        assert_eq!(bodies.len(), 1, "a retry differs from what it repeats");

        assert_holds_once(&sound, &ids_of(0..EVENTS));
        assert_eq!(sound.stats().received, 1);
        assert_eq!(engine.health().state, HealthState::Healthy);
        let said: &[&str] = match (self.fails, holds) {
            (false, _) => &[],
            (true, false) => &[log::FAILS, log::WORKS_AGAIN],
            (true, true) => &[log::HELD, log::WORKS_AGAIN],
        };
        log::assert_said(name, said).await;
        let report = in_time(engine.shutdown(BOUND)).await;
        assert_final(&report);
        assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    }
}

macro_rules! passing {
    ($($name:ident: $case:expr;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                $case.run(stringify!($name)).await;
            }
        )+
    };
}

passing! {
    status_500_passes: Passing::new(Fault::status(500));
    status_502_with_a_page_of_a_proxy_passes: Passing::new(Fault::html(502));
    status_503_passes: Passing::new(Fault::status(503));
    status_408_passes: Passing::new(Fault::status(408));
    status_429_passes: Passing::new(Fault::status(429));
    a_retry_after_that_makes_no_sense_passes: Passing::new(
        Answer::new(503).retry_after(RetryAfter::Verbatim("soon, or -1".to_owned())));
    a_retry_after_in_the_past_passes: Passing::new(
        Answer::new(503).retry_after(RetryAfter::Date { date_in: -3600 }));
    status_401_passes: Passing::new(Fault::status(401)).held();
    status_403_passes: Passing::new(Fault::status(403)).held();
    status_404_passes: Passing::new(Fault::html(404)).held();
    status_405_passes: Passing::new(Fault::status(405)).held();
    a_redirect_is_not_followed_and_passes: Passing::new(
        Fault::redirect(307, "http://127.0.0.1:1/v1/events")).held();
    a_reset_before_the_body_passes: Passing::new(Fault::reset_before_body());
    a_reset_after_the_body_passes: Passing::new(Fault::reset_after_body());
    a_reset_after_storing_repeats_the_events: Passing::new(Fault::store_then_reset()).stored();
    a_500_after_storing_repeats_the_events: Passing::new(Fault::store_then_500()).stored();
    silence_passes: Passing::new(Fault::never_answer()).once();
    silence_after_storing_repeats_the_events:
        Passing::new(Fault::store_then_never_answer()).stored().once();
    a_200_that_is_no_json_passes: Passing::new(Fault::rubbish());
    a_200_with_a_page_passes: Passing::new(Fault::html(200));
    a_204_passes: Passing::new(Fault::status(204));
    a_202_of_a_receipt_for_other_events_repeats_the_events: Passing::new(
        Answer::new(202).body(r#"{"accepted":7,"rejected":0}"#).after_storing()).stored();
    a_202_with_negative_counts_passes: Passing::new(
        Answer::new(202).body(r#"{"accepted":-20,"rejected":40}"#));
    a_huge_200_passes: Passing::new(Fault::Huge { status: 200, bytes: 50_000_000 });
    a_huge_500_passes: Passing::new(Fault::Huge { status: 500, bytes: 50_000_000 });
    an_answer_that_trickles_in_time_is_an_answer: Passing::new(
        Fault::Trickle { step: millis(2), step_bytes: 1 }).harmless();
    an_answer_that_trickles_too_slowly_repeats_the_events: Passing::new(
        Fault::Trickle { step: millis(100), step_bytes: 1 }).stored().once();
    status_999_passes: Passing::new(Fault::status(999));
}

#[tokio::test]
async fn a_destination_is_left_alone_for_as_long_as_it_asks() {
    let (faulty, sound) = (collector(), collector());
    faulty
        .faults()
        .push(Answer::new(429).retry_after(RetryAfter::Seconds(1)));
    let engine = builder()
        .batch_size(EVENTS)
        .provider_with(provider(&faulty, "faulty"), hasty())
        .provider(provider(&sound, "sound"))
        .spawn()
        .expect("it starts");
    let start = tokio::time::Instant::now();
    track(&engine, 0..EVENTS);
    in_time(faulty.wait_for_requests(1)).await;
    let last_error = || engine.health().providers.swap_remove(0).last_error;
    until(|| last_error().is_some()).await;
    assert_eq!(last_error().and_then(|cause| cause.status), Some(429));
    in_time(faulty.wait_for_events(EVENTS as u64)).await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(faulty.stats().received, 2);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_what_a_destination_asked_for() {
    let faulty = collector();
    faulty
        .faults()
        .push(Answer::new(503).retry_after(RetryAfter::Seconds(60)));
    let engine = builder()
        .batch_size(EVENTS)
        .provider_with(provider(&faulty, "faulty"), hasty())
        .spawn()
        .expect("it starts");
    track(&engine, 0..EVENTS);
    until(|| engine.health().state == HealthState::Degraded).await;
    let report = in_time(engine.shutdown(Duration::from_secs(10))).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert!(report.elapsed < Duration::from_secs(5), "{report}");
}

#[tokio::test]
async fn a_wait_that_begins_during_the_drain_does_not_outlast_it() {
    let faulty = collector();
    faulty
        .faults()
        .push(Answer::new(503).retry_after(RetryAfter::Seconds(60)));
    let gate = faulty.faults().hold();
    let engine = builder()
        .batch_size(EVENTS)
        .provider_with(provider(&faulty, "faulty"), hasty())
        .spawn()
        .expect("it starts");
    track(&engine, 0..EVENTS);
    in_time(faulty.wait_for_waiting(1)).await;
    let open = async {
        while !matches!(
            engine.handle().try_track(numbered(EVENTS)),
            Err(TrackError::Closed(_))
        ) {
            tokio::task::yield_now().await;
        }
        // the drain has skipped the waits that were running by the time a flush would be answered
        gate.release();
    };
    let (report, ()) = tokio::join!(engine.shutdown(Duration::from_secs(3)), open);
    assert_final(&report);
    assert_eq!(
        account(&report.ledger, "faulty").dropped.total(),
        0,
        "{report}"
    );
}

#[tokio::test]
async fn a_destination_that_is_down_gets_everything_once_it_is_up() {
    let (faulty, sound) = (collector(), collector());
    let down = faulty.faults().down();
    in_time(faulty.wait_until(|stats| !stats.listening)).await;
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    track(&engine, 0..EVENTS);
    let _ = in_time(engine.flush(millis(20))).await;
    delivered(&engine, "sound", EVENTS).await;
    until(|| engine.health().providers[0].failures > 0).await;
    let report = in_time(engine.flush(millis(20))).await;
    assert!(
        matches!(&report.completion, Completion::DeadlinePassed { unsettled } if unsettled == &["faulty"]),
        "{report}"
    );
    assert_holds_once(&sound, &ids_of(0..EVENTS));
    let health = engine.health();
    assert_eq!(health.state, HealthState::Degraded);
    assert_eq!(health.providers[1].state, LaneState::Healthy);
    let cause = health.providers[0].last_error.as_ref();
    assert_eq!(cause.map(|cause| cause.kind), Some("connect"));

    down.up();
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_holds_once(&faulty, &ids_of(0..EVENTS));
}

#[tokio::test]
async fn a_destination_that_goes_down_in_the_middle_gets_everything_in_the_end() {
    let (faulty, sound) = (collector(), collector());
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    for round in 0..4 {
        track(&engine, round * EVENTS..(round + 1) * EVENTS);
        let down = faulty.faults().down();
        let _ = in_time(engine.flush(millis(50))).await;
        down.up();
        assert!(in_time(engine.flush(BOUND)).await.is_settled());
    }
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    let expected: BTreeSet<_> = ids_of(0..4 * EVENTS).into_iter().collect();
    assert_eq!(held(&faulty).into_keys().collect::<BTreeSet<_>>(), expected);
    assert_holds_once(&sound, &ids_of(0..4 * EVENTS));
}

#[tokio::test]
async fn events_that_fail_for_longer_than_the_budget_are_dropped_as_expired() {
    let (faulty, sound) = (collector(), collector());
    faulty
        .faults()
        .set_standing(Fault::status(503), When::Always);
    let mut lane = hasty();
    lane.backoff = Backoff::new(millis(10), millis(20), millis(100)).expect("it works");
    let engine = builder()
        .provider_with(provider(&faulty, "faulty"), lane)
        .provider(provider(&sound, "sound"))
        .spawn()
        .expect("it starts");
    track(&engine, 0..EVENTS);
    let report = in_time(engine.flush(BOUND)).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    let account = account(&report.ledger, "faulty");
    assert_eq!(account.dropped.get(DropReason::Expired), EVENTS as u64);
    assert_eq!(account.dropped.total(), EVENTS as u64);
    assert_eq!(account.delivered, 0);
    assert_holds_once(&sound, &ids_of(0..EVENTS));

    // the lane itself goes on
    faulty.faults().clear();
    track(&engine, EVENTS..2 * EVENTS);
    assert!(in_time(engine.flush(BOUND)).await.is_settled());
    assert_holds_once(&faulty, &ids_of(EVENTS..2 * EVENTS));
}

#[tokio::test]
async fn a_wrong_key_holds_everything_and_says_so_and_only_the_deadline_gives_up() {
    let (faulty, sound) = (
        Collector::builder()
            .require_key("the right one")
            .start_blocking()
            .expect("a free port"),
        collector(),
    );
    let engine = engine_of(provider(&faulty, "faulty").api_key("the wrong one"), &sound);
    track(&engine, 0..EVENTS);
    let _ = in_time(engine.flush(millis(20))).await;
    delivered(&engine, "sound", EVENTS).await;
    until(|| engine.health().state == HealthState::Unhealthy).await;
    let report = in_time(engine.flush(millis(20))).await;
    assert!(!report.is_settled(), "{report}");
    assert_eq!(account(&report.ledger, "faulty").pending, EVENTS as u64);
    let health = engine.health();
    assert_eq!(health.state, HealthState::Unhealthy);
    assert_eq!(health.providers[0].state, LaneState::Held);
    assert_holds_once(&sound, &ids_of(0..EVENTS));

    let report = in_time(engine.shutdown(millis(100))).await;
    assert_final(&report);
    let account = account(&report.ledger, "faulty");
    assert_eq!(account.dropped.get(DropReason::Deadline), EVENTS as u64);
    assert_eq!(faulty.stats().accepted, 0);
}

#[tokio::test]
async fn the_right_key_gets_through() {
    let collector = Collector::builder()
        .require_key("pg_live_51a7")
        .start_blocking()
        .expect("a free port");
    let engine = builder()
        .provider(provider(&collector, "a").api_key("pg_live_51a7"))
        .spawn()
        .expect("it starts");
    track(&engine, 0..EVENTS);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
}

#[tokio::test]
async fn a_black_hole_changes_nothing_for_the_one_beside_it() {
    let (faulty, sound) = (collector(), collector());
    faulty
        .faults()
        .set_standing(Fault::never_answer(), When::Always);
    let engine = builder()
        .batch_size(10)
        .provider(provider(&faulty, "faulty"))
        .provider(provider(&sound, "sound"))
        .spawn()
        .expect("it starts");
    for round in 0..20 {
        track(&engine, round * 10..(round + 1) * 10);
        in_time(sound.wait_for_events((round as u64 + 1) * 10)).await;
    }
    delivered(&engine, "sound", 200).await;
    assert_holds_once(&sound, &ids_of(0..200));
    let lanes = engine.health().providers;
    assert_eq!((lanes[1].failures, lanes[1].pending), (0, 0));
    let report = in_time(engine.shutdown(millis(100))).await;
    assert_final(&report);
    assert_eq!(account(&report.ledger, "sound").delivered, 200);
    assert_eq!(
        account(&report.ledger, "faulty")
            .dropped
            .get(DropReason::Deadline),
        200
    );
    assert_eq!(faulty.stats().accepted, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_of_every_fault_nothing_is_lost_and_the_sums_are_right() {
    const TASKS: usize = 4;
    const EACH: usize = 300;
    let (stormy, sound) = (collector(), collector());
    let storm = [
        Fault::status(503),
        Fault::store_then_reset(),
        Fault::reset_before_body(),
        Fault::store_then_500(),
        Fault::rubbish(),
        Fault::status(401),
        Fault::html(502),
        Fault::reset_after_body(),
    ];
    let mut plan = productgraph_collector::FaultPlan::new();
    for (seed, fault) in (1..).zip(storm) {
        plan = plan.standing(fault, When::Probability { p: 0.1, seed });
    }
    stormy.faults().set(plan);
    for n in [17, 418, 999] {
        stormy.faults().poison(id_of(n));
    }
    let engine = builder()
        .batch_size(16)
        .batch_interval(millis(5))
        .provider_with(provider(&stormy, "stormy").max_batch_events(25), {
            let mut lane = hasty();
            lane.concurrency = 3;
            lane
        })
        .provider(provider(&sound, "sound"))
        .spawn()
        .expect("it starts");
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let handle = engine.handle();
            tokio::spawn(async move {
                for n in task * EACH..(task + 1) * EACH {
                    handle.track(numbered(n));
                    if n % 50 == 0 {
                        let report = handle.flush().await;
                        assert!(report.ledger.balances(), "{report}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        in_time(task).await.expect("it does not panic");
    }
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    assert!(report.is_settled(), "{report}");
    let account = account(&report.ledger, "stormy");
    assert_eq!(account.rejected.get(RejectReason::Poison), 3, "{report}");
    assert_eq!(account.delivered, (TASKS * EACH) as u64 - 3, "{report}");
    let good: BTreeSet<_> = (0..TASKS * EACH)
        .filter(|n| ![17, 418, 999].contains(n))
        .map(id_of)
        .collect();
    assert_eq!(held(&stormy).into_keys().collect::<BTreeSet<_>>(), good);
    assert_holds_once(&sound, &ids_of(0..TASKS * EACH));
    assert_eq!(engine.stats().bytes_held, 0);
}
