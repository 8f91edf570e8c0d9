//! What a full lane gives up.

use super::*;

const HIGH: Priority = Priority::High;
const NORMAL: Priority = Priority::Normal;

fn lane(room: usize, overflow: Overflow, concurrency: usize) -> Rig {
    let max_bytes = Some(room * WEIGHT);
    let options = LaneOptions {
        concurrency,
        max_bytes,
        overflow,
        ..options()
    };
    Rig::new(4, options)
}

/// A lane of `room` events whose first request, of four events, is in flight.
fn full(room: usize, overflow: Overflow) -> (Rig, Open) {
    let mut rig = lane(room, overflow, 1);
    rig.offer(4);
    let open = rig.start();
    (rig, open)
}

impl Rig {
    pub(super) fn offer_mixed(&mut self, priorities: &[Priority]) {
        let sealed = self.mixed(priorities);
        drop(self.lane.offer(&sealed));
        drop(sealed);
        self.check();
    }

    /// What is in the lane, in order.
    pub(super) fn present(&self) -> Vec<u64> {
        let state = self.lane.lock();
        let mut ids: Vec<u64> = state.walk().flat_map(|s| s.events().to_vec()).collect();
        ids.sort_unstable();
        ids
    }

    fn overflowed(&self) -> u64 {
        self.ledger().dropped.get(DropReason::Overflow)
    }
}

#[test]
fn a_full_lane_gives_up_its_oldest_waiting_batches_when_told_so() {
    let (mut rig, open) = full(12, Overflow::DropOldest);
    rig.offer_all(&[4, 4, 4]);
    rig.answer(&open, Outcome::Delivered);
    assert_eq!(rig.run(|_| Outcome::Delivered).concat(), ids(8..16));
    assert_eq!(rig.ledger().dropped.get(DropReason::Overflow), 4);
}

#[test]
fn a_full_lane_gives_up_what_comes_in_when_told_so() {
    let (mut rig, open) = full(12, Overflow::DropNewest);
    rig.offer_all(&[4, 4, 4]);
    rig.answer(&open, Outcome::Delivered);
    assert_eq!(rig.run(|_| Outcome::Delivered).concat(), ids(4..12));
}

#[test]
fn a_full_lane_spares_batches_that_matter_when_told_so() {
    let (mut rig, open) = full(12, Overflow::ByPriority);
    rig.offer_mixed(&[NORMAL, HIGH, NORMAL, NORMAL]);
    rig.offer_all(&[4, 4]);
    rig.answer(&open, Outcome::Delivered);
    let delivered = rig.run(|_| Outcome::Delivered).concat();
    // of the second batch only what matters, of the third nothing: the oldest normal ones go first
    assert_eq!(delivered, [vec![5], ids(12..16)].concat());
}

#[test]
fn an_event_that_matters_does_not_keep_the_others_of_its_batch_alive() {
    let mut rig = lane(8, Overflow::ByPriority, 1);
    for _ in 0..8 {
        rig.offer_mixed(&[NORMAL, NORMAL, HIGH, NORMAL]);
    }
    let high: Vec<u64> = (0..8).map(|batch| batch * 4 + 2).collect();
    assert_eq!(rig.present(), high);
    assert_eq!(rig.lane.status(rig.now).pinned_bytes, 8 * WEIGHT);
}

#[test]
fn an_incoming_event_that_does_not_matter_yields_to_those_that_do() {
    let mut rig = lane(4, Overflow::ByPriority, 1);
    rig.offer_mixed(&[HIGH, HIGH, HIGH, HIGH]);
    rig.offer(1);
    assert_eq!(rig.present(), ids(0..4));
    rig.offer_mixed(&[HIGH]);
    assert_eq!(
        rig.present(),
        [4 + 1],
        "then the oldest of those that matter"
    );
}

#[test]
fn a_retry_that_waits_gives_up_what_does_not_matter_and_is_encoded_anew() {
    let mut rig = lane(8, Overflow::ByPriority, 1);
    rig.offer_mixed(&[NORMAL, HIGH, NORMAL, HIGH]);
    let open = rig.start();
    assert_eq!(open.events, ids(0..4), "in order, whatever the priorities");
    rig.answer(&open, retry());
    let wait = rig.waits().expect("it waits");
    rig.offer_mixed(&[HIGH; 6]);
    assert_eq!(rig.present(), [vec![1, 3], ids(4..10)].concat());
    assert_eq!(rig.waits(), Some(wait), "the failure is not forgotten");
    rig.later(wait);
    let again = rig.start();
    assert_eq!((again.events, again.was_encoded), (vec![1, 3], false));
}

