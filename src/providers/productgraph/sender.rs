//! The provider itself: encoder, transport and judgement put together.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use productgraph_actors::{BoxFuture, Encoded, Events, FormatKey, Limits, Outcome, Provider};

use super::encode::Encoder;
use super::judge::{TenantKey, TenantKeyState, judge};
use crate::event::wire::WireOptions;
use crate::providers::http::{HttpTransport, Request, StatusRules};
use crate::{Event, Text};

/// What [`ProductGraph`](super::ProductGraph) makes.
#[derive(Debug)]
pub(super) struct Sender {
    name: Text,
    transport: HttpTransport,
    encoder: Encoder,
    rules: StatusRules,
    limits: Limits,
    tenant_key_warning: Episode,
}

impl Sender {
    pub(super) fn new(
        name: Text,
        transport: HttpTransport,
        wire: WireOptions,
        rules: StatusRules,
        limits: Limits,
    ) -> Self {
        let encoder = Encoder::new(wire);
        Self {
            name,
            transport,
            encoder,
            rules,
            limits,
            tenant_key_warning: Episode::default(),
        }
    }

    async fn deliver(&self, body: Bytes, count: usize) -> Outcome {
        let answer = match self.transport.send(Request::json(body)).await {
            Ok(answer) => answer,
            Err(error) => {
                return Outcome::Retry {
                    not_before: None,
                    cause: error.into(),
                };
            }
        };
        let judgement = judge(&answer, count, &self.rules);
        self.tell(judgement.tenant_key);
        judgement.outcome
    }

    /// The one thing the operator has to hear from here: nothing else in the answers looks like
    /// trouble, yet every event is lost.
    fn tell(&self, state: TenantKeyState) {
        match state {
            TenantKeyState::Accepted => self.tenant_key_warning.end(),
            TenantKeyState::Missing(key) => {
                if self.tenant_key_warning.begin() {
                    warn(&self.name, key);
                }
            }
            TenantKeyState::Unknown => {}
        }
    }
}

fn warn(provider: &str, key: TenantKey) {
    tracing::warn!(
        provider,
        "every event is rejected because it lacks {key}: set `tenant_keys` to both, or to {key}"
    );
}

impl Provider<Event> for Sender {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn format(&self) -> Option<FormatKey> {
        Some(self.encoder.format())
    }

    fn encode(&self, events: &Events<'_, Event>, max_bytes: usize) -> Encoded {
        let max_bytes = max_bytes.min(self.limits.max_bytes.get());
        self.encoder
            .encode(events, self.limits.max_events.get(), max_bytes)
    }

    fn send<'a>(&'a self, body: Bytes, events: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(self.deliver(body, events.len()))
    }
}

/// Something that is said once until it is over.
#[derive(Debug, Default)]
struct Episode(AtomicBool);

impl Episode {
    /// Whether this is the start.
    fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    fn end(&self) {
        // most answers find it ended: do not write to a shared line for them
        if self.0.load(Ordering::Relaxed) {
            self.0.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_told_once_until_it_is_over() {
        let episode = Episode::default();
        assert!(episode.begin());
        assert!(!episode.begin());
        episode.end();
        assert!(episode.begin());
    }
}
