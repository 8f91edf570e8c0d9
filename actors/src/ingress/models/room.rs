//! The waiting room of the budget: nobody who waits is forgotten.

use std::pin::pin;
use std::sync::Arc;

use loom::thread;

use super::block_on;
use crate::budget::Budget;
use crate::sync::{AtomicUsize, Notify, Ordering, fence};

/// Threads that wait for one byte each.
fn waiters(budget: &Arc<Budget>, number: usize) -> Vec<thread::JoinHandle<()>> {
    let waiter = |_| {
        let budget = Arc::clone(budget);
        let wait = move || block_on(budget.room().until(|| budget.try_charge(1).then_some(())));
        thread::spawn(wait)
    };
    (0..number).map(waiter).collect()
}

#[test]
fn a_waiter_gets_what_is_released() {
    loom::model(|| {
        let budget = Arc::new(Budget::new(1));
        assert!(budget.try_charge(1));
        let threads = waiters(&budget, 1);
        budget.release(1);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!((budget.used(), budget.room().waiting()), (1, 0));
    });
}

#[test]
fn one_release_serves_two_waiters_one_after_the_other() {
    loom::model(|| {
        let budget = Arc::new(Budget::new(2));
        assert!(budget.try_charge(2));
        let threads = waiters(&budget, 2);
        budget.release(2);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!((budget.used(), budget.room().waiting()), (2, 0));
    });
}

#[test]
fn a_waiter_that_gives_up_hands_its_wake_up_to_the_other() {
    loom::model(|| {
        let budget = Arc::new(Budget::new(1));
        assert!(budget.try_charge(1));
        let threads = waiters(&budget, 1);
        {
            let mut given_up = pin!(budget.room().until(|| None::<()>));
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            assert!(given_up.as_mut().poll(&mut context).is_pending());
            budget.release(1);
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(budget.room().waiting(), 0);
    });
}

/// The room's protocol with its two fences in or out, and its look after registering.
fn a_waiter_and_a_release(waiter_fenced: bool, release_fenced: bool, looks_again: bool) {
    struct Shared {
        used: AtomicUsize,
        waiting: AtomicUsize,
        wake: Notify,
    }
    loom::model(move || {
        let shared = Arc::new(Shared {
            used: AtomicUsize::new(1),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
        });
        let waiter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if !looks_again && shared.used.load(Ordering::Relaxed) == 0 {
                    return;
                }
                shared.waiting.fetch_add(1, Ordering::Relaxed);
                let mut woken = pin!(shared.wake.notified());
                woken.as_mut().enable();
                if waiter_fenced {
                    fence(Ordering::SeqCst);
                }
                if !looks_again || shared.used.load(Ordering::Relaxed) > 0 {
                    block_on(woken);
                }
            })
        };
        shared.used.fetch_sub(1, Ordering::Relaxed);
        if release_fenced {
            fence(Ordering::SeqCst);
        }
        if shared.waiting.load(Ordering::Relaxed) > 0 {
            shared.wake.notify_one();
        }
        waiter.join().unwrap();
    });
}

#[test]
fn the_copy_with_both_fences_passes() {
    a_waiter_and_a_release(true, true, true);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_waiters_fence_a_wake_up_is_lost() {
    a_waiter_and_a_release(false, true, true);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_releasers_fence_a_wake_up_is_lost() {
    a_waiter_and_a_release(true, false, true);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_a_look_after_registering_a_wake_up_is_lost() {
    a_waiter_and_a_release(true, true, false);
}
