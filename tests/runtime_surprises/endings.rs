//! The last moments: of a thread, of a panic, of the process. A panic in most of them aborts, so those
//! that could reach other tests run in a process of their own.

use std::cell::RefCell;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};

use productgraph::providers::Memory;
use productgraph::{Engine, Handle};

use super::{assert_ends_clean, block_on, engine, in_a_process_of_its_own, is_child};
use crate::engine_support::{BOUND, builder, current_thread, numbered};

thread_local! {
    static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

/// Runs a closure in the destructor of a thread-local.
struct AtEnd(Option<Box<dyn FnOnce()>>);

impl AtEnd {
    fn run(last: impl FnOnce() + 'static) {
        LAST.set(Some(Self(Some(Box::new(last)))));
    }
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}

/// Has tokio, the generators of ids and the logger put whatever they keep into this thread.
fn use_everything(handle: &Handle) {
    handle.track(numbered(0));
    current_thread().block_on(handle.flush());
}

/// Everything that can be called there; the events it tracks.
fn call_everything(engine: &Engine) -> u64 {
    let handle = engine.handle();
    handle.track(numbered(1));
    handle.try_track(numbered(2)).expect("room");
    let cx = &mut Context::from_waker(Waker::noop());
    let mut waits = Box::pin(handle.track_wait(numbered(3)));
    assert!(waits.as_mut().poll(cx).is_ready(), "there is room");
    let mut flush = Box::pin(engine.flush(BOUND));
    // begins it, and gives it up
    drop(flush.as_mut().poll(cx));
    assert!(engine.ledger().balances());
    assert!(engine.health().is_healthy());
    3
}

/// Calls everything in the destructor of a thread-local, which is the first of its thread to be made, so
/// that it is the last to go, or the last to be made.
fn at_the_end_of_a_thread(first: bool, last: fn(Engine)) {
    let engine = engine(&Memory::new());
    let thread = std::thread::spawn(move || {
        let handle = engine.handle();
        if !first {
            use_everything(&handle);
        }
        AtEnd::run(move || last(engine));
        if first {
            use_everything(&handle);
        }
    });
    // the destructors have run when this returns
    thread.join().expect("it ends");
}

#[test]
fn everything_can_be_called_when_the_locals_of_a_thread_are_gone() {
    for first in [false, true] {
        at_the_end_of_a_thread(first, |engine| {
            let tracked = call_everything(&engine);
            assert_ends_clean(&engine, tracked + 1);
        });
    }
}

#[test]
fn an_engine_can_be_dropped_when_the_locals_of_a_thread_are_gone() {
    for first in [false, true] {
        at_the_end_of_a_thread(first, |engine| {
            engine.handle().track(numbered(1));
            drop(engine);
        });
    }
}

#[test]
fn an_engine_is_started_or_refused_with_an_error_when_the_locals_of_a_thread_are_going() {
    at_the_end_of_a_thread(false, |_| {
        let engine = engine(&Memory::new());
        engine.handle().track(numbered(0));
        assert_ends_clean(&engine, 1);
    });
    // tokio can no longer be used at all
    at_the_end_of_a_thread(true, |_| {
        let refused = builder().provider(Memory::new()).spawn();
        let why = refused.expect_err("not here");
        assert!(why.source().is_some(), "{why}");
    });
}

struct TracksInDrop<'a>(&'a Engine);

impl Drop for TracksInDrop<'_> {
    fn drop(&mut self) {
        assert!(std::thread::panicking());
        call_everything(self.0);
    }
}

#[test]
fn tracking_from_a_panic_hook_and_while_unwinding_neither_panics_nor_aborts() {
    if !is_child() {
        in_a_process_of_its_own(
            "endings::tracking_from_a_panic_hook_and_while_unwinding_neither_panics_nor_aborts",
        );
        return;
    }
    let memory = Memory::new();
    let engine = engine(&memory);
    let handle = engine.handle();
    std::panic::set_hook(Box::new(move |panic| {
        handle.track_error("panic", panic.to_string());
        // begins a flush as well, as a hook may that wants the event out
        let mut flush = Box::pin(handle.flush());
        drop(flush.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    }));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _tracks = TracksInDrop(&engine);
        panic!("of the test");
    }));
    drop(std::panic::take_hook());
    assert!(panicked.is_err());
    assert_ends_clean(&engine, 1 + 3);
    let told = memory.delivered()[0]["metadata"].to_string();
    assert!(memory.delivered().len() == 4, "{told}");
}

#[test]
fn an_engine_dropped_while_unwinding_neither_panics_nor_aborts() {
    let handle = RefCell::new(None);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let engine = engine(&Memory::new());
        engine.handle().track(numbered(0));
        *handle.borrow_mut() = Some(engine.handle());
        std::panic::resume_unwind(Box::new("of the test"));
    }));
    assert!(panicked.is_err());
    let handle = handle.take().expect("it was there");
    assert!(handle.try_track(numbered(1)).is_err());
}

#[test]
fn the_exit_of_the_process_may_track_and_shut_down() {
    if !is_child() {
        let said =
            in_a_process_of_its_own("endings::the_exit_of_the_process_may_track_and_shut_down");
        assert!(said.contains("delivered at exit: 3"), "{said}");
        return;
    }
    let memory = Memory::new();
    let engine = engine(&memory);
    AtEnd::run(move || {
        let tracked = call_everything(&engine);
        assert_ends_clean(&engine, tracked);
        drop(engine);
        println!("delivered at exit: {}", memory.delivered_ids().len());
    });
    LAST.with_borrow(|last| assert!(last.is_some()));
    let engine = self::engine(&Memory::new());
    use_everything(&engine.handle());
    assert!(block_on(engine.flush(BOUND)).is_settled());
    // the one that goes down with the process
    std::mem::forget(engine);
    std::process::exit(0);
}
