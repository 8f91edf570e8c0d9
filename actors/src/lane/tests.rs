//! A lane on its own: no actor, no runtime, a clock that is a number.

mod bounds;
mod breaker;
mod budgets;
mod fleet;
mod life;
mod model;
mod outcomes;
mod overflow;
mod pinned;
mod schedules;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::batch::{Accumulator, BatchLimits};
use crate::budget::Budget;
use crate::ingress::Priority;
use crate::ledger::RejectReason;
use crate::provider::{BoxFuture, Cause, Limits, Outcome, Verdict};
use crate::request::{BatchId, Events};

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
    /// Another lane holds the same batches.
    shared: bool,
    accumulator: Accumulator<u64>,
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
        let budget = Arc::new(Budget::new(1 << 30));
        let mut limits = BatchLimits::new(usize::MAX, Duration::MAX);
        limits.max_bytes = usize::MAX;
        Self {
            lane: Lane::new(provider, options, 1 << 20),
            now: Instant::now(),
            accumulator: Accumulator::new(limits, Arc::clone(&budget)),
            budget,
            shared: false,
            events: 0,
            batches: 0,
        }
    }

    fn batch(&mut self, events: usize) -> Sealed<u64> {
        self.mixed(&vec![Priority::Normal; events])
    }

    /// One event of each priority given, sealed together.
    fn mixed(&mut self, priorities: &[Priority]) -> Sealed<u64> {
        let mut out = std::collections::VecDeque::new();
        for &priority in priorities {
            assert!(self.budget.try_charge(WEIGHT));
            self.accumulator
                .push(self.events, WEIGHT, priority, self.now, &mut out);
            self.events += 1;
        }
        self.batches += 1;
        self.accumulator.seal().expect("it has events")
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
        let pinned: usize = self.pinned().iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(status.pinned_bytes, pinned);
        let waiting = usize::try_from(ledger.pending).expect("few") * WEIGHT;
        assert_eq!(status.pending_bytes, waiting);
        if !self.shared {
            assert_eq!(self.budget.used(), pinned);
        }
    }

    /// The batches that are really kept alive, and what they weigh.
    fn pinned(&self) -> Vec<(BatchId, usize)> {
        let state = self.lane.lock();
        let mut found: Vec<_> = state.walk().map(|s| (s.id(), s.batch.weight)).collect();
        found.sort_unstable();
        found.dedup();
        found
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

    /// Starts the next attempt, at the time at which it is due.
    #[track_caller]
    fn start_in_time(&mut self) -> Open {
        if let Some(open) = self.start_fitting(usize::MAX) {
            return open;
        }
        self.later(self.waits().expect("something will be due"));
        self.start()
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
