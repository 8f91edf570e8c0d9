//! What an event says beyond its fields: named values of any JSON type.

use std::fmt;

use crate::Text;
use crate::event::edit::{Edit, Names, is_identity};
use crate::event::value::Value;

/// Named values, in the order in which they were first given; each name once.
#[derive(Clone, Default, PartialEq)]
pub struct Metadata(Vec<(Text, Value)>);

impl Metadata {
    /// Sets a value; the last one given under a name stays.
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// The value of that name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From a JSON object, whose names are distinct already.
    pub(crate) fn from_map(map: serde_json::Map<String, serde_json::Value>) -> Self {
        Self(
            map.into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    pub(crate) fn is_edited(&self, edit: &impl Edit) -> bool {
        self.0.iter().any(|(name, value)| {
            edit.text(name).is_some() || (!is_identity(name) && edit.entry(name, value).is_some())
        })
    }

    pub(crate) fn edit(&mut self, edit: &impl Edit) {
        for (name, value) in &mut self.0 {
            if !is_identity(name)
                && let Some(edited) = edit.entry(name, value)
            {
                *value = edited;
            }
        }
        let renamed: Vec<_> = self.0.iter().map(|(name, _)| edit.text(name)).collect();
        if renamed.iter().all(Option::is_none) {
            return;
        }
        let kept = self.0.iter().zip(&renamed);
        let mut names = Names::new(
            kept.filter(|(_, renamed)| renamed.is_none())
                .map(|((name, _), _)| name.clone()),
        );
        for ((name, value), renamed) in self.0.iter_mut().zip(renamed) {
            let Some(renamed) = renamed else { continue };
            *name = names.free(&renamed);
            // which may say something else about its value
            if let Some(edited) = edit.entry(name, value) {
                *value = edited;
            }
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let texts: usize = self
            .0
            .iter()
            .map(|(key, v)| key.heap_bytes() + v.heap_bytes())
            .sum();
        self.0.capacity() * size_of::<(Text, Value)>() + texts
    }
}

/// The names only: values may be personal.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|(key, _)| key))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_stays() {
        let mut metadata = Metadata::default();
        metadata.insert("order", 1);
        metadata.insert("plan", "pro");
        metadata.insert("order", 2);
        let all: Vec<_> = metadata.iter().collect();
        assert_eq!(
            all,
            [("order", &Value::Int(2)), ("plan", &Value::from("pro"))]
        );
    }

    #[test]
    fn values_never_appear_in_debug() {
        let mut metadata = Metadata::default();
        metadata.insert("card", "4111-1111");
        assert_eq!(format!("{metadata:?}"), r#"{"card"}"#);
    }
}
