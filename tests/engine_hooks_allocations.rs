//! What screening costs the engine in allocations.

use std::time::Duration;

use allocation_counter::measure;
use productgraph_actors::testing::Script;
use productgraph_actors::{BatchLimits, Pipeline, PipelineBuilder, Screened};
use tokio::runtime::{Builder, Handle, Runtime};

const EVENTS: usize = 6400;
/// Events that are screened at once.
const CHUNK: usize = 64;

fn builder() -> PipelineBuilder<usize> {
    Pipeline::builder(|_: &usize| 8)
        .batch(BatchLimits::new(100, Duration::from_secs(5)))
        .queue_capacity(EVENTS)
        .runtime(Handle::current())
}

/// Allocations of a runtime's only thread while it takes all events in and brings them to a lane.
fn allocations(runtime: &Runtime, builder: impl FnOnce() -> PipelineBuilder<usize>) -> u64 {
    let script = Script::delivering("sink");
    let inside = runtime.enter();
    let pipeline = builder().provider(script.provider()).spawn();
    drop(inside);
    let pipeline = pipeline.expect("spawns");
    let sender = pipeline.sender();
    let take_in = || {
        for event in 0..EVENTS {
            sender.try_send(event).expect("room");
        }
        // the lane is paused, so that nothing is sent: the flush ends at its deadline
        let report = runtime.block_on(pipeline.flush(Duration::from_secs(1)));
        assert_eq!(report.ledger.providers[0].delivered, 0, "{report}");
    };
    assert!(pipeline.set_paused("sink", true));
    // whatever is made once is made now
    take_in();
    let counted = measure(take_in);
    let report = runtime.block_on(async {
        pipeline.set_paused("sink", false);
        pipeline.shutdown(Duration::from_secs(20)).await
    });
    assert_eq!(
        report.ledger.providers[0].delivered,
        2 * EVENTS as u64,
        "{report}"
    );
    counted.count_total
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

#[test]
fn a_screen_costs_one_allocation_for_each_chunk() {
    let runtime = runtime();
    let without = allocations(&runtime, builder);
    let with = allocations(&runtime, || builder().screen(Screened::Keep));
    println!("{without} without, {with} with");
    assert!(
        with <= without + (EVENTS / CHUNK) as u64 + 8,
        "{without} without, {with} with"
    );
}

#[test]
fn what_changes_events_where_they_are_costs_one_allocation_for_each_batch_at_most() {
    let runtime = runtime();
    let without = allocations(&runtime, builder);
    let with = allocations(&runtime, || builder().edit(|_| false));
    println!("{without} without, {with} with");
    assert!(
        with <= without + (EVENTS / 100) as u64 + 8,
        "{without} without, {with} with"
    );
}
