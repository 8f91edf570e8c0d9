//! Settings from code that cannot be worked with, and what tracking costs through the real engine.

use std::time::Duration;

use allocation_counter::measure;
use productgraph::correlation::{Correlation, RequestId, SessionId, SessionSource};
use productgraph::providers::Memory;
use productgraph::{Engine, Event};

fn builder() -> productgraph::EngineBuilder {
    Engine::builder().project("shop").provider(Memory::new())
}

fn correlation() -> Correlation {
    Correlation::builder()
        .session(
            SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f").unwrap(),
            SessionSource::Adopted,
        )
        .request_id(RequestId::parse("0f8fad5b-d9cb-469f-a165-70867728950e").unwrap())
        .build()
}

fn response() -> Event {
    Event::api_response(
        http::Method::POST,
        "/v1/plans/{id}",
        200,
        Duration::from_micros(41_250),
    )
}

#[test]
fn a_queue_that_no_machine_can_hold_is_an_error_and_no_panic() {
    let spawned =
        std::panic::catch_unwind(|| builder().queue_capacity(usize::MAX).spawn().is_err());
    assert!(matches!(spawned, Ok(true)), "{spawned:?}");
}

#[test]
fn a_ceiling_that_holds_nothing_is_an_error() {
    assert!(builder().max_buffered_bytes(0).spawn().is_err());
}

#[test]
fn an_api_response_through_the_real_engine_allocates_nothing() {
    let engine = builder().spawn().unwrap();
    let handle = engine.handle();
    correlation().enter(|| {
        handle.track(response());
        let counted = measure(|| (0..500).for_each(|_| handle.track(response())));
        assert_eq!(counted.count_total, 0);
    });
    let report = engine.shutdown_blocking(Duration::from_secs(20));
    assert!(report.ledger.is_clean(), "{report}");
    assert_eq!(report.ledger.accepted, 501);
}

#[test]
fn an_api_response_that_a_closed_or_full_engine_refuses_allocates_nothing() {
    let engine = builder().spawn().unwrap();
    let handle = engine.handle();
    correlation().enter(|| handle.track(response()));
    engine.shutdown_blocking(Duration::from_secs(20));
    correlation().enter(|| {
        handle.track(response());
        let counted = measure(|| (0..500).for_each(|_| handle.track(response())));
        assert_eq!(counted.count_total, 0);
    });
}
