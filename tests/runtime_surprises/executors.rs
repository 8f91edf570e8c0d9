//! Every way to call and to await that has nothing to do with the engine's own runtime.

use std::time::Duration;

use productgraph::providers::Memory;
use productgraph::{Completion, Engine, TrackError};
use tokio::task::LocalSet;

use super::{assert_delivered, assert_ends_clean, block_on, engine};
use crate::engine_support::{BOUND, builder, current_thread, numbered};

fn track(engine: &Engine, events: usize) {
    for n in 0..events {
        engine.handle().try_track(numbered(n)).expect("room");
    }
}

#[test]
fn flush_and_shutdown_can_be_awaited_without_any_runtime() {
    let memory = Memory::new();
    let engine = engine(&memory);
    track(&engine, 10);
    assert_delivered(&block_on(engine.flush(BOUND)), 10);
    track(&engine, 5);
    assert_delivered(&block_on(engine.handle().flush()), 15);
    block_on(engine.handle().track_wait(numbered(15))).expect("room");
    assert_delivered(&block_on(engine.shutdown(BOUND)), 16);
}

#[test]
fn flush_and_shutdown_can_be_awaited_on_another_runtime_of_any_kind() {
    let many = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    // without timers or I/O: nothing of the engine's needs those of the caller
    let bare = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    for runtime in [&many, &bare] {
        let engine = engine(&Memory::new());
        runtime.block_on(async {
            track(&engine, 10);
            assert_delivered(&engine.flush(BOUND).await, 10);
            assert_delivered(&engine.shutdown(BOUND).await, 10);
        });
    }
}

#[test]
fn flush_and_shutdown_can_be_awaited_in_a_local_set() {
    let engine = engine(&Memory::new());
    LocalSet::new().block_on(&current_thread(), async {
        let handle = engine.handle();
        let flushed = tokio::task::spawn_local(async move {
            handle.track(numbered(0));
            handle.flush().await
        });
        assert_delivered(&flushed.await.expect("it ends"), 1);
        assert_delivered(&engine.shutdown(BOUND).await, 1);
    });
}

#[test]
fn an_engine_attached_to_a_current_thread_runtime_ends_when_awaited_there() {
    let runtime = current_thread();
    let engine = builder()
        .runtime(runtime.handle().clone())
        .provider(Memory::new())
        .spawn()
        .expect("starts");
    track(&engine, 10);
    runtime.block_on(async {
        assert_delivered(&engine.flush(BOUND).await, 10);
        assert_delivered(&engine.shutdown(BOUND).await, 10);
    });
}

#[test]
fn tracking_and_ending_work_on_a_thread_for_blocking_work() {
    let engine = engine(&Memory::new());
    current_thread().block_on(async {
        let work = tokio::task::spawn_blocking(move || {
            track(&engine, 10);
            assert_ends_clean(&engine, 10);
        });
        work.await.expect("it ends");
    });
}

#[test]
fn tracking_needs_little_stack() {
    let engine = engine(&Memory::new());
    let handle = engine.handle();
    let tiny = std::thread::Builder::new().stack_size(32 << 10);
    let tracks = tiny.spawn(move || {
        for n in 0..1000 {
            handle.try_track(numbered(n)).expect("room");
        }
    });
    tracks.expect("a thread").join().expect("it ends");
    assert_ends_clean(&engine, 1000);
}

#[test]
fn a_handle_outlives_the_runtime_it_was_made_on() {
    let memory = Memory::new();
    let engine = {
        let runtime = current_thread();
        let engine = runtime.block_on(async { engine(&memory) });
        track(&engine, 3);
        engine
    };
    engine.handle().try_track(numbered(3)).expect("room");
    assert_delivered(&block_on(engine.handle().flush()), 4);
    assert_ends_clean(&engine, 4);
}

#[test]
fn a_handle_whose_engine_went_with_its_runtime_refuses_and_reports_at_once() {
    let runtime = current_thread();
    let engine = builder()
        .runtime(runtime.handle().clone())
        .provider(Memory::new())
        .spawn()
        .expect("starts");
    let handle = engine.handle();
    handle.track(numbered(0));
    drop(runtime);

    let refused = handle.try_track(numbered(1));
    assert!(matches!(refused, Err(TrackError::Closed(_))), "{refused:?}");
    let hour = Duration::from_secs(3600);
    for report in [
        block_on(handle.flush()),
        block_on(engine.flush(hour)),
        block_on(engine.shutdown(hour)),
        engine.shutdown_blocking(hour),
    ] {
        assert_eq!(report.completion, Completion::Abandoned, "{report}");
        assert!(report.ledger.balances(), "{report}");
    }
    drop(engine);
    assert_eq!(
        block_on(handle.flush()).completion,
        Completion::Abandoned,
        "also without an engine"
    );
}
