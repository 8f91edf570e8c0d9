//! Everything an event can be in, from the ring to the lanes. Owned by no actor.
//!
//! Accounts are read against the direction of flow, so that an event on the move is seen late rather
//! than twice: first the lanes, then what was given up before them, then what was accepted.

mod routing;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::batch::{Accumulator, BatchLimits};
use crate::dead_letters::DeadLetters;
use crate::handoff::Handoff;
use crate::hooks::{HookPanics, aside};
use crate::ingress::{Drained, Ingress};
use crate::lane::Lane;
use crate::ledger::{AtomicCounts, DropReason, FilterReason, Ledger};
use crate::request::Sealed;
use crate::screen::{CHUNK, Screen, discard};
use routing::Progress;

/// Sealed batches that may wait for the fan-out.
const SEALED: usize = 8;

/// The stages of the data path.
pub(crate) struct Stages<E> {
    pub(crate) ingress: Ingress<E>,
    intake: Mutex<Intake<E>>,
    pub(crate) sealed: Handoff<Sealed<E>>,
    pub(crate) lanes: Vec<Arc<Lane<E>>>,
    pub(crate) routed: Progress,
    pub(crate) dead: Option<DeadLetters<E>>,
    screen: Option<Screen<E>>,
    pub(crate) hook_panics: HookPanics,
    /// Whether hooks and filters are known not to block.
    pub(crate) trusted_hooks: bool,
    /// Kept from every lane on purpose.
    filtered: AtomicCounts<FilterReason>,
    /// The age that closes a batch.
    pub(crate) batch_age: Duration,
    /// Given up after the ring and before the lanes.
    given_up: AtomicCounts<DropReason>,
}

/// The batch being built and those that found no room in the hand-off yet.
struct Intake<E> {
    /// Events off the ring that a turn has under the hook, outside the lock.
    screening: usize,
    /// Where they are then; empty otherwise, and kept for its memory.
    chunk: Drained<E>,
    accumulator: Accumulator<E>,
    outbox: VecDeque<Sealed<E>>,
    closed: Option<DropReason>,
}

/// What one turn of the buffer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Events taken off the ring.
    pub(crate) drained: usize,
    /// It did as much as one turn may: there may be more to do at once.
    pub(crate) more: bool,
    /// The hand-off is full: wait for room before the next turn.
    pub(crate) blocked: bool,
    /// When the batch being built has to close.
    pub(crate) due: Option<Instant>,
}

impl Turn {
    fn blocked<E>(intake: &Intake<E>) -> Self {
        Self {
            drained: 0,
            more: false,
            blocked: !intake.outbox.is_empty(),
            due: None,
        }
    }
}

