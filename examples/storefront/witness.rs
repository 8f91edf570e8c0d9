//! A provider of one's own: it keeps the ids that the engine gives it and sends nothing.

use std::collections::HashSet;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use productgraph::{BoxFuture, Encoded, Event, Events, Limits, Outcome, Provider};

use crate::receivers::{POISON, UNREADABLE};

/// What was accepted, for the verdict: every provider is given the same events.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<Seen>>);

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) ids: HashSet<String>,
    /// Those of events that the rough receiver never takes.
    pub(crate) spoiled: HashSet<String>,
}

impl Witness {
    pub(crate) const NAME: &str = "witness";

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: &Event) {
        let Some(id) = event.id().map(ToString::to_string) else {
            return;
        };
        let mut seen = self.seen();
        if matches!(event.name(), Some(POISON | UNREADABLE)) {
            seen.spoiled.insert(id.clone());
        }
        seen.ids.insert(id);
    }
}

impl Provider<Event> for Witness {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn limits(&self) -> Limits {
        Limits::new(1_000, 1_000)
    }

    fn encode(&self, events: &Events<'_, Event>, _max_bytes: usize) -> Encoded {
        Encoded {
            body: Bytes::from_static(b"-"), // there is no wire
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: Bytes, events: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        events.iter().for_each(|event| self.note(event));
        Box::pin(ready(Outcome::Delivered))
    }
}
