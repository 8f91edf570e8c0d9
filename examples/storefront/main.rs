//! The engine at work in one process, with nothing to install.
//!
//! ```console
//! $ cargo run --example storefront
//! ```
//!
//! Starts two receivers that behave like two generations of the `ProductGraph` service, the second
//! of them failing in several ways; a shop, an axum service with `.layer(engine.layer())`; and
//! shoppers that send it real HTTP requests, some without headers and some with hostile ones. Shows a
//! line each second, for ten seconds or until Ctrl-C or SIGTERM. Then everything stops in the order
//! in which a service should stop, the engine drains, and what the receivers hold is compared with
//! what the engine says it delivered.
//!
//! | Flag | |
//! |---|---|
//! | `--seconds N` | how long the shop is open |
//! | `--keep` | leaves the receivers up afterwards, to look at their pages |
//! | `--json` | prints the account once more as the last line, as JSON |
//!
//! Exits with 0 only if the ledger balances and each receiver holds exactly the delivered events, with
//! 1 if not, with 2 for a wrong flag.
//!
//! | File | |
//! |---|---|
//! | `shop.rs` | **the part to copy**: a service that tracks |
//! | `checkout.rs` | a journey of four steps, and tasks that keep the request's correlation |
//! | `witness.rs` | a provider of one's own, in 40 lines |
//! | `receivers.rs` | the two collectors and their faults |
//! | `shoppers.rs`, `manners.rs` | the traffic |
//! | `progress.rs`, `latency.rs` | the line each second |
//! | `verdict.rs` | the comparison at the end |

#[path = "../pipe/report.rs"]
mod account;
mod checkout;
mod latency;
mod manners;
mod options;
mod progress;
mod receivers;
mod shop;
mod shoppers;
mod verdict;
mod witness;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use productgraph::{Engine, Report};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use options::Options;
use receivers::Receivers;
use shop::Shop;
use witness::Witness;

const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("error: {problem}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether the accounts are true.
async fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let receivers = Receivers::start().await?;
    let witness = Witness::default();
    let engine = Engine::builder()
        .project("storefront")
        .provider(receivers.steady_provider())
        .provider(receivers.rough_provider())
        .provider(witness.clone())
        .batch_interval(Duration::from_millis(250))
        .max_buffered_bytes(64 << 20)
        .retry(
            Duration::from_millis(50),
            Duration::from_secs(2),
            Duration::from_secs(60),
        )?
        .spawn()?;

    let report = open(&engine, &receivers, options.open_for).await?;
    println!("\n{report}\n");
    let passed = verdict::print(&report, &witness, &receivers);
    if options.keep {
        println!("\nthe receivers stay up until Ctrl-C:");
        receivers.print_pages();
        productgraph::shutdown_signal().await;
    } else {
        println!("\nrun with --keep to look at what the receivers hold");
    }
    receivers.shutdown().await;
    if options.json {
        account::print(&report.ledger, std::io::stdout())?;
    }
    Ok(passed)
}

/// Runs the shop and its shoppers, then stops in the order in which a service should: the traffic,
/// the server, and telemetry last.
async fn open(
    engine: &Engine,
    receivers: &Receivers,
    open_for: Duration,
) -> Result<Report, Box<dyn Error>> {
    let shop = Arc::new(Shop::new(engine.handle()));
    let router = shop::router(Arc::clone(&shop), engine.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let (close, mut closing) = watch::channel(false);
    let server = tokio::spawn(async move {
        let closed = async move {
            // an error means that nobody is left to close the shop, which closes it too
            let _ = closing.wait_for(|&closed| closed).await;
        };
        axum::serve(listener, router)
            .with_graceful_shutdown(closed)
            .await
    });

    let (leave, leaving) = watch::channel(false);
    let crowd = shoppers::arrive(&address, &leaving)?;
    progress::print_header(&address, receivers, shoppers::COUNT);
    let until = Instant::now() + open_for;
    tokio::select! {
        () = progress::print_each_second(engine, &shop) => {}
        () = sleep_until(until) => {}
        () = productgraph::shutdown_signal() => println!("  asked to stop"),
    }

    leave.send_replace(true);
    let traffic = crowd.gone().await;
    close.send_replace(true);
    server.await??;
    let report = engine.shutdown(DRAIN).await;
    progress::print_summary(engine, &shop, &traffic);
    if traffic.not_echoed > 0 {
        return Err(format!("{} request ids came back changed", traffic.not_echoed).into());
    }
    Ok(report)
}
