//! Texts that were looked at before.
//!
//! Routes, steps of journeys and types of errors are the same few texts again and again, shared or
//! static. One that is known to hold no secret need not be looked at once more.

use std::cell::RefCell;

use super::detect::SHORTEST;
use super::rules::Rules;
use crate::Text;
use crate::event::{Edit, JsonText, Value};

/// How many are remembered.
const TEXTS: usize = 64;
/// Longer ones are not: what is remembered is kept alive.
const LONGEST: usize = 256;

/// Texts in which certain rules find nothing. For one set of rules only.
#[derive(Debug)]
pub(crate) struct Known([Option<Text>; TEXTS]);

impl Default for Known {
    fn default() -> Self {
        Self([const { None }; TEXTS])
    }
}

impl Known {
    /// Whether it is one of them: the same few bytes, or else the very same place in memory, where
    /// nothing can have changed, since it has been held here.
    fn has(&self, text: &str) -> bool {
        self.0[place(text)].as_ref().is_some_and(|known| {
            let known = known.as_str();
            std::ptr::eq(known, text) || (is_short(text) && known == text)
        })
    }

    fn learn(&mut self, text: &Text) {
        if text.len() <= LONGEST {
            self.0[place(text)] = Some(text.clone());
        }
    }
}

/// Short text is compared: it lies in the event itself and is copied with it, or might as well.
fn is_short(text: &str) -> bool {
    text.len() < size_of::<Text>()
}

/// Where a text is remembered, by its bytes if it is short, and by its address otherwise.
fn place(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mixed = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) if is_short(text) => {
            u64::from_le_bytes(*first).rotate_left(29) ^ u64::from_le_bytes(*last)
        }
        // allocations are at least 16 bytes apart
        _ if !is_short(text) => text.as_ptr().addr() as u64 / 16,
        _ => bytes
            .iter()
            .fold(0, |mixed, byte| (mixed << 8) | u64::from(*byte)),
    };
    // the upper bits of the product depend on all of what was mixed
    let spread = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(spread).unwrap_or(0) % TEXTS
}

/// Rules that remember. The user's own patterns may remember, too: they are always asked.
pub(super) struct Knowing<'a> {
    rules: &'a Rules,
    known: RefCell<&'a mut Known>,
}

impl<'a> Knowing<'a> {
    pub(super) fn new(rules: &'a Rules, known: &'a mut Known) -> Self {
        Self {
            rules,
            known: RefCell::new(known),
        }
    }
}

impl Edit for Knowing<'_> {
    fn text(&self, text: &str) -> Option<Text> {
        Edit::text(self.rules, text)
    }

    fn shared(&self, text: &Text) -> Option<Text> {
        if !self.rules.patterns.is_empty() {
            return Edit::text(self.rules, text);
        }
        let plain = text.as_str();
        if plain.len() < SHORTEST || self.known.borrow().has(plain) {
            return None;
        }
        let edited = Edit::text(self.rules, plain);
        if edited.is_none() {
            self.known.borrow_mut().learn(text);
        }
        edited
    }

    fn document(&self, document: &str) -> Option<JsonText> {
        Edit::document(self.rules, document)
    }

    fn entry(&self, name: &str, value: &Value) -> Option<Value> {
        self.rules.entry(name, value)
    }

    fn state(&self, name: &str) -> Option<JsonText> {
        self.rules.state(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{Event, Redaction};

    fn of(path: &Text) -> Event {
        Event::page_view(path.clone())
    }

    #[test]
    fn a_shared_text_is_known_from_the_second_time_on_and_an_equal_one_elsewhere_is_not() {
        let known = &mut Known::default();
        let redaction = Redaction::default();
        let shared: Arc<str> = "/v1/organisations/{organisation}/members".into();
        let (path, elsewhere) = (Text::from(Arc::clone(&shared)), Text::copied(&shared));
        assert!(!known.has(&path));
        assert!(!redaction.apply_knowing(&mut of(&path), known));
        assert!(known.has(&path) && !known.has(&elsewhere));
    }

    #[test]
    fn a_short_text_is_known_wherever_it_lies() {
        let known = &mut Known::default();
        let redaction = Redaction::default();
        for length in 5..24 {
            let text = "/v1/plans/{plan}/prices".get(..length).unwrap();
            assert!(!redaction.apply_knowing(&mut of(&Text::copied(text)), known));
            assert!(known.has(&Text::copied(text)), "{text}");
            assert!(!known.has(&Text::copied(&text[1..])));
        }
    }

    #[test]
    fn memory_that_was_known_and_is_used_again_is_looked_at_again() {
        let known = &mut Known::default();
        let redaction = Redaction::default();
        let page = "/v1/organisations/{id}/plans?p_age=a1b2c3d4";
        let mut held = Vec::new();
        for round in 0..1000 {
            let clean = Text::from(Arc::<str>::from(page));
            assert!(!redaction.apply_knowing(&mut of(&clean), known));
            drop(clean);
            let secret: Arc<str> = page.replace("p_age", "token").into();
            // so that the next ones lie elsewhere, and all places come up
            held.push(Arc::clone(&secret));
            let mut event = of(&Text::from(secret));
            let redacted = redaction.apply_knowing(&mut event, known);
            assert!(redacted, "round {round}");
            // forgets what it holds, so that its memory may be the next one's
            *known = Known::default();
        }
    }

    #[test]
    fn another_text_of_the_same_length_in_the_same_place_is_not_known() {
        let mut known = Known::default();
        let clean = Text::from(Arc::<str>::from(
            "/v1/organisations/{id}/plans?p_age=a1b2c3d4",
        ));
        known.learn(&clean);
        let other = clean.replace("p_age", "token");
        let others: Vec<Text> = (0..5000)
            .map(|_| Arc::<str>::from(&*other).into())
            .collect();
        let mut met = others
            .iter()
            .filter(|text| place(text) == place(&clean))
            .peekable();
        assert!(met.peek().is_some(), "places are used again");
        assert!(met.all(|text| !known.has(text)));
    }

    #[test]
    fn secrets_are_never_known_and_long_texts_are_not_kept() {
        let known = &mut Known::default();
        let redaction = Redaction::default();
        let secret = Text::from_static("/login?token=a1b2c3d4");
        let long = Text::from("x".repeat(LONGEST + 1));
        for text in [&secret, &long] {
            redaction.apply_knowing(&mut of(text), known);
            assert!(!known.has(text));
        }
    }

    #[test]
    fn a_pattern_of_the_users_own_is_asked_every_time() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let redaction = Redaction::default().pattern("counts", move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            None
        });
        let known = &mut Known::default();
        for times in 1..4 {
            redaction.apply_knowing(&mut of(&Text::from_static("/v1/plans/{id}")), known);
            assert_eq!(asked.load(Ordering::Relaxed), times);
        }
    }
}
