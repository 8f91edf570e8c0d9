//! What can be said about a lane from outside.

use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Admission, BreakerState};
use super::schedule::Due;
use super::state::State;
use crate::provider::Cause;

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneState {
    /// Delivering, or idle.
    Healthy,
    /// The last attempt failed, and there is something to try again.
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
    /// Bytes that this lane keeps alive: of every batch of which it has an event, all of it. This is
    /// what is compared with the lane's share.
    pub pinned_bytes: usize,
    /// Age of the oldest of them, from the moment the engine took it off the ring.
    pub oldest_pending: Option<Duration>,
    /// Requests in flight.
    pub in_flight: usize,
    /// Age of the oldest of them. More than the attempt's timeout: the provider blocks its thread.
    pub in_flight_for: Option<Duration>,
    /// Failed attempts since the last success.
    pub failures: u32,
    /// How long it has been failing, while there is something that it is failing with.
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
    /// How many of them were of a request that had failed before.
    pub retries: u64,
    /// What the lane's circuit breaker lets through.
    pub breaker: BreakerState,
    /// How long the breaker has not been closed, over all its waits and probes.
    pub opened_for: Option<Duration>,
    /// Time until the next attempt, while there is something to send that has to wait.
    pub retry_in: Option<Duration>,
    /// Whether the [retry budget](super::LaneOptions::retry_budget) is all that is waited for.
    pub waits_for_budget: bool,
    /// The largest body that is sent, in bytes: the provider's own limit, or what was learned from
    /// refusals for size.
    pub learned_bytes: usize,
}

impl<E> State<E> {
    pub(super) fn status(&self, name: &str, now: Instant, concurrency: usize) -> LaneStatus {
        let failing = self.failing.as_ref();
        let state = match failing {
            _ if self.closed.is_some() => LaneState::Closed,
            _ if self.paused => LaneState::Paused,
            Some(failing) if failing.held_since.is_some() => LaneState::Held,
            Some(_) if self.counts.pending > 0 => LaneState::Retrying,
            // what failed is gone, and there is nothing to try
            Some(_) | None => LaneState::Healthy,
        };
        let is_failing = matches!(state, LaneState::Retrying | LaneState::Held);
        let ago = |at: Instant| now.saturating_duration_since(at);
        let (retry_at, waits_for_budget) = match self.due(now, concurrency) {
            Due::Later { at, for_token } => (Some(at), for_token),
            _ => (self.opens_again_at(now), false),
        };
        LaneStatus {
            name: name.to_owned(),
            state,
            pending: self.counts.pending,
            pending_bytes: self.counts.pending_bytes,
            pinned_bytes: self.holdings.bytes(),
            oldest_pending: self.oldest_since().map(ago),
            in_flight: self.flights.len(),
            in_flight_for: self.flights.iter().map(|f| f.since).min().map(ago),
            failures: failing.map_or(0, |f| f.attempts),
            failing_for: failing.filter(|_| is_failing).map(|f| ago(f.since)),
            last_success: self.last_success.map(ago),
            last_error: self.last_error.clone(),
            last_error_ago: self.evidence.last_error.map(ago),
            last_dropped: self.evidence.last_dropped.map(ago),
            rejected_in_a_row: self.evidence.rejected_in_a_row,
            rejecting_for: self.evidence.rejecting_for(),
            restarts: 0,
            attempts: self.counts.attempts,
            retries: self.counts.retries,
            breaker: self.breaker.state(),
            opened_for: self.breaker.opened_for(now),
            retry_in: retry_at.map(|at| at.saturating_duration_since(now)),
            waits_for_budget,
            learned_bytes: self.size.current(),
        }
    }

    /// The end of the breaker's wait, also while older attempts are in flight.
    fn opens_again_at(&self, now: Instant) -> Option<Instant> {
        let is_working = self.closed.is_none() && !self.paused && self.counts.pending > 0;
        match self.breaker.admits(now) {
            Admission::NotBefore(at) if is_working => Some(at),
            _ => None,
        }
    }
}
