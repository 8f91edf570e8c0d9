//! What a ring does once it finds itself in a child process.

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{Overflow, Parcel, ingress, is_woken, reason};
use crate::ingress::{Ingress, Park};
use crate::ledger::{DropReason, RefuseReason};
use crate::origin::Origin;

thread_local! {
    /// The process that this test is in.
    static PROCESS: Cell<u32> = const { Cell::new(1) };
}

fn forkable(capacity: usize, overflow: Overflow) -> Ingress<Parcel> {
    PROCESS.set(1);
    let mut ring = ingress(capacity, usize::MAX, overflow);
    ring.origin = Origin::told_by(|| PROCESS.get());
    ring
}

fn fork() {
    PROCESS.set(2);
}

fn push(ring: &Ingress<Parcel>) -> Option<RefuseReason> {
    reason(ring.try_push((1, false)))
}

#[test]
fn a_push_that_would_wake_the_consumer_finds_out_and_wakes_nobody() {
    let ring = forkable(100, Overflow::DropNewest);
    assert!(ring.park(Park::Idle));
    fork();
    assert_eq!(push(&ring), None, "it was in the ring already");
    assert!(!is_woken(&ring), "a lock that may be held was not touched");
    assert_eq!(push(&ring), Some(RefuseReason::Forked));
    assert_eq!(ring.refused().get(RefuseReason::Forked), 1);
    assert_eq!(ring.refused().total(), 1);
    assert_eq!((ring.len(), ring.accepted()), (1, 1));
}

#[test]
fn one_push_in_256_looks_whether_anybody_is_still_there() {
    for lingering in [false, true] {
        let ring = forkable(1000, Overflow::DropNewest);
        if lingering {
            assert!(ring.park(Park::Linger { threshold: 1000 }));
        }
        fork();
        for _ in 0..256 {
            assert_eq!(push(&ring), None);
        }
        assert_eq!(push(&ring), Some(RefuseReason::Forked), "{lingering}");
        assert_eq!((ring.len(), ring.accepted()), (256, 256));
    }
}

#[test]
fn a_full_ring_refuses_as_forked_under_every_policy_and_is_left_alone() {
    for overflow in [
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::ByPriority,
    ] {
        let ring = forkable(4, overflow);
        for _ in 0..6 {
            push(&ring);
        }
        let (held, dropped) = (ring.len(), ring.dropped().get(DropReason::Overflow));
        fork();
        assert_eq!(push(&ring), Some(RefuseReason::Forked), "{overflow:?}");
        assert_eq!(ring.len(), held);
        assert_eq!(ring.dropped().total(), dropped);
    }
}

#[test]
fn a_ring_that_is_nearly_full_is_not_pushed_into() {
    for (held, refused) in [(83, None), (84, Some(RefuseReason::Forked))] {
        let ring = forkable(100, Overflow::DropNewest);
        for _ in 0..held {
            assert_eq!(push(&ring), None);
        }
        fork();
        assert_eq!(push(&ring), refused, "{held}");
    }
}

#[test]
fn nobody_waits_for_room_that_nobody_will_make() {
    let ring = forkable(1, Overflow::DropNewest);
    assert_eq!(push(&ring), None);
    fork();
    let wait = pin!(ring.push_wait((1, false)));
    match wait.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(refused) => assert_eq!(reason(refused), Some(RefuseReason::Forked)),
        Poll::Pending => panic!("waits for ever"),
    }
}

#[test]
fn an_engine_that_was_closed_before_still_says_closed() {
    let ring = forkable(1, Overflow::DropNewest);
    ring.close();
    fork();
    assert_eq!(push(&ring), Some(RefuseReason::Closed));
    assert!(ring.is_forked());
    assert_eq!(push(&ring), Some(RefuseReason::Forked));
}
