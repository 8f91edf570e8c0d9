//! One rule of the ingress each, on one thread.

mod forked;
mod priority;
mod waiting;

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{Ingress, IngressOptions, Overflow, Park, Priority, Refused};
use crate::budget::Charge;
use crate::ledger::{DropReason, RefuseReason};

/// An event that weighs its first number and is high when the second is true.
type Parcel = (usize, bool);

fn options(capacity: usize, max_bytes: usize, overflow: Overflow) -> IngressOptions<Parcel> {
    IngressOptions {
        capacity,
        max_bytes,
        overflow,
        weigh: |&(weight, _)| weight,
        priority: Some(|&(_, high)| {
            if high {
                Priority::High
            } else {
                Priority::Normal
            }
        }),
        trusted: false,
    }
}

fn ingress(capacity: usize, max_bytes: usize, overflow: Overflow) -> Ingress<Parcel> {
    Ingress::new(&options(capacity, max_bytes, overflow))
}

fn plain(capacity: usize, max_bytes: usize) -> Ingress<Parcel> {
    ingress(capacity, max_bytes, Overflow::DropNewest)
}

fn reason(result: Result<(), Refused<Parcel>>) -> Option<RefuseReason> {
    result.err().map(|refused| refused.reason)
}

/// Drains everything and releases its bytes; the weights in order.
fn settle(ingress: &Ingress<Parcel>) -> Vec<usize> {
    let mut weights = Vec::new();
    ingress.drain(usize::MAX, |_, weight, _| weights.push(weight));
    for &weight in &weights {
        ingress.budget().release(weight);
    }
    weights
}

