//! The lane's state: queue, flights, counters. Every method runs under the lane's lock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::attempt::{Flight, Ready};
use super::breaker::Breaker;
use super::dead::Deaths;
use super::evidence::Evidence;
use super::fresh::Fresh;
use super::holdings::Holdings;
use super::news::{Tally, Told};
use super::request::{Request, cut};
use super::retry_budget::Tokens;
use super::size::LearnedSize;
use crate::ledger::{Counts, DropReason, FilterReason, RejectReason};
use crate::provider::{Cause, Encoded};
use crate::request::Slice;

/// Attempts of a drain are at least this far apart.
const SHORTEST_DRAIN_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct LaneCounts {
    /// Of what was accepted, and reached this lane.
    pub(super) offered: u64,
    pub(super) redriven: u64,
    pub(super) delivered: u64,
    pub(super) filtered: Counts<FilterReason>,
    pub(super) rejected: Counts<RejectReason>,
    pub(super) dropped: Counts<DropReason>,
    pub(super) pending: u64,
    pub(super) pending_bytes: usize,
    pub(super) attempts: u64,
    /// Attempts of requests that had failed before.
    pub(super) retries: u64,
}

/// A run of failed attempts, over whatever requests.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) since: Instant,
    pub(super) attempts: u32,
    /// Set while the last failure was a refusal of this client: when the run of those began.
    pub(super) held_since: Option<Instant>,
    /// When the run of other failures began.
    pub(super) retried_since: Option<Instant>,
    /// What the log has heard of it.
    pub(super) told: Told,
    /// Events that had been dropped before it began.
    pub(super) dropped_before: u64,
}

#[derive(Debug)]
pub(super) struct State<E> {
    /// Never tried.
    pub(super) fresh: Fresh<E>,
    /// Tried before: retries that wait, and parts of requests that were cut.
    pub(super) again: VecDeque<Request<E>>,
    pub(super) flights: Vec<Flight<E>>,
    pub(super) counts: LaneCounts,
    /// The batches that everything above keeps alive.
    pub(super) holdings: Holdings,
    pub(super) size: LearnedSize,
    pub(super) breaker: Breaker,
    pub(super) tokens: Tokens,
    /// How long a batch may fail: a token is waited for no longer.
    pub(super) retry_for: Duration,
    /// Retries that may go without a token: those whose wait was skipped.
    pub(super) excused: usize,
    pub(super) failing: Option<Failing>,
    pub(super) last_success: Option<Instant>,
    pub(super) last_error: Option<Cause>,
    pub(super) evidence: Evidence,
    pub(super) rejected: Tally,
    pub(super) expired: Tally,
    pub(super) evicted: Tally,
    pub(super) paused: bool,
    /// When a drain that is under way has to end.
    pub(super) drain_by: Option<Instant>,
    /// To be dropped once the lock is free: what an event's drop does, and whom its bytes wake, is
    /// not known here.
    pub(super) garbage: Vec<Slice<E>>,
    pub(super) deaths: Deaths<E>,
    pub(super) closed: Option<DropReason>,
    pub(super) last_id: u64,
}

impl<E> State<E> {
    pub(super) fn new(
        max_body: usize,
        breaker: Breaker,
        tokens: Tokens,
        retry_for: Duration,
    ) -> Self {
        Self {
            fresh: Fresh::default(),
            again: VecDeque::new(),
            flights: Vec::new(),
            counts: LaneCounts::default(),
            holdings: Holdings::default(),
            size: LearnedSize::new(max_body),
            breaker,
            tokens,
            retry_for,
            excused: 0,
            failing: None,
            last_success: None,
            last_error: None,
            evidence: Evidence::default(),
            rejected: Tally::default(),
            expired: Tally::default(),
            evicted: Tally::default(),
            paused: false,
            drain_by: None,
            garbage: Vec::new(),
            deaths: Deaths::default(),
            closed: None,
            last_id: 0,
        }
    }

    /// Gives the handle back if the attempt is no longer wanted.
    pub(super) fn started(&mut self, id: u64, task: AbortHandle) -> Option<AbortHandle> {
        match self.flights.iter_mut().find(|f| f.id == id) {
            Some(flight) => {
                flight.task = Some(task);
                None
            }
            None => Some(task),
        }
    }

    /// Returns what to send, and whether something was settled.
    pub(super) fn encoded(&mut self, id: u64, mut encoded: Encoded) -> (Option<Ready<E>>, bool) {
        let Some(flight) = self.flights.iter_mut().find(|f| f.id == id) else {
            return (None, false);
        };
        let request = &mut flight.request;
        let offered = request.len();
        if encoded.consumed == 0 && offered > 0 {
            // a provider that consumes nothing would be asked for ever
            encoded.consumed = 1;
            encoded.refused = vec![(0, RejectReason::Unencodable)];
        }
        let consumed = encoded.consumed.min(offered);
        let mut tail = cut(&mut request.slices, consumed);
        for slice in &mut tail {
            // it was offered to the encoder and is not part of this request
            slice.attempts = slice.attempts.saturating_sub(1);
        }
        let before = request.weight();
        let mut refused = 0;
        // nearly always there is none, and then nothing is allocated
        if !encoded.refused.is_empty() {
            let mut keep = vec![true; consumed];
            let mut rejected = Counts::default();
            for (position, reason) in encoded.refused {
                if keep.get(position) == Some(&true) {
                    keep[position] = false;
                    rejected.add(reason, 1);
                    let how = "refused while encoding";
                    self.deaths.one(&request.slices, position, reason, how);
                }
            }
            refused = rejected.total();
            let offered = request.retain(&keep);
            self.holdings.reduce(&offered, &request.slices);
            self.garbage.extend(offered);
            self.counts.rejected.merge(&rejected);
            self.rejected.add(refused);
        }
        let weight = before - request.weight();
        request.body = Some(encoded.body.clone());
        let since = request.failing_since;
        let to_send = (!request.slices.is_empty()).then(|| (encoded.body, request.slices.clone()));
        self.counts.pending -= refused;
        self.counts.pending_bytes -= weight;
        self.return_tail(tail, since);
        (to_send, refused > 0)
    }