impl<E: Send + Sync + 'static> Stages<E> {
    pub(crate) fn new(ingress: Ingress<E>, limits: BatchLimits, lanes: Vec<Lane<E>>) -> Self {
        let budget = Arc::clone(ingress.budget());
        let pulses = Arc::clone(ingress.pulses());
        Self {
            ingress,
            intake: Mutex::new(Intake {
                screening: 0,
                chunk: Drained::default(),
                accumulator: Accumulator::new(limits, budget),
                outbox: VecDeque::new(),
                closed: None,
            }),
            sealed: Handoff::new(SEALED, pulses),
            lanes: lanes.into_iter().map(Arc::new).collect(),
            routed: Progress::default(),
            dead: None,
            screen: None,
            hook_panics: HookPanics::default(),
            trusted_hooks: false,
            filtered: AtomicCounts::default(),
            batch_age: limits.max_age,
            given_up: AtomicCounts::default(),
        }
    }

    /// With a hook that sees every event before it is batched, and the count of what hooks panic.
    pub(crate) fn with_hooks(mut self, screen: Option<Screen<E>>, panics: HookPanics) -> Self {
        self.screen = screen;
        self.hook_panics = panics;
        self
    }

    /// Runs hooks where they hold up nobody but those who need what they decide.
    fn aside<T>(&self, hooks: impl FnOnce() -> T) -> T {
        if self.trusted_hooks {
            hooks()
        } else {
            aside(hooks)
        }
    }

    /// One bounded turn: takes up to `max` events off the ring, seals what is due, hands over.
    pub(crate) fn turn(&self, max: usize, now: Instant) -> Turn {
        let mut intake = self.intake();
        let waited = !intake.outbox.is_empty();
        self.sealed.fill(&mut intake.outbox);
        if intake.closed.is_some() || !intake.outbox.is_empty() {
            return Turn::blocked(&intake);
        }
        match &self.screen {
            None => {
                let Intake {
                    accumulator,
                    outbox,
                    ..
                } = &mut *intake;
                let drained = self.ingress.drain(max, |event, weight, priority| {
                    accumulator.push(event, weight, priority, now, outbox);
                });
                self.end_turn(&mut intake, drained, drained == max, now)
            }
            // the fan-out was woken by this thread and may wait for it: let it go first
            Some(_) if waited => Turn {
                drained: 0,
                more: true,
                blocked: false,
                due: intake.accumulator.due(),
            },
            Some(screen) => {
                let room = intake.accumulator.room();
                self.screened_turn(screen, intake, max.min(CHUNK).min(room), now)
            }
        }
    }

    /// The hook runs without the lock: [`Stages::close`] needs it, and keeps deadlines.
    fn screened_turn<'a>(
        &'a self,
        screen: &Screen<E>,
        mut intake: MutexGuard<'a, Intake<E>>,
        max: usize,
        now: Instant,
    ) -> Turn {
        let mut chunk = std::mem::take(&mut intake.chunk);
        let drained = self.ingress.drain_into(max, &mut chunk);
        if drained > 0 {
            intake.screening = drained;
            drop(intake);
            let lost = self.aside(|| screen.pass(&mut chunk, self.ingress.budget()));
            intake = self.intake();
            if intake.closed.is_some() {
                // who closed has counted them
                let turn = Turn::blocked(&intake);
                drop(intake);
                discard(chunk, self.ingress.budget());
                return Turn { drained, ..turn };
            }
            intake.screening = 0;
            for reason in lost.filtered {
                self.filtered.add(reason, 1);
            }
            for reason in lost.dropped {
                self.given_up.add(reason, 1);
                if reason == DropReason::Overflow {
                    self.ingress.alert().losing();
                }
            }
            let Intake {
                accumulator,
                outbox,
                ..
            } = &mut *intake;
            accumulator.append(&mut chunk, now, outbox);
        }
        intake.chunk = chunk;
        let turn = self.end_turn(&mut intake, drained, drained == max, now);
        drop(intake);
        // last: whoever writes the log may panic, too
        self.hook_panics.tell(now);
        turn
    }

    fn end_turn(&self, intake: &mut Intake<E>, drained: usize, more: bool, now: Instant) -> Turn {
        let Intake {
            accumulator,
            outbox,
            ..
        } = intake;
        outbox.extend(accumulator.seal_if_due(now));
        if drained == 0 && self.ingress.budget().room().is_awaited() {
            // the batch being built may hold the very bytes that are waited for
            outbox.extend(accumulator.seal());
        }
        self.sealed.fill(outbox);
        Turn {
            drained,
            more,
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

    /// Hands over what `make` makes of the next number. False, and nothing was made, once no event is
    /// taken in any more: whoever drains then knows which number is the last.
    pub(crate) fn readmit(&self, make: impl FnOnce(u64) -> Option<Sealed<E>>) -> bool {
        let mut intake = self.intake();
        if intake.closed.is_some() || self.ingress.is_closed() {
            return false;
        }
        let Intake {
            accumulator,
            outbox,
            ..
        } = &mut *intake;
        if let Some(sealed) = make(accumulator.last_sealed() + 1) {
            accumulator.take_number();
            outbox.push_back(sealed);
        }
        self.sealed.fill(outbox);
        let stuck = !outbox.is_empty();
        drop(intake);
        if stuck {
            // an idle buffer would not look
            self.ingress.prod();
        }
        true
    }

    /// Events that were taken in and then given up for lack of room: in the ring, or because a hook made
    /// them heavier than what was left.
    pub(crate) fn displaced(&self) -> u64 {
        let outgrown = self.given_up.snapshot().get(DropReason::Overflow);
        self.ingress.dropped().get(DropReason::Overflow) + outgrown
    }

    /// When a batch closes.
    pub(crate) fn batch_limits(&self) -> BatchLimits {
        self.intake().accumulator.limits()
    }

    /// Whether every sealed batch was handed over.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.intake().outbox.is_empty()
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
            let everyones = lost.iter().filter(|sealed| sealed.only.is_none());
            let left: usize = everyones.map(Sealed::len).sum();
            // the turn that has them under the hook sees that the intake is closed, and drops them
            let screening = std::mem::take(&mut intake.screening);
            self.given_up.add(reason, (left + screening) as u64);
            for sealed in &lost {
                if let Some(lane) = sealed.only.and_then(|only| self.lanes.get(only)) {
                    lane.lost_on_the_way(&sealed.slices, reason);
                }
            }
        }
        drop(intake);
        drop(lost);
        for lane in &self.lanes {
            lane.close(reason);
        }
        // closed lanes count what is routed to them; no filter runs, it might not come back
        while self.route(|_| true, Vec::new()) {}
        if let Some(dead) = &self.dead {
            dead.end_hook();
        }
    }

    /// Whether this is the copy of an engine in a child process; see [`Ingress::is_forked`].
    pub(crate) fn is_forked(&self) -> bool {
        self.ingress.is_forked()
    }

    /// The accounts at this instant. In a child process, where nobody will deliver anything, what has no
    /// verdict counts as dropped, and so does everything in a lane whose lock a lost thread may hold.
    pub(crate) fn ledger(&self) -> Ledger {
        let forked = self.is_forked();
        let read = |lane: &Arc<Lane<E>>| {
            if forked {
                lane.ledger_unless_locked()
            } else {
                lane.ledger()
            }
        };
        let lanes: Vec<_> = self.lanes.iter().map(read).collect();
        let filtered = self.filtered.snapshot();
        let mut before_lanes = self.given_up.snapshot();
        before_lanes.merge(&self.ingress.dropped());
        let refused = self.ingress.refused();
        let accepted = self.ingress.accepted();
        let providers = lanes
            .into_iter()
            .map(|(mut ledger, offered)| {
                let settled = filtered.total() + before_lanes.total() + offered;
                let upstream = accepted.saturating_sub(settled);
                ledger.filtered.merge(&filtered);
                ledger.dropped.merge(&before_lanes);
                ledger.pending += upstream;
                if forked {
                    let lost = std::mem::take(&mut ledger.pending);
                    ledger.dropped.add(DropReason::Forked, lost);
                }
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
        let meant = |sealed: &&Sealed<E>| sealed.only.is_none_or(|only| only == index);
        let events = |queue: &VecDeque<Sealed<E>>| -> usize {
            queue.iter().filter(meant).map(Sealed::len).sum()
        };
        let outbox = events(&intake.outbox);
        let sealed = self.sealed.peek(events);
        let built = intake.screening + intake.accumulator.len();
        let before = self.ingress.len() + built + outbox + sealed;
        before as u64 + self.lanes.get(index).map_or(0, |lane| lane.audit())
    }

    fn intake(&self) -> MutexGuard<'_, Intake<E>> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