fn is_woken(ingress: &Ingress<Parcel>) -> bool {
    pin!(ingress.wake())
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

#[track_caller]
fn assert_accounts(ingress: &Ingress<Parcel>, calls: u64) {
    assert_eq!(
        calls,
        ingress.accepted() + ingress.refused().total(),
        "calls"
    );
    let left = ingress.drained() + ingress.dropped().total() + ingress.len() as u64;
    assert_eq!(ingress.accepted(), left, "accepted");
}

#[test]
fn events_come_out_in_order_with_their_weights_and_stay_charged() {
    let ingress = plain(8, 100);
    for weight in [1, 2, 3] {
        ingress.try_push((weight, false)).unwrap();
    }
    let mut out = Vec::new();
    assert_eq!(
        ingress.drain(2, |(event, _), weight, _| out.push((event, weight))),
        2
    );
    assert_eq!(out, [(1, 1), (2, 2)]);
    assert_eq!(
        (ingress.len(), ingress.drained(), ingress.budget().used()),
        (1, 2, 6)
    );
    drop(Charge::adopt(ingress.budget(), 3));
    assert_eq!(ingress.budget().used(), 3);
    assert_accounts(&ingress, 3);
}

#[test]
fn a_full_ring_refuses_the_newest_and_gives_it_back() {
    let ingress = plain(2, 100);
    ingress.try_push((1, false)).unwrap();
    ingress.try_push((1, false)).unwrap();
    let refused = ingress.try_push((7, true)).unwrap_err();
    assert_eq!(
        (refused.event, refused.reason),
        ((7, true), RefuseReason::Full)
    );
    assert_eq!(
        ingress.budget().used(),
        2,
        "the refused event is not charged"
    );
    assert_accounts(&ingress, 3);
}

#[test]
fn bytes_are_refused_above_the_ceiling_until_they_are_released() {
    let ingress = plain(100, 10);
    ingress.try_push((6, false)).unwrap();
    assert_eq!(
        reason(ingress.try_push((5, false))),
        Some(RefuseReason::Full)
    );
    ingress.try_push((4, false)).unwrap();
    let drained = ingress.drain(10, |_, _, _| {});
    assert_eq!(
        reason(ingress.try_push((1, false))),
        Some(RefuseReason::Full),
        "{drained} are held"
    );
    ingress.budget().release(10);
    ingress.try_push((10, false)).unwrap();
    assert_accounts(&ingress, 5);
}

#[test]
fn an_event_over_the_whole_ceiling_is_too_large_even_when_empty() {
    let ingress = plain(4, 10);
    assert_eq!(
        reason(ingress.try_push((11, false))),
        Some(RefuseReason::TooLarge)
    );
    assert_eq!(
        reason(ingress.try_push((usize::MAX, false))),
        Some(RefuseReason::TooLarge)
    );
    ingress.try_push((10, false)).unwrap();
    assert_eq!(ingress.refused().get(RefuseReason::TooLarge), 2);
    assert_accounts(&ingress, 3);
}

#[test]
fn a_weight_beyond_32_bits_is_too_large_under_any_ceiling() {
    let ingress = plain(4, usize::MAX);
    let heavy = u32::MAX as usize + 1;
    assert_eq!(
        reason(ingress.try_push((heavy, false))),
        Some(RefuseReason::TooLarge)
    );
    ingress.try_push((u32::MAX as usize, false)).unwrap();
    assert_eq!(settle(&ingress), [u32::MAX as usize]);
}

#[test]
fn a_capacity_of_zero_is_one() {
    let ingress = plain(0, 10);
    assert_eq!(ingress.capacity(), 1);
    ingress.try_push((1, false)).unwrap();
    assert_eq!(
        reason(ingress.try_push((1, false))),
        Some(RefuseReason::Full)
    );
}

#[test]
fn drop_oldest_makes_room_in_the_ring_and_counts_what_it_drops() {
    let ingress = ingress(2, 100, Overflow::DropOldest);
    for weight in [1, 2, 3, 4] {
        ingress.try_push((weight, false)).unwrap();
    }
    assert_eq!(ingress.dropped().get(DropReason::Overflow), 2);
    assert_eq!(ingress.accepted(), 4);
    assert_accounts(&ingress, 4);
    assert_eq!(settle(&ingress), [3, 4]);
    assert_eq!(ingress.budget().used(), 0);
}

#[test]
fn drop_oldest_drops_as_many_as_the_bytes_of_the_new_one_need() {
    let ingress = ingress(10, 10, Overflow::DropOldest);
    for weight in [3, 3, 3] {
        ingress.try_push((weight, false)).unwrap();
    }
    ingress.try_push((7, false)).unwrap();
    assert_eq!(ingress.dropped().get(DropReason::Overflow), 2);
    assert_eq!(settle(&ingress), [3, 7]);
    assert_accounts(&ingress, 4);
}

#[test]
fn drop_oldest_refuses_when_the_bytes_are_held_outside_the_ring() {
    let ingress = ingress(10, 10, Overflow::DropOldest);
    ingress.try_push((8, false)).unwrap();
    ingress.drain(1, |_, _, _| {});
    ingress.try_push((2, false)).unwrap();
    assert_eq!(
        reason(ingress.try_push((3, false))),
        Some(RefuseReason::Full)
    );
    assert_eq!(ingress.dropped().get(DropReason::Overflow), 1);
    assert_accounts(&ingress, 3);
}

#[test]
fn by_priority_keeps_an_eighth_of_the_places_for_high_events() {
    let ingress = ingress(16, 1_000, Overflow::ByPriority);
    for _ in 0..14 {
        ingress.try_push((1, false)).unwrap();
    }
    assert_eq!(
        reason(ingress.try_push((1, false))),
        Some(RefuseReason::Full)
    );
    ingress.try_push((2, true)).unwrap();
    ingress.try_push((3, true)).unwrap();
    assert_eq!(ingress.dropped().total(), 0);
    ingress.try_push((4, true)).unwrap();
    assert_eq!(
        ingress.dropped().get(DropReason::Overflow),
        1,
        "a high event evicts when full"
    );
    assert_accounts(&ingress, 18);
}

#[test]
fn by_priority_keeps_an_eighth_of_the_bytes_for_high_events() {
    let ingress = ingress(100, 80, Overflow::ByPriority);
    ingress.try_push((70, false)).unwrap();
    assert_eq!(
        reason(ingress.try_push((1, false))),
        Some(RefuseReason::Full)
    );
    ingress.try_push((10, true)).unwrap();
    ingress.try_push((1, true)).unwrap();
    assert_eq!(ingress.dropped().get(DropReason::Overflow), 1);
    assert_eq!(settle(&ingress), [10, 1]);
}

#[test]
fn by_priority_calls_a_normal_event_too_large_that_could_never_fit_its_share() {
    let ingress = ingress(100, 80, Overflow::ByPriority);
    assert_eq!(
        reason(ingress.try_push((71, false))),
        Some(RefuseReason::TooLarge)
    );
    ingress.try_push((71, true)).unwrap();
}

#[test]
fn by_priority_leaves_a_tiny_ring_usable_for_normal_events() {
    let ingress = ingress(1, 7, Overflow::ByPriority);
    ingress.try_push((7, false)).unwrap();
    assert_eq!(settle(&ingress), [7]);
}

#[test]
fn a_closed_ingress_refuses_and_counts_but_is_still_drained() {
    let ingress = plain(4, 100);
    ingress.try_push((1, false)).unwrap();
    ingress.close();
    ingress.close();
    assert!(ingress.is_closed());
    assert_eq!(
        reason(ingress.try_push((1, false))),
        Some(RefuseReason::Closed)
    );
    assert_eq!(settle(&ingress), [1]);
    assert!(
        !ingress.park(Park::Idle),
        "a closed ingress never parks its consumer"
    );
    ingress.finish(DropReason::Abandoned);
    assert_eq!(ingress.dropped().total(), 0);
    assert_accounts(&ingress, 2);
}

#[test]
fn finish_counts_what_is_left_under_its_reason_and_releases_it() {
    let ingress = plain(4, 100);
    ingress.try_push((1, false)).unwrap();
    ingress.try_push((2, false)).unwrap();
    ingress.finish(DropReason::Deadline);
    ingress.finish(DropReason::Abandoned);
    assert_eq!(ingress.dropped().get(DropReason::Deadline), 2);
    assert_eq!(ingress.dropped().total(), 2);
    assert_eq!((ingress.len(), ingress.budget().used()), (0, 0));
    assert_eq!(
        reason(ingress.try_push((1, false))),
        Some(RefuseReason::Closed)
    );
    assert_accounts(&ingress, 3);
}

#[test]
fn try_finish_waits_for_the_close_and_for_the_last_event() {
    let ingress = plain(4, 100);
    ingress.try_push((1, false)).unwrap();
    assert!(!ingress.try_finish(), "open");
    ingress.close();
    assert!(!ingress.try_finish(), "not drained");
    settle(&ingress);
    assert!(ingress.try_finish());
}

#[test]
fn a_push_wakes_an_idle_consumer_once() {
    let ingress = plain(8, 100);
    assert!(ingress.park(Park::Idle));
    assert!(!is_woken(&ingress));
    ingress.try_push((1, false)).unwrap();
    ingress.try_push((1, false)).unwrap();
    assert!(is_woken(&ingress));
    assert!(!is_woken(&ingress), "only the first push pays for a wake");
}

#[test]
fn an_event_that_weighs_nothing_counts_as_one_byte() {
    let ingress = plain(8, 2);
    ingress.try_push((0, false)).unwrap();
    ingress.try_push((0, false)).unwrap();
    let third = ingress.try_push((0, false));
    assert_eq!(reason(third), Some(RefuseReason::Full));
    assert_eq!(settle(&ingress), [1, 1]);
    assert_accounts(&ingress, 3);
}

#[test]
fn an_event_that_nobody_can_weigh_is_refused_as_too_large_and_the_caller_goes_on() {
    let mut options = options(8, 100, Overflow::DropOldest);
    options.weigh = |&(weight, _)| {
        assert_ne!(weight, 13, "panic of the script");
        weight
    };
    let ingress = Ingress::new(&options);
    ingress.try_push((1, false)).unwrap();
    let refused = ingress.try_push((13, false)).unwrap_err();
    assert_eq!(refused.event, (13, false), "it is given back");
    assert_eq!(refused.reason, RefuseReason::TooLarge);
    let waits = pin!(ingress.push_wait((13, false)));
    let polled = waits.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(_))), "{polled:?}");
    assert_eq!(ingress.refused().get(RefuseReason::TooLarge), 2);
    assert_eq!(settle(&ingress), [1]);
    assert_accounts(&ingress, 3);
}

