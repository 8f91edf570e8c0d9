//! The application's screen over every event, between the ring and the batch being built.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is virtual: a sleep is a step of the schedule"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::{Door, block_on, eventually, expect_panics};
use productgraph_actors::testing::{Script, Step, Victim};
use productgraph_actors::{
    BatchLimits, Completion, DropReason, FilterReason, LaneOptions, Pipeline, PipelineBuilder,
    RefuseReason, Screened, Sender,
};
use tokio::runtime::Handle;

const SECOND: Duration = Duration::from_secs(1);
const BOUND: Duration = Duration::from_secs(20);

fn builder() -> PipelineBuilder<u64> {
    Pipeline::builder(|_: &u64| 8).batch(BatchLimits::new(10, 5 * SECOND))
}

/// Under the paused clock of the test.
fn attached() -> PipelineBuilder<u64> {
    builder().runtime(Handle::current())
}

fn send_all(pipeline: &Pipeline<u64>, events: std::ops::Range<u64>) {
    let sender = pipeline.sender();
    for n in events {
        sender.try_send(n).expect("there is room");
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_is_screened_once_and_in_order_and_leaves_as_the_screen_made_it() {
    let script = Script::delivering("sink");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let pipeline = attached()
        .screen(move |event| {
            log.lock().expect("no panic").push(event);
            Screened::Keep(event + 10_000)
        })
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..1234);
    let report = pipeline.shutdown(10 * SECOND).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(
        *seen.lock().expect("no panic"),
        (0..1234).collect::<Vec<_>>()
    );
    assert_eq!(script.delivered(), (10_000..11_234).collect::<Vec<_>>());
    assert_eq!(pipeline.bytes_held(), 0);
}

#[test]
fn a_screen_runs_on_another_thread_than_the_callers() {
    let (told, thread) = mpsc::channel();
    let pipeline = builder()
        .screen(move |event| {
            told.send(std::thread::current().id())
                .expect("the test listens");
            Screened::Keep(event)
        })
        .provider(Script::delivering("sink").provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..1);
    let ran_on = thread.recv_timeout(BOUND).expect("it runs");
    assert_ne!(ran_on, std::thread::current().id());
}

#[tokio::test(start_paused = true)]
async fn what_a_screen_filters_or_drops_is_counted_for_every_provider() {
    let (one, two) = (Script::delivering("one"), Script::delivering("two"));
    let pipeline = attached()
        .screen(|event| match event % 4 {
            0 => Screened::Filter(FilterReason::BeforeSend),
            1 => Screened::Drop(DropReason::Expired),
            _ => Screened::Keep(event),
        })
        .provider(one.provider())
        .provider(two.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..400);
    let report = pipeline.flush(SECOND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    for (provider, script) in report.ledger.providers.iter().zip([&one, &two]) {
        assert_eq!(provider.filtered.get(FilterReason::BeforeSend), 100);
        assert_eq!(provider.dropped.get(DropReason::Expired), 100);
        assert_eq!((provider.delivered, provider.pending), (200, 0));
        assert!(script.delivered().iter().all(|event| event % 4 > 1));
    }
    assert_eq!(pipeline.bytes_held(), 0);
    drop(pipeline);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_filters_everything_is_settled_and_clean() {
    let pipeline = attached()
        .screen(|_| Screened::Filter(FilterReason::BeforeSend))
        .provider(Script::delivering("sink").provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..100);
    let report = pipeline.shutdown(SECOND).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(report.elapsed, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_screen_costs_the_event_it_was_about_and_is_counted() {
    expect_panics();
    let script = Script::delivering("sink");
    let pipeline = attached()
        .screen(|event| {
            assert!(event % 10 != 7, "panic of the script");
            Screened::Keep(event)
        })
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..100);
    let report = pipeline.shutdown(SECOND).await;
    let sink = &report.ledger.providers[0];
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(sink.dropped.get(DropReason::HookPanicked), 10);
    assert_eq!((sink.delivered, pipeline.hook_panics()), (90, 10));
    assert_eq!((pipeline.restarts(), pipeline.bytes_held()), (0, 0));
}

/// An engine on threads of its own whose screen waits at a door.
struct Waiting {
    pipeline: Arc<Pipeline<u64>>,
    script: Script<u64>,
    door: Door,
    inside: mpsc::Receiver<u64>,
}

impl Waiting {
    fn new(capacity: usize) -> Self {
        let door = Door::default();
        let (entered, inside) = mpsc::channel();
        let script = Script::delivering("sink");
        let pass = door.clone();
        let pipeline = builder()
            .queue_capacity(capacity)
            .screen(move |event| {
                // the test may be over
                let _ = entered.send(event);
                pass.pass();
                Screened::Keep(event)
            })
            .provider(script.provider())
            .spawn()
            .expect("spawns");
        Self {
            pipeline: Arc::new(pipeline),
            script,
            door,
            inside,
        }
    }

    /// Sends events, of which the screen has some by now.
    fn send(&self, events: u64) {
        send_all(&self.pipeline, 0..events);
        self.inside.recv_timeout(BOUND).expect("the screen runs");
    }
}

#[test]
fn the_accounts_hold_while_a_screen_does_not_return() {
    let waiting = Waiting::new(8192);
    waiting.send(500);
    let ledger = waiting.pipeline.ledger();
    assert!(ledger.balances(), "{ledger}");
    assert_eq!(ledger.providers[0].pending, 500);
    // also when they are counted one by one where they are
    assert_eq!(waiting.pipeline.audit(0), 500);
    assert_eq!(waiting.pipeline.bytes_held(), 4000);
    waiting.door.open();
    let report = block_on(waiting.pipeline.shutdown(BOUND));
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(waiting.script.delivered(), (0..500).collect::<Vec<_>>());
}

#[test]
fn a_shutdown_ends_at_its_deadline_while_a_screen_does_not_return() {
    let waiting = Waiting::new(8192);
    waiting.send(500);
    let report = block_on(waiting.pipeline.shutdown(Duration::from_millis(50)));
    assert!(report.elapsed < BOUND, "{report}");
    let unsettled = vec!["sink".to_owned()];
    assert_eq!(report.completion, Completion::DeadlinePassed { unsettled });
    assert!(report.ledger.balances(), "{report}");
    let sink = &report.ledger.providers[0];
    assert_eq!(
        (sink.pending, sink.dropped.get(DropReason::Deadline)),
        (0, 500)
    );
    assert_eq!(waiting.pipeline.audit(0), 0);
    // what the screen has in its hands is let go as soon as it returns, and counted no more
    waiting.door.open();
    eventually("the bytes come back", || waiting.pipeline.bytes_held() == 0);
    assert_eq!(waiting.pipeline.ledger().providers, report.ledger.providers);
    assert_eq!(waiting.script.requests(), 0);
}

#[test]
fn dropping_an_engine_does_not_wait_for_its_screen() {
    let waiting = Waiting::new(8192);
    waiting.send(10);
    let sender = waiting.pipeline.sender();
    let pipeline = Arc::into_inner(waiting.pipeline).expect("the last one");
    drop(pipeline);
    let refused = sender.try_send(0).expect_err("closed");
    assert_eq!(refused.reason, RefuseReason::Closed);
    waiting.door.open();
}

#[test]
fn a_flush_waits_for_what_is_being_screened() {
    let waiting = Waiting::new(8192);
    waiting.send(70);
    let late = block_on(waiting.pipeline.flush(Duration::from_millis(20)));
    let unsettled = vec!["sink".to_owned()];
    assert_eq!(late.completion, Completion::DeadlinePassed { unsettled });
    assert_eq!(late.ledger.providers[0].pending, 70);
    let pipeline = Arc::clone(&waiting.pipeline);
    let flush = std::thread::spawn(move || block_on(pipeline.flush(BOUND)));
    waiting.door.open();
    let report = flush.join().expect("no panic");
    assert!(report.is_settled(), "{report}");
    assert_eq!(report.ledger.providers[0].delivered, 70);
    assert_eq!(waiting.script.delivered(), (0..70).collect::<Vec<_>>());
}

#[test]
fn callers_are_refused_and_never_wait_when_a_screen_does_not_return() {
    let waiting = Waiting::new(16);
    waiting.send(1);
    let sender = waiting.pipeline.sender();
    let taken = (0..100).filter(|n| sender.try_send(*n).is_ok()).count();
    assert_eq!(taken, 16);
    let refused = sender.try_send(0).expect_err("the ring is full");
    assert_eq!(refused.reason, RefuseReason::Full);
    waiting.door.open();
    let report = block_on(waiting.pipeline.shutdown(BOUND));
    assert_eq!(report.ledger.providers[0].delivered, 17, "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_a_screen_sends_is_refused_and_neither_loops_nor_waits() {
    let script = Script::delivering("sink");
    let own = Arc::new(Mutex::new(None::<Sender<u64>>));
    let reasons = Arc::new(Mutex::new(BTreeSet::new()));
    let (sender, told) = (Arc::clone(&own), Arc::clone(&reasons));
    let pipeline = attached()
        .queue_capacity(8)
        .screen(move |event| {
            let sender = sender.lock().expect("no panic").clone().expect("set");
            let mut told = told.lock().expect("no panic");
            told.insert(sender.try_send(event).expect_err("in a hook").reason);
            // it would wait for room that only this hook can make
            told.insert(block_on(sender.send(event)).expect_err("in a hook").reason);
            Screened::Keep(event)
        })
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    *own.lock().expect("no panic") = Some(pipeline.sender());
    send_all(&pipeline, 0..8);
    let report = pipeline.shutdown(SECOND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(report.ledger.refused.get(RefuseReason::InHook), 16);
    assert_eq!(
        *reasons.lock().expect("no panic"),
        BTreeSet::from([RefuseReason::InHook])
    );
    assert_eq!(script.delivered(), (0..8).collect::<Vec<_>>());
    // the hook is over: this thread may send again, if it were not closed
    let refused = pipeline.sender().try_send(1).expect_err("closed");
    assert_eq!(refused.reason, RefuseReason::Closed);
}

#[test]
fn a_screen_that_shuts_its_own_engine_down_waits_until_the_deadline_and_no_longer() {
    let own = Arc::new(Mutex::new(None::<Arc<Pipeline<u64>>>));
    let (told, reports) = mpsc::channel();
    let engine = Arc::clone(&own);
    let pipeline = builder()
        .screen(move |event| {
            let engine = engine.lock().expect("no panic").take();
            if let Some(engine) = engine {
                let report = engine.shutdown_blocking(Duration::from_millis(30));
                told.send(report).expect("the test listens");
            }
            Screened::Keep(event)
        })
        .provider(Script::delivering("sink").provider())
        .spawn()
        .expect("spawns");
    let pipeline = Arc::new(pipeline);
    *own.lock().expect("no panic") = Some(Arc::clone(&pipeline));
    send_all(&pipeline, 0..3);
    let report = reports.recv_timeout(BOUND).expect("it ends");
    let sink = &report.ledger.providers[0];
    assert_eq!(
        sink.dropped.get(DropReason::Deadline),
        report.ledger.accepted
    );
    assert!(report.ledger.balances(), "{report}");
    eventually("the bytes come back", || pipeline.bytes_held() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_buffer_that_crashes_between_turns_loses_nothing_of_what_is_screened() {
    expect_panics();
    let script = Script::delivering("sink");
    let pipeline = attached()
        .screen(|event| match event % 3 {
            0 => Screened::Filter(FilterReason::BeforeSend),
            _ => Screened::Keep(event),
        })
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    for round in 0..10 {
        send_all(&pipeline, round * 300..(round + 1) * 300);
        pipeline.crash(Victim::Buffer);
        tokio::time::sleep(Duration::from_millis(7)).await;
        assert!(pipeline.ledger().balances());
    }
    let report = pipeline.shutdown(60 * SECOND).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert!(pipeline.restarts() > 0);
    let expected: Vec<_> = (0..3000).filter(|event| event % 3 > 0).collect();
    assert_eq!(script.delivered(), expected);
}

/// Two requests are in a lane when a hook meets the event on which it does not return: both are sent,
/// and what became of them is counted, while it does not.
fn what_is_in_a_lane_goes_on_while(hook: impl Fn(&u64) + Send + Sync + 'static, filters: bool) {
    let answer = Door::default();
    let held = answer.clone();
    let script = Script::new("sink", move |_: &[u64], _| {
        held.pass();
        Step::Deliver
    });
    let pipeline = Pipeline::builder(|_: &u64| 8).batch(BatchLimits::new(1, SECOND));
    let provider = Box::new(script.provider());
    let pipeline = if filters {
        let filter = move |event: &u64| {
            hook(event);
            None
        };
        pipeline.filtered_provider(provider, LaneOptions::default(), filter)
    } else {
        let screen = move |event: u64| {
            hook(&event);
            Screened::Keep(event)
        };
        pipeline
            .screen(screen)
            .boxed_provider(provider, LaneOptions::default())
    };
    let pipeline = pipeline.spawn().expect("spawns");
    let in_lane = |events| {
        eventually("it is in the lane", || {
            pipeline.lanes()[0].pending == events
        });
    };
    send_all(&pipeline, 0..1);
    in_lane(1);
    send_all(&pipeline, 1..2);
    in_lane(2);
    send_all(&pipeline, 666..667);
    eventually("the hook has it", || STUCK.load(Ordering::SeqCst));
    answer.open();
    eventually("delivery", || pipeline.ledger().providers[0].delivered == 2);
    let report = block_on(pipeline.shutdown(Duration::from_millis(50)));
    assert_eq!(
        report.ledger.providers[0].dropped.get(DropReason::Deadline),
        1
    );
    assert!(report.ledger.balances(), "{report}");
}

static STUCK: AtomicBool = AtomicBool::new(false);

#[test]
fn a_hook_that_does_not_return_stops_nothing_that_is_in_a_lane() {
    for filters in [false, true] {
        STUCK.store(false, Ordering::SeqCst);
        let door = Door::default();
        let stuck = door.clone();
        let hook = move |event: &u64| {
            if *event == 666 {
                STUCK.store(true, Ordering::SeqCst);
                stuck.pass();
            }
        };
        what_is_in_a_lane_goes_on_while(hook, filters);
        door.open();
    }
}
