//! The consumer's side: one at a time, and a successor can go on where it stopped.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Ingress;
use super::gate::Seen;
use super::policy::Priority;
use crate::ledger::DropReason;

/// How often whoever ends the ingress looks for pushes under way before it leaves them to the accounts.
const LAST_LOOKS: u32 = if cfg!(pg_loom) { 0 } else { 1024 };

/// Events that were taken off the ring, in order, and what is known of each.
#[derive(Debug)]
pub(crate) struct Drained<E> {
    pub(crate) events: Vec<E>,
    /// The bytes that are charged for each, and how much it matters.
    pub(crate) charges: Vec<(u32, Priority)>,
}

impl<E> Default for Drained<E> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            charges: Vec::new(),
        }
    }
}

impl<E> Drained<E> {
    pub(crate) fn len(&self) -> usize {
        self.charges.len()
    }

    /// Exactly: what holds the events may become a batch.
    fn reserve(&mut self, events: usize) {
        self.events.reserve_exact(events);
        self.charges.reserve(events);
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, at: usize) -> (E, usize) {
        let (weight, _) = self.charges.remove(at);
        (self.events.remove(at), weight as usize)
    }

    /// The bytes that are charged for all of them.
    pub(crate) fn weight(&self) -> usize {
        self.charges
            .iter()
            .map(|(weight, _)| *weight as usize)
            .sum()
    }
}

/// How long a consumer that found too little to do wants to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Park {
    /// Until there is an event.
    Idle,
    /// Until there are `threshold` events in the ring. The consumer sets itself a timer as well.
    Linger { threshold: usize },
}

impl<E> Ingress<E> {
    /// Hands up to `max` events, oldest first, with their weights and priorities to `sink`; how many
    /// there were.
    ///
    /// The bytes stay charged: they are the sink's to release. A panic in `sink` loses the event it was
    /// given, which counts as drained, and nothing else. A call while another one drains does nothing.
    pub(crate) fn drain(&self, max: usize, mut sink: impl FnMut(E, usize, Priority)) -> usize {
        let Some(mut turn) = Turn::take(self) else {
            return 0;
        };
        while turn.taken < max {
            let Some(admitted) = self.queue.pop() else {
                break;
            };
            turn.count(1);
            let priority = admitted.priority();
            sink(admitted.event, admitted.weight as usize, priority);
        }
        turn.taken
    }

    /// The same into `out`, a few at a time: it saves each event the way through a sink.
    pub(crate) fn drain_into(&self, max: usize, out: &mut Drained<E>) -> usize {
        let Some(mut turn) = Turn::take(self) else {
            return 0;
        };
        out.reserve(max.min(self.queue.len()));
        let before = out.len();
        while out.len() - before < max
            && let Some(admitted) = self.queue.pop()
        {
            let priority = admitted.priority();
            out.charges.push((admitted.weight, priority));
            out.events.push(admitted.event);
        }
        turn.count(out.len() - before);
        turn.taken
    }

    /// Parks. False, and running again, if there is work now: drain again.
    ///
    /// After true the consumer awaits [`Ingress::wake`], and its own timer if it lingers, and then calls
    /// [`Ingress::unpark`]. Never true once closed: drain what is left, then [`Ingress::finish`].
    pub(crate) fn park(&self, mode: Park) -> bool {
        let threshold = match mode {
            Park::Idle => 1,
            Park::Linger { threshold } => threshold,
        };
        self.budget.gate().park(threshold, || self.look())
    }

    /// Resolves when a producer or [`Ingress::close`] wakes the consumer; sometimes for nothing.
    pub(crate) fn wake(&self) -> impl Future<Output = ()> + '_ {
        self.consumer.wake.notified()
    }

    /// Wakes the consumer for something that is not in the ring.
    pub(crate) fn prod(&self) {
        self.consumer.wake.notify_one();
    }

    /// Runs again, for whatever reason.
    pub(crate) fn unpark(&self) {
        self.budget.gate().unpark();
    }

    /// Refuses new events from now on. The consumer, who is woken, goes on with what is in the ring.
    pub(crate) fn close(&self) {
        self.closed.store(true, crate::sync::Ordering::Release);
        self.budget.gate().close();
        self.consumer.wake.notify_one();
        self.budget.room().wake_all();
    }

    /// Leaves for good if the ingress is closed and everything accepted so far has been drained.
    ///
    /// False: not closed, or there is more to drain. After true, an event of a push that had begun
    /// before the close is dropped as abandoned by its own producer.
    pub(crate) fn try_finish(&self) -> bool {
        self.budget.gate().leave_if(|| self.look())
    }

    /// Leaves for good: closes, and counts what is left in the ring as dropped for `reason`.
    pub(crate) fn finish(&self, reason: DropReason) {
        self.close();
        self.closing.set(reason);
        self.budget.gate().leave();
        self.sweep();
        for _ in 0..LAST_LOOKS {
            if self.unaccounted() == 0 {
                break;
            }
            // in the middle of a push
            std::hint::spin_loop();
            self.sweep();
        }
    }

    /// What was taken, and then what waits: in this order nothing is seen twice.
    fn look(&self) -> Seen {
        let taken = self.drained() + self.given_up();
        Seen {
            taken,
            waiting: self.queue.len(),
        }
    }
}

/// The right to drain, for the length of one call; given back and settled even if the sink panics.
struct Turn<'a, E> {
    ingress: &'a Ingress<E>,
    taken: usize,
}

impl<'a, E> Turn<'a, E> {
    fn take(ingress: &'a Ingress<E>) -> Option<Self> {
        let busy: &AtomicBool = &ingress.consumer.busy;
        (!busy.swap(true, Ordering::Acquire)).then_some(Self { ingress, taken: 0 })
    }

    /// Counts events before anybody sees them, so that no report is ahead of `drained`.
    fn count(&mut self, events: usize) {
        self.taken += events;
        // Only the holder of the turn writes, so this needs no read-modify-write.
        let drained = &self.ingress.consumer.drained;
        let sum = drained.load(Ordering::Relaxed) + events as u64;
        drained.store(sum, Ordering::Release);
    }
}

impl<E> Drop for Turn<'_, E> {
    fn drop(&mut self) {
        self.ingress.consumer.busy.store(false, Ordering::Release);
        if self.ingress.queue.looks_ahead() && self.ingress.budget.gate().is_gone() {
            // what was put back meanwhile was in nobody's reach for the sweep of `finish`
            let sweep = || self.ingress.sweep();
            let _ = catch_unwind(AssertUnwindSafe(sweep));
        }
        if self.taken > 0 {
            self.ingress.budget.room().freed();
        }
    }
}
