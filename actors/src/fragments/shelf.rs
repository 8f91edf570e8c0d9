//! The ceiling over what is kept for other lanes, and what goes when it is reached.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::cell::Cell;
use super::content::Content;

/// What is larger than this part of the ceiling is not kept, as a divisor: a few large chunks would
/// push out everything else.
const LARGEST_PART: usize = 4;

/// Entries of what is gone that may stay, beside as many as there are of what is not.
const MOST_GONE: usize = 32;

/// Everything that is kept in one engine, in the order in which it was put there.
///
/// The oldest goes first, whoever still waits for it: so a lane that lags or is dead holds what it will
/// write for itself one day, and the others go on sharing.
#[derive(Debug)]
pub(super) struct Shelf {
    ceiling: usize,
    used: AtomicUsize,
    /// How many contents `used` is for.
    living: AtomicUsize,
    order: Mutex<VecDeque<Entry>>,
}

/// Owns nothing: what is kept belongs to its batch.
#[derive(Debug)]
struct Entry {
    cells: Weak<[Cell]>,
    at: usize,
    content: Weak<Content>,
}

impl Entry {
    fn is_gone(&self) -> bool {
        self.content.strong_count() == 0
    }

    fn evict(&self) {
        let cells = self.cells.upgrade();
        if let Some(cell) = cells.as_ref().and_then(|cells| cells.get(self.at)) {
            cell.evict(|content| Arc::as_ptr(content) == self.content.as_ptr());
        }
    }
}

impl Shelf {
    pub(super) fn new(ceiling: usize) -> Self {
        Self {
            ceiling,
            used: AtomicUsize::new(0),
            living: AtomicUsize::new(0),
            order: Mutex::default(),
        }
    }

    /// How large a content may grow before no event is added any more.
    pub(super) fn largest(&self) -> usize {
        self.ceiling / LARGEST_PART
    }

    /// Makes room for `bytes`, if need be by letting the oldest go. `None`: they will not fit.
    pub(super) fn rent(self: &Arc<Self>, bytes: usize) -> Option<Rent> {
        // its last event may have made it larger than `largest`
        if bytes > self.ceiling / 2 {
            return None;
        }
        let fits = |used: usize| {
            let sum = used.checked_add(bytes)?;
            (sum <= self.ceiling).then_some(sum)
        };
        // relaxed: the number guards no data
        let charge = || {
            let order = Ordering::Relaxed;
            self.used.fetch_update(order, order, fits).is_ok()
        };
        while !charge() {
            let oldest = self.lock().pop_front()?;
            oldest.evict();
        }
        self.living.fetch_add(1, Ordering::Relaxed);
        Some(Rent {
            shelf: Arc::clone(self),
            bytes,
        })
    }

    /// Notes where `content` was put.
    pub(super) fn remember(&self, cells: &Arc<[Cell]>, at: usize, content: &Arc<Content>) {
        let entry = Entry {
            cells: Arc::downgrade(cells),
            at,
            content: Arc::downgrade(content),
        };
        let most = 2 * self.living.load(Ordering::Relaxed) + MOST_GONE;
        let mut gone = Vec::new();
        let mut order = self.lock();
        while order.front().is_some_and(Entry::is_gone) {
            gone.extend(order.pop_front());
        }
        order.push_back(entry);
        if order.len() > most {
            order.retain(|entry| !entry.is_gone());
        }
        drop(order);
        drop(gone);
    }

    /// Bytes that are kept now.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Entries, of what is gone too.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that are given back on drop.
#[derive(Debug)]
pub(super) struct Rent {
    shelf: Arc<Shelf>,
    bytes: usize,
}

impl Drop for Rent {
    fn drop(&mut self) {
        self.shelf.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.shelf.living.fetch_sub(1, Ordering::Relaxed);
    }
}
