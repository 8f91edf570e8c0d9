//! Sealed batches, slices of them, and the view of a request that providers get.

use std::ops::Range;
use std::sync::Arc;

use crate::budget::Charge;

/// A sealed, numbered, shared run of events. Dropping the last reference releases its bytes.
#[derive(Debug)]
pub(crate) struct Batch<E> {
    /// Position in the order of sealing, from 1.
    pub(crate) number: u64,
    pub(crate) events: Box<[E]>,
    /// Sum of the weights; also what `charge` gives back.
    pub(crate) weight: usize,
    #[expect(dead_code, reason = "held for its drop")]
    charge: Charge,
}

impl<E> Batch<E> {
    pub(crate) fn new(number: u64, events: Vec<E>, charge: Charge) -> Self {
        Self {
            number,
            events: events.into_boxed_slice(),
            weight: charge.bytes(),
            charge,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

/// Neighbouring events of one batch.
#[derive(Debug)]
pub(crate) struct Slice<E> {
    pub(crate) batch: Arc<Batch<E>>,
    pub(crate) range: Range<usize>,
    /// Outlives others when a lane has to make room.
    pub(crate) urgent: bool,
}

impl<E> Clone for Slice<E> {
    fn clone(&self) -> Self {
        Self {
            batch: Arc::clone(&self.batch),
            range: self.range.clone(),
            urgent: self.urgent,
        }
    }
}

impl<E> Slice<E> {
    pub(crate) fn whole(batch: Arc<Batch<E>>) -> Self {
        let range = 0..batch.len();
        Self {
            batch,
            range,
            urgent: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    pub(crate) fn number(&self) -> u64 {
        self.batch.number
    }

    /// This slice's share of the batch's weight. The shares of all slices of a batch add up exactly.
    pub(crate) fn weight(&self) -> usize {
        let up_to = |position| self.batch.weight * position / self.batch.len().max(1);
        up_to(self.range.end) - up_to(self.range.start)
    }

    /// Splits off everything from position `at` on.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let middle = self.range.start + at;
        let mut tail = self.clone();
        tail.range.start = middle;
        self.range.end = middle;
        tail
    }

    fn events(&self) -> &[E] {
        &self.batch.events[self.range.clone()]
    }
}

/// The events of one request, in order: what a provider encodes and what its answer refers to.
#[derive(Debug)]
pub struct Events<'a, E> {
    parts: Parts<'a, E>,
    len: usize,
}

#[derive(Debug)]
enum Parts<'a, E> {
    Plain(&'a [E]),
    Slices(&'a [Slice<E>]),
}

impl<E> Clone for Events<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Events<'_, E> {}

impl<E> Clone for Parts<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Parts<'_, E> {}

impl<'a, E> Events<'a, E> {
    /// A view of plain events, for a provider's own tests.
    pub fn from_slice(events: &'a [E]) -> Self {
        Self {
            parts: Parts::Plain(events),
            len: events.len(),
        }
    }

    pub(crate) fn from_slices(slices: &'a [Slice<E>]) -> Self {
        Self {
            parts: Parts::Slices(slices),
            len: slices.iter().map(Slice::len).sum(),
        }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The events in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a E> + use<'a, E> {
        let (plain, slices) = match self.parts {
            Parts::Plain(events) => (events, &[][..]),
            Parts::Slices(slices) => (&[][..], slices),
        };
        plain
            .iter()
            .chain(slices.iter().flat_map(|s| s.events().iter()))
    }

    /// The event at `index`.
    pub fn get(&self, index: usize) -> Option<&'a E> {
        match self.parts {
            Parts::Plain(events) => events.get(index),
            Parts::Slices(slices) => {
                let mut left = index;
                for slice in slices {
                    if left < slice.len() {
                        return slice.events().get(left);
                    }
                    left -= slice.len();
                }
                None
            }
        }
    }
}
