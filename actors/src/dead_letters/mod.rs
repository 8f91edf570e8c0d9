//! Dead letters: what a provider refused for good, and what ran out of its retry budget.
//!
//! Each provider has a bounded store of its own. Events in lanes live in shared batches, so a dead
//! letter holds a copy: a slice would keep a whole batch alive. Copies are made outside every lock,
//! before the batch is let go.

mod access;
mod hook;
mod letter;
mod redrive;
mod store;
#[cfg(test)]
mod tests;

pub use letter::{DeadLetter, DeadReason};
pub use redrive::{RedriveError, Redriven};

pub(crate) use store::{DeadLetters, Store};

use crate::provider::Cause;
use crate::request::Slice;

/// Called for each dead letter, on a thread of its own.
pub(crate) type HookFn<E> = dyn Fn(&DeadLetter<E>) + Send + Sync;

/// How many dead letters an engine keeps. Divided evenly among its providers, so that one that refuses
/// everything cannot push out what another refused; each keeps at least one event's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterLimits {
    /// Events, over all providers. Default 1,000. Zero keeps nothing: dead letters are off.
    pub max_events: usize,
    /// Bytes of memory, over all providers: events as weighed, and what is kept with them. On top of
    /// the engine's own ceiling. Default 1 MiB.
    pub max_bytes: usize,
}

impl DeadLetterLimits {
    /// Limits of `max_events` events and `max_bytes` bytes.
    #[must_use]
    pub const fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            max_events,
            max_bytes,
        }
    }

    /// Keeps nothing, and calls no hook.
    #[must_use]
    pub const fn off() -> Self {
        Self::new(0, 0)
    }

    pub(crate) fn are_off(self) -> bool {
        self.max_events == 0
    }

    /// What each of `providers` may keep.
    fn share(self, providers: usize) -> Self {
        let providers = providers.max(1);
        Self {
            max_events: (self.max_events / providers).max(1),
            max_bytes: self.max_bytes / providers,
        }
    }
}

impl Default for DeadLetterLimits {
    fn default() -> Self {
        Self::new(1000, 1 << 20)
    }
}

/// What became of an engine's dead letters so far. Every event that died is in exactly one of `kept`,
/// `evicted`, `not_kept`, `taken` and `redriven`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterStats {
    /// In the store now.
    pub kept: u64,
    /// Bytes that those take.
    pub bytes: usize,
    /// Made room for later ones.
    pub evicted: u64,
    /// Never kept: alone larger than the bound, or copying the event panicked.
    pub not_kept: u64,
    /// Taken out by the application.
    pub taken: u64,
    /// Put back into their provider's lane.
    pub redriven: u64,
    /// The hook was not called for these: it was too slow, or the engine had ended.
    pub hook_missed: u64,
    /// Calls of the hook that panicked.
    pub hook_panics: u64,
}

/// How dead letters are kept, as given to the builder.
pub(crate) struct Options<E> {
    pub(crate) limits: DeadLetterLimits,
    pub(crate) copy: fn(&E) -> E,
    pub(crate) hook: Option<Box<HookFn<E>>>,
}

impl<E: Clone> Options<E> {
    pub(crate) fn new() -> Self {
        Self {
            limits: DeadLetterLimits::default(),
            copy: E::clone,
            hook: None,
        }
    }
}

/// Events of a lane that just died and wait to be copied.
#[derive(Debug)]
pub(crate) struct Dead<E> {
    pub(crate) slice: Slice<E>,
    pub(crate) reason: DeadReason,
    pub(crate) cause: Cause,
}
