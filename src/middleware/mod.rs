//! Tower layers: the correlation of every request, and one event for each.
//!
//! [`TelemetryLayer`] is both layers in the right order and what most services want:
//!
//! ```
//! use productgraph::Handle;
//! use productgraph::middleware::TelemetryLayer;
//! use tower_layer::Layer;
//!
//! # fn instrument<S>(handle: Handle, service: S) {
//! let layer = TelemetryLayer::new(handle)
//!     .correlation(|layer| layer.echo(true))
//!     .requests(|layer| layer.exclude("/health*").sample("/feed", 0.1));
//! let service = layer.layer(service);
//! # }
//! ```
//!
//! # Order of layers
//!
//! From the outside in:
//!
//! 1. [`CorrelationLayer`], so that everything further in runs inside the request's
//!    [`Correlation`](crate::Correlation): it is in the request's extensions and is what
//!    `Correlation::current()` answers;
//! 2. the application's own trace layer, whose spans may then carry the correlation;
//! 3. [`TrackRequestsLayer`], so that its event is sent inside both;
//! 4. authentication and the handlers.
//!
//! In axum the layer added *last* with `Router::layer` is the outermost.
//!
//! What other orders do:
//!
//! | order | effect |
//! |---|---|
//! | tracker outside correlation | The event is still correlated, also for a cancelled or panicking handler: the tracker leaves a slot in the request that the correlation layer fills. Costs one allocation a request. |
//! | trace layer outside both | Nothing is lost but the correlation in that layer's own records. |
//! | authentication outside both | `set_user` finds no correlation yet: the user is missing. Put it inside, or call `set_user` from a layer further in. |
//! | a layer that answers by itself (auth, timeout, load shedding) outside the tracker | Its answers give no event. |
//! | a panic-catching layer inside the tracker | The tracker sees the answer that layer makes, an ordinary 500. Outside, it sees the panic: outcome `panicked`. |
//! | the tracker twice around one handler | Two events for each request. The correlation layer twice is harmless: the outer one wins. |
//! | around the whole axum `Router` instead of inside `Router::layer` | Works, but routing has not happened yet, so there is no route template: the folded path is recorded. |
//!
//! # One event for each request
//!
//! Every tracked request gives exactly one `api.response`, whatever becomes of it:
//!
//! | what happened | status | metadata `outcome` |
//! |---|---|---|
//! | the response body was handed over to its end | the response's | none |
//! | an upgrade (101, or a 2xx to `CONNECT`) | the response's, sent at the switch | none |
//! | the caller went away before there was a response | 499 | `cancelled` |
//! | the body was dropped before its end | the response's | `cancelled` |
//! | the body failed | the response's | `body_error` |
//! | the handler panicked | 500 | `panicked` |
//! | the body panicked | the response's | `panicked` |
//! | the inner service returned an error | 500 | `error` |
//!
//! 499 is what nginx logs for a client that closed its connection; it never goes over the wire.
//! For gRPC the status stays that of HTTP and the code of the call is in metadata `grpc_status`.

mod correlation;
#[cfg(feature = "axum")]
mod extract;
mod telemetry;
mod track;

pub use correlation::{Correlate, CorrelateFuture, CorrelatedBody, CorrelationLayer};
#[cfg(feature = "axum")]
pub use extract::MissingCorrelation;
pub use telemetry::TelemetryLayer;
pub use track::{TrackFuture, TrackRequests, TrackRequestsLayer, TrackedBody};
