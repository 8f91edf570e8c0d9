//! When to try again, as a value: no I/O, no clock, no future.
//!
//! Full jitter (`U(0, d)` with a floor) spreads a fleet best after an outage; the `Retry-After` of a
//! destination is a lower bound, up to a cap. The budget is elapsed time, not a number of attempts.

use std::time::Duration;

use tokio::time::Instant;

/// As good as for ever, and still a distance that can be added to any instant.
pub(crate) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A validated retry policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    floor: Duration,
    budget: Duration,
    retry_after_cap: Duration,
}

/// Why a policy was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackoffError {
    /// The base was zero: retries would be a busy loop.
    #[error("the base of the backoff is zero; expected at least 1 ms")]
    ZeroBase,
    /// The cap was below the base.
    #[error("the cap of the backoff is below its base")]
    CapBelowBase,
    /// The budget was below the base, so that nothing would ever be retried.
    #[error("the retry budget is below the base of the backoff")]
    BudgetBelowBase,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Try again at this instant.
    RetryAt(Instant),
    /// The budget is spent.
    GiveUp,
}

impl Default for Backoff {
    /// 500 ms doubling up to 30 s, floor 50 ms, five minutes in all, `Retry-After` honoured up to
    /// two minutes.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            floor: Duration::from_millis(50),
            budget: Duration::from_secs(300),
            retry_after_cap: Duration::from_secs(120),
        }
    }
}

impl Backoff {
    /// A policy that doubles from `base` up to `cap`. `budget` is the time that a lane tries a batch:
    /// from when the run of failures began, or from when the batch came if that was later. It is looked
    /// at after each failed attempt, and does not limit the number of retries, which
    /// [`RetryBudget`](crate::RetryBudget) does.
    ///
    /// The floor of a wait is a tenth of `base`. Anything longer than a hundred years is taken as that.
    ///
    /// # Errors
    /// See [`BackoffError`].
    pub fn new(base: Duration, cap: Duration, budget: Duration) -> Result<Self, BackoffError> {
        if base < Duration::from_millis(1) {
            return Err(BackoffError::ZeroBase);
        }
        if cap < base {
            return Err(BackoffError::CapBelowBase);
        }
        if budget < base {
            return Err(BackoffError::BudgetBelowBase);
        }
        let [base, cap, budget] = [base, cap, budget].map(|wait| wait.min(FOREVER));
        Ok(Self {
            base,
            cap,
            floor: base / 10,
            budget,
            ..Self::default()
        })
    }

    /// Honours a destination's `Retry-After` up to `cap`. Default two minutes.
    #[must_use]
    pub fn with_retry_after_cap(mut self, cap: Duration) -> Self {
        self.retry_after_cap = cap.min(FOREVER);
        self
    }

    /// The elapsed time after which a batch that keeps failing is given up.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// The longest wait between two attempts.
    pub fn cap(&self) -> Duration {
        self.cap
    }

    /// Decides after failure number `failures` (from 1) of something that first failed at `since`.
    ///
    /// `chance` is a number from 0 to 1: the place within the jitter's range.
    pub fn decide(
        &self,
        failures: u32,
        since: Instant,
        now: Instant,
        retry_after: Option<Duration>,
        chance: f64,
    ) -> Decision {
        if self.is_spent(since, now) {
            return Decision::GiveUp;
        }
        let wait = self.wait(failures, retry_after, chance);
        // one last attempt at the end of the budget is worth more than none
        let end = (since + self.budget).max(now + self.floor);
        Decision::RetryAt((now + wait).min(end))
    }

    /// Whether the budget of something that first failed at `since` is spent.
    pub(crate) fn is_spent(&self, since: Instant, now: Instant) -> bool {
        now >= since + self.budget
    }

    /// The wait alone, without the budget.
    pub fn wait(&self, failures: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let top = self.base.saturating_mul(1 << doublings).min(self.cap);
        let jittered = top.mul_f64(chance.clamp(0.0, 1.0)).max(self.floor);
        match retry_after {
            // spread the fleet behind the destination's bound as well; a bound that is shorter than
            // our own wait does not shorten it
            Some(bound) => {
                let bound = bound.min(self.retry_after_cap);
                let spread = jittered.min(bound / 4).max(self.floor);
                (bound + spread).max(jittered)
            }
            None => jittered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_policy_that_cannot_work_is_refused() {
        let s = Duration::from_secs;
        assert_eq!(
            Backoff::new(Duration::ZERO, s(1), s(9)),
            Err(BackoffError::ZeroBase)
        );
        assert_eq!(
            Backoff::new(s(2), s(1), s(9)),
            Err(BackoffError::CapBelowBase)
        );
        assert_eq!(
            Backoff::new(s(2), s(3), s(1)),
            Err(BackoffError::BudgetBelowBase)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_counts_from_the_first_failure() {
        let policy = Backoff::default();
        let since = Instant::now();
        let just_before = since + policy.budget() - MS;
        assert!(matches!(
            policy.decide(40, since, just_before, None, 1.0),
            Decision::RetryAt(_)
        ));
        assert_eq!(
            policy.decide(1, since, since + policy.budget(), None, 0.0),
            Decision::GiveUp
        );
    }

    #[test]
    fn retry_after_is_a_lower_bound_up_to_its_cap() {
        let policy = Backoff::default();
        assert!(policy.wait(1, Some(Duration::from_secs(7)), 0.0) >= Duration::from_secs(7));
        let day = policy.wait(1, Some(Duration::from_secs(86_400)), 1.0);
        assert!(day <= Duration::from_secs(150), "{day:?}");
    }

    #[test]
    fn a_retry_after_shorter_than_the_backoff_does_not_shorten_it() {
        let policy = Backoff::default();
        for bound in [Duration::ZERO, MS, Duration::from_secs(1)] {
            assert_eq!(policy.wait(9, Some(bound), 1.0), policy.cap(), "{bound:?}");
        }
    }

    #[test]
    fn the_longest_durations_there_are_overflow_nothing() {
        let policy = Backoff::new(Duration::MAX, Duration::MAX, Duration::MAX)
            .map(|policy| policy.with_retry_after_cap(Duration::MAX))
            .expect("valid");
        let now = Instant::now();
        for retry_after in [None, Some(Duration::MAX)] {
            let decision = policy.decide(u32::MAX, now, now, retry_after, 1.0);
            assert!(matches!(decision, Decision::RetryAt(at) if at > now));
        }
    }

    proptest! {
        #[test]
        fn waits_stay_between_floor_and_cap(failures in 0u32..100_000, chance in 0.0f64..=1.0) {
            let policy = Backoff::default();
            let wait = policy.wait(failures, None, chance);
            prop_assert!(wait >= policy.floor && wait <= policy.cap);
        }

        #[test]
        fn the_range_never_shrinks_with_more_failures(failures in 1u32..60) {
            let policy = Backoff::default();
            prop_assert!(policy.wait(failures, None, 1.0) <= policy.wait(failures + 1, None, 1.0));
        }

        #[test]
        fn a_retry_is_always_later_than_now(failures in 1u32..60, chance in 0.0f64..=1.0, late in 0u64..400_000) {
            let policy = Backoff::default();
            let since = Instant::now();
            let now = since + MS * u32::try_from(late).unwrap_or(u32::MAX);
            match policy.decide(failures, since, now, None, chance) {
                Decision::RetryAt(at) => prop_assert!(at > now),
                Decision::GiveUp => prop_assert!(late >= 300_000),
            }
        }
    }
}
