//! How much one request holds as the engine comes: what decides how fast a lane with one request in flight is
//! where answers take their time.

mod engine_support;

use engine_support::{BOUND, collector, ids_of, in_time, numbered, until};
use productgraph::Engine;
use productgraph::providers::ProductGraph;

/// The largest request that the service takes.
const FULL: usize = 1000;
/// What closes a batch.
const BATCH: usize = 50;

#[tokio::test]
async fn what_waits_behind_a_slow_answer_goes_in_full_requests_and_in_order() {
    let collector = collector();
    let slow = collector.faults().hold();
    let engine = Engine::builder()
        .project("shop")
        .provider(ProductGraph::new(collector.endpoint()))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    (0..BATCH).for_each(|n| handle.track(numbered(n)));
    in_time(collector.wait_for_waiting(1)).await;

    let all = BATCH + 3 * FULL;
    (BATCH..all).for_each(|n| handle.track(numbered(n)));
    until(|| engine.health().providers[0].pending == all as u64).await;
    slow.release();
    let report = in_time(engine.flush(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    let requests: Vec<_> = collector.requests().iter().map(|r| r.events).collect();
    assert_eq!(requests, [BATCH, FULL, FULL, FULL]);
    assert_eq!(collector.event_ids(), ids_of(0..all));
}
