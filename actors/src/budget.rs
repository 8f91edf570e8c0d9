//! The byte ceiling over everything the engine holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Bytes in use against a fixed ceiling. Charged at admission, released by [`Charge`]'s drop.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    ceiling: usize,
    /// Callers that wait for room; nobody is notified while it is zero.
    waiting: AtomicUsize,
    room: Notify,
}
