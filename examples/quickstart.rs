//! The shortest program: an engine, a few events, a report.
//!
//! ```console
//! $ cargo run --example quickstart
//! ```
//!
//! Prints the account of every event, and then the events as the receiver got them. Nothing leaves
//! this machine: a collector in the same process stands in for the service. In a program of your own,
//! give `ProductGraph::new` the address of yours.

use std::error::Error;
use std::time::Duration;

use http::Method;
use productgraph::providers::ProductGraph;
use productgraph::{Engine, Event};
use productgraph_collector::Collector;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Collector::builder().start().await?;

    let engine = Engine::builder()
        .project("shop")
        .provider(ProductGraph::new(service.endpoint()))
        .spawn()?;
    let handle = engine.handle(); // cheap to clone; give one to everybody who tracks

    handle.track(Event::page_view("/pricing").title("Pricing"));
    handle.track(Event::custom("cart.abandoned").with("items", 3));
    handle.track_api_call(Method::POST, "/checkout", 402, Duration::from_millis(41));
    handle.track_error("PaymentDeclined", "the bank said no");
    handle.track_journey_step("checkout_flow", "payment", "Payment made");

    // Delivers what is left, within ten seconds at most.
    let report = engine.shutdown(Duration::from_secs(10)).await;
    println!("{report}\n");

    println!("the receiver holds:");
    for event in service.raw_events() {
        println!("{event}");
    }
    Ok(())
}
