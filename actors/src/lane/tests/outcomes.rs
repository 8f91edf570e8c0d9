//! What each way in which an attempt can end does to a lane.

use super::*;

#[test]
fn a_body_that_was_too_large_is_halved_the_limit_learned_and_felt_for_again() {
    let mut rig = Rig::new(1000, options());
    rig.offer(1000);
    let secret = 3000;
    let mut refusals = 0;
    let mut answer = |events: &[u64]| {
        if events.len() * WEIGHT > secret {
            refusals += 1;
            split()
        } else {
            Outcome::Delivered
        }
    };
    let requests = rig.run(&mut answer);
    assert_eq!(
        requests
            .iter()
            .filter(|r| r.len() * WEIGHT <= secret)
            .flatten()
            .count(),
        1000
    );
    assert!(requests.len() < 12, "{} requests", requests.len());
    for _ in 0..20 {
        rig.offer(1000);
        rig.run(&mut answer);
    }
    assert!(refusals < 20, "the limit is met rarely: {refusals}");
    assert_eq!(rig.ledger().delivered, 21_000);
    for _ in 0..400 {
        rig.offer(1000);
        rig.run(|_| Outcome::Delivered);
    }
    rig.offer(1000);
    assert_eq!(rig.start().events.len(), 1000, "recovered");
}

#[test]
fn an_event_that_is_too_large_alone_is_rejected_alone() {
    let mut rig = Rig::new(100, options());
    rig.offer(100);
    rig.run(|events| {
        if events.contains(&42) {
            split()
        } else {
            Outcome::Delivered
        }
    });
    let ledger = rig.ledger();
    assert_eq!(
        (
            ledger.delivered,
            ledger.rejected.get(RejectReason::TooLarge)
        ),
        (99, 1)
    );
}

#[test]
fn a_held_lane_keeps_everything_beyond_the_retry_budget_and_probes_one_at_a_time() {
    let mut rig = Rig::new(
        5,
        LaneOptions {
            concurrency: 4,
            ..options()
        },
    );
    rig.offer_all(&[5; 8]);
    let open: Vec<_> = (0..4).map(|_| rig.start()).collect();
    assert_eq!(rig.waits(), None, "four in flight");
    for (n, open) in open.iter().enumerate() {
        let news = rig.answer(open, hold());
        assert_eq!(news.episode == Episode::Held, n == 0, "told once");
    }
    let start = rig.now;
    while rig.now - start < options().backoff.budget() * 3 {
        assert_eq!(rig.lane.status(rig.now).state, LaneState::Held);
        let wait = rig.waits().expect("probes");
        assert!(
            wait <= options().hold_probe && wait >= options().hold_probe / 2,
            "{wait:?}"
        );
        rig.later(wait);
        let probe = rig.start();
        assert_eq!(rig.waits(), None, "one probe in flight");
        assert_eq!(rig.answer(&probe, hold()).episode, Episode::Quiet);
    }
    assert_eq!(rig.ledger().pending, 40);
    rig.run(|_| Outcome::Delivered);
    assert_eq!(rig.ledger().delivered, 40);
    assert_eq!(rig.lane.status(rig.now).state, LaneState::Healthy);
}

#[test]
fn a_request_that_keeps_failing_is_given_up_after_the_budget_and_counted() {
    let mut rig = Rig::new(5, options());
    rig.offer_all(&[5, 5]);
    let start = rig.now;
    let mut first_given_up = None;
    while rig.ledger().pending > 0 {
        match rig.start_fitting(usize::MAX) {
            Some(open) => drop(rig.answer(&open, retry())),
            None => rig.later(rig.waits().expect("waits")),
        }
        if rig.ledger().dropped.get(DropReason::Expired) > 0 {
            first_given_up.get_or_insert(rig.now - start);
        }
    }
    let given_up = first_given_up.expect("given up");
    let budget = options().backoff.budget();
    assert!(
        given_up >= budget && given_up < budget + 31 * SECOND,
        "{given_up:?}"
    );
    assert_eq!(rig.ledger().dropped.get(DropReason::Expired), 10);
}

#[test]
fn the_third_panic_in_a_row_isolates_and_a_lone_event_that_panics_is_rejected() {
    let mut rig = Rig::new(8, options());
    rig.offer(8);
    let mut requests = 0;
    while rig.ledger().pending > 0 {
        let Some(open) = rig.start_fitting(usize::MAX) else {
            let wait = rig.waits().expect("waits");
            rig.later(wait);
            continue;
        };
        requests += 1;
        if open.events.contains(&3) {
            rig.end(&open, Ended::Panicked);
        } else {
            rig.answer(&open, Outcome::Delivered);
        }
    }
    let ledger = rig.ledger();
    assert_eq!(
        (
            ledger.delivered,
            ledger.rejected.get(RejectReason::Panicked)
        ),
        (7, 1)
    );
    assert_eq!(requests, 3 * 4 + 3);
}

#[test]
fn panics_that_are_not_in_a_row_are_bad_luck() {
    let mut rig = Rig::new(8, options());
    rig.offer(8);
    for _ in 0..3 {
        for ended in [Ended::Panicked, Ended::Panicked, Ended::With(retry())] {
            let open = rig.start();
            assert_eq!(open.events.len(), 8);
            rig.end(&open, ended);
            rig.lane.skip_waits(rig.now);
        }
    }
}

