//! A thousand instances after an outage: what a server of fixed capacity sees of their retries.
//!
//! Real lanes, a clock that is a number, one seed. Each test prints rows of the table that is in
//! `docs/guides/retries.md`, with how to print it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

mod flaky;

use super::*;
use crate::budget::Charge;
use crate::request::Batch;

/// An instance with little to do seals one batch of one event in this time.
const INTERVAL: u64 = 5_000_000;
/// Batches that one request may hold.
const MERGED: usize = 5;
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

/// What is wrong with the server during the outage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// It takes nothing.
    Down,
    /// Of so many requests that it has room for it takes one.
    TakesOneIn(u64),
}

/// A server that can do so much in a second, and a quarter of a second's worth at once.
struct Server {
    outage: Outage,
    refusal: Refusal,
    /// Requests that there was room for during the outage.
    turns: u64,
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
        let has_room = self.room >= 1_000_000;
        let is_up = match self.outage {
            _ if !(OUTAGE_BEGINS..OUTAGE_ENDS).contains(&at) => true,
            Outage::Down => false,
            Outage::TakesOneIn(turns) => {
                self.turns += u64::from(has_room);
                self.turns.is_multiple_of(turns)
            }
        };
        let takes = is_up && has_room;
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
    during: Struggle,
}

/// What the server saw during the outage.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Struggle {
    /// Requests in the busiest second.
    peak: u64,
    sent: u64,
    refused: u64,
    /// Events that were with the instances at its end.
    waited: u64,
}

/// What happens to whom.
#[derive(Clone, Copy)]
struct Scenario {
    outage: Outage,
    refusal: Refusal,
    instances: usize,
    /// Each instance seals one batch of one event in this time.
    interval: u64,
}

impl Scenario {
    fn down(refusal: Refusal, instances: usize) -> Self {
        Self {
            outage: Outage::Down,
            refusal,
            instances,
            interval: INTERVAL,
        }
    }

    /// What the server can do, in requests a second: one and a half times the steady load.
    fn capacity(&self) -> u64 {
        1_000_000 * self.instances as u64 / self.interval * 3 / 2
    }
}

struct Fleet<'a> {
    policy: &'a Policy,
    interval: u64,
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
    /// The same of the outage itself.
    during: Vec<u64>,
    refused_during: u64,
    backlog: u64,
    waited: Option<u64>,
    backlog_gone: u64,
}

impl<'a> Fleet<'a> {
    fn new(policy: &'a Policy, scenario: Scenario) -> Self {
        let Scenario {
            outage,
            refusal,
            instances,
            interval,
        } = scenario;
        let lane = || {
            let provider = Box::new(Nowhere(Limits::new(MERGED, 1 << 20)));
            let mut lane = Lane::new(provider, policy.options, 1 << 20);
            // not one thread for each of them
            lane.retire = drop;
            lane
        };
        let mut fleet = Self {
            policy,
            interval,
            server: Server {
                outage,
                turns: 0,
                refusal,
                capacity: scenario.capacity(),
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
            during: vec![
                0;
                usize::try_from((OUTAGE_ENDS - OUTAGE_BEGINS) / 1_000_000).unwrap_or(0)
            ],
            refused_during: 0,
            backlog: 0,
            waited: None,
            backlog_gone: 0,
        };
        for instance in 0..instances {
            let at = fleet.jitter.u64(0..interval);
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
            if at > END || at > OUTAGE_ENDS + self.interval && self.backlog == 0 {
                break;
            }
            if at >= OUTAGE_ENDS {
                self.waited.get_or_insert(self.backlog);
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
            during: Struggle {
                peak: self.during.iter().copied().max().unwrap_or(0),
                sent: self.during.iter().sum(),
                refused: self.refused_during,
                waited: self.waited.unwrap_or(0),
            },
        }
    }

    fn produce(&mut self, at: u64, instance: usize) {
        assert!(self.budget.try_charge(WEIGHT));
        let charge = Charge::adopt(&self.budget, WEIGHT);
        let batch = Batch::new(at, vec![at], self.instant(at), charge);
        drop(self.lanes[instance].offer(&Sealed::whole(batch)));
        self.backlog += u64::from(at < OUTAGE_ENDS);
        self.schedule(at + self.interval, instance, Happens::Produce);
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
        } else if let Some(since) = at.checked_sub(OUTAGE_BEGINS) {
            self.during[usize::try_from(since / 1_000_000).unwrap_or(0)] += 1;
            self.refused_during += u64::from(!taken);
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
        let seen = Fleet::new(&policy, Scenario::down(refusal, instances)).run();
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
