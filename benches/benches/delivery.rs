//! From `track` to the receiver's store and back: 20,000 events over loopback, until settled.
//!
//! `cargo bench --manifest-path benches/Cargo.toml --bench delivery`

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use productgraph::Text;
use productgraph::providers::ProductGraph;
use productgraph_benches::ours::{api_response, request, roomy};
use productgraph_collector::Collector;

const EVENTS: usize = 20_000;

fn main() {
    divan::main();
}

/// With the default batch size of 50, and with 1,000.
#[divan::bench(args = [50, 1_000], sample_count = 20, sample_size = 1)]
fn to_the_collector(bencher: Bencher<'_, '_>, batch_size: usize) {
    let collector = Collector::builder()
        .start_blocking()
        .expect("the collector starts");
    let engine = roomy()
        .batch_size(batch_size)
        .provider(ProductGraph::new(collector.endpoint()))
        .spawn()
        .expect("the engine starts");
    let handle = engine.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("the runtime starts");
    let path: Text = Arc::<str>::from("/v1/customers/{customer}/orders/{order}").into();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        request().enter(|| {
            for _ in 0..EVENTS {
                handle.track(api_response(&path));
            }
        });
        let report = runtime.block_on(handle.flush());
        assert!(report.is_settled(), "{report}");
    });
    let ledger = engine.ledger();
    assert!(ledger.is_clean(), "{ledger}");
}
