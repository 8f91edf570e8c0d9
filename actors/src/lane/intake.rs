//! What a lane takes over, and what it gives up when it is full.

use super::request::Request;
use super::state::State;
use crate::ingress::Overflow;
use crate::ledger::DropReason;
use crate::request::Slice;

impl<E> State<E> {
    /// Returns whether something was given up.
    pub(super) fn offer(&mut self, slice: Slice<E>, max_bytes: usize, overflow: Overflow) -> bool {
        let events = slice.len() as u64;
        self.counts.offered += events;
        if let Some(reason) = self.closed {
            self.counts.dropped.add(reason, events);
            self.garbage.push(slice);
            return true;
        }
        self.counts.pending += events;
        self.counts.pending_bytes += slice.weight();
        self.fresh.push_back(slice);
        let mut evicted = false;
        // one batch is always taken, whatever its size: it could never be delivered otherwise
        while self.counts.pending_bytes > max_bytes && self.parts() > 1 {
            let Some(request) = self.evict(overflow) else {
                break;
            };
            let events = request.len() as u64;
            self.counts.dropped.add(DropReason::Overflow, events);
            self.evicted.add(events);
            self.let_go(request);
            evicted = true;
        }
        evicted
    }

    fn parts(&self) -> usize {
        self.fresh.len() + self.again.len() + self.flights.len()
    }

    /// Takes the least wanted out, by policy. What was tried before goes last: without it the next attempt
    /// would not know that it has to wait.
    fn evict(&mut self, overflow: Overflow) -> Option<Request<E>> {
        let slice = match overflow {
            Overflow::DropNewest => self.fresh.pop_back(),
            Overflow::ByPriority => {
                let first = self.fresh.iter().position(|s| !s.urgent).unwrap_or(0);
                self.fresh.remove(first)
            }
            _ => self.fresh.pop_front(),
        };
        match slice {
            Some(slice) => Some(Request::new(vec![slice])),
            None => self.again.pop_back(),
        }
    }
}
