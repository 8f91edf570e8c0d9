//! The end: on every kind of runtime, with every kind of destination, by call and by drop.

mod engine_support;

use std::collections::BTreeSet;
use std::time::Duration;

use engine_support::endings::{Destination, EVENTS, Flavour, SLACK, track_all};
use engine_support::{
    BOUND, account, assert_final, assert_holds_once, builder, collector, current_thread, held,
    ids_of, in_time, millis, numbered, provider,
};
use productgraph::{Completion, DropReason, TrackError};
use tokio::time::Instant;

fn end_by_call(flavour: Flavour, destination: Destination) {
    let collector = collector();
    destination.prepare(&collector);
    let endpoint = collector.endpoint();
    let deadline = destination.deadline();
    let start = Instant::now();
    let report = match flavour {
        Flavour::NoRuntime => {
            let engine = destination.engine(&endpoint);
            track_all(&engine.handle());
            engine.shutdown_blocking(deadline)
        }
        _ => flavour.run(move || async move {
            let engine = destination.engine(&endpoint);
            track_all(&engine.handle());
            let report = engine.shutdown(deadline).await;
            // whoever asks again gets the same
            assert_eq!(engine.shutdown(Duration::ZERO).await, report);
            report
        }),
    };
    destination.check(&report, start.elapsed(), &collector);
}

fn end_by_drop(flavour: Flavour, destination: Destination) {
    let collector = collector();
    destination.prepare(&collector);
    let endpoint = collector.endpoint();
    let start = Instant::now();
    let drop_it = move || {
        let engine = destination.engine(&endpoint);
        let handle = engine.handle();
        track_all(&handle);
        drop(engine);
        handle
    };
    let handle = match flavour {
        Flavour::NoRuntime => drop_it(),
        _ => flavour.run(move || async move { drop_it() }),
    };
    assert!(
        start.elapsed() <= SLACK,
        "{destination:?}: {:?}",
        start.elapsed()
    );
    assert!(matches!(
        handle.try_track(numbered(EVENTS)),
        Err(TrackError::Closed(_))
    ));
    handle.track(numbered(EVENTS));
    let flushed = current_thread().block_on(in_time(handle.flush()));
    assert_eq!(flushed.completion, Completion::Abandoned);
    let tracked: BTreeSet<_> = ids_of(0..EVENTS).into_iter().collect();
    assert!(held(&collector).keys().all(|id| tracked.contains(id)));
}

macro_rules! for_each_flavour {
    ($($end:ident: $current:ident, $one:ident, $four:ident, $none:ident;)+) => {
        $(
            for_each_flavour!(@ $end $current CurrentThread);
            for_each_flavour!(@ $end $one OneWorker);
            for_each_flavour!(@ $end $four FourWorkers);
            for_each_flavour!(@ $end $none NoRuntime);
        )+
    };
    (@ $end:ident $name:ident $flavour:ident) => {
        #[test]
        fn $name() {
            for destination in Destination::ALL {
                $end(Flavour::$flavour, destination);
            }
        }
    };
}

for_each_flavour! {
    end_by_call:
        a_call_ends_it_on_a_current_thread_runtime,
        a_call_ends_it_on_one_worker,
        a_call_ends_it_on_four_workers,
        a_call_ends_it_without_a_runtime;
    end_by_drop:
        a_drop_ends_it_on_a_current_thread_runtime,
        a_drop_ends_it_on_one_worker,
        a_drop_ends_it_on_four_workers,
        a_drop_ends_it_without_a_runtime;
}

#[test]
fn a_call_from_inside_a_future_on_the_only_worker_may_block() {
    for flavour in [Flavour::CurrentThread, Flavour::OneWorker] {
        let collector = collector();
        let endpoint = collector.endpoint();
        let report = flavour.run(move || async move {
            let engine = Destination::Healthy.engine(&endpoint);
            track_all(&engine.handle());
            // ill-mannered, but no reason to hang: nothing of the engine runs here
            engine.shutdown_blocking(BOUND)
        });
        assert!(report.is_settled(), "{report}");
        assert_holds_once(&collector, &ids_of(0..EVENTS));
    }
}

#[test]
fn an_engine_outlives_the_runtime_it_was_started_on() {
    let collector = collector();
    let runtime = current_thread();
    let engine = runtime.block_on(async { Destination::Healthy.engine(&collector.endpoint()) });
    track_all(&engine.handle());
    drop(runtime);
    let report = engine.shutdown_blocking(BOUND);
    assert!(report.is_settled(), "{report}");
    assert_holds_once(&collector, &ids_of(0..EVENTS));
}

