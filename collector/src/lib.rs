//! A local receiver that behaves like the `ProductGraph` ingestion service, and misbehaves on
//! demand.
//!
//! Clients of `POST /v1/events` can be tested against it over real sockets: what it accepts, what
//! it refuses as a whole, what it rejects by index and the words it uses follow the service's own
//! source, for [both generations](Generation) of it. On top come the things a client fears:
//! resets, silence, duplicates after a lost answer, a proxy's limits ([`Fault`]).
//!
//! ```
//! use productgraph_collector::{Collector, Fault};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let collector = Collector::builder().start().await?;
//! // The first answer gets lost after the events were stored.
//! collector.faults().push(Fault::store_then_reset());
//!
//! let client = reqwest::Client::builder().no_proxy().build()?;
//! let body = r#"{"events":[{"event_id":"e-1","product_id":"shop","session.id":"s-1",
//!                           "event.type":"custom","event.name":"cart.abandoned"}]}"#;
//! let lost = client.post(collector.endpoint()).body(body).send().await;
//! assert!(lost.is_err());
//! let answer = client.post(collector.endpoint()).body(body).send().await?;
//! assert_eq!(answer.status(), 202);
//!
//! // The service does not remove duplicates, so neither does the collector: it counts them.
//! assert_eq!(collector.event_ids(), ["e-1", "e-1"]);
//! assert_eq!(collector.stats().duplicates, 1);
//! collector.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # For tests without sleeps
//!
//! - [`Faults::hold`] stops requests at a gate, [`Collector::wait_for_waiting`] says when they are
//!   there.
//! - [`Collector::wait_for_events`], [`wait_for_requests`](Collector::wait_for_requests) and
//!   [`wait_until`](Collector::wait_until) end as soon as what they wait for is so.
//! - Faults are drawn from a queue, by turn, or from a seeded sequence: never by chance.
//! - [`CollectorBuilder::start_blocking`] needs no runtime and keeps real time under a test's
//!   paused clock.
//!
//! # What it is not
//!
//! It stores nothing beyond its process and forwards nothing. There is no access control on the
//! pages under `/_collector` (a `GET` there lists them), so it listens on loopback unless
//! [told otherwise](CollectorBuilder::allow_remote), and it speaks HTTP/1 without TLS.
//!
//! # Where it differs from the service
//!
//! - A `null` inside `events` is answered 400. Read from its source, the service drops the
//!   connection.
//! - Of two `events` keys the second one wins. Go's decoder decodes it into the elements of the
//!   first one, so that absent fields keep old values.
//! - Bodies over [`max_body_bytes`](CollectorBuilder::max_body_bytes) are answered 413, and heads
//!   over 64 KiB or 100 headers 431; the service allows any body and a head of 1 MiB.
//! - A timestamp must have the documented shape to the letter; Go's parser also takes a comma
//!   before the fraction and an hour of one digit.
//! - Go refuses JSON nested deeper than 10,000 levels; here there is no limit.
//! - A lone surrogate in a key beside `events` refuses the document; Go replaces it.
//! - A run of invalid UTF-8 may be replaced by fewer characters than Go would put.
//! - Time spent on making up an answer does not count towards the write timeout, so that faults
//!   can take as long as they like.
//! - An event is kept as it was sent, except that an absent timestamp is added, as the service
//!   does, and [lenient](CollectorBuilder::lenient) rounding replaces the number. The service
//!   keeps known fields only.

/// Keeps the example of the page newcomers read first compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod body;
mod builder;
mod clock;
mod collector;
mod conn;
mod control;
mod decode;
mod event;
mod faults;
mod fields;
mod filter;
mod ingest;
mod ordeal;
mod params;
mod plan;
mod query;
mod record;
mod respond;
mod route;
mod server;
mod shared;
mod spec;
mod store;
mod timestamp;

pub use builder::CollectorBuilder;
pub use collector::{Collector, StartError};
pub use control::{DownGuard, Faults, HoldGuard};
pub use faults::{Answer, Fault, ResetAt, RetryAfter};
pub use fields::Generation;
pub use plan::{FaultPlan, Rejection, Rule, When};
pub use record::{Ending, RequestRecord};
pub use shared::Stats;
pub use spec::SpecError;
