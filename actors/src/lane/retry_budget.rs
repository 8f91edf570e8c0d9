//! How many retries a lane may make beside what it delivers: a token bucket, without a clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::FOREVER;

/// How many retries one lane may make. Each retry takes a token; without one it waits, and nothing is
/// given up for that: at the end of a batch's elapsed budget its last retry goes without a token.
///
/// The backoff paces one request that keeps failing, and the breaker a destination that fails always.
/// This limits what is left: a destination that fails now and then, often enough that retries would
/// add to what it cannot take. By default it is sent about twice what it takes at most, and a lane with one
/// request in flight and the default [`Backoff`](crate::Backoff) waits for no token: what stands in front of a
/// queue has to go again for anything to move, and a share of the successes would run out just when half of
/// the attempts fail.
///
/// ```
/// use productgraph_actors::{LaneOptions, RetryBudget};
///
/// let mut lane = LaneOptions::default();
/// lane.retry_budget = RetryBudget::default().with_per_success(0.1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// Tokens for each request that the destination took. Default 1: one retry for each success.
    pub per_success: f64,
    /// Time after which there is one more token even without a success. Default 500 ms, the base of the
    /// default backoff: more than that uses of them, and less than would hurt. Zero switches the budget off.
    pub interval: Duration,
    /// Most tokens at a time, and those at the start. Default 20: bad luck in a row, and the first retries
    /// of a short outage. Zero is taken as one.
    pub capacity: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            per_success: 1.0,
            interval: Duration::from_millis(500),
            capacity: 20,
        }
    }
}

impl RetryBudget {
    /// A budget that nothing waits for.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            interval: Duration::ZERO,
            ..Self::default()
        }
    }

    /// Sets [`per_success`](field@RetryBudget::per_success); less than zero, and what is no number, is
    /// taken as zero.
    #[must_use]
    pub fn with_per_success(mut self, tokens: f64) -> Self {
        self.per_success = tokens;
        self
    }

    /// Sets [`interval`](field@RetryBudget::interval).
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`capacity`](field@RetryBudget::capacity).
    #[must_use]
    pub fn with_capacity(mut self, tokens: u32) -> Self {
        self.capacity = tokens;
        self
    }
}

/// The tokens of one lane. They are kept as time, of which each costs one interval: passing time is
/// credit as it is, and nothing is rounded.
#[derive(Debug)]
pub(super) struct Tokens {
    cost: Duration,
    per_success: Duration,
    most: Duration,
    credit: Duration,
    /// When `credit` was right.
    at: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(budget: RetryBudget) -> Self {
        let cost = budget.interval.min(FOREVER);
        let most = cost.saturating_mul(budget.capacity.max(1));
        // no number at all compares with nothing, and becomes zero
        let per_success = if budget.per_success > 0.0 {
            cost.mul_f64(budget.per_success.min(100.0)).min(most)
        } else {
            Duration::ZERO
        };
        Self {
            cost,
            per_success,
            most,
            credit: most,
            at: None,
        }
    }

    fn credit(&self, now: Instant) -> Duration {
        let passed = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.credit.saturating_add(passed).min(self.most)
    }

    /// When there is a token: `now`, or later.
    pub(super) fn ready_at(&self, now: Instant) -> Instant {
        now + self.cost.saturating_sub(self.credit(now))
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) {
        let credit = self.credit(now);
        self.set(credit.checked_sub(self.cost).unwrap_or(credit), now);
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        let credit = self.credit(now).saturating_add(self.per_success);
        self.set(credit.min(self.most), now);
    }

    fn set(&mut self, credit: Duration, now: Instant) {
        self.credit = credit;
        // should time ever go back, what was credited once is not credited again
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One token's worth of time.
    const HALF: Duration = Duration::from_millis(500);

    fn tokens() -> (Tokens, Instant) {
        (Tokens::new(RetryBudget::default()), Instant::now())
    }

    #[test]
    fn what_is_saved_up_goes_at_once_and_then_one_for_each_interval() {
        let (mut tokens, now) = tokens();
        for _ in 0..20 {
            assert_eq!(tokens.ready_at(now), now);
            tokens.take(now);
        }
        assert_eq!(tokens.ready_at(now), now + HALF);
        assert_eq!(tokens.ready_at(now + HALF / 2), now + HALF);
        tokens.take(now + HALF);
        assert_eq!(tokens.ready_at(now + HALF), now + 2 * HALF);
    }

    #[test]
    fn each_success_pays_for_one_retry() {
        let (mut tokens, now) = tokens();
        for _ in 0..20 {
            tokens.take(now);
        }
        for _ in 0..100 {
            assert_eq!(tokens.ready_at(now), now + HALF);
            tokens.succeeded(now);
            assert_eq!(tokens.ready_at(now), now);
            tokens.take(now);
        }
    }

    #[test]
    fn five_successes_pay_for_one_retry_where_that_is_asked_for() {
        let mut tokens = Tokens::new(RetryBudget::default().with_per_success(0.2));
        let now = Instant::now();
        for _ in 0..20 {
            tokens.take(now);
        }
        for _ in 0..4 {
            tokens.succeeded(now);
        }
        assert_eq!(tokens.ready_at(now), now + HALF / 5);
        tokens.succeeded(now);
        assert_eq!(tokens.ready_at(now), now);
        tokens.take(now);
        assert_eq!(tokens.ready_at(now), now + HALF);
    }

    #[test]
    fn however_long_nothing_happens_only_so_much_is_saved_up() {
        let (mut tokens, now) = tokens();
        tokens.take(now);
        let later = now + FOREVER;
        for _ in 0..1000 {
            tokens.succeeded(later);
        }
        let at_once = (0..1000).take_while(|_| {
            let is_ready = tokens.ready_at(later) == later;
            tokens.take(later);
            is_ready
        });
        assert_eq!(at_once.count(), 20);
    }

    #[test]
    fn time_that_goes_back_gives_nothing_twice() {
        let (mut tokens, now) = tokens();
        let later = now + 200 * HALF;
        for _ in 0..20 {
            tokens.take(later);
        }
        for _ in 0..20 {
            tokens.take(now);
            tokens.take(later);
        }
        assert_eq!(tokens.ready_at(later), later + HALF);
        assert_eq!(tokens.ready_at(now), now + HALF);
    }

    #[test]
    fn without_an_interval_nothing_waits() {
        let mut tokens = Tokens::new(RetryBudget::unlimited());
        let now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(tokens.ready_at(now), now);
            tokens.take(now);
        }
    }

    proptest! {
        #[test]
        fn no_budget_overflows_or_blocks_for_ever(
            per_success in any::<f64>(),
            interval in 0u64..=u64::MAX,
            capacity: u32,
            gaps in prop::collection::vec(0u64..1 << 40, 0..30),
        ) {
            let budget = RetryBudget::default()
                .with_per_success(per_success)
                .with_interval(Duration::from_nanos(interval))
                .with_capacity(capacity);
            let mut tokens = Tokens::new(budget);
            let mut now = Instant::now();
            for gap in gaps {
                now += Duration::from_nanos(gap);
                let at = tokens.ready_at(now);
                prop_assert!(at >= now && at <= now + budget.interval);
                prop_assert_eq!(tokens.ready_at(at), at, "no second wait");
                tokens.take(now);
                if gap % 3 == 0 {
                    tokens.succeeded(now);
                }
            }
        }
    }
}
