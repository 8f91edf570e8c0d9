//! A request: the events that travel together, and what happened to them so far.

use bytes::Bytes;
use tokio::time::Instant;

use crate::request::{BatchId, Slice};

/// Events that travel together. Its body is encoded once and kept for retries.
#[derive(Debug)]
pub(super) struct Request<E> {
    pub(super) slices: Vec<Slice<E>>,
    pub(super) body: Option<Bytes>,
    /// Failed attempts since the last success.
    pub(super) failures: u32,
    /// Attempts in a row that ended in a panic.
    pub(super) panics: u32,
    pub(super) failing_since: Option<Instant>,
    pub(super) not_before: Option<Instant>,
}

impl<E> Request<E> {
    pub(super) fn new(slices: Vec<Slice<E>>) -> Self {
        Self {
            slices,
            body: None,
            failures: 0,
            panics: 0,
            failing_since: None,
            not_before: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slices.iter().map(Slice::len).sum()
    }

    pub(super) fn weight(&self) -> usize {
        self.slices.iter().map(Slice::weight).sum()
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.slices.iter().map(Slice::number).min()
    }

    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|at| at > now)
    }

    /// Two halves in order. They are encoded anew, and go on being as old as the whole was.
    pub(super) fn halve(self) -> (Self, Self) {
        let since = self.failing_since;
        let middle = self.len() / 2;
        let mut front = self.slices;
        let back = cut(&mut front, middle);
        let half = |slices| Self {
            failing_since: since,
            ..Self::new(slices)
        };
        (half(front), half(back))
    }

    /// Keeps only the events whose position is `true` in `keep`; returns the slices as they were.
    pub(super) fn retain(&mut self, keep: &[bool]) -> Vec<Slice<E>> {
        let mut kept = Vec::new();
        let mut position = 0;
        for slice in &self.slices {
            let flags = &keep[position..position + slice.len()];
            position += slice.len();
            kept.extend(runs(slice, flags));
        }
        std::mem::replace(&mut self.slices, kept)
    }

    /// Takes everything of one batch out. What is left is encoded anew.
    pub(super) fn remove(&mut self, batch: BatchId) -> Vec<Slice<E>> {
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.slices)
            .into_iter()
            .partition(|slice| slice.id() == batch);
        self.slices = kept;
        if !gone.is_empty() {
            self.body = None;
        }
        gone
    }
}

/// Cuts `slices` after `at` events and returns what follows.
pub(super) fn cut<E>(slices: &mut Vec<Slice<E>>, at: usize) -> Vec<Slice<E>> {
    let mut left = at;
    for i in 0..slices.len() {
        if left < slices[i].len() {
            let mut tail = Vec::with_capacity(slices.len() - i);
            if left > 0 {
                tail.push(slices[i].split_off(left));
                tail.extend(slices.drain(i + 1..));
            } else {
                tail.extend(slices.drain(i..));
            }
            return tail;
        }
        left -= slices[i].len();
    }
    Vec::new()
}

/// The stretches of `slice` whose flag is set.
pub(super) fn runs<E>(slice: &Slice<E>, flags: &[bool]) -> Vec<Slice<E>> {
    let mut found = Vec::new();
    let mut start = None;
    for (i, &keep) in flags.iter().chain([&false]).enumerate() {
        match (start, keep) {
            (None, true) => start = Some(i),
            (Some(from), false) => {
                let offset = slice.range.start;
                let mut run = slice.clone();
                run.range = offset + from..offset + i;
                found.push(run);
                start = None;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fresh::Fresh;
    use super::*;
    use crate::budget::{Budget, Charge};
    use crate::request::{Batch, Events};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn slices(sizes: &[usize]) -> Vec<Slice<usize>> {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut next = 0;
        let mut number = 0;
        sizes
            .iter()
            .map(|&n| {
                let events = (next..next + n).collect();
                next += n;
                number += 1;
                let weight = n * 7 + 3;
                assert!(budget.try_charge(weight));
                Slice::whole(Arc::new(Batch::new(
                    number,
                    events,
                    Instant::now(),
                    Charge::adopt(&budget, weight),
                )))
            })
            .collect()
    }

    fn waiting(slices: &[Slice<usize>]) -> Fresh<usize> {
        let mut fresh = Fresh::default();
        for slice in slices {
            fresh.push_back(slice.clone());
        }
        fresh
    }

    fn ids(slices: &[Slice<usize>]) -> Vec<usize> {
        Events::from_slices(slices).iter().copied().collect()
    }

    proptest! {
        #[test]
        fn cutting_and_putting_back_loses_nothing(sizes in prop::collection::vec(1usize..9, 1..6), at in 0usize..40) {
            let mut front = slices(&sizes);
            let all = ids(&front);
            let weight: usize = front.iter().map(Slice::weight).sum();
            let back = cut(&mut front, at);
            prop_assert_eq!(front.iter().map(Slice::len).sum::<usize>(), at.min(all.len()));
            let parts: usize = front.iter().chain(&back).map(Slice::weight).sum();
            prop_assert_eq!(parts, weight);
            let (mut fresh, mut other) = (waiting(&back), waiting(&front));
            fresh.put_back(front);
            prop_assert_eq!(&ids(&fresh.take(usize::MAX)), &all);
            other.put_back(back);
            prop_assert_eq!(ids(&other.take(usize::MAX)), all);
        }

        #[test]
        fn halves_keep_order_and_are_smaller(sizes in prop::collection::vec(1usize..9, 1..6)) {
            let request = Request::new(slices(&sizes));
            let all = ids(&request.slices);
            prop_assume!(all.len() > 1);
            let (a, b) = request.halve();
            prop_assert!(a.len() >= 1 && b.len() >= 1);
            prop_assert_eq!([ids(&a.slices), ids(&b.slices)].concat(), all);
        }

        #[test]
        fn retaining_keeps_exactly_the_flagged(sizes in prop::collection::vec(1usize..9, 1..6), seed in any::<u64>()) {
            let mut request = Request::new(slices(&sizes));
            let all = ids(&request.slices);
            let keep: Vec<bool> = (0..all.len()).map(|i| seed >> (i % 64) & 1 == 1).collect();
            let expected: Vec<usize> =
                all.iter().zip(&keep).filter(|(_, k)| **k).map(|(id, _)| *id).collect();
            request.retain(&keep);
            prop_assert_eq!(ids(&request.slices), expected);
        }

        #[test]
        fn taking_respects_the_maximum(sizes in prop::collection::vec(1usize..9, 1..6), max in 1usize..40) {
            let slices = slices(&sizes);
            let all = ids(&slices);
            let mut fresh = waiting(&slices);
            let taken = fresh.take(max);
            prop_assert_eq!(ids(&taken).len(), max.min(all.len()));
            prop_assert_eq!([ids(&taken), ids(&fresh.take(usize::MAX))].concat(), all);
        }
    }
}
