//! An engine that has ended holds on to nothing.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{block_on, eventually};
use productgraph_actors::testing::{Script, Step};
use productgraph_actors::{BatchLimits, Pipeline};

#[test]
fn an_engine_lets_its_providers_and_events_go() {
    for shut_down in [false, true] {
        let event = Arc::new(());
        let token = Arc::new(());
        let held = Arc::clone(&token);
        let script = Script::new("sink", move |_: &[Arc<()>], _| {
            assert!(Arc::strong_count(&held) > 0);
            Step::Hang
        });
        let pipeline = Pipeline::builder(|_: &Arc<()>| 8)
            .batch(BatchLimits::new(10, Duration::from_secs(5)))
            .provider(script.provider())
            .spawn()
            .expect("spawns");
        let sender = pipeline.sender();
        for _ in 0..25 {
            sender.try_send(Arc::clone(&event)).expect("room");
        }
        eventually("a request is under way", || script.requests() > 0);
        drop(script);
        if shut_down {
            let _ = block_on(pipeline.shutdown(Duration::from_millis(80)));
            eventually("bytes are given back", || pipeline.bytes_held() == 0);
        }
        drop(pipeline);
        eventually("events are let go", || Arc::strong_count(&event) == 1);
        drop(sender);
        eventually("the provider is let go", || Arc::strong_count(&token) == 1);
    }
}
