//! The engine's own requests are not observed.
#![cfg(feature = "opentelemetry")]

mod engine_support;

use std::sync::{Arc, Mutex};

use engine_support::{BOUND, builder, collector, in_time, numbered};
use opentelemetry::Context;
use productgraph::providers::ProductGraph;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves to this machine, and notes whether telemetry is suppressed where it is asked.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<bool>>>);

impl Resolve for Witness {
    fn resolve(&self, _: Name) -> Resolving {
        let seen = Arc::clone(&self.0);
        Box::pin(async move {
            let suppressed = Context::is_current_telemetry_suppressed();
            seen.lock().expect("not poisoned").push(suppressed);
            let addresses: Addrs = Box::new(std::iter::once(([127, 0, 0, 1], 0).into()));
            Ok(addresses)
        })
    }
}

#[tokio::test]
async fn a_request_of_the_engine_runs_with_telemetry_suppressed() {
    let collector = collector();
    let witness = Witness::default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(Arc::new(witness.clone()))
        .build()
        .expect("a client");
    let endpoint = format!("http://localhost:{}/v1/events", collector.addr().port());
    let engine = builder()
        .provider(ProductGraph::new(endpoint).client(client))
        .spawn()
        .expect("it starts");
    engine.handle().track(numbered(0));
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.ledger.is_clean(), "{report}");
    assert_eq!(*witness.0.lock().expect("not poisoned"), [true]);
    assert!(!Context::is_current_telemetry_suppressed());
}
