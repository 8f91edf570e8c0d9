//! The batch being built: closes on count, bytes or the age of its oldest event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::FOREVER;
use crate::budget::{Budget, Charge};
use crate::request::{Batch, Sealed};

/// When a batch closes. Whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimits {
    /// Events in a batch. Default 50.
    pub max_events: usize,
    /// Bytes of memory in a batch, as weighed. Default 1 MiB. An event that is larger alone travels
    /// alone.
    pub max_bytes: usize,
    /// Age of the oldest event, from the moment the engine took it off the ring. Default 5 s.
    pub max_age: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            max_events: 50,
            max_bytes: 1 << 20,
            max_age: Duration::from_secs(5),
        }
    }
}

impl BatchLimits {
    /// Limits of `max_events` events and `max_age`; zero events is taken as one.
    #[must_use]
    pub fn new(max_events: usize, max_age: Duration) -> Self {
        Self {
            max_events: max_events.max(1),
            max_age,
            ..Self::default()
        }
    }
}

/// Collects events and seals them into numbered batches. No runtime, no actor.
#[derive(Debug)]
pub(crate) struct Accumulator<E> {
    limits: BatchLimits,
    budget: Arc<Budget>,
    events: Vec<E>,
    bytes: usize,
    oldest: Option<Instant>,
    last_sealed: u64,
}

impl<E> Accumulator<E> {
    pub(crate) fn new(limits: BatchLimits, budget: Arc<Budget>) -> Self {
        Self {
            limits,
            budget,
            events: Vec::new(),
            bytes: 0,
            oldest: None,
            last_sealed: 0,
        }
    }

    /// Takes one event over, with the bytes that were charged for it. Sealed batches go to `out`.
    pub(crate) fn push(
        &mut self,
        event: E,
        weight: usize,
        now: Instant,
        out: &mut VecDeque<Sealed<E>>,
    ) {
        if !self.events.is_empty() && self.bytes + weight > self.limits.max_bytes {
            out.extend(self.seal());
        }
        if self.events.is_empty() {
            self.events.reserve_exact(self.limits.max_events.min(256));
            self.oldest = Some(now);
        }
        self.events.push(event);
        self.bytes += weight;
        if self.events.len() >= self.limits.max_events || self.bytes >= self.limits.max_bytes {
            out.extend(self.seal());
        }
    }

    /// Closes the batch being built, if it holds anything.
    pub(crate) fn seal(&mut self) -> Option<Sealed<E>> {
        let since = self.oldest.take()?;
        let events = std::mem::take(&mut self.events);
        let charge = Charge::adopt(&self.budget, std::mem::take(&mut self.bytes));
        self.last_sealed += 1;
        let batch = Batch::new(self.last_sealed, events, since, charge);
        Some(Sealed::whole(batch))
    }

    /// Seals if the oldest event has reached its age.
    pub(crate) fn seal_if_due(&mut self, now: Instant) -> Option<Sealed<E>> {
        if self.due().is_some_and(|due| due <= now) {
            self.seal()
        } else {
            None
        }
    }

    /// When the batch being built has to close.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.oldest.map(|at| at + self.limits.max_age.min(FOREVER))
    }

    /// The next number goes to a batch that was made elsewhere.
    pub(crate) fn take_number(&mut self) {
        self.last_sealed += 1;
    }

    /// When a batch closes.
    pub(crate) fn limits(&self) -> BatchLimits {
        self.limits
    }

    /// Number of the batch that was sealed last; 0 if there was none.
    pub(crate) fn last_sealed(&self) -> u64 {
        self.last_sealed
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accumulator(max_events: usize, max_bytes: usize) -> (Accumulator<u64>, Arc<Budget>) {
        let budget = Arc::new(Budget::new(1 << 20));
        let limits = BatchLimits {
            max_events,
            max_bytes,
            max_age: Duration::from_secs(5),
        };
        (Accumulator::new(limits, Arc::clone(&budget)), budget)
    }

    fn sizes(out: &VecDeque<Sealed<u64>>) -> Vec<(u64, usize, usize)> {
        out.iter()
            .map(|b| (b.number, b.len(), b.slices[0].batch.weight))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_closes_on_count() {
        let (mut acc, budget) = accumulator(3, 1000);
        let mut out = VecDeque::new();
        for n in 0..7 {
            assert!(budget.try_charge(10));
            acc.push(n, 10, Instant::now(), &mut out);
        }
        assert_eq!(sizes(&out), [(1, 3, 30), (2, 3, 30)]);
        assert_eq!((acc.len(), acc.last_sealed()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_closes_on_bytes_and_one_oversized_event_travels_alone() {
        let (mut acc, budget) = accumulator(100, 50);
        let mut out = VecDeque::new();
        for (n, weight) in [(1, 20), (2, 20), (3, 20), (4, 500), (5, 1)] {
            assert!(budget.try_charge(weight));
            acc.push(n, weight, Instant::now(), &mut out);
        }
        assert_eq!(sizes(&out), [(1, 2, 40), (2, 1, 20), (3, 1, 500)]);
        assert_eq!(acc.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_closes_when_its_oldest_event_is_old_enough() {
        let (mut acc, budget) = accumulator(100, 1000);
        let mut out = VecDeque::new();
        let start = Instant::now();
        assert!(budget.try_charge(2));
        acc.push(1, 1, start, &mut out);
        acc.push(2, 1, start + Duration::from_secs(4), &mut out);
        assert_eq!(acc.due(), Some(start + Duration::from_secs(5)));
        assert!(
            acc.seal_if_due(start + Duration::from_millis(4999))
                .is_none()
        );
        assert_eq!(
            acc.seal_if_due(start + Duration::from_secs(5))
                .map(|b| b.len()),
            Some(2)
        );
        assert_eq!(acc.due(), None);
    }

    #[test]
    fn an_age_without_end_is_no_overflow() {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut acc = Accumulator::new(BatchLimits::new(2, Duration::MAX), Arc::clone(&budget));
        assert!(budget.try_charge(1));
        let now = Instant::now();
        acc.push(1, 1, now, &mut VecDeque::new());
        assert!(acc.due().is_some_and(|due| due > now) && acc.seal_if_due(now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_return_to_the_budget_when_the_last_reference_goes() {
        let (mut acc, budget) = accumulator(1, 1000);
        let mut out = VecDeque::new();
        assert!(budget.try_charge(30));
        acc.push(1, 30, Instant::now(), &mut out);
        let second = out.front().map(|sealed| sealed.slices.clone());
        out.clear();
        assert_eq!(budget.used(), 30);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
