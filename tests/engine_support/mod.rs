//! What the tests of the whole engine share: collectors, an engine in a hurry, and plain views of
//! what arrived.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod endings;
pub(crate) mod faulty;
pub(crate) mod log;
pub(crate) mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use productgraph::event::EventId;
use productgraph::providers::ProductGraph;
use productgraph::{Engine, EngineBuilder, Event, Ledger, ProviderLedger, Report};
use productgraph_collector::{Collector, Generation};
use serde_json::Value;

/// A bound for what has to happen anyway; only a hang meets it.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What `future` gives, which it has to before the bound.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(BOUND, future)
        .await
        .expect("it happens in time")
}

/// A collector on a thread of its own, whatever the runtime of the test does.
pub(crate) fn collector() -> Collector {
    collector_of(Generation::V0_3)
}

pub(crate) fn collector_of(generation: Generation) -> Collector {
    Collector::builder()
        .generation(generation)
        .keep_bodies(1000)
        .start_blocking()
        .expect("a collector on a free port")
}

/// A provider called `name` that sends to `collector`.
pub(crate) fn provider(collector: &Collector, name: &'static str) -> ProductGraph {
    ProductGraph::new(collector.endpoint()).name(name)
}

/// An engine that retries soon and long, and closes batches by size or flush.
pub(crate) fn builder() -> EngineBuilder {
    Engine::builder()
        .project("shop")
        .batch_interval(Duration::from_secs(3600))
        .retry(millis(20), millis(100), Duration::from_secs(600))
        .expect("a policy that works")
}

/// A runtime of one thread, for tests that decide themselves what runs where.
pub(crate) fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// An event that can be told from all others.
pub(crate) fn numbered(n: usize) -> Event {
    Event::custom("numbered")
        .with_id(EventId::parse(&id_of(n)).expect("a valid id"))
        .with("n", n)
}

pub(crate) fn id_of(n: usize) -> String {
    format!("e-{n:05}")
}

pub(crate) fn ids_of(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(id_of).collect()
}

/// The ids that a collector holds, and how often each.
pub(crate) fn held(collector: &Collector) -> BTreeMap<String, usize> {
    let mut held = BTreeMap::new();
    for id in collector.event_ids() {
        *held.entry(id).or_default() += 1;
    }
    held
}

/// Fails unless the collector holds exactly these events, each once.
#[track_caller]
pub(crate) fn assert_holds_once(collector: &Collector, expected: &[String]) {
    assert_holds(collector, expected, 1);
}

/// Fails unless the collector holds exactly these events, each `times` times.
#[track_caller]
pub(crate) fn assert_holds(collector: &Collector, expected: &[String], times: usize) {
    let held = held(collector);
    let expected: BTreeSet<_> = expected.iter().cloned().collect();
    let known: BTreeSet<_> = held.keys().cloned().collect();
    let lost: Vec<_> = expected.difference(&known).collect();
    let foreign: Vec<_> = known.difference(&expected).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(foreign.is_empty(), "never tracked: {foreign:?}");
    let wrong: Vec<_> = held.iter().filter(|(_, n)| **n != times).collect();
    assert!(
        wrong.is_empty(),
        "not {times} times at the destination: {wrong:?}"
    );
}

/// The account of one provider.
#[track_caller]
pub(crate) fn account<'a>(ledger: &'a Ledger, name: &str) -> &'a ProviderLedger {
    ledger
        .providers
        .iter()
        .find(|provider| provider.name == name)
        .unwrap_or_else(|| panic!("{name} has no account"))
}

/// Waits until the engine knows that so many events were delivered to this provider.
pub(crate) async fn delivered(engine: &Engine, name: &str, events: usize) {
    until(|| account(&engine.ledger(), name).delivered >= events as u64).await;
}

/// Waits until `done` says so.
pub(crate) async fn until(mut done: impl FnMut() -> bool) {
    in_time(async {
        while !done() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Fails unless nothing is open, and the sums are right.
#[track_caller]
pub(crate) fn assert_final(report: &Report) {
    assert!(report.ledger.balances(), "{report}");
    for provider in &report.ledger.providers {
        assert_eq!(provider.pending, 0, "{report}");
    }
}

/// Text of an event at the collector.
pub(crate) fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_default()
}

/// Metadata of an event at the collector.
pub(crate) fn metadata<'a>(event: &'a Value, key: &str) -> &'a Value {
    &event["metadata"][key]
}

/// The events at the collector with this name.
pub(crate) fn named(collector: &Collector, name: &str) -> Vec<Value> {
    collector
        .events()
        .into_iter()
        .filter(|event| event["event.name"] == name)
        .collect()
}
