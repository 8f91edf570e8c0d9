//! By priority: what gives way, and in which order the rest comes out.

use std::cell::Cell;
use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn by_priority(capacity: usize, max_bytes: usize) -> Ingress<Parcel> {
    ingress(capacity, max_bytes, Overflow::ByPriority)
}

#[test]
fn a_high_event_drops_the_oldest_normal_one_and_spares_older_high_ones() {
    let ingress = by_priority(8, 1_000);
    for parcel in [(1, true), (2, false), (3, true), (4, false)] {
        ingress.try_push(parcel).unwrap();
    }
    for weight in 5..=8 {
        ingress.try_push((weight, true)).unwrap();
    }
    assert_eq!(ingress.dropped().total(), 0);
    ingress.try_push((9, true)).unwrap();
    ingress.try_push((10, true)).unwrap();
    assert_eq!(ingress.dropped().get(DropReason::Overflow), 2);
    assert_eq!(settle(&ingress), [1, 3, 5, 6, 7, 8, 9, 10]);
    assert_accounts(&ingress, 10);
}

#[test]
fn the_oldest_high_event_goes_only_when_no_normal_one_is_left() {
    let ingress = by_priority(2, 1_000);
    for parcel in [(1, true), (2, false), (3, true), (4, true)] {
        ingress.try_push(parcel).unwrap();
    }
    assert_eq!(settle(&ingress), [3, 4]);
    assert_eq!(ingress.dropped().get(DropReason::Overflow), 2);
    assert_accounts(&ingress, 4);
}

#[test]
fn a_high_event_drops_as_many_normal_ones_as_its_bytes_need() {
    let ingress = by_priority(16, 80);
    for weight in [20, 21, 22] {
        ingress.try_push((weight, false)).unwrap();
    }
    ingress.try_push((17, true)).unwrap();
    ingress.try_push((30, true)).unwrap();
    assert_eq!(settle(&ingress), [22, 17, 30]);
    assert_accounts(&ingress, 5);
}

#[test]
fn even_a_ring_of_one_place_takes_a_high_event_for_a_normal_one() {
    let ingress = by_priority(1, 100);
    ingress.try_push((1, false)).unwrap();
    assert_eq!(
        reason(ingress.try_push((2, false))),
        Some(RefuseReason::Full)
    );
    ingress.try_push((3, true)).unwrap();
    assert_eq!(settle(&ingress), [3]);
    assert_accounts(&ingress, 3);
}

#[test]
fn what_the_consumer_compared_and_put_back_can_be_dropped_and_swept() {
    for finish in [false, true] {
        let ingress = by_priority(4, 100);
        for parcel in [(1, true), (2, false), (3, false), (4, true)] {
            ingress.try_push(parcel).unwrap();
        }
        // hands the first one out, and has the second in its other hand
        ingress.drain(1, |event, _, _| assert_eq!(event, (1, true)));
        assert_eq!(ingress.len(), 3);
        if finish {
            ingress.finish(DropReason::Deadline);
            assert_eq!(ingress.dropped().get(DropReason::Deadline), 3);
        } else {
            for weight in [5, 6] {
                ingress.try_push((weight, true)).unwrap();
            }
            assert_eq!(ingress.dropped().get(DropReason::Overflow), 1);
            let mut left = Vec::new();
            ingress.drain(9, |(weight, _), _, _| left.push(weight));
            assert_eq!(left, [3, 4, 5, 6], "the oldest normal one went");
        }
    }
}

#[test]
fn a_priority_function_is_asked_once_and_only_if_somebody_wants_to_know() {
    thread_local!(static ASKED: Cell<u32> = const { Cell::new(0) });
    fn ask(_: &Parcel) -> Priority {
        ASKED.set(ASKED.get() + 1);
        Priority::High
    }
    for (overflow, wanted) in [
        (Overflow::ByPriority, true),
        // a lane wants to know
        (Overflow::DropOldest, true),
        (Overflow::DropOldest, false),
    ] {
        ASKED.set(0);
        let mut options = options(2, 100, overflow);
        options.priority = wanted.then_some(ask);
        let ingress = Ingress::new(&options);
        for weight in 1..=3 {
            ingress.try_push((weight, false)).unwrap();
        }
        let mut told = Vec::new();
        ingress.drain(9, |_, _, priority| told.push(priority));
        let (asked, priority) = if wanted {
            (3, Priority::High)
        } else {
            (0, Priority::Normal)
        };
        assert_eq!((ASKED.get(), told), (asked, vec![priority; 2]));
    }
}

