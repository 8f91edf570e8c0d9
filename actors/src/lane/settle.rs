//! What an ended attempt means for its events.

use std::time::Duration;

use tokio::time::Instant;

use super::LaneOptions;
use super::attempt::Ended;
use super::news::{Episode, News};
use super::request::Request;
use super::state::{Failing, Held, State};
use crate::backoff::{Decision, FOREVER};
use crate::ledger::{Counts, DropReason, RejectReason};
use crate::provider::{Cause, Outcome, Verdict};

/// A panic may be bad luck twice; the third time on the same events it is the events.
const PANICS_BEFORE_ISOLATION: u32 = 3;

/// Probing without any pause would be a busy loop.
const SHORTEST_PROBE: Duration = Duration::from_millis(1);

impl<E> State<E> {
    pub(super) fn finish(
        &mut self,
        id: u64,
        ended: Ended,
        now: Instant,
        chance: f64,
        options: &LaneOptions,
    ) -> News {
        let Some(at) = self.flights.iter().position(|f| f.id == id) else {
            return News::default();
        };
        let request = self.flights.swap_remove(at).request;
        let known = self.last_error.take();
        let episode = Retry {
            state: self,
            now,
            chance,
            options,
        }
        .settle(request, ended);
        match known {
            _ if self.last_error.is_some() => self.evidence.last_error = Some(now),
            known => self.last_error = known,
        }
        self.evidence.note(&self.counts, now);
        News {
            episode,
            rejected: self.rejected.tell(now),
            expired: self.expired.tell(now),
            evicted: self.evicted.tell(now),
            cause: self.last_error.clone(),
        }
    }

    fn reject(&mut self, request: Request<E>, reason: RejectReason, cause: Cause) {
        self.last_error = Some(cause);
        self.counts.rejected.add(reason, request.len() as u64);
        self.rejected.add(request.len() as u64);
        self.let_go(request);
    }

    fn succeeded(&mut self, now: Instant) -> Episode {
        self.last_success = Some(now);
        self.size.taken();
        match self.failing.take() {
            Some(failing) => Episode::Recovered {
                attempts: failing.attempts,
            },
            None => Episode::Quiet,
        }
    }

    fn failed(&mut self, now: Instant, cause: Cause, held: Option<Held>) -> Episode {
        self.last_error = Some(cause);
        let first = self.failing.is_none();
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            attempts: 0,
            held: None,
            was_held: false,
        });
        failing.attempts += 1;
        failing.held = held;
        let newly_held = held.is_some() && !failing.was_held;
        failing.was_held |= held.is_some();
        match (newly_held, first) {
            (true, _) => Episode::Held,
            (false, true) => Episode::Failing,
            (false, false) => Episode::Quiet,
        }
    }
}

/// One failed attempt's way back into the lane.
struct Retry<'a, E> {
    state: &'a mut State<E>,
    now: Instant,
    chance: f64,
    options: &'a LaneOptions,
}

