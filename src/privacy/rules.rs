//! What a [`Redaction`](super::Redaction) looks for, applied to text.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::detect::{self, Detectors, MARK};

/// Matches of one pattern in one text, after which the rest of it is replaced.
const MAX_MATCHES: usize = 1_000;

/// Times that a text is looked at, after which all of it is replaced. Made-up texts take three.
const MAX_PASSES: usize = 8;

type Finder = dyn Fn(&str) -> Option<Range<usize>> + Send + Sync;

/// A user's own pattern.
#[derive(Clone)]
pub(super) struct Pattern {
    pub(super) name: Arc<str>,
    finder: Arc<Finder>,
}

#[derive(Clone)]
pub(super) struct Rules {
    pub(super) detectors: Detectors,
    pub(super) patterns: Vec<Pattern>,
    /// Panics of finders, counted for all clones of the rules.
    pub(super) panics: Arc<AtomicU64>,
}

impl Pattern {
    pub(super) fn new(
        name: Arc<str>,
        finder: impl Fn(&str) -> Option<Range<usize>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            finder: Arc::new(finder),
        }
    }
}

impl Rules {
    /// The text without secrets; `None` if there is none in it.
    ///
    /// Taking something out can bring together what was apart, so the result is looked at again until
    /// nothing is found: doing it twice is the same as doing it once. The user's patterns see
    /// the text as it was.
    pub(super) fn text(&self, text: &str) -> Option<String> {
        let mut places = detect::find(text, &self.detectors);
        if !self.patterns.is_empty() {
            for pattern in &self.patterns {
                places.extend(self.places(pattern, text));
            }
            places = detect::merge(places);
        }
        if places.is_empty() {
            return None;
        }
        let mut replaced = detect::replace(text, &places);
        for _ in 0..MAX_PASSES {
            let places = detect::find(&replaced, &self.detectors);
            if places.is_empty() {
                return (replaced != text).then_some(replaced);
            }
            replaced = detect::replace(&replaced, &places);
        }
        Some(MARK.to_owned())
    }

    /// Whether a number says nothing when it is looked at as text.
    pub(super) fn is_secret_number(&self, number: u64) -> bool {
        self.detectors.cards && detect::is_card(number)
    }

    /// What a user's pattern finds. Whatever the finder does, this ends, and a text whose finder
    /// failed is replaced as a whole: nobody knows what is in it.
    fn places(&self, pattern: &Pattern, text: &str) -> Vec<Range<usize>> {
        let whole = 0..text.len();
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
            let Ok(found) = catch_unwind(AssertUnwindSafe(|| (pattern.finder)(rest))) else {
                self.panics.fetch_add(1, Ordering::Relaxed);
                return Vec::from([whole]);
            };
            // a range that is none of the text's, or empty, is a mistake and finds nothing
            let Some(found) =
                found.filter(|found| rest.get(found.clone()).is_some_and(|part| !part.is_empty()))
            else {
                break;
            };
            if places.len() == MAX_MATCHES {
                places.push(from + found.start..text.len());
                break;
            }
            places.push(from + found.start..from + found.end);
            from += found.end;
        }
        places
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (keys, allowed) = self.detectors.keys.counts();
        let patterns: Vec<_> = self.patterns.iter().map(|p| &*p.name).collect();
        f.debug_struct("Redaction")
            .field("keys", &keys)
            .field("allowed_keys", &allowed)
            .field("cards", &self.detectors.cards)
            .field("credentials", &self.detectors.credentials)
            .field("emails", &self.detectors.emails)
            .field("patterns", &patterns)
            .finish_non_exhaustive()
    }
}

/// Whether a text is what stands for a secret.
pub(super) fn is_mark(text: &str) -> bool {
    text == MARK
}
