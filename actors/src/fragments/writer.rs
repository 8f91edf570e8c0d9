//! What an encoder gets its events from, one after another.

use std::fmt;
use std::iter::Take;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cell::{Cell, Found};
use super::content::{CHUNK, Content, Set};
use super::{Place, Sharing};
use crate::ledger::RejectReason;
use crate::request::{Batch, Slice};

/// Chunks that a lane looks at while another lane writes the one that it needs next.
const AHEAD: usize = 8;

/// How often a lane lets others run before it writes what another one has claimed: some microseconds,
/// about what writing takes.
const YIELDS: u32 = 32;

/// Writes events one after another, each once for all providers of one format. Made by
/// [`Events::writer`](crate::Events::writer).
pub struct EventWriter<'a, E, W> {
    write: W,
    events: Source<'a, E>,
}

impl<'a, E, W> EventWriter<'a, E, W>
where
    W: FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
{
    pub(crate) fn new(write: W, events: Source<'a, E>) -> Self {
        Self { write, events }
    }

    /// Appends the next event to `out`. `None` after the last one.
    ///
    /// An event that the closure refused leaves nothing in `out`. What was appended is the caller's: it may
    /// cut it off again, and does where it finds that it does not fit.
    pub fn write_next(&mut self, out: &mut Vec<u8>) -> Option<Result<(), RejectReason>> {
        match &mut self.events {
            Source::Direct(events, slices) => {
                let event = loop {
                    match events.next() {
                        Some(event) => break event,
                        None => *events = slices.next()?.events().iter(),
                    }
                };
                Some(append(&mut self.write, event, out))
            }
            Source::Shared(reader) => reader.next(&mut self.write, out),
        }
    }
}

impl<E, W> fmt::Debug for EventWriter<'_, E, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWriter").finish_non_exhaustive()
    }
}

fn append<E>(
    write: &mut impl FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
    event: &E,
    out: &mut Vec<u8>,
) -> Result<(), RejectReason> {
    let before = out.len();
    let result = write(event, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Where the events come from.
pub(crate) enum Source<'a, E> {
    Direct(slice::Iter<'a, E>, slice::Iter<'a, Slice<E>>),
    Shared(Reader<'a, E>),
}

impl<'a, E> Source<'a, E> {
    pub(crate) fn plain(events: &'a [E]) -> Self {
        Self::Direct(events.iter(), [].iter())
    }

    pub(crate) fn slices(slices: &'a [Slice<E>], sharing: Option<&'a Sharing>) -> Self {
        match sharing {
            None => Self::Direct([].iter(), slices.iter()),
            Some(sharing) => Self::Shared(Reader {
                sharing,
                ahead: Chunks::of(slices, sharing),
                here: None,
            }),
        }
    }
}

/// The events of a request of a lane that shares.
pub(crate) struct Reader<'a, E> {
    sharing: &'a Sharing,
    /// From the next event on.
    ahead: Chunks<'a, E>,
    here: Option<Here<'a, E>>,
}

/// What is known of the chunk that is being read.
struct Here<'a, E> {
    batch: &'a Batch<E>,
    chunk: usize,
    cell: Option<&'a Cell>,
    content: Option<Arc<Content>>,
}

impl<'a, E> Reader<'a, E> {
    fn next<W>(&mut self, write: &mut W, out: &mut Vec<u8>) -> Option<Result<(), RejectReason>>
    where
        W: FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
    {
        let (batch, position) = self.ahead.peek()?;
        let event = batch.events.get(position)?;
        let (chunk, at) = (position / CHUNK, position % CHUNK);
        let is_here = |here: &&Here<'a, E>| std::ptr::eq(here.batch, batch) && here.chunk == chunk;
        if self.here.as_ref().is_none_or(|here| !is_here(&here)) {
            let content = self.enter(write);
            let cell = self.ahead.clone().next().and_then(|chunk| chunk.cell());
            self.here = Some(Here {
                batch,
                chunk,
                cell,
                content,
            });
        }
        let here = self.here.as_ref()?;
        let copied = here.content.as_ref().and_then(|c| c.copy(at, out));
        let result = copied.unwrap_or_else(|| append(write, event, out));
        self.ahead.leave(1);
        if (at + 1 == CHUNK || position + 1 == batch.len())
            && let Some(cell) = here.cell
        {
            cell.pass(self.sharing.place);
        }
        Some(result)
    }

