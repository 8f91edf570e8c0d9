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
    /// Events that are left in the lane.
    pub(crate) pending: u64,
    /// Events refused for good since this was told last.
    pub(crate) rejected: Option<u64>,
    /// Events whose retry budget ran out since this was told last.
    pub(crate) expired: Option<u64>,
    /// Events that a full lane gave up since this was told last.
    pub(crate) evicted: Option<u64>,
    /// The most recent reason that the destination gave.
    pub(crate) cause: Option<Cause>,
}

/// The start, a turn for the worse or the end of a run of failed attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Episode {
    /// Nothing new.
    #[default]
    Quiet,
    /// The first failure after a success.
    Failing,
    /// The breaker opened for the first time in this run.
    Opened { attempts: u32, wait: Duration },
    /// The breaker opened for the first time in this run, because every request was refused.
    Refusing { refusals: u32, wait: Duration },
    /// The destination refuses this client, for the first time in this run of failures.
    Held,
    /// The first success after failures: how many there were, how long they lasted, and how many
    /// events were dropped meanwhile.
    Recovered {
        attempts: u32,
        lasted: Duration,
        dropped: u64,
    },
}

impl Episode {
    /// What the log has heard once this was told.
    pub(super) fn told(self) -> Told {
        match self {
            Self::Quiet | Self::Recovered { .. } => Told::Nothing,
            Self::Failing => Told::Failing,
            Self::Opened { .. } | Self::Refusing { .. } => Told::Opened,
            Self::Held => Told::Held,
        }
    }
}

/// How bad a run of failures is that the log has heard of: nothing is told twice, and nothing that is
/// less than what was told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Nothing,
    Failing,
    Opened,
    Held,
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
