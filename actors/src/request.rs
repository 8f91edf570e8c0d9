//! Sealed batches, slices of them, and the view of a request that providers get.

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use crate::budget::Charge;

/// A sealed, numbered, shared run of events. Dropping the last reference releases its bytes.
#[derive(Debug)]
pub(crate) struct Batch<E> {
    /// Position in the order of sealing, from 1.
    pub(crate) number: u64,
    pub(crate) events: Box<[E]>,
    /// Sum of the weights; also what `charge` gives back.
    pub(crate) weight: usize,
    /// When its oldest event was taken off the ring.
    pub(crate) since: Instant,
    #[expect(dead_code, reason = "held for its drop")]
    charge: Charge,
}

impl<E> Batch<E> {
    pub(crate) fn new(number: u64, events: Vec<E>, since: Instant, charge: Charge) -> Self {
        Self {
            number,
            events: events.into_boxed_slice(),
            weight: charge.bytes(),
            since,
            charge,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

/// What was sealed at one time, in order, on its way to the lanes.
#[derive(Debug)]
pub(crate) struct Sealed<E> {
    /// Position in the order of sealing, from 1.
    pub(crate) number: u64,
    pub(crate) slices: Vec<Slice<E>>,
    /// The index of the only lane that it is for; `None` is all of them.
    pub(crate) only: Option<usize>,
}

impl<E> Sealed<E> {
    /// One batch, for every lane.
    pub(crate) fn whole(batch: Batch<E>) -> Self {
        Self {
            number: batch.number,
            slices: vec![Slice::whole(Arc::new(batch))],
            only: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slices.iter().map(Slice::len).sum()
    }
}

/// Neighbouring events of one batch.
#[derive(Debug)]
pub(crate) struct Slice<E> {
    pub(crate) batch: Arc<Batch<E>>,
    pub(crate) range: Range<usize>,
    /// Outlives others when a lane has to make room.
    pub(crate) urgent: bool,
    /// Requests that its events were to travel in so far.
    pub(crate) attempts: u32,
}

impl<E> Clone for Slice<E> {
    fn clone(&self) -> Self {
        Self {
            batch: Arc::clone(&self.batch),
            range: self.range.clone(),
            urgent: self.urgent,
            attempts: self.attempts,
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
            attempts: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// When the oldest event of the batch was taken off the ring.
    pub(crate) fn since(&self) -> Instant {
        self.batch.since
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

    pub(crate) fn events(&self) -> &[E] {
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
