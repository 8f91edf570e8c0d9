//! What a request needs of each chunk of its batches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cell::{Cell, Found};
use super::content::{CHUNK, Content, Set};
use super::{Place, Sharing};
use crate::ledger::RejectReason;
use crate::request::{Batch, Slice};

/// The stretches of a request that are in one chunk each, from some event on.
pub(super) struct Chunks<'a, E> {
    sharing: &'a Sharing,
    slices: &'a [Slice<E>],
    /// Events of the first slice that are left behind.
    offset: usize,
}

impl<E> Clone for Chunks<'_, E> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, E> Chunks<'a, E> {
    pub(super) fn of(slices: &'a [Slice<E>], sharing: &'a Sharing) -> Self {
        let mut chunks = Self {
            sharing,
            slices,
            offset: 0,
        };
        chunks.leave(0);
        chunks
    }

    /// The batch of the next event, and its position there.
    pub(super) fn peek(&self) -> Option<(&'a Batch<E>, usize)> {
        let slice = self.slices.first()?;
        Some((&slice.batch, slice.range.start + self.offset))
    }

    /// Leaves so many events of the first slice behind, and it too if that was all.
    pub(super) fn leave(&mut self, events: usize) {
        self.offset += events;
        while let Some((first, rest)) = self.slices.split_first()
            && self.offset >= first.len()
        {
            (self.slices, self.offset) = (rest, 0);
        }
    }
}

impl<'a, E> Iterator for Chunks<'a, E> {
    type Item = Chunk<'a, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let (batch, position) = self.peek()?;
        let chunk = Chunk {
            sharing: self.sharing,
            batch,
            number: position / CHUNK,
            from: position,
            slices: self.slices,
        };
        let left = self.slices.first()?.len() - self.offset;
        self.leave(left.min(CHUNK - position % CHUNK));
        Some(chunk)
    }
}

/// One chunk of a batch, and what a request needs of it.
pub(super) struct Chunk<'a, E> {
    sharing: &'a Sharing,
    batch: &'a Batch<E>,
    number: usize,
    /// The position of the first event that the request needs.
    from: usize,
    /// The request, from there on.
    slices: &'a [Slice<E>],
}

impl<'a, E> Chunk<'a, E> {
    fn cells(&self) -> Option<(&'a Arc<[Cell]>, usize)> {
        let events = self.batch.len();
        self.batch.fragments.of(events, self.number, self.sharing)
    }

    pub(super) fn cell(&self) -> Option<&'a Cell> {
        let (cells, at) = self.cells()?;
        cells.get(at)
    }

    pub(super) fn find(&self, insist: bool) -> Found {
        match self.cell() {
            Some(cell) => cell.find(self.sharing.place, self.wanted(), insist),
            None => Found::Alone(None),
        }
    }

    /// How large a chunk may grow before no event is added any more.
    pub(super) fn largest(&self) -> usize {
        self.sharing.shelf.largest()
    }

    /// The events of this chunk that the request needs. Slices of one batch may have others between
    /// them that were sealed with it.
    fn wanted(&self) -> Set {
        let chunk = self.number * CHUNK..(self.number + 1) * CHUNK;
        let mut wanted: Set = 0;
        for slice in self.slices {
            let is_mine = std::ptr::eq(Arc::as_ptr(&slice.batch), self.batch);
            if slice.number() != self.batch.number || (is_mine && slice.range.start >= chunk.end) {
                break;
            }
            if is_mine {
                let from = slice.range.start.max(self.from) - chunk.start;
                let to = slice.range.end.min(chunk.end).saturating_sub(chunk.start);
                for at in from..to {
                    wanted |= 1 << at;
                }
            }
        }
        wanted
    }

    /// Writes what is missing, leaves it for others, and returns it. `None`: nothing can be shared here.
    pub(super) fn fill<W>(&self, known: Option<Arc<Content>>, write: &mut W) -> Option<Arc<Content>>
    where
        W: FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
    {
        let (cells, at) = self.cells()?;
        let cell = cells.get(at)?;
        // also if `write` panics
        let claim = Claim(cell, self.sharing.place);
        let missing = self.wanted() & !known.as_ref().map_or(0, |known| known.has());
        let hint = self.sharing.event_bytes.load(Ordering::Relaxed);
        let room = hint.saturating_mul(missing.count_ones() as usize);
        let most = self.largest();
        if known.as_ref().is_some_and(|known| known.len() >= most) {
            return known;
        }
        let mut content = Content::with(known.as_deref(), room.min(most));
        let before = content.len();
        let start = self.number * CHUNK;
        for at in (0..CHUNK).filter(|at| missing & 1 << at != 0) {
            if content.len() >= most {
                break;
            }
            let event = self.batch.events.get(start + at)?;
            if !content.add(at, |out| write(event, out)) {
                return None;
            }
        }
        let added = (content.has() & missing).count_ones() as usize;
        if let Some(mean) = (content.len() - before).checked_div(added) {
            self.sharing
                .event_bytes
                .store(mean + mean / 8, Ordering::Relaxed);
        }
        content.shrink();
        content.rent = self.sharing.shelf.rent(content.footprint());
        let is_rented = content.rent.is_some();
        let content = Arc::new(content);
        if is_rented && cell.put(&content) {
            self.sharing.shelf.remember(cells, at, &content);
        }
        drop(claim);
        Some(content)
    }
}

/// Ends a claim on drop.
struct Claim<'a>(&'a Cell, Place);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.disclaim(self.1);
    }
}

impl Sharing {
    /// The first `consumed` events of `slices` are in a body: this lane needs nothing of them any more.
    pub(crate) fn encoded<E>(&self, slices: &[Slice<E>], consumed: usize) {
        let mut left = consumed;
        for slice in slices {
            let events = slice.batch.len();
            let until = slice.range.start + slice.len().min(left);
            left -= until - slice.range.start;
            let mut position = slice.range.start;
            while position < until {
                let number = position / CHUNK;
                // where it ends in the batch
                position = ((number + 1) * CHUNK).min(events);
                if position <= until
                    && let Some((cells, at)) = slice.batch.fragments.of(events, number, self)
                    && let Some(cell) = cells.get(at)
                {
                    cell.pass(self.place);
                }
            }
        }
    }
}
