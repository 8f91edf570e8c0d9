//! What an event costs the whole process in allocations, from the call until it is delivered.
//!
//! The allocator counts all threads, so there is one test here, and what it sends to allocates nothing
//! for what it gets.

mod sink;

use std::alloc::System;
use std::time::Duration;

use productgraph::correlation::{Correlation, RequestId, SessionId, SessionSource, UserId};
use productgraph::providers::ProductGraph;
use productgraph::{Engine, Event, Report};
use sink::{Manner, Sink};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Fewer than the queue holds.
const EVENTS: usize = 5000;
const ROUNDS: usize = 4;
/// Whatever the engine does beside: timers, flushes, reports, a look at its health.
const BESIDE: usize = 400;

fn correlation(n: usize) -> Correlation {
    let session = format!("018f3b0e-6a00-7c11-9d2e-{n:012x}");
    let request = format!("0f8fad5b-d9cb-469f-a165-{n:012x}");
    let correlation = Correlation::builder()
        .session(
            SessionId::parse(&session).expect("an id"),
            SessionSource::Adopted,
        )
        .request_id(RequestId::parse(&request).expect("an id"))
        .build();
    correlation.set_user(UserId::parse("user-000017").expect("an id"));
    correlation
}

fn deliver(engine: &Engine, requests: &[Correlation]) -> Report {
    let handle = engine.handle();
    for (n, request) in (0..).zip(requests) {
        let took = Duration::from_micros(41_250 + n);
        let event = Event::api_response(http::Method::POST, "/v1/plans/{id}", 200, took);
        handle.track(event.with_correlation(request.clone()));
    }
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(handle.flush())
}

/// Three for each batch (its events, itself, its place in a list) and some dozens for each request, most of
/// them the client's.
#[test]
fn an_event_costs_a_tenth_of_an_allocation_in_the_whole_process_until_it_is_delivered() {
    let sink = Sink::start(Manner::Taking);
    let engine = Engine::builder()
        .project("shop")
        .provider(ProductGraph::new(sink.endpoint()).max_batch_events(1000))
        .spawn()
        .expect("it starts");
    let requests: Vec<_> = (0..EVENTS).map(correlation).collect();
    // what is made once is made now
    deliver(&engine, &requests);

    let region = Region::new(HEAP);
    for _ in 0..ROUNDS {
        deliver(&engine, &requests);
    }
    let made = region.change();
    let delivered = engine.ledger().providers[0].delivered;
    assert_eq!(delivered, (EVENTS * (ROUNDS + 1)) as u64);

    let count = made.allocations + made.reallocations;
    let events = EVENTS * ROUNDS;
    println!(
        "{count} allocations for {events} events, {} requests",
        sink.requests()
    );
    assert!(count < events / 10 + BESIDE, "{count} for {events} events");
    let report = engine.shutdown_blocking(Duration::from_secs(20));
    assert!(report.ledger.is_clean(), "{report}");
}
