//! What the benchmarks share.

use std::time::Duration;

use bytes::Bytes;
use productgraph::correlation::{Correlation, RequestId, SessionId, SessionSource, UserId};
use productgraph::{BoxFuture, Encoded, Engine, EngineBuilder, Event, Events, Limits, Outcome};
use productgraph::{Provider, Text};

/// Takes everything and does nothing with it.
pub struct Null;

impl Provider<Event> for Null {
    fn name(&self) -> &str {
        "null"
    }

    fn limits(&self) -> Limits {
        Limits::new(1000, 1 << 20)
    }

    fn encode(&self, events: &Events<'_, Event>, _: usize) -> Encoded {
        Encoded { body: Bytes::new(), consumed: events.len(), refused: Vec::new() }
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}

/// Room for every burst, so that nothing is refused.
pub fn roomy() -> EngineBuilder {
    Engine::builder()
        .project("bench")
        .queue_capacity(1 << 16)
        .max_buffered_bytes(64 << 20)
        .shutdown_timeout(Duration::from_secs(60))
}

/// A correlated request.
pub fn request() -> Correlation {
    let request = Correlation::builder()
        .session(SessionId::mint(), SessionSource::Adopted)
        .request_id(RequestId::mint())
        .build();
    if let Ok(user) = UserId::parse("u_184467") {
        request.set_user(user);
    }
    request
}

/// The event that the middleware tracks.
pub fn api_response(path: &Text) -> Event {
    Event::api_response(http::Method::GET, path.clone(), 200, Duration::from_millis(12))
}

/// Waits until the engine has taken everything off its queues.
pub fn settle(engine: &Engine) {
    while engine.ledger().providers.iter().any(|provider| provider.pending > 0) {
        std::thread::yield_now();
    }
}
