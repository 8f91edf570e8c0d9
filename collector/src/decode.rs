//! From bytes to accepted events and index errors, with the service's own strictness.
//!
//! Two passes: the envelope is cut into raw events (which checks the syntax of everything), then
//! each raw event is walked key by key. Nothing is re-serialised: an accepted event is a slice of
//! the request's body.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{self, Checked};
use crate::fields::{Generation, is_events};

/// How to read a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) generation: Generation,
    /// Fractional numbers in integer fields refuse the batch; else they are rounded.
    pub(crate) strict: bool,
    pub(crate) max_events: usize,
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: Bytes,
    pub(crate) raw: Bytes,
}

/// A rejected event, as the 202 body names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IndexError {
    /// Zero-based position in the request's `events`.
    pub index: usize,
    /// `<field>: required`.
    pub error: String,
}

/// A decoded batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) errors: Vec<IndexError>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.accepted.len() + self.errors.len()
    }
}

/// Why a whole batch is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    InvalidBody,
    TooLarge,
}

/// Decides about events by what their text contains; see [`crate::FaultPlan`].
pub(crate) trait Screen {
    /// Whether the event makes the whole batch undecodable.
    fn poisons(&self, raw: &str) -> bool;
    /// The index error to plant, if any.
    fn rejects(&self, raw: &str) -> Option<String>;
}

/// Reads a request body.
pub(crate) fn decode(body: Bytes, rules: Rules, screen: &impl Screen) -> Result<Batch, Refusal> {
    let body = match String::from_utf8_lossy(&body) {
        Cow::Borrowed(_) => body,
        Cow::Owned(replaced) => Bytes::from(replaced),
    };
    // Checked just above; the borrow is only repeated because `body` may have been replaced.
    let text = str::from_utf8(&body).map_err(|_| Refusal::InvalidBody)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // Without `end()`: the service reads the first value and ignores what follows.
    let raws = deserializer
        .deserialize_any(Envelope)
        .map_err(|_| Refusal::InvalidBody)?;

    let mut batch = Batch::default();
    batch.accepted.reserve(raws.len().min(rules.max_events));
    let too_large = raws.len() > rules.max_events;
    for (index, raw) in raws.into_iter().enumerate() {
        let raw = raw.get();
        if screen.poisons(raw) {
            return Err(Refusal::InvalidBody);
        }
        // Types are checked even in a batch that is too large: decoding comes first.
        let checked = event::check(raw, rules).ok_or(Refusal::InvalidBody)?;
        if too_large {
            continue;
        }
        match checked {
            Checked::Missing(field) => {
                batch.errors.push(IndexError {
                    index,
                    error: format!("{field}: required"),
                });
            }
            Checked::Complete(event) => match screen.rejects(raw) {
                Some(error) => batch.errors.push(IndexError { index, error }),
                None => batch.accepted.push(event.into_accepted(&body, raw)),
            },
        }
    }
    if too_large {
        Err(Refusal::TooLarge)
    } else {
        Ok(batch)
    }
}

/// The outer object. `null` in its place decodes to nothing, as in Go.
struct Envelope;

impl<'de> Visitor<'de> for Envelope {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with events")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if is_events(&key) {
                events = map.next_value_seed(Elements)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(events)
    }
}

/// The value of `events`: an array of raw elements, or `null`.
struct Elements;

impl<'de> DeserializeSeed<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut raws = Vec::new();
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            raws.push(raw);
        }
        Ok(raws)
    }
}
