//! What an event costs the whole process in allocations, from the call until it is delivered.
//!
//! The allocator counts all threads, so there is one test here, and what it sends to allocates nothing
//! for what it gets.

mod sink;

use std::alloc::System;
use std::time::Duration;

use productgraph::correlation::{Correlation, RequestId, SessionId, SessionSource, UserId};
use productgraph::providers::ProductGraph;
use productgraph::{Engine, Event};
use sink::{Manner, Sink};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Fewer than the queue holds.
const EVENTS: usize = 5000;
const ROUNDS: usize = 4;

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

/// The engine does nothing before the flush.
fn deliver(runtime: &Runtime, engine: &Engine, requests: &[Correlation]) {
    let handle = engine.handle();
    for (n, request) in (0..).zip(requests) {
        let took = Duration::from_micros(41_250 + n);
        let event = Event::api_response(http::Method::POST, "/v1/plans/{id}", 200, took);
        handle.track(event.with_correlation(request.clone()));
    }
    let report = runtime.block_on(handle.flush());
    assert_eq!(report.ledger.providers[0].pending, 0, "{report}");
}

/// What the process made while it delivered so many events.
struct Cost {
    allocations: usize,
    events: usize,
    requests: usize,
}

fn cost(batch_size: usize) -> Cost {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let sink = Sink::start(Manner::Taking);
    let engine = Engine::builder()
        .project("shop")
        .provider(ProductGraph::new(sink.endpoint()).max_batch_events(1000))
        .batch_size(batch_size)
        .runtime(runtime.handle().clone())
        .spawn()
        .expect("it starts");
    let requests: Vec<_> = (0..EVENTS).map(correlation).collect();
    // what is made once is made now
    deliver(&runtime, &engine, &requests);

    let (region, before) = (Region::new(HEAP), sink.requests());
    for _ in 0..ROUNDS {
        deliver(&runtime, &engine, &requests);
    }
    let made = region.change();
    let cost = Cost {
        allocations: made.allocations + made.reallocations,
        events: EVENTS * ROUNDS,
        requests: sink.requests() - before,
    };
    let delivered = engine.ledger().providers[0].delivered;
    assert_eq!(delivered, (EVENTS * (ROUNDS + 1)) as u64);
    let report = runtime.block_on(engine.shutdown(Duration::from_secs(20)));
    assert!(report.ledger.is_clean(), "{report}");
    cost
}

#[test]
fn an_event_costs_the_process_a_tenth_of_an_allocation_until_it_is_delivered() {
    let Cost {
        allocations,
        events,
        requests,
    } = cost(1000);
    println!("{allocations} for {events} events in {requests} requests");
    assert!(allocations <= events / 10, "{allocations}");

    // however many requests there are: two for each batch, some dozens for each request, nearly all of
    // them the client's, and what a flush costs; nothing for an event
    let Cost {
        allocations,
        events,
        requests,
    } = cost(50);
    println!("{allocations} for {events} events in {requests} requests");
    let most = events / 50 * 5 / 2 + requests * 75 + ROUNDS * 100;
    assert!(allocations <= most, "{allocations} in {requests} requests");
}
