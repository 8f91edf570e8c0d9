//! One HTTP client in several hands. Its connections live on the runtime that opened them.

use productgraph::Engine;
use productgraph::providers::ProductGraph;
use productgraph_collector::Collector;

use super::{assert_ends_clean, block_on};
use crate::engine_support::{BOUND, builder, collector, current_thread, held, numbered};

/// An engine of two providers that share `client`.
fn engine(client: &reqwest::Client, collectors: &[Collector; 2]) -> Engine {
    let provider = |name, collector: &Collector| {
        ProductGraph::new(collector.endpoint())
            .name(name)
            .client(client.clone())
    };
    builder()
        .provider(provider("one", &collectors[0]))
        .provider(provider("two", &collectors[1]))
        // the same host, so that the pool has connections for both
        .provider(provider("one-again", &collectors[0]))
        .spawn()
        .expect("starts")
}

#[test]
fn providers_engines_and_the_application_can_share_one_client() {
    let collectors = [collector(), collector()];
    let client = reqwest::Client::new();
    // a connection of a runtime that is gone when it is wanted again
    let runtime = current_thread();
    let answer = runtime.block_on(client.get(collectors[0].endpoint()).send());
    assert!(answer.is_ok(), "{answer:?}");
    drop(runtime);

    for round in 0..3 {
        let engine = engine(&client, &collectors);
        for n in 0..20 {
            engine.handle().track(numbered(round * 100 + n));
            assert!(block_on(engine.flush(BOUND)).is_settled());
        }
        assert_ends_clean(&engine, 20);
        drop(engine);
        for collector in &collectors {
            let held = held(collector);
            assert_eq!(held.len(), (round + 1) * 20);
        }
    }
}
