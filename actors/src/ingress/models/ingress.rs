//! The whole ingress: close, finish and waiting pushes keep the accounts exact.

use std::sync::Arc;

use loom::thread;

use super::block_on;
use crate::ingress::{Ingress, IngressOptions, Overflow, Park};
use crate::ledger::{DropReason, RefuseReason};

type Shared = Arc<Ingress<u8>>;

fn ingress(capacity: usize, max_bytes: usize, overflow: Overflow) -> Shared {
    Arc::new(Ingress::new(&IngressOptions {
        capacity,
        max_bytes,
        overflow,
        weigh: |_| 1,
        priority: None,
        trusted: false,
    }))
}

/// Threads that push one event each and tell whether it was taken in.
fn pushers(ingress: &Shared, number: usize) -> Vec<thread::JoinHandle<bool>> {
    let pusher = |_| {
        let ingress = Arc::clone(ingress);
        thread::spawn(move || ingress.try_push(0).is_ok())
    };
    (0..number).map(pusher).collect()
}

fn taken_in(threads: Vec<thread::JoinHandle<bool>>) -> u64 {
    threads
        .into_iter()
        .map(|thread| u64::from(thread.join().unwrap()))
        .sum()
}

/// Drains and releases.
fn settle(ingress: &Shared) -> usize {
    let drained = ingress.drain(usize::MAX, |_, _, _| {});
    if drained > 0 {
        ingress.budget().release(drained);
    }
    drained
}

fn assert_settled(ingress: &Shared, calls: u64, accepted: u64) {
    assert_accounts(ingress, calls, accepted);
    assert_eq!(
        (ingress.len(), ingress.budget().used()),
        (0, 0),
        "leftovers"
    );
}

/// Who ends an ingress does not wait for a push under way, whose event may stay in the ring.
fn assert_accounts(ingress: &Shared, calls: u64, accepted: u64) {
    assert_eq!(ingress.accepted(), accepted, "what producers were told");
    assert_eq!(calls, accepted + ingress.refused().total(), "calls");
    assert_eq!(
        accepted,
        ingress.drained() + ingress.dropped().total(),
        "ends"
    );
}

fn close_racing(producers: usize) {
    loom::model(move || {
        let ingress = ingress(4, 4, Overflow::DropNewest);
        let threads = pushers(&ingress, producers);
        ingress.close();
        while !ingress.try_finish() {
            settle(&ingress);
            // a push may be under way
            thread::yield_now();
        }
        let accepted = taken_in(threads);
        assert_settled(&ingress, producers as u64, accepted);
    });
}

fn finish_racing(producers: usize) {
    loom::model(move || {
        let ingress = ingress(4, 4, Overflow::DropNewest);
        let threads = pushers(&ingress, producers);
        ingress.finish(DropReason::Deadline);
        let accepted = taken_in(threads);
        assert_accounts(&ingress, producers as u64, accepted);
    });
}

#[test]
fn a_close_racing_one_push_keeps_the_accounts() {
    close_racing(1);
}

#[test]
fn a_close_racing_two_pushes_keeps_the_accounts() {
    close_racing(2);
}

#[test]
fn a_finish_racing_one_push_keeps_the_accounts() {
    finish_racing(1);
}

#[test]
fn a_finish_racing_two_pushes_keeps_the_accounts() {
    finish_racing(2);
}

#[test]
fn a_parked_consumer_sees_the_push_and_the_close() {
    loom::model(|| {
        let ingress = ingress(4, 4, Overflow::DropNewest);
        let threads = pushers(&ingress, 1);
        let closer = {
            let ingress = Arc::clone(&ingress);
            thread::spawn(move || ingress.close())
        };
        while !ingress.try_finish() {
            if settle(&ingress) == 0 && ingress.park(Park::Idle) {
                block_on(ingress.wake());
                ingress.unpark();
            }
            // a push may be under way
            thread::yield_now();
        }
        closer.join().unwrap();
        let accepted = taken_in(threads);
        assert_settled(&ingress, 1, accepted);
    });
}

#[test]
fn evicting_and_draining_the_same_event_counts_it_once() {
    loom::model(|| {
        let ingress = ingress(1, 4, Overflow::DropOldest);
        ingress.try_push(0).unwrap();
        let threads = pushers(&ingress, 1);
        settle(&ingress);
        let accepted = 1 + taken_in(threads);
        assert_eq!(accepted, 2, "one of them always gives way");
        settle(&ingress);
        assert_settled(&ingress, 2, accepted);
    });
}

/// Waits with one push while `relieve` runs; `Ok` unless refused.
fn waiting_push(ingress: &Shared, relieve: impl FnOnce(&Shared)) -> Result<(), RefuseReason> {
    let waiter = {
        let ingress = Arc::clone(ingress);
        thread::spawn(move || block_on(ingress.push_wait(0)).map_err(|refused| refused.reason))
    };
    relieve(ingress);
    waiter.join().unwrap()
}

#[test]
fn a_push_that_waits_for_a_place_gets_it_when_the_ring_is_drained() {
    loom::model(|| {
        let ingress = ingress(1, 4, Overflow::DropOldest);
        ingress.try_push(0).unwrap();
        let pushed = waiting_push(&ingress, |ingress| {
            assert!(ingress.drain(1, |_, _, _| {}) == 1)
        });
        assert_eq!((pushed, ingress.dropped().total()), (Ok(()), 0));
    });
}

#[test]
fn a_push_that_waits_for_bytes_gets_them_when_they_are_released() {
    loom::model(|| {
        let ingress = ingress(4, 1, Overflow::DropNewest);
        ingress.try_push(0).unwrap();
        ingress.drain(1, |_, _, _| {});
        let pushed = waiting_push(&ingress, |ingress| ingress.budget().release(1));
        assert_eq!((pushed, ingress.budget().used()), (Ok(()), 1));
    });
}

#[test]
fn a_push_that_waits_is_refused_by_a_close() {
    loom::model(|| {
        let ingress = ingress(1, 4, Overflow::DropNewest);
        ingress.try_push(0).unwrap();
        let pushed = waiting_push(&ingress, |ingress| ingress.close());
        assert_eq!(pushed, Err(RefuseReason::Closed));
        assert_eq!((ingress.accepted(), ingress.refused().total()), (1, 1));
    });
}
