//! What the engine logs of itself: once per episode, with counts, off the caller's thread.

mod health_support;

use health_support::{Lines, MINUTE, SECOND, answer, attached, pass, status, track, turns};
use productgraph::providers::Memory;
use productgraph::testing::Victim;
use productgraph::{DropReason, Event, Overflow, RefuseReason};

#[tokio::test(start_paused = true)]
async fn events_refused_are_told_of_at_once_then_once_a_minute_and_at_last_in_all() {
    let (lines, _guard) = Lines::collect();
    let memory = Memory::new();
    let engine = attached(&memory)
        .queue_capacity(20)
        .spawn()
        .expect("it starts");
    turns().await;
    track(&engine, 27);
    assert_eq!(lines.take(), [""; 0], "nothing is logged by the caller");
    turns().await;
    assert_eq!(
        lines.take(),
        ["WARN productgraph_actors::sentinel: engine full; events refused events=7"]
    );
    for _ in 0..100 {
        track(&engine, 21);
        pass(SECOND).await;
    }
    let refused = engine.ledger().refused.get(RefuseReason::Full);
    assert_eq!(refused, 107);
    let told = lines.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("engine full; events refused events="));
    pass(2 * MINUTE).await;
    let told = lines.take();
    assert!(
        told.iter()
            .any(|line| line.contains("no event refused for a while events=107")),
        "{told:?}"
    );
    assert!(told.len() <= 2, "{told:?}");
    pass(10 * MINUTE).await;
    assert_eq!(lines.take(), [""; 0]);
    track(&engine, 21);
    turns().await;
    assert_eq!(lines.take().len(), 1, "a new episode");
}

#[tokio::test(start_paused = true)]
async fn events_displaced_in_the_queue_and_events_too_large_are_told_of() {
    let (lines, _guard) = Lines::collect();
    let engine = attached(&Memory::new())
        .queue_capacity(20)
        .overflow(Overflow::DropOldest)
        .max_buffered_bytes(64 << 10)
        .spawn()
        .expect("it starts");
    track(&engine, 25);
    let huge = Event::custom("huge").with("text", "x".repeat(100 << 10));
    engine.handle().track(huge);
    turns().await;
    let dropped = &engine.ledger().providers[0].dropped;
    assert_eq!(dropped.get(DropReason::Overflow), 5);
    let told = lines.take();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("events larger than the engine's ceiling refused events=1"));
    assert!(told[1].contains("engine full; oldest events dropped events=5"));
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_told_of_once_and_so_is_its_end() {
    let (lines, _guard) = Lines::collect();
    let engine = attached(&Memory::new()).spawn().expect("it starts");
    let pipeline = engine.pipeline().expect("it runs");
    for _ in 0..2 {
        let wedged = pipeline.wedge(Victim::FanOut);
        track(&engine, 10);
        pass(5 * MINUTE).await;
        let told = lines.take();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("ERROR"), "{told:?}");
        assert!(
            told[0].contains("no progress although there is work stage=fan_out since=1"),
            "{told:?}"
        );
        drop(wedged);
        pass(MINUTE).await;
        let told = lines.take();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("progress again stage=fan_out"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_used_and_well_logs_nothing() {
    let (lines, _guard) = Lines::collect();
    let engine = attached(&Memory::new()).spawn().expect("it starts");
    for _ in 0..20 {
        track(&engine, 17);
        pass(7 * SECOND).await;
    }
    assert!(engine.flush(SECOND).await.is_settled());
    assert!(engine.shutdown(SECOND).await.is_settled());
    pass(MINUTE).await;
    assert_eq!(lines.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_provider_is_told_of_once_and_so_is_its_recovery() {
    let (lines, _guard) = Lines::collect();
    let memory = Memory::new();
    answer(&memory, 5, &status(503));
    let engine = attached(&memory).spawn().expect("it starts");
    track(&engine, 300);
    pass(5 * MINUTE).await;
    let told = lines.take();
    // the third turn of the episode is the breaker's
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("delivery fails; retrying"), "{told:?}");
    assert!(told[1].contains("delivery fails; breaker open"), "{told:?}");
    assert!(told[2].contains("delivery works again"), "{told:?}");
    assert_eq!(memory.delivered().len(), 300);
}
