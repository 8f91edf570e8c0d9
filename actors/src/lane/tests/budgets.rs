//! How long and how often a lane tries: elapsed time for each batch, tokens for retries, and clocks that
//! jump.

use proptest::prelude::*;

use super::*;

const BUDGET: Duration = Duration::from_secs(300);
/// The longest wait between two attempts.
const CAP: Duration = Duration::from_secs(30);

/// Answers everything due up to `until` with `outcome`, and notes when how many events were given up.
fn endure(rig: &mut Rig, until: Instant, outcome: &Outcome) -> Vec<(Instant, u64)> {
    let mut expired = Vec::new();
    while rig.now <= until && rig.ledger().pending > 0 {
        let before = rig.ledger().dropped.get(DropReason::Expired);
        match rig.start_fitting(usize::MAX) {
            Some(open) => drop(rig.answer(&open, outcome.clone())),
            None => rig.later(rig.waits().expect("waits")),
        }
        let events = rig.ledger().dropped.get(DropReason::Expired) - before;
        if events > 0 {
            expired.push((rig.now, events));
        }
    }
    expired
}

#[test]
fn batches_that_were_merged_into_one_request_are_given_up_each_at_its_own_time() {
    let mut rig = Rig::new(10, options());
    let start = rig.now;
    rig.offer(10);
    endure(&mut rig, start + 100 * SECOND, &retry());
    let second = rig.now;
    rig.offer(3);
    endure(&mut rig, start + 200 * SECOND, &retry());
    let third = rig.now;
    rig.offer(4);
    let expired = endure(&mut rig, start + 3600 * SECOND, &retry());
    let events: Vec<_> = expired.iter().map(|(_, events)| *events).collect();
    assert_eq!(events, [10, 3, 4]);
    for ((at, _), came) in expired.iter().zip([start, second, third]) {
        let took = *at - came;
        assert!((BUDGET..=BUDGET + CAP).contains(&took), "{took:?}");
    }
}

#[test]
fn what_waits_behind_a_failing_head_is_given_up_once_its_own_time_is_spent() {
    let mut rig = Rig::new(10, options());
    let start = rig.now;
    rig.offer_all(&[10; 5]);
    let expired = endure(&mut rig, start + 3600 * SECOND, &retry());
    assert_eq!(expired.len(), 5, "each was tried once at least");
    let (last, _) = expired[4];
    assert!(last - start <= BUDGET + 5 * CAP, "{:?}", last - start);
}

#[test]
fn the_tail_that_an_encoder_cut_off_is_as_old_as_what_it_was_cut_from() {
    let mut rig = Rig::new(10, options());
    let start = rig.now;
    rig.offer(10);
    let mut fit = 10;
    while rig.ledger().pending > 0 {
        match rig.start_fitting(fit) {
            Some(open) => drop(rig.answer(&open, Outcome::PerEvent(vec![Verdict::Retry; 10]))),
            None => rig.later(rig.waits().expect("waits")),
        }
        fit = 3;
    }
    assert!(rig.now - start <= BUDGET + 4 * CAP, "{:?}", rig.now - start);
    assert_eq!(rig.ledger().dropped.get(DropReason::Expired), 10);
}

#[test]
fn an_event_that_comes_late_in_an_outage_has_its_whole_budget() {
    let mut rig = Rig::new(10, options());
    let start = rig.now;
    rig.offer(10);
    endure(&mut rig, start + 290 * SECOND, &retry());
    rig.offer(5);
    endure(&mut rig, start + 500 * SECOND, &retry());
    assert_eq!(rig.ledger().pending, 5);
    rig.run(|_| Outcome::Delivered);
    assert_eq!(rig.ledger().delivered, 5);
}

#[test]
fn a_success_of_others_does_not_give_a_failing_request_more_time() {
    let mut rig = Rig::new(
        2,
        LaneOptions {
            concurrency: 2,
            ..options()
        },
    );
    let start = rig.now;
    rig.offer(2);
    while rig.ledger().dropped.get(DropReason::Expired) == 0 {
        if rig.ledger().pending < 4 {
            rig.offer(2);
        }
        match rig.start_fitting(usize::MAX) {
            Some(open) if open.events[0] == 0 => drop(rig.answer(&open, retry())),
            Some(open) => drop(rig.answer(&open, Outcome::Delivered)),
            None => rig.later(rig.waits().expect("waits")),
        }
        rig.later(SECOND / 10);
    }
    let took = rig.now - start;
    assert!((BUDGET..=BUDGET + CAP).contains(&took), "{took:?}");
}

