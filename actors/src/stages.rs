//! Everything an event can be in, from the ring to the lanes. Owned by no actor.
//!
//! Accounts are read against the direction of flow, so that an event on the move is seen late rather
//! than twice: first the lanes, then what was given up before them, then what was accepted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::batch::{Accumulator, BatchLimits};
use crate::handoff::Handoff;
use crate::ingress::Ingress;
use crate::lane::Lane;
use crate::ledger::{AtomicCounts, DropReason, Ledger};
use crate::request::Sealed;

/// Sealed batches that may wait for the fan-out.
const SEALED: usize = 8;

/// The stages of the data path.
pub(crate) struct Stages<E> {
    pub(crate) ingress: Ingress<E>,
    intake: Mutex<Intake<E>>,
    pub(crate) sealed: Handoff<Sealed<E>>,
    pub(crate) lanes: Vec<Arc<Lane<E>>>,
    pub(crate) routed: Progress,
    /// The age that closes a batch.
    pub(crate) batch_age: Duration,
    /// Given up after the ring and before the lanes.
    given_up: AtomicCounts<DropReason>,
}

/// The batch being built and those that found no room in the hand-off yet.
struct Intake<E> {
    accumulator: Accumulator<E>,
    outbox: VecDeque<Sealed<E>>,
    closed: Option<DropReason>,
}

/// What one turn of the buffer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Events taken off the ring.
    pub(crate) drained: usize,
    /// The hand-off is full: wait for room before the next turn.
    pub(crate) blocked: bool,
    /// When the batch being built has to close.
    pub(crate) due: Option<Instant>,
}

impl<E: Send + Sync + 'static> Stages<E> {
    pub(crate) fn new(ingress: Ingress<E>, limits: BatchLimits, lanes: Vec<Lane<E>>) -> Self {
        let budget = Arc::clone(ingress.budget());
        let pulses = Arc::clone(ingress.pulses());
        Self {
            ingress,
            intake: Mutex::new(Intake {
                accumulator: Accumulator::new(limits, budget),
                outbox: VecDeque::new(),
                closed: None,
            }),
            sealed: Handoff::new(SEALED, pulses),
            lanes: lanes.into_iter().map(Arc::new).collect(),
            routed: Progress::default(),
            batch_age: limits.max_age,
            given_up: AtomicCounts::default(),
        }
    }

    /// One bounded turn: takes up to `max` events off the ring, seals what is due, hands over.
    pub(crate) fn turn(&self, max: usize, now: Instant) -> Turn {
        let mut intake = self.intake();
        let Intake {
            accumulator,
            outbox,
            closed,
        } = &mut *intake;
        self.sealed.fill(outbox);
        if closed.is_some() || !outbox.is_empty() {
            return Turn {
                drained: 0,
                blocked: !outbox.is_empty(),
                due: None,
            };
        }
        let drained = self.ingress.drain(max, |event, weight| {
            accumulator.push(event, weight, now, outbox);
        });
        outbox.extend(accumulator.seal_if_due(now));
        if drained == 0 && self.ingress.budget().room().is_awaited() {
            // the batch being built may hold the very bytes that are waited for
            outbox.extend(accumulator.seal());
        }
        self.sealed.fill(outbox);
        Turn {
            drained,
            blocked: !outbox.is_empty(),
            due: accumulator.due(),
        }
    }

    /// Seals the batch being built, and says which number was sealed last. Call [`Stages::turn`]
    /// until it is no longer blocked to have it handed over.
    pub(crate) fn seal(&self) -> u64 {
        let mut intake = self.intake();
        let Intake {
            accumulator,
            outbox,
            ..
        } = &mut *intake;
        outbox.extend(accumulator.seal());
        self.sealed.fill(outbox);
        accumulator.last_sealed()
    }

    /// Whether every sealed batch was handed over.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.intake().outbox.is_empty()
    }

    /// Offers the next sealed batch to every lane.
    pub(crate) fn route_one(&self) -> bool {
        let routed = self.sealed.route_one(|sealed| {
            let lanes = self.lanes.iter().enumerate();
            let meant = lanes.filter(|(i, _)| sealed.only.is_none_or(|only| only == *i));
            let garbage: Vec<_> = meant.map(|(_, lane)| lane.offer(&sealed)).collect();
            (sealed, garbage)
        });
        if let Some((sealed, _)) = &routed {
            self.routed.advance(sealed.number);
        }
        routed.is_some()
    }

    /// Ends the data path: everything without a verdict is given up for `reason`, attempts in flight
    /// are aborted, later events are refused. Synchronous and idempotent.
    pub(crate) fn close(&self, reason: DropReason) {
        self.ingress.finish(reason);
        let mut intake = self.intake();
        let mut lost = VecDeque::new();
        if intake.closed.is_none() {
            intake.closed = Some(reason);
            lost = std::mem::take(&mut intake.outbox);
            lost.extend(intake.accumulator.seal());
            self.given_up
                .add(reason, lost.iter().map(|batch| batch.len() as u64).sum());
        }
        drop(intake);
        drop(lost);
        for lane in &self.lanes {
            lane.close(reason);
        }
        // closed lanes count what is routed to them
        while self.route_one() {}
    }

    /// The accounts at this instant.
    pub(crate) fn ledger(&self) -> Ledger {
        let lanes: Vec<_> = self.lanes.iter().map(|lane| lane.ledger()).collect();
        let mut before_lanes = self.given_up.snapshot();
        before_lanes.merge(&self.ingress.dropped());
        let refused = self.ingress.refused();
        let accepted = self.ingress.accepted();
        let providers = lanes
            .into_iter()
            .map(|(mut ledger, offered)| {
                let upstream = accepted.saturating_sub(before_lanes.total() + offered);
                ledger.dropped.merge(&before_lanes);
                ledger.pending += upstream;
                ledger
            })
            .collect();
        Ledger {
            accepted,
            refused,
            providers,
        }
    }

    /// Events without a verdict at lane `index`, counted one by one where they are. Only meaningful
    /// while nothing moves.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn audit(&self, index: usize) -> u64 {
        let intake = self.intake();
        let outbox: usize = intake.outbox.iter().map(Sealed::len).sum();
        let sealed: usize = self
            .sealed
            .peek(|queue| queue.iter().map(Sealed::len).sum());
        let before = self.ingress.len() + intake.accumulator.len() + outbox + sealed;
        before as u64 + self.lanes.get(index).map_or(0, |lane| lane.audit())
    }

    fn intake(&self) -> MutexGuard<'_, Intake<E>> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that only grows, and a notice for those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    reached: AtomicU64,
    changed: Notify,
}

impl Progress {
    fn advance(&self, to: u64) {
        self.reached.fetch_max(to, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits until `number` was reached.
    pub(crate) async fn reached(&self, number: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.reached.load(Ordering::Acquire) >= number {
                return;
            }
            changed.await;
        }
    }
}
