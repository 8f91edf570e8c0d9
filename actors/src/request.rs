//! Sealed batches, slices of them, and the view of a request that providers get.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use crate::budget::Charge;
use crate::fragments::{EventWriter, Fragments, Sharing, Source};
use crate::ledger::RejectReason;
use crate::slices::Slices;

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
    /// Where each event stood in what was sealed together, ascending. `None`: nothing else was.
    places: Option<Box<[u32]>>,
    /// Its events as some lanes have written them, for others to copy.
    pub(crate) fragments: Fragments,
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
            places: None,
            fragments: Fragments::default(),
            charge,
        }
    }

    /// This batch as one of several that were sealed under one number; `places` has one entry for
    /// each event.
    pub(crate) fn placed(mut self, places: Vec<u32>) -> Self {
        debug_assert_eq!(places.len(), self.events.len(), "a place for each event");
        self.places = Some(places.into_boxed_slice());
        self
    }

    /// This batch as one that a single lane gets.
    pub(crate) fn for_one_lane(mut self) -> Self {
        self.fragments = Fragments::none();
        self
    }

    /// The place of the event at `index` in what was sealed together.
    fn place(&self, index: usize) -> usize {
        match &self.places {
            Some(places) => places.get(index).map_or(usize::MAX, |&at| at as usize),
            None => index,
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
    pub(crate) slices: Slices<E>,
    /// The index of the only lane that it is for; `None` is all of them.
    pub(crate) only: Option<usize>,
}

impl<E> Sealed<E> {
    /// One batch, for every lane.
    pub(crate) fn whole(batch: Batch<E>) -> Self {
        Self {
            number: batch.number,
            slices: Slices::one(Slice::whole(Arc::new(batch))),
            only: None,
        }
    }

    /// Two batches with one number that were sealed together, for every lane. What is urgent has an
    /// `Arc` of its own, so that dropping the rest frees the memory of the rest.
    pub(crate) fn apart(normal: Batch<E>, urgent: Batch<E>) -> Self {
        let mut sealed = Self::whole(normal);
        sealed.slices.push(Slice::whole(Arc::new(urgent)).urgent());
        sealed
    }

    /// Everything in it outlives others.
    pub(crate) fn urgent(mut self) -> Self {
        for slice in &mut *self.slices {
            slice.urgent = true;
        }
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.slices.iter().map(Slice::len).sum()
    }
}

/// Tells batches apart that are held at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchId(usize);

/// A position in the order of what was taken in: the number of a sealing, and the place in it.
pub(crate) type Place = (u64, usize);

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

    /// The same, to outlive others.
    pub(crate) fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// Which batch this is a part of. Means nothing once nobody holds that batch any more.
    pub(crate) fn id(&self) -> BatchId {
        BatchId(Arc::as_ptr(&self.batch).addr())
    }

    /// Where its first event stands in the order of what was taken in.
    pub(crate) fn place(&self) -> Place {
        (self.number(), self.batch.place(self.range.start))
    }

    /// How many of its events, from the first on, stand before `place`.
    pub(crate) fn before(&self, place: Place) -> usize {
        match self.number().cmp(&place.0) {
            Ordering::Less => self.len(),
            Ordering::Greater => 0,
            Ordering::Equal => match &self.batch.places {
                Some(places) => {
                    let mine = places.get(self.range.clone()).unwrap_or_default();
                    mine.partition_point(|&at| (at as usize) < place.1)
                }
                None => place.1.saturating_sub(self.range.start).min(self.len()),
            },
        }
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
    sharing: Option<&'a Sharing>,
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
            sharing: None,
        }
    }

    pub(crate) fn from_slices(slices: &'a [Slice<E>]) -> Self {
        Self {
            parts: Parts::Slices(slices),
            len: slices.iter().map(Slice::len).sum(),
            sharing: None,
        }
    }

    /// The same, to be encoded by a lane that shares what it writes.
    pub(crate) fn shared(mut self, sharing: Option<&'a Sharing>) -> Self {
        self.sharing = sharing;
        self
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

    /// The events in order, as bytes: what `write` appends for each of them, or why it refuses it.
    ///
    /// Where other providers of the engine have this one's
    /// [`format`](crate::Provider::format), what was written for one of them is copied, and `write` is
    /// called for the rest only, perhaps not in order and for events that will not fit. So it must append
    /// the same bytes for the same event whenever it is called, and change nothing that was there.
    ///
    /// ```
    /// use productgraph_actors::{Events, RejectReason};
    ///
    /// let events = Events::from_slice(&[1, 20, 300]);
    /// let mut writer = events.writer(|event, out| {
    ///     out.extend_from_slice(event.to_string().as_bytes());
    ///     Ok::<(), RejectReason>(())
    /// });
    /// let mut body = Vec::new();
    /// while let Some(written) = writer.write_next(&mut body) {
    ///     assert!(written.is_ok());
    ///     body.push(b'\n');
    /// }
    /// assert_eq!(body, b"1\n20\n300\n");
    /// ```
    pub fn writer<W>(&self, write: W) -> EventWriter<'a, E, W>
    where
        W: FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
    {
        let source = match self.parts {
            Parts::Plain(events) => Source::plain(events),
            Parts::Slices(slices) => Source::slices(slices, self.sharing),
        };
        EventWriter::new(write, source)
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
