//! The memory that a lane keeps alive.
//!
//! Events live in shared batches, and a batch is freed as a whole. A lane that waits for one event of
//! fifty therefore keeps all fifty alive: its share of the engine's bytes is compared with that, not
//! with what the one event weighs.

use std::collections::VecDeque;

use crate::request::{BatchId, Slice};

/// The batches of which a lane has events, oldest first.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pins: VecDeque<Pin>,
    bytes: usize,
    thin: usize,
}

/// One batch that a lane keeps alive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    number: u64,
    pub(super) batch: BatchId,
    pub(super) urgent: bool,
    /// What the whole batch weighs.
    bytes: usize,
    /// Events in the batch.
    events: usize,
    /// Those of them that this lane has.
    pub(super) left: usize,
}

impl Pin {
    /// Most of its bytes are held for events that are gone.
    pub(super) fn is_thin(&self) -> bool {
        self.left * 2 < self.events
    }
}

impl Holdings {
    /// Bytes of all batches that are kept alive.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many batches are kept alive.
    pub(super) fn batches(&self) -> usize {
        self.pins.len()
    }

    /// Batches that are thin, oldest first. Cheap when there is none.
    pub(super) fn thin(&self) -> impl Iterator<Item = &Pin> {
        let thin = self.pins.iter().filter(|pin| pin.is_thin());
        thin.take(self.thin)
    }

    /// The batch that this slice is a part of.
    pub(super) fn of<E>(&self, slice: &Slice<E>) -> Option<&Pin> {
        self.pins.get(self.find(slice).ok()?)
    }

    /// The lane has `slice` now.
    pub(super) fn hold<E>(&mut self, slice: &Slice<E>) {
        let at = match self.find(slice) {
            Ok(at) => at,
            Err(at) => {
                let pin = Pin {
                    number: slice.number(),
                    batch: slice.id(),
                    urgent: slice.urgent,
                    bytes: slice.batch.weight,
                    events: slice.batch.len(),
                    left: 0,
                };
                self.bytes += pin.bytes;
                self.thin += usize::from(pin.is_thin());
                self.pins.insert(at, pin);
                at
            }
        };
        self.change(at, |left| left + slice.len());
    }

    /// The lane has `slice` no longer.
    pub(super) fn release<E>(&mut self, slice: &Slice<E>) {
        if let Ok(at) = self.find(slice)
            && self.change(at, |left| left.saturating_sub(slice.len())) == 0
            && let Some(pin) = self.pins.remove(at)
        {
            self.bytes -= pin.bytes;
            self.thin -= usize::from(pin.is_thin());
        }
    }

    /// The lane has `kept` of what was `before`.
    pub(super) fn reduce<E>(&mut self, before: &[Slice<E>], kept: &[Slice<E>]) {
        // in this order, so that a batch of which something stays is not forgotten in between
        for slice in kept {
            self.hold(slice);
        }
        for slice in before {
            self.release(slice);
        }
    }

    fn change(&mut self, at: usize, left: impl FnOnce(usize) -> usize) -> usize {
        let Some(pin) = self.pins.get_mut(at) else {
            return 0;
        };
        let was_thin = pin.is_thin();
        pin.left = left(pin.left);
        self.thin += usize::from(pin.is_thin());
        self.thin -= usize::from(was_thin);
        pin.left
    }

    /// Where the pin of `slice`'s batch is, or has to be put. What is worked on is nearly always in
    /// front, and what comes in is the newest.
    fn find<E>(&self, slice: &Slice<E>) -> Result<usize, usize> {
        let (number, batch) = (slice.number(), slice.id());
        if self.pins.back().is_none_or(|pin| pin.number < number) {
            return Err(self.pins.len());
        }
        if self.pins.front().is_some_and(|pin| pin.batch == batch) {
            return Ok(0);
        }
        let first = self.pins.partition_point(|pin| pin.number < number);
        let alike = self.pins.range(first..);
        let mut alike = alike.take_while(|pin| pin.number == number);
        match alike.position(|pin| pin.batch == batch) {
            Some(at) => Ok(first + at),
            None => Err(self.pins.partition_point(|pin| pin.number <= number)),
        }
    }
}
