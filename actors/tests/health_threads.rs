//! What is known of an engine's progress from threads that have no part in it: when its runtime is gone
//! or stands still, and when the application's code blocks.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::{Door, eventually};
use productgraph_actors::testing::Script;
use productgraph_actors::testing::Step;
use productgraph_actors::{
    BatchLimits, Completion, LaneOptions, Phase, Pipeline, PipelineBuilder, STALLED_AFTER, Stage,
    Stalled, Vitals,
};
use tokio::runtime::Handle;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
/// The longest that a buffer in good health lingers, on top.
const BOUND: Duration = STALLED_AFTER.saturating_add(Duration::from_millis(200));

/// A failure must not leave a thread blocked that the end of the engine waits for.
struct OpenInTheEnd(Door);

impl Drop for OpenInTheEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

fn attached(script: &Script<u64>) -> PipelineBuilder<u64> {
    Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(10, SECOND))
        .runtime(Handle::current())
        .provider(script.provider())
}

/// Lets everybody do what is to be done now.
async fn turns() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn send(pipeline: &Pipeline<u64>, events: std::ops::Range<u64>) {
    let sender = pipeline.sender();
    for event in events {
        sender.try_send(event).expect("there is room");
    }
}

fn stages(vitals: &Vitals) -> Vec<String> {
    let stages = vitals.stalled.iter().map(|stalled| &stalled.stage);
    stages.map(ToString::to_string).collect()
}

#[test]
fn an_engine_whose_runtime_is_gone_has_ended_and_says_so_on_any_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let script = Script::delivering("sink");
    let pipeline = runtime.block_on(async { attached(&script).spawn().expect("spawns") });
    assert_eq!(pipeline.vitals().phase, Phase::Running);
    drop(runtime);
    assert_eq!(pipeline.vitals().phase, Phase::Ended(Completion::Abandoned));
    assert!(pipeline.vitals().stalled.is_empty());
}

#[test]
fn an_engine_whose_runtime_nobody_drives_stalls_with_the_first_event() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let script = Script::delivering("sink");
    let pipeline = runtime.block_on(async {
        let pipeline = attached(&script).spawn().expect("spawns");
        turns().await;
        pipeline
    });
    let later = Instant::now() + BOUND + SECOND;
    assert!(pipeline.vitals_at(later).stalled.is_empty(), "idle");
    send(&pipeline, 0..1);
    assert!(pipeline.vitals().stalled.is_empty());
    assert_eq!(stages(&pipeline.vitals_at(later)), ["buffer"]);
    runtime.block_on(turns());
    assert_eq!(stages(&pipeline.vitals_at(Instant::now())), [""; 0]);
}

#[test]
fn an_engine_whose_clock_stands_still_is_found_by_one_whose_clock_goes_on() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let script = Script::delivering("sink");
    let pipeline = runtime.block_on(async {
        let pipeline = attached(&script).spawn().expect("spawns");
        send(&pipeline, 0..3);
        // the batch waits for a timer, and nothing lets the clock go on
        turns().await;
        pipeline
    });
    assert!(pipeline.vitals().stalled.is_empty());
    let later = Instant::now() + BOUND + SECOND;
    assert_eq!(stages(&pipeline.vitals_at(later)), ["buffer"]);
}

#[test]
fn a_provider_that_blocks_its_thread_is_told_of_once_its_attempt_should_be_over() {
    let door = Door::default();
    let inside = Arc::new(AtomicU64::new(0));
    let (blocked, entered) = (door.clone(), Arc::clone(&inside));
    let script = Script::new("sink", move |_: &[u64], _| {
        entered.fetch_add(1, Ordering::SeqCst);
        blocked.pass();
        Step::Deliver
    });
    let mut options = LaneOptions::default();
    options.attempt_timeout = 60 * SECOND;
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(1, SECOND))
        .boxed_provider(Box::new(script.provider()), options)
        .spawn()
        .expect("spawns");
    send(&pipeline, 0..1);
    eventually("an attempt", || inside.load(Ordering::SeqCst) == 1);
    let after = |time| pipeline.vitals_at(Instant::now() + time);
    let attempts = |vitals: &Vitals| {
        let is_attempt = |s: &&Stalled| matches!(s.stage, Stage::Attempt(_));
        vitals.stalled.iter().filter(is_attempt).count()
    };
    assert_eq!(attempts(&after(69 * SECOND)), 0);
    assert_eq!(attempts(&after(72 * SECOND)), 1);
    door.open();
    eventually("the end of it", || {
        pipeline.ledger().providers[0].delivered == 1
    });
    assert_eq!(attempts(&after(72 * SECOND)), 0);
}

#[test]
fn vitals_are_read_while_the_applications_code_holds_up_the_fan_out() {
    static DOOR: OnceLock<Door> = OnceLock::new();
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    let door = Door::default();
    assert!(DOOR.set(door.clone()).is_ok());
    let script = Script::delivering("sink");
    let filter = |_: &u64| {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        DOOR.get().expect("set").pass();
        None
    };
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(1, SECOND))
        .filtered_provider(Box::new(script.provider()), LaneOptions::default(), filter)
        .spawn()
        .expect("spawns");
    let _opened = OpenInTheEnd(door.clone());
    send(&pipeline, 0..1);
    eventually("a call", || INSIDE.load(Ordering::SeqCst) == 1);
    assert!(pipeline.vitals().stalled.is_empty());
    // the buffer may wait for the hand-off by then
    let later = pipeline.vitals_at(Instant::now() + BOUND + SECOND);
    assert!(stages(&later).contains(&"fan_out".to_owned()));
    door.open();
    eventually("delivery", || pipeline.ledger().providers[0].delivered == 1);
}

#[test]
fn vitals_are_read_and_an_engine_is_woken_by_a_thread_that_ends() {
    struct Last(Arc<Pipeline<u64>>, Arc<AtomicU64>);
    impl Drop for Last {
        fn drop(&mut self) {
            send(&self.0, 0..1);
            self.0.set_paused("sink", false);
            let vitals = self.0.vitals();
            assert_eq!((vitals.phase, vitals.queued), (Phase::Running, 1));
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static LAST: std::cell::OnceCell<Last> = const { std::cell::OnceCell::new() };
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let script = Script::delivering("sink");
    let pipeline = runtime.block_on(async {
        let pipeline = attached(&script).spawn().expect("spawns");
        turns().await;
        Arc::new(pipeline)
    });
    let done = Arc::new(AtomicU64::new(0));
    let (engine, count) = (Arc::clone(&pipeline), Arc::clone(&done));
    let thread = std::thread::spawn(move || {
        // destructors run in the reverse order: what tokio keeps for this thread goes before ours
        LAST.with(|last| assert!(last.set(Last(engine, count)).is_ok()));
        assert!(Handle::try_current().is_err());
    });
    thread.join().expect("it ends");
    assert_eq!(done.load(Ordering::SeqCst), 1, "the destructor panicked");
    assert_eq!(pipeline.ledger().accepted, 1);
}
