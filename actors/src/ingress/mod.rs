//! The ingress: a lock-free ring between any number of producers and one consumer.
//!
//! Accounts, exact whenever no call is in progress: `calls = accepted + refused` and
//! `accepted = drained + dropped + len`. While calls are in progress `accepted` is never below
//! `drained + dropped` and never above the calls, and it goes down only when more producers at once
//! than [`SPARE`](queue) meet in the last places.

mod closing;
mod consume;
mod gate;
mod policy;
mod produce;
mod queue;

#[cfg(all(test, pg_loom))]
mod models;
#[cfg(all(test, not(pg_loom)))]
mod stress;
#[cfg(all(test, not(pg_loom)))]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use self::closing::Closing;
pub(crate) use self::gate::Gate;
use self::queue::{Admitted, Queue};
use crate::budget::Budget;
use crate::ledger::{AtomicCounts, Counts, DropReason, RefuseReason};
use crate::origin::Origin;
use crate::pulse::{Alert, Pulses};
use crate::sync::{AtomicBool, Notify, Ordering, Padded};

pub(crate) use self::consume::{Drained, Park};
pub(crate) use self::policy::IngressOptions;
pub use self::policy::{Overflow, Priority};
pub use self::produce::Place;
#[cfg(all(test, not(pg_loom)))]
pub(crate) use self::produce::Refused;

/// The ring with its budget, counters and wake-up protocol. Shared by `Arc`; outlives its consumer.
///
/// Fields are grouped by who writes them: nobody, producers, the consumer, and almost nobody.
pub(crate) struct Ingress<E> {
    queue: Queue<E>,
    budget: Arc<Budget>,
    overflow: Overflow,
    weigh: fn(&E) -> usize,
    priority: Option<fn(&E) -> Priority>,
    trusted: bool,
    /// Refuses early; the gate knows for certain.
    closed: AtomicBool,
    consumer: Padded<Consumer>,
    refused: AtomicCounts<RefuseReason>,
    dropped: AtomicCounts<DropReason>,
    closing: Closing,
    origin: Origin,
    pulses: Arc<Pulses>,
    alert: Alert,
}

/// What the consumer writes.
#[derive(Debug, Default)]
struct Consumer {
    /// Set while a call drains: a second one at the same time gets nothing.
    busy: std::sync::atomic::AtomicBool,
    drained: AtomicU64,
    wake: Notify,
}

impl<E> Ingress<E> {
    pub(crate) fn new(options: &IngressOptions<E>) -> Self {
        Self {
            queue: Queue::new(options.capacity, options.overflow == Overflow::ByPriority),
            budget: Arc::new(Budget::new(options.max_bytes)),
            overflow: options.overflow,
            weigh: options.weigh,
            priority: options.priority,
            trusted: options.trusted,
            closed: AtomicBool::new(false),
            consumer: Padded::default(),
            refused: AtomicCounts::default(),
            dropped: AtomicCounts::default(),
            closing: Closing::default(),
            origin: Origin::here(),
            pulses: Arc::default(),
            alert: Alert::default(),
        }
    }

    /// Whether this is the copy of an engine in a child process, where nobody drains the ring. Found out
    /// for the first time it is said once, and from then on everything is refused. Takes no lock and
    /// leaves the ring alone: a thread that is gone may have been in the middle of either.
    #[cold]
    pub(crate) fn is_forked(&self) -> bool {
        if !self.origin.is_elsewhere() {
            return false;
        }
        if self.origin.note() {
            self.closed.store(true, Ordering::Release);
            self.budget.gate().close();
            tracing::error!(
                "the process forked and the engine stayed in the parent; events are refused: spawn \
                 the engine after fork"
            );
        }
        true
    }

    /// Where the bytes of admitted events are charged.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Events in the ring.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Events that the ring can hold.
    pub(crate) fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// Whether new events are refused for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Events taken in. An event counts from the moment at which its `try_push` or `push_wait` returns,
    /// or earlier.
    pub(crate) fn accepted(&self) -> u64 {
        // the two are not read at one instant
        let left = self.drained() + self.given_up();
        self.budget.gate().announced().max(left)
    }

    /// Events handed to the consumer.
    pub(crate) fn drained(&self) -> u64 {
        self.consumer
            .drained
            .load(std::sync::atomic::Ordering::Acquire)
    }

    /// Calls that ended without the event being taken in.
    pub(crate) fn refused(&self) -> Counts<RefuseReason> {
        self.refused.snapshot()
    }

    /// Events taken in and given up in the ring. Once the consumer has left for good these are all that it
    /// did not take, those of pushes that end only later included.
    pub(crate) fn dropped(&self) -> Counts<DropReason> {
        let unaccounted = if self.budget.gate().seems_gone() {
            self.unaccounted()
        } else {
            0
        };
        let mut dropped = self.dropped.snapshot();
        dropped.add(self.closing.reason(), unaccounted);
        dropped
    }

    /// Events that were announced and not taken out of the ring. Right, or too low.
    fn unaccounted(&self) -> u64 {
        let announced = self.budget.gate().announced();
        announced.saturating_sub(self.drained() + self.given_up())
    }

    /// Events that were taken out of the ring by somebody else than the consumer.
    fn given_up(&self) -> u64 {
        self.dropped.total()
    }

    /// Tells of what happens here without a look at it.
    pub(crate) fn alert(&self) -> &Alert {
        &self.alert
    }

    /// What the consumer owes, and the one behind it.
    pub(crate) fn pulses(&self) -> &Arc<Pulses> {
        &self.pulses
    }

    /// Gives up one event that was in the ring.
    fn discard(&self, admitted: Admitted<E>, reason: DropReason) {
        let Admitted { event, weight, .. } = admitted;
        self.dropped.add(reason, 1);
        self.budget.release(weight as usize);
        // Last, so that the accounts stand even if the event's own drop panics.
        drop(event);
    }

    /// Empties the ring.
    fn sweep(&self) {
        let reason = self.closing.reason();
        while let Some(admitted) = self.queue.pop_least() {
            self.discard(admitted, reason);
        }
    }
}

impl<E> std::fmt::Debug for Ingress<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingress")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("overflow", &self.overflow)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
