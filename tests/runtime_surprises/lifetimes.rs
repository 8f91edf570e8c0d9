//! Engines that come and go where it is awkward: beside each other, inside async code, inside their own
//! provider.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use productgraph::providers::Memory;
use productgraph::{
    BoxFuture, Completion, Encoded, Engine, Event, Events, Limits, Outcome, Provider, TrackError,
};

use super::{assert_delivered, assert_ends_clean, block_on, engine};
use crate::engine_support::{BOUND, builder, current_thread, millis, numbered};

type Once = Box<dyn FnOnce() + Send>;

/// Delivers everything, and does something in the middle of its first request.
struct Does(Mutex<Option<Once>>);

impl Does {
    fn first(first: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(first))))
    }
}

impl Provider<Event> for Does {
    fn name(&self) -> &'static str {
        "does"
    }

    fn limits(&self) -> Limits {
        Limits::new(1000, 1 << 20)
    }

    fn encode(&self, events: &Events<'_, Event>, _: usize) -> Encoded {
        Encoded {
            body: Bytes::from_static(b"body"),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async {
            let first = self.0.lock().expect("no panic").take();
            if let Some(first) = first {
                first();
            }
            Outcome::Delivered
        })
    }
}

#[test]
fn two_engines_in_one_process_have_nothing_in_common() {
    let memories = [Memory::new(), Memory::new()];
    let [one, two] = memories.each_ref().map(engine);
    for n in 0..10 {
        one.handle().track(numbered(n));
        two.handle().track(numbered(100 + n));
        two.handle().track(numbered(200 + n));
    }
    assert_ends_clean(&one, 10);
    let closed = one.handle().try_track(numbered(0));
    assert!(matches!(closed, Err(TrackError::Closed(_))), "{closed:?}");
    drop(one);

    assert_delivered(&block_on(two.flush(BOUND)), 20);
    two.handle().try_track(numbered(300)).expect("it goes on");
    assert!(two.health().is_healthy());
    assert_ends_clean(&two, 21);
    assert_eq!(memories[0].delivered_ids().len(), 10);
    assert_eq!(memories[1].delivered_ids().len(), 21);
}

/// An engine that is dropped by its own provider, on its own runtime or on that of `attached`.
fn dropped_by_its_provider(attached: Option<&tokio::runtime::Handle>) {
    let slot = Arc::new(Mutex::new(None::<Engine>));
    let (gone, is_gone) = mpsc::channel();
    let provider = Does::first({
        let slot = Arc::clone(&slot);
        move || {
            let engine = slot.lock().expect("no panic").take();
            drop(engine);
            gone.send(()).expect("heard");
        }
    });
    let mut builder = builder().batch_size(1).provider(provider);
    if let Some(attached) = attached {
        builder = builder.runtime(attached.clone());
    }
    let engine = builder.spawn().expect("starts");
    let handle = engine.handle();
    *slot.lock().expect("no panic") = Some(engine);
    handle.track(numbered(0));
    is_gone.recv().expect("dropping it did not panic");
    let closed = handle.try_track(numbered(1));
    assert!(matches!(closed, Err(TrackError::Closed(_))), "{closed:?}");
    assert_eq!(
        block_on(handle.flush()).completion,
        Completion::Abandoned,
        "nobody is left to ask"
    );
}

#[test]
fn an_engine_may_be_dropped_by_its_own_provider() {
    dropped_by_its_provider(None);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    dropped_by_its_provider(Some(runtime.handle()));
}

#[test]
fn a_provider_may_track_and_flush_through_the_engine_it_serves() {
    let slot = Arc::new(Mutex::new(None));
    let (report, reports) = mpsc::channel();
    let provider = Does::first({
        let slot = Arc::clone(&slot);
        move || {
            let engine: Arc<Engine> = slot.lock().expect("no panic").take().expect("there");
            engine.handle().track(numbered(1));
            // its own request is not settled before it returns
            report
                .send(block_on(engine.flush(millis(50))))
                .expect("heard");
        }
    });
    let engine = builder().batch_size(1).provider(provider).spawn();
    let engine = Arc::new(engine.expect("starts"));
    *slot.lock().expect("no panic") = Some(Arc::clone(&engine));
    engine.handle().track(numbered(0));
    let inside = reports.recv().expect("it ends");
    let Completion::DeadlinePassed { unsettled } = &inside.completion else {
        panic!("{inside}");
    };
    assert_eq!(unsettled, &["does"], "{inside}");
    assert_ends_clean(&engine, 2);
}

#[test]
fn a_provider_may_start_and_drop_an_engine_of_its_own() {
    let memory = Memory::new();
    let inner = memory.clone();
    let provider = Does::first(move || {
        for ends in [true, false] {
            let engine = engine(&inner);
            engine.handle().track(numbered(7));
            if ends {
                assert_ends_clean(&engine, 1);
            }
            drop(engine);
        }
    });
    let engine = builder().provider(provider).spawn().expect("starts");
    engine.handle().track(numbered(0));
    assert_ends_clean(&engine, 1);
    assert_eq!(memory.delivered_ids()[0], "e-00007");
}

#[test]
fn an_engine_may_be_started_and_dropped_inside_async_code() {
    let many = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime");
    for runtime in [many, current_thread()] {
        runtime.block_on(async {
            let task = tokio::spawn(async {
                let engine = engine(&Memory::new());
                engine.handle().track(numbered(0));
                drop(engine);
                let engine = self::engine(&Memory::new());
                engine.handle().track(numbered(0));
                assert_delivered(&engine.shutdown(BOUND).await, 1);
                engine
            });
            drop(task.await.expect("it did not panic"));
        });
    }
}

#[test]
fn an_engine_dropped_under_a_flush_ends_the_flush() {
    let memory = Memory::new();
    memory.never_answer();
    let engine = engine(&memory);
    let handle = engine.handle();
    handle.track(numbered(0));
    let flush = std::thread::spawn(move || block_on(handle.flush()));
    while memory.requests() == 0 {
        std::thread::yield_now();
    }
    let report = block_on(engine.shutdown(Duration::ZERO));
    assert!(report.ledger.balances(), "{report}");
    drop(engine);
    let flushed = flush.join().expect("it ends");
    assert!(!flushed.is_settled(), "{flushed}");
}
