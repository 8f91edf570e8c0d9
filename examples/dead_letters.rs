//! Events that a destination refuses: told of by a hook, listed, and put back once it takes them.
//!
//! ```console
//! $ cargo run --example dead_letters
//! ```
//!
//! The receiver refuses every order without an address, as a service with a wrong rule would. The rule
//! is fixed, the refused orders are put back, and all arrive: the program ends with an error otherwise.

use std::error::Error;
use std::time::Duration;

use productgraph::providers::ProductGraph;
use productgraph::{DeadLetter, Engine, Event};
use productgraph_collector::Collector;

const ORDERS: usize = 10;
const IN_TIME: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Collector::builder().start().await?;
    service
        .faults()
        .reject("no-address", "metadata.address: required");

    let engine = Engine::builder()
        .project("shop")
        .provider(ProductGraph::new(service.endpoint()))
        // on a thread of its own: it may write a file or page somebody, nothing waits for it
        .on_dead_letter(|letter| eprintln!("died at {}: {}", letter.provider(), name(letter)))
        .spawn()?;
    let handle = engine.handle();
    for order in 0..ORDERS {
        let address = if order % 3 == 0 {
            "no-address"
        } else {
            "Main Street 1"
        };
        handle.track(
            Event::custom("order.placed")
                .with("order", order)
                .with("address", address),
        );
    }

    println!("{}\n", engine.flush(IN_TIME).await);
    for letter in engine.dead_letters() {
        let (reason, cause, attempts) = (letter.reason(), letter.cause(), letter.attempts());
        println!(
            "{}: {reason} ({cause}), {attempts} attempt(s)",
            name(&letter)
        );
    }

    // The rule is fixed; the events are put back as they were, to the provider that refused them.
    service.faults().clear();
    let redriven = engine.redrive(|letter| letter.provider() == "productgraph")?;
    println!(
        "\n{} on their way again, {} without room\n",
        redriven.moved, redriven.left
    );

    println!("{}", engine.shutdown(IN_TIME).await);
    let mut arrived = service.event_ids();
    arrived.sort_unstable();
    arrived.dedup();
    if arrived.len() == ORDERS && engine.dead_letters().is_empty() {
        println!("all {ORDERS} arrived");
        Ok(())
    } else {
        Err(format!("{} of {ORDERS} arrived", arrived.len()).into())
    }
}

fn name(letter: &DeadLetter) -> &str {
    letter.event().name().unwrap_or("(no name)")
}