#[test]
fn an_event_whose_priority_function_panics_is_a_normal_one() {
    /// Panics again when it is dropped.
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            panic!("worse");
        }
    }
    let mut options = options(8, 100, Overflow::ByPriority);
    options.priority = Some(|&(weight, _)| {
        if weight == 1 {
            std::panic::panic_any(Worse)
        }
        Priority::High
    });
    let ingress = Ingress::new(&options);
    ingress.try_push((1, true)).unwrap();
    ingress.try_push((2, true)).unwrap();
    let mut told = Vec::new();
    ingress.drain(9, |_, _, priority| told.push(priority));
    assert_eq!(told, [Priority::Normal, Priority::High]);
    assert_accounts(&ingress, 2);
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize, bool),
    Drain(usize),
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1usize..30, any::<bool>()).prop_map(|(weight, high)| Step::Push(weight, high)),
        2 => (0usize..6).prop_map(Step::Drain),
        1 => Just(Step::Release),
    ]
}

/// The policy over one plain queue.
struct Model {
    queue: VecDeque<Parcel>,
    capacity: usize,
    ceiling: usize,
    used: usize,
}

impl Model {
    fn fits(&self, (weight, high): Parcel) -> bool {
        let share = |all: usize| if high { all } else { all - all / 8 };
        self.queue.len() < share(self.capacity) && self.used + weight <= share(self.ceiling)
    }

    /// Whether it was taken in.
    fn push(&mut self, parcel: Parcel) -> bool {
        let (weight, high) = parcel;
        if weight > self.ceiling || (!high && weight > self.ceiling - self.ceiling / 8) {
            return false;
        }
        for _ in 0..=self.capacity {
            if self.fits(parcel) {
                self.queue.push_back(parcel);
                self.used += weight;
                return true;
            }
            if !high || self.queue.is_empty() {
                return false;
            }
            let least = self.queue.iter().position(|(_, high)| !high).unwrap_or(0);
            self.used -= self.queue.remove(least).expect("it is there").0;
        }
        false
    }
}

proptest! {
    /// Two rings and a merge do what one queue would that can lose from its middle.
    #[test]
    fn two_rings_are_one_queue_that_gives_up_what_matters_least(
        capacity in 1usize..20,
        ceiling in 1usize..200,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let ingress = by_priority(capacity, ceiling);
        let mut model = Model { queue: VecDeque::new(), capacity, ceiling, used: 0 };
        let (mut calls, mut held) = (0, 0);
        for step in steps {
            match step {
                Step::Push(weight, high) => {
                    calls += 1;
                    let parcel = (weight, high);
                    prop_assert_eq!(ingress.try_push(parcel).is_ok(), model.push(parcel));
                }
                Step::Drain(max) => {
                    let mut out = Vec::new();
                    ingress.drain(max, |event, weight, priority| {
                        assert_eq!((weight, priority == Priority::High), event);
                        out.push(event);
                    });
                    let first = max.min(model.queue.len());
                    let expected: Vec<_> = model.queue.drain(..first).collect();
                    held += expected.iter().map(|(weight, _)| weight).sum::<usize>();
                    prop_assert_eq!(out, expected);
                }
                Step::Release => {
                    ingress.budget().release(held);
                    model.used -= std::mem::take(&mut held);
                }
            }
            prop_assert_eq!(ingress.len(), model.queue.len());
            prop_assert_eq!(ingress.budget().used(), model.used);
            assert_accounts(&ingress, calls);
        }
    }
}
