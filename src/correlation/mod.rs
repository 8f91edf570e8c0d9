//! Ties events to a request, a frontend session, a user and a trace.
//!
//! The tower layer reads the headers of a request into a [`Correlation`] and runs the handler inside
//! its scope; every event tracked there carries it. Without the layer, three calls do the same:
//!
//! ```
//! use http::HeaderMap;
//! use productgraph::correlation::{self, Correlation, ExtractOptions, UserId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let mut headers = HeaderMap::new();
//! headers.insert("x-session-id", "sess-lw3k9x2a-9f1b22c0".parse()?);
//!
//! let request = correlation::extract(&headers, &ExtractOptions::new()).correlation;
//! let handler = async {
//!     // after authentication
//!     let current = Correlation::current().ok_or("no request")?;
//!     current.set_user(UserId::parse("u_1")?);
//!
//!     // a bare `tokio::spawn` would lose it
//!     let task = correlation::spawn(async { Correlation::current() });
//!     assert_eq!(task.await?, Some(current));
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! };
//! request.clone().scope(handler).await?;
//!
//! assert!(request.user_id().is_some_and(|user| *user == "u_1"));
//! assert_eq!(Correlation::current(), None);
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # What survives what
//!
//! | Code runs in | Correlation | OpenTelemetry span |
//! |---|---|---|
//! | the future itself, `.await`, `join!`, `select!` | kept | kept |
//! | the future while it is dropped | kept | – |
//! | `tokio::spawn`, `spawn_blocking`, `std::thread`, rayon | **lost** | lost |
//! | [`spawn`], [`spawn_blocking`] | kept | kept |
//! | [`capture`] with [`Captured::scope`] (`JoinSet`) or [`Captured::enter`] (threads, rayon) | kept | kept |
//! | `tokio::spawn(future.with_current_context())` of OpenTelemetry | kept, by the copy | kept |
//! | the same inside a tracing span that was created outside the scope | **lost**: the span hides the copy | kept |
//! | a tracing span that was created outside the scope | kept | that span |
//! | a destructor of a thread-local | kept until its own turn | as long as it can be read safely |
//!
//! Two futures that take turns on one thread, or one that moves between threads, never see each
//! other's correlation: it is set for the time of a poll.
//!
//! # Trust
//!
//! Everything in a header is a label that anybody can write. Session, request and user ids must
//! never decide what a caller may do. `X-User-ID` is not read unless asked for
//! ([`ExtractOptions::claimed_user_from`]) and is marked as claimed. Outgoing requests carry ids to
//! listed hosts only ([`Propagation`]), and never the user.
//!
//! # For browsers
//!
//! The headers make a cross-origin request ask first: list `X-Session-ID`, `X-Request-ID` and
//! `traceparent` in `Access-Control-Allow-Headers`, or the application's own request fails, and
//! `X-Request-ID` in `Access-Control-Expose-Headers` to let scripts read the echoed id.

mod context;
mod headers;
mod ids;
mod options;
mod outgoing;
mod rules;
mod scope;
mod stats;
mod store;
mod suppress;
mod trace;
mod tracestate;
mod value;

pub use crate::compact_id::IdText;
pub(crate) use context::here;
pub use context::{current_span, current_trace};
pub use headers::{Extracted, Refusal, Verdict, extract};
pub use ids::{AnonymousId, RequestId, SessionId, UserId};
pub use options::{ExtractOptions, REQUEST_HEADER, SESSION_HEADER, SessionMinting, TraceTrust};
pub use outgoing::{HostPatternError, Propagation};
pub use rules::IdError;
pub use scope::{Captured, Scoped, capture, spawn, spawn_blocking};
pub use stats::{ExtractCounts, ExtractStats, RefusalCounts};
pub(crate) use suppress::{suppressed, while_suppressed};
pub use trace::{Hex, TraceIds, TraceParent};
pub use value::{Correlation, CorrelationBuilder, SessionSource, UserSource};
