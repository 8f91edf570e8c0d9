//! How many requests isolating costs.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// Halvings from `events` down to one.
fn halvings(events: usize) -> usize {
    events.max(1).next_power_of_two().ilog2() as usize
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(13), ..ProptestConfig::with_cases(100) })]

    /// `k` poison events among `n`, at most `b` in a request: k·2·log2(b) + n/b requests, and as long as
    /// they are few, without one pause.
    #[test]
    fn poison_costs_two_requests_for_each_halving_and_no_time(
        n in 1usize..3000,
        poison in prop::collection::hash_set(0u64..3000, 0..8),
        b in 1usize..1200,
    ) {
        let mut rig = Rig::new(b, options());
        rig.offer(n);
        let start = rig.now;
        let requests = rig.run(|events| {
            if events.iter().any(|id| poison.contains(id)) { poisoned() } else { Outcome::Delivered }
        });
        let k = poison.iter().filter(|&&id| id < n as u64).count();
        let most = k * 2 * halvings(b.min(n)) + n.div_ceil(b);
        prop_assert!(requests.len() <= most, "{} requests, at most {}", requests.len(), most);
        prop_assert_eq!(rig.now, start, "paused");
        let ledger = rig.ledger();
        prop_assert_eq!(ledger.rejected.get(RejectReason::Poison), k as u64);
        prop_assert_eq!(ledger.delivered, (n - k) as u64);
    }

    /// The same with a limit of bytes that nobody told of on top: what fits into half of it counts as a
    /// request, and finding it costs a few more.
    #[test]
    fn poison_under_a_secret_limit_of_bytes_costs_a_few_requests_more(
        n in 1usize..3000,
        poison in prop::collection::hash_set(0u64..3000, 0..8),
        b in 1usize..1200,
        secret in 128usize..1500,
    ) {
        let mut rig = Rig::new(b, options());
        rig.offer(n);
        let start = rig.now;
        let requests = rig.run(|events| {
            if events.len() > secret {
                split()
            } else if events.iter().any(|id| poison.contains(id)) {
                poisoned()
            } else {
                Outcome::Delivered
            }
        });
        let k = poison.iter().filter(|&&id| id < n as u64).count();
        let fit = b.min(secret / 2);
        let most = k * 2 * halvings(b.min(n)) + n.div_ceil(fit) + 3 * halvings(b) + 4;
        prop_assert!(requests.len() <= most, "{} requests, at most {}", requests.len(), most);
        prop_assert_eq!(rig.now, start, "paused");
        let ledger = rig.ledger();
        prop_assert_eq!(ledger.rejected.get(RejectReason::Poison), k as u64);
        prop_assert_eq!(ledger.delivered, (n - k) as u64);
    }

    /// Events that are too large alone are found like poison, and cost as much.
    #[test]
    fn events_that_are_too_large_alone_wedge_nothing(
        n in 1usize..2000,
        huge in prop::collection::hash_set(0u64..2000, 1..4),
        b in 1usize..1000,
    ) {
        let mut rig = Rig::new(b, options());
        rig.offer(n);
        let requests = rig.run(|events| {
            if events.iter().any(|id| huge.contains(id)) { split() } else { Outcome::Delivered }
        });
        let k = huge.iter().filter(|&&id| id < n as u64).count();
        let ledger = rig.ledger();
        prop_assert_eq!(ledger.rejected.get(RejectReason::TooLarge), k as u64);
        prop_assert_eq!(ledger.delivered, (n - k) as u64);
        // each refusal halves what is sent from then on, down to 128 events, and it grows slowly
        let fit = b.min(128);
        let most = k * 2 * halvings(b.min(n)) + n.div_ceil(fit) + 4;
        prop_assert!(requests.len() <= most, "{} requests, at most {}", requests.len(), most);
    }
}

#[test]
fn in_steady_state_few_requests_in_a_thousand_are_refused_for_their_size() {
    for secret in [200usize, 333, 640, 900] {
        let mut rig = Rig::new(1000, options());
        let count = |rig: &mut Rig, requests: usize| {
            let (mut sent, mut refused, mut events) = (0, 0, 0);
            while sent < requests {
                rig.offer(2000);
                rig.run(|request| {
                    sent += 1;
                    if request.len() > secret {
                        refused += 1;
                        return split();
                    }
                    events += request.len();
                    Outcome::Delivered
                });
            }
            (sent, refused, events)
        };
        count(&mut rig, 3000);
        let (sent, refused, events) = count(&mut rig, 10_000);
        assert!(refused * 1000 <= 3 * sent, "{refused} of {sent}");
        // how well the limit is used: requests at the end of a backlog are small anyhow
        assert!(events >= sent * secret / 2, "{events} in {sent}");
    }
}

#[test]
fn one_event_after_another_that_is_too_large_is_rejected_and_what_comes_next_is_sent() {
    let mut rig = Rig::new(10, options());
    let huge: HashSet<u64> = (20..25).collect();
    for _ in 0..5 {
        rig.offer(10);
        rig.run(|events| {
            if events.iter().any(|id| huge.contains(id)) {
                split()
            } else {
                Outcome::Delivered
            }
        });
    }
    let ledger = rig.ledger();
    assert_eq!(ledger.rejected.get(RejectReason::TooLarge), 5);
    assert_eq!(ledger.delivered, 45);
}
