//! The lane's state: queue, flights, counters. Every method runs under the lane's lock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::attempt::{Attempt, Flight, Next, Ready};
use super::evidence::Evidence;
use super::news::Tally;
use super::request::{Request, cut, put_back, take};
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
}

/// A run of failed attempts.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) since: Instant,
    pub(super) attempts: u32,
    /// Set while the last failure was a refusal of this client.
    pub(super) held: Option<Held>,
    pub(super) was_held: bool,
}

/// The whole lane waits, not one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) probe_at: Instant,
}

#[derive(Debug)]
pub(super) struct State<E> {
    /// Never tried.
    pub(super) fresh: VecDeque<Slice<E>>,
    /// Tried before: retries that wait, and parts of requests that were cut.
    pub(super) again: VecDeque<Request<E>>,
    pub(super) flights: Vec<Flight<E>>,
    pub(super) counts: LaneCounts,
    pub(super) size: LearnedSize,
    pub(super) failing: Option<Failing>,
    pub(super) last_success: Option<Instant>,
    pub(super) last_error: Option<Cause>,
    pub(super) evidence: Evidence,
    pub(super) rejected: Tally,
    pub(super) expired: Tally,
    pub(super) evicted: Tally,
    pub(super) paused: bool,
    /// When a drain that is under way has to end.
    drain_by: Option<Instant>,
    /// To be dropped once the lock is free: what an event's drop does, and whom its bytes wake, is
    /// not known here.
    pub(super) garbage: Vec<Slice<E>>,
    pub(super) closed: Option<DropReason>,
    last_id: u64,
}

impl<E> State<E> {
    pub(super) fn new(max_body: usize) -> Self {
        Self {
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            flights: Vec::new(),
            counts: LaneCounts::default(),
            size: LearnedSize::new(max_body),
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
            closed: None,
            last_id: 0,
        }
    }

    pub(super) fn next(&mut self, now: Instant, concurrency: usize, max_events: usize) -> Next<E> {
        if self.closed.is_some() || self.paused {
            return Next::Idle;
        }
        let concurrency = concurrency.max(1);
        let probe_at = self
            .failing
            .as_ref()
            .and_then(|f| f.held)
            .map(|held| held.probe_at);
        let limit = if probe_at.is_some() { 1 } else { concurrency };
        if self.flights.len() >= limit {
            return Next::Idle;
        }
        if let Some(at) = probe_at.filter(|at| *at > now) {
            return Next::WaitUntil(at);
        }
        // in order, a waiting request holds up everything behind it
        let considered = if concurrency == 1 {
            1
        } else {
            self.again.len()
        };
        let bodies = self.flights.len() + self.again.iter().filter(|r| r.body.is_some()).count();
        let has_place =
            |r: &Request<E>| concurrency == 1 || r.body.is_some() || bodies < concurrency;
        let is_ready = |r: &Request<E>| !r.is_waiting(now) && has_place(r);
        let ready = self.again.iter().take(considered).position(is_ready);
        if let Some(request) = ready.and_then(|i| self.again.remove(i)) {
            return self.start(request, now);
        }
        if self.flights.len() + self.again.len() < concurrency && !self.fresh.is_empty() {
            let request = Request::new(take(&mut self.fresh, max_events));
            return self.start(request, now);
        }
        let waiting = self
            .again
            .iter()
            .take(considered)
            .filter(|r| r.is_waiting(now));
        waiting
            .filter_map(|r| r.not_before)
            .min()
            .map_or(Next::Idle, Next::WaitUntil)
    }

    fn start(&mut self, mut request: Request<E>, now: Instant) -> Next<E> {
        self.last_id += 1;
        self.counts.attempts += 1;
        request.not_before = None;
        let attempt = Attempt {
            id: self.last_id,
            slices: request.slices.clone(),
            body: request.body.clone(),
            max_bytes: self.size.current(),
        };
        self.flights.push(Flight {
            id: self.last_id,
            request,
            started: now,
            task: None,
        });
        Next::Start(attempt)
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
        let tail = cut(&mut request.slices, consumed);
        let before = request.weight();
        let mut keep = vec![true; consumed];
        let mut rejected = Counts::default();
        for (position, reason) in encoded.refused {
            if keep.get(position) == Some(&true) {
                keep[position] = false;
                rejected.add(reason, 1);
            }
        }
        let refused = rejected.total();
        if refused > 0 {
            self.garbage.extend(request.retain(&keep));
        }
        let weight = before - request.weight();
        request.body = Some(encoded.body.clone());
        let since = request.failing_since;
        let to_send = (!request.slices.is_empty()).then(|| (encoded.body, request.slices.clone()));
        self.counts.rejected.merge(&rejected);
        self.rejected.add(refused);
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
            put_back(&mut self.fresh, tail);
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
        for request in &mut self.again {
            request.not_before = None;
        }
        if let Some(held) = self.failing.as_mut().and_then(|f| f.held.as_mut()) {
            held.probe_at = now;
        }
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
        self.forget(request.len(), request.weight());
        self.garbage.extend(request.slices);
    }

    /// `events` of `weight` bytes have left this lane.
    pub(super) fn forget(&mut self, events: usize, weight: usize) {
        self.counts.pending -= events as u64;
        self.counts.pending_bytes -= weight;
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

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn audit(&self) -> u64 {
        let fresh: usize = self.fresh.iter().map(Slice::len).sum();
        let again: usize = self.again.iter().map(Request::len).sum();
        let flights: usize = self.flights.iter().map(|f| f.request.len()).sum();
        (fresh + again + flights) as u64
    }
}
