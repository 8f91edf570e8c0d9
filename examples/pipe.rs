//! A tool for scripts: events on standard input, one JSON object a line, delivered to a
//! `ProductGraph` service.
//!
//! ```console
//! $ cargo run -p productgraph-collector -- --port 8080 &
//! $ export PRODUCTGRAPH_PROJECT_ID=shop PRODUCTGRAPH_ENDPOINT=http://127.0.0.1:8080/v1/events
//! $ echo '{"event.type":"custom","event.name":"nightly.import","session.id":"job-7"}' |
//! >   cargo run -q --example pipe
//! {"accepted":1,"refused":{},"providers":{"productgraph":{"delivered":1,"rejected":{},"dropped":{},"pending":0}}}
//! ```
//!
//! # Input
//!
//! Each line is one flat object as the service takes it; only `event.type` must be there. An
//! `event_id`, time, session, user or project that is given is kept (the project of a line wins over
//! the configured one). A missing session is filled in with one for the process, marked by
//! `"session_source":"process"` in the metadata. Empty lines, a byte order mark and CRLF are fine, and
//! so is a last line without an end. A line that is no event is named on standard error by its number
//! and the others are still sent; so is one over 1 MiB, of which no more than that is ever held.
//!
//! When the engine is full the input waits: nothing is dropped to make room.
//!
//! # End
//!
//! At the end of input, SIGTERM or Ctrl-C it delivers what it has read within
//! `PRODUCTGRAPH_SHUTDOWN_TIMEOUT` (10 s) and prints the account of every event as the only line on
//! standard output. A line whose end had not arrived when the signal came counts as not read.
//!
//! | Exit | |
//! |---|---|
//! | 0 | everything that was read was delivered |
//! | 3 | something was refused, rejected, dropped or left; wins over 65, because events are lost |
//! | 65 | a line was not a valid event, or the input could not be read to its end |
//! | 2 | the configuration is bad or names no destination; the message names the variable |
//! | 1 | the engine could not be started |

#[path = "pipe/feed.rs"]
mod feed;
#[path = "pipe/lines.rs"]
mod lines;
#[path = "pipe/narrator.rs"]
mod narrator;
#[path = "pipe/report.rs"]
mod report;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use productgraph::{Config, ConfigError, Engine, EngineBuilder, Ledger, StartError};
use tokio::time::{Instant, timeout};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use feed::Feed;
use narrator::Narrator;

const USAGE: &str = "usage: pipe < events.ndjson
configured by PRODUCTGRAPH_PROJECT_ID, PRODUCTGRAPH_ENDPOINT and the other variables in docs/configuration.md";

/// Time for threads that may be stuck on what they write to.
const LAST_WORDS: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        None => {}
        Some(help) if help == *"--help" || help == *"-h" => {
            say(&USAGE);
            return ExitCode::SUCCESS;
        }
        Some(argument) => return refuse_argument(&argument),
    }
    match run() {
        Ok(code) => code,
        Err(error) => {
            say(&format_args!("error: {error}"));
            error.exit_code()
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let config = Config::from_env()?;
    let narrator = Narrator::start().map_err(Failure::Thread)?;
    log_to(narrator.clone(), config.debug);
    if let Some(why) = config.disabled_because() {
        return Err(Failure::NoDestination(why));
    }
    // Before anything is read: what was read must not be lost to a signal.
    let signal = productgraph::shutdown_signal();
    let engine = EngineBuilder::from_config(&config)?
        .shared_budget(true)
        .spawn()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(Failure::Thread)?;

    let feed = Arc::new(Feed::new(narrator.clone()));
    let handle = engine.handle();
    let waiting = runtime.handle().clone();
    let reader = Arc::clone(&feed);
    // Its own thread, not the runtime's: a read that never ends must not keep the process alive.
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || reader.run(io::stdin().lock(), &handle, &waiting))
        .map_err(Failure::Thread)?;

    let ledger = runtime.block_on(drain(signal, &engine, &feed, &narrator));
    if report::print(&ledger, io::stdout()).is_err() {
        tracing::warn!("the report could not be written");
    }
    runtime.block_on(narrator.finish(LAST_WORDS));
    Ok(exit_code(&ledger, &feed))
}

/// Waits for the end of input or a signal, delivers what was read, and returns the final accounts.
async fn drain(
    signal: impl Future<Output = ()>,
    engine: &Engine,
    feed: &Feed,
    narrator: &Narrator,
) -> Ledger {
    tokio::select! {
        () = signal => feed.stop(),
        () = feed.ended() => {}
    }
    let time = engine.shutdown_timeout();
    let deadline = Instant::now() + time;
    let left = || deadline.saturating_duration_since(Instant::now());
    // What has been read still gets in, if there is room soon; waiting for it must not use up the
    // time in which the rest is delivered.
    let _ = timeout(time / 2, feed.at_rest()).await;
    engine.shutdown(left()).await;
    let _ = timeout(LAST_WORDS, feed.at_rest()).await;
    narrator.finish(left().max(LAST_WORDS)).await;
    engine.ledger()
}

fn exit_code(ledger: &Ledger, feed: &Feed) -> ExitCode {
    if !ledger.is_clean() {
        ExitCode::from(3)
    } else if feed.had_bad_input() {
        ExitCode::from(65)
    } else {
        ExitCode::SUCCESS
    }
}

/// Standard output is for the report alone.
fn log_to(narrator: Narrator, debug: bool) {
    let level = if debug {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || narrator.clone())
        .with_target(false)
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(
            Targets::new()
                .with_target("productgraph", level)
                .with_target("pipe", level),
        )
        .init();
}

/// Tells whoever watches; nobody has to.
fn say(message: &dyn fmt::Display) {
    let _ = writeln!(io::stderr(), "{message}");
}

fn refuse_argument(argument: &OsString) -> ExitCode {
    say(&format_args!(
        "error: no such argument: {}",
        argument.display()
    ));
    say(&USAGE);
    ExitCode::from(2)
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}; a pipe needs a destination: PRODUCTGRAPH_PROJECT_ID and PRODUCTGRAPH_ENDPOINT")]
    NoDestination(&'static str),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(StartError),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => Self::Config(error),
            error => Self::Start(error),
        }
    }
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoDestination(_) | Self::Config(_) => ExitCode::from(2),
            Self::Start(_) | Self::Thread(_) => ExitCode::FAILURE,
        }
    }
}