#[test]
fn a_running_consumer_is_not_woken() {
    let ingress = plain(8, 100);
    ingress.try_push((1, false)).unwrap();
    assert!(!is_woken(&ingress));
    assert!(!ingress.park(Park::Idle), "there is work");
    ingress.try_push((1, false)).unwrap();
    assert!(
        !is_woken(&ingress),
        "a park that failed leaves the consumer running"
    );
}

#[test]
fn a_lingering_consumer_is_woken_when_the_ring_reaches_the_threshold() {
    let ingress = plain(8, 100);
    ingress.try_push((1, false)).unwrap();
    assert!(ingress.park(Park::Linger { threshold: 3 }));
    ingress.try_push((1, false)).unwrap();
    assert!(!is_woken(&ingress));
    ingress.try_push((1, false)).unwrap();
    assert!(is_woken(&ingress));
    assert!(
        !ingress.park(Park::Linger { threshold: 3 }),
        "the threshold is reached"
    );
}

#[test]
fn after_its_timer_a_lingering_consumer_runs_and_no_push_wakes_it() {
    let ingress = plain(8, 100);
    assert!(ingress.park(Park::Linger { threshold: 2 }));
    ingress.unpark();
    ingress.try_push((1, false)).unwrap();
    ingress.try_push((1, false)).unwrap();
    assert!(!is_woken(&ingress));
}

#[test]
fn closing_wakes_a_parked_consumer() {
    let ingress = plain(8, 100);
    assert!(ingress.park(Park::Linger { threshold: 5 }));
    ingress.close();
    assert!(is_woken(&ingress));
}

#[test]
fn a_sink_that_panics_loses_one_event_and_the_next_consumer_goes_on() {
    let ingress = plain(8, 100);
    for weight in [1, 2, 3] {
        ingress.try_push((weight, false)).unwrap();
    }
    let crash = || ingress.drain(9, |_, weight, _| assert_ne!(weight, 2, "crash"));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(crash)).unwrap_err();
    assert_eq!(ingress.drained(), 2);
    ingress.unpark();
    assert_eq!(settle(&ingress), [3]);
    assert_accounts(&ingress, 3);
}

#[test]
fn a_second_drain_at_the_same_time_gets_nothing() {
    let ingress = plain(8, 100);
    ingress.try_push((1, false)).unwrap();
    ingress.try_push((1, false)).unwrap();
    let inner = Cell::new(usize::MAX);
    let taken = ingress.drain(1, |_, _, _| inner.set(ingress.drain(1, |_, _, _| {})));
    assert_eq!((taken, inner.get()), (1, 0));
    assert_accounts(&ingress, 2);
}