#[test]
fn a_destination_that_takes_a_part_is_not_failing_for_what_waits_behind() {
    let mut rig = Rig::new(3, options());
    rig.offer(4);
    let open = rig.start();
    rig.answer(&open, retry());
    let open = rig.start_in_time();
    rig.later(BUDGET);
    rig.answer(&open, Outcome::PerEvent(vec![Verdict::Delivered]));
    assert_eq!(rig.ledger().dropped.get(DropReason::Expired), 2);
    let behind = rig.start_in_time();
    assert_eq!(behind.events, [3]);
    rig.answer(&behind, retry());
    assert_eq!(rig.ledger().pending, 1, "it failed once");
}

#[test]
fn time_spent_held_is_no_part_of_the_retry_budget() {
    let mut rig = Rig::new(10, options());
    let start = rig.now;
    rig.offer(10);
    endure(&mut rig, start + 100 * SECOND, &retry());
    endure(&mut rig, start + 1000 * SECOND, &hold());
    assert_eq!(rig.lane.status(rig.now).state, LaneState::Held);
    let released = rig.now;
    let expired = endure(&mut rig, start + 9000 * SECOND, &retry());
    let took = expired[0].0 - released;
    assert!((BUDGET..=BUDGET + CAP).contains(&took), "{took:?}");
}

#[test]
fn time_held_is_no_part_of_the_budget_of_what_waits_behind_the_probe_either() {
    let mut rig = Rig::new(4, options());
    rig.offer(4);
    let open = rig.start();
    rig.answer(&open, retry());
    let open = rig.start_in_time();
    rig.answer(&open, poisoned());
    let released = rig.now + 1000 * SECOND;
    endure(&mut rig, released, &hold());
    let front = rig.start_in_time();
    rig.answer(&front, Outcome::Delivered);
    let back = rig.start_in_time();
    assert_eq!(back.events, [2, 3]);
    rig.answer(&back, retry());
    assert_eq!(rig.ledger().pending, 2, "it failed for a moment only");
}

#[test]
fn a_hold_with_a_budget_gives_up_each_batch_at_its_own_time() {
    let hold_budget = Some(600 * SECOND);
    let mut rig = Rig::new(
        10,
        LaneOptions {
            hold_budget,
            ..options()
        },
    );
    let start = rig.now;
    rig.offer(4);
    endure(&mut rig, start + 300 * SECOND, &hold());
    let second = rig.now;
    rig.offer(6);
    let expired = endure(&mut rig, start + 9000 * SECOND, &hold());
    let events: Vec<_> = expired.iter().map(|(_, events)| *events).collect();
    assert_eq!(events, [4, 6]);
    for ((at, _), came) in expired.iter().zip([start, second]) {
        let took = *at - came;
        assert!(
            (600 * SECOND..=630 * SECOND).contains(&took),
            "held for {took:?}"
        );
    }
}

/// A lane whose requests fail every other time: never often enough in a row for the breaker. They have
/// more time than they need, so that none goes without a token because its time is spent.
fn flaky(concurrency: usize, retry_budget: RetryBudget) -> Rig {
    Rig::new(
        1,
        LaneOptions {
            concurrency,
            retry_budget,
            backoff: Backoff::new(SECOND / 2, CAP, 24 * 3600 * SECOND).expect("valid"),
            ..options()
        },
    )
}

/// Answers every other attempt with a failure until 500 events are delivered; how long that took, and whether
/// a retry waited for a token.
fn deliver_flakily(rig: &mut Rig) -> (u64, bool) {
    let start = rig.now;
    let mut waited_for_budget = false;
    let mut turn = 0;
    let mut in_flight = Vec::new();
    while rig.ledger().delivered < 500 {
        if rig.ledger().pending < 20 {
            rig.offer(20);
        }
        in_flight.extend(std::iter::from_fn(|| rig.start_fitting(usize::MAX)));
        waited_for_budget |= rig.lane.status(rig.now).waits_for_budget;
        rig.later(Duration::from_millis(20));
        if in_flight.is_empty() {
            continue;
        }
        let open = in_flight.remove(0);
        turn += 1;
        let outcome = if turn % 2 == 0 {
            Outcome::Delivered
        } else {
            retry()
        };
        rig.answer(&open, outcome);
    }
    ((rig.now - start).as_secs(), waited_for_budget)
}

