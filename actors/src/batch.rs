//! The batch being built: closes on count, bytes or the age of its oldest event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::FOREVER;
use crate::budget::{Budget, Charge};
use crate::ingress::{Drained, Priority};
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

/// Events in a batch at most, whatever the limits say: their places are counted in 32 bits.
const MOST_EVENTS: usize = u32::MAX as usize;

/// Places reserved for a batch when its first event arrives.
const MOST_RESERVED: usize = 256;

/// Batches of fewer events are not built by moving them at once.
const FEW: usize = 16;

/// Collects events and seals them into numbered batches. No runtime, no actor.
///
/// Normal and high events go into batches of their own, which are sealed together under one number:
/// a lane that gives up the normal ones then really frees their memory.
#[derive(Debug)]
pub(crate) struct Accumulator<E> {
    limits: BatchLimits,
    budget: Arc<Budget>,
    normal: Part<E>,
    high: Part<E>,
    oldest: Option<Instant>,
    last_sealed: u64,
}

/// The events of one priority in what is being built.
#[derive(Debug)]
struct Part<E> {
    events: Vec<E>,
    /// Where each of them stands among all. Empty while there are events of one priority only.
    places: Vec<u32>,
    bytes: usize,
}

impl<E> Default for Part<E> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            places: Vec::new(),
            bytes: 0,
        }
    }
}

impl<E> Part<E> {
    /// Writes down that the events so far stand first, in order.
    fn place_all(&mut self) {
        self.places = (0..).take(self.events.len()).collect();
    }

    fn seal(&mut self, number: u64, since: Instant, budget: &Arc<Budget>) -> Option<Batch<E>> {
        let Self {
            events,
            places,
            bytes,
        } = std::mem::take(self);
        if events.is_empty() {
            return None;
        }
        let batch = Batch::new(number, events, since, Charge::adopt(budget, bytes));
        Some(if places.is_empty() {
            batch
        } else {
            batch.placed(places)
        })
    }
}

impl<E> Accumulator<E> {
    pub(crate) fn new(limits: BatchLimits, budget: Arc<Budget>) -> Self {
        Self {
            limits,
            budget,
            normal: Part::default(),
            high: Part::default(),
            oldest: None,
            last_sealed: 0,
        }
    }

    /// Takes one event over, with the bytes that were charged for it. Sealed batches go to `out`.
    pub(crate) fn push(
        &mut self,
        event: E,
        weight: usize,
        priority: Priority,
        now: Instant,
        out: &mut VecDeque<Sealed<E>>,
    ) {
        if self.len() > 0 && self.bytes() + weight > self.limits.max_bytes {
            out.extend(self.seal());
        }
        let place = self.len();
        let (mine, other) = match priority {
            Priority::Normal => (&mut self.normal, &mut self.high),
            Priority::High => (&mut self.high, &mut self.normal),
        };
        if place == 0 {
            mine.events
                .reserve_exact(self.limits.max_events.min(MOST_RESERVED));
            self.oldest = Some(now);
        }
        if !other.events.is_empty() {
            if other.places.is_empty() {
                other.place_all();
            }
            // it fits: a batch of that many was closed before
            mine.places.push(u32::try_from(place).unwrap_or(u32::MAX));
        }
        mine.events.push(event);
        mine.bytes += weight;
        if self.is_full() {
            out.extend(self.seal());
        }
    }

    /// Takes over everything in `chunk`, as by [`push`](Self::push) for each. Leaves it empty.
    pub(crate) fn append(
        &mut self,
        chunk: &mut Drained<E>,
        now: Instant,
        out: &mut VecDeque<Sealed<E>>,
    ) {
        if !self.append_whole(chunk, now) {
            for (event, (weight, priority)) in chunk.events.drain(..).zip(chunk.charges.drain(..)) {
                self.push(event, weight as usize, priority, now, out);
            }
        } else if self.is_full() {
            out.extend(self.seal());
        }
    }

    /// Moves all events at once, if they are of one priority, so is the batch, and no limit is passed.
    /// Where they make up a batch, their memory becomes the batch's, and no event is moved.
    fn append_whole(&mut self, chunk: &mut Drained<E>, now: Instant) -> bool {
        let weight = chunk.weight();
        let Some((_, first)) = chunk.charges.first().copied() else {
            return true;
        };
        let (mine, other) = match first {
            Priority::Normal => (&mut self.normal, &self.high),
            Priority::High => (&mut self.high, &self.normal),
        };
        let most = self.limits.max_events.min(MOST_EVENTS);
        let whole = other.events.is_empty()
            && chunk.charges.iter().all(|(_, priority)| *priority == first)
            && mine.events.len() + chunk.len() <= most
            && mine.bytes + weight <= self.limits.max_bytes;
        if !whole {
            return false;
        }
        if mine.events.is_empty() {
            self.oldest = Some(now);
            if chunk.len() == most {
                std::mem::swap(&mut mine.events, &mut chunk.events);
            } else {
                mine.events.reserve_exact(most.min(MOST_RESERVED));
            }
        }
        mine.events.append(&mut chunk.events);
        mine.bytes += weight;
        chunk.charges.clear();
        true
    }

    /// How many events to take at once, so that they make up a batch where there are many.
    pub(crate) fn room(&self) -> usize {
        let most = self.limits.max_events.min(MOST_EVENTS);
        if most < FEW {
            // a turn for each batch would cost more than it saves
            return usize::MAX;
        }
        most.saturating_sub(self.len()).max(1)
    }

    fn is_full(&self) -> bool {
        self.len() >= self.limits.max_events.min(MOST_EVENTS)
            || self.bytes() >= self.limits.max_bytes
    }

