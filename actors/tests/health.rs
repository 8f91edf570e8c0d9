//! Whether the engine says that it does not move, and only then: each actor killed and wedged, clocks
//! that stop and jump, providers that hang, block and refuse.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::expect_panics;
use productgraph_actors::testing::{Script, Step, Victim};
use productgraph_actors::{
    ActorStatus, BatchLimits, LaneOptions, LaneState, Phase, Pipeline, PipelineBuilder,
    STALLED_AFTER, Stage, Vitals,
};
use tokio::runtime::Handle;
use tokio::time::{Instant, advance};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// The longest that a buffer in good health lingers, on top.
const BOUND: Duration = STALLED_AFTER.saturating_add(Duration::from_millis(200));

fn attached(script: &Script<u64>) -> PipelineBuilder<u64> {
    Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(10, SECOND))
        .runtime(Handle::current())
        .provider(script.provider())
}

/// Lets time pass in steps, and everybody do what is due in each.
async fn pass(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let step = (end - Instant::now()).min(Duration::from_millis(100));
        advance(step).await;
        turns().await;
    }
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

#[track_caller]
fn assert_moves(pipeline: &Pipeline<u64>) {
    let vitals = pipeline.vitals();
    assert!(vitals.stalled.is_empty(), "{:?}", vitals.stalled);
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_moves_for_hours_and_so_does_one_that_is_used_now_and_then() {
    let script = Script::delivering("sink");
    let pipeline = attached(&script).spawn().expect("spawns");
    for burst in [0, 1, 9, 10, 300] {
        for _ in 0..5 {
            advance(HOUR).await;
            assert_moves(&pipeline);
        }
        send(&pipeline, 0..burst);
        // it was woken this instant, after hours of nothing
        assert_moves(&pipeline);
        for _ in 0..40 {
            pass(SECOND / 2).await;
            assert_moves(&pipeline);
        }
        assert_eq!(pipeline.ledger().providers[0].pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_load_a_sound_engine_is_never_said_to_stall() {
    let mut random = fastrand::Rng::with_seed(11);
    let script = Script::new("sink", |_: &[u64], n| match n % 7 {
        3 => Step::Fail(None),
        5 => Step::After(20 * SECOND, Box::new(Step::Deliver)),
        6 => Step::Fail(Some(90 * SECOND)),
        _ => Step::Deliver,
    });
    let pipeline = attached(&script)
        .queue_capacity(64)
        .spawn()
        .expect("spawns");
    for _ in 0..2000 {
        for event in 0..random.u64(0..40) {
            let _ = pipeline.sender().try_send(event);
        }
        advance(Duration::from_millis(random.u64(0..700))).await;
        for _ in 0..random.u32(0..30) {
            tokio::task::yield_now().await;
        }
        assert_moves(&pipeline);
        if random.u8(..) == 0 {
            pipeline
                .crash([Victim::Buffer, Victim::FanOut, Victim::Flusher(0)][random.usize(0..3)]);
            expect_panics();
        }
    }
    assert!(pipeline.ledger().providers[0].delivered > 1000);
}

/// Wedges `victim` in an engine that then gets work, and expects to hear of `stage` alone, in time and
/// until it goes on.
async fn wedged(victim: Victim, stage: &str) {
    let script = Script::delivering("sink");
    let pipeline = attached(&script)
        .queue_capacity(4096)
        .spawn()
        .expect("spawns");
    let wedge = pipeline.wedge(victim);
    turns().await;
    pass(HOUR / 60).await;
    assert_moves(&pipeline);
    // more than the hand-off can hold
    send(&pipeline, 0..1000);
    turns().await;
    assert_moves(&pipeline);
    pass(BOUND).await;
    assert_eq!(stages(&pipeline.vitals()), [stage]);
    pass(HOUR / 60).await;
    let vitals = pipeline.vitals();
    assert_eq!(stages(&vitals), [stage]);
    assert!(vitals.stalled[0].since > HOUR / 60);
    assert_eq!(vitals.ledger.providers[0].pending, 1000);
    drop(wedge);
    turns().await;
    pass(2 * SECOND).await;
    assert_moves(&pipeline);
    assert_eq!(script.delivered(), (0..1000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_wedged_buffer_is_told_of_and_nobody_else() {
    wedged(Victim::Buffer, "buffer").await;
}

#[tokio::test(start_paused = true)]
async fn a_wedged_fan_out_is_told_of_and_not_the_buffer_that_waits_for_it() {
    wedged(Victim::FanOut, "fan_out").await;
}

#[tokio::test(start_paused = true)]
async fn a_wedged_flusher_is_told_of_with_its_provider() {
    wedged(Victim::Flusher(0), "flusher of sink").await;
}

#[tokio::test(start_paused = true)]
async fn a_buffer_wedged_with_a_batch_in_hand_is_told_of() {
    let script = Script::delivering("sink");
    let pipeline = attached(&script).spawn().expect("spawns");
    send(&pipeline, 0..3);
    turns().await;
    let _wedge = pipeline.wedge(Victim::Buffer);
    turns().await;
    assert_moves(&pipeline);
    pass(BOUND).await;
    assert_eq!(stages(&pipeline.vitals()), ["buffer"]);
}

#[tokio::test(start_paused = true)]
async fn a_buffer_that_does_not_see_the_room_it_waits_for_is_told_of() {
    let script = Script::delivering("sink");
    let pipeline = attached(&script).spawn().expect("spawns");
    let fan_out = pipeline.wedge(Victim::FanOut);
    turns().await;
    send(&pipeline, 0..200);
    turns().await;
    let buffer = pipeline.wedge(Victim::Buffer);
    turns().await;
    pass(BOUND).await;
    assert_eq!(stages(&pipeline.vitals()), ["fan_out"]);
    drop(fan_out);
    turns().await;
    assert_moves(&pipeline);
    pass(BOUND).await;
    assert_eq!(stages(&pipeline.vitals()), ["buffer"]);
    drop(buffer);
    pass(2 * SECOND).await;
    assert_moves(&pipeline);
    assert_eq!(script.delivered(), (0..200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_wedged_supervisor_is_told_of_once_somebody_asks_it_for_something() {
    let script = Script::delivering("sink");
    let pipeline = Arc::new(attached(&script).spawn().expect("spawns"));
    let wedge = pipeline.wedge(Victim::Supervisor);
    turns().await;
    pass(HOUR / 60).await;
    assert_moves(&pipeline);
    let asking = Arc::clone(&pipeline);
    let flush = tokio::spawn(async move { asking.flush(HOUR).await });
    turns().await;
    assert_moves(&pipeline);
    pass(BOUND).await;
    assert_eq!(stages(&pipeline.vitals()), ["supervisor"]);
    drop(wedge);
    assert!(flush.await.expect("answers").is_settled());
    assert_moves(&pipeline);
}

#[tokio::test(start_paused = true)]
async fn a_crashed_actor_pauses_and_goes_on_and_is_never_said_to_stall() {
    expect_panics();
    for victim in [Victim::Buffer, Victim::FanOut, Victim::Flusher(0)] {
        let script = Script::delivering("sink");
        let pipeline = attached(&script).spawn().expect("spawns");
        for crash in 0..8 {
            pipeline.crash(victim);
            turns().await;
            send(&pipeline, crash * 20..(crash + 1) * 20);
            // up to the longest pause
            for _ in 0..12 {
                pass(SECOND / 2).await;
                assert_moves(&pipeline);
            }
        }
        let vitals = pipeline.vitals();
        let of_victim = |actor: &&ActorStatus| actor.restarts > 0;
        let restarted: Vec<_> = vitals.actors.iter().filter(of_victim).collect();
        assert_eq!(restarted.len(), 1, "{restarted:?}");
        assert_eq!(
            (restarted[0].restarts, restarted[0].restarts_lately),
            (8, 8)
        );
        assert!(!restarted[0].dead);
        assert_eq!(vitals.ledger.providers[0].delivered, 160);
        pass(70 * SECOND).await;
        let vitals = pipeline.vitals();
        assert!(vitals.actors.iter().all(|actor| actor.restarts_lately == 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_hand_off_and_a_crashed_fan_out_do_not_wait_for_each_other() {
    expect_panics();
    let script = Script::delivering("sink");
    let pipeline = attached(&script)
        .queue_capacity(4096)
        .spawn()
        .expect("spawns");
    let wedge = pipeline.wedge(Victim::FanOut);
    turns().await;
    send(&pipeline, 0..2000);
    pass(SECOND).await;
    // the hand-off is full and the buffer waits for room; both die at that
    pipeline.crash(Victim::FanOut);
    pipeline.crash(Victim::Buffer);
    drop(wedge);
    turns().await;
    pass(SECOND).await;
    assert_moves(&pipeline);
    assert_eq!(script.delivered(), (0..2000).collect::<Vec<_>>());
    assert_eq!(pipeline.restarts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dead_actor_is_named() {
    expect_panics();
    let script = Script::delivering("sink");
    let pipeline = attached(&script).spawn().expect("spawns");
    while pipeline.dead_actors() == 0 {
        pipeline.crash(Victim::Flusher(0));
        tokio::task::yield_now().await;
    }
    let vitals = pipeline.vitals();
    let dead: Vec<_> = vitals.actors.iter().filter(|actor| actor.dead).collect();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].stage, Stage::Flusher("sink".to_owned()));
    // and what it should do is not done
    send(&pipeline, 0..10);
    turns().await;
    pass(BOUND).await;
    assert_eq!(stages(&pipeline.vitals()), ["flusher of sink"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_supervisor_changes_nothing() {
    expect_panics();
    let script = Script::delivering("sink");
    let pipeline = attached(&script).spawn().expect("spawns");
    pipeline.crash(Victim::Supervisor);
    turns().await;
    send(&pipeline, 0..10);
    pass(2 * STALLED_AFTER).await;
    assert_moves(&pipeline);
    assert!(pipeline.flush(SECOND).await.is_settled());
    assert_eq!(pipeline.vitals().phase, Phase::Running);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_is_not_stalled_however_long_it_waits() {
    let cases = [
        (Step::Unauthorized, LaneState::Held),
        (Step::Fail(Some(100 * SECOND)), LaneState::Retrying),
        (Step::Hang, LaneState::Retrying),
    ];
    for (step, state) in cases {
        let script = Script::new("sink", move |_: &[u64], _| step.clone());
        let pipeline = attached(&script).spawn().expect("spawns");
        send(&pipeline, 0..10);
        pass(31 * SECOND).await;
        for _ in 0..8 {
            assert_moves(&pipeline);
            assert_eq!(pipeline.vitals().lanes[0].state, state);
            pass(31 * SECOND).await;
        }
        assert!(pipeline.vitals().lanes[0].last_error_ago < Some(130 * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_lane_is_not_stalled_and_one_that_does_not_resume_is() {
    let script = Script::delivering("sink");
    let pipeline = attached(&script).spawn().expect("spawns");
    assert!(pipeline.set_paused("sink", true));
    send(&pipeline, 0..10);
    pass(HOUR / 12).await;
    assert_moves(&pipeline);
    assert_eq!(pipeline.vitals().lanes[0].state, LaneState::Paused);
    let _wedge = pipeline.wedge(Victim::Flusher(0));
    turns().await;
    pipeline.set_paused("sink", false);
    pass(BOUND).await;
    assert_eq!(stages(&pipeline.vitals()), ["flusher of sink"]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_with_work_in_hand_is_forgiven_at_the_first_turn() {
    let script = Script::new("sink", |_: &[u64], n| match n {
        0 => Step::Fail(None),
        1 => Step::Hang,
        _ => Step::Deliver,
    });
    let pipeline = attached(&script).spawn().expect("spawns");
    for round in 0..4 {
        send(&pipeline, round * 13..(round + 1) * 13);
        turns().await;
        advance(10 * HOUR).await;
        turns().await;
        assert_moves(&pipeline);
        pass(SECOND).await;
        assert_moves(&pipeline);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_destination_refuses_in_a_row_is_counted_until_it_takes_something() {
    let taken = Arc::new(AtomicU64::new(0));
    let switch = Arc::clone(&taken);
    let script = Script::new("sink", move |_: &[u64], _| {
        match switch.load(Ordering::SeqCst) {
            0 => Step::Final,
            _ => Step::Deliver,
        }
    });
    let pipeline = attached(&script).spawn().expect("spawns");
    for round in 0..3 {
        send(&pipeline, round * 10..(round + 1) * 10);
        pass(20 * SECOND).await;
    }
    let lane = pipeline.vitals().lanes.swap_remove(0);
    assert_eq!(lane.rejected_in_a_row, 30);
    let apart = lane.rejecting_for.expect("refused");
    assert!(apart > 39 * SECOND && apart < 42 * SECOND, "{apart:?}");
    taken.store(1, Ordering::SeqCst);
    send(&pipeline, 30..40);
    pass(2 * SECOND).await;
    let lane = pipeline.vitals().lanes.swap_remove(0);
    assert_eq!((lane.rejected_in_a_row, lane.rejecting_for), (0, None));
}

#[tokio::test(start_paused = true)]
async fn events_that_a_lane_gave_up_and_events_turned_away_show_for_a_while() {
    let script = Script::new("sink", |_: &[u64], _| Step::Hang);
    let mut options = LaneOptions::default();
    options.max_bytes = Some(160);
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(10, SECOND))
        .queue_capacity(50)
        .runtime(Handle::current())
        .boxed_provider(Box::new(script.provider()), options)
        .spawn()
        .expect("spawns");
    assert_eq!(pipeline.vitals().lanes[0].last_dropped, None);
    send(&pipeline, 0..50);
    turns().await;
    assert_eq!(
        pipeline.vitals().lanes[0].last_dropped,
        Some(Duration::ZERO)
    );
    assert!(!pipeline.vitals().turning_away);
    for event in 0..60 {
        let _ = pipeline.sender().try_send(event);
    }
    assert!(pipeline.vitals().turning_away);
    pass(50 * SECOND).await;
    let vitals = pipeline.vitals();
    assert!(vitals.turning_away);
    assert!(vitals.lanes[0].last_dropped > Some(49 * SECOND));
    pass(20 * SECOND).await;
    assert!(!pipeline.vitals().turning_away);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_shut_down_says_how_it_ended() {
    let script = Script::new("sink", |_: &[u64], _| Step::Hang);
    let pipeline = Arc::new(attached(&script).spawn().expect("spawns"));
    send(&pipeline, 0..10);
    turns().await;
    let ending = Arc::clone(&pipeline);
    let end = tokio::spawn(async move { ending.shutdown(2 * STALLED_AFTER).await });
    turns().await;
    assert_eq!(pipeline.vitals().phase, Phase::Draining);
    let report = end.await.expect("ends");
    let vitals = pipeline.vitals();
    assert_eq!(vitals.phase, Phase::Ended(report.completion));
    assert!(vitals.stalled.is_empty() && vitals.ledger.balances());
    advance(HOUR).await;
    assert!(pipeline.vitals().stalled.is_empty());
}
