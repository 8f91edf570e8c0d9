//! Taking secrets out of events.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::detect::{Detectors, MARK};
use super::json::{MARK_DOCUMENT, Place, whole};
use super::keys::{Hit, KeyRules};
use super::known::{Knowing, Known};
use super::rules::{Pattern, Rules, is_mark};
use crate::event::{Edit, JsonText, Value};
use crate::{Event, Text};

/// Rules by which secrets are taken out of events before they leave the process.
///
/// A rule looks at names ([`key`](Self::key)) or at what text looks like
/// ([`pattern`](Self::pattern)). What it finds is replaced by the word `[redacted]`, whatever its
/// length. `docs/guides/privacy.md` lists what the default rules look for.
///
/// Looked at are the metadata at any depth, names included, the documents of `ui.state.before` and
/// `ui.state.after`, and every text: messages, stacks, titles, addresses, names, the type of an event.
/// Left alone are what identifies an event (its ids, session, user, organisation, project, trace,
/// times, and `request_id`, `trace_id` and `span_id` in the metadata), numbers and truth values outside
/// of the metadata and the state.
///
/// The rules are a net below the care of whoever writes events, not a proof: what nobody can tell from
/// other text stays. A clone is one reference count.
///
/// ```
/// use productgraph::{Event, Redaction};
///
/// let redaction = Redaction::default().key("iban");
/// let mut event = Event::error("Refused", "no answer from https://u:p@bank.example/?token=abc1")
///     .with("customer", serde_json::json!({"iban": "DE89", "name": "Ada"}));
/// assert!(redaction.apply(&mut event));
///
/// let json = serde_json::to_value(&event)?;
/// assert_eq!(
///     json["error.message"],
///     "no answer from https://[redacted]@bank.example/?token=[redacted]"
/// );
/// assert_eq!(json["metadata"]["customer"]["iban"], "[redacted]");
/// assert_eq!(json["metadata"]["customer"]["name"], "Ada");
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Redaction(Option<Arc<Rules>>);

/// Which rules a configuration asks for; see [`Config::redaction`](field@crate::Config::redaction).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedactionMode {
    /// [`Redaction::default`].
    #[default]
    Default,
    /// [`Redaction::none`].
    Off,
}

impl Default for Redaction {
    /// The sensible set: keys of secrets, numbers of cards, credentials; not mail addresses.
    fn default() -> Self {
        Self(Some(Arc::new(Rules {
            detectors: Detectors {
                keys: KeyRules::standard(),
                cards: true,
                credentials: true,
                emails: false,
            },
            patterns: Vec::new(),
            panics: Arc::default(),
        })))
    }
}

