//! The application's look at every event, between the ring and the batch being built.
//!
//! It is the application's code: it may be slow, block, or panic. So it runs on what is in nobody
//! else's hands, under no lock ([`Stages::turn`](crate::stages::Stages::turn)).

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use crate::budget::Budget;
use crate::hooks::{HookPanics, let_go};
use crate::ingress::Drained;
use crate::ledger::{DropReason, FilterReason};

/// Events that are screened between two looks at whether the engine has ended, at most.
pub(crate) const CHUNK: usize = 64;

/// What becomes of an event that was screened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Screened<E> {
    /// It goes on, perhaps changed.
    Keep(E),
    /// It is kept from every provider on purpose, which is no loss.
    Filter(FilterReason),
    /// It is given up.
    Drop(DropReason),
}

pub(crate) type Judge<E> = dyn Fn(E) -> Screened<E> + Send + Sync;
pub(crate) type Edit<E> = dyn FnMut(&mut E) -> bool + Send;

/// What looks at every event.
pub(crate) enum Hook<E> {
    /// Takes each event over and says what becomes of it.
    Judge(Box<Judge<E>>),
    /// Changes events where they are. The lock is for one turn at a time, of which there is never
    /// another: nobody waits for it.
    Edit(Mutex<Box<Edit<E>>>),
}

/// The hook, and how to weigh what it leaves.
pub(crate) struct Screen<E> {
    hook: Hook<E>,
    weigh: fn(&E) -> usize,
    panics: HookPanics,
}

/// What a hook did not let through.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) filtered: Vec<FilterReason>,
    pub(crate) dropped: Vec<DropReason>,
}

impl<E: 'static> Screen<E> {
    pub(crate) fn new(hook: Hook<E>, weigh: fn(&E) -> usize, panics: HookPanics) -> Self {
        Self {
            hook,
            weigh,
            panics,
        }
    }

    /// Runs the hook over `chunk`, leaves in it what goes on, in order, and brings the charges in line
    /// with that. Does not panic, whatever the hook does.
    pub(crate) fn pass(&self, chunk: &mut Drained<E>, budget: &Budget) -> Lost {
        let mut lost = Lost::default();
        match &self.hook {
            Hook::Judge(judge) => self.judge_all(judge, chunk, budget, &mut lost),
            Hook::Edit(edit) => {
                let mut edit = edit.lock().unwrap_or_else(PoisonError::into_inner);
                self.edit_all(&mut **edit, chunk, budget, &mut lost);
            }
        }
        lost
    }

    fn judge_all(
        &self,
        judge: &Judge<E>,
        chunk: &mut Drained<E>,
        budget: &Budget,
        lost: &mut Lost,
    ) {
        let events = std::mem::take(&mut chunk.events);
        let charges = &mut chunk.charges;
        let (mut at, mut kept) = (0, 0);
        // the memory of what comes in is that of what goes on
        let passed = events.into_iter().filter_map(|event| {
            let (held, priority) = charges[at];
            at += 1;
            let dropped = match self.judge(judge, event) {
                Screened::Keep((event, weight)) => match settle(budget, held, weight) {
                    Some(weight) => {
                        charges[kept] = (weight, priority);
                        kept += 1;
                        return Some(event);
                    }
                    None => {
                        let_go(event);
                        Some(DropReason::Overflow)
                    }
                },
                Screened::Filter(reason) => {
                    lost.filtered.push(reason);
                    None
                }
                Screened::Drop(reason) => Some(reason),
            };
            budget.release(held as usize);
            lost.dropped.extend(dropped);
            None
        });
        chunk.events = passed.collect();
        chunk.charges.truncate(kept);
    }

    /// One event, and what it weighs now.
    fn judge(&self, judge: &Judge<E>, event: E) -> Screened<(E, usize)> {
        let hook = || match judge(event) {
            Screened::Keep(event) => {
                let weight = (self.weigh)(&event);
                Screened::Keep((event, weight))
            }
            Screened::Filter(reason) => Screened::Filter(reason),
            Screened::Drop(reason) => Screened::Drop(reason),
        };
        let panicked = Screened::Drop(DropReason::HookPanicked);
        self.panics.guard(hook).unwrap_or(panicked)
    }

    /// One guard serves the whole chunk: a panic ends it at the event that is given up for it, and
    /// another one serves what follows.
    fn edit_all(
        &self,
        edit: &mut Edit<E>,
        chunk: &mut Drained<E>,
        budget: &Budget,
        lost: &mut Lost,
    ) {
        let at = Cell::new(0);
        while at.get() < chunk.len() {
            let stopped = self.panics.guard(|| {
                let events = chunk.events[at.get()..].iter_mut();
                for (event, (charged, _)) in events.zip(&mut chunk.charges[at.get()..]) {
                    if edit(event) {
                        match settle(budget, *charged, (self.weigh)(event)) {
                            Some(weight) => *charged = weight,
                            None => return Some(DropReason::Overflow),
                        }
                    }
                    at.set(at.get() + 1);
                }
                None
            });
            let Some(reason) = stopped.unwrap_or(Some(DropReason::HookPanicked)) else {
                return;
            };
            let (event, charged) = chunk.remove(at.get());
            budget.release(charged);
            lost.dropped.push(reason);
            let_go(event);
        }
    }
}