#[test]
fn retries_are_a_share_of_what_is_delivered_and_nothing_is_dropped_for_that() {
    let a_fifth = RetryBudget::default()
        .with_per_success(0.2)
        .with_interval(2 * SECOND)
        .with_capacity(10);
    for concurrency in [1, 4] {
        let mut rig = flaky(concurrency, a_fifth);
        let (elapsed, waited_for_budget) = deliver_flakily(&mut rig);
        assert!(waited_for_budget);
        let status = rig.lane.status(rig.now);
        assert_eq!(status.breaker, BreakerState::Closed);
        let most = 10 + 500 / 5 + elapsed / 2 + 1;
        assert!(status.retries <= most, "{} > {most}", status.retries);
        assert!(status.retries > 200, "{} in {elapsed} s", status.retries);
        assert_eq!(rig.ledger().dropped.total(), 0);
    }
}

#[test]
fn by_default_a_destination_that_fails_every_other_time_makes_nobody_wait_for_a_token() {
    for concurrency in [1, 4] {
        let mut rig = flaky(concurrency, RetryBudget::default());
        let (_, waited_for_budget) = deliver_flakily(&mut rig);
        assert!(!waited_for_budget);
        assert!(rig.lane.status(rig.now).retries > 400);
        assert_eq!(rig.ledger().dropped.total(), 0);
    }
}

#[test]
fn a_retry_without_a_token_waits_exactly_until_there_is_one() {
    let mut rig = Rig::new(
        1,
        LaneOptions {
            retry_budget: RetryBudget::default()
                .with_capacity(1)
                .with_interval(60 * SECOND),
            ..options()
        },
    );
    rig.offer(1);
    let open = rig.start();
    rig.answer(&open, retry());
    let open = rig.start_in_time();
    let took = rig.now;
    rig.answer(&open, retry());
    rig.later(rig.waits().expect("the backoff comes first"));
    let due = took + 60 * SECOND;
    assert_eq!(rig.waits(), Some(due - rig.now));
    let status = rig.lane.status(rig.now);
    assert!(status.waits_for_budget);
    assert_eq!(status.retry_in, rig.waits());
    rig.lane.skip_waits(rig.now);
    let open = rig.start();
    rig.answer(&open, retry());
    rig.lane.drain(rig.now + 10 * SECOND, rig.now);
    for _ in 0..5 {
        let open = rig.start_in_time();
        rig.answer(&open, retry());
        assert!(rig.waits() <= Some(5 * SECOND), "a drain has no time");
    }
}

#[test]
fn a_token_is_waited_for_no_longer_than_the_elapsed_budget_of_a_batch() {
    let scarce = RetryBudget::default()
        .with_per_success(0.0)
        .with_capacity(0)
        .with_interval(3600 * SECOND);
    for concurrency in [1, 2] {
        for outcome in [Outcome::Delivered, retry()] {
            let mut rig = Rig::new(
                10,
                LaneOptions {
                    retry_budget: scarce,
                    concurrency,
                    ..options()
                },
            );
            let start = rig.now;
            rig.offer(10);
            let open = rig.start();
            rig.answer(&open, retry());
            let open = rig.start_in_time();
            rig.answer(&open, retry());
            rig.later(rig.waits().expect("the backoff comes first"));
            assert!(rig.lane.status(rig.now).waits_for_budget);
            assert_eq!(rig.waits(), Some(start + BUDGET - rig.now));
            let open = rig.start_in_time();
            assert_eq!((rig.now, open.events.len()), (start + BUDGET, 10));
            rig.answer(&open, outcome.clone());
            let ledger = rig.ledger();
            let expired = ledger.dropped.get(DropReason::Expired);
            match outcome {
                Outcome::Delivered => assert_eq!((ledger.delivered, expired), (10, 0)),
                _ => assert_eq!((ledger.delivered, expired), (0, 10)),
            }
            rig.offer(5);
            let open = rig.start_in_time();
            assert_eq!((rig.now, open.events.len()), (start + BUDGET, 5));
        }
    }
}

