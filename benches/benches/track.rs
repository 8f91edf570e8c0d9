//! What one `track` costs its caller: bursts of 1,000, the engine drained in between.
//!
//! `cargo bench --manifest-path benches/Cargo.toml --bench track`

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use productgraph::{Event, Handle, Text};
use productgraph_benches::ours::{Null, api_response, request, roomy, settle};

const BURST: usize = 1_000;

fn main() {
    divan::main();
}

fn engine() -> productgraph::Engine {
    roomy()
        .batch_size(500)
        .batch_interval(std::time::Duration::from_millis(10))
        .provider(Null::default())
        .spawn()
        .expect("the engine starts")
}

#[divan::bench(threads = [1, 2])]
fn api_response_in_a_correlated_request(bencher: Bencher<'_, '_>) {
    let engine = engine();
    let handle = engine.handle();
    let path: Text = Arc::<str>::from("/v1/customers/{customer}/orders/{order}").into();
    bencher
        .counter(ItemsCount::new(BURST))
        .with_inputs(|| settle(&engine))
        .bench_values(|()| {
            request().enter(|| {
                for _ in 0..BURST {
                    handle.track(api_response(&path));
                }
            });
        });
    assert_eq!(
        engine.ledger().refused.total(),
        0,
        "a refusal is cheaper than what is measured"
    );
}

#[divan::bench(threads = [1, 2])]
fn journey_step_outside_a_request(bencher: Bencher<'_, '_>) {
    let engine = engine();
    let handle = engine.handle();
    bencher
        .counter(ItemsCount::new(BURST))
        .with_inputs(|| settle(&engine))
        .bench_values(|()| {
            for _ in 0..BURST {
                handle.track_journey_step(
                    "checkout_flow",
                    "payment_confirmed",
                    "Payment confirmed",
                );
            }
        });
    assert_eq!(
        engine.ledger().refused.total(),
        0,
        "a refusal is cheaper than what is measured"
    );
}

#[divan::bench]
fn disabled(bencher: Bencher<'_, '_>) {
    let handle = Handle::disabled();
    bencher.counter(ItemsCount::new(BURST)).bench_local(|| {
        for _ in 0..BURST {
            black_box(&handle).track_error("ValidationError", "invalid card number");
        }
    });
}

#[divan::bench]
fn building_the_event_alone(bencher: Bencher<'_, '_>) {
    let path: Text = Arc::<str>::from("/v1/customers/{customer}/orders/{order}").into();
    bencher.counter(ItemsCount::new(BURST)).bench_local(|| {
        for _ in 0..BURST {
            black_box::<Event>(api_response(&path));
        }
    });
}
