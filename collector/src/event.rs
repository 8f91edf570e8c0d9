//! One event: the types of its fields, its required keys, and the few repairs a server makes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decode::{Accepted, Rules};
use crate::fields::{Field, Generation, field};
use crate::timestamp;

/// What the types and required keys of one event say.
pub(crate) enum Checked<'a> {
    Complete(Complete<'a>),
    /// The first required key that is absent or empty.
    Missing(&'static str),
}

/// An event that will be accepted.
pub(crate) struct Complete<'a> {
    id: &'a str,
    edits: Vec<Edit>,
}

/// A piece of the event's text to be replaced before it is stored.
struct Edit {
    range: Range<usize>,
    text: String,
}

impl Complete<'_> {
    /// Slices the event out of `body`; `raw` must be a part of it.
    pub(crate) fn into_accepted(self, body: &Bytes, raw: &str) -> Accepted {
        let id = match unescape(self.id) {
            Cow::Borrowed(plain) => body.slice_ref(plain.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        let raw = if self.edits.is_empty() {
            body.slice_ref(raw.as_bytes())
        } else {
            Bytes::from(edited(raw, self.edits))
        };
        Accepted { id, raw }
    }
}

/// Checks one element of `events`; `None` means the service could not decode it.
pub(crate) fn check(raw: &str, rules: Rules) -> Option<Checked<'_>> {
    if !raw.starts_with('{') {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let mut walk = deserializer.deserialize_map(Walker { raw, rules }).ok()?;

    // Go checks the shape after the whole object was read, so an early bad value may be overruled.
    let no_timestamp = match walk.timestamp {
        None | Some("\"\"") => true,
        Some(quoted) if timestamp::is_valid(&unescape(quoted)) => false,
        Some(_) => return None,
    };
    let required = [
        (walk.id, "event_id"),
        (walk.tenant, rules.generation.tenant_key()),
        (walk.session, "session.id"),
        (walk.event_type, "event.type"),
    ];
    if let Some((_, field)) = required
        .iter()
        .find(|(value, _)| matches!(value, None | Some("\"\"")))
    {
        return Some(Checked::Missing(field));
    }
    if no_timestamp && let Some(now) = timestamp::now() {
        let edit = match walk.timestamp_at.take() {
            Some(range) => Edit {
                range,
                text: format!("\"{now}\""),
            },
            // Before the closing brace; a complete event has at least one key before it.
            None => Edit {
                range: raw.len() - 1..raw.len() - 1,
                text: format!(",\"event.timestamp\":\"{now}\""),
            },
        };
        walk.edits.push(edit);
    }
    Some(Checked::Complete(Complete {
        id: walk.id?,
        edits: walk.edits,
    }))
}

/// What one walk over the keys leaves behind; strings still in their quotes.
#[derive(Default)]
struct Walk<'a> {
    id: Option<&'a str>,
    tenant: Option<&'a str>,
    session: Option<&'a str>,
    event_type: Option<&'a str>,
    timestamp: Option<&'a str>,
    timestamp_at: Option<Range<usize>>,
    edits: Vec<Edit>,
}

struct Walker<'a> {
    raw: &'a str,
    rules: Rules,
}

impl Walker<'_> {
    /// Where `part`, a slice of the event, lies in it.
    fn range(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr().addr() - self.raw.as_ptr().addr();
        start..start + part.len()
    }
}

impl<'de> Visitor<'de> for Walker<'de> {
    type Value = Walk<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let wrong = || <A::Error as serde::de::Error>::custom("wrong type");
        let mut walk = Walk::default();
        while let Some(field) = map.next_key_seed(Key(self.rules.generation))? {
            if field == Field::Unknown {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&'de RawValue>()?.get();
            if field == Field::Timestamp {
                walk.timestamp_at = Some(self.range(value));
            }
            // `null` leaves a field as it was, also after an earlier value of the same key.
            if value == "null" {
                continue;
            }
            let right = match field {
                Field::Integer => match integer(value, self.rules.strict) {
                    Integer::Plain => true,
                    Integer::Rounded(text) => {
                        walk.edits.push(Edit {
                            range: self.range(value),
                            text,
                        });
                        true
                    }
                    Integer::Wrong => false,
                },
                Field::Float => is_number(value) && value.parse::<f64>().is_ok_and(f64::is_finite),
                Field::Metadata => value.starts_with('{'),
                _ => value.starts_with('"'),
            };
            if !right {
                return Err(wrong());
            }
            match field {
                Field::EventId => walk.id = Some(value),
                Field::Tenant => walk.tenant = Some(value),
                Field::Session => walk.session = Some(value),
                Field::EventType => walk.event_type = Some(value),
                Field::Timestamp => walk.timestamp = Some(value),
                _ => {}
            }
        }
        Ok(walk)
    }
}

/// A key, looked up without copying it.
struct Key(Generation);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        // As bytes, because only these let a lone surrogate through, which Go replaces.
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Field, E> {
        Ok(field(key, self.0))
    }
}

enum Integer {
    Plain,
    Rounded(String),
    Wrong,
}

fn is_number(value: &str) -> bool {
    value.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn integer(value: &str, strict: bool) -> Integer {
    if value.parse::<i64>().is_ok() {
        return Integer::Plain;
    }
    if strict || !is_number(value) {
        return Integer::Wrong;
    }
    // `round` is half away from zero. 2^63 itself is out of range, -2^63 is not.
    match value.parse::<f64>().map(f64::round) {
        Ok(rounded)
            if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) =>
        {
            // Adding zero turns "-0" into "0".
            Integer::Rounded(format!("{:.0}", rounded + 0.0))
        }
        _ => Integer::Wrong,
    }
}

/// The content of a JSON string given with its quotes.
fn unescape(quoted: &str) -> Cow<'_, str> {
    let plain = quoted
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(quoted);
    if !quoted.contains('\\') {
        return Cow::Borrowed(plain);
    }
    let content = serde_json::Deserializer::from_str(quoted).deserialize_bytes(Content);
    Cow::Owned(content.unwrap_or_else(|_| plain.to_owned()))
}

/// The content of a string; lone surrogates come as invalid UTF-8 and are replaced, as in Go.
struct Content;

impl Visitor<'_> for Content {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Applies edits; they come in any order and do not overlap.
fn edited(raw: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.range.start);
    let mut out = String::with_capacity(raw.len() + 64);
    let mut from = 0;
    for edit in edits {
        out.push_str(&raw[from..edit.range.start]);
        out.push_str(&edit.text);
        from = edit.range.end;
    }
    out.push_str(&raw[from..]);
    out
}
