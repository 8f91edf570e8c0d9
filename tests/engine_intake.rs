//! What the engine takes in, refuses, and answers for: tracking, waiting for room, flushing.

mod engine_support;

use std::time::Duration;

use engine_support::{
    BOUND, account, assert_final, assert_holds_once, builder, collector, current_thread, delivered,
    held, id_of, ids_of, in_time, millis, numbered, provider,
};
use productgraph::{Completion, Engine, Event, RefuseReason, TrackError};

#[tokio::test]
async fn what_is_refused_is_given_back_with_the_reason_and_counted() {
    let collector = collector();
    let engine = builder()
        .queue_capacity(64)
        .max_buffered_bytes(16 << 10)
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    let gate = collector.faults().hold();

    let huge = numbered(0).with("text", "x".repeat(20_000));
    let error = handle.try_track(huge).expect_err("it can never fit");
    assert!(matches!(error, TrackError::TooLarge(_)), "{error:?}");
    assert_eq!(
        error.into_event().id().map(ToString::to_string),
        Some(id_of(0))
    );
    // this thread never yields, and the engine's lane gives old events up for new ones: whoever is
    // faster than the engine fills it
    let mut accepted = Vec::new();
    let full = (1..100_000).find_map(|n| match handle.try_track(numbered(n)) {
        Ok(()) => {
            accepted.push(id_of(n));
            None
        }
        Err(error) => Some((n, error)),
    });
    let (n, error) = full.expect("a full engine");
    assert!(matches!(error, TrackError::Full(_)), "{error:?}");
    let back = error.into_event();
    assert_eq!(back.id().map(ToString::to_string), Some(id_of(n)));
    assert!(back.timestamp().is_some(), "stamped");

    gate.release();
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(matches!(
        handle.try_track(numbered(n)),
        Err(TrackError::Closed(_))
    ));
    handle.track(numbered(n));
    let ledger = engine.ledger();
    assert_eq!(ledger.refused.get(RefuseReason::TooLarge), 1);
    assert_eq!(ledger.refused.get(RefuseReason::Full), 1);
    assert_eq!(ledger.refused.get(RefuseReason::Closed), 2);
    assert_eq!(ledger.refused.total(), 4);
    assert_final(&report);
    assert_eq!(report.ledger.accepted, accepted.len() as u64);
    let delivered = account(&report.ledger, "a").delivered;
    assert_eq!(delivered, collector.stats().accepted);
    assert!(
        held(&collector)
            .iter()
            .all(|(id, times)| *times == 1 && accepted.contains(id))
    );
}

#[test]
fn a_disabled_engine_gives_events_back_and_counts_nothing() {
    let engine = Engine::builder().spawn().expect("it starts");
    let handle = engine.handle();
    handle.track(numbered(0));
    assert!(matches!(
        handle.try_track(numbered(1)),
        Err(TrackError::Disabled(_))
    ));
    let waited = current_thread().block_on(handle.track_wait(numbered(2)));
    assert!(matches!(waited, Err(TrackError::Disabled(_))));
    assert_eq!(engine.ledger(), productgraph::Ledger::default());
    assert!(current_thread().block_on(handle.flush()).is_settled());
    assert!(engine.shutdown_blocking(Duration::ZERO).is_settled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_room_loses_nothing_however_little_room_there_is() {
    const TASKS: usize = 4;
    const EACH: usize = 250;
    let (slow, fast) = (collector(), collector());
    slow.faults().set_latency(millis(2));
    let engine = builder()
        .batch_size(50)
        .max_buffered_bytes(8 << 10)
        .queue_capacity(8)
        .shared_budget(true)
        .provider(provider(&slow, "slow"))
        .provider(provider(&fast, "fast"))
        .spawn()
        .expect("it starts");
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let handle = engine.handle();
            tokio::spawn(async move {
                for n in task * EACH..(task + 1) * EACH {
                    handle.track_wait(numbered(n)).await.expect("room, in time");
                }
            })
        })
        .collect();
    for task in tasks {
        in_time(task).await.expect("it does not panic");
    }
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_holds_once(&slow, &ids_of(0..TASKS * EACH));
    assert_holds_once(&fast, &ids_of(0..TASKS * EACH));
}

#[tokio::test]
async fn a_closed_engine_ends_the_wait_for_room() {
    let collector = collector();
    let engine = builder()
        .max_buffered_bytes(4 << 10)
        .shared_budget(true)
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    let _gate = collector.faults().hold();
    let fill = async {
        loop {
            if let Err(error) = handle.track_wait(Event::custom("filler")).await {
                return error;
            }
        }
    };
    let close = async {
        in_time(collector.wait_for_waiting(1)).await;
        in_time(engine.shutdown(millis(50))).await
    };
    let (error, report) = tokio::join!(in_time(fill), close);
    assert!(matches!(error, TrackError::Closed(_)), "{error:?}");
    assert_final(&report);
}

#[tokio::test]
async fn a_flush_says_which_provider_is_late_and_delivers_to_the_others() {
    let (late, prompt) = (collector(), collector());
    let engine = builder()
        .batch_size(10)
        .provider(provider(&late, "late"))
        .provider(provider(&prompt, "prompt"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    let gate = late.faults().hold();
    for n in 0..10 {
        handle.track(numbered(n));
    }
    delivered(&engine, "prompt", 10).await;
    let report = in_time(engine.flush(millis(100))).await;
    let Completion::DeadlinePassed { unsettled } = &report.completion else {
        panic!("{report}");
    };
    assert_eq!(unsettled, &["late"]);
    assert!(report.ledger.balances(), "{report}");
    assert_eq!(account(&report.ledger, "late").pending, 10);
    assert_eq!(account(&report.ledger, "prompt").delivered, 10);
    assert_holds_once(&prompt, &ids_of(0..10));

    gate.release();
    let report = in_time(handle.flush()).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_holds_once(&late, &ids_of(0..10));
}

#[tokio::test]
async fn a_flush_waits_for_what_came_before_it_and_not_for_what_comes_after() {
    let collector = collector();
    let engine = builder()
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    handle.track(numbered(0));
    assert!(in_time(handle.flush()).await.is_settled());
    let gate = collector.faults().hold();
    for n in 1..5 {
        handle.track(numbered(n));
    }
    let mut flush = Box::pin(handle.flush());
    tokio::select! {
        report = &mut flush => panic!("held, yet {report}"),
        () = in_time(collector.wait_for_waiting(1)) => {}
    }
    // one that waits for the next batch must not keep the flush
    handle.track(numbered(5));
    gate.release();
    let report = in_time(flush).await;
    assert!(report.is_settled(), "{report}");
    assert!(account(&report.ledger, "a").delivered >= 5, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn flushes_from_everywhere_at_once_all_end_and_lose_nothing() {
    let collector = collector();
    let engine = builder()
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let handle = engine.handle();
            tokio::spawn(async move {
                for n in 0..10 {
                    handle.track(numbered(task * 10 + n));
                    let report = handle.flush().await;
                    assert!(report.is_settled() && report.ledger.balances(), "{report}");
                }
            })
        })
        .collect();
    for task in tasks {
        in_time(task).await.expect("it does not panic");
    }
    assert_holds_once(&collector, &ids_of(0..160));
}
