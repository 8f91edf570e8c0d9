//! Where admitted events wait for the consumer: one ring, or one for each priority.
//!
//! Under [`Overflow::ByPriority`](super::Overflow::ByPriority) a high event that finds everything full
//! makes room by dropping the oldest normal one. A ring gives up its head and nothing else, so normal
//! and high events need a ring each; stamps tell the consumer in which order to merge them.
//!
//! Why one thread's events come out in its order: it pushes the older event before the younger one, in
//! whichever ring. The consumer compares the heads of both rings, and when it has one head only, it
//! looks at the other ring *after* it got that head: the push of anything that the same thread pushed
//! before is visible then. Events of different threads may swap places if one thread is preempted
//! between its stamp and its push, as they may before the stamp.

use super::policy::Priority;
use crate::sync::{AtomicU32, Ordering, Padded, Ring};

/// Places beyond the capacity. Producers look whether there is room and then push; those who looked at
/// the same time find room nevertheless.
const SPARE: usize = if cfg!(pg_loom) { 0 } else { 64 };

/// An event in a ring with the bytes it was charged.
pub(super) struct Admitted<E> {
    pub(super) event: E,
    pub(super) weight: u32,
    /// Twice the position in the order of admission, plus one for a high event. Wraps around.
    pub(super) stamp: u32,
}

impl<E> Admitted<E> {
    #[expect(
        clippy::inline_always,
        reason = "each call in between would copy the event once more"
    )]
    #[inline(always)]
    pub(super) fn new(event: E, weight: u32, priority: Priority) -> Self {
        Self {
            event,
            weight,
            stamp: u32::from(priority == Priority::High),
        }
    }

    pub(super) fn priority(&self) -> Priority {
        if self.stamp & 1 == 1 {
            Priority::High
        } else {
            Priority::Normal
        }
    }

    /// Whether it was admitted before `other`, if fewer than 2^30 are in between.
    fn is_before(&self, other: &Self) -> bool {
        self.stamp.wrapping_sub(other.stamp) > u32::MAX / 2
    }
}

/// One ring, or one for each priority.
pub(super) struct Queue<E> {
    /// Everything, or what is normal.
    ring: Ring<Admitted<E>>,
    high: Option<High<E>>,
    capacity: usize,
}

/// What it takes to keep high events apart.
struct High<E> {
    ring: Ring<Admitted<E>>,
    /// The last stamp.
    stamps: Padded<AtomicU32>,
    /// Heads that the consumer compared and did not hand out yet, normal and high; one place each.
    ahead: [Ring<Admitted<E>>; 2],
}

impl<E> Queue<E> {
    /// Room for `capacity` events; `apart` takes memory for twice as many.
    pub(super) fn new(capacity: usize, apart: bool) -> Self {
        let capacity = capacity.max(1);
        Self {
            ring: Ring::new(capacity + SPARE),
            high: apart.then(|| High {
                ring: Ring::new(capacity + SPARE),
                stamps: Padded::default(),
                ahead: [Ring::new(1), Ring::new(1)],
            }),
            capacity,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match &self.high {
            None => self.ring.len(),
            Some(high) => {
                let [normal_ahead, high_ahead] = &high.ahead;
                self.ring.len() + high.ring.len() + normal_ahead.len() + high_ahead.len()
            }
        }
    }

    /// Puts an event in, or gives it back.
    #[expect(
        clippy::inline_always,
        reason = "each call in between would copy the event once more"
    )]
    #[inline(always)]
    pub(super) fn push(&self, mut admitted: Admitted<E>) -> Result<(), Admitted<E>> {
        let ring = match &self.high {
            None => &self.ring,
            Some(high) => {
                // Relaxed: the rings bring the order between the pushes of one thread.
                admitted.stamp |= high.stamps.fetch_add(2, Ordering::Relaxed);
                match admitted.priority() {
                    Priority::High => &high.ring,
                    Priority::Normal => &self.ring,
                }
            }
        };
        ring.push(admitted)
    }

    /// What is next for the consumer. One at a time may call this.
    pub(super) fn pop(&self) -> Option<Admitted<E>> {
        let Some(high) = &self.high else {
            return self.ring.pop();
        };
        let [normal_ahead, high_ahead] = &high.ahead;
        let urgent = high_ahead.pop().or_else(|| high.ring.pop());
        let normal = normal_ahead.pop().or_else(|| self.ring.pop());
        // the first look may have come before what was pushed before `normal`
        let urgent = match &normal {
            Some(_) => urgent.or_else(|| high.ring.pop()),
            None => urgent,
        };
        match (normal, urgent) {
            (Some(normal), Some(urgent)) => {
                let (first, second, slot) = if normal.is_before(&urgent) {
                    (normal, urgent, high_ahead)
                } else {
                    (urgent, normal, normal_ahead)
                };
                // there is room: only the one consumer puts something there, and it was empty
                let put = slot.push(second);
                debug_assert!(put.is_ok(), "two consumers");
                Some(first)
            }
            (normal, urgent) => normal.or(urgent),
        }
    }

    /// What has to go first: the oldest, and normal ones before high ones. Anybody may call this.
    pub(super) fn pop_least(&self) -> Option<Admitted<E>> {
        let Some(high) = &self.high else {
            return self.ring.pop();
        };
        let [normal_ahead, high_ahead] = &high.ahead;
        normal_ahead
            .pop()
            .or_else(|| self.ring.pop())
            .or_else(|| high_ahead.pop())
            .or_else(|| high.ring.pop())
    }

    /// Whether the consumer may leave something behind that it had in its hands.
    pub(super) fn looks_ahead(&self) -> bool {
        self.high.is_some()
    }
}
