//! Everything that uses productgraph's own interface: when that changes, this file does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use productgraph::correlation::{Correlation, RequestId, SessionId, SessionSource, UserId};
use productgraph::event::{EventId, Timestamp};
use productgraph::providers::{IntoProvider as _, ProductGraph, Setup};
use productgraph::{
    BoxFuture, Encoded, Engine, EngineBuilder, Event, Events, Limits, Outcome, Provider, Redaction,
    Text,
};

use crate::request::{ROUTES, Req};

/// Takes everything and does nothing with it.
pub struct Null(Text);

impl Null {
    /// One with a name of its own.
    pub fn named(name: impl Into<Text>) -> Self {
        Self(name.into())
    }
}

impl Default for Null {
    fn default() -> Self {
        Self::named("null")
    }
}

impl Provider<Event> for Null {
    fn name(&self) -> &str {
        &self.0
    }

    fn limits(&self) -> Limits {
        Limits::new(1000, 1 << 20)
    }

    fn encode(&self, events: &Events<'_, Event>, _: usize) -> Encoded {
        Encoded {
            body: Bytes::new(),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}

/// Room for every burst, so that nothing is refused. Redaction and consent are on, as they come.
pub fn roomy() -> EngineBuilder {
    Engine::builder()
        .project("demo-project")
        .queue_capacity(1 << 16)
        .max_buffered_bytes(64 << 20)
        .shutdown_timeout(Duration::from_mins(1))
}

/// A builder as it comes.
pub fn as_it_comes() -> EngineBuilder {
    Engine::builder().project("demo-project")
}

/// The native provider for a sink at this address.
pub fn provider(url: &str, name: String) -> ProductGraph {
    ProductGraph::new(format!("{url}/v1/events")).name(name)
}

/// The native provider as the engine would make it, to encode with.
///
/// # Panics
///
/// Never: the settings are fixed.
pub fn encoder() -> Box<dyn Provider<Event>> {
    provider("http://127.0.0.1:9", "encoder".to_owned())
        .max_batch_events(1000)
        .into_provider(&Setup::new("demo-project"))
        .expect("the settings are valid")
}

/// The rules that an engine starts with.
pub fn redaction() -> Redaction {
    Redaction::default()
}

/// What the middleware makes of a request's headers.
///
/// # Panics
///
/// Never: the ids are well formed.
pub fn correlation(request: &Req) -> Correlation {
    let correlation = Correlation::builder()
        .session(
            SessionId::parse(&request.session).expect("a session id"),
            SessionSource::Adopted,
        )
        .request_id(RequestId::parse(&request.request).expect("a request id"))
        .build();
    correlation.set_user(UserId::parse(&request.user).expect("a user id"));
    correlation
}

/// A correlation of fresh ids.
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

/// The route templates as the middleware has them: shared text.
pub fn routes() -> [Text; ROUTES.len()] {
    ROUTES.map(|route| Arc::<str>::from(route).into())
}

/// The event that the middleware tracks.
#[inline]
pub fn api_response(path: &Text) -> Event {
    Event::api_response(
        http::Method::GET,
        path.clone(),
        200,
        Duration::from_millis(12),
    )
}

/// The same with what a request was about.
#[inline]
pub fn response_to(request: &Req, path: &Text) -> Event {
    let method = if request.method == "POST" {
        http::Method::POST
    } else {
        http::Method::GET
    };
    let duration = Duration::from_micros(request.micros.into());
    Event::api_response(method, path.clone(), request.status, duration)
}

/// The same as a provider gets it: with id, time, sequence number and correlation.
pub fn stamped(request: &Req, path: &Text, sequence: u64) -> Event {
    let now = Timestamp::now();
    response_to(request, path)
        .with_id(EventId::v7(now, sequence))
        .with_timestamp(now)
        .with_sequence(sequence)
        .with_correlation(correlation(request))
}

/// An error whose type and message are static.
#[inline]
pub fn error() -> Event {
    Event::error("ValidationError", "invalid card number")
}

/// A journey step whose ids are static.
#[inline]
pub fn journey_step() -> Event {
    Event::journey_step("checkout_flow", "payment_confirmed", "Payment confirmed")
}

/// Events that no provider has settled yet; the most of any provider.
pub fn pending(engine: &Engine) -> u64 {
    engine
        .ledger()
        .providers
        .iter()
        .map(|provider| provider.pending)
        .max()
        .unwrap_or(0)
}

/// Waits until the engine has taken everything off its queues.
pub fn settle(engine: &Engine) {
    while pending(engine) > 0 {
        std::thread::yield_now();
    }
}
