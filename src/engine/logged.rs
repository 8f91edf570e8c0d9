//! Detailed logs: what goes to a provider and what comes back, request by request.

use bytes::Bytes;
use productgraph_actors::{BoxFuture, Encoded, Events, FormatKey, Limits, Outcome, Provider};
use tokio::time::Instant;

use crate::Event;

/// A provider whose requests are logged, one line each: sizes and outcome, never content.
pub(super) struct Logged(pub(super) Box<dyn Provider<Event>>);

impl Provider<Event> for Logged {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }

    fn format(&self) -> Option<FormatKey> {
        self.0.format()
    }

    fn encode(&self, events: &Events<'_, Event>, max_bytes: usize) -> Encoded {
        let encoded = self.0.encode(events, max_bytes);
        if !encoded.refused.is_empty() {
            let (provider, events) = (self.name(), encoded.refused.len());
            tracing::info!(provider, events, "events can never be sent");
        }
        encoded
    }

    fn send<'a>(&'a self, body: Bytes, events: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let (start, bytes) = (Instant::now(), body.len());
            let outcome = self.0.send(body, events).await;
            tracing::info!(
                provider = self.name(),
                events = events.len(),
                bytes,
                took = ?start.elapsed(),
                %outcome,
                "request sent"
            );
            outcome
        })
    }
}
