//! A lane on its own: no actor, no runtime, a clock that is a number.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::budget::{Budget, Charge};
use crate::ledger::RejectReason;
use crate::provider::{BoxFuture, Cause, Limits, Outcome, Verdict};
use crate::request::Events;

const SECOND: Duration = Duration::from_secs(1);
/// Bytes of one event, in memory and in a body.
const WEIGHT: usize = 8;

struct Nowhere(Limits);

impl Provider<u64> for Nowhere {
    fn name(&self) -> &'static str {
        "nowhere"
    }

    fn limits(&self) -> Limits {
        self.0
    }

    fn encode(&self, _: &Events<'_, u64>, _: usize) -> Encoded {
        Encoded::default()
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, u64>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::pending())
    }
}

/// A lane, its clock, and what was put in.
struct Rig {
    lane: Lane<u64>,
    now: Instant,
    budget: Arc<Budget>,
    events: u64,
    batches: u64,
}

/// An attempt after encoding.
struct Open {
    id: u64,
    events: Vec<u64>,
    body: Bytes,
    was_encoded: bool,
}

fn options() -> LaneOptions {
    LaneOptions::default()
}

impl Rig {
    fn new(max_events: usize, options: LaneOptions) -> Self {
        let provider = Box::new(Nowhere(Limits::new(max_events, 1 << 20)));
        Self {
            lane: Lane::new(provider, options, 1 << 20, |_| Priority::Normal),
            now: Instant::now(),
            budget: Arc::new(Budget::new(1 << 30)),
            events: 0,
            batches: 0,
        }
    }

    fn batch(&mut self, events: usize) -> Arc<Batch<u64>> {
        assert!(self.budget.try_charge(events * WEIGHT));
        let first = self.events;
        self.events += events as u64;
        self.batches += 1;
        let charge = Charge::adopt(&self.budget, events * WEIGHT);
        Arc::new(Batch::new(
            self.batches,
            (first..self.events).collect(),
            charge,
        ))
    }

    fn offer(&mut self, events: usize) {
        let batch = self.batch(events);
        drop(self.lane.offer(&batch));
        drop(batch);
        self.check();
    }

    fn offer_all(&mut self, batches: &[usize]) {
        for &events in batches {
            self.offer(events);
        }
    }

    fn later(&mut self, wait: Duration) {
        self.now += wait;
    }

    /// The accounts add up and agree with what is really there.
    #[track_caller]
    fn check(&self) {
        let (ledger, offered) = self.lane.ledger();
        assert!(ledger.balances(offered), "{ledger:?} of {offered}");
        assert_eq!(ledger.pending, self.lane.audit());
        let status = self.lane.status(self.now);
        assert_eq!(status.pending, ledger.pending);
        if ledger.pending == 0 {
            assert_eq!((status.pending_bytes, self.budget.used()), (0, 0));
        }
    }

    /// Starts what is due.
    fn begin(&self) -> Option<Attempt<u64>> {
        match self.lane.next(self.now) {
            Next::Start(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// Starts what is due and encodes at most `fit` events of it.
    #[track_caller]
    fn start_fitting(&mut self, fit: usize) -> Option<Open> {
        self.begin().map(|attempt| self.encode(attempt, fit))
    }

    #[track_caller]
    fn encode(&self, attempt: Attempt<u64>, fit: usize) -> Open {
        let events: Vec<u64> = Events::from_slices(&attempt.slices)
            .iter()
            .copied()
            .collect();
        if let Some(body) = attempt.body {
            return Open {
                id: attempt.id,
                events,
                body,
                was_encoded: true,
            };
        }
        let consumed = fit.min(attempt.max_bytes / WEIGHT).min(events.len());
        let body = Bytes::from(vec![0; consumed * WEIGHT]);
        let encoded = Encoded {
            body,
            consumed,
            refused: Vec::new(),
        };
        let (body, slices) = self
            .lane
            .encoded(attempt.id, encoded)
            .expect("something to send");
        self.check();
        let events = Events::from_slices(&slices).iter().copied().collect();
        Open {
            id: attempt.id,
            events,
            body,
            was_encoded: false,
        }
    }

    #[track_caller]
    fn start(&mut self) -> Open {
        self.start_fitting(usize::MAX).expect("something is due")
    }

    fn waits(&self) -> Option<Duration> {
        match self.lane.next(self.now) {
            Next::WaitUntil(at) => Some(at - self.now),
            Next::Idle => None,
            Next::Start(attempt) => panic!("starts {attempt:?}"),
        }
    }

    #[track_caller]
    fn end(&self, open: &Open, ended: Ended) -> News {
        let news = self.lane.finish(open.id, ended, self.now, 1.0);
        self.check();
        news
    }

    #[track_caller]
    fn answer(&self, open: &Open, outcome: Outcome) -> News {
        self.end(open, Ended::With(outcome))
    }

    fn ledger(&self) -> ProviderLedger {
        self.lane.ledger().0
    }

    /// Runs until nothing is left or nothing is due any more, waiting where the lane waits.
    fn run(&mut self, mut answer: impl FnMut(&[u64]) -> Outcome) -> Vec<Vec<u64>> {
        let mut requests = Vec::new();
        for _ in 0..100_000 {
            match self.start_fitting(usize::MAX) {
                Some(open) => {
                    self.answer(&open, answer(&open.events));
                    requests.push(open.events);
                }
                None => match self.waits() {
                    Some(wait) => self.later(wait),
                    None => return requests,
                },
            }
        }
        panic!("no end in sight");
    }
}

fn cause() -> Cause {
    Cause::new("test")
}

fn retry() -> Outcome {
    Outcome::Retry {
        not_before: None,
        cause: cause(),
    }
}

fn hold() -> Outcome {
    Outcome::Hold { cause: cause() }
}

fn poisoned() -> Outcome {
    Outcome::Poisoned { cause: cause() }
}

fn split() -> Outcome {
    Outcome::Split { cause: cause() }
}

fn ids(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

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
enum Move {
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

fn moves() -> impl Strategy<Value = Move> {
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
fn in_order(seed: u64) -> Move {
    const RETRY: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    match seed & RETRY {
        0 => Move::PerEvent(seed),
        some => Move::PerEvent(seed | RETRY & (u64::MAX << some.trailing_zeros())),
    }
}

fn ended(step: Move, events: usize) -> Ended {
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
fn taken(step: Move, events: &[u64]) -> Vec<u64> {
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
            } else if !open.is_empty() && !(went_on && which % 2 == 0) {
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

fn normal(_: &u64) -> Priority {
    Priority::Normal
}

#[test]
fn a_full_lane_gives_up_its_oldest_waiting_batches_when_told_so() {
    let (mut rig, open) = full(12, Overflow::DropOldest, normal);
    rig.offer_all(&[4, 4, 4]);
    rig.answer(&open, Outcome::Delivered);
    assert_eq!(rig.run(|_| Outcome::Delivered).concat(), ids(8..16));
    assert_eq!(rig.ledger().dropped.get(DropReason::Overflow), 4);
}

#[test]
fn a_full_lane_gives_up_what_comes_in_when_told_so() {
    let (mut rig, open) = full(12, Overflow::DropNewest, normal);
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
        recovered += u64::from(matches!(news.episode, Episode::Recovered { attempts: 10 }));
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