#[test]
fn the_request_that_waits_in_front_keeps_a_batch_and_its_wait() {
    for overflow in [Overflow::DropOldest, Overflow::ByPriority] {
        let mut rig = lane(7, overflow, 1);
        rig.offer_all(&[2, 2]);
        let open = rig.start();
        rig.answer(&open, retry());
        let wait = rig.waits().expect("it waits");
        for _ in 0..20 {
            rig.offer_mixed(&[HIGH; 4]);
            assert_eq!(rig.waits(), Some(wait));
        }
        let kept = [vec![2, 3], ids(80..84)].concat();
        assert_eq!(rig.present(), kept, "{overflow:?}");
    }
}

#[test]
fn what_is_in_flight_is_never_given_up() {
    for overflow in [
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::ByPriority,
    ] {
        let mut rig = lane(8, overflow, 2);
        rig.offer_all(&[6, 2]);
        // the first batch is cut: a part of it is in flight, the rest in another flight
        let open = [rig.start(), rig.start()];
        assert_eq!(open[1].events, ids(4..8));
        for _ in 0..5 {
            rig.offer_mixed(&[HIGH; 4]);
            assert_eq!(rig.present(), ids(0..8), "{overflow:?}");
        }
        assert_eq!(rig.overflowed(), 20);
        rig.answer(&open[0], Outcome::Delivered);
        rig.answer(&open[1], Outcome::Delivered);
        assert_eq!(rig.ledger().delivered, 8);
    }
}

#[test]
fn the_rest_of_a_batch_that_is_in_flight_stays_because_giving_it_up_would_free_nothing() {
    let mut rig = lane(8, Overflow::DropOldest, 1);
    rig.offer(6);
    let open = rig.start();
    rig.offer_all(&[2, 2]);
    assert_eq!(rig.present(), [ids(0..6), ids(8..10)].concat());
    rig.answer(&open, Outcome::Delivered);
    assert_eq!(rig.run(|_| Outcome::Delivered), [vec![4, 5, 8, 9]]);
}

/// A lane of 16 events with two batches of four, of which one event each has to be sent again.
fn thinned(overflow: Overflow) -> Rig {
    let options = LaneOptions {
        max_bytes: Some(16 * WEIGHT),
        overflow,
        ..options()
    };
    let mut rig = Rig::new(8, options);
    rig.offer_all(&[4, 4]);
    let open = rig.start();
    let verdict = |i| {
        if i % 4 == 3 {
            Verdict::Retry
        } else {
            Verdict::Delivered
        }
    };
    rig.answer(&open, Outcome::PerEvent((0..8).map(verdict).collect()));
    let status = rig.lane.status(rig.now);
    let held = (status.pending_bytes, status.pinned_bytes);
    assert_eq!(held, (2 * WEIGHT, 8 * WEIGHT));
    rig
}

#[test]
fn few_leftovers_give_way_to_many_events_and_the_wait_is_kept() {
    for overflow in [Overflow::DropOldest, Overflow::ByPriority] {
        let mut rig = thinned(overflow);
        rig.offer_all(&[4, 4]);
        assert_eq!(rig.overflowed(), 0, "full to the last byte");
        let wait = rig.waits();
        rig.offer(4);
        // three events and one that was left of four would be five batches
        assert_eq!(
            rig.present(),
            [vec![7], ids(8..20)].concat(),
            "{overflow:?}"
        );
        assert_eq!(rig.waits(), wait);
    }
}

#[test]
fn leftovers_stay_where_the_newest_yields() {
    let mut rig = thinned(Overflow::DropNewest);
    rig.offer_all(&[4, 4, 4]);
    assert_eq!(rig.present(), [vec![3, 7], ids(8..16)].concat());
}

#[test]
fn of_what_was_tried_the_oldest_goes_first_whichever_failed_last() {
    let mut rig = lane(8, Overflow::DropOldest, 2);
    rig.offer_all(&[4, 2, 2]);
    let open = [rig.start(), rig.start()];
    rig.answer(&open[0], retry());
    rig.answer(&open[1], retry());
    rig.offer(4);
    assert_eq!(rig.present(), ids(4..12));
}

#[test]
fn a_priority_function_that_panics_costs_no_event() {
    let ingress = crate::ingress::Ingress::new(&crate::ingress::IngressOptions {
        capacity: 8,
        max_bytes: 1 << 10,
        overflow: Overflow::ByPriority,
        weigh: |_: &u64| WEIGHT,
        priority: Some(|_| panic!("priority")),
        trusted: false,
    });
    let (mut rig, open) = full(100, Overflow::ByPriority);
    for id in 4..8 {
        ingress.try_push(id).expect("there is room");
    }
    let mut taken = Vec::new();
    ingress.drain(8, |_, _, priority| taken.push(priority));
    rig.offer_mixed(&taken);
    assert_eq!(taken, [NORMAL; 4]);
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
