//! What tracking costs the caller through an engine that really delivers, not a recording double.

use std::time::Duration;

use allocation_counter::measure;
use productgraph::correlation::{Correlation, RequestId, SessionId, SessionSource};
use productgraph::providers::Memory;
use productgraph::{Engine, Event};

const EVENTS: u64 = 500;

fn correlation() -> Correlation {
    let session = SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f").expect("an id");
    let request = RequestId::parse("0f8fad5b-d9cb-469f-a165-70867728950e").expect("an id");
    Correlation::builder()
        .session(session, SessionSource::Adopted)
        .request_id(request)
        .build()
}

fn response() -> Event {
    let took = Duration::from_micros(41_250);
    Event::api_response(http::Method::POST, "/v1/plans/{id}", 200, took)
}

#[test]
fn an_api_response_that_the_engine_takes_allocates_nothing() {
    let engine = Engine::builder()
        .project("shop")
        .provider(Memory::new())
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    correlation().enter(|| {
        // the thread's generator is made once, and the buffer is woken once
        handle.track(response());
        let counted = measure(|| (0..EVENTS).for_each(|_| handle.track(response())));
        assert_eq!(counted.count_total, 0);
    });
    let report = engine.shutdown_blocking(Duration::from_secs(20));
    assert_eq!(report.ledger.accepted, EVENTS + 1, "{report}");
    assert!(report.ledger.is_clean(), "{report}");
}