    /// Closes the batch being built, if it holds anything.
    pub(crate) fn seal(&mut self) -> Option<Sealed<E>> {
        let since = self.oldest.take()?;
        self.last_sealed += 1;
        let normal = self.normal.seal(self.last_sealed, since, &self.budget);
        let high = self.high.seal(self.last_sealed, since, &self.budget);
        match (normal, high) {
            (Some(normal), Some(high)) => Some(Sealed::apart(normal, high)),
            (Some(normal), None) => Some(Sealed::whole(normal)),
            (None, Some(high)) => Some(Sealed::whole(high).urgent()),
            (None, None) => None,
        }
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

    /// Events in the batch being built.
    pub(crate) fn len(&self) -> usize {
        self.normal.events.len() + self.high.events.len()
    }

    fn bytes(&self) -> usize {
        self.normal.bytes + self.high.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slices::Slices;

    const NORMAL: Priority = Priority::Normal;

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
            acc.push(n, 10, NORMAL, Instant::now(), &mut out);
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
            acc.push(n, weight, NORMAL, Instant::now(), &mut out);
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
        acc.push(1, 1, NORMAL, start, &mut out);
        acc.push(2, 1, NORMAL, start + Duration::from_secs(4), &mut out);
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
        acc.push(1, 1, NORMAL, now, &mut VecDeque::new());
        assert!(acc.due().is_some_and(|due| due > now) && acc.seal_if_due(now).is_none());
    }

    #[test]
    fn normal_and_high_events_are_sealed_apart_under_one_number_and_freed_apart() {
        let (mut acc, budget) = accumulator(5, 1000);
        let mut out = VecDeque::new();
        let high = Priority::High;
        for (n, priority) in [NORMAL, NORMAL, high, NORMAL, high].into_iter().enumerate() {
            assert!(budget.try_charge(n + 1));
            acc.push(n as u64, n + 1, priority, Instant::now(), &mut out);
        }
        let mut sealed = out.pop_front().expect("five make a batch");
        assert_eq!((sealed.number, sealed.len()), (1, 5));
        let parts = sealed.slices.iter();
        let parts: Vec<_> = parts.map(|s| (s.urgent, s.number(), s.events())).collect();
        assert_eq!(parts, [(false, 1, &[0, 1, 3][..]), (true, 1, &[2, 4])]);
        assert_eq!(sealed.slices[0].before(sealed.slices[1].place()), 2);
        sealed.slices = Slices::copied(&sealed.slices[1..]);
        assert_eq!(budget.used(), 3 + 5, "what matters is still held");
        drop(sealed);
        assert_eq!(budget.used(), 0);
    }

    fn is_high(high: bool) -> Priority {
        if high { Priority::High } else { NORMAL }
    }

    proptest! {
        #[test]
        fn taking_chunks_over_makes_the_same_batches_as_taking_event_by_event(
            chunks in prop::collection::vec(
                (any::<bool>(), prop::collection::vec((1u32..40, prop::bool::weighted(0.1)), 0..30)),
                0..30,
            ),
            max_events in 1usize..40,
            max_bytes in 30usize..600,
        ) {
            let now = Instant::now();
            let (mut by_chunk, budget) = accumulator(max_events, max_bytes);
            let (mut by_event, other) = accumulator(max_events, max_bytes);
            let (mut chunks_out, mut events_out) = (VecDeque::new(), VecDeque::new());
            let mut next = 0;
            for (mixed, events) in chunks {
                let mut chunk = Drained::default();
                for (weight, high) in events {
                    let priority = is_high(mixed && high);
                    prop_assert!(budget.try_charge(weight as usize));
                    prop_assert!(other.try_charge(weight as usize));
                    chunk.events.push(next);
                    chunk.charges.push((weight, priority));
                    by_event.push(next, weight as usize, priority, now, &mut events_out);
                    next += 1;
                }
                by_chunk.append(&mut chunk, now, &mut chunks_out);
                prop_assert_eq!(chunk.len() + chunk.events.len(), 0);
                prop_assert_eq!(by_chunk.len(), by_event.len());
                prop_assert_eq!(by_chunk.due(), by_event.due());
            }
            chunks_out.extend(by_chunk.seal());
            events_out.extend(by_event.seal());
            let all = |out: &VecDeque<Sealed<u64>>| -> Vec<_> {
                let slices = out.iter().flat_map(|sealed| &sealed.slices);
                slices
                    .map(|s| (s.number(), s.urgent, s.place(), s.weight(), s.events().to_vec()))
                    .collect()
            };
            prop_assert_eq!(all(&chunks_out), all(&events_out));
            prop_assert_eq!(budget.used(), other.used());
        }
    }

    #[test]
    fn a_chunk_that_makes_up_a_batch_becomes_it_without_moving_an_event() {
        let (mut acc, budget) = accumulator(20, 1000);
        let mut chunk = Drained::default();
        for n in 0..20 {
            assert!(budget.try_charge(1));
            chunk.events.push(n);
            chunk.charges.push((1, NORMAL));
        }
        chunk.events.shrink_to_fit();
        let at = chunk.events.as_ptr();
        let mut out = VecDeque::new();
        acc.append(&mut chunk, Instant::now(), &mut out);
        assert_eq!(sizes(&out), [(1, 20, 20)]);
        assert!(std::ptr::eq(out[0].slices[0].events().as_ptr(), at));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_return_to_the_budget_when_the_last_reference_goes() {
        let (mut acc, budget) = accumulator(1, 1000);
        let mut out = VecDeque::new();
        assert!(budget.try_charge(30));
        acc.push(1, 30, NORMAL, Instant::now(), &mut out);
        let second = out.front().map(|sealed| sealed.slices.clone());
        out.clear();
        assert_eq!(budget.used(), 30);
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
