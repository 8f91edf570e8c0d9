//! What an encoder gets its events from, one after another.

use std::fmt;
use std::iter::Take;
use std::slice;
use std::sync::Arc;

use super::Sharing;
use super::cell::Found;
use super::chunk::Chunks;
use super::content::{CHUNK, Content};
use crate::ledger::RejectReason;
use crate::request::{Batch, Slice};

/// Chunks that a lane looks at while another lane writes the one that it needs next. What it writes of them
/// has to be kept until it gets there, so a lane also stops at the size of one large chunk.
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
    /// An event that was refused leaves nothing in `out`. What was appended is the caller's: it may
    /// cut it off again, and does where it finds that it does not fit.
    #[inline]
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

#[inline]
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
                ahead: Chunks::of(slices, sharing),
                here: None,
            }),
        }
    }
}

/// The events of a request of a lane that shares.
pub(crate) struct Reader<'a, E> {
    /// From the next event on.
    ahead: Chunks<'a, E>,
    here: Option<Here<'a, E>>,
}

/// What is known of the chunk that is being read.
struct Here<'a, E> {
    batch: &'a Batch<E>,
    chunk: usize,
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
            self.here = Some(Here {
                batch,
                chunk,
                content,
            });
        }
        let here = self.here.as_ref()?;
        let copied = here.content.as_ref().and_then(|c| c.copy(at, out));
        let result = copied.unwrap_or_else(|| append(write, event, out));
        self.ahead.leave(1);
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
        let (mut yields, mut written) = (0, 0);
        let most = chunk.largest();
        loop {
            match chunk.find(yields >= YIELDS) {
                Found::Ready(content) => return Some(content),
                Found::Alone(content) => return content,
                Found::Claimed(known) => return chunk.fill(known, write),
                Found::Busy => {
                    let ahead = (written < most).then(|| write_one(&mut later, write));
                    match ahead.flatten() {
                        Some(bytes) => written += bytes,
                        None => {
                            yields += 1;
                            std::thread::yield_now();
                        }
                    }
                }
            }
        }
    }
}

/// Writes the first of these chunks that nobody has written or claimed, and says how large it is. `None`:
/// there is none.
fn write_one<E, W>(chunks: &mut Take<Chunks<'_, E>>, write: &mut W) -> Option<usize>
where
    W: FnMut(&E, &mut Vec<u8>) -> Result<(), RejectReason>,
{
    for chunk in chunks {
        if let Found::Claimed(known) = chunk.find(false) {
            return Some(chunk.fill(known, write)?.len());
        }
    }
    None
}