#[test]
fn an_attached_runtime_that_goes_away_ends_the_engine_with_a_report() {
    let collector = collector();
    let gate = collector.faults().hold();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let engine = builder()
        .batch_size(10)
        .runtime(runtime.handle().clone())
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    track_all(&engine.handle());
    current_thread().block_on(in_time(collector.wait_for_waiting(1)));
    drop(runtime);
    let report = engine.shutdown_blocking(millis(500));
    assert_final(&report);
    assert!(!report.is_settled(), "{report}");
    assert_eq!(account(&report.ledger, "a").dropped.total(), EVENTS as u64);
    assert!(matches!(
        engine.handle().try_track(numbered(EVENTS)),
        Err(TrackError::Closed(_))
    ));
    drop(gate);
}

#[tokio::test]
async fn two_engines_in_one_process_know_nothing_of_each_other() {
    let (left, right) = (collector(), collector());
    let one = builder()
        .provider(provider(&left, "a"))
        .spawn()
        .expect("it starts");
    let other = builder()
        .provider(provider(&right, "a"))
        .spawn()
        .expect("it starts");
    track_all(&one.handle());
    other.handle().track(numbered(EVENTS));
    let report = in_time(one.shutdown(BOUND)).await;
    assert!(report.ledger.is_clean(), "{report}");
    other.handle().track(numbered(EVENTS + 1));
    let report = in_time(other.shutdown(BOUND)).await;
    assert!(report.ledger.is_clean(), "{report}");
    assert_holds_once(&left, &ids_of(0..EVENTS));
    assert_holds_once(&right, &ids_of(EVENTS..EVENTS + 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_of_shutdown_gets_the_same_report() {
    let collector = collector();
    let gate = collector.faults().hold();
    let engine = std::sync::Arc::new(Destination::Healthy.engine(&collector.endpoint()));
    track_all(&engine.handle());
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let engine = std::sync::Arc::clone(&engine);
            tokio::spawn(async move { engine.shutdown(BOUND).await })
        })
        .collect();
    in_time(collector.wait_for_waiting(1)).await;
    gate.release();
    let mut reports = Vec::new();
    for caller in callers {
        reports.push(in_time(caller).await.expect("it does not panic"));
    }
    assert!(reports[0].is_settled(), "{}", reports[0]);
    assert!(reports.iter().all(|report| *report == reports[0]));
    assert_holds_once(&collector, &ids_of(0..EVENTS));
}

#[tokio::test]
async fn a_shutdown_that_nobody_waits_for_any_more_goes_on() {
    let collector = collector();
    let gate = collector.faults().hold();
    let engine = Destination::Healthy.engine(&collector.endpoint());
    track_all(&engine.handle());
    {
        let shutdown = engine.shutdown(BOUND);
        tokio::select! {
            report = shutdown => panic!("held, yet {report}"),
            () = in_time(collector.wait_for_waiting(1)) => {}
        }
    }
    gate.release();
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.is_settled(), "{report}");
    assert_holds_once(&collector, &ids_of(0..EVENTS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_tracked_while_the_engine_ends_are_delivered_or_refused_and_never_lost() {
    let collector = collector();
    let engine = builder()
        .batch_size(10)
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let trackers: Vec<_> = (0..4)
        .map(|thread| {
            let handle = engine.handle();
            std::thread::spawn(move || {
                let mut taken = Vec::new();
                for n in thread * 100_000.. {
                    match handle.try_track(numbered(n)) {
                        Ok(()) => taken.push(engine_support::id_of(n)),
                        Err(TrackError::Closed(_)) => return taken,
                        // a queue that is full for now
                        Err(_) => std::thread::yield_now(),
                    }
                }
                unreachable!("it is closed before")
            })
        })
        .collect();
    in_time(collector.wait_for_events(1000)).await;
    let report = in_time(engine.shutdown(BOUND)).await;
    let mut taken = BTreeSet::new();
    for tracker in trackers {
        let own = tracker.join().expect("it does not panic");
        taken.extend(own);
    }
    assert_final(&report);
    let ledger = engine.ledger();
    assert!(ledger.balances(), "{ledger}");
    assert_eq!(ledger.accepted, taken.len() as u64, "{ledger}");
    let account = account(&ledger, "a");
    assert_eq!(
        account.delivered + account.dropped.total(),
        ledger.accepted,
        "{ledger}"
    );
    let held = held(&collector);
    assert_eq!(held.len() as u64, account.delivered);
    assert!(held.iter().all(|(id, n)| *n == 1 && taken.contains(id)));
    // an event may be caught between its push and the close, and no more than one for each thread
    let abandoned = account.dropped.get(DropReason::Abandoned);
    assert!(abandoned <= 4, "{ledger}");
}
