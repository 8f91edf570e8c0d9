//! Whether the attempts of a lane may start: a circuit breaker, as a value without a clock.
//!
//! It counts over the whole lane, so that a destination in trouble sees one request at a time however
//! many wait. How long it stays open is the [`Backoff`](crate::Backoff)'s to say.

use std::time::Duration;

use tokio::time::Instant;

/// Refusals that are no sign of trouble, beside two for each halving of the largest request.
const STRAY_REFUSALS: u32 = 8;

/// Requests in flight right after it closed; each success allows one more.
const FIRST_AFTER_CLOSING: usize = 2;

/// What the circuit breaker of a lane lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Everything, up to the lane's concurrency.
    Closed,
    /// Nothing, until its wait is over.
    Open,
    /// One request at a time, to find out whether the destination works again.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Closed, Self::Open, Self::HalfOpen];

    /// The stable word for it: `closed`, `open`, `half_open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How many attempts may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    UpTo(usize),
    /// None may start before this instant.
    NotBefore(Instant),
}

/// What a failed attempt means for the rest of the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Nothing: what becomes of the request is its own affair.
    None,
    /// The lane has to wait as after this many failures; the caller says until when.
    Opens { level: u32 },
    /// The lane waits already: this attempt began before.
    IsOpen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

/// A lane's circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    phase: Phase,
    /// Failures in a row that open it.
    threshold: u32,
    /// Refusals in a row that a few poison events explain.
    explained: u32,
    failures: u32,
    refusals: u32,
    /// The number of failures to wait for: grows with each probe that fails.
    level: u32,
    opened: Option<Instant>,
    /// Requests in flight while it is closed.
    allowed: usize,
}

impl Breaker {
    /// Opens after `threshold` failures in a row (zero is taken as one), or when more requests in a row
    /// were refused than a few poison events among `max_events` explain.
    pub(super) fn new(threshold: u32, max_events: usize) -> Self {
        let halvings = usize::BITS - max_events.saturating_sub(1).leading_zeros();
        Self {
            phase: Phase::Closed,
            threshold: threshold.max(1),
            explained: 2 * halvings + STRAY_REFUSALS,
            failures: 0,
            refusals: 0,
            level: 0,
            opened: None,
            allowed: usize::MAX,
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen => BreakerState::HalfOpen,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state() == BreakerState::Open
    }

    /// How long it has not been closed.
    pub(super) fn opened_for(&self, now: Instant) -> Option<Duration> {
        self.opened.map(|at| now.saturating_duration_since(at))
    }

    pub(super) fn refusals(&self) -> u32 {
        self.refusals
    }

    pub(super) fn admits(&self, now: Instant) -> Admission {
        match self.phase {
            Phase::Closed => Admission::UpTo(self.allowed),
            Phase::Open { until } if until > now => Admission::NotBefore(until),
            Phase::Open { .. } | Phase::HalfOpen => Admission::UpTo(1),
        }
    }

    /// An attempt begins: if the breaker is open, that is the probe.
    pub(super) fn started(&mut self) {
        if let Phase::Open { .. } = self.phase {
            self.phase = Phase::HalfOpen;
        }
    }

    /// The destination took something. Returns whether that closed the breaker.
    pub(super) fn succeeded(&mut self) -> bool {
        let closes = self.phase != Phase::Closed;
        self.allowed = if closes {
            FIRST_AFTER_CLOSING
        } else {
            self.allowed.saturating_add(1)
        };
        self.phase = Phase::Closed;
        self.opened = None;
        (self.failures, self.refusals, self.level) = (0, 0, 0);
        closes
    }

    /// An attempt of a request failed for the `tries`th time. A destination that says how long it wants
    /// to be left alone (`asks`) is not asked again to make sure.
    pub(super) fn failed(&mut self, tries: u32, asks: bool) -> Reaction {
        self.failures = self.failures.saturating_add(1);
        let opens = self.failures >= self.threshold || asks;
        self.react(opens, tries)
    }

    /// A request was refused as a whole: too large, or nobody knows which event is at fault.
    pub(super) fn refused(&mut self) -> Reaction {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals > self.explained {
            self.react(true, 1)
        } else {
            Reaction::None
        }
    }

    fn react(&mut self, opens: bool, tries: u32) -> Reaction {
        match self.phase {
            Phase::Open { .. } => Reaction::IsOpen,
            Phase::Closed if !opens => Reaction::None,
            Phase::Closed | Phase::HalfOpen => {
                self.level = self.level.saturating_add(1).max(tries);
                Reaction::Opens { level: self.level }
            }
        }
    }

    /// Lets nothing start before `until`, nor before the end of a wait that is running: a hold does not
    /// shorten the pause that the destination asked for in its answer to another attempt.
    pub(super) fn open(&mut self, until: Instant, now: Instant) {
        let until = match self.phase {
            Phase::Open { until: asked } => until.max(asked),
            Phase::Closed | Phase::HalfOpen => until,
        };
        self.phase = Phase::Open { until };
        self.opened.get_or_insert(now);
    }

    /// Stays open until `until` at least, if it is open.
    pub(super) fn prolong(&mut self, at_least: Instant) {
        if let Phase::Open { until } = &mut self.phase {
            *until = at_least.max(*until);
        }
    }

    /// Ends the wait that is running; what comes next is still a probe.
    pub(super) fn skip_wait(&mut self, now: Instant) {
        if let Phase::Open { until } = &mut self.phase {
            *until = now.min(*until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reaction::{IsOpen, None, Opens};

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(3, 1000), Instant::now())
    }

    #[test]
    fn it_opens_at_the_threshold_and_admits_nothing_until_its_wait_is_over() {
        let (mut breaker, now) = breaker();
        for _ in 0..2 {
            assert_eq!(breaker.failed(1, false), None);
            assert_eq!(breaker.admits(now), Admission::UpTo(usize::MAX));
        }
        assert_eq!(breaker.failed(1, false), Opens { level: 1 });
        breaker.open(now + SECOND, now);
        assert_eq!(breaker.admits(now), Admission::NotBefore(now + SECOND));
        assert_eq!(breaker.admits(now + SECOND), Admission::UpTo(1));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.opened_for(now + 9 * SECOND), Some(9 * SECOND));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let (mut breaker, _) = breaker();
        for _ in 0..10 {
            assert_eq!(breaker.failed(1, false), None);
            assert_eq!(breaker.failed(1, false), None);
            assert!(!breaker.succeeded());
        }
    }

    #[test]
    fn only_a_failed_probe_makes_the_next_wait_longer() {
        let (mut breaker, now) = breaker();
        assert_eq!(breaker.failed(4, true), Opens { level: 4 });
        breaker.open(now, now);
        assert_eq!(breaker.failed(1, true), IsOpen, "it began before");
        breaker.started();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.failed(1, false), Opens { level: 5 });
        breaker.open(now, now);
        breaker.started();
        assert_eq!(breaker.failed(9, false), Opens { level: 9 });
    }

