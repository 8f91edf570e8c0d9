//! What one chunk of a batch looks like in one format.

use crate::ledger::RejectReason;

use super::shelf::Rent;

/// Events that are written, claimed and kept together. Few enough that a lane which finds a chunk
/// claimed has others to write meanwhile; as many as a [`Set`] has bits.
pub(super) const CHUNK: usize = 32;

/// Positions in a chunk, a bit each.
pub(super) type Set = u32;

/// Some or all events of a chunk, as written.
#[derive(Debug)]
pub(super) struct Content {
    bytes: Vec<u8>,
    spans: [Span; CHUNK],
    has: Set,
    /// What its memory is charged to; nothing while only one lane knows it.
    pub(super) rent: Option<Rent>,
}

/// One event.
#[derive(Clone, Copy, Debug)]
enum Span {
    Missing,
    Written { start: u32, end: u32 },
    Refused(RejectReason),
}

impl Content {
    /// Starts with what is in `known`, with room for `more` bytes.
    pub(super) fn with(known: Option<&Self>, more: usize) -> Self {
        let (bytes, spans, has) = match known {
            Some(known) => (&known.bytes[..], known.spans, known.has),
            None => (&[][..], [Span::Missing; CHUNK], 0),
        };
        let mut copy = Vec::with_capacity(bytes.len() + more);
        copy.extend_from_slice(bytes);
        Self {
            bytes: copy,
            spans,
            has,
            rent: None,
        }
    }

    /// Adds the event at `at` by what `write` appends. False: it did not append, and nothing in here
    /// can be relied on any more.
    pub(super) fn add(
        &mut self,
        at: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), RejectReason>,
    ) -> bool {
        let start = self.bytes.len();
        let result = write(&mut self.bytes);
        let end = self.bytes.len();
        if end < start {
            return false;
        }
        let span = match result {
            Ok(()) => match (u32::try_from(start), u32::try_from(end)) {
                (Ok(start), Ok(end)) => Span::Written { start, end },
                _ => return false,
            },
            Err(reason) => {
                self.bytes.truncate(start);
                Span::Refused(reason)
            }
        };
        if let Some(place) = self.spans.get_mut(at) {
            *place = span;
            self.has |= 1 << at;
        }
        true
    }

    /// Appends the event at `at` to `out`. `None`: it is not here.
    pub(super) fn copy(&self, at: usize, out: &mut Vec<u8>) -> Option<Result<(), RejectReason>> {
        match *self.spans.get(at)? {
            Span::Missing => None,
            Span::Refused(reason) => Some(Err(reason)),
            Span::Written { start, end } => {
                out.extend_from_slice(self.bytes.get(start as usize..end as usize)?);
                Some(Ok(()))
            }
        }
    }

    /// Which events are here.
    pub(super) fn has(&self) -> Set {
        self.has
    }

    /// Bytes of events.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives back room that was not needed.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() - self.bytes.len() > self.bytes.len() / 8 {
            self.bytes.shrink_to_fit();
        }
    }

    /// The memory that this takes.
    pub(super) fn footprint(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>()
    }
}
