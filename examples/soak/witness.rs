//! A provider around a provider, that remembers every verdict given to the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use productgraph::providers::{IntoProvider, ProductGraph, Setup};
use productgraph::{
    BoxFuture, ConfigError, Encoded, Event, Events, Limits, Outcome, Provider, Verdict,
};

use crate::bits::Bits;
use crate::traffic::number_of;

/// One attempt in so many panics.
const PANICS: u64 = 700;

/// What the engine was told about each event.
pub(crate) struct Told {
    pub(crate) attempted: Bits,
    pub(crate) delivered: Bits,
    pub(crate) refused: Bits,
    pub(crate) requests: AtomicU64,
}

impl Told {
    pub(crate) fn new(events: usize) -> Self {
        Self {
            attempted: Bits::new(events),
            delivered: Bits::new(events),
            refused: Bits::new(events),
            requests: AtomicU64::new(0),
        }
    }
}

/// Settings of a [`ProductGraph`] provider that is watched.
pub(crate) struct Watched {
    pub(crate) settings: ProductGraph,
    pub(crate) told: Arc<Told>,
}

struct Witness {
    inner: Box<dyn Provider<Event>>,
    told: Arc<Told>,
}

impl IntoProvider for Watched {
    fn into_provider(self, setup: &Setup) -> Result<Box<dyn Provider<Event>>, ConfigError> {
        Ok(Box::new(Witness {
            inner: self.settings.into_provider(setup)?,
            told: self.told,
        }))
    }
}

fn number(event: &Event) -> Option<usize> {
    number_of(&event.id()?.to_string())
}

fn mark<'a>(bits: &Bits, events: impl IntoIterator<Item = &'a Event>) {
    for n in events.into_iter().filter_map(number) {
        bits.set(n);
    }
}

impl Witness {
    fn note(&self, outcome: &Outcome, events: &Events<'_, Event>) {
        match outcome {
            Outcome::Delivered => mark(&self.told.delivered, events.iter()),
            Outcome::PerEvent(verdicts) => {
                let with = |wanted: fn(&Verdict) -> bool| {
                    let pairs = events.iter().zip(verdicts);
                    pairs
                        .filter(move |(_, v)| wanted(v))
                        .map(|(event, _)| event)
                };
                mark(
                    &self.told.delivered,
                    with(|v| matches!(v, Verdict::Delivered)),
                );
                mark(
                    &self.told.refused,
                    with(|v| matches!(v, Verdict::Rejected(_))),
                );
            }
            Outcome::Final { .. } => mark(&self.told.refused, events.iter()),
            // alone, there is nothing left to isolate it from
            Outcome::Poisoned { .. } | Outcome::Split { .. } if events.len() == 1 => {
                mark(&self.told.refused, events.iter());
            }
            _ => {}
        }
    }
}

impl Provider<Event> for Witness {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn encode(&self, events: &Events<'_, Event>, max_bytes: usize) -> Encoded {
        let encoded = self.inner.encode(events, max_bytes);
        // below the provider's own limit the engine asks again
        if max_bytes >= self.limits().max_bytes.get() {
            let refused = encoded.refused.iter();
            let refused = refused.filter_map(|(at, _)| events.get(*at));
            mark(&self.told.refused, refused);
        }
        encoded
    }

    fn send<'a>(&'a self, body: Bytes, events: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            mark(&self.told.attempted, events.iter());
            let nth = self.told.requests.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(
                !nth.is_multiple_of(PANICS),
                "a bug in a provider, as the soak wants it"
            );
            let outcome = self.inner.send(body, events).await;
            self.note(&outcome, &events);
            outcome
        })
    }
}
