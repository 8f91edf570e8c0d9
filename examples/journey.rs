//! A journey of four steps whose work moves between tasks and threads, for two customers at once.
//!
//! ```console
//! $ cargo run --example journey
//! ```
//!
//! Prints each step with the session and request that the receiver got with it: a customer's four
//! steps have the same ones, wherever they ran. In a web service the layer makes the correlation
//! (see `axum_service`); here it is made by hand.

use std::error::Error;
use std::thread;
use std::time::Duration;

use productgraph::correlation::{self, RequestId, SessionId, SessionSource};
use productgraph::providers::ProductGraph;
use productgraph::{Correlation, Engine, Handle};
use productgraph_collector::Collector;
use tokio::task::yield_now;

const JOURNEY: &str = "checkout_flow";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Collector::builder().start().await?;
    let engine = Engine::builder()
        .project("shop")
        .provider(ProductGraph::new(service.endpoint()))
        .spawn()?;

    // What the layer does for each request: everything inside the scope belongs to it.
    let ada = request("sess-ada", "req-1")?.scope(checkout(engine.handle()));
    let bob = request("sess-bob", "req-2")?.scope(checkout(engine.handle()));
    let (ada, bob) = tokio::join!(ada, bob);
    ada.and(bob)?;

    println!("{}\n", engine.shutdown(Duration::from_secs(10)).await);
    for event in service.events() {
        let [session, step] = ["session.id", "gen_ai.journey.step.id"].map(|key| &event[key]);
        println!("{session} {} {step}", event["metadata"]["request_id"]);
    }
    Ok(())
}

fn request(session: &str, request: &str) -> Result<Correlation, correlation::IdError> {
    Ok(Correlation::builder()
        .session(SessionId::parse(session)?, SessionSource::Adopted)
        .request_id(RequestId::parse(request)?)
        .build())
}

async fn checkout(handle: Handle) -> Result<(), tokio::task::JoinError> {
    handle.track_journey_step(JOURNEY, "cart", "Cart reviewed");
    yield_now().await; // the other customer's turn; neither sees the other's correlation

    // A bare `tokio::spawn` would lose the request.
    let in_task = handle.clone();
    let address = correlation::spawn(async move {
        yield_now().await;
        in_task.track_journey_step(JOURNEY, "address", "Address given");
    });
    address.await?;

    let in_pool = handle.clone();
    let payment = correlation::spawn_blocking(move || {
        in_pool.track_journey_step(JOURNEY, "payment", "Payment made");
    });
    payment.await?;

    // For threads, rayon, callbacks: take it along, and enter it there.
    let captured = correlation::capture();
    let confirm = thread::spawn(move || {
        captured.enter(|| handle.track_journey_step(JOURNEY, "confirmed", "Order confirmed"));
    });
    correlation::spawn_blocking(move || drop(confirm.join())).await
}