#[test]
fn what_failed_during_an_outage_needs_no_tokens_once_it_is_over() {
    let mut rig = Rig::new(
        1,
        LaneOptions {
            concurrency: 64,
            ..options()
        },
    );
    rig.offer(64);
    let flights: Vec<_> = std::iter::from_fn(|| rig.start_fitting(usize::MAX)).collect();
    for open in flights {
        rig.answer(&open, retry());
    }
    let probe = rig.start_in_time();
    rig.answer(&probe, Outcome::Delivered);
    let closed = rig.now;
    rig.run(|_| Outcome::Delivered);
    assert_eq!((rig.ledger().delivered, rig.now), (64, closed), "at once");
}

#[test]
fn after_a_gap_of_days_waits_are_over_and_budgets_spent() {
    const DAYS: Duration = Duration::from_secs(30 * 24 * 3600);
    for concurrency in [1, 4] {
        for (outcome, left) in [(retry(), 0), (hold(), 8), (poisoned(), 8)] {
            let mut rig = Rig::new(
                2,
                LaneOptions {
                    concurrency,
                    ..options()
                },
            );
            rig.offer_all(&[2; 4]);
            for _ in 0..8 {
                let open = rig.start_in_time();
                rig.answer(&open, retry());
            }
            rig.later(DAYS);
            let open = rig.start();
            rig.answer(&open, outcome.clone());
            assert_eq!(rig.ledger().rejected.total(), 0);
            if left == 0 {
                assert_eq!(rig.ledger().dropped.get(DropReason::Expired), 2);
            } else {
                assert_eq!(rig.ledger().pending, left);
            }
            rig.run(|_| Outcome::Delivered);
            assert_eq!(rig.ledger().pending, 0);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Jump {
    Ahead(u64),
    Back(u64),
}

fn jumps() -> impl Strategy<Value = Jump> {
    prop_oneof![
        3 => (0u64..100_000).prop_map(Jump::Ahead),
        1 => (0u64..1 << 33).prop_map(Jump::Ahead),
        2 => (0u64..100_000_000).prop_map(Jump::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(11), ..ProptestConfig::default() })]

    /// Milliseconds forwards and backwards between any two calls: no panic, no lost event, and once time
    /// goes on as it should everything is delivered.
    #[test]
    fn a_clock_that_jumps_either_way_does_no_harm(
        steps in prop::collection::vec((jumps(), 0usize..6), 1..60),
        concurrency in 1usize..4,
        longest in any::<bool>(),
    ) {
        let mut options = LaneOptions { concurrency, ..options() };
        if longest {
            options.hold_probe = Duration::MAX;
            options.hold_budget = Some(Duration::MAX);
            options.retry_budget.interval = Duration::MAX;
            options.backoff = Backoff::new(SECOND, Duration::MAX, Duration::MAX).expect("valid");
        }
        let mut rig = Rig::new(4, options);
        // far enough from the beginning of time to go back
        rig.later(Duration::from_secs(20 * 365 * 24 * 3600));
        for (jump, what) in steps {
            match jump {
                Jump::Ahead(ms) => rig.now += Duration::from_millis(ms),
                Jump::Back(ms) => rig.now -= Duration::from_millis(ms),
            }
            rig.offer(3);
            if what == 5 {
                rig.lane.skip_waits(rig.now);
            }
            if let Some(open) = rig.start_fitting(usize::MAX) {
                let outcome = match what {
                    0 => Outcome::Delivered,
                    1 | 5 => retry(),
                    2 => hold(),
                    3 => poisoned(),
                    _ => Outcome::Retry { not_before: Some(Duration::MAX), cause: cause() },
                };
                rig.answer(&open, outcome);
            }
            let _ = rig.lane.status(rig.now);
        }
        rig.lane.skip_waits(rig.now);
        rig.run(|_| Outcome::Delivered);
        prop_assert_eq!(rig.ledger().pending, 0);
    }
}
