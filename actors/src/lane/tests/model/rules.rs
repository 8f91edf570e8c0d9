//! The reference's answers to what happens: one short rule for each way in which an attempt can end.

use super::super::*;
use super::reference::{Fate, Phase, Reference, Request};
use crate::ledger::{DropReason, RejectReason};

impl Reference {
    /// The lane starts an attempt with these events and this body: may it?
    #[track_caller]
    pub(super) fn starts(&mut self, id: u64, ids: &[u64], body: Option<&Bytes>) {
        assert!(!self.paused && self.closed.is_none(), "it has to rest");
        let flying = self.flights.len();
        let limit = match self.phase {
            Phase::Closed => self.allowed,
            Phase::Open(until) => {
                assert!(self.now >= until, "{:?} too early", until - self.now);
                1
            }
            Phase::HalfOpen => 1,
        };
        let concurrency = self.rules.concurrency();
        assert!(flying < limit.min(concurrency), "{flying} in flight");
        assert!(self.held_since.is_none() || flying == 0, "held: one probe");
        if concurrency == 1 {
            assert!(self.present().starts_with(ids), "{ids:?} is no prefix");
        }
        let place = self.again.iter().position(|r| r.events == ids);
        // a body has a place of its own, however many there are
        let is_free = |other: &Request| {
            other.not_before.is_none()
                && other.failures == 0
                && (other.body.is_some() || body.is_none())
        };
        let before = &self.again[..place.unwrap_or(self.again.len())];
        assert!(!before.iter().any(is_free), "overtakes what need not wait");
        let request = if let Some(place) = place {
            let request = self.again.remove(place);
            let wait = request
                .not_before
                .map(|at| at.saturating_duration_since(self.now));
            assert!(wait.unwrap_or_default().is_zero(), "{wait:?} too early");
            request
        } else {
            assert!(concurrency > 1 || self.again.is_empty(), "overtakes");
            let max = self.rules.max_events;
            let first: Vec<_> = self.untried.iter().copied().take(max).collect();
            assert_eq!(ids, first, "neither tried before nor next in line");
            self.untried.retain(|id| !ids.contains(id));
            Request::new(first)
        };
        assert_eq!(body, request.body.as_ref(), "a retry has the same body");
        if request.failures > 0 {
            self.retries_once(self.is_last_try(&request));
        }
        for &id in ids {
            self.event(id).attempts += 1;
        }
        if self.phase != Phase::Closed {
            self.phase = Phase::HalfOpen;
        }
        let not_before = None;
        self.flights.push((
            id,
            Request {
                not_before,
                ..request
            },
        ));
    }

    /// Should it fail, something in it is given up: that waits for no token.
    fn is_last_try(&self, request: &Request) -> bool {
        let budget = self.rules.options.backoff.budget();
        request.events.iter().any(|&id| {
            let event = &self.events[usize::try_from(id).expect("few")];
            let came = self.batches[event.batch].since;
            let since = event.failing_since.or(self.failing_since);
            self.now >= since.map_or(came, |since| came.max(since)) + budget
        })
    }

    /// Retries without an excuse are a share of what is taken, some for the time, and some saved up.
    fn retries_once(&mut self, is_last: bool) {
        let budget = self.rules.options.retry_budget;
        if self.excused > 0 {
            self.excused -= 1;
        } else if !is_last && self.drain_by.is_none() && !budget.interval.is_zero() {
            self.retries += 1;
            let elapsed = (self.now - self.start).as_secs_f64() / budget.interval.as_secs_f64();
            let earned = budget.per_success * f64::from(self.successes);
            let most = f64::from(budget.capacity.max(1)) + elapsed + earned + 1e-6;
            assert!(f64::from(self.retries) <= most, "more than {most} retries");
        }
    }

    /// The lane says that nothing is due before `at`.
    #[track_caller]
    pub(super) fn waits(&self, at: Instant) {
        assert!(at > self.now && !self.paused && self.closed.is_none());
        assert!(
            at - self.now <= self.longest_wait,
            "{:?} too long",
            at - self.now
        );
        self.is_right_to_rest();
    }

    /// The lane says that nothing is due until something changes.
    #[track_caller]
    pub(super) fn idles(&self) {
        let rests = self.paused || self.closed.is_some();
        assert!(
            rests || !self.flights.is_empty() || self.present().is_empty(),
            "nothing will ever wake it"
        );
        if !rests {
            self.is_right_to_rest();
        }
    }

    /// Nothing that was never tried could go now.
    #[track_caller]
    fn is_right_to_rest(&self) {
        let busy = self.flights.len() + self.again.len();
        let may_go = self.phase == Phase::Closed
            && self.flights.len() < self.allowed
            && busy < self.rules.concurrency()
            && !self.untried.is_empty();
        assert!(!may_go, "it should go on");
    }

