//! What a lane takes over, and what it gives up when it is full.
//!
//! Whole batches are given up, never a part of one: a part would free nothing. For the same reason a
//! batch of which something is in flight stays. What the lane keeps alive is never more than its
//! share, or one batch if that is larger: it grows by what comes in only, and what came in is given
//! up at the latest.

use super::holdings::Pin;
use super::state::State;
use crate::ingress::Overflow;
use crate::ledger::DropReason;
use crate::request::{BatchId, Slice};

/// Which batches may be given up.
#[derive(Clone, Copy)]
struct Choice<'a> {
    /// Something of them is in flight; sorted.
    flying: &'a [BatchId],
    /// The last batch of the request that waits at the head: without it the next attempt would not
    /// know that it has to wait.
    head: Option<BatchId>,
    /// The number of what came in just now: it goes last.
    newest: u64,
    /// Only those of this urgency.
    urgent: Option<bool>,
}

impl Choice<'_> {
    fn allows(self, batch: BatchId, urgent: bool) -> bool {
        self.urgent.is_none_or(|wanted| wanted == urgent)
            && self.head != Some(batch)
            && self.flying.binary_search(&batch).is_err()
    }

    fn allows_slice<E>(self, slice: &Slice<E>) -> bool {
        self.allows(slice.id(), slice.urgent)
    }
}

impl<E> State<E> {
    /// Takes a slice over. False: the lane is closed, and gave it up.
    pub(super) fn take_in(&mut self, slice: Slice<E>) -> bool {
        let events = slice.len() as u64;
        self.counts.offered += events;
        if let Some(reason) = self.closed {
            self.counts.dropped.add(reason, events);
            self.garbage.push(slice);
            return false;
        }
        self.counts.pending += events;
        self.counts.pending_bytes += slice.weight();
        self.holdings.hold(&slice);
        self.fresh.push_back(slice);
        true
    }

    /// Gives batches up until what is kept alive is within `max_bytes`; `newest` is the number of what
    /// came in just now. Returns whether something was given up.
    pub(super) fn make_room(&mut self, max_bytes: usize, overflow: Overflow, newest: u64) -> bool {
        if self.holdings.bytes() <= max_bytes {
            return false;
        }
        let flights = self.flights.iter().flat_map(|f| &f.request.slices);
        let mut flying: Vec<_> = flights.map(Slice::id).collect();
        flying.sort_unstable();
        flying.dedup();
        let mut evicted = false;
        // one batch is always taken, whatever its size: it could never be delivered otherwise
        while self.holdings.bytes() > max_bytes && self.holdings.batches() > 1 {
            let choice = Choice {
                flying: &flying,
                head: self.head(),
                newest,
                urgent: None,
            };
            let Some(pin) = self.least_wanted(overflow, choice) else {
                break;
            };
            if self.give_up(pin) == 0 {
                // a choice that frees nothing would be made for ever
                debug_assert!(false, "nothing of {pin:?} could be given up");
                break;
            }
            evicted = true;
        }
        evicted
    }

    /// The only batch of the request that waits in front, while nothing in flight knows of a failure.
    fn head(&self) -> Option<BatchId> {
        let request = self.again.front().filter(|_| self.flights.is_empty())?;
        let first = request.slices.first()?.id();
        let alone = request.slices.iter().all(|slice| slice.id() == first);
        alone.then_some(first)
    }

    fn least_wanted(&self, overflow: Overflow, choice: Choice<'_>) -> Option<Pin> {
        let of = |urgent| Choice {
            urgent: Some(urgent),
            ..choice
        };
        match overflow {
            Overflow::DropNewest => self.youngest(choice),
            Overflow::DropOldest => self.oldest_of(choice),
            Overflow::ByPriority => self
                .oldest_of(of(false))
                .or_else(|| self.oldest_of(of(true))),
        }
    }

    /// What came in last, of what was never tried.
    fn youngest(&self, choice: Choice<'_>) -> Option<Pin> {
        let last = |urgent| {
            let mut queue = self.fresh.of(urgent).iter().rev();
            queue.find(|slice| choice.allows_slice(slice))
        };
        let slices = last(false).into_iter().chain(last(true));
        let slice = slices.max_by_key(|slice| slice.place())?;
        self.holdings.of(slice).copied()
    }

    /// What is left of a batch that is mostly gone, which costs few events and frees many bytes; then
    /// the oldest that was never tried, the oldest that was, and what came in just now.
    fn oldest_of(&self, choice: Choice<'_>) -> Option<Pin> {
        let mut thin = self.holdings.thin();
        if let Some(thin) = thin.find(|pin| choice.allows(pin.batch, pin.urgent)) {
            return Some(*thin);
        }
        let first = |urgent, newest: bool| {
            let mut queue = self.fresh.of(urgent).iter();
            queue.find(|s| (s.number() == choice.newest) == newest && choice.allows_slice(s))
        };
        let fresh = |newest| {
            let slices = first(false, newest).into_iter().chain(first(true, newest));
            slices.min_by_key(|slice| slice.place())
        };
        // with several in flight, what failed last stands first
        let again = || {
            let slices = self.again.iter().flat_map(|request| &request.slices);
            let allowed = slices.filter(|slice| choice.allows_slice(slice));
            allowed.min_by_key(|slice| slice.place())
        };
        let slice = fresh(false).or_else(again).or_else(|| fresh(true))?;
        self.holdings.of(slice).copied()
    }

    /// Takes everything of one batch out, and counts it; how many events that were.
    fn give_up(&mut self, pin: Pin) -> usize {
        let mut slices = self.fresh.remove(pin.batch, pin.urgent, pin.left);
        let here: usize = slices.iter().map(Slice::len).sum();
        if here < pin.left {
            for request in &mut self.again {
                slices.extend(request.remove(pin.batch));
            }
            self.again.retain(|request| !request.slices.is_empty());
        }
        let events: usize = slices.iter().map(Slice::len).sum();
        self.counts.dropped.add(DropReason::Overflow, events as u64);
        self.evicted.add(events as u64);
        self.let_go_of(slices);
        events
    }
}
