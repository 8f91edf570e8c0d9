//! A look at a document of JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Judgement, Place, whole};
use crate::privacy::keys::Hit;
use crate::privacy::rules::{Rules, is_mark};

/// Reads a document without keeping it: are there secrets in it? Sees every member of an object that
/// has several of one name, of which a value in memory keeps but one.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) rules: &'a Rules,
    pub(super) place: Place<'a>,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Look<'_> {
    fn scalar(&self, says_something: bool, look: impl FnOnce(Option<Hit>) -> bool) -> bool {
        match self.place.judge(self.rules) {
            Judgement::Leave => false,
            Judgement::Replace => says_something,
            Judgement::Look(hit) => look(hit),
        }
    }

    fn number(&self, magnitude: Option<u64>) -> bool {
        self.scalar(true, |_| {
            magnitude.is_some_and(|number| self.rules.is_secret_number(number))
        })
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: Error>(self, _value: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<bool, E> {
        Ok(self.number(Some(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<bool, E> {
        Ok(self.number(Some(number.unsigned_abs())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<bool, E> {
        Ok(self.number(whole(number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        let plain = !text.is_empty() && !is_mark(text);
        Ok(self.scalar(plain, |hit| {
            (hit.is_some() && plain) || self.rules.text(text).is_some()
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let judgement = self.place.judge(self.rules);
        let hit = match &judgement {
            Judgement::Look(hit) => *hit,
            _ => None,
        };
        let mut found = judgement == Judgement::Replace;
        let look = Look {
            rules: self.rules,
            place: self.place.item(hit),
        };
        while let Some(inside) = items.next_element_seed(look)? {
            found |= inside && judgement != Judgement::Leave;
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let judgement = self.place.judge(self.rules);
        let hit = match &judgement {
            Judgement::Look(hit) => *hit,
            _ => None,
        };
        let mut found = judgement == Judgement::Replace;
        while let Some(name) = members.next_key::<Name<'de>>()? {
            let inside = members.next_value_seed(Look {
                rules: self.rules,
                place: self.place.member(&name.0, hit),
            })?;
            found |=
                judgement != Judgement::Leave && (inside || self.rules.text(&name.0).is_some());
        }
        Ok(found)
    }
}

/// The name of a member, copied only if it is written with escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}
