//! What an ended attempt means for its events.

use std::time::Duration;

use tokio::time::Instant;

use super::LaneOptions;
use super::attempt::Ended;
use super::breaker::Reaction;
use super::news::{Episode, News, Told};
use super::request::Request;
use super::state::{Failing, State};
use crate::backoff::{Decision, FOREVER};
use crate::dead_letters::DeadReason;
use crate::ledger::{Counts, DropReason, RejectReason};
use crate::provider::{Cause, Outcome, Verdict};
use crate::request::Slice;

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
            pending: self.counts.pending,
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
        let reason = DeadReason::Rejected(reason);
        self.deaths
            .all(&request.slices, reason, self.last_error.as_ref());
        self.let_go(request);
    }

    fn succeeded(&mut self, now: Instant, body_len: usize) -> Episode {
        self.last_success = Some(now);
        self.size.taken(body_len);
        self.tokens.succeeded(now);
        if self.breaker.succeeded() {
            // what failed during the outage is no retry against a destination in trouble
            self.excuse();
        }
        match self.failing.take() {
            Some(failing) => Episode::Recovered {
                attempts: failing.attempts,
                lasted: now.saturating_duration_since(failing.since),
                dropped: self.counts.dropped.total() - failing.dropped_before,
            },
            None => Episode::Quiet,
        }
    }

    /// The run of failures that goes on, or begins now.
    fn failing(&mut self, now: Instant) -> &mut Failing {
        let dropped_before = self.counts.dropped.total();
        self.failing.get_or_insert(Failing {
            since: now,
            attempts: 0,
            held_since: None,
            retried_since: None,
            told: Told::Nothing,
            dropped_before,
        })
    }

    /// Counts one more failure; `episode` is told unless the log knows as much. Returns since when
    /// attempts fail in this way.
    fn failed(
        &mut self,
        now: Instant,
        cause: Cause,
        is_hold: bool,
        episode: Episode,
    ) -> (Episode, Instant) {
        self.last_error = Some(cause);
        let failing = self.failing(now);
        failing.attempts = failing.attempts.saturating_add(1);
        let since = if is_hold {
            failing.retried_since = None;
            *failing.held_since.get_or_insert(now)
        } else {
            failing.held_since = None;
            *failing.retried_since.get_or_insert(now)
        };
        if episode.told() > failing.told {
            failing.told = episode.told();
            return (episode, since);
        }
        (Episode::Quiet, since)
    }

    /// Gives up what `request` holds whose time is spent, and returns the rest. The time of an event
    /// begins at `since`, or when it came if that is later, so that each batch of a merged request has
    /// its own.
    fn unexpired(
        &mut self,
        mut request: Request<E>,
        is_spent: impl Fn(Instant) -> bool,
        since: Instant,
    ) -> Option<Request<E>> {
        let (spent, left): (Vec<_>, Vec<_>) = std::mem::take(&mut request.slices)
            .into_iter()
            .partition(|slice| is_spent(slice.since().max(since)));
        request.slices = left;
        if !spent.is_empty() {
            let spent = Request::new(spent);
            let events = spent.len() as u64;
            self.counts.dropped.add(DropReason::Expired, events);
            self.expired.add(events);
            let cause = self.last_error.as_ref();
            self.deaths.all(&spent.slices, DeadReason::Expired, cause);
            self.let_go(spent);
            request.body = None;
        }
        (!request.slices.is_empty()).then_some(request)
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
        let body_len = request.body.as_ref().map_or(0, bytes::Bytes::len);
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
                self.state.succeeded(self.now, body_len)
            }
            Ended::With(Outcome::PerEvent(verdicts)) => self.per_event(request, &verdicts),
            Ended::With(Outcome::Retry { not_before, cause }) => {
                self.later(request, not_before, cause)
            }
            Ended::With(Outcome::Hold { cause }) => self.hold(request, cause),
            Ended::With(Outcome::Split { cause }) => {
                self.state.size.too_large(body_len);
                self.refused(request, RejectReason::TooLarge, cause)
            }
            Ended::With(Outcome::Poisoned { cause }) => {
                self.refused(request, RejectReason::Poison, cause)
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
        let not_before = not_before.filter(|wait| !wait.is_zero());
        request.failures = request.failures.saturating_add(1);
        let (episode, lane_since) = self.failed(request.failures, not_before, cause);
        let since = *request.failing_since.get_or_insert(lane_since);
        let backoff = self.options.backoff;
        let is_spent = |since| backoff.is_spent(since, self.now);
        if let Some(mut request) = self.state.unexpired(request, is_spent, since) {
            request.not_before = self.own_wait(&request, since, not_before);
            self.state.again.push_front(request);
        }
        episode
    }

    /// Until when a failed request waits on its own: not at all if the lane waits as a whole.
    fn own_wait(
        &self,
        request: &Request<E>,
        since: Instant,
        not_before: Option<Duration>,
    ) -> Option<Instant> {
        if self.state.breaker.is_open() {
            return None;
        }
        let youngest = request.slices.iter().map(Slice::since).max();
        let since = youngest.map_or(since, |youngest| youngest.max(since));
        let backoff = &self.options.backoff;
        match backoff.decide(request.failures, since, self.now, not_before, self.chance) {
            Decision::RetryAt(at) => Some(self.state.within_drain(at, self.now)),
            // the next failure finds that its time is spent
            Decision::GiveUp => None,
        }
    }

    /// Counts the failure number `tries` of a request, and lets the breaker react.
    fn failed(
        &mut self,
        tries: u32,
        not_before: Option<Duration>,
        cause: Cause,
    ) -> (Episode, Instant) {
        let reaction = self.state.breaker.failed(tries, not_before.is_some());
        let wait = self.react(reaction, not_before);
        let episode = wait.map_or(Episode::Failing, |wait| Episode::Opened {
            attempts: self.state.failing(self.now).attempts.saturating_add(1),
            wait,
        });
        self.state.failed(self.now, cause, false, episode)
    }

    /// Makes the lane wait if it has to, and says for how long if that begins now.
    fn react(&mut self, reaction: Reaction, not_before: Option<Duration>) -> Option<Duration> {
        let level = match reaction {
            Reaction::None => return None,
            Reaction::IsOpen if not_before.is_none() => return None,
            Reaction::IsOpen => 1,
            Reaction::Opens { level } => level,
        };
        let wait = self.options.backoff.wait(level, not_before, self.chance);
        let until = self.state.within_drain(self.now + wait, self.now);
        if reaction == Reaction::IsOpen {
            self.state.breaker.prolong(until);
            return None;
        }
        self.open(until);
        Some(until.saturating_duration_since(self.now))
    }

    /// From now on the lane waits, and no longer each request for itself.
    fn open(&mut self, until: Instant) {
        self.state.breaker.open(until, self.now);
        for request in &mut self.state.again {
            request.not_before = None;
        }
    }

    /// Keeps the request for as long as the lane is held; only its bytes limit what waits behind it,
    /// unless holding has a budget of its own.
    fn hold(&mut self, mut request: Request<E>, cause: Cause) -> Episode {
        request.failing_since = None;
        request.failures = 0;
        // whichever request is the probe, all of them are held
        let flying = self.state.flights.iter_mut().map(|f| &mut f.request);
        for other in self.state.again.iter_mut().chain(flying) {
            other.failing_since = None;
        }
        let probe = self.options.hold_probe.clamp(SHORTEST_PROBE, FOREVER);
        let spread = probe.mul_f64(0.75 + self.chance.clamp(0.0, 1.0) / 4.0);
        self.open(self.state.within_drain(self.now + spread, self.now));
        let (episode, since) = self.state.failed(self.now, cause, true, Episode::Held);
        let is_spent = |since| {
            let budget = self.options.hold_budget;
            budget.is_some_and(|budget| self.now >= since + budget.min(FOREVER))
        };
        if let Some(request) = self.state.unexpired(request, is_spent, since) {
            self.state.again.push_front(request);
        }
        episode
    }

    /// Isolates what is at fault in a request that was refused as a whole. When nothing else has come
    /// back for long, it is the destination: then isolating goes on at the pace of failures, until the
    /// time of what is not isolated yet is spent.
    fn refused(&mut self, mut request: Request<E>, reason: RejectReason, cause: Cause) -> Episode {
        let reaction = self.state.breaker.refused();
        let Some(wait) = self.react(reaction, None) else {
            self.isolate(request, reason, cause);
            return Episode::Quiet;
        };
        let refusals = self.state.breaker.refusals();
        let refusing = Episode::Refusing { refusals, wait };
        let (episode, since) = self.state.failed(self.now, cause.clone(), false, refusing);
        if request.len() <= 1 {
            self.state.reject(request, reason, cause);
            return episode;
        }
        let since = *request.failing_since.get_or_insert(since);
        let is_spent = |since| self.options.backoff.is_spent(since, self.now);
        match self.state.unexpired(request, is_spent, since) {
            // it was not refused alone
            Some(left) if left.len() == 1 => self.state.again.push_front(left),
            Some(left) => self.isolate(left, reason, cause),
            None => {}
        }
        episode
    }

    /// Halves a refused request until one event is left, which is then refused for good.
    fn isolate(&mut self, request: Request<E>, reason: RejectReason, cause: Cause) {
        if request.len() <= 1 {
            self.state.reject(request, reason, cause);
            return;
        }
        self.state.last_error = Some(cause);
        let (front, back) = request.halve();
        self.state.again.push_front(back);
        self.state.again.push_front(front);
    }

    fn after_panic(&mut self, mut request: Request<E>) -> Episode {
        let cause = Cause::new("panic");
        request.panics += 1;
        if request.panics < PANICS_BEFORE_ISOLATION {
            return self.later(request, None, cause);
        }
        let (episode, since) = self.failed(request.panics, None, cause.clone());
        request.failing_since.get_or_insert(since);
        self.isolate(request, RejectReason::Panicked, cause);
        episode
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
                Verdict::Rejected(reason) => {
                    rejected.add(reason, 1);
                    let deaths = &mut self.state.deaths;
                    deaths.one(&request.slices, i, reason, "refused by index");
                }
                Verdict::Retry => *keep = true,
            }
        }
        let body_len = request.body.as_ref().map_or(0, bytes::Bytes::len);
        let before = request.retain(&keep);
        self.state.let_go_but(before, &request.slices);
        let left = request.len();
        self.state.counts.delivered += delivered;
        self.state.counts.rejected.merge(&rejected);
        self.state.rejected.add(rejected.total());
        if delivered > 0 {
            self.state.last_success = Some(self.now);
        }
        if left > 0 {
            if left < len {
                // it works, and the rest is only this request's affair
                self.state.breaker.succeeded();
                if let Some(failing) = &mut self.state.failing {
                    failing.retried_since = None;
                }
            }
            request.body = None;
            return self.later(request, None, Cause::new("partly refused"));
        }
        if rejected.total() > 0 {
            self.state.last_error = Some(Cause::new("refused by index"));
        }
        self.state.succeeded(self.now, body_len)
    }
}