impl Redaction {
    /// No rules: events stay as they are. Also the start for a set of one's own.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether there are no rules at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Also takes out what goes by this name, in metadata and state at any depth and in text such as
    /// `iban=...` and `"iban": "..."`.
    ///
    /// The name is compared word by word and in any case: `card pin`, `cardPin`, `CARD_PIN` are the
    /// same rule, which finds `old-card-pin` and not `cardpinned`. A name without letters and digits is
    /// no rule.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.rules_mut().detectors.keys.add(key);
        self
    }

    /// Leaves alone whatever goes by exactly this name, in any way of writing: the value is not looked
    /// at, nor anything inside of it. In running text, where a value has no end, only the name is
    /// passed over.
    #[must_use]
    pub fn allow_key(mut self, key: &str) -> Self {
        self.rules_mut().detectors.keys.allow(key);
        self
    }

    /// Also takes out what `find` finds: a regular expression of any crate, a dictionary.
    ///
    /// It is given a text and answers where in it the first match is, in bytes, such as
    /// `|text| regex.find(text).map(|found| found.range())`. It is asked again for what follows the
    /// match. A range outside of the text, inside of a character or empty counts as none. After 1,000
    /// matches the rest of a text is replaced; if `find` panics, the whole text is, and the panic is
    /// counted ([`panics`](Self::panics)).
    ///
    /// ```
    /// use productgraph::Redaction;
    ///
    /// let redaction = Redaction::none().pattern("ticket", |text| {
    ///     let start = text.find("TICKET-")?;
    ///     let digits = text[start + 7..].bytes().take_while(u8::is_ascii_digit).count();
    ///     Some(start..start + 7 + digits)
    /// });
    /// assert_eq!(redaction.text("see TICKET-17, TICKET-4"), "see [redacted], [redacted]");
    /// ```
    #[must_use]
    pub fn pattern(
        mut self,
        name: impl Into<Arc<str>>,
        find: impl Fn(&str) -> Option<Range<usize>> + Send + Sync + 'static,
    ) -> Self {
        let pattern = Pattern::new(name.into(), find);
        self.rules_mut().patterns.push(pattern);
        self
    }

    /// Whether numbers of payment cards are taken out: 13 to 19 digits with a right check digit, also
    /// with spaces and dashes between groups. Default: yes. One in ten other numbers of that length
    /// looks the same.
    #[must_use]
    pub fn cards(mut self, on: bool) -> Self {
        self.rules_mut().detectors.cards = on;
        self
    }

    /// Whether credentials are taken out: after `Bearer` and `Basic`, JSON web tokens, user and
    /// password in URLs, private keys, tokens with a well-known beginning such as `ghp_`. Default: yes.
    #[must_use]
    pub fn credentials(mut self, on: bool) -> Self {
        self.rules_mut().detectors.credentials = on;
        self
    }

    /// Whether mail addresses are taken out of text. Default: no, since many services know their
    /// customers by them. The id of the user is left alone even so.
    #[must_use]
    pub fn emails(mut self, on: bool) -> Self {
        self.rules_mut().detectors.emails = on;
        self
    }

    /// Takes the secrets out of an event; says whether there were any.
    ///
    /// An event without secrets is not allocated for, but for texts in it that are escaped (in documents
    /// of JSON, in parameters of URLs) and for what a pattern of one's own allocates. Doing it twice is
    /// the same as doing it once, as long as no such pattern finds the word `[redacted]`.
    pub fn apply(&self, event: &mut Event) -> bool {
        self.0.as_deref().is_some_and(|rules| event.edit(rules))
    }

    /// The same by someone who does it again and again, with nothing but these rules.
    pub(crate) fn apply_knowing(&self, event: &mut Event, known: &mut Known) -> bool {
        self.0
            .as_deref()
            .is_some_and(|rules| event.edit(&Knowing::new(rules, known)))
    }

    /// Takes the secrets out of a text, as it is done in events.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0
            .as_deref()
            .and_then(|rules| rules.text(text))
            .map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// How often a [`pattern`](Self::pattern) panicked, in this and all clones.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |rules| rules.panics.load(Ordering::Relaxed))
    }

    fn rules_mut(&mut self) -> &mut Rules {
        let rules = self.0.get_or_insert_with(|| {
            Arc::new(Rules {
                detectors: Detectors {
                    keys: KeyRules::default(),
                    cards: false,
                    credentials: false,
                    emails: false,
                },
                patterns: Vec::new(),
                panics: Arc::new(AtomicU64::new(0)),
            })
        });
        Arc::make_mut(rules)
    }
}

/// How many rules there are and which patterns; names of keys may say something about a business.
impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(rules) => rules.fmt(f),
            None => f.write_str("Redaction(none)"),
        }
    }
}

fn mark() -> Text {
    Text::from_static(MARK)
}

impl Edit for Rules {
    fn text(&self, text: &str) -> Option<Text> {
        self.text(text).map(Text::from)
    }

    fn document(&self, document: &str) -> Option<JsonText> {
        self.document(document).map(JsonText::raw)
    }

    fn entry(&self, name: &str, value: &Value) -> Option<Value> {
        let keys = &self.detectors.keys;
        if keys.is_allowed(name.as_bytes()) {
            return None;
        }
        let hit = keys.hit(b"", name.as_bytes());
        let secret = |number: Option<u64>| {
            let found =
                hit == Some(Hit::One) || number.is_some_and(|number| self.is_secret_number(number));
            found.then(|| Value::Text(mark()))
        };
        match value {
            Value::Null | Value::Bool(_) => None,
            Value::Int(number) => secret(Some(number.unsigned_abs())),
            Value::Uint(number) => secret(Some(*number)),
            Value::Float(number) => secret(whole(*number)),
            Value::Text(text) if hit.is_some() => {
                (!text.is_empty() && !is_mark(text)).then(|| Value::Text(mark()))
            }
            Value::Text(text) => self.text(text).map(|text| Value::Text(text.into())),
            Value::Json(json) => {
                let place = Place::of(name);
                if !self.finds_in(place, json) {
                    return None;
                }
                let mut json = (**json).clone();
                self.json(place, &mut json);
                Some(json.into())
            }
        }
    }

    fn state(&self, name: &str) -> Option<JsonText> {
        let keys = &self.detectors.keys;
        let secret = !keys.is_allowed(name.as_bytes()) && keys.hit(b"", name.as_bytes()).is_some();
        secret.then(|| JsonText::raw(MARK_DOCUMENT))
    }
}
