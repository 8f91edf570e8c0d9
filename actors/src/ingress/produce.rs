//! The producers' side: any thread, any number, no runtime.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Ingress;
use super::gate::Duty;
use super::policy::{Limit, Priority};
use super::queue::Admitted;
use crate::hooks::let_go;
use crate::ledger::{DropReason, RefuseReason};
use crate::pulse::here;
use crate::sync::Ordering;

/// Threads that may be emptying a place of the ring at the same time: the consumer, and callers who evict.
const POPS_UNDER_WAY: usize = 16;

/// An event that was not taken in, given back.
#[derive(Debug)]
pub(crate) struct Refused<E> {
    pub(crate) event: E,
    pub(crate) reason: RefuseReason,
}

/// What is known of an event that asks for room.
#[derive(Clone, Copy, Debug)]
struct Admission {
    weight: u32,
    priority: Priority,
    limit: Limit,
}

/// Room for one event in the ring and in the budget, for the event that it was reserved for.
///
/// Given back when it is dropped.
#[must_use = "it holds room until it is filled or dropped"]
pub struct Place<'a, E> {
    ingress: &'a Ingress<E>,
    weight: u32,
    priority: Priority,
}

impl<E> Place<'_, E> {
    /// Puts the event in. Should others have filled the ring meanwhile, it is treated as by
    /// [`Sender::try_send`](crate::Sender::try_send).
    #[expect(
        clippy::inline_always,
        reason = "each call in between would copy the event once more"
    )]
    #[inline(always)]
    pub fn fill(self, event: E) {
        let Self {
            ingress,
            weight,
            priority,
        } = *ManuallyDrop::new(self);
        if let Err(back) = ingress.put(Admitted::new(event, weight, priority)) {
            ingress.full_after_all(back);
        }
    }
}

impl<E> Drop for Place<'_, E> {
    fn drop(&mut self) {
        self.ingress.budget.release(self.weight as usize);
    }
}

impl<E> std::fmt::Debug for Place<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("weight", &self.weight)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

/// What a panic leaves behind.
type Panic = Box<dyn std::any::Any + Send>;

impl<E> Ingress<E> {
    /// Takes an event in, or gives it back at once. Never blocks, locks, allocates or needs a runtime.
    #[inline]
    pub(crate) fn try_push(&self, event: E) -> Result<(), Refused<E>> {
        let admission = match self.inspect(&event) {
            Ok(known) => known,
            Err(reason) => return Err(self.refuse(event, reason)),
        };
        match self.offer(event, admission) {
            Ok(()) => Ok(()),
            Err(event) => self.push_full(event, admission),
        }
    }

