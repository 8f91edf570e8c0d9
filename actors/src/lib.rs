//! The delivery engine of productgraph, generic over the event.
//!
//! A [`Pipeline`] takes events from any thread without blocking, lock or runtime, batches them, and
//! hands them to isolated lanes, one per [`Provider`]. Each lane retries, bisects and waits on its
//! own. Every event ends in exactly one count of the [`Ledger`]. It knows nothing of HTTP, JSON or
//! what an event is.
//!
//! Not for: message passing between services, durable queues (yet), or exactly-once delivery.
//!
//! ```
//! use std::time::Duration;
//! use productgraph_actors::testing::Script;
//! use productgraph_actors::Pipeline;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let script = Script::delivering("sink");
//! let pipeline = Pipeline::builder(|_: &u64| 8).provider(script.provider()).spawn()?;
//! let sender = pipeline.sender();
//! for n in 0..100 {
//!     sender.try_send(n).map_err(|refused| refused.reason.to_string())?;
//! }
//! let report = pipeline.shutdown(Duration::from_secs(5)).await;
//! assert!(report.is_settled() && report.ledger.balances());
//! assert_eq!(script.delivered(), (0..100).collect::<Vec<u64>>());
//! # Ok(()) }
//! ```

mod alarm;
mod attempt;
mod backoff;
mod batch;
mod budget;
mod buffer;
mod builder;
mod dead_letters;
mod fanout;
mod finale;
mod flusher;
mod fragments;
mod handoff;
mod hooks;
mod ingress;
mod lane;
mod ledger;
mod origin;
mod pipeline;
mod provider;
mod pulse;
mod report;
mod request;
mod running;
mod runtimes;
mod screen;
mod sender;
mod sentinel;
mod shutdown;
mod slices;
mod stages;
mod supervise;
mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod vitals;
mod watch;
#[cfg(any(test, feature = "testing"))]
mod wedge;

pub use backoff::{Backoff, BackoffError, Decision};
pub use batch::BatchLimits;
pub use builder::{PipelineBuilder, SpawnError};
pub use dead_letters::{
    DeadLetter, DeadLetterLimits, DeadLetterStats, DeadReason, RedriveError, Redriven,
};
pub use fragments::{EventWriter, FormatKey};
pub use hooks::HookPanics;
pub use ingress::Place;
pub use ingress::{Overflow, Priority};
pub use lane::{BreakerState, LaneOptions, LaneState, LaneStatus, RetryBudget};
pub use ledger::{
    Counts, DropReason, FilterReason, Ledger, ProviderLedger, Reason, RefuseReason, RejectReason,
};
pub use pipeline::Pipeline;
pub use provider::{BoxFuture, Cause, Encoded, Limits, Outcome, Provider, Verdict};
pub use pulse::STALLED_AFTER;
pub use report::{Completion, Report};
pub use request::Events;
pub use screen::Screened;
pub use sender::{Refused, Sender};
pub use vitals::{ActorStatus, Phase, Stage, Stalled, Vitals};
