//! Putting letters back, and what can come between.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn redriven_events_go_to_their_own_lane_alone_behind_what_waits_there() {
    let mut rig = Rig::new(2, DeadLetterLimits::default(), 1 << 20);
    rig.push(3);
    rig.settle();
    rig.refuse(0);
    rig.deliver(1);
    rig.push(1);
    rig.settle();
    let even = rig.stages.redrive(|letter| letter.event().0 % 2 == 0);
    assert_eq!(even, Ok(Redriven { moved: 2, left: 0 }));
    rig.check();
    rig.settle();
    assert_eq!(rig.ids(), [1]);
    assert_eq!(rig.deliver(0), [3, 0, 2]);
    assert_eq!(rig.deliver(1), [3]);
    let ledger = rig.check();
    let account = |n: usize| (ledger.providers[n].redriven, ledger.providers[n].delivered);
    assert_eq!([account(0), account(1)], [(2, 3), (0, 4)]);
    assert_eq!(rig.stages.ingress.budget().used(), 0);
}

#[test]
fn an_event_that_dies_again_is_a_new_letter_that_goes_on_counting() {
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
    rig.push(2);
    rig.settle();
    rig.refuse(0);
    let first = rig.letters()[0].number();
    rig.stages
        .redrive(|letter| letter.event().0 == 0)
        .expect("open");
    rig.settle();
    rig.refuse(0);
    // together with one that was tried less often
    rig.redrive();
    rig.settle();
    rig.refuse(0);
    rig.check();
    let mut attempts: Vec<_> = rig
        .letters()
        .iter()
        .map(|letter| (letter.event().0, letter.attempts()))
        .collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [(0, 3), (1, 2)]);
    assert!(rig.letters().iter().all(|letter| letter.number() > first));
}

#[test]
fn what_the_lane_or_the_ceiling_has_no_room_for_stays_in_the_store() {
    // 64 events in all, 56 of them in the lane
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 64 * WEIGHT);
    rig.push(20);
    rig.settle();
    while !rig.refuse(0).is_empty() {}
    assert_eq!(rig.stats().kept, 20);
    rig.push(46);
    rig.settle();
    let redriven = rig.redrive();
    assert_eq!((redriven.moved, redriven.left), (10, 10));
    assert_eq!(rig.ids(), (10..20).collect::<Vec<_>>());
    let ledger = rig.check();
    assert_eq!(ledger.providers[0].dropped.total(), 0, "{ledger}");
    assert_eq!(rig.redrive(), Redriven { moved: 0, left: 10 });
    rig.settle();
    while !rig.deliver(0).is_empty() {}
    assert_eq!(rig.redrive(), Redriven { moved: 10, left: 0 });
}

#[test]
fn what_was_between_the_store_and_its_lane_when_the_engine_closed_is_its_loss_alone() {
    // in the outbox and in the hand-off: three events a batch, eight batches fit the hand-off
    for routed in [0, 2, 40] {
        let mut rig = Rig::new(2, DeadLetterLimits::default(), 1 << 20);
        rig.push(60);
        rig.settle();
        while !rig.refuse(0).is_empty() {}
        while !rig.deliver(1).is_empty() {}
        assert_eq!(rig.redrive(), Redriven { moved: 60, left: 0 });
        for _ in 0..routed {
            rig.turn();
            rig.stages.route_one();
        }
        let ledger = rig.check();
        assert_eq!(ledger.providers[0].pending, 60);
        rig.stages.close(DropReason::Deadline);
        let ledger = rig.check();
        let lost = |n: usize| ledger.providers[n].dropped.get(DropReason::Deadline);
        assert_eq!([lost(0), lost(1)], [60, 0], "{ledger}");
        assert_eq!(rig.stages.ingress.budget().used(), 0);
    }
}

#[test]
fn a_closed_engine_redrives_nothing_and_keeps_its_letters() {
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
    rig.push(3);
    rig.settle();
    rig.refuse(0);
    rig.stages.ingress.close();
    let never = |_: &DeadLetter<Item>| panic!("not asked");
    assert_eq!(rig.stages.redrive(never), Err(RedriveError::Closed));
    rig.stages.close(DropReason::Deadline);
    assert_eq!(rig.stages.redrive(|_| true), Err(RedriveError::Closed));
    assert_eq!(rig.ids(), [0, 1, 2]);
    rig.check();
}

#[test]
fn an_engine_that_closes_while_it_is_asked_which_to_redrive_keeps_them() {
    type End = fn(&Stages<Item>);
    // a drain asks for the last number right after it has closed the intake
    let ends: [End; 2] = [
        |stages| stages.ingress.close(),
        |stages| stages.close(DropReason::Deadline),
    ];
    for end in ends {
        let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
        rig.push(3);
        rig.settle();
        rig.refuse(0);
        let closing = |_: &DeadLetter<Item>| {
            end(&rig.stages);
            true
        };
        assert_eq!(rig.stages.redrive(closing), Err(RedriveError::Closed));
        assert_eq!(rig.ids(), [0, 1, 2]);
        rig.check();
        assert_eq!(rig.stages.ingress.budget().used(), 0);
    }
}