    /// A place for the event, if it can be had at once.
    #[inline]
    pub(crate) fn reserve(&self, event: &E) -> Option<Place<'_, E>> {
        let admission = self.inspect(event).ok()?;
        self.admits(admission).then(|| Place {
            ingress: self,
            weight: admission.weight,
            priority: admission.priority,
        })
    }

    /// Others took the last places between the look and the push.
    #[cold]
    fn full_after_all(&self, back: Admitted<E>) {
        self.budget.release(back.weight as usize);
        // as if it came now: the policy may make room
        drop(self.try_push(back.event));
    }

    #[cold]
    fn push_full(&self, event: E, admission: Admission) -> Result<(), Refused<E>> {
        if admission.limit.evicts {
            self.push_evicting(event, admission)
        } else {
            Err(self.refuse(event, RefuseReason::Full))
        }
    }

    /// Takes an event in, waiting for room if there is none. Closing ends the wait with a refusal.
    ///
    /// Never evicts, whatever the overflow policy. Works on any executor. Dropping the future drops the
    /// event, which then counts as neither accepted nor refused.
    pub(crate) async fn push_wait(&self, event: E) -> Result<(), Refused<E>> {
        let admission = match self.inspect(&event) {
            Ok(known) => known,
            Err(reason) => return Err(self.refuse(event, reason)),
        };
        let mut waiting = match self.offer(event, admission) {
            Ok(()) => return Ok(()),
            // nobody would ever make room
            Err(event) if self.is_forked() => {
                return Err(self.refuse(event, RefuseReason::Forked));
            }
            Err(event) => Some(event),
        };
        let attempt = || {
            let event = waiting.take()?;
            if self.is_closed() {
                return Some(Err(self.refuse(event, RefuseReason::Closed)));
            }
            match self.offer(event, admission) {
                Ok(()) => Some(Ok(())),
                Err(event) => {
                    waiting = Some(event);
                    None
                }
            }
        };
        self.budget.room().until(attempt).await
    }

    /// What an event may use up, or why it cannot be taken in.
    #[inline]
    fn inspect(&self, event: &E) -> Result<Admission, RefuseReason> {
        // Relaxed: a push that does not see a close which happens at the same time is dealt with by
        // the gate.
        if self.closed.load(Ordering::Relaxed) {
            return Err(RefuseReason::Closed);
        }
        let (weight, priority) = self.judge(event).ok_or(RefuseReason::TooLarge)?;
        let limit = self
            .overflow
            .limit(priority, self.queue.capacity(), self.budget.ceiling());
        match u32::try_from(weight) {
            Ok(weight) if weight as usize <= limit.bytes => Ok(Admission {
                weight,
                priority,
                limit,
            }),
            _ => Err(RefuseReason::TooLarge),
        }
    }

    /// Weight and priority; none if the weigher panics, which must not take the caller along. The weight
    /// is never zero: the ceiling would bound nothing.
    #[inline]
    fn judge(&self, event: &E) -> Option<(usize, Priority)> {
        let both = || {
            let priority = self.priority.map_or(Priority::Normal, |of| of(event));
            ((self.weigh)(event), priority)
        };
        let (weight, priority) = if self.trusted {
            both()
        } else {
            match catch_unwind(AssertUnwindSafe(both)) {
                Ok(known) => known,
                Err(panic) => self.judge_apart(event, panic)?,
            }
        };
        Some((weight.max(1), priority))
    }

    /// One of the two panicked: the priority is not worth losing the event for.
    #[cold]
    fn judge_apart(&self, event: &E, panic: Panic) -> Option<(usize, Priority)> {
        let_go(panic);
        let priority = self.priority_of(event);
        match catch_unwind(AssertUnwindSafe(|| (self.weigh)(event))) {
            Ok(weight) => Some((weight, priority)),
            Err(panic) => {
                let_go(panic);
                None
            }
        }
    }

    /// A priority function that panics must not take the caller along.
    pub(crate) fn priority_of(&self, event: &E) -> Priority {
        let Some(priority) = self.priority else {
            return Priority::Normal;
        };
        catch_unwind(AssertUnwindSafe(|| priority(event))).unwrap_or_else(|panic| {
            let_go(panic);
            Priority::Normal
        })
    }

    /// Takes an event in if there is room for it.
    #[inline]
    fn offer(&self, event: E, admission: Admission) -> Result<(), E> {
        if !self.admits(admission) {
            return Err(event);
        }
        let Admission {
            weight, priority, ..
        } = admission;
        self.put(Admitted::new(event, weight, priority))
            .map_err(|back| {
                self.budget.release(weight as usize);
                back.event
            })
    }

    /// Announces and pushes what was admitted.
    #[expect(
        clippy::inline_always,
        reason = "each call in between would copy the event once more"
    )]
    #[inline(always)]
    fn put(&self, admitted: Admitted<E>) -> Result<(), Admitted<E>> {
        let duty = self.budget.gate().announce();
        let pushed = self.queue.push(admitted);
        if pushed.is_err() {
            self.budget.gate().withdraw();
        }
        if duty != Duty::Nothing || self.budget.gate().seems_gone() {
            self.attend(duty);
        }
        pushed
    }

    /// Charges the budget, unless there is no room.
    #[inline]
    fn admits(&self, admission: Admission) -> bool {
        let Admission { weight, limit, .. } = admission;
        // Looking first keeps a producer from pushing into a full ring, where it would spin until a
        // consumer that was preempted in the middle of a pop goes on; and it keeps one who waits for a
        // place from waking itself by giving the charge back.
        let held = self.queue.len();
        held < limit.places
            && !self.may_wait_for_the_lost(held)
            && self.budget.try_charge_within(weight as usize, limit.bytes)
    }

    /// Whether a push into a ring that holds `held` events could meet a place that a thread was emptying
    /// when the process forked: the push would spin until that thread goes on, which it never does in a
    /// child. Those are the last places before the ring is full, so that only then is it asked.
    fn may_wait_for_the_lost(&self, held: usize) -> bool {
        held + POPS_UNDER_WAY >= self.queue.capacity() && self.is_forked()
    }

    /// What is left to do once an event was pushed.
    #[cold]
    fn attend(&self, duty: Duty) {
        match duty {
            Duty::Wake if self.is_forked() => {}
            Duty::Wake => {
                self.pulses.buffer.call(here());
                self.consumer.wake.notify_one();
            }
            Duty::Look => {
                self.is_forked();
            }
            Duty::Nothing | Duty::Sweep => {}
        }
        if self.budget.gate().seems_gone() {
            self.sweep();
        }
    }

    /// Drops the least wanted events of the ring until `event` fits.
    #[cold]
    fn push_evicting(&self, mut event: E, admission: Admission) -> Result<(), Refused<E>> {
        if self.is_forked() {
            return Err(self.refuse(event, RefuseReason::Forked));
        }
        // Other producers may refill the ring meanwhile; the bound keeps the call finite.
        for _ in 0..self.queue.capacity() {
            let least = self.queue.pop_least();
            let was_empty = least.is_none();
            if let Some(least) = least {
                self.discard(least, DropReason::Overflow);
                self.alert.losing();
            }
            match self.offer(event, admission) {
                Ok(()) => return Ok(()),
                Err(back) => event = back,
            }
            if was_empty {
                break;
            }
        }
        Err(self.refuse(event, RefuseReason::Full))
    }

    #[cold]
    pub(crate) fn refuse(&self, event: E, reason: RefuseReason) -> Refused<E> {
        let reason = match reason {
            RefuseReason::Full if self.is_forked() => RefuseReason::Forked,
            RefuseReason::Closed if self.origin.is_known_to_be_elsewhere() => RefuseReason::Forked,
            reason => reason,
        };
        self.refused.add(reason, 1);
        if matches!(reason, RefuseReason::Full | RefuseReason::TooLarge) {
            self.alert.losing();
        }
        Refused { event, reason }
    }
}
