//! When batches close and what wakes whom, and that an idle engine does nothing at all.

#![expect(
    clippy::disallowed_methods,
    reason = "a sleep is a step of the schedule, or a phase to be in"
)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::block_on;
use productgraph_actors::testing::{Script, Step};
use productgraph_actors::{BatchLimits, Pipeline, PipelineBuilder};
use tokio::runtime::{Builder, Handle};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
/// The buffer looks at least this often while it has something in hand.
const TICK: Duration = Duration::from_millis(161);

/// Requests with the time at which they came.
type Log = Arc<Mutex<Vec<(Duration, Vec<u64>)>>>;

fn logging(limits: BatchLimits) -> (PipelineBuilder<u64>, Log) {
    let log = Log::default();
    let (writer, start) = (Arc::clone(&log), Instant::now());
    let script = Script::new("sink", move |events: &[u64], _| {
        writer
            .lock()
            .unwrap()
            .push((start.elapsed(), events.to_vec()));
        Step::Deliver
    });
    let builder = Pipeline::builder(|event: &u64| usize::try_from(*event).unwrap_or(0))
        .batch(limits)
        .runtime(Handle::current())
        .provider(script.provider());
    (builder, log)
}

fn take(log: &Log) -> Vec<(Duration, Vec<u64>)> {
    std::mem::take(&mut *log.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_as_soon_as_it_has_its_count() {
    let (builder, log) = logging(BatchLimits::new(4, 60 * SECOND));
    let pipeline = builder.spawn().expect("spawns");
    let sender = pipeline.sender();
    for n in 0..6 {
        sender.try_send(n).expect("room");
    }
    tokio::time::sleep(SECOND).await;
    assert_eq!(take(&log), [(Duration::ZERO, vec![0, 1, 2, 3])]);
    sender.try_send(6).expect("room");
    sender.try_send(7).expect("room");
    tokio::time::sleep(SECOND).await;
    let second = take(&log);
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].1, [4, 5, 6, 7]);
    assert!(second[0].0 <= SECOND + TICK, "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_when_it_has_its_bytes() {
    let mut limits = BatchLimits::new(1000, 60 * SECOND);
    limits.max_bytes = 100;
    let (builder, log) = logging(limits);
    let pipeline = builder.spawn().expect("spawns");
    let sender = pipeline.sender();
    for weight in [40, 50, 30, 70, 500, 99] {
        sender.try_send(weight).expect("room");
        tokio::time::sleep(SECOND).await;
    }
    let sizes: Vec<_> = take(&log).into_iter().map(|(_, events)| events).collect();
    assert_eq!(sizes, [vec![40, 50], vec![30, 70], vec![500]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_at_the_age_of_its_oldest_event_whatever_else_comes() {
    let (builder, log) = logging(BatchLimits::new(1000, 2 * SECOND));
    let pipeline = builder.spawn().expect("spawns");
    let sender = pipeline.sender();
    for n in 0..100 {
        sender.try_send(n).expect("room");
        tokio::time::sleep(SECOND / 10).await;
    }
    let log = take(&log);
    assert_eq!(log[0].0, 2 * SECOND, "the first woke an idle engine");
    for pair in log.windows(2) {
        let apart = pair[1].0.saturating_sub(pair[0].0);
        assert!(
            apart >= 2 * SECOND && apart <= 2 * SECOND + TICK + SECOND / 10,
            "{apart:?}"
        );
    }
}

#[test]
fn an_idle_engine_has_no_timer_and_wakes_nobody() {
    let parks = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&parks);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (builder, log) = logging(BatchLimits::new(3, SECOND));
        let pipeline = builder.spawn().expect("spawns");
        let parks_during = async |time| {
            let before = parks.load(Ordering::SeqCst);
            tokio::time::sleep(time).await;
            parks.load(Ordering::SeqCst) - before
        };
        let day = 24 * 3600 * SECOND;
        // the clock itself takes a long sleep in a few steps; a tick would make it millions
        let few = 8;
        assert!(parks_during(day).await <= few, "idle from the start");
        for burst in [1, 3, 100] {
            for n in 0..burst {
                pipeline.sender().try_send(n).expect("room");
            }
            let working = parks_during(10 * SECOND).await;
            assert!(working < 40, "{working} wake-ups for one burst");
            assert!(!take(&log).is_empty());
            let idle = parks_during(day).await;
            assert!(idle <= few, "{idle} wake-ups of an idle engine");
        }
    });
}

/// An engine of its own that hands over every event at once, and where the events arrive.
fn delivering_at_once(capacity: usize) -> (Pipeline<u64>, mpsc::Receiver<u64>) {
    let (arrived, inbox) = mpsc::channel();
    let script = Script::new("sink", move |events: &[u64], _| {
        for &n in events {
            arrived.send(n).expect("somebody listens");
        }
        Step::Deliver
    });
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .queue_capacity(capacity)
        .batch(BatchLimits::new(1, 60 * SECOND))
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    (pipeline, inbox)
}

#[test]
fn an_event_from_a_plain_thread_always_wakes_the_engine() {
    // a quarter of four places is one event: lingering or idle, every event has to wake
    let (pipeline, inbox) = delivering_at_once(4);
    let sender = pipeline.sender();
    let start = std::time::Instant::now();
    for n in 0..1000 {
        sender.try_send(n).expect("room");
        let arrived = inbox.recv_timeout(10 * SECOND);
        assert_eq!(arrived, Ok(n), "a wake-up was missed");
    }
    assert!(start.elapsed() < 20 * SECOND, "{:?}", start.elapsed());
    assert!(block_on(pipeline.shutdown(SECOND)).ledger.is_clean());
}

#[test]
fn an_event_finds_the_engine_in_whatever_phase_of_falling_asleep_it_is() {
    let (pipeline, inbox) = delivering_at_once(1024);
    let sender = pipeline.sender();
    for n in 0..120 {
        // no synchronisation: any phase will do, and this meets many
        std::thread::sleep(Duration::from_micros(n * 211 % 25_000));
        sender.try_send(n).expect("room");
        assert_eq!(
            inbox.recv_timeout(10 * SECOND),
            Ok(n),
            "a wake-up was missed"
        );
    }
    assert!(block_on(pipeline.shutdown(SECOND)).ledger.is_clean());
}

#[test]
fn events_from_many_threads_all_arrive_without_anything_that_prods_the_engine() {
    let (pipeline, inbox) = delivering_at_once(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sender = pipeline.sender();
            scope.spawn(move || {
                for n in 0..250 {
                    block_on(sender.send(thread * 1000 + n)).expect("open");
                }
            });
        }
        for _ in 0..1000 {
            inbox
                .recv_timeout(10 * SECOND)
                .expect("a wake-up was missed");
        }
    });
    assert!(block_on(pipeline.shutdown(SECOND)).ledger.is_clean());
}