    /// The provider took the first `consumed` events into `body`, but for those that it refused.
    pub(super) fn encodes(&mut self, id: u64, encoded: &Encoded) -> Option<Vec<u64>> {
        let at = self.flights.iter().position(|(other, _)| *other == id)?;
        let request = &mut self.flights[at].1;
        let refuses_to_work = [(0, RejectReason::Unencodable)];
        let (consumed, refused) = match encoded.consumed {
            0 => (1, &refuses_to_work[..]),
            consumed => (consumed.min(request.events.len()), &encoded.refused[..]),
        };
        let tail = request.events.split_off(consumed);
        let taken = std::mem::take(&mut request.events);
        let mut sent = Vec::new();
        for (position, &id) in taken.iter().enumerate() {
            match refused.iter().find(|(refused, _)| *refused == position) {
                Some((_, reason)) => self.set(&[id], Fate::Rejected(*reason)),
                None => sent.push(id),
            }
        }
        let request = &mut self.flights[at].1;
        request.events.clone_from(&sent);
        request.body = Some(encoded.body.clone());
        for &id in &tail {
            self.event(id).attempts -= 1;
        }
        // what was cut off is as old as what it was cut from, and comes next
        if self.again.is_empty() && !self.was_marked(&tail) {
            self.untried.extend(tail);
        } else if !tail.is_empty() {
            self.again.insert(0, Request::new(tail));
        }
        Some(sent)
    }

    /// Attempt `id` ended.
    pub(super) fn ends(&mut self, id: u64, ended: &Ended) {
        let Some(at) = self.flights.iter().position(|(other, _)| *other == id) else {
            return;
        };
        let mut request = self.flights.remove(at).1;
        if !matches!(ended, Ended::Panicked) {
            request.panics = 0;
        }
        match ended {
            Ended::NothingToSend => assert!(request.events.is_empty()),
            Ended::Aborted => self.again.insert(0, request),
            Ended::TimedOut => self.fails(request, None),
            Ended::Panicked => self.panics(request),
            Ended::With(outcome) => self.answers(request, outcome),
        }
    }