#[test]
fn a_redrive_pushes_nothing_out_of_a_full_lane_however_much_the_engine_has_room_for() {
    // 28 events for each lane
    let mut rig = Rig::new(2, DeadLetterLimits::default(), 64 * WEIGHT);
    rig.push(12);
    rig.settle();
    while !rig.refuse(0).is_empty() {}
    while !rig.deliver(1).is_empty() {}
    rig.push(21);
    rig.settle();
    assert_eq!(rig.redrive(), Redriven { moved: 7, left: 5 });
    // on the way or there: it counts
    assert_eq!(rig.redrive(), Redriven { moved: 0, left: 5 });
    rig.settle();
    assert_eq!(rig.redrive(), Redriven { moved: 0, left: 5 });
    let ledger = rig.check();
    assert_eq!(ledger.providers[0].dropped.total(), 0, "{ledger}");
}

#[test]
fn a_redrive_leaves_an_eighth_of_the_ceiling_to_new_events() {
    let mut rig = Rig::new(2, DeadLetterLimits::default(), 64 * WEIGHT);
    rig.push(27);
    rig.settle();
    while !rig.refuse(0).is_empty() {}
    while !rig.deliver(1).is_empty() {}
    rig.push(27);
    rig.settle();
    // 27 wait for both; its own lane has taken all of its own
    while !rig.deliver(0).is_empty() {}
    rig.push(18);
    assert_eq!(
        rig.redrive(),
        Redriven {
            moved: 11,
            left: 16
        }
    );
    rig.check();
    rig.push(8);
    assert_eq!(rig.stages.ingress.refused().total(), 0);
}

#[test]
fn letters_that_somebody_else_took_meanwhile_are_neither_moved_nor_left() {
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
    rig.push(3);
    rig.settle();
    rig.refuse(0);
    let store = Arc::clone(&rig.stages.dead.as_ref().expect("kept").stores[0]);
    let taking = |letter: &DeadLetter<Item>| {
        if letter.event().0 == 1 {
            store.take(&HashSet::from([letter.number()]));
        }
        true
    };
    let redriven = rig.stages.redrive(taking).expect("open");
    assert_eq!(redriven, Redriven { moved: 2, left: 0 });
    rig.check();
    rig.settle();
    assert_eq!(rig.deliver(0), [0, 2]);
    assert_eq!(rig.stages.ingress.budget().used(), 0);
}

#[test]
fn redriven_events_keep_their_order_and_outlive_others_as_their_priority_says() {
    // 28 events for the lane
    let options = LaneOptions {
        overflow: Overflow::ByPriority,
        ..LaneOptions::default()
    };
    let priority: fn(&Item) -> Priority = |item| match item.0 {
        1 | 4 => Priority::High,
        2 => panic!("panic of the script"),
        _ => Priority::Normal,
    };
    let limits = DeadLetterLimits::default();
    let rig = || {
        let mut rig = Rig::with(2, limits, 64 * WEIGHT, options, Some(priority));
        rig.push(6);
        rig.settle();
        while !rig.refuse(0).is_empty() {}
        while !rig.deliver(1).is_empty() {}
        assert_eq!(rig.redrive(), Redriven { moved: 6, left: 0 });
        rig.check();
        rig.settle();
        rig
    };
    assert_eq!(rig().deliver(0), [0, 1, 2, 3, 4, 5]);

    let mut rig = rig();
    for _ in 0..20 {
        rig.push(2);
        rig.settle();
        while !rig.deliver(1).is_empty() {}
    }
    let ledger = rig.check();
    assert!(ledger.providers[0].dropped.get(DropReason::Overflow) > 4);
    let delivered: Vec<u64> = std::iter::from_fn(|| Some(rig.deliver(0)))
        .take_while(|items| !items.is_empty())
        .flatten()
        .collect();
    assert_eq!(delivered[..2], [1, 4], "{delivered:?}");
    assert!(delivered[2..].iter().all(|id| *id > 5), "{delivered:?}");
    rig.check();
    assert_eq!(rig.stages.ingress.budget().used(), 0);
}

#[test]
fn a_choice_that_panics_moves_nothing() {
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
    rig.push(3);
    rig.settle();
    rig.refuse(0);
    let choice = |letter: &DeadLetter<Item>| {
        assert_eq!(letter.event().0, 0, "panic of the script");
        true
    };
    let redrive = AssertUnwindSafe(|| rig.stages.redrive(choice));
    assert!(catch_unwind(redrive).is_err());
    rig.check();
    assert_eq!(rig.redrive(), Redriven { moved: 3, left: 0 });
}
