//! One dead letter.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::ledger::{DropReason, Reason, RejectReason};
use crate::provider::Cause;

/// Why an event died at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// Refused for good by the destination or its limits.
    Rejected(RejectReason),
    /// Its retry budget ran out: it may well be taken later.
    Expired,
}

impl DeadReason {
    /// The word that the ledger counts it under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected(reason) => reason.as_str(),
            Self::Expired => DropReason::Expired.as_str(),
        }
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event that one provider refused for good, or could not be given in time. A clone is one `Arc`.
pub struct DeadLetter<E>(Arc<Letter<E>>);

pub(super) struct Letter<E> {
    pub(super) number: u64,
    pub(super) provider: Arc<str>,
    pub(super) event: E,
    /// Bytes that the event is charged when it is redriven.
    pub(super) weight: usize,
    pub(super) reason: DeadReason,
    pub(super) cause: Cause,
    pub(super) at: SystemTime,
    pub(super) attempts: u32,
}

impl<E> DeadLetter<E> {
    pub(super) fn new(letter: Letter<E>) -> Self {
        Self(Arc::new(letter))
    }

    /// Unique within its engine; later ones are higher.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The event as the provider was offered it, identity and time included.
    pub fn event(&self) -> &E {
        &self.0.event
    }

    /// The name of the provider at which it died. Others may have taken it.
    pub fn provider(&self) -> &str {
        &self.0.provider
    }

    /// The reason it is counted under.
    pub fn reason(&self) -> DeadReason {
        self.0.reason
    }

    /// What the destination said last, or what else happened.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// When it died, by the wall clock.
    pub fn at(&self) -> SystemTime {
        self.0.at
    }

    /// Requests that it was to travel in, those before a redrive included. At least one.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    pub(super) fn weight(&self) -> usize {
        self.0.weight
    }

    /// Bytes of memory that it takes.
    pub(super) fn size(&self) -> usize {
        // the two counters of an `Arc` come before what it holds
        let own = size_of::<Letter<E>>() + 2 * size_of::<usize>();
        let detail = self.0.cause.detail.as_ref().map_or(0, |text| text.len());
        (own - size_of::<E>())
            .saturating_add(self.0.weight)
            .saturating_add(detail)
    }
}

impl<E> Clone for DeadLetter<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Shows of the event what its own `Debug` shows.
impl<E: fmt::Debug> fmt::Debug for DeadLetter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("number", &self.number())
            .field("provider", &self.provider())
            .field("reason", &self.reason())
            .field("cause", &self.cause())
            .field("at", &self.at())
            .field("attempts", &self.attempts())
            .field("event", self.event())
            .finish()
    }
}
