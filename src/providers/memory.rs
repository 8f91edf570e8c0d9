//! A provider that keeps what it gets, for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use productgraph_actors::{
    BoxFuture, Encoded, Events, FormatKey, Limits, Outcome, Provider, Verdict,
};
use serde_json::Value;

use super::productgraph::Encoder;
use super::{IntoProvider, Setup};
use crate::event::wire::WireOptions;
use crate::{ConfigError, Event, Text};

/// Records every event it is sent, as JSON in its flat wire form, and answers as told.
///
/// Clones share what they record: keep one, give the other to the engine.
///
/// ```
/// use productgraph::providers::Memory;
/// use productgraph::{Cause, Outcome};
///
/// let memory = Memory::new();
/// memory.answer(Outcome::Retry { not_before: None, cause: Cause::status(503) });
/// // engine: `.provider(memory.clone())`, track, flush, then:
/// assert!(memory.delivered().is_empty());
/// assert_eq!(memory.requests(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Memory {
    name: Text,
    limits: Limits,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Scripted>,
    requests: usize,
    received: Vec<Received>,
}

#[derive(Debug)]
enum Scripted {
    Outcome(Outcome),
    Never,
}

/// One event of one request.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// The request it came in, counted from 0.
    pub request: usize,
    /// Its `event_id`; empty if it has none.
    pub id: String,
    /// The event as it would go over the wire.
    pub json: Value,
    /// What the provider answered for it; `None` if it never answered.
    pub verdict: Option<Verdict>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// A provider called `memory` that delivers everything.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: "memory".into(),
            limits: Limits::new(1000, 1_000_000),
            state: Arc::default(),
        }
    }

    /// The name in reports; a second provider of this type needs its own.
    #[must_use]
    pub fn name(mut self, name: impl Into<Text>) -> Self {
        self.name = name.into();
        self
    }

    /// What one request may hold. Default: 1000 events, 1,000,000 bytes.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Queues the answer to a request. Requests take the queued answers in order; when there is
    /// none, all events are delivered.
    pub fn answer(&self, outcome: Outcome) {
        self.state().script.push_back(Scripted::Outcome(outcome));
    }

    /// Queues a request without an answer: it ends when the engine gives it up.
    pub fn never_answer(&self) {
        self.state().script.push_back(Scripted::Never);
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// Every event of every request, in order, retries included.
    pub fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// The events that were answered with delivered, in order, as JSON.
    pub fn delivered(&self) -> Vec<Value> {
        let delivered = |received: &&Received| received.verdict == Some(Verdict::Delivered);
        self.state()
            .received
            .iter()
            .filter(delivered)
            .map(|r| r.json.clone())
            .collect()
    }

    /// The ids of the events that were answered with delivered, in order.
    pub fn delivered_ids(&self) -> Vec<String> {
        let delivered = |received: &&Received| received.verdict == Some(Verdict::Delivered);
        self.state()
            .received
            .iter()
            .filter(delivered)
            .map(|r| r.id.clone())
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // a panic elsewhere leaves nothing half done in here
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and returns its answer, `None` for never.
    fn record(&self, body: &[u8]) -> Option<Outcome> {
        let mut state = self.state();
        let outcome = match state.script.pop_front() {
            Some(Scripted::Outcome(outcome)) => Some(outcome),
            Some(Scripted::Never) => None,
            None => Some(Outcome::Delivered),
        };
        let request = state.requests;
        state.requests += 1;
        let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
        let events = match body["events"].take() {
            Value::Array(events) => events,
            _ => Vec::new(),
        };
        for (index, json) in events.into_iter().enumerate() {
            let id = json["event_id"].as_str().unwrap_or_default().to_owned();
            let verdict = outcome.as_ref().map(|outcome| verdict(outcome, index));
            state.received.push(Received {
                request,
                id,
                json,
                verdict,
            });
        }
        outcome
    }
}

fn verdict(outcome: &Outcome, index: usize) -> Verdict {
    match outcome {
        Outcome::Delivered => Verdict::Delivered,
        Outcome::PerEvent(verdicts) => verdicts.get(index).copied().unwrap_or(Verdict::Retry),
        Outcome::Final { reason, .. } => Verdict::Rejected(*reason),
        _ => Verdict::Retry,
    }
}

impl IntoProvider for Memory {
    fn into_provider(self, setup: &Setup) -> Result<Box<dyn Provider<Event>>, ConfigError> {
        let wire = WireOptions::new(setup.project.clone());
        Ok(Box::new(Recorder {
            encoder: Encoder::new(wire),
            memory: self,
        }))
    }
}

/// What [`Memory`] makes.
#[derive(Debug)]
struct Recorder {
    memory: Memory,
    encoder: Encoder,
}

impl Provider<Event> for Recorder {
    fn name(&self) -> &str {
        &self.memory.name
    }

    fn limits(&self) -> Limits {
        self.memory.limits
    }

    fn format(&self) -> Option<FormatKey> {
        Some(self.encoder.format())
    }

    fn encode(&self, events: &Events<'_, Event>, max_bytes: usize) -> Encoded {
        self.encoder
            .encode(events, self.memory.limits.max_events.get(), max_bytes)
    }

    fn send<'a>(&'a self, body: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match self.memory.record(&body) {
                Some(outcome) => outcome,
                None => std::future::pending().await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use productgraph_actors::{Cause, RejectReason};

    use super::*;

    fn event(id: &str) -> Event {
        let json = serde_json::json!({
            "event_id": id,
            "session.id": "018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f",
            "event.type": "custom",
            "event.timestamp": "2026-01-01T00:00:00.000Z",
        });
        Event::from_wire(json.to_string()).unwrap()
    }

    fn provider(memory: &Memory) -> Box<dyn Provider<Event>> {
        memory.clone().into_provider(&Setup::new("shop")).unwrap()
    }

    async fn deliver(provider: &dyn Provider<Event>, events: &[Event]) -> Outcome {
        let events = Events::from_slice(events);
        let encoded = provider.encode(&events, 10_000);
        assert_eq!(encoded.consumed, events.len());
        provider.send(encoded.body, events).await
    }

    #[tokio::test]
    async fn events_are_kept_as_they_would_go_over_the_wire() {
        let memory = Memory::new().name("kept");
        let provider = provider(&memory);

        assert_eq!(provider.name(), "kept");
        assert_eq!(
            deliver(&*provider, &[event("a"), event("b")]).await,
            Outcome::Delivered
        );
        assert_eq!(memory.delivered_ids(), ["a", "b"]);
        assert_eq!(memory.delivered()[1]["product_id"], "shop");
    }

    #[tokio::test]
    async fn answers_come_in_the_order_in_which_they_were_queued() {
        let rejected = Verdict::Rejected(RejectReason::Invalid);
        let memory = Memory::new();
        let provider = provider(&memory);
        let busy = Outcome::Retry {
            not_before: None,
            cause: Cause::status(503),
        };
        let some = Outcome::PerEvent(vec![rejected, Verdict::Delivered]);
        memory.answer(busy.clone());
        memory.answer(some.clone());

        let batch = [event("a"), event("b")];
        assert_eq!(deliver(&*provider, &batch).await, busy);
        assert_eq!(memory.delivered_ids().len(), 0);
        assert_eq!(deliver(&*provider, &batch).await, some);
        assert_eq!(deliver(&*provider, &batch[..1]).await, Outcome::Delivered);

        assert_eq!(memory.requests(), 3);
        let told: Vec<_> = memory
            .received()
            .into_iter()
            .map(|r| (r.request, r.id, r.verdict))
            .collect();
        let row = |request, id: &str, verdict| (request, id.to_owned(), Some(verdict));
        assert_eq!(
            told,
            [
                row(0, "a", Verdict::Retry),
                row(0, "b", Verdict::Retry),
                row(1, "a", rejected),
                row(1, "b", Verdict::Delivered),
                row(2, "a", Verdict::Delivered),
            ]
        );
    }

    #[tokio::test]
    async fn a_request_that_is_never_answered_is_recorded_without_a_verdict() {
        let memory = Memory::new();
        let provider = provider(&memory);
        memory.never_answer();

        let batch = [event("a")];
        let mut request = Box::pin(deliver(&*provider, &batch));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(request.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        assert_eq!(memory.received()[0].verdict, None);
        assert_eq!(memory.delivered(), Vec::<Value>::new());
    }
}
