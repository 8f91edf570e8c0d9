//! Copies are made without a lock, and a flush waits for them.

use std::cell::RefCell;
use std::sync::Weak;

use super::*;
use crate::budget::{Budget, Charge};
use crate::request::{Batch, Sealed};

thread_local! {
    static LANE: RefCell<Weak<Lane<Curious>>> = const { RefCell::new(Weak::new()) };
    static FLUSH_WOULD_WAIT: RefCell<Option<bool>> = const { RefCell::new(None) };
}

/// An event whose copy asks its lane whether a flush would wait.
struct Curious;

impl Clone for Curious {
    fn clone(&self) -> Self {
        let lane = LANE.with_borrow(Weak::upgrade);
        FLUSH_WOULD_WAIT.set(lane.map(|lane| lane.is_pending_through(0)));
        Self
    }
}

struct Nowhere;

impl Provider<Curious> for Nowhere {
    fn name(&self) -> &'static str {
        "nowhere"
    }

    fn limits(&self) -> Limits {
        Limits::new(10, 1000)
    }

    fn encode(&self, _: &Events<'_, Curious>, _: usize) -> Encoded {
        Encoded::default()
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, Curious>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_flush_does_not_end_before_the_copies_are_made() {
    let dead = DeadLetters::start(Options::new(), |_| 1, &["nowhere"]).expect("no thread");
    let options = LaneOptions::default();
    let lane = Lane::new(Box::new(Nowhere), options, 1000);
    let lane = Arc::new(lane.with_dead_letters(Arc::clone(&dead.stores[0])));
    LANE.set(Arc::downgrade(&lane));
    let budget = Arc::new(Budget::new(10));
    assert!(budget.try_charge(1));
    let charge = Charge::adopt(&budget, 1);
    let batch = Batch::new(1, vec![Curious], Instant::now(), charge);
    drop(lane.offer(&Sealed::whole(batch)));
    let Next::Start(attempt) = lane.next(Instant::now()) else {
        panic!("due");
    };
    lane.finish(attempt.id, refused(), Instant::now(), 1.0);
    assert_eq!(FLUSH_WOULD_WAIT.take(), Some(true));
    assert!(!lane.is_pending_through(u64::MAX));
    assert_eq!(dead.list().len(), 1);
}