    /// What did not fit goes on right behind the request that it was cut from.
    fn return_tail(&mut self, tail: Vec<Slice<E>>, since: Option<Instant>) {
        if tail.is_empty() {
            return;
        }
        if self.again.is_empty() && since.is_none() {
            self.fresh.put_back(tail);
        } else {
            let rest = Request {
                failing_since: since,
                ..Request::new(tail)
            };
            self.again.push_front(rest);
        }
    }

    pub(super) fn recover(&mut self) {
        let mut flights = std::mem::take(&mut self.flights);
        flights.sort_by_key(|f| f.id);
        for flight in flights.into_iter().rev() {
            if flight.request.slices.is_empty() {
                continue;
            }
            self.again.push_front(flight.request);
        }
    }

    pub(super) fn skip_waits(&mut self, now: Instant) {
        self.excuse();
        self.breaker.skip_wait(now);
    }

    /// Nothing that was tried before has to wait any longer, neither for its time nor for a token.
    pub(super) fn excuse(&mut self) {
        for request in &mut self.again {
            request.not_before = None;
        }
        self.excused = self.again.iter().filter(|r| r.failures > 0).count();
    }

    /// From now on waits end well before `deadline`.
    pub(super) fn drain(&mut self, deadline: Instant, now: Instant) {
        self.drain_by = Some(deadline);
        self.skip_waits(now);
    }

    /// `at`, or earlier while draining: a wait takes at most half of what time is left, so that there
    /// is always another attempt, and a destination in trouble is still given pauses.
    pub(super) fn within_drain(&self, at: Instant, now: Instant) -> Instant {
        match self.drain_by {
            Some(end) => {
                let half = end.saturating_duration_since(now) / 2;
                at.min(now + half.max(SHORTEST_DRAIN_WAIT))
            }
            None => at,
        }
    }

    pub(super) fn close(&mut self, reason: DropReason) -> Vec<AbortHandle> {
        if self.closed.is_some() {
            return Vec::new();
        }
        self.closed = Some(reason);
        self.counts.dropped.add(reason, self.counts.pending);
        self.counts.pending = 0;
        self.counts.pending_bytes = 0;
        self.holdings = Holdings::default();
        let (flights, tasks): (Vec<_>, Vec<_>) =
            self.flights.drain(..).map(|f| (f.request, f.task)).unzip();
        self.garbage.extend(std::mem::take(&mut self.fresh));
        let requests = std::mem::take(&mut self.again).into_iter().chain(flights);
        self.garbage
            .extend(requests.flat_map(|request| request.slices));
        tasks.into_iter().flatten().collect()
    }

    /// The events of `request` have left this lane.
    pub(super) fn let_go(&mut self, request: Request<E>) {
        self.let_go_of(request.slices);
    }

    /// The events of `slices` have left this lane.
    pub(super) fn let_go_of(&mut self, slices: Vec<Slice<E>>) {
        for slice in &slices {
            self.counts.pending -= slice.len() as u64;
            self.counts.pending_bytes -= slice.weight();
            self.holdings.release(slice);
        }
        if self.garbage.is_empty() {
            self.garbage = slices;
        } else {
            self.garbage.extend(slices);
        }
    }

    /// Of `before` this lane has only `kept` left.
    pub(super) fn let_go_but(&mut self, before: Vec<Slice<E>>, kept: &[Slice<E>]) {
        for slice in kept {
            self.counts.pending += slice.len() as u64;
            self.counts.pending_bytes += slice.weight();
            self.holdings.hold(slice);
        }
        self.let_go_of(before);
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        let fresh = self.fresh.front().map(Slice::number);
        let again = self.again.iter().filter_map(Request::oldest);
        let flights = self.flights.iter().filter_map(|f| f.request.oldest());
        again.chain(flights).chain(fresh).min()
    }

    /// When the oldest event that waits here was taken off the ring.
    pub(super) fn oldest_since(&self) -> Option<Instant> {
        let again = self.again.iter().flat_map(|request| &request.slices);
        let flights = self.flights.iter().flat_map(|f| &f.request.slices);
        let all = self.fresh.iter().chain(again).chain(flights);
        all.map(Slice::since).min()
    }

    /// Every slice that is here.
    #[cfg(test)]
    pub(super) fn walk(&self) -> impl Iterator<Item = &Slice<E>> {
        let again = self.again.iter().flat_map(|request| &request.slices);
        let flights = self.flights.iter().flat_map(|f| &f.request.slices);
        self.fresh.iter().chain(again).chain(flights)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn audit(&self) -> u64 {
        let fresh: usize = self.fresh.iter().map(Slice::len).sum();
        let again: usize = self.again.iter().map(Request::len).sum();
        let flights: usize = self.flights.iter().map(|f| f.request.len()).sum();
        (fresh + again + flights) as u64
    }
}
