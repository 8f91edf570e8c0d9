//! The bounded queue between `Buffer` and `FanOut`. It belongs to no actor, so it survives theirs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::pulse::Pulses;

/// A bounded queue with a notice for each side.
#[derive(Debug)]
pub(crate) struct Handoff<T> {
    queue: Mutex<VecDeque<T>>,
    capacity: usize,
    /// Something was put in.
    pub(crate) ready: Notify,
    /// Something was taken out.
    pub(crate) room: Notify,
    /// What each side owes the other.
    pub(crate) pulses: Arc<Pulses>,
}

impl<T> Handoff<T> {
    pub(crate) fn new(capacity: usize, pulses: Arc<Pulses>) -> Self {
        Self {
            queue: Mutex::new(VecDeque::with_capacity(capacity)),
            capacity,
            ready: Notify::new(),
            room: Notify::new(),
            pulses,
        }
    }

    /// Moves items over from the front of `from` until either is exhausted.
    pub(crate) fn fill(&self, from: &mut VecDeque<T>) {
        let mut queue = self.lock();
        let n = from.len().min(self.capacity.saturating_sub(queue.len()));
        queue.extend(from.drain(..n));
        drop(queue);
        if n > 0 {
            self.pulses.fan_out.call(Instant::now());
            self.ready.notify_one();
        }
    }

    /// Takes one item, if it is `wanted`, and hands it to `route` before anyone else can look: an
    /// observer sees it either in the queue or where `route` put it, never in between.
    pub(crate) fn route_one_if<R>(
        &self,
        wanted: impl FnOnce(&T) -> bool,
        route: impl FnOnce(T) -> R,
    ) -> Option<R> {
        let mut queue = self.lock();
        if !wanted(queue.front()?) {
            return None;
        }
        let result = route(queue.pop_front()?);
        drop(queue);
        self.pulses.room();
        self.room.notify_one();
        Some(result)
    }

    /// Looks at the item that comes next, which stays where it is.
    pub(crate) fn next<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.lock().front().map(look)
    }

    /// Whether something would fit.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().len() < self.capacity
    }

    /// Runs `look` over everything that waits.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&VecDeque<T>) -> R) -> R {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_stays_with_the_sender() {
        let handoff = Handoff::new(2, Arc::default());
        let mut from = VecDeque::from([1, 2, 3]);
        handoff.fill(&mut from);
        assert_eq!(from, [3]);
        let mut seen = Vec::new();
        let mut route = |wanted: i32| handoff.route_one_if(|n| *n <= wanted, |n| seen.push(n));
        assert!(route(1).is_some() && route(1).is_none() && route(2).is_some());
        assert!(route(9).is_none());
        handoff.fill(&mut from);
        assert!(from.is_empty() && handoff.next(|n| *n) == Some(3));
        assert!(route(9).is_some());
        assert_eq!(seen, [1, 2, 3]);
    }
}