/// Changes a charge of `charged` bytes into one of `weight`, and says what it is then; `None`, and
/// unchanged, if the event grew and there is no room for what it grew by.
fn settle(budget: &Budget, charged: u32, weight: usize) -> Option<u32> {
    // as at the ring: what weighs nothing would make the ceiling void
    let weight = u32::try_from(weight.max(1)).ok()?;
    if weight > charged {
        let more = (weight - charged) as usize;
        return budget
            .try_charge_within(more, budget.ceiling())
            .then_some(weight);
    }
    if weight < charged {
        budget.release((charged - weight) as usize);
    }
    Some(weight)
}

/// Lets go of what passed: it was given up, and counted, while the hook ran.
pub(crate) fn discard<E>(chunk: Drained<E>, budget: &Budget) {
    budget.release(chunk.weight());
    chunk.events.into_iter().for_each(let_go);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::batch::BatchLimits;
    use crate::ingress::{Ingress, IngressOptions, Overflow};
    use crate::lane::{Lane, LaneOptions};
    use crate::request::Slice;
    use crate::stages::Stages;
    use crate::testing::Script;

    const CEILING: usize = 1000;

    /// An event that weighs what it says, and what the hook makes of it.
    #[derive(Clone, Debug)]
    struct Sized {
        weight: usize,
        then: Then,
    }

    #[derive(Clone, Copy, Debug)]
    enum Then {
        Weigh(usize),
        Filter,
        Drop,
        Panic,
        /// The weigher panics on it.
        Unweighable,
    }

    fn weigh(event: &Sized) -> usize {
        assert!(event.weight != usize::MAX, "an event that nobody can weigh");
        event.weight
    }

    fn judge(mut event: Sized) -> Screened<Sized> {
        match event.then {
            Then::Weigh(weight) => event.weight = weight,
            Then::Filter => return Screened::Filter(FilterReason::BeforeSend),
            Then::Drop => return Screened::Drop(DropReason::Expired),
            Then::Panic => panic!("a hook that panics"),
            Then::Unweighable => event.weight = usize::MAX,
        }
        Screened::Keep(event)
    }

    fn edit(event: &mut Sized) -> bool {
        match event.then {
            Then::Weigh(weight) => event.weight = weight,
            Then::Filter | Then::Drop => return false,
            Then::Panic => panic!("a hook that panics"),
            Then::Unweighable => event.weight = usize::MAX,
        }
        true
    }

    fn judging() -> Hook<Sized> {
        Hook::Judge(Box::new(judge))
    }

    fn editing() -> Hook<Sized> {
        Hook::Edit(Mutex::new(Box::new(edit)))
    }

    fn stages(hook: Hook<Sized>) -> (Stages<Sized>, HookPanics) {
        let options = IngressOptions {
            capacity: 64,
            max_bytes: CEILING,
            overflow: Overflow::DropNewest,
            weigh,
            priority: None,
            trusted: false,
        };
        let mut limits = BatchLimits::new(4, Duration::from_secs(5));
        limits.max_bytes = CEILING / 4;
        let provider = Box::new(Script::delivering("sink").provider());
        let lane = Lane::new(provider, LaneOptions::default(), CEILING);
        let panics = HookPanics::new();
        let screen = Screen::new(hook, weigh, panics.clone());
        let stages = Stages::new(Ingress::new(&options), limits, vec![lane]);
        (stages.with_hooks(Some(screen), panics.clone()), panics)
    }

    fn then() -> impl Strategy<Value = Then> {
        prop_oneof![
            6 => (0usize..400).prop_map(Then::Weigh),
            1 => (0usize..3 * CEILING).prop_map(Then::Weigh),
            1 => Just(Then::Weigh(usize::MAX - 1)),
            1 => Just(Then::Filter),
            1 => Just(Then::Drop),
            1 => Just(Then::Panic),
            1 => Just(Then::Unweighable),
        ]
    }

    proptest! {
        #[test]
        fn however_the_hook_changes_weights_the_ceiling_holds_and_every_byte_comes_back(
            events in prop::collection::vec((0usize..300, then()), 1..200),
            turns in prop::collection::vec((1usize..20, any::<bool>()), 1..60),
            edits in any::<bool>(),
        ) {
            let (stages, panics) = stages(if edits { editing() } else { judging() });
            let mut events = events.into_iter();
            for (pushed, route) in turns {
                for (weight, then) in events.by_ref().take(pushed) {
                    // what is refused is counted, and no part of this
                    let _ = stages.ingress.try_push(Sized { weight, then });
                    prop_assert!(stages.ingress.budget().used() <= CEILING);
                }
                stages.turn(16, Instant::now());
                prop_assert!(stages.ingress.budget().used() <= CEILING);
                if route {
                    while stages.route_one() {}
                }
                let ledger = stages.ledger();
                prop_assert!(ledger.balances(), "{}", ledger);
                prop_assert_eq!(stages.audit(0), ledger.providers[0].pending);
                let dropped = &ledger.providers[0].dropped;
                prop_assert_eq!(dropped.get(DropReason::HookPanicked), panics.count());
            }
            stages.close(DropReason::Deadline);
            prop_assert_eq!(stages.ingress.budget().used(), 0);
            let ledger = stages.ledger();
            prop_assert!(ledger.balances(), "{}", ledger);
            prop_assert_eq!(ledger.providers[0].pending, 0);
        }
    }

    #[test]
    fn a_panic_costs_the_event_it_was_at_and_those_behind_it_are_looked_at() {
        let (stages, panics) = stages(editing());
        let thens = [
            Then::Weigh(11),
            Then::Panic,
            Then::Weigh(13),
            Then::Unweighable,
            Then::Panic,
            Then::Weigh(16),
        ];
        for (weight, then) in (1..).zip(thens) {
            let event = Sized { weight, then };
            stages.ingress.try_push(event).expect("room");
        }
        stages.turn(16, Instant::now());
        stages.seal();
        let mut weights = Vec::new();
        stages.sealed.peek(|queue| {
            let slices = queue.iter().flat_map(|sealed| &sealed.slices);
            weights.extend(slices.flat_map(Slice::events).map(|event| event.weight));
        });
        assert_eq!(weights, [11, 13, 16]);
        assert_eq!(
            (panics.count(), stages.ingress.budget().used()),
            (3, 11 + 13 + 16)
        );
    }

    #[test]
    fn what_grows_beyond_the_room_is_given_up_and_what_shrinks_makes_room() {
        for hook in [judging(), editing()] {
            what_grows_is_given_up(hook);
        }
    }

    fn what_grows_is_given_up(hook: Hook<Sized>) {
        let (stages, _) = stages(hook);
        let push = |weight, then| {
            let event = Sized { weight, then };
            stages
                .ingress
                .try_push(event)
                .map_err(|refused| refused.reason)
        };
        push(500, Then::Weigh(501)).expect("room");
        push(499, Then::Weigh(9)).expect("room");
        stages.turn(16, Instant::now());
        // the first did not know yet what the second would leave
        assert_eq!(stages.ingress.budget().used(), 510);
        push(90, Then::Weigh(490)).expect("room");
        push(400, Then::Weigh(401)).expect("room");
        stages.turn(16, Instant::now());
        let given_up = |stages: &Stages<Sized>| {
            stages.ledger().providers[0]
                .dropped
                .get(DropReason::Overflow)
        };
        assert_eq!(
            (stages.ingress.budget().used(), given_up(&stages)),
            (911, 1)
        );
    }

    #[test]
    fn what_is_given_up_while_the_hook_has_it_is_counted_once() {
        let seen = Arc::new(AtomicU64::new(0));
        let (stages, panics) = stages(judging());
        let stages = Arc::new_cyclic(|me: &std::sync::Weak<Stages<Sized>>| {
            let (me, seen) = (me.clone(), Arc::clone(&seen));
            let judge = move |event: Sized| {
                let stages = me.upgrade().expect("it runs");
                if seen.fetch_add(1, Ordering::SeqCst) == 1 {
                    // as the deadline's thread does while the hook is busy
                    stages.close(DropReason::Deadline);
                }
                let ledger = stages.ledger();
                assert!(ledger.balances(), "{ledger}");
                assert_eq!(stages.audit(0), ledger.providers[0].pending);
                super::tests::judge(event)
            };
            stages.with_hooks(
                Some(Screen::new(
                    Hook::Judge(Box::new(judge)),
                    weigh,
                    panics.clone(),
                )),
                panics.clone(),
            )
        });
        for then in [
            Then::Filter,
            Then::Weigh(70),
            Then::Panic,
            Then::Drop,
            Then::Weigh(3),
        ] {
            let event = Sized { weight: 10, then };
            stages.ingress.try_push(event).expect("room");
        }
        let turn = stages.turn(16, Instant::now());
        assert_eq!((turn.drained, turn.blocked, turn.due), (5, false, None));
        let ledger = stages.ledger();
        assert_eq!(ledger.providers[0].dropped.get(DropReason::Deadline), 5);
        assert!(
            ledger.balances() && ledger.providers[0].filtered.total() == 0,
            "{ledger}"
        );
        assert_eq!((seen.load(Ordering::SeqCst), panics.count()), (5, 1));
        assert_eq!(stages.ingress.budget().used(), 0);
    }
}
