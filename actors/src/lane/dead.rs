//! What dies in a lane, and what comes back to it.

use std::sync::Arc;

use super::Lane;
use super::state::State;
use crate::dead_letters::{Dead, DeadReason, Store};
use crate::ledger::{DropReason, RejectReason};
use crate::provider::Cause;
use crate::request::Slice;

/// Events that just died, and events on their way back. Under the lane's lock.
#[derive(Debug)]
pub(super) struct Deaths<E> {
    kept: bool,
    /// To be copied once the lock is free.
    found: Vec<Dead<E>>,
    /// Rounds of copying that are under way: a flush must not end before them.
    burying: usize,
    /// Redriven events that are between the store and this lane.
    on_the_way: u64,
    on_the_way_bytes: usize,
}

impl<E> Default for Deaths<E> {
    fn default() -> Self {
        Self {
            kept: false,
            found: Vec::new(),
            burying: 0,
            on_the_way: 0,
            on_the_way_bytes: 0,
        }
    }
}

impl<E> Deaths<E> {
    /// All of `slices` died.
    pub(super) fn all(&mut self, slices: &[Slice<E>], reason: DeadReason, cause: Option<&Cause>) {
        if !self.kept {
            return;
        }
        let cause = || cause.cloned().unwrap_or(Cause::new("unknown"));
        self.found.extend(slices.iter().map(|slice| Dead {
            slice: slice.clone(),
            reason,
            cause: cause(),
        }));
    }

    /// The event at `position` of `slices` was refused.
    pub(super) fn one(
        &mut self,
        slices: &[Slice<E>],
        position: usize,
        reason: RejectReason,
        how: &'static str,
    ) {
        let mut left = position;
        for slice in slices.iter().filter(|_| self.kept) {
            if left < slice.len() {
                let mut slice = slice.clone();
                let at = slice.range.start + left;
                slice.range = at..at + 1;
                self.found.push(Dead {
                    slice,
                    reason: DeadReason::Rejected(reason),
                    cause: Cause::new(how),
                });
                return;
            }
            left -= slice.len();
        }
    }

    /// Takes what has to be copied; [`Lane::bury`] has to follow if that is anything.
    pub(super) fn take(&mut self) -> Vec<Dead<E>> {
        self.burying += usize::from(!self.found.is_empty());
        std::mem::take(&mut self.found)
    }

    pub(super) fn are_being_buried(&self) -> bool {
        self.burying > 0
    }

    pub(super) fn on_the_way(&self) -> u64 {
        self.on_the_way
    }

    fn leave_the_way(&mut self, events: u64, bytes: usize) {
        self.on_the_way -= events;
        self.on_the_way_bytes -= bytes;
    }
}

impl<E> State<E> {
    /// Redriven events were offered: they were counted when they left the store, and are no share of
    /// what was accepted.
    pub(super) fn came_back(&mut self, slices: &[Slice<E>]) {
        let (events, bytes) = total(slices);
        self.deaths.leave_the_way(events, bytes);
        self.counts.offered -= events;
    }
}

impl<E: Send + Sync + 'static> Lane<E> {
    /// Keeps what dies here in `store`.
    pub(crate) fn with_dead_letters(mut self, store: Arc<Store<E>>) -> Self {
        self.lock().deaths.kept = true;
        self.dead_letters = Some(store);
        self
    }

    /// Copies what died. Runs code of others.
    pub(super) fn bury(&self, dead: &[Dead<E>]) {
        if dead.is_empty() {
            return;
        }
        if let Some(store) = &self.dead_letters {
            store.add(dead);
        }
        self.lock().deaths.burying -= 1;
        self.settled.notify_waiters();
    }

    /// Whether a redriven event of `bytes` would push nothing out, behind others of `before`. As with
    /// batches, an empty lane takes one whatever its size.
    pub(crate) fn has_room(&self, before: usize, bytes: usize) -> bool {
        let state = self.lock();
        let held = before + state.holdings.bytes() + state.deaths.on_the_way_bytes;
        held == 0 || held.saturating_add(bytes) <= self.max_bytes
    }

    /// `events` that died here are on their way back. From now on this lane accounts for them.
    pub(crate) fn expect_back(&self, events: u64, bytes: usize) {
        let mut state = self.lock();
        state.counts.redriven += events;
        state.deaths.on_the_way += events;
        state.deaths.on_the_way_bytes += bytes;
    }

    /// What was on its way back was given up before it came here.
    pub(crate) fn lost_on_the_way(&self, slices: &[Slice<E>], reason: DropReason) {
        let (events, bytes) = total(slices);
        let mut state = self.lock();
        state.deaths.leave_the_way(events, bytes);
        state.counts.dropped.add(reason, events);
    }

    /// Dead letters that are kept for this lane.
    pub(super) fn kept_letters(&self) -> u64 {
        self.dead_letters.as_ref().map_or(0, |store| store.len())
    }
}

fn total<E>(slices: &[Slice<E>]) -> (u64, usize) {
    let events: usize = slices.iter().map(Slice::len).sum();
    (events as u64, slices.iter().map(Slice::weight).sum())
}
