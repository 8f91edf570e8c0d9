//! Dead letters without a runtime: the stages are driven by hand.

mod copying;
mod keeping;
mod redriving;
mod schedules;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::batch::BatchLimits;
use crate::ingress::{Ingress, IngressOptions, Overflow, Priority};
use crate::lane::{Ended, Lane, LaneOptions, Next};
use crate::ledger::{DropReason, Ledger, RejectReason};
use crate::provider::{BoxFuture, Encoded, Limits, Outcome, Provider, Verdict};
use crate::request::Events;
use crate::stages::Stages;

const WEIGHT: usize = 8;
/// Panics when it is copied.
const UNCOPYABLE: u64 = u64::MAX;

/// An event whose copy may panic.
#[derive(Debug, PartialEq, Eq)]
struct Item(u64);

impl Clone for Item {
    fn clone(&self) -> Self {
        assert_ne!(self.0, UNCOPYABLE, "panic of the script while copying");
        Self(self.0)
    }
}

struct Nowhere(String);

impl Provider<Item> for Nowhere {
    fn name(&self) -> &str {
        &self.0
    }

    fn limits(&self) -> Limits {
        Limits::new(10, 1 << 20)
    }

    fn encode(&self, _: &Events<'_, Item>, _: usize) -> Encoded {
        Encoded::default()
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, Item>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::pending())
    }
}

/// The stages of an engine, and a clock that is a number.
struct Rig {
    stages: Stages<Item>,
    now: Instant,
    next: u64,
}

impl Rig {
    fn new(lanes: usize, limits: DeadLetterLimits, max_bytes: usize) -> Self {
        Self::with(lanes, limits, max_bytes, LaneOptions::default(), None)
    }

    fn with(
        lanes: usize,
        limits: DeadLetterLimits,
        max_bytes: usize,
        lane_options: LaneOptions,
        priority: Option<fn(&Item) -> Priority>,
    ) -> Self {
        let names: Vec<_> = (0..lanes).map(|n| format!("lane-{n}")).collect();
        let ingress = Ingress::new(&IngressOptions {
            capacity: 1024,
            max_bytes,
            overflow: Overflow::DropNewest,
            weigh: |_| WEIGHT,
            priority,
            trusted: false,
        });
        let names_ref: Vec<_> = names.iter().map(String::as_str).collect();
        let options = Options {
            limits,
            ..Options::new()
        };
        let dead = DeadLetters::start(options, |_| WEIGHT, &names_ref).expect("no thread");
        let share = (max_bytes - max_bytes / 8) / lanes;
        let lane = |(name, store): (&String, &Arc<Store<Item>>)| {
            let provider = Box::new(Nowhere(name.clone()));
            Lane::new(provider, lane_options, share).with_dead_letters(Arc::clone(store))
        };
        let lanes = names.iter().zip(&dead.stores).map(lane).collect();
        let batch = BatchLimits::new(3, Duration::ZERO);
        let mut stages = Stages::new(ingress, batch, lanes);
        stages.dead = Some(dead);
        Self {
            stages,
            now: Instant::now(),
            next: 0,
        }
    }

    fn push(&mut self, events: u64) {
        for _ in 0..events {
            let _ = self.stages.ingress.try_push(Item(self.next));
            self.next += 1;
        }
    }

    fn turn(&self) {
        self.stages.turn(1024, self.now);
    }

    /// Everything that can move without an attempt does.
    fn settle(&self) {
        for _ in 0..1000 {
            self.turn();
            if !self.stages.route_one() {
                return;
            }
        }
    }

    /// One attempt of a lane, if one is due; what was in it.
    fn attempt(&self, lane: usize, end: impl FnOnce(usize) -> Ended) -> Vec<u64> {
        let lane = &self.stages.lanes[lane];
        let Next::Start(attempt) = lane.next(self.now) else {
            return Vec::new();
        };
        let events = Events::from_slices(&attempt.slices);
        let items: Vec<u64> = events.iter().map(|item| item.0).collect();
        let encoded = Encoded {
            consumed: items.len(),
            ..Encoded::default()
        };
        assert!(attempt.body.is_some() || lane.encoded(attempt.id, encoded).is_some());
        lane.finish(attempt.id, end(items.len()), self.now, 1.0);
        items
    }

    fn deliver(&self, lane: usize) -> Vec<u64> {
        self.attempt(lane, |_| Ended::With(Outcome::Delivered))
    }

    fn refuse(&self, lane: usize) -> Vec<u64> {
        self.attempt(lane, |_| refused())
    }

    fn letters(&self) -> Vec<DeadLetter<Item>> {
        self.stages.dead.as_ref().expect("kept").list()
    }

    fn ids(&self) -> Vec<u64> {
        self.letters()
            .iter()
            .map(|letter| letter.event().0)
            .collect()
    }

    fn stats(&self) -> DeadLetterStats {
        self.stages.dead.as_ref().expect("kept").stats()
    }

    fn redrive(&self) -> Redriven {
        self.stages.redrive(|_| true).expect("open")
    }

    /// The accounts add up, agree with what is really there, and every death is accounted for.
    #[track_caller]
    fn check(&self) -> Ledger {
        let ledger = self.stages.ledger();
        assert!(ledger.balances(), "{ledger}");
        for (n, provider) in ledger.providers.iter().enumerate() {
            assert_eq!(self.stages.audit(n), provider.pending, "{ledger}");
        }
        let (stats, letters) = (self.stats(), self.letters());
        let died: u64 = ledger
            .providers
            .iter()
            .map(|p| p.rejected.total() + p.dropped.get(DropReason::Expired))
            .sum();
        let found = stats.kept + stats.evicted + stats.not_kept + stats.taken + stats.redriven;
        assert_eq!(died, found, "{stats:?}, {ledger}");
        let redriven: u64 = ledger.providers.iter().map(|p| p.redriven).sum();
        assert_eq!(redriven, stats.redriven);
        assert_eq!(stats.kept, letters.len() as u64);
        assert_eq!(
            stats.bytes,
            letters.iter().map(DeadLetter::size).sum::<usize>()
        );
        assert!(letters.is_sorted_by_key(DeadLetter::number));
        ledger
    }
}

fn refused() -> Ended {
    Ended::With(Outcome::Final {
        reason: RejectReason::Refused,
        cause: Cause::status(422).with_detail("no such project"),
    })
}

fn retry() -> Ended {
    Ended::With(Outcome::Retry {
        not_before: None,
        cause: Cause::status(503),
    })
}

/// Bytes that one kept `Item` takes when its cause has no detail.
fn size() -> usize {
    let mut rig = Rig::new(1, DeadLetterLimits::default(), 1 << 20);
    rig.push(1);
    rig.settle();
    rig.attempt(0, |_| {
        Ended::With(Outcome::PerEvent(vec![Verdict::Rejected(
            RejectReason::Invalid,
        )]))
    });
    rig.stats().bytes
}
