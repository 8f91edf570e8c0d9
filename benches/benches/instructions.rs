//! Instructions executed, counted by callgrind: the same on a busy machine as on a quiet one.
//!
//! `bash benches/instructions.sh` compares the counts with those in `benches/instructions.txt`.
//!
//! The engine runs on a runtime that nobody drives until a benchmark does, so that no other thread is in
//! the way: what is counted is what this thread executes.

use std::hint::black_box;

use gungraun::prelude::*;
use productgraph::{
    Correlation, Encoded, Engine, Event, Events, Handle, Provider, Redaction, Text,
};
use productgraph_benches::ours::{self, Null};
use productgraph_benches::request::Req;
use tokio::runtime::{Builder, Runtime};

/// Events in each benchmark: divide by it for the cost of one.
const EVENTS: usize = 1000;

struct Setup {
    // ended before the engine, which then has nobody to wait for
    runtime: Runtime,
    handle: Handle,
    _engine: Engine,
    correlations: Vec<Correlation>,
    path: Text,
}

fn engine() -> Setup {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let engine = ours::roomy()
        .batch_size(EVENTS)
        .runtime(runtime.handle().clone())
        .provider(Null::default())
        .spawn()
        .expect("the engine starts");
    let handle = engine.handle();
    let correlations = (0..EVENTS as u64)
        .map(|i| ours::correlation(&Req::new(i)))
        .collect();
    let [path, ..] = ours::routes();
    Setup {
        runtime,
        handle,
        _engine: engine,
        correlations,
        path,
    }
}

impl Setup {
    fn track(&self) {
        for correlation in &self.correlations {
            correlation.enter(|| self.handle.track(ours::api_response(&self.path)));
        }
    }
}

fn tracked() -> Setup {
    let setup = engine();
    // the actors start
    setup.runtime.block_on(tokio::task::yield_now());
    setup.track();
    setup
}

fn disabled() -> (Handle, Text) {
    let [path, ..] = ours::routes();
    (Handle::disabled(), path)
}

/// As they come to a provider.
fn stamped() -> Vec<Event> {
    let [path, ..] = ours::routes();
    (0..EVENTS as u64)
        .map(|number| ours::stamped(&Req::new(number), &path, number))
        .collect()
}

fn encoder() -> (Box<dyn Provider<Event>>, Vec<Event>) {
    (ours::encoder(), stamped())
}

fn redaction() -> (Redaction, Vec<Event>) {
    (ours::redaction(), stamped())
}

// What is made here is given back, so that taking it apart is not counted.

#[library_benchmark(setup = engine)]
fn track_1000_api_responses(setup: Setup) -> Setup {
    setup.track();
    setup
}

#[library_benchmark(setup = disabled)]
fn track_1000_on_a_disabled_handle((handle, path): (Handle, Text)) -> (Handle, Text) {
    for _ in 0..EVENTS {
        black_box(&handle).track(ours::api_response(black_box(&path)));
    }
    (handle, path)
}

#[library_benchmark(setup = tracked)]
fn drain_batch_and_settle_1000(setup: Setup) -> Setup {
    let report = setup.runtime.block_on(setup.handle.flush());
    assert!(report.is_settled());
    setup
}

type Encoding = (Box<dyn Provider<Event>>, Vec<Event>);

#[library_benchmark(setup = encoder)]
fn encode_1000_api_responses((encoder, events): Encoding) -> (Encoding, Encoded) {
    let body = encoder.encode(&Events::from_slice(&events), 0);
    assert_eq!(body.consumed, EVENTS);
    ((encoder, events), body)
}

#[library_benchmark(setup = redaction)]
fn redact_1000_api_responses(
    (rules, mut events): (Redaction, Vec<Event>),
) -> (Redaction, Vec<Event>) {
    for event in &mut events {
        black_box(rules.apply(event));
    }
    (rules, events)
}

library_benchmark_group!(
    name = events,
    benchmarks = [
        track_1000_api_responses,
        track_1000_on_a_disabled_handle,
        drain_batch_and_settle_1000,
        encode_1000_api_responses,
        redact_1000_api_responses
    ]
);

main!(library_benchmark_groups = events);
