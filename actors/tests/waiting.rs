//! Whoever waits for room must not wait for a batch to grow old.

use std::time::Duration;

use productgraph_actors::testing::Script;
use productgraph_actors::{BatchLimits, Pipeline};
use tokio::runtime::Handle;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_batch_being_built_gives_way_to_an_event_that_needs_its_bytes() {
    let script = Script::delivering("sink");
    let pipeline = Pipeline::builder(|weight: &u64| usize::try_from(*weight).unwrap_or(usize::MAX))
        .max_bytes(100)
        .batch(BatchLimits::new(50, HOUR))
        .provider(script.provider())
        .runtime(Handle::current())
        .spawn()
        .expect("spawns");
    let sender = pipeline.sender();
    sender.try_send(10).expect("there is room");

    let waiting = tokio::time::timeout(Duration::from_secs(1), sender.send(95)).await;

    assert_eq!(waiting, Ok(Ok(())), "it waits for the age of the batch");
    let report = pipeline.shutdown(Duration::from_secs(1)).await;
    assert!(report.is_settled(), "{report}");
    assert_eq!(script.delivered(), [10, 95]);
}
