//! A flush settles what was accepted before it, says who did not, and disturbs nothing else.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is virtual: a sleep is a step of the schedule"
)]

mod common;

use std::time::Duration;

use common::expect_panics;
use productgraph_actors::testing::{Script, Step, Victim};
use productgraph_actors::{BatchLimits, Completion, Limits, Pipeline, PipelineBuilder};
use tokio::runtime::Handle;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn builder() -> PipelineBuilder<u64> {
    expect_panics();
    Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(10, 60 * SECOND))
        .runtime(Handle::current())
}

fn send(pipeline: &Pipeline<u64>, events: std::ops::Range<u64>) {
    let sender = pipeline.sender();
    events.for_each(|n| sender.try_send(n).expect("room"));
}

#[tokio::test(start_paused = true)]
async fn an_engine_with_nothing_to_do_is_flushed_at_once() {
    let script = Script::delivering("sink");
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    for _ in 0..3 {
        let report = pipeline.flush(SECOND).await;
        assert!(report.is_settled());
        assert_eq!(report.elapsed, Duration::ZERO);
    }
    assert_eq!(script.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn flushes_at_the_same_time_are_all_answered_when_theirs_is_settled() {
    let slow = |_: &[u64], _| Step::After(SECOND, Box::new(Step::Deliver));
    let script = Script::limited("sink", Limits::new(5, 1 << 20), 8, slow);
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    let pipeline = &pipeline;
    let flush_later = |at: Duration, events: std::ops::Range<u64>| async move {
        tokio::time::sleep(at).await;
        send(pipeline, events);
        pipeline.flush(60 * SECOND).await
    };
    let (a, b, c) = tokio::join!(
        flush_later(Duration::ZERO, 0..5),
        flush_later(SECOND / 2, 5..10),
        flush_later(SECOND / 2, 10..15),
    );
    for report in [&a, &b, &c] {
        assert!(report.is_settled(), "{report}");
    }
    assert_eq!(a.elapsed, SECOND);
    assert_eq!(b.elapsed, SECOND * 5 / 2);
    assert_eq!(c.elapsed, SECOND * 5 / 2, "sealed together");
    assert_eq!(script.delivered().len(), 15);
}

#[tokio::test(start_paused = true)]
async fn events_that_come_in_during_a_flush_do_not_prolong_it() {
    let slow = |_: &[u64], _| Step::After(SECOND, Box::new(Step::Deliver));
    let script = Script::limited("sink", Limits::new(10, 1 << 20), 8, slow);
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send(&pipeline, 0..15);
    let flood = async {
        for n in 0..200 {
            tokio::time::sleep(SECOND / 10).await;
            send(&pipeline, 1000 + n * 10..1010 + n * 10);
        }
    };
    let start = Instant::now();
    let report = tokio::select! {
        report = pipeline.flush(15 * SECOND) => report,
        () = flood => panic!("the flood was over first"),
    };
    assert!(report.is_settled(), "{report}");
    assert_eq!(start.elapsed(), 2 * SECOND, "two requests");
}

#[tokio::test(start_paused = true)]
async fn a_flush_finds_its_way_past_crashed_actors() {
    for victim in [Victim::Buffer, Victim::FanOut, Victim::Flusher(0)] {
        let script = Script::delivering("sink");
        let pipeline = builder()
            .provider(script.provider())
            .spawn()
            .expect("spawns");
        for _ in 0..3 {
            send(&pipeline, 0..25);
            pipeline.crash(victim);
            let (report, ()) = tokio::join!(pipeline.flush(30 * SECOND), async {
                tokio::task::yield_now().await;
                pipeline.crash(victim);
            });
            assert!(report.is_settled(), "{victim:?}: {report}");
            assert!(report.elapsed < 10 * SECOND, "{victim:?}: {report}");
        }
        assert_eq!(script.delivered().len(), 75, "{victim:?}");
        assert!(pipeline.restarts() >= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_runs_out_of_time_names_who_kept_it_waiting_and_nobody_else() {
    let slow = |_: &[u64], _| Step::After(SECOND / 5, Box::new(Step::Deliver));
    let busy = Script::new("busy", slow);
    let hanging = Script::new("hanging", |_: &[u64], _| Step::Hang);
    let paused = Script::delivering("paused");
    let pipeline = builder()
        .provider(busy.provider())
        .provider(hanging.provider())
        .provider(paused.provider())
        .spawn()
        .expect("spawns");
    assert!(pipeline.set_paused("paused", true));
    send(&pipeline, 0..10);
    let flood = async {
        for n in 1.. {
            tokio::time::sleep(SECOND / 10).await;
            send(&pipeline, n * 10..n * 10 + 10);
        }
    };
    let report = tokio::select! {
        report = pipeline.flush(3 * SECOND) => report,
        () = flood => unreachable!("endless"),
    };
    assert_eq!(report.elapsed, 3 * SECOND);
    assert!(
        report.ledger.balances() && report.ledger.providers[0].pending > 0,
        "{report}"
    );
    let unsettled = vec!["hanging".to_owned(), "paused".to_owned()];
    assert_eq!(report.completion, Completion::DeadlinePassed { unsettled });
    assert!(pipeline.set_paused("paused", false));
    let Completion::DeadlinePassed { unsettled } = pipeline.flush(SECOND).await.completion else {
        panic!("settled");
    };
    assert_eq!(unsettled, ["hanging"]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_whose_events_never_left_the_crashed_buffer_names_everybody() {
    let script = Script::delivering("sink");
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    pipeline.crash(Victim::Buffer);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    send(&pipeline, 0..5);
    let report = pipeline.flush(SECOND / 100).await;
    let unsettled = vec!["sink".to_owned()];
    assert_eq!(report.completion, Completion::DeadlinePassed { unsettled });
    assert!(pipeline.flush(SECOND).await.is_settled());
    assert_eq!(script.delivered().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_flush_skips_a_wait_that_is_running_once() {
    let fail_twice = |_: &[u64], n| {
        if n < 2 {
            Step::Fail(Some(60 * SECOND))
        } else {
            Step::Deliver
        }
    };
    let script = Script::new("sink", fail_twice);
    let pipeline = builder()
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    send(&pipeline, 0..10);
    tokio::time::sleep(SECOND).await;
    assert_eq!(script.requests(), 1);
    let report = pipeline.flush(SECOND).await;
    assert!(!report.is_settled());
    assert_eq!(
        script.requests(),
        2,
        "one wait was skipped, the next was not"
    );
}
