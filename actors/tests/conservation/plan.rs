//! What an engine is made of, what happens to it, and how it ends: all of it random.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use productgraph_actors::testing::{Encoding, Script, Step};
use productgraph_actors::{
    Backoff, LaneOptions, Limits, Overflow, Priority, RejectReason, Verdict,
};
use proptest::prelude::*;

pub(crate) const MS: Duration = Duration::from_millis(1);
/// Most weigh a little, one in a hundred more than any engine here can hold.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as the engine calls it")]
pub(crate) fn weigh(event: &u64) -> usize {
    if event % 101 == 100 {
        1 << 20
    } else {
        1 + usize::try_from(event % 5).unwrap_or(0) * 8
    }
}

pub(crate) fn is_poison(event: u64) -> bool {
    event % 13 == 5
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as the engine calls it")]
pub(crate) fn priority(event: &u64) -> Priority {
    if event.is_multiple_of(10) {
        Priority::High
    } else {
        Priority::Normal
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    Deliver,
    DeliverThenFail,
    Fail(Option<u64>),
    Verdicts(u64, bool),
    TooLarge,
    RefusePoison,
    Unauthorized,
    Final,
    Hang,
    Panic,
    Slow(u64),
}

impl Behaviour {
    pub(crate) fn step(&self, events: &[u64]) -> Step {
        match *self {
            Self::DeliverThenFail => Step::DeliverThenFail,
            Self::Fail(after) => Step::Fail(after.map(|ms| MS * u32::try_from(ms).unwrap_or(0))),
            Self::Verdicts(seed, short) => Step::Verdicts(verdicts(seed, events.len(), short)),
            Self::TooLarge => Step::TooLarge,
            Self::RefusePoison if events.iter().any(|&id| is_poison(id)) => Step::Refuse,
            Self::Deliver | Self::RefusePoison => Step::Deliver,
            Self::Unauthorized => Step::Unauthorized,
            Self::Final => Step::Final,
            Self::Hang => Step::Hang,
            Self::Panic => Step::Panic,
            Self::Slow(ms) => Step::After(Duration::from_millis(ms), Box::new(Step::Deliver)),
        }
    }
}

pub(crate) fn verdicts(seed: u64, events: usize, short: bool) -> Vec<Verdict> {
    let verdict = |i: usize| match seed >> (2 * (i % 32)) & 3 {
        0 | 1 => Verdict::Delivered,
        2 => Verdict::Rejected(RejectReason::Invalid),
        _ => Verdict::Retry,
    };
    (0..if short { events / 2 } else { events + 1 })
        .map(verdict)
        .collect()
}

pub(crate) fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        6 => Just(Behaviour::Deliver),
        1 => Just(Behaviour::DeliverThenFail),
        2 => prop::option::of(0u64..200_000).prop_map(Behaviour::Fail),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(seed, short)| Behaviour::Verdicts(seed, short)),
        1 => Just(Behaviour::TooLarge),
        2 => Just(Behaviour::RefusePoison),
        1 => Just(Behaviour::Unauthorized),
        1 => Just(Behaviour::Final),
        1 => Just(Behaviour::Hang),
        2 => Just(Behaviour::Panic),
        2 => (0u64..20_000).prop_map(Behaviour::Slow),
    ]
}

pub(crate) fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        12 => Just(Encoding::Honest),
        1 => Just(Encoding::Nothing),
        1 => Just(Encoding::TooMany),
        1 => Just(Encoding::Elsewhere),
        1 => Just(Encoding::Panic),
    ]
}

pub(crate) fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        Just(Overflow::DropNewest),
        Just(Overflow::DropOldest),
        Just(Overflow::ByPriority)
    ]
}

#[derive(Clone, Debug)]
pub(crate) struct LanePlan {
    pub(crate) behaviours: Vec<Behaviour>,
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) max_events: usize,
    pub(crate) max_body_events: usize,
    pub(crate) concurrency: usize,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) overflow: Overflow,
    pub(crate) timeout: u64,
    pub(crate) probe: u64,
    pub(crate) budget: u64,
}

