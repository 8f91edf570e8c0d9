//! `serde` for events: the same flat form, for tools and for destinations that take it.

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::fields::{Entry, FieldValue};
use super::keys::{self, Key};
use super::limits::cut;
use super::read::Object;
use crate::correlation::UserSource;
use crate::event::Event;
use crate::event::value::Value;

/// The flat form, of whatever is set: an event that was not stamped lacks its id, time and session,
/// and the tenant keys are there only where the event names its own project.
///
/// [`write_wire`](Event::write_wire) is faster and says what is missing.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let claimed = self.user_source() == Some(UserSource::Claimed);
        let mut map = serializer.serialize_map(None)?;
        let mut result = Ok(());
        if let Some(project) = self.project() {
            map.serialize_entry(keys::PRODUCT_ID.name, cut(project, keys::PRODUCT_ID.max))?;
            map.serialize_entry(keys::PROJECT_ID.name, cut(project, keys::PROJECT_ID.max))?;
        }
        self.fields(false, &mut |key: &'static Key, value: FieldValue<'_>| {
            if result.is_ok() {
                result = field(&mut map, key, value);
            }
        });
        result?;
        let entries = Entries {
            event: self,
            claimed,
        };
        if !entries.is_empty() {
            map.serialize_entry(keys::METADATA, &entries)?;
        }
        map.end()
    }
}

fn field<M: SerializeMap>(map: &mut M, key: &Key, value: FieldValue<'_>) -> Result<(), M::Error> {
    match value {
        FieldValue::Text(text) => map.serialize_entry(key.name, cut(text, key.max)),
        FieldValue::Plain(text) => map.serialize_entry(key.name, text),
        FieldValue::Uuid(bytes) => {
            let text = &mut [0; 36];
            let uuid = uuid::Uuid::from_bytes(*bytes).hyphenated();
            map.serialize_entry(key.name, &*uuid.encode_lower(text))
        }
        FieldValue::Time(at) => map.serialize_entry(key.name, at.encode(&mut [0; 30])),
        FieldValue::Int(number) => map.serialize_entry(key.name, &number),
        FieldValue::Float(number) => map.serialize_entry(key.name, &number),
    }
}

/// The metadata of an event as a map.
struct Entries<'a> {
    event: &'a Event,
    claimed: bool,
}

impl Entries<'_> {
    fn is_empty(&self) -> bool {
        let mut empty = true;
        self.event.entries(self.claimed, |_| empty = false);
        empty
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut result = Ok(());
        self.event.entries(self.claimed, |entry| {
            if result.is_ok() {
                result = match entry {
                    Entry::Given(key, value) => map.serialize_entry(key, value),
                    Entry::Own(key, value) => field(&mut map, key, value),
                };
            }
        });
        result?;
        map.end()
    }
}

/// As JSON; a number that JSON cannot say is null.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Uint(value) => serializer.serialize_u64(*value),
            Self::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            Self::Null | Self::Float(_) => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Json(json) => json.serialize(serializer),
        }
    }
}

/// Reads the flat form as [`from_wire`](Event::from_wire) does, but for the limit on the length,
/// which is the caller's.
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::deserialize(deserializer)?;
        Self::from_object(object).map_err(serde::de::Error::custom)
    }
}
