//! Measurements of productgraph: its callers' side, whole clients, the middleware, the heap. Each beside
//! a yardstick that is measured in the same run, and with the feature `peers` beside other clients.
//!
//! docs/performance.md says how to run what and what the numbers mean. A measurement that cannot be made
//! ends its program: these functions panic where a service would carry on.

pub mod args;
pub mod clock;
pub mod e2e;
pub mod footprint;
pub mod hotpath;
pub mod middleware;
pub mod ours;
pub mod peers;
pub mod programs;
pub mod records;
pub mod report;
pub mod request;
pub mod ring;
pub mod sink;
pub mod stats;
pub mod usage;

/// What the command line makes of a program besides itself: a sink or a client that one of its own kind
/// has started. True if it was one, and is done.
pub fn play_a_part() -> bool {
    match std::env::args().nth(1).as_deref() {
        Some(sink::ROLE) => sink::run(),
        Some(e2e::ROLE) => e2e::child(),
        _ => return false,
    }
    true
}
