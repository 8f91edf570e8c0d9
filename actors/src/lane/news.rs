//! What a lane has to say to the log: once per episode, never once per event.

use std::time::Duration;

use tokio::time::Instant;

use crate::provider::Cause;

/// Events given up are told of at most this often, with their number since the last time.
const QUIET: Duration = Duration::from_secs(60);

/// What is worth a log line after an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) episode: Episode,
    /// Events refused for good since this was told last.
    pub(crate) rejected: Option<u64>,
    /// Events whose retry budget ran out since this was told last.
    pub(crate) expired: Option<u64>,
    /// Events that a full lane gave up since this was told last.
    pub(crate) evicted: Option<u64>,
    /// The most recent reason that the destination gave.
    pub(crate) cause: Option<Cause>,
}

/// The start or the end of a run of failed attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Episode {
    /// Nothing new.
    #[default]
    Quiet,
    /// The first failure after a success.
    Failing,
    /// The destination refuses this client, for the first time in this run of failures.
    Held,
    /// The first success after failures.
    Recovered { attempts: u32 },
}

/// Events of one kind that were not told of yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    untold: u64,
    told: Option<Instant>,
}

impl Tally {
    pub(super) fn add(&mut self, events: u64) {
        self.untold += events;
    }

    /// The number to tell now, if there is one and the last time is long enough ago.
    pub(super) fn tell(&mut self, now: Instant) -> Option<u64> {
        let lately = self
            .told
            .is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if self.untold == 0 || lately {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}
