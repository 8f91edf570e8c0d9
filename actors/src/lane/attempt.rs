//! What a lane tells its flusher, and hears from it.

use bytes::Bytes;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::request::{Request, cut};
use crate::provider::Outcome;
use crate::request::Slice;

/// What the flusher has to do.
#[derive(Debug)]
pub(crate) enum Next<E> {
    /// Start this attempt.
    Start(Attempt<E>),
    /// Nothing before this instant, unless the lane wakes.
    WaitUntil(Instant),
    /// Nothing until the lane wakes.
    Idle,
}

/// One attempt to send one request.
#[derive(Debug)]
pub(crate) struct Attempt<E> {
    pub(crate) id: u64,
    pub(crate) slices: Vec<Slice<E>>,
    /// Present on a retry.
    pub(crate) body: Option<Bytes>,
    pub(crate) max_bytes: usize,
}

/// A body and the events in it.
pub(crate) type Ready<E> = (Bytes, Vec<Slice<E>>);

impl<E> Attempt<E> {
    /// Leaves only the first `events` events.
    pub(crate) fn keep_first(&mut self, events: usize) {
        cut(&mut self.slices, events);
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The provider said so.
    With(Outcome),
    /// Everything was refused while encoding; nothing was sent.
    NothingToSend,
    /// It took longer than an attempt may.
    TimedOut,
    /// The provider's code panicked.
    Panicked,
    /// The task was aborted; nothing is known.
    Aborted,
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Flight<E> {
    pub(super) id: u64,
    pub(super) request: Request<E>,
    pub(super) started: Instant,
    pub(super) task: Option<AbortHandle>,
}
