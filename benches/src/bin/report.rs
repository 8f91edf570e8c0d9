//! Every measurement in one table, beside the limits.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin report -- [--quick] [--check]
//! [--details] [--parts hotpath,callers,e2e,heap,middleware,footprint]`
//!
//! Ends with 2 if something failed to build or run, with 1 under `--check` if a limit is missed, else
//! with 0.

use std::process::ExitCode;

use productgraph_benches::{args, play_a_part, report};

fn main() -> ExitCode {
    if play_a_part() || report::play_a_part() {
        return ExitCode::SUCCESS;
    }
    match report::run() {
        Ok(false) if args::given("check") => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