impl<E> Retry<'_, E> {
    fn settle(&mut self, mut request: Request<E>, ended: Ended) -> Episode {
        if !matches!(ended, Ended::Panicked) {
            request.panics = 0;
        }
        match ended {
            Ended::NothingToSend => Episode::Quiet,
            Ended::Aborted => {
                self.state.again.push_front(request);
                Episode::Quiet
            }
            Ended::TimedOut => self.later(request, None, Cause::new("attempt timeout")),
            Ended::Panicked => self.after_panic(request),
            Ended::With(Outcome::Delivered) => {
                self.state.counts.delivered += request.len() as u64;
                self.state.let_go(request);
                self.state.succeeded(self.now)
            }
            Ended::With(Outcome::PerEvent(verdicts)) => self.per_event(request, &verdicts),
            Ended::With(Outcome::Retry { not_before, cause }) => {
                self.later(request, not_before, cause)
            }
            Ended::With(Outcome::Hold { cause }) => self.hold(request, cause),
            Ended::With(Outcome::Split { cause }) => {
                let len = request.body.as_ref().map_or(0, bytes::Bytes::len);
                self.state.size.too_large(len);
                self.isolate(request, RejectReason::TooLarge, cause)
            }
            Ended::With(Outcome::Poisoned { cause }) => {
                self.isolate(request, RejectReason::Poison, cause)
            }
            Ended::With(Outcome::Final { reason, cause }) => {
                self.state.reject(request, reason, cause);
                Episode::Quiet
            }
        }
    }

    /// Tries the same body again later, or gives it up when its time is spent.
    fn later(
        &mut self,
        mut request: Request<E>,
        not_before: Option<Duration>,
        cause: Cause,
    ) -> Episode {
        let episode = self.state.failed(self.now, cause, None);
        request.failures += 1;
        let since = *request.failing_since.get_or_insert(self.now);
        let backoff = &self.options.backoff;
        match backoff.decide(request.failures, since, self.now, not_before, self.chance) {
            Decision::RetryAt(at) => {
                request.not_before = Some(self.state.within_drain(at, self.now));
                self.state.again.push_front(request);
                episode
            }
            Decision::GiveUp => {
                let events = request.len() as u64;
                self.state.counts.dropped.add(DropReason::Expired, events);
                self.state.expired.add(events);
                self.state.let_go(request);
                episode
            }
        }
    }

    /// Keeps the request for as long as it takes; only the lane's bytes limit what waits behind it.
    fn hold(&mut self, mut request: Request<E>, cause: Cause) -> Episode {
        request.failing_since = None;
        let probe = self.options.hold_probe.clamp(SHORTEST_PROBE, FOREVER);
        let spread = probe.mul_f64(0.75 + self.chance.clamp(0.0, 1.0) / 4.0);
        self.state.again.push_front(request);
        let held = Held {
            probe_at: self.state.within_drain(self.now + spread, self.now),
        };
        self.state.failed(self.now, cause, Some(held))
    }

    /// Halves a refused request until one event is left, which is then refused for good.
    fn isolate(&mut self, request: Request<E>, reason: RejectReason, cause: Cause) -> Episode {
        if request.len() <= 1 {
            self.state.reject(request, reason, cause);
            return Episode::Quiet;
        }
        self.state.last_error = Some(cause);
        let (front, back) = request.halve();
        self.state.again.push_front(back);
        self.state.again.push_front(front);
        Episode::Quiet
    }

    fn after_panic(&mut self, mut request: Request<E>) -> Episode {
        let cause = Cause::new("panic");
        request.panics += 1;
        if request.panics < PANICS_BEFORE_ISOLATION {
            return self.later(request, None, cause);
        }
        self.state.failed(self.now, cause.clone(), None);
        self.isolate(request, RejectReason::Panicked, cause)
    }

    fn per_event(&mut self, mut request: Request<E>, verdicts: &[Verdict]) -> Episode {
        let len = request.len();
        let verdict = |i: usize| verdicts.get(i).copied().unwrap_or(Verdict::Retry);
        let mut rejected = Counts::default();
        let mut delivered = 0;
        let mut keep = vec![false; len];
        for (i, keep) in keep.iter_mut().enumerate() {
            match verdict(i) {
                Verdict::Delivered => delivered += 1,
                Verdict::Rejected(reason) => rejected.add(reason, 1),
                Verdict::Retry => *keep = true,
            }
        }
        let before = request.weight();
        self.state.garbage.extend(request.retain(&keep));
        let left = request.len();
        self.state.counts.delivered += delivered;
        self.state.counts.rejected.merge(&rejected);
        self.state.rejected.add(rejected.total());
        self.state.forget(len - left, before - request.weight());
        if left > 0 {
            request.body = None;
            return self.later(request, None, Cause::new("partly refused"));
        }
        if rejected.total() > 0 {
            self.state.last_error = Some(Cause::new("refused by index"));
        }
        self.state.succeeded(self.now)
    }
}