    #[test]
    fn after_closing_each_success_lets_one_more_fly() {
        let (mut breaker, now) = breaker();
        breaker.open(now, now);
        breaker.started();
        assert!(breaker.succeeded());
        for allowed in 2..100 {
            assert_eq!(breaker.admits(now), Admission::UpTo(allowed));
            assert!(!breaker.succeeded());
        }
        assert_eq!(breaker.opened_for(now), Option::None);
    }

    #[test]
    fn refusals_open_it_when_a_few_bad_events_no_longer_explain_them() {
        let (mut breaker, now) = breaker();
        let explained = 2 * 10 + STRAY_REFUSALS;
        for _ in 0..explained {
            assert_eq!(breaker.refused(), None);
        }
        assert_eq!(breaker.refused(), Opens { level: 1 });
        breaker.open(now, now);
        breaker.started();
        assert_eq!(breaker.refused(), Opens { level: 2 });
        breaker.succeeded();
        assert_eq!(breaker.refused(), None);
    }

    #[test]
    fn a_wait_is_prolonged_or_skipped_only_while_it_runs() {
        let (mut breaker, now) = breaker();
        breaker.prolong(now + SECOND);
        breaker.skip_wait(now);
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.open(now + SECOND, now);
        breaker.prolong(now + 5 * SECOND);
        breaker.prolong(now + 2 * SECOND);
        assert_eq!(breaker.admits(now), Admission::NotBefore(now + 5 * SECOND));
        breaker.open(now + 3 * SECOND, now);
        assert_eq!(breaker.admits(now), Admission::NotBefore(now + 5 * SECOND));
        breaker.skip_wait(now);
        assert_eq!(breaker.admits(now), Admission::UpTo(1));
    }

    #[test]
    fn extreme_numbers_overflow_nothing() {
        for threshold in [0, u32::MAX] {
            let mut breaker = Breaker::new(threshold, usize::MAX);
            (breaker.failures, breaker.refusals) = (u32::MAX, u32::MAX);
            breaker.level = u32::MAX;
            assert_eq!(breaker.failed(u32::MAX, true), Opens { level: u32::MAX });
            assert_eq!(breaker.refused(), Opens { level: u32::MAX });
        }
        assert_eq!(Breaker::new(0, 0).failed(1, false), Opens { level: 1 });
    }
}
