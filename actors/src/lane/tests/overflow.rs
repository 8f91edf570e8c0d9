//! What a full lane gives up.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// A lane of `room` events whose first request, of four events, is in flight.
fn full(room: usize, overflow: Overflow, priority: fn(&u64) -> Priority) -> (Rig, Open) {
    let max_bytes = Some(room * WEIGHT);
    let mut rig = Rig::new(
        4,
        LaneOptions {
            max_bytes,
            overflow,
            ..options()
        },
    );
    rig.lane.priority = priority;
    rig.offer(4);
    let open = rig.start();
    (rig, open)
}

#[test]
fn a_full_lane_gives_up_its_oldest_waiting_batches_when_told_so() {
    let (mut rig, open) = full(12, Overflow::DropOldest, |_| Priority::Normal);
    rig.offer_all(&[4, 4, 4]);
    rig.answer(&open, Outcome::Delivered);
    assert_eq!(rig.run(|_| Outcome::Delivered).concat(), ids(8..16));
    assert_eq!(rig.ledger().dropped.get(DropReason::Overflow), 4);
}

#[test]
fn a_full_lane_gives_up_what_comes_in_when_told_so() {
    let (mut rig, open) = full(12, Overflow::DropNewest, |_| Priority::Normal);
    rig.offer_all(&[4, 4, 4]);
    rig.answer(&open, Outcome::Delivered);
    assert_eq!(rig.run(|_| Outcome::Delivered).concat(), ids(4..12));
}

#[test]
fn a_full_lane_spares_batches_that_matter_when_told_so() {
    let urgent = |id: &u64| {
        if *id == 5 {
            Priority::High
        } else {
            Priority::Normal
        }
    };
    let (mut rig, open) = full(12, Overflow::ByPriority, urgent);
    rig.offer_all(&[4, 4, 4]);
    rig.answer(&open, Outcome::Delivered);
    let delivered = rig.run(|_| Outcome::Delivered).concat();
    assert_eq!(delivered, [ids(4..8), ids(12..16)].concat());
}

#[test]
fn a_priority_function_that_panics_costs_no_event() {
    let (mut rig, open) = full(100, Overflow::ByPriority, |_| panic!("priority"));
    let batch = rig.batch(4);
    let offered = catch_unwind(AssertUnwindSafe(|| drop(rig.lane.offer(&batch))));
    assert!(offered.is_ok());
    drop(batch);
    rig.answer(&open, Outcome::Delivered);
    rig.run(|_| Outcome::Delivered);
    assert_eq!(rig.ledger().delivered, 8);
}

#[test]
fn one_batch_that_is_larger_than_the_lane_is_taken_all_the_same() {
    let max_bytes = Some(WEIGHT);
    let mut rig = Rig::new(
        100,
        LaneOptions {
            max_bytes,
            ..options()
        },
    );
    rig.offer(50);
    assert_eq!(rig.ledger().pending, 50);
    rig.run(|_| Outcome::Delivered);
    assert_eq!(rig.ledger().delivered, 50);
}
