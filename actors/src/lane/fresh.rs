//! What waits for its first attempt.

use std::collections::VecDeque;

use crate::request::{BatchId, Slice};

/// Slices that were never tried, by urgency, each in the order in which they were taken in.
///
/// Two queues make it cheap to find the least wanted, and keep one slice for a whole batch. Requests
/// take from both, so that what goes out is in the order of what came in.
#[derive(Debug)]
pub(super) struct Fresh<E> {
    normal: VecDeque<Slice<E>>,
    urgent: VecDeque<Slice<E>>,
}

impl<E> Default for Fresh<E> {
    fn default() -> Self {
        Self {
            normal: VecDeque::new(),
            urgent: VecDeque::new(),
        }
    }
}

impl<E> Fresh<E> {
    pub(super) fn is_empty(&self) -> bool {
        self.normal.is_empty() && self.urgent.is_empty()
    }

    /// The one that stands first.
    pub(super) fn front(&self) -> Option<&Slice<E>> {
        let fronts = self.normal.front().into_iter().chain(self.urgent.front());
        fronts.min_by_key(|slice| slice.place())
    }

    /// All of them, by urgency.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Slice<E>> {
        self.normal.iter().chain(&self.urgent)
    }

    /// Those of one urgency, in order.
    pub(super) fn of(&self, urgent: bool) -> &VecDeque<Slice<E>> {
        if urgent { &self.urgent } else { &self.normal }
    }

    fn of_mut(&mut self, urgent: bool) -> &mut VecDeque<Slice<E>> {
        if urgent {
            &mut self.urgent
        } else {
            &mut self.normal
        }
    }

    /// Puts a slice in that is younger than all others of its urgency.
    pub(super) fn push_back(&mut self, slice: Slice<E>) {
        self.of_mut(slice.urgent).push_back(slice);
    }

    /// Takes up to `max` events from the front, in order.
    pub(super) fn take(&mut self, max: usize) -> Vec<Slice<E>> {
        let mut taken = Vec::new();
        let mut left = max;
        if let Some(first) = self.front() {
            // they are of about the same size
            let about = max.div_ceil(first.len().max(1));
            taken.reserve(about.min(self.normal.len() + self.urgent.len()));
        }
        while left > 0 {
            let Some(mut slice) = self.pop_front() else {
                break;
            };
            let queue = self.of_mut(slice.urgent);
            if slice.len() > left {
                queue.push_front(slice.split_off(left));
            }
            left -= slice.len();
            taken.push(slice);
        }
        taken
    }

    /// Takes the run of events that stands first: up to where one of the other urgency comes in.
    fn pop_front(&mut self) -> Option<Slice<E>> {
        let urgent = self.front()?.urgent;
        let until = self.of(!urgent).front().map(Slice::place);
        let queue = self.of_mut(urgent);
        let mut slice = queue.pop_front()?;
        let run = until.map_or(slice.len(), |place| slice.before(place));
        if run < slice.len() {
            queue.push_front(slice.split_off(run.max(1)));
        }
        Some(slice)
    }

    /// Puts slices back to where they came from. Order is kept also when several requests were taken
    /// at once. Nearly always that is the front.
    pub(super) fn put_back(&mut self, slices: Vec<Slice<E>>) {
        for slice in slices.into_iter().rev() {
            let queue = self.of_mut(slice.urgent);
            let place = slice.place();
            let at = queue.iter().position(|other| other.place() > place);
            queue.insert(at.unwrap_or(queue.len()), slice);
        }
    }

    /// Takes every slice of one batch out; `events` is how many of its events are here at most.
    pub(super) fn remove(&mut self, batch: BatchId, urgent: bool, events: usize) -> Vec<Slice<E>> {
        let queue = self.of_mut(urgent);
        let mut removed = Vec::new();
        let mut left = events;
        // what has to go is nearly always the oldest or the newest
        while left > 0 && queue.front().is_some_and(|slice| slice.id() == batch) {
            removed.extend(queue.pop_front());
            left = events - removed.iter().map(Slice::len).sum::<usize>();
        }
        while left > 0 && queue.back().is_some_and(|slice| slice.id() == batch) {
            removed.extend(queue.pop_back());
            left = events - removed.iter().map(Slice::len).sum::<usize>();
        }
        if left > 0 {
            let (gone, kept) = std::mem::take(queue)
                .into_iter()
                .partition(|slice| slice.id() == batch);
            *queue = kept;
            removed.extend::<VecDeque<_>>(gone);
        }
        removed
    }
}

impl<E> IntoIterator for Fresh<E> {
    type Item = Slice<E>;
    type IntoIter = std::iter::Chain<
        std::collections::vec_deque::IntoIter<Slice<E>>,
        std::collections::vec_deque::IntoIter<Slice<E>>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.normal.into_iter().chain(self.urgent)
    }
}
