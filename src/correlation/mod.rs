//! Ties events to a request, a frontend session, a user and a trace.
mod context;
mod headers;
mod ids;
mod options;
mod rules;
mod scope;
mod store;
mod trace;
mod tracestate;
mod value;

pub use context::{current_span, current_trace};
pub use headers::{Extracted, Refusal, Verdict, extract};
pub use ids::{AnonymousId, RequestId, SessionId, UserId};
pub use options::{ExtractOptions, REQUEST_HEADER, SESSION_HEADER, SessionMinting, TraceTrust};
pub use rules::IdError;
pub use scope::{Captured, Scoped, capture, spawn, spawn_blocking};
pub use trace::{Hex, TraceIds, TraceParent};
pub use value::{Correlation, CorrelationBuilder, SessionSource, UserSource};
