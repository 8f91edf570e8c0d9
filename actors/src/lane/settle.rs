//! What an ended attempt means for its events.

use tokio::time::Instant;

use super::LaneOptions;
use super::attempt::Ended;
use super::request::Request;
use super::state::{Failing, State};
use crate::backoff::Decision;
use crate::ledger::{Counts, DropReason, RejectReason};
use crate::provider::{Cause, Outcome, Verdict};

/// A panic may be bad luck twice; the third time on the same events it is the events.
const PANICS_BEFORE_ISOLATION: u32 = 3;

/// What is worth a log line: the start and end of a run of failures, and events given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Episode {
    /// Nothing new.
    Quiet,
    /// The first failure after a success.
    Failing(Cause),
    /// The destination began to refuse this client.
    Held(Cause),
    /// The first success after failures.
    Recovered { attempts: u32 },
    /// A request ran out of its retry budget.
    Expired { events: usize, cause: Cause },
    /// Events were refused for good.
    Rejected { events: u64, cause: Option<Cause> },
}

impl<E> State<E> {
    pub(super) fn finish(
        &mut self,
        id: u64,
        ended: Ended,
        now: Instant,
        chance: f64,
        options: &LaneOptions,
    ) -> Episode {
        let Some(at) = self.flights.iter().position(|f| f.id == id) else {
            return Episode::Quiet;
        };
        let request = self.flights.swap_remove(at).request;
        let mut retry = Retry {
            state: self,
            now,
            chance,
            options,
        };
        match ended {
            Ended::NothingToSend => Episode::Rejected {
                events: 0,
                cause: None,
            },
            Ended::Aborted => {
                retry.state.again.push_front(request);
                Episode::Quiet
            }
            Ended::TimedOut => retry.later(request, None, Cause::new("attempt timeout")),
            Ended::Panicked => retry.after_panic(request),
            Ended::With(Outcome::Delivered) => {
                let size = (request.len(), request.weight());
                retry.state.counts.delivered += size.0 as u64;
                retry.state.forget(size.0, size.1);
                retry.state.succeeded(now)
            }
            Ended::With(Outcome::PerEvent(verdicts)) => retry.per_event(request, &verdicts),
            Ended::With(Outcome::Retry { not_before, cause }) => {
                retry.later(request, not_before, cause)
            }
            Ended::With(Outcome::Hold { cause }) => retry.hold(request, cause),
            Ended::With(Outcome::Split { cause }) => {
                let len = request.body.as_ref().map_or(0, bytes::Bytes::len);
                retry.state.size.too_large(len);
                retry.isolate(request, RejectReason::TooLarge, cause)
            }
            Ended::With(Outcome::Poisoned { cause }) => {
                retry.isolate(request, RejectReason::Poison, cause)
            }
            Ended::With(Outcome::Final { reason, cause }) => {
                retry.state.reject(&request, reason);
                Episode::Rejected {
                    events: request.len() as u64,
                    cause: Some(cause),
                }
            }
        }
    }

    fn reject(&mut self, request: &Request<E>, reason: RejectReason) {
        self.counts.rejected.add(reason, request.len() as u64);
        self.forget(request.len(), request.weight());
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

    fn failed(&mut self, now: Instant, cause: &Cause, held: bool) -> Episode {
        self.last_error = Some(cause.clone());
        let first = self.failing.is_none();
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            attempts: 0,
            held: false,
        });
        failing.attempts += 1;
        let newly_held = held && !failing.held;
        failing.held = held;
        match (newly_held, first) {
            (true, _) => Episode::Held(cause.clone()),
            (false, true) => Episode::Failing(cause.clone()),
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
    /// Tries the same body again later, or gives it up when its time is spent.
    fn later(
        &mut self,
        mut request: Request<E>,
        not_before: Option<std::time::Duration>,
        cause: Cause,
    ) -> Episode {
        let episode = self.state.failed(self.now, &cause, false);
        request.failures += 1;
        let since = *request.failing_since.get_or_insert(self.now);
        let backoff = &self.options.backoff;
        match backoff.decide(request.failures, since, self.now, not_before, self.chance) {
            Decision::RetryAt(at) => {
                request.not_before = Some(at);
                self.state.again.push_front(request);
                episode
            }
            Decision::GiveUp => {
                let events = request.len();
                self.state
                    .counts
                    .dropped
                    .add(DropReason::Expired, events as u64);
                self.state.forget(events, request.weight());
                Episode::Expired { events, cause }
            }
        }
    }

    /// Keeps the request for as long as it takes; only the lane's bytes limit what waits behind it.
    fn hold(&mut self, mut request: Request<E>, cause: Cause) -> Episode {
        let episode = self.state.failed(self.now, &cause, true);
        request.failing_since = None;
        let spread = self
            .options
            .hold_probe
            .mul_f64(0.75 + self.chance.clamp(0.0, 1.0) / 4.0);
        request.not_before = Some(self.now + spread);
        self.state.again.push_front(request);
        episode
    }

    /// Halves a refused request until one event is left, which is then refused for good.
    fn isolate(&mut self, request: Request<E>, reason: RejectReason, cause: Cause) -> Episode {
        self.state.last_error = Some(cause.clone());
        if request.len() <= 1 {
            self.state.reject(&request, reason);
            return Episode::Rejected {
                events: 1,
                cause: Some(cause),
            };
        }
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
        self.state.failed(self.now, &cause, false);
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
        request.retain(&keep);
        let left = request.len();
        self.state.counts.delivered += delivered;
        self.state.counts.rejected.merge(&rejected);
        self.state.forget(len - left, before - request.weight());
        if left > 0 {
            request.body = None;
            return self.later(request, None, Cause::new("partly refused"));
        }
        let recovered = self.state.succeeded(self.now);
        match rejected.total() {
            0 => recovered,
            events => Episode::Rejected {
                events,
                cause: Some(Cause::new("refused by index")),
            },
        }
    }
}
