//! A local receiver that behaves like the `ProductGraph` ingestion service, with faults on demand.

mod body;
mod builder;
mod collector;
mod conn;
mod control;
mod decode;
mod event;
mod faults;
mod fields;
mod ingest;
mod query;
mod record;
mod respond;
mod route;
mod server;
mod shared;
mod store;
mod timestamp;

pub use builder::CollectorBuilder;
pub use collector::{Collector, StartError};
pub use control::{DownGuard, Faults, HoldGuard};
pub use decode::IndexError;
pub use faults::{Answer, Fault, FaultPlan, Rejection, ResetAt, RetryAfter, Rule, When};
pub use fields::Generation;
pub use record::{Ending, RequestRecord};
pub use shared::Stats;
