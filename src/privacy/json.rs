//! Secrets in JSON: by the names of members, by what numbers and texts look like.

mod look;

use look::Look;
use serde::de::DeserializeSeed;
use serde_json::{Map, Value as Json};

use super::detect::MARK;
use super::keys::Hit;
use super::rules::{Rules, is_mark};
use crate::Text;
use crate::event::{MAX_DEPTH, Names};

/// The document as the only thing that is said in place of one about a secret.
pub(super) const MARK_DOCUMENT: &str = "\"[redacted]\"";

/// How deep a value may be for it to be looked at: deeper than metadata and documents can be.
const DEEPEST: usize = MAX_DEPTH + 10;

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The name of the object around the one that the value is in.
    around: &'a str,
    /// The value's own name; that of the list around it where it has none.
    name: &'a str,
    /// What a name further out said of everything inside.
    hit: Option<Hit>,
    depth: usize,
}

/// What is to be done with a value.
#[derive(PartialEq, Eq)]
enum Judgement {
    Leave,
    Replace,
    /// Look into it, or at what it looks like.
    Look(Option<Hit>),
}

impl<'a> Place<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        Self {
            around: "",
            name,
            hit: None,
            depth: 1,
        }
    }

    fn member(self, name: &'a str, hit: Option<Hit>) -> Self {
        Self {
            around: self.name,
            name,
            hit,
            depth: self.depth + 1,
        }
    }

    fn item(self, hit: Option<Hit>) -> Self {
        Self {
            hit,
            depth: self.depth + 1,
            ..self
        }
    }

    fn judge(self, rules: &Rules) -> Judgement {
        let keys = &rules.detectors.keys;
        if keys.is_allowed(self.name.as_bytes()) {
            return Judgement::Leave;
        }
        match keys
            .hit(self.around.as_bytes(), self.name.as_bytes())
            .or(self.hit)
        {
            Some(Hit::One) => Judgement::Replace,
            // deeper than anything that was made in the usual way
            _ if self.depth > DEEPEST => Judgement::Replace,
            other => Judgement::Look(other),
        }
    }
}

impl Rules {
    /// Replaces the secrets in a value; says whether there were any.
    pub(super) fn json(&self, place: Place<'_>, json: &mut Json) -> bool {
        let hit = match place.judge(self) {
            Judgement::Leave => return false,
            Judgement::Replace => return replace(json),
            Judgement::Look(hit) => hit,
        };
        match json {
            Json::Null | Json::Bool(_) => false,
            Json::Number(number) => {
                magnitude(number).is_some_and(|n| self.is_secret_number(n)) && replace(json)
            }
            Json::String(_) if hit.is_some() => replace(json),
            Json::String(text) => {
                let edited = self.text(text);
                edited.map(|edited| *text = edited).is_some()
            }
            Json::Array(items) => {
                let mut changed = false;
                for item in items {
                    changed |= self.json(place.item(hit), item);
                }
                changed
            }
            Json::Object(members) => {
                let mut changed = false;
                for (name, value) in members.iter_mut() {
                    changed |= self.json(place.member(name, hit), value);
                }
                for name in self.names(members) {
                    changed = true;
                    if let Some(value) = members.get_mut(&name) {
                        self.json(place.member(&name, hit), value);
                    }
                }
                changed
            }
        }
    }

    /// Whether [`json`](Self::json) would change the value.
    pub(super) fn finds_in(&self, place: Place<'_>, json: &Json) -> bool {
        let hit = match place.judge(self) {
            Judgement::Leave => return false,
            Judgement::Replace => return says_something(json),
            Judgement::Look(hit) => hit,
        };
        match json {
            Json::Null | Json::Bool(_) => false,
            Json::Number(number) => magnitude(number).is_some_and(|n| self.is_secret_number(n)),
            Json::String(_) if hit.is_some() => says_something(json),
            Json::String(text) => self.text(text).is_some(),
            Json::Array(items) => items
                .iter()
                .any(|item| self.finds_in(place.item(hit), item)),
            Json::Object(members) => members.iter().any(|(name, value)| {
                self.text(name).is_some() || self.finds_in(place.member(name, hit), value)
            }),
        }
    }

    /// Replaces what is secret in the names of an object's members; says which names are new, since a
    /// new name may say something else about its value.
    fn names(&self, members: &mut Map<String, Json>) -> Vec<String> {
        let mut new = Vec::new();
        if !members.keys().any(|name| self.text(name).is_some()) {
            return new;
        }
        let mut names = Names::new(
            members
                .keys()
                .filter(|name| self.text(name).is_none())
                .map(|name| Text::copied(name)),
        );
        *members = std::mem::take(members)
            .into_iter()
            .map(|(name, value)| match self.text(&name) {
                Some(changed) => {
                    let name = names.free(&changed.into()).as_str().to_owned();
                    new.push(name.clone());
                    (name, value)
                }
                None => (name, value),
            })
            .collect();
        new
    }

    /// A document of JSON without secrets; `None` if there are none in it. What cannot be read as JSON
    /// is treated as text.
    pub(super) fn document(&self, document: &str) -> Option<String> {
        let mut reader = serde_json::Deserializer::from_str(document);
        let look = Look {
            rules: self,
            place: Place::of(""),
        };
        match look.deserialize(&mut reader).and_then(|found| {
            reader.end()?;
            Ok(found)
        }) {
            Ok(false) => return None,
            Ok(true) => {}
            Err(_) => return self.text(document),
        }
        let mut json: Json = serde_json::from_str(document).ok()?;
        self.json(Place::of(""), &mut json);
        // also when the only secret was in a member that another one of the same name replaced
        Some(json.to_string())
    }
}

fn replace(json: &mut Json) -> bool {
    let replaced = says_something(json);
    if replaced {
        *json = Json::String(MARK.to_owned());
    }
    replaced
}

/// Truth values, nothing and what was replaced before say nothing about a secret.
fn says_something(json: &Json) -> bool {
    match json {
        Json::Null | Json::Bool(_) => false,
        Json::String(text) => !text.is_empty() && !is_mark(text),
        _ => true,
    }
}

/// A whole number without its sign.
fn magnitude(number: &serde_json::Number) -> Option<u64> {
    number
        .as_u64()
        .or_else(|| number.as_i64().map(i64::unsigned_abs))
        .or_else(|| whole(number.as_f64()?))
}

/// A float that is a whole number.
pub(super) fn whole(number: f64) -> Option<u64> {
    const BOUND: f64 = 1e19;
    let size = number.abs();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the bounds were checked"
    )]
    (size < BOUND && size.fract() == 0.0).then_some(size as u64)
}