    /// What is written of the chunk that comes next. Writes what is missing, unless another lane is at it
    /// and ends in time; meanwhile writes what comes later.
    fn enter<W>(&self, write: &mut W) -> Option<Arc<Content>>
    where
        W: FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
    {
        let mut chunks = self.ahead.clone();
        let chunk = chunks.next()?;
        let mut later = chunks.take(AHEAD);
        let mut yields = 0;
        loop {
            match chunk.find(yields >= YIELDS) {
                Found::Ready(content) => return Some(content),
                Found::Alone(content) => return content,
                Found::Claimed(known) => return chunk.fill(known, write),
                Found::Busy => {
                    if !write_one(&mut later, write) {
                        yields += 1;
                        std::thread::yield_now();
                    }
                }
            }
        }
    }
}

/// Writes the first of these chunks that nobody has written or claimed. False: there is none.
fn write_one<E, W>(chunks: &mut Take<Chunks<'_, E>>, write: &mut W) -> bool
where
    W: FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
{
    for chunk in chunks {
        if let Found::Claimed(known) = chunk.find(false) {
            chunk.fill(known, write);
            return true;
        }
    }
    false
}

/// The stretches of a request that are in one chunk each, from some event on.
struct Chunks<'a, E> {
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
    fn of(slices: &'a [Slice<E>], sharing: &'a Sharing) -> Self {
        let mut chunks = Self {
            sharing,
            slices,
            offset: 0,
        };
        chunks.leave(0);
        chunks
    }

    /// The batch of the next event, and its position there.
    fn peek(&self) -> Option<(&'a Batch<E>, usize)> {
        let slice = self.slices.first()?;
        Some((&slice.batch, slice.range.start + self.offset))
    }

    /// Leaves so many events of the first slice behind, and it too if that was all.
    fn leave(&mut self, events: usize) {
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
struct Chunk<'a, E> {
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

    fn cell(&self) -> Option<&'a Cell> {
        let (cells, at) = self.cells()?;
        cells.get(at)
    }

    fn find(&self, insist: bool) -> Found {
        match self.cell() {
            Some(cell) => cell.find(self.sharing.place, self.wanted(), insist),
            None => Found::Alone(None),
        }
    }

    /// The events of this chunk that the request needs. Slices of one batch may have others between
    /// them that were sealed with it.
    fn wanted(&self) -> Set {
        let chunk = self.number * CHUNK..(self.number + 1) * CHUNK;
        let mut wanted: Set = 0;
        for slice in self.slices {
            let is_mine = std::ptr::eq(&*slice.batch, self.batch);
            if slice.number() != self.batch.number || (is_mine && slice.range.start >= chunk.end) {
                break;
            }
            if is_mine {
                let from = slice.range.start.max(self.from) - chunk.start;
                let to = slice.range.end.min(chunk.end) - chunk.start;
                for at in from..to {
                    wanted |= 1 << at;
                }
            }
        }
        wanted
    }

    /// Writes what is missing, leaves it for others, and returns it. `None`: nothing can be shared here.
    fn fill<W>(&self, known: Option<Arc<Content>>, write: &mut W) -> Option<Arc<Content>>
    where
        W: FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
    {
        let (cells, at) = self.cells()?;
        let cell = cells.get(at)?;
        // also if `write` panics
        let claim = Claim(cell, self.sharing.place);
        let shelf = &self.sharing.shelf;
        let missing = self.wanted() & !known.as_ref().map_or(0, |known| known.has());
        let hint = self.sharing.event_bytes.load(Ordering::Relaxed);
        let room = hint.saturating_mul(missing.count_ones() as usize);
        let most = shelf.largest();
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
        content.rent = shelf.rent(content.footprint());
        let is_rented = content.rent.is_some();
        let content = Arc::new(content);
        if is_rented && cell.put(&content) {
            shelf.remember(cells, at, &content);
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
