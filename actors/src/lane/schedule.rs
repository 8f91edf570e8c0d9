//! What a lane does next.

use tokio::time::Instant;

use super::attempt::{Attempt, Flight, Next};
use super::breaker::Admission;
use super::request::Request;
use super::state::State;
use crate::request::Slice;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The request at this place among those that were tried before.
    Again(usize),
    /// A request of events that were never tried.
    Fresh,
    /// Nothing before this instant.
    Later {
        at: Instant,
        /// The retry budget is what is waited for, and nothing else.
        for_token: bool,
    },
    /// Nothing until something changes.
    Nothing,
}

impl<E> State<E> {
    pub(super) fn next(&mut self, now: Instant, concurrency: usize, max_events: usize) -> Next<E> {
        let request = match self.due(now, concurrency) {
            Due::Again(place) => self.again.remove(place),
            Due::Fresh => Some(Request::new(self.fresh.take(max_events))),
            Due::Later { at, .. } => return Next::WaitUntil(at),
            Due::Nothing => None,
        };
        request.map_or(Next::Idle, |request| self.start(request, now))
    }

    pub(super) fn due(&self, now: Instant, concurrency: usize) -> Due {
        let is_empty = self.again.is_empty() && self.fresh.is_empty();
        if self.closed.is_some() || self.paused || is_empty {
            return Due::Nothing;
        }
        let concurrency = concurrency.max(1);
        let limit = match self.breaker.admits(now) {
            Admission::UpTo(limit) => limit.min(concurrency),
            Admission::NotBefore(_) if !self.flights.is_empty() => 0,
            Admission::NotBefore(at) => {
                let for_token = false;
                return Due::Later { at, for_token };
            }
        };
        if self.flights.len() >= limit {
            return Due::Nothing;
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
        let mut waiting = None;
        for (place, request) in self.again.iter().take(considered).enumerate() {
            match self.wait_of(request, now) {
                Some(wait) => {
                    waiting = Some(waiting.map_or(wait, |first: (Instant, bool)| first.min(wait)));
                }
                None if has_place(request) => return Due::Again(place),
                None => {}
            }
        }
        if self.flights.len() + self.again.len() < concurrency && !self.fresh.is_empty() {
            return Due::Fresh;
        }
        waiting.map_or(Due::Nothing, |(at, for_token)| Due::Later { at, for_token })
    }

    /// Until when a request waits, and whether only for the retry budget.
    fn wait_of(&self, request: &Request<E>, now: Instant) -> Option<(Instant, bool)> {
        if request.is_waiting(now) {
            return request.not_before.map(|at| (at, false));
        }
        // the deadline of a drain bounds its retries already
        let needs_token = request.failures > 0 && self.excused == 0 && self.drain_by.is_none();
        let ready = self.tokens.ready_at(now);
        if !needs_token || ready <= now {
            return None;
        }
        // without a token, but in time: should it fail, what has spent its budget is given up
        let at = self.spent_at(request).map_or(ready, |end| ready.min(end));
        (at > now).then_some((at, true))
    }

    /// When the first batch of a request that failed has spent its time.
    fn spent_at(&self, request: &Request<E>) -> Option<Instant> {
        let lane = || self.failing.as_ref()?.retried_since;
        let since = request.failing_since.or_else(lane);
        let oldest = request.slices.iter().map(Slice::since).min()?;
        Some(since.map_or(oldest, |since| oldest.max(since)) + self.retry_for)
    }

    fn start(&mut self, mut request: Request<E>, now: Instant) -> Next<E> {
        self.last_id += 1;
        self.counts.attempts += 1;
        if request.failures > 0 {
            self.counts.retries += 1;
            match self.excused.checked_sub(1) {
                Some(left) => self.excused = left,
                None => self.tokens.take(now),
            }
        }
        self.breaker.started();
        request.not_before = None;
        for slice in &mut request.slices {
            slice.attempts = slice.attempts.saturating_add(1);
        }
        let attempt = Attempt {
            id: self.last_id,
            slices: request.slices.clone(),
            body: request.body.clone(),
            max_bytes: self.size.current(),
        };
        self.flights.push(Flight {
            id: self.last_id,
            request,
            since: now,
            task: None,
        });
        Next::Start(attempt)
    }
}
