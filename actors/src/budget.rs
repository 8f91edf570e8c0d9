//! The byte ceiling over everything the engine holds, and the queue of those who wait for room.

use std::sync::Arc;

use crate::ingress::Gate;
use crate::sync::{AtomicUsize, Notify, Ordering, Padded, fence};

/// Bytes in use against a fixed ceiling.
///
/// Bytes are charged before anything is kept and released when it is let go, by [`Charge`] or by hand.
/// What is held never exceeds the ceiling. Near it, a charge that does not fit changes nothing, so that
/// it cannot make another, smaller one fail.
#[derive(Debug)]
pub(crate) struct Budget {
    hot: Padded<Hot>,
    ceiling: usize,
    room: Room,
}

/// What every push changes, one right after the other: on one cache line, so that producers on several
/// cores pass that one around and not two.
#[derive(Debug, Default)]
struct Hot {
    used: AtomicUsize,
    gate: Gate,
}

impl Budget {
    /// A budget of `ceiling` bytes, all of them free.
    pub(crate) fn new(ceiling: usize) -> Self {
        Self {
            hot: Padded::default(),
            ceiling,
            room: Room::new(),
        }
    }

    /// Charges `bytes` if they fit under the ceiling.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn try_charge(&self, bytes: usize) -> bool {
        self.try_charge_within(bytes, self.ceiling)
    }

    /// Charges `bytes` if the sum stays within `limit` (at most the ceiling).
    #[must_use]
    #[inline]
    pub(crate) fn try_charge_within(&self, bytes: usize, limit: usize) -> bool {
        let limit = limit.min(self.ceiling);
        // Far from the limit producers add without looking: an addition never has to be repeated,
        // however many of them meet here.
        let far = limit / 2;
        if bytes < far && self.hot.used.load(Ordering::Relaxed) < far {
            let before = self.hot.used.fetch_add(bytes, Ordering::Relaxed);
            if before <= limit - bytes {
                return true;
            }
            self.release(bytes);
        }
        self.try_charge_near(bytes, limit)
    }

    /// Never goes beyond the limit, not even for a moment.
    fn try_charge_near(&self, bytes: usize, limit: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= limit);
        // Relaxed: the number guards no data; those who wait for room are served by `Room`'s fences.
        self.hot
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }

    /// Gives `bytes` back and lets one of those who wait for room try again.
    pub(crate) fn release(&self, bytes: usize) {
        let before = self.hot.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "released {bytes} bytes of {before}");
        self.room.freed();
    }

    /// The hand-shake of the ring whose events are charged here.
    #[inline]
    pub(crate) fn gate(&self) -> &Gate {
        &self.hot.gate
    }

    /// Bytes charged now.
    pub(crate) fn used(&self) -> usize {
        // what is added in vain is taken back at once
        self.hot.used.load(Ordering::Relaxed).min(self.ceiling)
    }

    /// The most bytes that can be charged.
    pub(crate) fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// The queue of those who wait for room, here or in a ring in front of this budget.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }
}

/// Bytes that are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Takes over `bytes` that have been charged to `budget` already.
    pub(crate) fn adopt(budget: &Arc<Budget>, bytes: usize) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes,
        }
    }

    /// How many bytes are given back on drop.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// Those who wait for room. Costs nobody a wake-up while nobody waits.
///
/// Each release wakes one of them; one that got what it waited for wakes the next
/// ([`Room::freed`] again), so a single large release serves as many as fit without waking them all.
/// One that was woken in vain goes to the end: bytes or places that are not free are held by something
/// that will release them.
#[derive(Debug)]
pub(crate) struct Room {
    waiting: AtomicUsize,
    wake: Notify,
}

impl Room {
    fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
        }
    }

    /// To be called after room was made.
    pub(crate) fn freed(&self) {
        // Pairs with the fence in `until`: either this sees the waiter, or the waiter's look
        // sees the room.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.wake.notify_one();
        }
    }

    /// Wakes everybody, for a change that concerns all of them.
    pub(crate) fn wake_all(&self) {
        self.wake.notify_waiters();
    }

    /// Waits until `attempt` gives a value. It is called at once, and again whenever there may be room.
    pub(crate) async fn until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let _place = Place::take(self);
        loop {
            let mut woken = std::pin::pin!(self.wake.notified());
            woken.as_mut().enable();
            // Pairs with the fence in `freed`.
            fence(Ordering::SeqCst);
            if let Some(value) = attempt() {
                self.freed();
                return value;
            }
            woken.await;
        }
    }

    /// Whether somebody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// One waiter's entry in the count; leaves it however the waiting ends.
struct Place<'a>(&'a Room);

impl<'a> Place<'a> {
    fn take(room: &'a Room) -> Self {
        room.waiting.fetch_add(1, Ordering::Relaxed);
        Self(room)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(pg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_charge_that_does_not_fit_changes_nothing() {
        let budget = Budget::new(10);
        assert!(budget.try_charge(10));
        assert!(!budget.try_charge(1));
        assert!(!budget.try_charge(usize::MAX));
        assert_eq!((budget.used(), budget.ceiling()), (10, 10));
    }

    #[test]
    fn a_sum_that_would_overflow_does_not_fit_even_without_a_real_ceiling() {
        let budget = Budget::new(usize::MAX);
        assert!(budget.try_charge(usize::MAX));
        assert!(!budget.try_charge(1));
        budget.release(usize::MAX);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_lower_limit_holds_and_a_higher_one_is_cut_to_the_ceiling() {
        let budget = Budget::new(10);
        assert!(!budget.try_charge_within(6, 5));
        assert!(budget.try_charge_within(5, 5));
        assert!(!budget.try_charge_within(6, 100));
        assert_eq!(budget.used(), 5);
    }

    #[test]
    fn a_charge_gives_back_exactly_what_it_adopted_when_dropped() {
        let budget = Arc::new(Budget::new(10));
        assert!(budget.try_charge(7));
        let charge = Charge::adopt(&budget, 7);
        assert_eq!((charge.bytes(), budget.used()), (7, 7));
        drop(charge);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn threads_never_see_more_in_use_than_the_ceiling_and_leave_nothing_behind() {
        let budget = Budget::new(100);
        std::thread::scope(|scope| {
            for bytes in [1, 30, 60, 99] {
                let budget = &budget;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let charged = budget.try_charge(bytes);
                        assert!(budget.used() <= 100);
                        if charged {
                            budget.release(bytes);
                        }
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }
}
