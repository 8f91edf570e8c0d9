//! Order and merging; then any schedule at all.

use std::collections::{HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

#[test]
fn batches_are_merged_up_to_the_limit_of_events_and_cut_there() {
    let mut rig = Rig::new(10, options());
    rig.offer_all(&[4, 4, 4, 4]);
    let requests = rig.run(|_| Outcome::Delivered);
    assert_eq!(requests, [ids(0..10), ids(10..16)]);
    assert_eq!(rig.ledger().delivered, 16);
}

#[test]
fn what_an_encoder_leaves_out_comes_first_in_the_next_request() {
    let mut rig = Rig::new(10, options());
    rig.offer_all(&[4, 4, 4]);
    let mut seen = Vec::new();
    while let Some(open) = rig.start_fitting(3) {
        rig.answer(&open, Outcome::Delivered);
        seen.push(open.events);
    }
    assert_eq!(seen, [ids(0..3), ids(3..6), ids(6..9), ids(9..12)]);
}

#[test]
fn in_order_a_failed_request_is_sent_again_unchanged_before_anything_else() {
    let mut rig = Rig::new(4, options());
    rig.offer_all(&[4, 4]);
    let first = rig.start();
    rig.answer(&first, retry());
    rig.offer(4);
    let wait = rig.waits().expect("waits for the retry");
    assert!(wait > Duration::ZERO);
    rig.later(wait);
    let again = rig.start();
    assert!(again.was_encoded);
    assert_eq!((&again.events, &again.body), (&first.events, &first.body));
    assert_eq!(rig.waits(), None, "one in flight");
}

#[test]
fn the_tail_of_a_request_that_fails_stays_behind_it() {
    let mut rig = Rig::new(8, options());
    rig.offer_all(&[8, 2]);
    let open = rig.start_fitting(3).expect("due");
    rig.answer(&open, retry());
    rig.later(SECOND);
    let requests = rig.run(|_| Outcome::Delivered);
    assert_eq!(requests.concat(), ids(0..10));
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    Deliver,
    Retry,
    Hold,
    Split,
    Poison,
    Final,
    Panic,
    TimeOut,
    Abort,
    Crash,
    PerEvent(u64),
}

pub(super) fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => Just(Move::Deliver),
        2 => Just(Move::Retry),
        1 => Just(Move::Hold),
        1 => Just(Move::Split),
        1 => Just(Move::Poison),
        1 => Just(Move::Final),
        2 => Just(Move::Panic),
        1 => Just(Move::TimeOut),
        1 => Just(Move::Abort),
        1 => Just(Move::Crash),
        2 => any::<u64>().prop_map(Move::PerEvent),
    ]
}

/// Verdicts for `n` events from two bits of `seed` each; sometimes too few.
fn verdicts(n: usize, seed: u64) -> Vec<Verdict> {
    let verdict = |i| match seed >> (2 * (i % 32)) & 3 {
        0 => Verdict::Delivered,
        1 => Verdict::Rejected(RejectReason::Invalid),
        _ => Verdict::Retry,
    };
    (0..n - usize::from(n > 1 && seed & 1 == 1))
        .map(verdict)
        .collect()
}

/// No event is delivered before an earlier one that has to be sent again.
pub(super) fn in_order(seed: u64) -> Move {
    const RETRY: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    match seed & RETRY {
        0 => Move::PerEvent(seed),
        some => Move::PerEvent(seed | RETRY & (u64::MAX << some.trailing_zeros())),
    }
}

pub(super) fn ended(step: Move, events: usize) -> Ended {
    Ended::With(match step {
        Move::Deliver | Move::Crash => Outcome::Delivered,
        Move::Retry => retry(),
        Move::Hold => hold(),
        Move::Split => split(),
        Move::Poison => poisoned(),
        Move::Final => Outcome::Final {
            reason: RejectReason::Refused,
            cause: cause(),
        },
        Move::PerEvent(seed) => Outcome::PerEvent(verdicts(events, seed)),
        Move::Panic => return Ended::Panicked,
        Move::TimeOut => return Ended::TimedOut,
        Move::Abort => return Ended::Aborted,
    })
}

