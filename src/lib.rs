//! Actor-based product telemetry for Rust services.
//!
//! A service spawns an [`Engine`] at start-up. Middleware and handlers send product events (API
//! calls, errors, journey steps, ...) through a cheap [`Handle`]; the engine correlates them with the
//! frontend session, batches them, fans them out to isolated provider lanes, retries with backoff,
//! and drains at shutdown with a [`Report`] that adds up.
//!
//! ```no_run
//! use std::time::Duration;
//! use axum::{routing::post, Router};
//! use productgraph::{providers::ProductGraph, Engine, Event};
//!
//! # async fn checkout() {}
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let engine = Engine::builder()
//!         .project("shop")
//!         .provider(ProductGraph::new("https://telemetry.example.com/v1/events"))
//!         .spawn()?;
//!     let handle = engine.handle();
//!
//!     handle.track(Event::custom("cart.abandoned").with("items", 3));
//!     handle.track_journey_step("checkout_flow", "payment_confirmed", "Payment confirmed");
//!
//!     let app = Router::new().route("/checkout", post(checkout)).layer(engine.layer());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app)
//!         .with_graceful_shutdown(productgraph::shutdown_signal())
//!         .await?;
//!     println!("{}", engine.shutdown(Duration::from_secs(10)).await);
//!     Ok(())
//! }
//! ```
//!
//! # The delivery contract
//!
//! - `track` never blocks, never panics, takes no lock and needs no runtime. (The one call that wakes
//!   an idle engine passes through tokio's `Notify`, which holds a lock for a few instructions.) What
//!   it cannot take is refused and counted.
//! - Per provider and at every instant
//!   `accepted + redriven = delivered + filtered + rejected + dropped + pending`, by reason.
//!   [`Engine::ledger`], `flush` and `shutdown` return it. Filtered is what a hook, consent or sampling
//!   kept from a provider on purpose; redriven are dead letters ([`Engine::dead_letters`]) that were put
//!   back.
//! - At least once to each provider; ids and times are fixed when an event is tracked. Order is kept
//!   while a provider has one request in flight, which is the default.
//! - A provider that is slow, broken, panicking, silent or blocks its thread changes nothing for
//!   another. A hook of the application that never returns stops delivery to all, and no deadline.
//! - Memory is bounded by a byte ceiling, and what gives way there is a policy with a name.
//! - Secrets are taken out of events before they leave ([`Redaction`]), unless that is switched off.
//! - [`Engine::health`] follows from proofs of progress: idle is healthy, standing still is not.
//! - Shutdown ends at its deadline, on any runtime flavour, and its report adds up.
//!
//! Not for tracing spans or metrics (compose it with OpenTelemetry), nor for messaging between
//! services. Events live in memory: what a crash of the process leaves undelivered is lost.
//!
//! # Features
//!
//! | Feature | Default | What it adds |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls, with the platform's roots |
//! | `tower` | yes | [`middleware`]: the layers |
//! | `opentelemetry` | yes | trace and span ids from the current OpenTelemetry context |
//! | `axum` | no | route templates from axum's `MatchedPath`, `Correlation` as an extractor, [`observability`] handlers |
//! | `metrics` | no | the engine's own metrics through the OpenTelemetry API |
//! | `testing` | no | [`testing`]: a recording handle, a scripted provider |

mod compact_id;
mod completion;
mod config;
pub mod correlation;
mod dead_letters;
mod engine;
mod error;
pub mod event;
mod handle;
mod lineage;
#[cfg(feature = "tower")]
pub mod middleware;
pub mod observability;
mod privacy;
pub mod providers;
mod secret;
mod shutdown_signal;
#[cfg(feature = "testing")]
pub mod testing;
mod text;

pub use config::Config;
pub use correlation::Correlation;
pub use dead_letters::DeadLetter;
pub use engine::{
    Engine, EngineBuilder, Health, HealthState, OnHookPanic, ProviderOptions, QueueHealth,
    StartError, Stats,
};
pub use error::ConfigError;
pub use event::{Event, EventKind};
pub use handle::{Handle, TrackError};
pub use privacy::{Consent, ConsentPolicy, Redaction, RedactionMode, Sampling};
pub use productgraph_actors::{
    ActorStatus, Backoff, BackoffError, BoxFuture, BreakerState, Cause, Completion, Counts,
    DeadLetterLimits, DeadLetterStats, DeadReason, DropReason, Encoded, EventWriter, Events,
    FilterReason, FormatKey, LaneOptions, LaneState, LaneStatus, Ledger, Limits, Outcome, Overflow,
    Provider, ProviderLedger, Reason, RedriveError, Redriven, RefuseReason, RejectReason, Report,
    RetryBudget, STALLED_AFTER, SpawnError, Stage, Stalled, Verdict,
};
pub use secret::{Secret, SecretError};
pub use shutdown_signal::shutdown_signal;
pub use text::Text;
