//! What is kept, with what, and for how long.

use super::*;

#[test]
fn a_letter_tells_which_event_died_where_why_and_after_how_many_attempts() {
    let mut rig = Rig::new(2, DeadLetterLimits::default(), 1 << 20);
    rig.push(3);
    rig.settle();
    let before = std::time::SystemTime::now();
    rig.attempt(1, |_| retry());
    rig.now += Duration::from_secs(60);
    rig.refuse(1);
    rig.check();
    let letters = rig.letters();
    assert_eq!(rig.ids(), [0, 1, 2]);
    for letter in &letters {
        assert_eq!(letter.provider(), "lane-1");
        assert_eq!(letter.reason(), DeadReason::Rejected(RejectReason::Refused));
        assert_eq!(letter.cause().to_string(), "status 422: no such project");
        assert_eq!(letter.attempts(), 2);
        assert!(letter.at() >= before);
    }
}

#[test]
fn every_way_to_die_leaves_a_letter_with_its_reason() {
    let dies = |end: &dyn Fn(usize) -> Ended, reason: RejectReason| {
        let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
        rig.push(1);
        rig.settle();
        for _ in 0..3 {
            rig.attempt(0, end);
            rig.now += Duration::from_secs(20);
        }
        rig.check();
        let letters = rig.letters();
        assert_eq!(letters.len(), 1, "{reason}");
        assert_eq!(letters[0].reason(), DeadReason::Rejected(reason));
    };
    let cause = || Cause::new("test");
    dies(&|_| refused(), RejectReason::Refused);
    dies(&|_| Ended::Panicked, RejectReason::Panicked);
    dies(
        &|_| Ended::With(Outcome::Poisoned { cause: cause() }),
        RejectReason::Poison,
    );
    dies(
        &|_| Ended::With(Outcome::Split { cause: cause() }),
        RejectReason::TooLarge,
    );
    let verdict = Verdict::Rejected(RejectReason::Invalid);
    dies(
        &|n| Ended::With(Outcome::PerEvent(vec![verdict; n])),
        RejectReason::Invalid,
    );
}

#[test]
fn an_event_refused_while_encoding_leaves_a_letter_and_its_neighbours_none() {
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
    rig.push(6);
    rig.settle();
    let lane = &rig.stages.lanes[0];
    let Next::Start(attempt) = lane.next(rig.now) else {
        panic!("due");
    };
    let encoded = Encoded {
        body: Bytes::from_static(b"body"),
        consumed: 5,
        refused: vec![(1, RejectReason::TooLarge), (4, RejectReason::Unencodable)],
    };
    let (_, sent) = lane.encoded(attempt.id, encoded).expect("three are left");
    assert_eq!(Events::from_slices(&sent).len(), 3);
    rig.check();
    let letters = rig.letters();
    assert_eq!(rig.ids(), [1, 4]);
    assert_eq!(
        letters[1].reason(),
        DeadReason::Rejected(RejectReason::Unencodable)
    );
    lane.finish(attempt.id, refused(), rig.now, 1.0);
    assert_eq!(rig.ids(), [1, 4, 0, 2, 3]);
    // the sixth did not fit: it was no part of the request that was refused
    assert_eq!(rig.refuse(0), [5]);
    assert_eq!(rig.letters().last().map(DeadLetter::attempts), Some(1));
}

#[test]
fn what_runs_out_of_its_retry_budget_leaves_a_letter_and_what_is_closed_off_does_not() {
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
    rig.push(3);
    rig.settle();
    rig.attempt(0, |_| retry());
    rig.now += Duration::from_secs(3600);
    rig.attempt(0, |_| retry());
    let letters = rig.letters();
    assert_eq!(letters.len(), 3);
    assert_eq!(letters[0].reason(), DeadReason::Expired);
    assert_eq!(letters[0].cause().to_string(), "status 503");
    rig.push(3);
    rig.settle();
    rig.stages.close(DropReason::Deadline);
    rig.check();
    assert_eq!(rig.letters().len(), 3);
}

#[test]
fn the_oldest_letter_makes_room_by_count_and_by_bytes() {
    let per_letter = size();
    for limits in [
        DeadLetterLimits::new(4, 1 << 20),
        DeadLetterLimits::new(1000, per_letter * 4 + per_letter / 2),
    ] {
        let mut rig = Rig::new(1, limits, 1 << 20);
        rig.push(9);
        rig.settle();
        let verdict = Verdict::Rejected(RejectReason::Invalid);
        rig.attempt(0, |n| Ended::With(Outcome::PerEvent(vec![verdict; n])));
        rig.check();
        assert_eq!(rig.ids(), [5, 6, 7, 8], "{limits:?}");
        assert_eq!(rig.stats().evicted, 5);
        assert!(rig.stats().bytes <= limits.max_bytes);
    }
}

#[test]
fn a_letter_larger_than_the_bound_is_counted_and_pushes_nothing_out() {
    let mut rig = Rig::new(1, DeadLetterLimits::new(10, size()), 1 << 20);
    rig.push(1);
    rig.settle();
    let verdict = Verdict::Rejected(RejectReason::Invalid);
    rig.attempt(0, |n| Ended::With(Outcome::PerEvent(vec![verdict; n])));
    rig.push(1);
    rig.settle();
    // its cause has a detail, which is kept as well
    rig.refuse(0);
    rig.check();
    assert_eq!((rig.ids(), rig.stats().not_kept), (vec![0], 1));
}

#[test]
fn a_provider_that_refuses_everything_pushes_out_no_letter_of_another() {
    let mut rig = Rig::new(2, DeadLetterLimits::new(8, 1 << 20), 1 << 20);
    rig.push(3);
    rig.settle();
    rig.refuse(0);
    rig.deliver(1);
    for _ in 0..50 {
        rig.push(3);
        rig.settle();
        rig.deliver(0);
        rig.refuse(1);
    }
    rig.check();
    let of_first = |letter: &&DeadLetter<Item>| letter.provider() == "lane-0";
    assert_eq!(rig.letters().iter().filter(of_first).count(), 3);
    assert_eq!(rig.stats().kept, 3 + 4);
}

#[test]
fn an_event_whose_copy_panics_is_counted_and_holds_nobody_up() {
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
    rig.push(1);
    let _ = rig.stages.ingress.try_push(Item(UNCOPYABLE));
    rig.push(1);
    rig.settle();
    rig.refuse(0);
    rig.check();
    assert_eq!((rig.ids(), rig.stats().not_kept), (vec![0, 1], 1));
    assert!(!rig.stages.lanes[0].is_pending_through(u64::MAX));
}
