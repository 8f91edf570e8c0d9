//! A destination that misbehaves beside one that does not.

use std::time::Duration;

use productgraph::providers::ProductGraph;
use productgraph::{Backoff, Engine, LaneOptions, RetryBudget};
use productgraph_collector::Collector;

use super::{builder, millis, numbered, provider};

pub(crate) const EVENTS: usize = 20;
/// Longer than any sound answer takes, short enough for a test.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// A lane that retries and probes soon.
pub(crate) fn hasty() -> LaneOptions {
    let mut lane = LaneOptions::default();
    lane.backoff = Backoff::new(millis(20), millis(100), Duration::from_secs(600))
        .expect("a policy that works");
    lane.hold_probe = millis(20);
    // most of what is sent in these tests fails: a share of what succeeds would be little
    lane.retry_budget = RetryBudget::unlimited();
    lane
}

/// An engine with a destination that will misbehave and one that does not.
pub(crate) fn engine_of(faulty: ProductGraph, sound: &Collector) -> Engine {
    engine_called("faulty", faulty, sound)
}

/// The same, with a name of its own for what misbehaves, by which to know it in the log.
pub(crate) fn engine_called(name: &'static str, faulty: ProductGraph, sound: &Collector) -> Engine {
    builder()
        .batch_size(1000)
        .provider_with(faulty.name(name).timeout(REQUEST_TIMEOUT), hasty())
        .provider(provider(sound, "sound"))
        .spawn()
        .expect("it starts")
}

pub(crate) fn track(engine: &Engine, range: std::ops::Range<usize>) {
    let handle = engine.handle();
    for n in range {
        handle.try_track(numbered(n)).expect("there is room");
    }
}