/// What the destination took from a request that ended this way.
pub(super) fn taken(step: Move, events: &[u64]) -> Vec<u64> {
    match step {
        Move::Deliver => events.to_vec(),
        Move::PerEvent(seed) => {
            let verdicts = verdicts(events.len(), seed);
            let pairs = events.iter().zip(verdicts);
            pairs
                .filter(|(_, v)| *v == Verdict::Delivered)
                .map(|(id, _)| *id)
                .collect()
        }
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// The order of what is taken, at concurrency 1, whatever happens on the way.
    #[test]
    fn order_is_kept_and_every_event_is_counted_once(
        sizes in prop::collection::vec(1usize..12, 1..8),
        script in prop::collection::vec((moves(), 1usize..12), 0..60),
        max_events in 1usize..16,
    ) {
        let mut rig = Rig::new(max_events, options());
        let mut sizes = VecDeque::from(sizes);
        let mut arrived = Vec::new();
        let mut script = script.into_iter();
        loop {
            if let Some(events) = sizes.pop_front() {
                rig.offer(events);
            }
            let (step, fit) = script.next().unwrap_or((Move::Deliver, 5));
            let step = if let Move::PerEvent(seed) = step { in_order(seed) } else { step };
            if let Some(open) = rig.start_fitting(fit) {
                if matches!(step, Move::Crash) {
                    rig.lane.recover();
                    rig.check();
                    continue;
                }
                arrived.extend(taken(step, &open.events));
                rig.end(&open, ended(step, open.events.len()));
            } else if let Some(wait) = rig.waits() {
                rig.later(wait);
            } else if sizes.is_empty() {
                break;
            }
        }
        let ledger = rig.ledger();
        prop_assert_eq!(ledger.pending, 0);
        prop_assert_eq!(ledger.delivered, arrived.len() as u64);
        let unique: HashSet<_> = arrived.iter().collect();
        prop_assert_eq!(unique.len(), arrived.len(), "delivered twice");
        prop_assert!(arrived.is_sorted(), "{:?}", arrived);
    }

    /// With several in flight order is given up, the accounts are not, and a flush is never told
    /// that an old batch is settled while it is not.
    #[test]
    fn several_in_flight_lose_nothing_and_hide_nothing(
        sizes in prop::collection::vec(1usize..12, 1..12),
        script in prop::collection::vec((moves(), 1usize..12, 0usize..4, any::<bool>()), 0..80),
        max_events in 1usize..16,
        concurrency in 2usize..5,
    ) {
        let mut rig = Rig::new(max_events, LaneOptions { concurrency, ..options() });
        let mut sizes = VecDeque::from(sizes);
        let mut open: Vec<Open> = Vec::new();
        let mut undecided: HashSet<u64> = HashSet::new();
        let mut batch_of = Vec::new();
        let mut script = script.into_iter();
        loop {
            if let Some(events) = sizes.pop_front() {
                let number = rig.batches + 1;
                undecided.extend(rig.events..rig.events + events as u64);
                batch_of.extend(vec![number; events]);
                rig.offer(events);
            }
            let (step, fit, which, start) = script.next().unwrap_or((Move::Deliver, 5, 1, true));
            // several may start before the first of them was encoded
            let room = if start { which } else { 0 };
            let started: Vec<_> = std::iter::from_fn(|| rig.begin()).take(room).collect();
            let went_on = !started.is_empty();
            open.extend(started.into_iter().map(|attempt| rig.encode(attempt, fit)));
            prop_assert!(open.len() <= concurrency);
            let bodies = rig.lane.lock().again.iter().filter(|r| r.body.is_some()).count();
            prop_assert!(open.len() + bodies <= concurrency, "{} + {} bodies", open.len(), bodies);
            if matches!(step, Move::Crash) {
                open.clear();
                rig.lane.recover();
                rig.check();
            } else if !open.is_empty() && (!went_on || which % 2 == 1) {
                let ending = open.swap_remove(which % open.len());
                let events = &ending.events;
                let settled: Vec<u64> = match step {
                    Move::Final => events.clone(),
                    Move::Split | Move::Poison if events.len() == 1 => events.clone(),
                    Move::PerEvent(seed) => {
                        let pairs = events.iter().zip(verdicts(events.len(), seed));
                        pairs.filter(|(_, v)| *v != Verdict::Retry).map(|(id, _)| *id).collect()
                    }
                    _ => taken(step, events),
                };
                for id in settled {
                    prop_assert!(undecided.remove(&id), "{} settled twice", id);
                }
                rig.end(&ending, ended(step, ending.events.len()));
            } else if open.is_empty() && !went_on {
                match rig.lane.next(rig.now) {
                    Next::WaitUntil(at) => rig.now = at,
                    Next::Start(attempt) => {
                        drop(rig.lane.finish(attempt.id, Ended::Aborted, rig.now, 0.5));
                    }
                    Next::Idle => if sizes.is_empty() && rig.ledger().pending == 0 { break },
                }
            }
            if rig.ledger().rejected.get(RejectReason::Panicked) + rig.ledger().dropped.total() == 0 {
                let oldest = undecided.iter().map(|&id| batch_of[usize::try_from(id).unwrap_or(0)]).min();
                if let Some(oldest) = oldest {
                    prop_assert!(rig.lane.is_pending_through(oldest), "batch {} hidden", oldest);
                }
            }
        }
        prop_assert_eq!(rig.ledger().pending, 0);
    }

    /// Bisection finds `k` poison events among `n` in logarithmically many requests each.
    #[test]
    fn isolating_poison_takes_few_requests(
        n in 1usize..500,
        poison in prop::collection::hash_set(0u64..500, 0..6),
        max_events in 2usize..200,
    ) {
        let mut rig = Rig::new(max_events, options());
        rig.offer(n);
        let requests = rig.run(|events| {
            if events.iter().any(|id| poison.contains(id)) { poisoned() } else { Outcome::Delivered }
        });
        let k = poison.iter().filter(|&&id| id < n as u64).count();
        let levels = max_events.min(n).next_power_of_two().ilog2() as usize;
        let most = n.div_ceil(max_events) + k * 2 * levels;
        prop_assert!(requests.len() <= most, "{} requests, at most {}", requests.len(), most);
        let ledger = rig.ledger();
        prop_assert_eq!(ledger.rejected.get(RejectReason::Poison), k as u64);
        prop_assert_eq!(ledger.delivered, (n - k) as u64);
    }
}