impl LanePlan {
    /// Sick until `healed` is set.
    pub(crate) fn script(&self, name: &str, healed: &Arc<AtomicBool>) -> Script<u64> {
        const EVENT: usize = 8;
        let behaviours = self.behaviours.clone();
        let encodings = self.encodings.clone();
        let at = |n: u64, len: usize| usize::try_from(n).unwrap_or(0) % len;
        let limits = Limits::new(self.max_events, self.max_body_events * EVENT);
        let (sends, encodes) = (Arc::clone(healed), Arc::clone(healed));
        let script = Script::limited(name, limits, EVENT, move |events, n| {
            match sends.load(Ordering::SeqCst) {
                true => Step::Deliver,
                false => behaviours[at(n, behaviours.len())].step(events),
            }
        });
        script.encoding(move |_, n| match encodes.load(Ordering::SeqCst) {
            true => Encoding::Honest,
            false => encodings[at(n, encodings.len())],
        })
    }

    pub(crate) fn options(&self) -> LaneOptions {
        let mut options = LaneOptions::default();
        let budget = Duration::from_millis(self.budget);
        options.concurrency = self.concurrency;
        options.max_bytes = self.max_bytes;
        options.overflow = self.overflow;
        options.attempt_timeout = Duration::from_millis(self.timeout);
        options.hold_probe = Duration::from_millis(self.probe);
        options.backoff = Backoff::new(100 * MS, 5000 * MS, budget).expect("valid");
        options
    }
}

pub(crate) fn lane_plan() -> impl Strategy<Value = LanePlan> {
    (
        prop::collection::vec(behaviour(), 1..12),
        prop::collection::vec(encoding(), 1..8),
        (1usize..40, 1usize..40, 1usize..5),
        prop::option::of(1usize..2000),
        overflow(),
        (1u64..30_000, 50u64..10_000, 100u64..120_000),
    )
        .prop_map(
            |(behaviours, encodings, sizes, max_bytes, overflow, times)| LanePlan {
                behaviours,
                encodings,
                max_events: sizes.0,
                max_body_events: sizes.1,
                concurrency: sizes.2,
                max_bytes,
                overflow,
                timeout: times.0,
                probe: times.1,
                budget: times.2,
            },
        )
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Track(u64),
    Wait(u64),
    Pause(usize, bool),
    Flush(u64),
    Crash(usize),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1u64..60).prop_map(Op::Track),
        2 => (0u64..400).prop_map(Op::Wait),
        2 => (0u64..40_000).prop_map(Op::Wait),
        1 => (0usize..3, any::<bool>()).prop_map(|(lane, paused)| Op::Pause(lane, paused)),
        2 => (0u64..20_000).prop_map(Op::Flush),
        2 => (0usize..5).prop_map(Op::Crash),
    ]
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Shutdown(u64),
    ShutdownWhileTracking(u64),
    /// Every provider is well again: everything must settle.
    Heal,
    Drop,
}

pub(crate) fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        2 => (0u64..60_000).prop_map(End::Shutdown),
        2 => (0u64..100).prop_map(End::Shutdown),
        3 => Just(End::Heal),
        1 => (0u64..60_000).prop_map(End::ShutdownWhileTracking),
        1 => Just(End::Drop),
    ]
}

#[derive(Clone, Debug)]
pub(crate) struct EnginePlan {
    pub(crate) lanes: Vec<LanePlan>,
    pub(crate) capacity: usize,
    pub(crate) max_bytes: usize,
    pub(crate) overflow: Overflow,
    pub(crate) batch: usize,
    pub(crate) age: u64,
}

pub(crate) fn engine_plan() -> impl Strategy<Value = EnginePlan> {
    (
        prop::collection::vec(lane_plan(), 1..4),
        1usize..128,
        8usize..8000,
        overflow(),
        1usize..20,
        0u64..5000,
    )
        .prop_map(
            |(lanes, capacity, max_bytes, overflow, batch, age)| EnginePlan {
                lanes,
                capacity,
                max_bytes,
                overflow,
                batch,
                age,
            },
        )
}