    fn answers(&mut self, request: Request, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => {
                self.set(&request.events, Fate::Delivered);
                self.succeeds();
            }
            Outcome::Final { reason, .. } => self.set(&request.events, Fate::Rejected(*reason)),
            Outcome::PerEvent(verdicts) => self.per_event(request, verdicts),
            Outcome::Retry { not_before, .. } => self.fails(request, *not_before),
            Outcome::Hold { .. } => self.holds(request),
            Outcome::Split { .. } => self.is_refused(request, RejectReason::TooLarge),
            Outcome::Poisoned { .. } => self.is_refused(request, RejectReason::Poison),
        }
    }

    fn per_event(&mut self, mut request: Request, verdicts: &[Verdict]) {
        let ids = std::mem::take(&mut request.events);
        for (position, &id) in ids.iter().enumerate() {
            match verdicts.get(position) {
                Some(Verdict::Delivered) => self.set(&[id], Fate::Delivered),
                Some(Verdict::Rejected(reason)) => self.set(&[id], Fate::Rejected(*reason)),
                Some(Verdict::Retry) | None => request.events.push(id),
            }
        }
        if request.events.is_empty() {
            self.succeeds();
            return;
        }
        if request.events.len() < ids.len() {
            // it works
            self.closes();
            self.failing_since = None;
        }
        request.body = None;
        self.fails(request, None);
    }

    /// The destination took something.
    fn closes(&mut self) -> bool {
        let closes = self.phase != Phase::Closed;
        self.allowed = if closes {
            2
        } else {
            self.allowed.saturating_add(1)
        };
        self.phase = Phase::Closed;
        (self.failures, self.refusals) = (0, 0);
        closes
    }

    /// The destination works.
    fn succeeds(&mut self) {
        self.successes += 1;
        (self.failing_since, self.held_since) = (None, None);
        if self.closes() {
            self.excuses();
        }
    }

    /// What waits has to wait no longer, neither for its time nor for a token.
    fn excuses(&mut self) {
        for request in &mut self.again {
            request.not_before = None;
        }
        self.excused = self.again.iter().filter(|r| r.failures > 0).count();
    }

    /// A drain shortens waits to half of what time is left.
    fn after(&self, wait: Duration) -> Instant {
        let left = |end: Instant| end.saturating_duration_since(self.now);
        let most = self.drain_by.map_or(Duration::MAX, |end| {
            (left(end) / 2).max(Duration::from_millis(50))
        });
        self.now + wait.min(most)
    }

    /// The lane waits as a whole, and no request for itself; never less long than it did.
    fn opens(&mut self, wait: Duration) {
        let until = match self.phase {
            Phase::Open(until) => until.max(self.after(wait)),
            _ => self.after(wait),
        };
        self.phase = Phase::Open(until);
        for request in &mut self.again {
            request.not_before = None;
        }
    }

    /// One more failed attempt; since when attempts fail.
    fn counts_failure(&mut self, asked: Option<Duration>) -> Instant {
        self.failures += 1;
        let wait = asked.map(|wait| wait.min(self.rules.retry_after_cap));
        let wait = wait.unwrap_or_default().max(self.rules.floor);
        let threshold = self.rules.options.breaker_threshold.max(1);
        match self.phase {
            Phase::Closed if self.failures < threshold && asked.is_none() => {}
            // it began before the breaker opened
            Phase::Open(_) if asked.is_none() => {}
            _ => self.opens(wait),
        }
        self.is_failing()
    }

    fn is_failing(&mut self) -> Instant {
        self.held_since = None;
        *self.failing_since.get_or_insert(self.now)
    }

    /// The same again later, until its time is spent.
    fn fails(&mut self, mut request: Request, asked: Option<Duration>) {
        request.failures += 1;
        let run = self.counts_failure(asked.filter(|wait| !wait.is_zero()));
        self.spend(&mut request, run);
        if request.events.is_empty() {
            return;
        }
        request.not_before = match self.phase {
            Phase::Open(_) => None,
            _ => Some(self.after(self.rules.floor)),
        };
        self.again.insert(0, request);
    }

    /// The third time in a row it is the events, whatever time they have left.
    fn panics(&mut self, mut request: Request) {
        request.panics += 1;
        if request.panics < 3 {
            return self.fails(request, None);
        }
        let run = self.counts_failure(None);
        self.mark(&request, run);
        self.halves(request, RejectReason::Panicked);
    }

    /// Nothing is given up but by the budget of a hold; what failed before it begins anew after it.
    fn holds(&mut self, mut request: Request) {
        request.failures = 0;
        self.unmark_all();
        self.opens(self.rules.probe() * 3 / 4);
        self.failing_since = None;
        let since = *self.held_since.get_or_insert(self.now);
        let budget = self.rules.options.hold_budget;
        self.expire(&mut request, budget, |_| since);
        if !request.events.is_empty() {
            self.again.insert(0, request);
        }
    }

    /// Isolated at once; at the pace of failures when too many in a row were refused.
    fn is_refused(&mut self, mut request: Request, reason: RejectReason) {
        self.refusals += 1;
        let is_few = self.refusals <= self.rules.explained();
        if is_few || matches!(self.phase, Phase::Open(_)) {
            return self.halves(request, reason);
        }
        self.opens(self.rules.floor);
        let run = self.is_failing();
        if request.events.len() == 1 {
            return self.halves(request, reason);
        }
        self.spend(&mut request, run);
        match request.events.len() {
            0 => {}
            // it was not refused alone
            1 => self.again.insert(0, request),
            _ => self.halves(request, reason),
        }
    }

    fn halves(&mut self, mut request: Request, reason: RejectReason) {
        let events = request.events.len();
        if events <= 1 {
            return self.set(&request.events, Fate::Rejected(reason));
        }
        let back = request.events.split_off(events / 2);
        self.again.insert(0, Request::new(back));
        self.again.insert(0, Request::new(request.events));
    }

    /// The flusher died: what was in flight goes back, the oldest attempt in front.
    pub(super) fn recovers(&mut self) {
        let mut flights = std::mem::take(&mut self.flights);
        flights.sort_unstable_by_key(|(id, _)| *id);
        flights.retain(|(_, request)| !request.events.is_empty());
        self.again
            .splice(0..0, flights.into_iter().map(|(_, request)| request));
    }

    pub(super) fn skips_waits(&mut self) {
        self.excuses();
        if let Phase::Open(until) = &mut self.phase {
            *until = self.now.min(*until);
        }
    }

    pub(super) fn drains(&mut self, deadline: Instant) {
        self.drain_by = Some(deadline);
        self.longest_wait = self.after(Duration::MAX) - self.now;
        self.skips_waits();
    }

    pub(super) fn closes_for(&mut self, reason: DropReason) {
        if self.closed.is_none() {
            self.set(&self.present(), Fate::Dropped(reason));
            self.closed = Some(reason);
            self.untried.clear();
            self.again.clear();
            self.flights.clear();
        }
    }
}
