//! A thousand instances after an outage: what a server of fixed capacity sees of their retries.
//!
//! Real lanes, a clock that is a number, one seed. Each test prints rows of the table that is in
//! `docs/guides/retries.md`, with how to print it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::budget::Charge;
use crate::request::Batch;

/// Each instance seals one batch of one event in this time.
const INTERVAL: u64 = 5_000_000;
/// Batches that one request may hold.
const MERGED: usize = 5;
/// What the server can do for each instance, in millionths of a request a second: one and a half times
/// the steady load.
const CAPACITY: u64 = 1_000_000_000_000 / INTERVAL * 3 / 2;
const OUTAGE_BEGINS: u64 = 30_000_000;
const OUTAGE_ENDS: u64 = OUTAGE_BEGINS + 120_000_000;
const END: u64 = OUTAGE_ENDS + 240_000_000;

/// How a server says that it cannot take a request.
#[derive(Clone, Copy)]
struct Refusal {
    name: &'static str,
    /// Until the answer, in microseconds.
    takes: u64,
    /// What it costs the server, in millionths of a request that it takes.
    costs: u64,
}

const BUSY: Refusal = Refusal {
    name: "answers 503",
    takes: 20_000,
    costs: 200_000,
};
const CONNECTION: Refusal = Refusal {
    name: "refuses connections",
    takes: 2_000,
    costs: 0,
};

struct Policy {
    name: &'static str,
    options: LaneOptions,
    jitter: bool,
}

impl Policy {
    fn of(name: &'static str, options: LaneOptions) -> Self {
        let jitter = true;
        Self {
            name,
            options,
            jitter,
        }
    }

    fn without_jitter(self) -> Self {
        let jitter = false;
        Self { jitter, ..self }
    }
}

fn unguarded(options: LaneOptions) -> LaneOptions {
    LaneOptions {
        breaker_threshold: u32::MAX,
        retry_budget: RetryBudget::unlimited(),
        ..options
    }
}

/// A server that can do so much in a second, and a quarter of a second's worth at once.
struct Server {
    refusal: Refusal,
    /// In requests a second.
    capacity: u64,
    /// Work that it can do now, in millionths of a request.
    room: u64,
    at: u64,
}

impl Server {
    fn takes(&mut self, at: u64) -> bool {
        let most = self.capacity * 1_000_000 / 4;
        self.room = (self.room + (at - self.at) * self.capacity).min(most);
        self.at = at;
        let is_up = !(OUTAGE_BEGINS..OUTAGE_ENDS).contains(&at);
        let takes = is_up && self.room >= 1_000_000;
        let costs = if takes { 1_000_000 } else { self.refusal.costs };
        self.room = self.room.saturating_sub(costs);
        takes
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Produce,
    Wake,
    Answer { attempt: u64, taken: bool },
}

/// What the server saw from the end of the outage on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    /// Requests in the busiest second.
    peak: u64,
    /// Requests that were refused.
    refused: u64,
    /// Seconds until nothing was left of what was produced before the end of the outage.
    recovered: f64,
    /// Events given up.
    dropped: u64,
}

struct Fleet<'a> {
    policy: &'a Policy,
    server: Server,
    lanes: Vec<Lane<u64>>,
    wake_at: Vec<u64>,
    agenda: BinaryHeap<Reverse<(u64, u64, usize, Happens)>>,
    sequence: u64,
    jitter: fastrand::Rng,
    epoch: Instant,
    budget: Arc<Budget>,
    /// Requests in each second since the end of the outage.
    offered: Vec<u64>,
    refused: u64,
    backlog: u64,
    backlog_gone: u64,
}

impl<'a> Fleet<'a> {
    fn new(policy: &'a Policy, refusal: Refusal, instances: usize) -> Self {
        let lane = || {
            let provider = Box::new(Nowhere(Limits::new(MERGED, 1 << 20)));
            let mut lane = Lane::new(provider, policy.options, 1 << 20);
            // not one thread for each of them
            lane.retire = drop;
            lane
        };
        let mut fleet = Self {
            policy,
            server: Server {
                refusal,
                capacity: CAPACITY * instances as u64 / 1_000_000,
                room: 0,
                at: 0,
            },
            lanes: (0..instances).map(|_| lane()).collect(),
            wake_at: vec![u64::MAX; instances],
            agenda: BinaryHeap::new(),
            sequence: 0,
            jitter: fastrand::Rng::with_seed(42),
            epoch: Instant::now(),
            budget: Arc::new(Budget::new(usize::MAX)),
            offered: vec![0; usize::try_from((END - OUTAGE_ENDS) / 1_000_000).unwrap_or(0) + 1],
            refused: 0,
            backlog: 0,
            backlog_gone: 0,
        };
        for instance in 0..instances {
            let at = fleet.jitter.u64(0..INTERVAL);
            fleet.schedule(at, instance, Happens::Produce);
        }
        fleet
    }

    fn schedule(&mut self, at: u64, instance: usize, what: Happens) {
        self.sequence += 1;
        let entry = (at, self.sequence, instance, what);
        self.agenda.push(Reverse(entry));
    }

    fn instant(&self, at: u64) -> Instant {
        self.epoch + Duration::from_micros(at)
    }

    fn run(mut self) -> Seen {
        while let Some(Reverse((at, _, instance, what))) = self.agenda.pop() {
            if at > END || at > OUTAGE_ENDS + INTERVAL && self.backlog == 0 {
                break;
            }
            match what {
                Happens::Produce => self.produce(at, instance),
                Happens::Wake => self.wake_at[instance] = u64::MAX,
                Happens::Answer { attempt, taken } => self.answer(at, instance, attempt, taken),
            }
            self.go_on(at, instance);
        }
        let dropped = |lane: &Lane<u64>| lane.ledger().0.dropped.total();
        #[expect(clippy::cast_precision_loss, reason = "a few hundred seconds")]
        let recovered = self.backlog_gone.saturating_sub(OUTAGE_ENDS) as f64 / 1e6;
        Seen {
            peak: self.offered.iter().copied().max().unwrap_or(0),
            refused: self.refused,
            recovered: if self.backlog == 0 {
                recovered
            } else {
                f64::INFINITY
            },
            dropped: self.lanes.iter().map(dropped).sum(),
        }
    }

