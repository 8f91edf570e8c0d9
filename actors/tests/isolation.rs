//! A sick provider changes nothing for a healthy one. The clock is virtual, so nothing means nothing.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is virtual: a sleep is a step of the schedule"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::expect_panics;
use productgraph_actors::testing::{Script, Step};
use productgraph_actors::{BatchLimits, DropReason, LaneOptions, Pipeline, RejectReason, Report};
use tokio::runtime::Handle;
use tokio::time::Instant;

const EVENTS: u64 = 3000;
const WEIGHT: usize = 8;
/// What a lane may hold here; far less than what is sent.
const SHARE: usize = 100 * WEIGHT;

/// Which events arrived in which request, and when.
type Arrivals = Vec<(Duration, Vec<u64>)>;

fn lane() -> LaneOptions {
    let mut options = LaneOptions::default();
    options.max_bytes = Some(SHARE);
    options
}

/// Sends a little every 20 ms for a minute to a provider that needs 30 ms a request, beside others.
async fn beside(others: &[Script<u64>]) -> (Arrivals, Report, Vec<usize>) {
    let start = Instant::now();
    let arrivals = Arc::new(Mutex::new(Arrivals::new()));
    let log = Arc::clone(&arrivals);
    let healthy = Script::new("healthy", move |events: &[u64], _| {
        log.lock().unwrap().push((start.elapsed(), events.to_vec()));
        Step::After(Duration::from_millis(30), Box::new(Step::Deliver))
    });
    let mut builder = Pipeline::builder(|_| WEIGHT)
        .batch(BatchLimits::new(7, Duration::from_millis(300)))
        .runtime(Handle::current())
        .boxed_provider(Box::new(healthy.provider()), lane());
    for other in others {
        builder = builder.boxed_provider(Box::new(other.provider()), lane());
    }
    let pipeline = builder.spawn().expect("spawns");
    let sender = pipeline.sender();
    let mut held = Vec::new();
    for n in 0..EVENTS {
        sender
            .try_send(n)
            .expect("there is room for the healthy one, so there is room");
        if n % 17 == 0 {
            tokio::time::sleep(Duration::from_millis(20 * 17)).await;
            held.push(pipeline.lanes()[0].pending_bytes);
        }
    }
    let report = pipeline.shutdown(Duration::from_secs(5)).await;
    drop(pipeline);
    let arrivals = std::mem::take(&mut *arrivals.lock().unwrap());
    (arrivals, report, held)
}

#[tokio::test(start_paused = true)]
async fn black_holed_panicking_and_failing_neighbours_change_nothing() {
    expect_panics();
    let sick = [
        Script::new("black-hole", |_: &[u64], _| Step::Hang),
        Script::new("panicking", |_: &[u64], _| Step::Panic),
        Script::new("failing", |_: &[u64], _| Step::Fail(None)),
        Script::new("refusing", |_: &[u64], _| Step::Refuse),
        Script::new("held", |_: &[u64], _| Step::Unauthorized),
    ];
    let (alone, report, held_alone) = beside(&[]).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    let (beside_sick, report, held_beside) = beside(&sick).await;
    assert_eq!(alone, beside_sick, "same requests at the same times");
    assert_eq!(held_alone, held_beside, "same bytes at the same times");
    let delivered: Vec<u64> = alone.into_iter().flat_map(|(_, events)| events).collect();
    assert_eq!(delivered, (0..EVENTS).collect::<Vec<_>>());

    assert!(report.ledger.balances(), "{report}");
    let healthy = &report.ledger.providers[0];
    assert_eq!(
        (healthy.delivered, healthy.dropped.total()),
        (EVENTS, 0),
        "{report}"
    );
    for sick in &report.ledger.providers[1..] {
        assert_eq!((sick.delivered, sick.pending), (0, 0), "{report}");
        let poison = sick.rejected.get(RejectReason::Poison);
        let overflow = sick.dropped.get(DropReason::Overflow);
        assert!(
            overflow > 0 || poison == EVENTS,
            "they pay themselves: {report}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_holds_its_whole_share_leaves_ours_untouched() {
    // a third of seven eighths of this is the share of each
    let ceiling = 24_000 * WEIGHT;
    let ours: u64 = 6_900;
    let healthy = Script::new("healthy", |_: &[u64], n| {
        if n == 0 {
            Step::After(Duration::from_secs(3600), Box::new(Step::Deliver))
        } else {
            Step::Deliver
        }
    });
    let mut patient = LaneOptions::default();
    patient.attempt_timeout = Duration::from_secs(7200);
    let black_hole = || Script::new("black-hole", |_: &[u64], _| Step::Hang);
    let other = Script::new("other", |_: &[u64], _| Step::Hang);
    let pipeline = Pipeline::builder(|_| WEIGHT)
        .max_bytes(ceiling)
        .runtime(Handle::current())
        .boxed_provider(Box::new(healthy.provider()), patient)
        .boxed_provider(Box::new(black_hole().provider()), patient)
        .boxed_provider(Box::new(other.provider()), patient)
        .spawn()
        .expect("spawns");
    let sender = pipeline.sender();
    for n in 0..ours {
        sender.try_send(n).expect("room");
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let lanes = pipeline.lanes();
    assert_eq!(lanes[0].pending, ours, "{lanes:?}");
    assert_eq!(pipeline.ledger().providers[0].dropped.total(), 0);
    let report = pipeline.shutdown(Duration::from_secs(7000)).await;
    assert_eq!(report.ledger.providers[0].delivered, ours, "{report}");
}
