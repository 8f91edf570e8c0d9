//! What a provider does to itself must reach neither the service nor another provider.

#![expect(
    clippy::disallowed_methods,
    reason = "the pace of a small service, which nothing waits for"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use productgraph_actors::{BoxFuture, Encoded, Events, Limits, Outcome, Pipeline, Provider};
use tokio::sync::mpsc;

const SECOND: Duration = Duration::from_secs(1);

/// Delivers everything and tells of it, blocks its thread for good, or panics when it is dropped.
enum Manners {
    Good(mpsc::UnboundedSender<u64>),
    Blocks,
    PanicsInDrop,
}

impl Provider<u64> for Manners {
    fn name(&self) -> &str {
        match self {
            Self::Good(_) => "good",
            Self::Blocks => "blocks",
            Self::PanicsInDrop => "panics",
        }
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

    fn send<'a>(&'a self, _: Bytes, events: Events<'a, u64>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match self {
                Self::Good(arrived) => {
                    tokio::task::yield_now().await;
                    // the test may have failed and gone
                    for event in events.iter() {
                        let _ = arrived.send(*event);
                    }
                }
                Self::Blocks => loop {
                    std::thread::park();
                },
                Self::PanicsInDrop => {}
            }
            Outcome::Delivered
        })
    }
}

impl Drop for Manners {
    fn drop(&mut self) {
        assert!(!matches!(self, Self::PanicsInDrop), "dropped");
    }
}

#[test]
#[ignore = "open: the last owner of a lane drops the provider on its own thread"]
fn a_provider_that_panics_when_dropped_does_not_panic_in_the_drop_of_the_engine() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .provider(Manners::PanicsInDrop)
        .runtime(runtime.handle().clone())
        .spawn()
        .expect("spawns");
    // the actors go with it, so that the pipeline is the last to hold the provider
    drop(runtime);

    let dropped = catch_unwind(AssertUnwindSafe(|| drop(pipeline)));

    assert!(dropped.is_ok(), "dropping the engine panicked");
}

#[test]
#[ignore = "open: one of the two workers may sleep while the other, blocked, was to drive the timers"]
fn a_provider_that_blocks_its_thread_leaves_the_other_worker_to_the_others() {
    let patience = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    for round in 0..60 {
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let pipeline = Pipeline::builder(|_: &u64| 8)
            .batch(productgraph_actors::BatchLimits::new(10, SECOND / 200))
            .provider(Manners::Good(arrived))
            .provider(Manners::Blocks)
            .spawn()
            .expect("spawns");
        let sender = pipeline.sender();
        for event in 0..100 {
            sender.try_send(event).expect("room");
            if event % 10 == 0 {
                std::thread::sleep(SECOND / 2000);
            }
        }
        let all = async {
            for _ in 0..100 {
                arrivals.recv().await.expect("the provider lives");
            }
        };
        let in_time = patience.block_on(async { tokio::time::timeout(5 * SECOND, all).await });
        assert!(in_time.is_ok(), "starved in round {round}");
        pipeline.shutdown_blocking(SECOND / 100);
    }
}
