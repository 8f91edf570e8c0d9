//! What a provider does to itself must reach neither the service nor another provider.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use productgraph_actors::{BoxFuture, Encoded, Events, Limits, Outcome, Pipeline, Provider};

/// Panics when it is dropped.
struct PanicsInDrop;

impl Provider<u64> for PanicsInDrop {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn limits(&self) -> Limits {
        Limits::new(10, 1000)
    }

    fn encode(&self, events: &Events<'_, u64>, _: usize) -> Encoded {
        Encoded {
            body: Bytes::from_static(b"body"),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, u64>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("dropped, of the script");
    }
}

#[test]
fn a_provider_that_panics_when_dropped_does_not_panic_in_the_drop_of_the_engine() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .provider(PanicsInDrop)
        .runtime(runtime.handle().clone())
        .spawn()
        .expect("spawns");
    // the actors go with it, so that the pipeline is the last to hold the provider
    drop(runtime);

    let dropped = catch_unwind(AssertUnwindSafe(|| drop(pipeline)));

    assert!(dropped.is_ok(), "dropping the engine panicked");
}
