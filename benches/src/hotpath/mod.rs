//! What one call costs its caller: all clients in one process, taking turns burst by burst.
//!
//! A round gives each client a burst without inner timing (the mean), one in which every call is timed
//! (p50, p99, p99.9), then the same with two threads of half a burst each. After each burst it waits
//! until the client has taken everything off its queue, so nothing is refused.

mod engine;
mod null;
pub mod peer;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use crate::clock;
use crate::records::Records;
use crate::request::Req;
use crate::stats::{median, quantile};
use crate::{args, peers};
use peer::{POOL, Peer};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds after the first, which warms up.
    pub rounds: usize,
    /// Calls in a burst.
    pub burst: usize,
    /// Calls at a realistic rate for the clients that are paced; zero for none.
    pub paced: usize,
}

/// Time between two calls at a realistic rate.
const PACE: Duration = Duration::from_micros(20);

/// The clients, those of `--only` if it is given. The first two rows are the loop alone and the yardstick.
pub fn all() -> Vec<Box<dyn Peer>> {
    let requests: Arc<[Req]> = Req::pool(POOL as u64).into();
    let mut all: Vec<Box<dyn Peer>> = vec![
        Box::new(null::Loop),
        Box::new(null::Yardstick::new(Arc::clone(&requests))),
    ];
    all.extend(engine::rows(&requests));
    all.extend(peers::callers(&requests));
    all.retain(|peer| args::chosen("only", peer.name()));
    all
}

/// Runs it: `<row>` in columns of nanoseconds, and the same under `paced: <row>`.
pub fn run(plan: Plan) -> (Records, Records) {
    let all = all();
    let overhead = clock::overhead();
    eprintln!(
        "bursts of {}, {} rounds; {overhead} ns for a pair of clock reads are taken off",
        plan.burst, plan.rounds
    );
    let mut samples: Vec<Samples> = all.iter().map(|_| Samples::default()).collect();
    for round in 0..=plan.rounds {
        for (peer, samples) in all.iter().zip(&mut samples) {
            let took = round_of(peer.as_ref(), plan.burst);
            // the first one warms up
            if round > 0 {
                samples.add(&took);
            }
        }
    }
    let mut bursts = Records::default();
    for (peer, samples) in all.iter().zip(&mut samples) {
        samples.record(peer.name(), overhead, &mut bursts);
    }
    (bursts, paced(&all, plan, overhead))
}

fn paced(all: &[Box<dyn Peer>], plan: Plan, overhead: u32) -> Records {
    let mut records = Records::default();
    if plan.paced == 0 {
        return records;
    }
    let turns = 5;
    let wanted = [null::YARDSTICK, engine::RESPONSE];
    let peers: Vec<&dyn Peer> = all
        .iter()
        .map(AsRef::as_ref)
        .filter(|peer| wanted.contains(&peer.name()))
        .collect();
    for peer in &peers {
        peer.paced(1000, PACE, &mut Vec::new());
    }
    for _ in 0..turns {
        for peer in &peers {
            let mut each = Vec::with_capacity(plan.paced / turns);
            peer.paced(plan.paced / turns, PACE, &mut each);
            peer.drain();
            each.sort_unstable();
            for (column, q) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
                records.add(
                    peer.name(),
                    column,
                    f64::from(quantile(&each, q).saturating_sub(overhead)),
                );
            }
        }
    }
    records
}

/// By number of threads.
#[derive(Default)]
struct Samples {
    means: [Vec<f64>; 2],
    each: [Vec<u32>; 2],
    refused: u64,
}

impl Samples {
    fn add(&mut self, other: &Self) {
        for threads in 0..2 {
            self.means[threads].extend(&other.means[threads]);
            self.each[threads].extend(&other.each[threads]);
        }
        self.refused += other.refused;
    }

    fn record(&mut self, row: &str, overhead: u32, records: &mut Records) {
        for (threads, mark) in [(0, "1T"), (1, "2T")] {
            self.each[threads].sort_unstable();
            records.add(
                row,
                &format!("mean {mark}"),
                median(&mut self.means[threads]),
            );
            for (name, q) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
                let nanos = quantile(&self.each[threads], q).saturating_sub(overhead);
                records.add(row, &format!("{name} {mark}"), f64::from(nanos));
            }
        }
        records.add(row, "refused", self.refused as f64);
    }
}

fn round_of(peer: &dyn Peer, burst: usize) -> Samples {
    let mut samples = Samples::default();
    let (nanos, refused) = peer.burst(0, burst);
    peer.drain();
    samples.refused = refused;
    samples.means[0].push(nanos as f64 / burst as f64);
    samples.each[0].reserve(burst);
    peer.each(0, burst, &mut samples.each[0]);
    peer.drain();

    let half = burst / 2;
    for (nanos, _) in two_threads(peer, half, false) {
        samples.means[1].push(nanos as f64 / half as f64);
    }
    peer.drain();
    for (_, each) in two_threads(peer, half, true) {
        samples.each[1].extend(each);
    }
    peer.drain();
    samples
}

/// Two threads, each with requests of its own, from the same moment on.
fn two_threads(peer: &dyn Peer, count: usize, timed: bool) -> Vec<(u64, Vec<u32>)> {
    let gate = Barrier::new(2);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let gate = &gate;
                scope.spawn(move || {
                    let from = thread * POOL / 2;
                    let mut each = Vec::with_capacity(count);
                    // for what is made once in each thread
                    peer.burst(from, 1);
                    gate.wait();
                    if timed {
                        peer.each(from, count, &mut each);
                        (0, each)
                    } else {
                        (peer.burst(from, count).0, each)
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread of a burst"))
            .collect()
    })
}
