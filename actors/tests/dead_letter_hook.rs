//! Whatever the dead letter hook does, the engine goes on. Real threads.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::ThreadId;
use std::time::Duration;

use common::{Door, block_on, eventually, expect_panics};
use productgraph_actors::testing::{Script, Step};
use productgraph_actors::{BatchLimits, DeadLetter, Pipeline, PipelineBuilder, Sender};

const LONG: Duration = Duration::from_secs(20);
/// Letters that may wait for the hook.
const QUEUE: u64 = 256;

/// A provider that refuses odd events.
fn refuses_odd() -> Script<u64> {
    Script::limited(
        "refuses-odd",
        productgraph_actors::Limits::new(1, 100),
        8,
        |events: &[u64], _| {
            if events[0] % 2 == 1 {
                Step::Final
            } else {
                Step::Deliver
            }
        },
    )
}

fn builder(script: &Script<u64>) -> PipelineBuilder<u64> {
    Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(50, Duration::from_millis(1)))
        .provider(script.provider())
}

fn send(pipeline: &Pipeline<u64>, events: impl IntoIterator<Item = u64>) {
    let sender = pipeline.sender();
    for event in events {
        sender.try_send(event).expect("room");
    }
}

fn odd(range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
    range.map(|n| 2 * n + 1)
}

#[test]
fn the_hook_is_told_of_each_dead_letter_in_order_on_a_thread_of_its_own() {
    let script = refuses_odd();
    let told: Arc<Mutex<Vec<(u64, ThreadId)>>> = Arc::default();
    let log = Arc::clone(&told);
    let pipeline = builder(&script)
        .on_dead_letter(move |letter| {
            let thread = std::thread::current();
            assert_eq!(thread.name(), Some("productgraph-letters"));
            log.lock().unwrap().push((*letter.event(), thread.id()));
        })
        .spawn()
        .expect("spawns");
    send(&pipeline, 0..100);
    let report = block_on(pipeline.shutdown(LONG));
    assert!(report.is_settled(), "{report}");
    eventually("all are told", || told.lock().unwrap().len() == 50);
    let told = told.lock().unwrap();
    let events: Vec<_> = told.iter().map(|(event, _)| *event).collect();
    assert_eq!(events, odd(0..50).collect::<Vec<_>>());
    assert!(told.iter().all(|(_, thread)| *thread == told[0].1));
    let stats = pipeline.dead_letter_stats();
    assert_eq!(
        (stats.kept, stats.hook_missed, stats.hook_panics),
        (50, 0, 0)
    );
}

#[test]
fn a_hook_that_blocks_delays_nothing_and_what_it_misses_is_counted_and_kept() {
    let script = refuses_odd();
    let (entered, door) = (Arc::new(AtomicU64::new(0)), Door::default());
    let (count, gate) = (Arc::clone(&entered), door.clone());
    let pipeline = builder(&script)
        .on_dead_letter(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            gate.pass();
        })
        .spawn()
        .expect("spawns");
    send(&pipeline, [1]);
    eventually("the hook is called", || entered.load(Ordering::SeqCst) == 1);
    let more = QUEUE + 44;
    send(&pipeline, odd(0..more));
    send(&pipeline, [2, 4, 6]);
    let report = block_on(pipeline.flush(LONG));
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(script.delivered(), [2, 4, 6]);
    assert_eq!(pipeline.lanes()[0].pending, 0);
    assert_eq!(pipeline.dead_letters().len() as u64, 1 + more);
    assert_eq!(pipeline.dead_letter_stats().hook_missed, 44);
    assert_eq!(
        pipeline
            .redrive(|letter| *letter.event() == 1)
            .map(|it| it.moved),
        Ok(2)
    );
    let report = block_on(pipeline.shutdown(LONG));
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    drop(pipeline);
    assert_eq!(entered.load(Ordering::SeqCst), 1, "still in its first call");
    door.open();
    // what waited when the engine ended is told all the same
    eventually("the rest is told", || {
        entered.load(Ordering::SeqCst) == 1 + QUEUE
    });
}

#[test]
fn an_engine_is_dropped_without_a_shutdown_while_its_hook_blocks() {
    let script = refuses_odd();
    let (entered, door) = (Arc::new(AtomicU64::new(0)), Door::default());
    let (count, gate) = (Arc::clone(&entered), door.clone());
    let pipeline = builder(&script)
        .on_dead_letter(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            gate.pass();
        })
        .spawn()
        .expect("spawns");
    send(&pipeline, [1, 3]);
    eventually("the hook is called", || entered.load(Ordering::SeqCst) == 1);
    // a drop that waited would never come back: the door opens behind it
    drop(pipeline);
    door.open();
}

#[test]
fn a_hook_that_panics_is_counted_and_called_for_the_next_letter() {
    expect_panics();
    let script = refuses_odd();
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let pipeline = builder(&script)
        .on_dead_letter(move |letter| {
            count.fetch_add(1, Ordering::SeqCst);
            assert_ne!(*letter.event() % 4, 1, "panic of the script");
        })
        .spawn()
        .expect("spawns");
    send(&pipeline, [1, 3, 5, 7]);
    let report = block_on(pipeline.flush(LONG));
    assert!(report.is_settled(), "{report}");
    eventually("both panics are counted", || {
        pipeline.dead_letter_stats().hook_panics == 2
    });
    eventually("all are told", || calls.load(Ordering::SeqCst) == 4);
    assert_eq!(pipeline.dead_letters().len(), 4);
}

#[test]
fn a_hook_may_use_its_own_engine_and_is_let_go_with_it() {
    let script = refuses_odd();
    let own: Arc<OnceLock<Sender<u64>>> = Arc::default();
    let token = Arc::new(());
    let (held, sender) = (Arc::clone(&token), Arc::clone(&own));
    let pipeline = builder(&script)
        .on_dead_letter(move |letter: &DeadLetter<u64>| {
            assert!(Arc::strong_count(&held) > 1);
            let sender = sender.get().expect("set before anything is sent");
            // an event about the dead one, which is taken
            sender.try_send(letter.event() + 1).expect("room");
        })
        .spawn()
        .expect("spawns");
    own.set(pipeline.sender()).expect("once");
    send(&pipeline, [1, 3]);
    eventually("the hook's events arrive", || script.delivered() == [2, 4]);
    let report = block_on(pipeline.shutdown(LONG));
    assert!(report.is_settled(), "{report}");
    assert_eq!(report.ledger.accepted, 4);
    eventually("the hook is let go", || Arc::strong_count(&token) == 1);
    assert_eq!(Arc::strong_count(&own), 1);
}

/// Lets other threads end, also when an assertion fails on this one.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn the_accounts_add_up_at_every_instant_while_letters_are_redriven() {
    let script = refuses_odd();
    let pipeline = builder(&script)
        .dead_letters(productgraph_actors::DeadLetterLimits::default())
        .spawn()
        .expect("spawns");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _done = Done(&done);
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let ledger = pipeline.ledger();
                    assert!(ledger.balances(), "{ledger}");
                }
            });
        }
        send(&pipeline, 0..600);
        let mut round = 0;
        eventually("a thousand are redriven", || {
            round += 1;
            let part = |letter: &DeadLetter<u64>| letter.number() % 2 == round % 2;
            pipeline.redrive(part).expect("open");
            pipeline.dead_letter_stats().redriven > 1000
        });
        let report = block_on(pipeline.shutdown(LONG));
        assert!(report.is_settled() && report.ledger.balances(), "{report}");
        assert!(report.ledger.providers[0].redriven > 0, "{report}");
    });
    assert_eq!(script.delivered().len(), 300);
}
