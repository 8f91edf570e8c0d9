//! Losing the flusher, pausing, skipping waits, closing.

use super::*;

#[test]
fn a_lost_flusher_leaves_order_and_bodies_as_they_were() {
    let mut rig = Rig::new(
        4,
        LaneOptions {
            concurrency: 3,
            ..options()
        },
    );
    rig.offer_all(&[4; 4]);
    let lost: Vec<_> = (0..3).map(|_| rig.start()).collect();
    rig.lane.recover();
    rig.check();
    for lost in &lost {
        let found = rig.start();
        assert!(found.was_encoded);
        assert_eq!((&found.events, &found.body), (&lost.events, &lost.body));
        assert_ne!(found.id, lost.id);
    }
}

#[test]
fn closing_gives_up_what_is_left_and_ignores_what_comes_after() {
    let mut rig = Rig::new(4, options());
    rig.offer_all(&[4, 4, 4]);
    let delivered = rig.start();
    rig.answer(&delivered, Outcome::Delivered);
    let late = rig.start();
    rig.lane.close(DropReason::Deadline);
    rig.check();
    assert_eq!(rig.ledger().dropped.get(DropReason::Deadline), 8);
    assert_eq!(rig.answer(&late, Outcome::Delivered), News::default());
    assert!(rig.lane.encoded(late.id, Encoded::default()).is_none());
    rig.lane.close(DropReason::Abandoned);
    rig.offer(4);
    assert_eq!(rig.waits(), None);
    let ledger = rig.ledger();
    assert_eq!(
        (ledger.delivered, ledger.dropped.get(DropReason::Deadline)),
        (4, 12)
    );
    assert_eq!(rig.lane.status(rig.now).state, LaneState::Closed);
}

#[tokio::test]
async fn closing_aborts_what_is_in_flight_also_when_its_task_is_named_late() {
    let mut rig = Rig::new(
        4,
        LaneOptions {
            concurrency: 2,
            ..options()
        },
    );
    rig.offer_all(&[4, 4]);
    let (early, late) = (rig.start(), rig.start());
    let task = || tokio::spawn(std::future::pending::<()>());
    let (first, second) = (task(), task());
    rig.lane.started(early.id, first.abort_handle());
    rig.lane.close(DropReason::Abandoned);
    rig.lane.started(late.id, second.abort_handle());
    assert!(first.await.expect_err("aborted").is_cancelled());
    assert!(second.await.expect_err("aborted").is_cancelled());
}

#[test]
fn unknown_attempts_change_nothing() {
    let mut rig = Rig::new(4, options());
    rig.offer(4);
    let open = rig.start();
    let before = rig.ledger();
    for id in [0, open.id + 1, u64::MAX] {
        assert_eq!(
            rig.lane.finish(id, Ended::Panicked, rig.now, 0.5),
            News::default()
        );
        let all = Encoded {
            body: Bytes::new(),
            consumed: 4,
            refused: Vec::new(),
        };
        assert!(rig.lane.encoded(id, all).is_none());
    }
    assert_eq!(rig.ledger(), before);
    rig.answer(&open, Outcome::Delivered);
    assert_eq!(
        rig.lane.finish(open.id, Ended::Panicked, rig.now, 0.5),
        News::default()
    );
    assert_eq!(rig.ledger().delivered, 4);
}

#[test]
fn skipping_waits_skips_those_that_are_running_and_no_others() {
    let mut rig = Rig::new(4, options());
    rig.offer(4);
    let open = rig.start();
    rig.answer(
        &open,
        Outcome::Retry {
            not_before: Some(60 * SECOND),
            cause: cause(),
        },
    );
    assert!(rig.waits() >= Some(60 * SECOND));
    rig.lane.skip_waits(rig.now);
    let open = rig.start();
    rig.answer(&open, retry());
    assert!(rig.waits() > Some(Duration::ZERO));
}

#[test]
fn a_paused_lane_starts_nothing_and_lets_what_is_in_flight_end() {
    let mut rig = Rig::new(
        4,
        LaneOptions {
            concurrency: 2,
            ..options()
        },
    );
    rig.offer_all(&[4, 4, 4]);
    let open = rig.start();
    rig.lane.set_paused(true);
    assert_eq!(rig.waits(), None);
    rig.answer(&open, Outcome::Delivered);
    assert_eq!(rig.lane.status(rig.now).state, LaneState::Paused);
    rig.lane.set_paused(false);
    assert_eq!(rig.start().events, ids(4..8));
}
