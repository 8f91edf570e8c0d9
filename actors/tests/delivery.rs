//! The delivery engine from the outside, under a paused clock.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is virtual: a sleep is a step of the schedule"
)]

use std::time::Duration;

use productgraph_actors::testing::{Script, Step, Victim};
use productgraph_actors::{
    BatchLimits, Completion, DropReason, LaneOptions, Limits, Overflow, Pipeline, PipelineBuilder,
    RefuseReason, RejectReason,
};

const SECOND: Duration = Duration::from_secs(1);

fn builder() -> PipelineBuilder<u64> {
    Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(10, 5 * SECOND))
        .runtime(tokio::runtime::Handle::current())
}

fn send_all(pipeline: &Pipeline<u64>, events: std::ops::Range<u64>) {
    let sender = pipeline.sender();
    for n in events {
        sender.try_send(n).expect("there is room");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_delivered_in_order_and_the_ledger_balances() {
    let script = Script::delivering("sink");
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..1234);
    let report = pipeline.shutdown(10 * SECOND).await;
    assert!(report.is_settled(), "{report}");
    assert_eq!(report.ledger.accepted, 1234);
    assert!(report.ledger.balances() && report.ledger.is_clean());
    assert_eq!(script.delivered(), (0..1234).collect::<Vec<_>>());
    assert_eq!(pipeline.bytes_held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_when_its_oldest_event_is_old_enough() {
    let script = Script::delivering("sink");
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..3);
    tokio::time::sleep(Duration::from_millis(4900)).await;
    assert_eq!(script.requests(), 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(script.delivered(), [0, 1, 2]);
    drop(pipeline);
}

#[tokio::test(start_paused = true)]
async fn a_flush_settles_what_was_accepted_before_it() {
    let script = Script::delivering("sink");
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..7);
    let report = pipeline.flush(SECOND).await;
    assert!(report.is_settled(), "{report}");
    assert_eq!(script.delivered().len(), 7);
    assert_eq!(report.elapsed, Duration::ZERO);
    drop(pipeline);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_provider_costs_the_others_nothing_and_the_deadline_holds() {
    let healthy = Script::delivering("healthy");
    let hanging = Script::new("hanging", |_, _| Step::Hang);
    let panicking = Script::new("panicking", |_, _| Step::Panic);
    let pipeline = builder()
        .provider(hanging.provider())
        .provider(healthy.provider())
        .provider(panicking.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..500);
    let start = tokio::time::Instant::now();
    let report = pipeline.shutdown(3 * SECOND).await;
    assert!(start.elapsed() <= 3 * SECOND + Duration::from_millis(50));
    assert!(report.ledger.balances(), "{report}");
    let Completion::DeadlinePassed { unsettled } = &report.completion else {
        panic!("{report}");
    };
    assert_eq!(unsettled, &["hanging", "panicking"]);
    assert_eq!(
        report.ledger.providers[0].dropped.get(DropReason::Deadline),
        500
    );
    assert_eq!(report.ledger.providers[1].delivered, 500);
    assert_eq!(report.ledger.providers[2].delivered, 0);
    assert_eq!(report.ledger.providers[2].pending, 0);
}

#[tokio::test(start_paused = true)]
async fn one_poison_event_among_many_is_isolated_and_the_rest_delivered_once() {
    let poison = |events: &[u64], _| {
        if events.contains(&333) {
            Step::Refuse
        } else {
            Step::Deliver
        }
    };
    let script = Script::new("sink", poison);
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..1000);
    let report = pipeline.shutdown(60 * SECOND).await;
    let sink = &report.ledger.providers[0];
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(
        (sink.delivered, sink.rejected.get(RejectReason::Poison)),
        (999, 1)
    );
    let mut delivered = script.delivered();
    assert!(delivered.is_sorted());
    delivered.dedup();
    assert_eq!(delivered.len(), 999);
}

#[tokio::test(start_paused = true)]
async fn a_crashed_actor_loses_nothing() {
    let script = Script::new("sink", |_, _| {
        Step::After(Duration::from_millis(20), Box::new(Step::Deliver))
    });
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    for round in 0..30u64 {
        send_all(&pipeline, round * 100..round * 100 + 100);
        let victim = match round % 3 {
            0 => Victim::Buffer,
            1 => Victim::FanOut,
            _ => Victim::Flusher(0),
        };
        pipeline.crash(victim);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let report = pipeline.shutdown(600 * SECOND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    let mut delivered = script.delivered();
    delivered.sort_unstable();
    delivered.dedup();
    assert_eq!(delivered.len(), 3000);
    assert!(pipeline.restarts() >= 20, "{}", pipeline.restarts());
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_drops_its_oldest_and_the_newest_arrive() {
    let script = Script::new("sink", |_: &[u64], n| {
        if n == 0 {
            Step::Fail(Some(30 * SECOND))
        } else {
            Step::Deliver
        }
    });
    let mut options = LaneOptions::default();
    options.max_bytes = Some(8 * 100);
    options.overflow = Overflow::DropOldest;
    let pipeline = builder()
        .boxed_provider(Box::new(script.provider()), options)
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..10);
    tokio::time::sleep(SECOND).await;
    send_all(&pipeline, 10..1000);
    tokio::time::sleep(SECOND).await;
    let report = pipeline.shutdown(60 * SECOND).await;
    let sink = &report.ledger.providers[0];
    assert!(report.ledger.balances(), "{report}");
    assert_eq!(
        sink.delivered + sink.dropped.get(DropReason::Overflow),
        1000
    );
    assert!(script.delivered().ends_with(&[998, 999]), "{report}");
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_events_are_refused_and_counted_and_the_report_stays() {
    let script = Script::delivering("sink");
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    let sender = pipeline.sender();
    let first = pipeline.shutdown(SECOND).await;
    let refused = sender.try_send(1).expect_err("closed");
    assert_eq!((refused.event, refused.reason), (1, RefuseReason::Closed));
    assert_eq!(pipeline.shutdown(SECOND).await, first);
    assert_eq!(pipeline.ledger().refused.get(RefuseReason::Closed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_called_everything_too_large_gets_large_events_again_once_it_takes_them()
{
    let plan = |_: &[u64], request| {
        if request < 11 {
            Step::TooLarge
        } else {
            Step::Deliver
        }
    };
    let script = Script::limited("sink", Limits::new(1000, 1 << 20), 2048, plan);
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..10);
    let report = pipeline.flush(60 * SECOND).await;
    assert_eq!(
        report.ledger.providers[0]
            .rejected
            .get(RejectReason::TooLarge),
        8,
        "{report}"
    );
    send_all(&pipeline, 10..500);
    let report = pipeline.shutdown(60 * SECOND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(report.ledger.providers[0].rejected.total(), 8, "{report}");
    assert_eq!(report.ledger.providers[0].delivered, 492, "{report}");
    assert!(
        script.request_sizes().last() > Some(&1),
        "learned the size again"
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_one_body_is_sent_beside_it_when_concurrency_allows() {
    let limits = Limits::new(1000, 100 * 8);
    let script = Script::limited("sink", limits, 8, |_: &[u64], _| {
        Step::After(SECOND, Box::new(Step::Deliver))
    });
    let mut options = LaneOptions::default();
    options.concurrency = 4;
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(400, SECOND))
        .runtime(tokio::runtime::Handle::current())
        .boxed_provider(Box::new(script.provider()), options)
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..400);
    let report = pipeline.flush(60 * SECOND).await;
    assert!(report.is_settled(), "{report}");
    assert_eq!(script.request_sizes(), [100; 4]);
    assert_eq!(report.elapsed, SECOND, "all four at once");
}