    fn produce(&mut self, at: u64, instance: usize) {
        assert!(self.budget.try_charge(WEIGHT));
        let charge = Charge::adopt(&self.budget, WEIGHT);
        let batch = Batch::new(at, vec![at], self.instant(at), charge);
        drop(self.lanes[instance].offer(&Sealed::whole(batch)));
        self.backlog += u64::from(at < OUTAGE_ENDS);
        self.schedule(at + INTERVAL, instance, Happens::Produce);
    }

    fn answer(&mut self, at: u64, instance: usize, attempt: u64, taken: bool) {
        let outcome = if taken { Outcome::Delivered } else { retry() };
        let chance = if self.policy.jitter {
            self.jitter.f64()
        } else {
            1.0
        };
        let now = self.instant(at);
        self.lanes[instance].finish(attempt, Ended::With(outcome), now, chance);
    }

    /// Starts what is due, and comes back when the next is.
    fn go_on(&mut self, at: u64, instance: usize) {
        loop {
            match self.lanes[instance].next(self.instant(at)) {
                Next::Start(attempt) => self.send(at, instance, &attempt),
                Next::WaitUntil(due) => {
                    let wait = due - self.instant(at);
                    let due = at + u64::try_from(wait.as_micros()).unwrap_or(u64::MAX) + 1;
                    if due < self.wake_at[instance] {
                        self.wake_at[instance] = due;
                        self.schedule(due, instance, Happens::Wake);
                    }
                    return;
                }
                Next::Idle => return,
            }
        }
    }

    fn send(&mut self, at: u64, instance: usize, attempt: &Attempt<u64>) {
        let id = attempt.id;
        let events = Events::from_slices(&attempt.slices);
        if attempt.body.is_none() {
            let encoded = Encoded {
                body: Bytes::from_static(&[0; MERGED * WEIGHT]),
                consumed: events.len(),
                refused: Vec::new(),
            };
            assert!(self.lanes[instance].encoded(id, encoded).is_some());
        }
        let taken = self.server.takes(at);
        if let Some(since) = at.checked_sub(OUTAGE_ENDS) {
            self.offered[usize::try_from(since / 1_000_000).unwrap_or(0)] += 1;
            self.refused += u64::from(!taken);
        }
        let answered_in = if taken {
            let old = events.iter().filter(|&&at| at < OUTAGE_ENDS).count() as u64;
            self.backlog -= old;
            if old > 0 {
                self.backlog_gone = at;
            }
            50_000
        } else {
            self.server.refusal.takes
        };
        let answer = Happens::Answer { attempt: id, taken };
        self.schedule(at + answered_in, instance, answer);
    }
}

/// Runs each policy and prints a row of the table for it.
fn compare<const N: usize>(instances: usize, refusal: Refusal, policies: [Policy; N]) -> [Seen; N] {
    policies.map(|policy| {
        let seen = Fleet::new(&policy, refusal, instances).run();
        println!(
            "| {} | {} | {} | {} | {} | {:.0} s | {} |",
            instances,
            refusal.name,
            policy.name,
            seen.peak,
            seen.refused,
            seen.recovered,
            seen.dropped
        );
        seen
    })
}

#[test]
fn a_fleet_comes_back_from_an_outage_without_causing_the_next() {
    for refusal in [BUSY, CONNECTION] {
        let every_second = Backoff::new(SECOND, SECOND, Backoff::default().budget());
        let fixed = LaneOptions {
            backoff: every_second.expect("valid"),
            ..unguarded(options())
        };
        let [ours, in_step, fixed] = compare(
            1000,
            refusal,
            [
                Policy::of("as by default", options()),
                Policy::of("without jitter", options()).without_jitter(),
                Policy::of("every second", fixed).without_jitter(),
            ],
        );
        assert!(ours.peak <= 600, "{ours:?}");
        assert!(ours.peak * 4 <= in_step.peak * 3, "{ours:?} {in_step:?}");
        assert!(ours.peak * 2 <= fixed.peak, "{ours:?} {fixed:?}");
        assert!(
            ours.refused * 3 <= in_step.refused * 2,
            "{ours:?} {in_step:?}"
        );
        assert!(ours.refused * 5 <= fixed.refused, "{ours:?} {fixed:?}");
        assert!(
            ours.recovered * 2.0 <= in_step.recovered,
            "{ours:?} {in_step:?}"
        );
        assert!(ours.recovered <= 90.0, "{ours:?}");
        assert_eq!(ours.dropped, 0);
    }
}

#[test]
fn with_several_requests_in_flight_the_breaker_is_what_lets_a_fleet_come_back() {
    let eight = LaneOptions {
        concurrency: 8,
        ..options()
    };
    let [guarded, bare] = compare(
        100,
        BUSY,
        [
            Policy::of("eight at once", eight),
            Policy::of("eight at once, no breaker or budget", unguarded(eight)),
        ],
    );
    assert!(guarded.recovered <= 90.0, "{guarded:?}");
    assert!(guarded.peak * 4 <= bare.peak * 3, "{guarded:?} {bare:?}");
    assert!(guarded.refused * 10 <= bare.refused, "{guarded:?} {bare:?}");
    assert!(bare.recovered.is_infinite(), "{bare:?}");
}
