//! Pushes that wait for room.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Parcel, assert_accounts, ingress, plain, reason, settle};
use crate::ingress::{Overflow, Refused};
use crate::ledger::RefuseReason;

fn poll(
    future: Pin<&mut impl Future<Output = Result<(), Refused<Parcel>>>>,
) -> Poll<Option<RefuseReason>> {
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .map(reason)
}

#[test]
fn push_wait_takes_free_room_at_once() {
    let ingress = plain(1, 10);
    let mut push = pin!(ingress.push_wait((1, false)));
    assert_eq!(poll(push.as_mut()), Poll::Ready(None));
    assert_eq!(ingress.budget().room().waiting(), 0);
}

#[test]
fn push_wait_waits_for_a_place_and_is_no_refusal() {
    let ingress = plain(1, 10);
    ingress.try_push((1, false)).unwrap();
    let mut push = pin!(ingress.push_wait((2, false)));
    assert_eq!(poll(push.as_mut()), Poll::Pending);
    ingress.drain(1, |_, _, _| {});
    assert_eq!(poll(push.as_mut()), Poll::Ready(None));
    assert_eq!(ingress.refused().total(), 0);
    assert_accounts(&ingress, 2);
}

#[test]
fn push_wait_waits_for_bytes() {
    let ingress = plain(10, 10);
    ingress.try_push((8, false)).unwrap();
    let mut push = pin!(ingress.push_wait((5, false)));
    assert_eq!(poll(push.as_mut()), Poll::Pending);
    ingress.drain(1, |_, _, _| {});
    assert_eq!(
        poll(push.as_mut()),
        Poll::Pending,
        "drained events hold their bytes"
    );
    ingress.budget().release(8);
    assert_eq!(poll(push.as_mut()), Poll::Ready(None));
}

#[test]
fn push_wait_does_not_evict_under_drop_oldest() {
    let ingress = ingress(1, 10, Overflow::DropOldest);
    ingress.try_push((1, false)).unwrap();
    let mut push = pin!(ingress.push_wait((2, false)));
    assert_eq!(poll(push.as_mut()), Poll::Pending);
    assert_eq!(ingress.dropped().total(), 0);
    assert_eq!(settle(&ingress), [1]);
    assert_eq!(poll(push.as_mut()), Poll::Ready(None));
}

#[test]
fn push_wait_refuses_what_can_never_fit() {
    let ingress = plain(4, 10);
    let mut push = pin!(ingress.push_wait((11, false)));
    assert_eq!(
        poll(push.as_mut()),
        Poll::Ready(Some(RefuseReason::TooLarge))
    );
    ingress.close();
    let mut push = pin!(ingress.push_wait((1, false)));
    assert_eq!(poll(push.as_mut()), Poll::Ready(Some(RefuseReason::Closed)));
    assert_accounts(&ingress, 2);
}

#[test]
fn closing_ends_every_wait_with_a_refusal() {
    let ingress = plain(1, 10);
    ingress.try_push((1, false)).unwrap();
    let mut first = Box::pin(ingress.push_wait((2, false)));
    let mut second = Box::pin(ingress.push_wait((2, false)));
    assert_eq!(poll(first.as_mut()), Poll::Pending);
    assert_eq!(poll(second.as_mut()), Poll::Pending);
    ingress.close();
    assert_eq!(
        poll(first.as_mut()),
        Poll::Ready(Some(RefuseReason::Closed))
    );
    assert_eq!(
        poll(second.as_mut()),
        Poll::Ready(Some(RefuseReason::Closed))
    );
    drop((first, second));
    assert_eq!(ingress.budget().room().waiting(), 0);
    assert_accounts(&ingress, 3);
}

#[test]
fn a_cancelled_wait_leaves_no_trace_and_hands_its_wake_up_on() {
    let ingress = plain(1, 10);
    ingress.try_push((1, false)).unwrap();
    let mut first = Box::pin(ingress.push_wait((2, false)));
    let mut second = Box::pin(ingress.push_wait((3, false)));
    assert_eq!(poll(first.as_mut()), Poll::Pending);
    let counter = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&counter));
    assert!(
        second
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    ingress.drain(1, |_, _, _| {});
    assert_eq!(counter.count(), 0, "the wake-up went to the first");
    drop(first);
    assert_eq!(counter.count(), 1);
    assert_eq!(poll(second.as_mut()), Poll::Ready(None));
    drop(second);
    assert_eq!(ingress.budget().room().waiting(), 0);
    assert_eq!(settle(&ingress), [3]);
    assert_accounts(&ingress, 2);
}

#[test]
fn one_large_release_serves_every_waiter_that_fits() {
    let ingress = plain(100, 100);
    ingress.try_push((100, false)).unwrap();
    ingress.drain(1, |_, _, _| {});
    let mut waiting: Vec<_> = (0..50)
        .map(|_| Box::pin(ingress.push_wait((2, false))))
        .collect();
    let counter = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&counter));
    for push in &mut waiting {
        assert!(
            push.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    ingress.budget().release(100);
    for (served, push) in waiting.iter_mut().enumerate() {
        assert_eq!(
            counter.count(),
            served + 1,
            "each one served wakes the next, and only that"
        );
        assert_eq!(poll(push.as_mut()), Poll::Ready(None));
    }
    assert_eq!(ingress.budget().used(), 100);
}

#[derive(Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}
