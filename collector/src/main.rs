//! Runs a collector until it is told to stop; see `--help`.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

use cli::Command;
use productgraph_collector::{Collector, CollectorBuilder};

fn main() -> ExitCode {
    // An argument that is not UTF-8 is no flag of ours, and is named as unknown.
    let args = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned());
    match cli::parse(args) {
        Ok(Command::Help) => {
            say(cli::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            say(concat!(
                "productgraph-collector ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            ));
            ExitCode::SUCCESS
        }
        Ok(Command::Run(builder)) => match run(*builder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&*error);
                ExitCode::FAILURE
            }
        },
        Err(problem) => {
            let _ = writeln!(io::stderr(), "productgraph-collector: {problem}");
            ExitCode::from(2)
        }
    }
}

type Problem = Box<dyn std::error::Error>;

fn run(builder: CollectorBuilder) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Watched before the address is printed, so that whoever waits for it may signal at once.
        let stop = stop_signal()?;
        let collector = builder.start().await?;
        say(&banner(&collector));
        stop.await;
        let stats = collector.shutdown().await;
        say(&format!("stopped {}\n", serde_json::to_string(&stats)?));
        Ok(())
    })
}

fn banner(collector: &Collector) -> String {
    let url = collector.base_url();
    format!(
        "listening on {}\n\
         post events  {}\n\
         look at them {url}/_collector/events?limit=10\n\
         count them   {url}/_collector/stats\n\
         break things {url}/_collector/faults\n\
         everything   {url}/_collector\n",
        collector.addr(),
        collector.endpoint(),
    )
}

/// Ends at Ctrl-C or SIGTERM.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends at Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a signal to wait for, the process has to be ended from outside.
            std::future::pending::<()>().await;
        }
    })
}

/// Prints; a reader that went away is no reason to stop receiving.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn complain(error: &dyn std::error::Error) {
    let mut line = format!("productgraph-collector: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    let _ = writeln!(io::stderr(), "{line}");
}
