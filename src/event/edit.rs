//! A walk over everything in an event that was said freely, and may therefore have to be changed.
//!
//! Identity is left out: ids, times, the project, and the metadata that repeats ids. What is found is
//! changed in place; an event in which nothing is found is neither copied nor allocated for, also
//! when it shares its contexts with a clone.

use std::collections::HashSet;
use std::sync::Arc;

use super::context::State;
use super::extra::{Contexts, Extra};
use super::wire::keys::own;
use super::{Event, EventKind, JsonText, Value};
use crate::Text;

/// What to change; `None` leaves a thing as it is.
pub(crate) trait Edit {
    /// Free text, names of metadata included.
    fn text(&self, text: &str) -> Option<Text>;

    /// The same for a text that may be shared with other events.
    fn shared(&self, text: &Text) -> Option<Text> {
        self.text(text)
    }

    /// A document of JSON that is kept as text.
    fn document(&self, document: &str) -> Option<JsonText>;

    /// A value of the metadata and the name it goes by.
    fn entry(&self, name: &str, value: &Value) -> Option<Value>;

    /// What takes the place of each document about the state of that name.
    fn state(&self, name: &str) -> Option<JsonText>;
}

impl Event {
    /// Changes whatever `edit` wants changed; says whether there was anything.
    pub(crate) fn edit(&mut self, edit: &impl Edit) -> bool {
        // by the name as it is and as it will be
        let state = self.state_name().and_then(|name| {
            let renamed = || edit.state(&edit.text(name)?);
            edit.state(name).or_else(renamed)
        });
        let mut changed = false;
        self.kind.texts_mut(|text| changed |= replace(text, edit));
        if let Some(extra) = &mut self.extra
            && extra.is_edited(edit, state.as_ref())
        {
            Arc::make_mut(extra).edit(edit, state.as_ref());
            changed = true;
        }
        changed
    }

    fn state_name(&self) -> Option<&str> {
        let given = self.contexts().state.as_ref()?;
        match &self.kind {
            EventKind::StateChange { key: Some(key) } => Some(key),
            _ => given.key.as_deref(),
        }
    }
}

fn replace(text: &mut Text, edit: &impl Edit) -> bool {
    let edited = edit.shared(text);
    edited.map(|edited| *text = edited).is_some()
}

fn is_edited(text: Option<&Text>, edit: &impl Edit) -> bool {
    text.is_some_and(|text| edit.shared(text).is_some())
}

impl Extra {
    fn is_edited(&self, edit: &impl Edit, state: Option<&JsonText>) -> bool {
        is_edited(self.name.as_ref(), edit)
            || is_edited(self.org_name(), edit)
            || self.contexts.is_edited(edit, state)
            || self.metadata.is_edited(edit)
    }

    fn edit(&mut self, edit: &impl Edit, state: Option<&JsonText>) {
        if let Some(name) = &mut self.name {
            replace(name, edit);
        }
        let org = self.identity.as_mut().and_then(|who| who.org.as_mut());
        if let Some(name) = org.and_then(|org| org.name_mut()) {
            replace(name, edit);
        }
        self.contexts.edit(edit, state);
        self.metadata.edit(edit);
    }

    fn org_name(&self) -> Option<&Text> {
        self.identity.as_ref()?.org.as_ref()?.name_text()
    }
}

impl Contexts {
    fn is_edited(&self, edit: &impl Edit, state: Option<&JsonText>) -> bool {
        macro_rules! any {
            ($($name:ident)*) => {
                false $(|| self.$name.as_ref().is_some_and(|context| context.is_edited(edit)))*
            };
        }
        any!(page ui state journey api error performance snapshot)
            || self.state.as_ref().zip(state).is_some_and(|(own, hidden)| {
                let differs = |document: &Option<JsonText>| {
                    document.as_ref().is_some_and(|document| document != hidden)
                };
                differs(&own.before) || differs(&own.after)
            })
    }

    fn edit(&mut self, edit: &impl Edit, state: Option<&JsonText>) {
        macro_rules! each {
            ($($name:ident)*) => {
                $(if let Some(context) = &mut self.$name {
                    context.edit(edit);
                })*
            };
        }
        each!(page ui state journey api error performance snapshot);
        if let Some((State { before, after, .. }, hidden)) = self.state.as_deref_mut().zip(state) {
            for document in [before, after].into_iter().flatten() {
                *document = hidden.clone();
            }
        }
    }
}

/// Whether a metadata entry repeats an id, by which events are found again.
pub(super) fn is_identity(name: &str) -> bool {
    [&own::REQUEST_ID, &own::TRACE_ID, &own::SPAN_ID]
        .into_iter()
        .any(|key| key.name == name)
}

/// Gives each of several changed names of one object a name that is still free.
pub(crate) struct Names {
    taken: HashSet<Text>,
    next: u64,
}

impl Names {
    /// With the names that stay.
    pub(crate) fn new(taken: impl Iterator<Item = Text>) -> Self {
        Self {
            taken: taken.collect(),
            next: 2,
        }
    }

    /// `name`, or with a number after it. The number only grows, so that many equal names stay cheap.
    pub(crate) fn free(&mut self, name: &Text) -> Text {
        let mut free = name.clone();
        while !self.taken.insert(free.clone()) {
            free = Text::from(format!("{name} {}", self.next));
            self.next += 1;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes everything in capitals.
    struct Capitals;

    impl Edit for Capitals {
        fn text(&self, text: &str) -> Option<Text> {
            let capitals = text.to_uppercase();
            (capitals != text).then(|| capitals.into())
        }

        fn document(&self, document: &str) -> Option<JsonText> {
            self.text(document).map(JsonText::raw)
        }

        fn entry(&self, _name: &str, value: &Value) -> Option<Value> {
            self.text(value.as_str()?).map(Value::Text)
        }

        fn state(&self, name: &str) -> Option<JsonText> {
            (name == "secret").then(|| JsonText::raw("HIDDEN"))
        }
    }

    #[test]
    fn names_that_become_the_same_stay_apart() {
        let mut event = Event::custom("X")
            .with("A", 0)
            .with("a", 1)
            .with("A 2", 2)
            .with("á", 3);
        assert!(event.edit(&Capitals));
        let names: Vec<_> = event.metadata().unwrap().iter().map(|(k, _)| k).collect();
        assert_eq!(names, ["A", "A 3", "A 2", "Á"]);
    }

    #[test]
    fn a_clone_keeps_what_the_other_one_changes() {
        let original = Event::custom("X").title("plans").with("plan", "pro");
        let mut edited = original.clone();
        assert!(edited.edit(&Capitals));
        assert_eq!(
            original.metadata().unwrap().get("plan"),
            Some(&"pro".into())
        );
        assert_eq!(edited.metadata().unwrap().get("PLAN"), Some(&"PRO".into()));
        assert!(!edited.edit(&Capitals), "there is nothing left to change");
    }

    #[test]
    fn the_state_of_a_hidden_name_is_replaced_whoever_holds_the_name() {
        let of_kind = Event::state_change("secret").before(serde_json::json!({"a": 1}));
        let of_context =
            Event::custom("X").with_state(State::new().key("secret").after(JsonText::raw("[1]")));
        for mut event in [of_kind, of_context] {
            assert!(event.edit(&Capitals));
            let state = event.contexts().state.clone().unwrap();
            let document = state.before.or(state.after).unwrap();
            assert_eq!(document.as_str(), "HIDDEN");
            assert!(!event.edit(&Capitals));
        }
    }
}
