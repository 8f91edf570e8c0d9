//! Which stored events a query asks for.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::params;
use crate::store::Stored;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;

/// Conditions that must all hold, and the part of the matches to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    conditions: Vec<(Place, String)>,
    pub(crate) limit: usize,
    pub(crate) offset: usize,
}

/// Where a condition looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The id the event was stored under.
    Id,
    /// A key of the event.
    Event(&'static str),
    /// A key of its `metadata`.
    Metadata(&'static str),
}

impl Filter {
    /// Reads a query string; unknown parameters are refused, because a misspelt one would
    /// otherwise match everything.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut filter = Self {
            conditions: Vec::new(),
            limit: DEFAULT_LIMIT,
            offset: 0,
        };
        for (name, value) in params::pairs(query)? {
            let place = match name.as_str() {
                "id" => Place::Id,
                "session" => Place::Event("session.id"),
                "type" => Place::Event("event.type"),
                "name" => Place::Event("event.name"),
                "user" => Place::Event("user.id"),
                "request_id" => Place::Metadata("request_id"),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit <= MAX_LIMIT);
                    filter.limit = limit
                        .ok_or_else(|| format!("limit: expected a number up to {MAX_LIMIT}"))?;
                    continue;
                }
                "offset" => {
                    filter.offset = value
                        .parse()
                        .map_err(|_| "offset: expected a number".to_owned())?;
                    continue;
                }
                _ => {
                    return Err(
                        "unknown parameter; known: session, request_id, type, name, user, \
                                id, limit, offset"
                            .to_owned(),
                    );
                }
            };
            filter.conditions.push((place, value));
        }
        Ok(filter)
    }

    pub(crate) fn fits(&self, stored: &Stored) -> bool {
        if self.conditions.is_empty() {
            return true;
        }
        let event = object(&stored.raw);
        let metadata = event
            .get("metadata")
            .map(|raw| object(raw.get().as_bytes()));
        self.conditions.iter().all(|(place, wanted)| match place {
            Place::Id => stored.id == wanted.as_bytes(),
            Place::Event(key) => is(event.get(*key), wanted),
            Place::Metadata(key) => is(metadata.as_ref().and_then(|m| m.get(*key)), wanted),
        })
    }
}

/// The keys of an object, or none if it is not one.
fn object(json: &[u8]) -> HashMap<String, &RawValue> {
    serde_json::from_slice(json).unwrap_or_default()
}

fn is(value: Option<&&RawValue>, wanted: &str) -> bool {
    value.is_some_and(|raw| serde_json::from_str::<String>(raw.get()).is_ok_and(|v| v == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_is_refused() {
        for bad in ["sesion=a", "limit=x", "limit=10001", "offset=-1", "id=%zz"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_query_shows_the_first_hundred() {
        let filter = Filter::parse("").unwrap();
        assert_eq!((filter.limit, filter.offset), (100, 0));
    }
}
