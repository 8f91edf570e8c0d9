//! What can be said about a lane from outside.

use std::time::Duration;

use tokio::time::Instant;

use super::state::State;
use crate::provider::Cause;

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneState {
    /// Delivering, or idle.
    Healthy,
    /// The last attempt failed; it will be tried again.
    Retrying,
    /// The destination refuses this client; everything is kept and probed now and then.
    Held,
    /// Paused by the operator.
    Paused,
    /// Closed by shutdown.
    Closed,
}

/// What can be said about a lane at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStatus {
    /// The provider's name.
    pub name: String,
    /// What the lane is doing.
    pub state: LaneState,
    /// Events in this lane without a verdict.
    pub pending: u64,
    /// Bytes of those events, as weighed.
    pub pending_bytes: usize,
    /// Age of the oldest of them, from the moment the engine took it off the ring.
    pub oldest_pending: Option<Duration>,
    /// Requests in flight.
    pub in_flight: usize,
    /// For how long the oldest of them has been.
    pub in_flight_for: Option<Duration>,
    /// Failed attempts since the last success.
    pub failures: u32,
    /// How long it has been failing.
    pub failing_for: Option<Duration>,
    /// Time since the destination last took something.
    pub last_success: Option<Duration>,
    /// Why the last failed attempt failed.
    pub last_error: Option<Cause>,
    /// Time since then.
    pub last_error_ago: Option<Duration>,
    /// Time since events were given up here: by a full lane or at the end of their retry budget.
    pub last_dropped: Option<Duration>,
    /// Events refused for good since the destination last took something.
    pub rejected_in_a_row: u64,
    /// From the first to the last of them.
    pub rejecting_for: Option<Duration>,
    /// How often the actor that sends was restarted.
    pub restarts: u32,
    /// Attempts made, successful or not.
    pub attempts: u64,
}

impl<E> State<E> {
    pub(super) fn status(&self, name: &str, now: Instant) -> LaneStatus {
        let state = match &self.failing {
            _ if self.closed.is_some() => LaneState::Closed,
            _ if self.paused => LaneState::Paused,
            Some(failing) if failing.held.is_some() => LaneState::Held,
            Some(_) => LaneState::Retrying,
            None => LaneState::Healthy,
        };
        let ago = |at: Instant| now.saturating_duration_since(at);
        LaneStatus {
            name: name.to_owned(),
            state,
            pending: self.counts.pending,
            pending_bytes: self.counts.pending_bytes,
            oldest_pending: self.oldest_since().map(ago),
            in_flight: self.flights.len(),
            in_flight_for: self.flights.iter().map(|f| ago(f.started)).max(),
            failures: self.failing.as_ref().map_or(0, |f| f.attempts),
            failing_for: self.failing.as_ref().map(|f| ago(f.since)),
            last_success: self.last_success.map(ago),
            last_error: self.last_error.clone(),
            last_error_ago: self.evidence.last_error.map(ago),
            last_dropped: self.evidence.last_dropped.map(ago),
            rejected_in_a_row: self.evidence.rejected_in_a_row,
            rejecting_for: self.evidence.rejecting_for(),
            restarts: 0,
            attempts: self.counts.attempts,
        }
    }
}
