//! The hand-shake between producers and the consumer: one word that counts and carries the state.
//!
//! | state | bits | a producer, once it has pushed |
//! |---|---|---|
//! | running | none | does nothing: the consumer will look before it parks |
//! | idle, lingering | `PARKED` | wakes the consumer once the count reaches `wake_at` |
//! | closed | `CLOSED` | does nothing: the consumer drains what is left before it leaves |
//! | gone | `GONE` | sweeps: nobody else will |
//!
//! An event is announced by a read-modify-write on the word *before* it is pushed. After the push that
//! operation would have to wait for the event to reach memory, which is most of what a push costs.
//!
//! Why no wake-up is lost and no fence is needed: the consumer parks, by a compare-and-swap on the same
//! word, only when everything that was announced is in the ring or was taken from it. All changes of one
//! word are in one order. If an announcement comes before the word is read, the consumer does not park
//! until it has seen the event; if it comes between the read and the swap, the swap fails; if it comes
//! after the swap, the producer sees `PARKED` and wakes the consumer after its push. With `GONE` for
//! `PARKED` the same holds for a consumer that leaves of itself. One that is made to leave does not wait
//! for pushes under way: whoever pushes looks for `GONE` afterwards, and what is announced and in nobody's
//! hands counts as given up ([`Ingress::dropped`](super::Ingress::dropped)).

use crate::sync::{AtomicU64, Ordering};

const PARKED: u64 = 1;
const CLOSED: u64 = 1 << 1;
const GONE: u64 = 1 << 2;
/// One of so many announcements is told to look after rare things.
const LOOKS: u64 = 256;
/// One announcement: the count sits above the flags and has 61 bits.
const ONE: u64 = 1 << SHIFT;
const SHIFT: u32 = 3;

/// What a producer has to do once it has pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    Nothing,
    /// Notify the consumer; only one producer is told to.
    Wake,
    /// Empty the ring: the consumer has left for good.
    Sweep,
    /// Nobody has to be woken; one push in [`LOOKS`] sees whether there still is anybody.
    Look,
}

/// What the consumer finds when it looks, in this order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Events that were taken out of the ring so far, by whom ever.
    pub(super) taken: u64,
    /// Events that are in it.
    pub(super) waiting: usize,
}

/// Count of announced events, and whether the consumer runs, is parked or is gone.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    word: AtomicU64,
    /// The count at which a parked consumer wants to be woken. Written by the consumer only, before
    /// it sets `PARKED`; read by producers only after they saw `PARKED`.
    wake_at: AtomicU64,
}

impl Gate {
    /// Announces one event, which must be pushed or [withdrawn](Self::withdraw) now.
    #[inline]
    pub(super) fn announce(&self) -> Duty {
        // Acquire: `wake_at` belongs to `PARKED`. Release: what was pushed before is visible to whoever
        // reads this count.
        let before = self.word.fetch_add(ONE, Ordering::AcqRel);
        let looks = (before >> SHIFT) % LOOKS == LOOKS - 1;
        if before & (PARKED | CLOSED | GONE) == 0 && !looks {
            Duty::Nothing
        } else {
            self.duty(before)
        }
    }

    /// Takes back an announcement whose push found no place.
    #[cold]
    pub(super) fn withdraw(&self) {
        self.word.fetch_sub(ONE, Ordering::AcqRel);
    }

    #[cold]
    fn duty(&self, before: u64) -> Duty {
        if before & GONE != 0 {
            Duty::Sweep
        } else if before & PARKED != 0
            && (before >> SHIFT) + 1 >= self.wake_at.load(Ordering::Relaxed)
            && self.unpark()
        {
            Duty::Wake
        } else if (before >> SHIFT) % LOOKS == LOOKS - 1 {
            Duty::Look
        } else {
            Duty::Nothing
        }
    }

    /// Parks the consumer until `threshold` events are in the ring.
    ///
    /// False, and running again, if there are that many already, if one arrived meanwhile or is about to
    /// be pushed, or if the gate is closed.
    pub(super) fn park(&self, threshold: usize, look: impl FnOnce() -> Seen) -> bool {
        let seen = self.word.load(Ordering::Acquire);
        let Seen { taken, waiting } = look();
        let missing = threshold.max(1).saturating_sub(waiting);
        let all = taken + waiting as u64 >= seen >> SHIFT;
        if seen & (CLOSED | GONE) == 0 && missing > 0 && all {
            self.wake_at.store(
                (seen >> SHIFT).saturating_add(missing as u64),
                Ordering::Relaxed,
            );
            let parked = seen | PARKED;
            let swap =
                self.word
                    .compare_exchange(seen, parked, Ordering::AcqRel, Ordering::Relaxed);
            if swap.is_ok() {
                return true;
            }
        }
        self.unpark();
        false
    }

    /// Makes the consumer run again; true if it was parked, for one caller only.
    pub(super) fn unpark(&self) -> bool {
        self.word.fetch_and(!PARKED, Ordering::AcqRel) & PARKED != 0
    }

    /// Closes; the consumer goes on until it leaves.
    pub(super) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// The consumer leaves for good; it must empty the ring once more afterwards.
    pub(super) fn leave(&self) {
        self.word.fetch_or(CLOSED | GONE, Ordering::AcqRel);
    }

    /// The consumer leaves if the gate is closed and everything announced so far has left the ring.
    pub(super) fn leave_if(&self, look: impl FnOnce() -> Seen) -> bool {
        let seen = self.word.load(Ordering::Acquire);
        if seen & CLOSED == 0 {
            return false;
        }
        let Seen { taken, waiting } = look();
        waiting == 0
            && taken >= seen >> SHIFT
            && self
                .word
                .compare_exchange(seen, seen | GONE, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether the consumer is known to have left for good. After a push: the rare producer that asks a
    /// moment too early leaves its event to the accounts.
    #[inline]
    pub(super) fn seems_gone(&self) -> bool {
        self.word.load(Ordering::Acquire) & GONE != 0
    }

    /// Whether the consumer has left for good. If not, whoever makes it leave sees all that this
    /// thread did before.
    pub(super) fn is_gone(&self) -> bool {
        // a read-modify-write, to stand in the one order of the word's changes
        self.word.fetch_or(0, Ordering::AcqRel) & GONE != 0
    }

    /// How many events were announced.
    pub(super) fn announced(&self) -> u64 {
        self.word.load(Ordering::Acquire) >> SHIFT
    }
}
