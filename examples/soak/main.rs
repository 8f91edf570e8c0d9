//! A million events through three providers while everything goes wrong, and every one accounted for.
//!
//! ```console
//! $ cargo run --release --example soak -- --seconds 60
//! ```
//!
//! Starts three receivers in processes of their own. Each follows a seeded schedule of faults:
//! outages, resets before and after storing, silence, refusals, redirects, rubbish, limits. Some events
//! poison a receiver's requests, some are rejected by index, some are too large. Providers panic and
//! actors are crashed on the way. At the end the faults stop, the engine drains, and what it accounts
//! for is compared, event by event, with what its providers told it and with what the receivers hold.
//!
//! | Flag | |
//! |---|---|
//! | `--seconds N` | how long the events keep coming; 60 |
//! | `--events N` | how many; 1,000,000 |
//! | `--seed N` | of the fault schedule and the crashes; 1 |
//! | `--ceiling-mib N` | the engine's ceiling over the events it holds; 64 |
//!
//! Exits with 0 only if no event is left unexplained, with 1 if one is, with 2 for a wrong flag.
//!
//! | File | |
//! |---|---|
//! | `traffic.rs` | the events |
//! | `receiver.rs` | the receivers and their faults |
//! | `witness.rs` | a provider around a provider, that remembers what the engine was told |
//! | `verdict.rs` | the comparison at the end |

mod bits;
mod options;
mod receiver;
mod traffic;
mod verdict;
mod witness;

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use productgraph::providers::ProductGraph;
use productgraph::{Backoff, Engine, LaneOptions, Report};
use productgraph_actors::testing::Victim;
use tokio::time::{Instant, sleep_until};

use bits::Bits;
use options::Options;
use receiver::Receiver;
use traffic::RECEIVERS;
use verdict::Evidence;
use witness::{Told, Watched};

type Problem = Box<dyn Error + Send + Sync>;

/// For the last requests, once the faults have stopped.
const DRAIN: Duration = Duration::from_secs(60);
/// About so long between two crashes of actors.
const CALM: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("error: {problem}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let unexplained = match options.receiver {
        Some(number) => receiver::run(number, options.seed).await.map(|()| 0),
        None => soak(options).await,
    };
    match unexplained {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says how many events nobody can explain.
async fn soak(options: Options) -> Result<u64, Problem> {
    let panics = count_panics();
    let mut receivers = Vec::new();
    let mut told = Vec::new();
    for number in 0..RECEIVERS {
        receivers.push(Receiver::start(number, options.seed, options.events).await?);
        told.push(Arc::new(Told::new(options.events)));
    }
    let engine = engine(&receivers, &told, options.ceiling)?;
    let handle = engine.handle();
    let accepted = Bits::new(options.events);
    let start = Instant::now();
    tokio::select! { biased;
        () = traffic::track(&handle, options.events, options.duration, &accepted) => {}
        () = crash_actors(&engine, options.seed) => {}
        () = print_each_second(&engine, &receivers, start) => {}
    }
    let took = start.elapsed();
    for receiver in &mut receivers {
        receiver.calm().await?;
    }
    let report = engine.shutdown(DRAIN).await;
    let restarts = engine.health().restarts;
    print_summary(
        options,
        &report,
        took,
        restarts,
        panics.load(Ordering::Relaxed),
    );

    let mut unexplained = accepted.total().abs_diff(report.ledger.accepted);
    for (number, receiver) in receivers.into_iter().enumerate() {
        let stored = receiver.stored().await?;
        let evidence = Evidence {
            number,
            account: &report.ledger.providers[number],
            told: &told[number],
            stored: &stored,
        };
        unexplained += verdict::print(&evidence, &accepted, &report.ledger);
    }
    println!("\nunexplained events: {unexplained}");
    Ok(unexplained)
}

fn engine(receivers: &[Receiver], told: &[Arc<Told>], ceiling: usize) -> Result<Engine, Problem> {
    let seconds = Duration::from_secs;
    let mut lane = LaneOptions::default();
    lane.backoff = Backoff::new(Duration::from_millis(20), seconds(1), seconds(20))?;
    lane.attempt_timeout = seconds(2);
    lane.hold_probe = Duration::from_millis(250);
    let mut builder = Engine::builder()
        .project("soak")
        .batch_interval(Duration::from_millis(200))
        .max_buffered_bytes(ceiling);
    for (receiver, told) in receivers.iter().zip(told) {
        let settings = ProductGraph::new(receiver.endpoint.clone())
            .name(receiver.name.clone())
            .timeout(seconds(1));
        let told = Arc::clone(told);
        builder = builder.provider_with(Watched { settings, told }, lane);
    }
    Ok(builder.spawn()?)
}

/// Crashes one actor after another, at random.
async fn crash_actors(engine: &Engine, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    loop {
        let pause = CALM.mul_f64(0.5 + chance.f64());
        sleep_until(Instant::now() + pause).await;
        let victim = match chance.usize(..RECEIVERS + 2) {
            0 => Victim::Buffer,
            1 => Victim::FanOut,
            n => Victim::Flusher(n - 2),
        };
        if let Some(pipeline) = engine.pipeline() {
            pipeline.crash(victim);
        }
    }
}

async fn print_each_second(engine: &Engine, receivers: &[Receiver], start: Instant) {
    for second in 1.. {
        sleep_until(start + Duration::from_secs(second)).await;
        let stats = engine.stats();
        let lanes = stats.ledger.providers.iter().zip(receivers);
        let lanes = lanes.map(|(account, receiver)| {
            let fault = receiver
                .fault
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            format!("{:>6} pending ({fault})", account.pending)
        });
        println!(
            "{second:>4} s  accepted {:>8}  held {:>5} KiB  {}",
            stats.ledger.accepted,
            stats.bytes_held >> 10,
            lanes.collect::<Vec<_>>().join("  ")
        );
    }
}

fn print_summary(options: Options, report: &Report, took: Duration, restarts: u32, panics: u64) {
    println!(
        "\n{} events in {:.1} s (seed {}), drained in {:.1} s: {}",
        options.events,
        took.as_secs_f64(),
        options.seed,
        report.elapsed.as_secs_f64(),
        if report.is_settled() {
            "settled"
        } else {
            "not settled in time"
        },
    );
    println!(
        "accepted {}, refused {}; {restarts} restarts of actors, {panics} panics",
        report.ledger.accepted,
        report.ledger.refused.total(),
    );
    match peak_kib() {
        Some(peak) => println!(
            "peak memory of this process {:.1} MiB with a ceiling of {} MiB over events\n",
            f64::from(peak) / 1024.0,
            options.ceiling >> 20
        ),
        None => println!("peak memory is not known on this system\n"),
    }
}

/// The most memory that this process has held so far, where that can be looked up.
fn peak_kib() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Panics are part of the plan: they are counted instead of printed.
fn count_panics() -> Arc<AtomicU64> {
    let panics = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    panics
}