#[test]
fn verdicts_that_are_missing_mean_again_and_those_that_are_too_many_nothing() {
    let mut rig = Rig::new(8, options());
    rig.offer(4);
    let open = rig.start();
    let rejected = Verdict::Rejected(RejectReason::Invalid);
    rig.answer(&open, Outcome::PerEvent(vec![Verdict::Delivered, rejected]));
    rig.lane.skip_waits(rig.now);
    let open = rig.start();
    assert_eq!((open.events.clone(), open.was_encoded), (vec![2, 3], false));
    rig.answer(&open, Outcome::PerEvent(vec![Verdict::Delivered; 100]));
    let ledger = rig.ledger();
    assert_eq!(
        (ledger.delivered, ledger.rejected.total(), ledger.pending),
        (3, 1, 0)
    );
}

#[test]
fn an_encoder_that_lies_costs_at_most_the_event_it_lies_about() {
    let refusal = RejectReason::TooLarge;
    let lies = [
        (0, vec![]),
        (0, vec![(3, refusal)]),
        (
            usize::MAX,
            vec![(usize::MAX, refusal), (1, refusal), (1, refusal)],
        ),
        (1, vec![(2, refusal), (0, refusal)]),
    ];
    for (consumed, refused) in lies {
        let mut rig = Rig::new(8, options());
        rig.offer(4);
        let Next::Start(attempt) = rig.lane.next(rig.now) else {
            panic!("due")
        };
        let encoded = Encoded {
            body: Bytes::from_static(b"x"),
            consumed,
            refused,
        };
        let ready = rig.lane.encoded(attempt.id, encoded);
        drop(attempt.slices);
        let sent = ready.map(drop).is_some();
        let ended = if sent {
            Ended::With(Outcome::Delivered)
        } else {
            Ended::NothingToSend
        };
        rig.lane.finish(attempt.id, ended, rig.now, 0.5);
        rig.check();
        rig.run(|_| Outcome::Delivered);
        let ledger = rig.ledger();
        assert_eq!((ledger.delivered, ledger.rejected.total()), (3, 1));
    }
}

#[test]
fn the_log_hears_of_an_episode_once_and_of_losses_at_most_once_a_minute() {
    let mut rig = Rig::new(1, options());
    rig.offer(300);
    let (mut failing, mut recovered, mut lines, mut told) = (0, 0, 0, 0);
    for n in 0..300 {
        let open = rig.start();
        let outcome = match n {
            100..110 => retry(),
            0..200 => Outcome::Final {
                reason: RejectReason::Refused,
                cause: cause(),
            },
            _ => Outcome::Delivered,
        };
        let news = rig.answer(&open, outcome);
        failing += u64::from(news.episode == Episode::Failing);
        recovered += u64::from(matches!(
            news.episode,
            Episode::Recovered { attempts: 10, .. }
        ));
        lines += u64::from(news.rejected.is_some());
        told += news.rejected.unwrap_or(0);
        rig.lane.skip_waits(rig.now);
        rig.later(SECOND);
    }
    assert_eq!((failing, recovered), (1, 1));
    assert_eq!(told, rig.ledger().rejected.total());
    assert!((2..=5).contains(&lines), "{lines} lines");
}

#[test]
fn extreme_durations_wedge_nothing() {
    let forever = Backoff::new(Duration::MAX, Duration::MAX, Duration::MAX).expect("valid");
    for hold_probe in [Duration::ZERO, Duration::MAX] {
        let mut rig = Rig::new(
            8,
            LaneOptions {
                backoff: forever,
                hold_probe,
                ..options()
            },
        );
        rig.offer(4);
        for outcome in [
            retry(),
            hold(),
            Outcome::Retry {
                not_before: Some(Duration::MAX),
                cause: cause(),
            },
        ] {
            let open = rig.start();
            rig.answer(&open, outcome);
            assert!(rig.waits() > Some(Duration::ZERO));
            rig.lane.skip_waits(rig.now);
        }
        let open = rig.start();
        rig.answer(&open, Outcome::Delivered);
        assert_eq!(rig.ledger().delivered, 4);
    }
}

#[test]
fn while_draining_a_wait_leaves_time_for_another_attempt() {
    let mut rig = Rig::new(8, options());
    rig.offer(4);
    rig.lane.drain(rig.now + 10 * SECOND, rig.now);
    let hour = Outcome::Retry {
        not_before: Some(3600 * SECOND),
        cause: cause(),
    };
    let mut waited = Duration::ZERO;
    let mut attempts = 0;
    while waited < 10 * SECOND {
        let open = rig.start();
        rig.answer(&open, hour.clone());
        let wait = rig.waits().expect("it waits");
        let left = (10 * SECOND).saturating_sub(waited);
        assert!(wait <= left / 2 || wait == Duration::from_millis(50));
        waited += wait;
        attempts += 1;
        rig.later(wait);
    }
    assert!((5..20).contains(&attempts), "{attempts}");
}
