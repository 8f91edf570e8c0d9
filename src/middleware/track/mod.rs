//! One `api.response` event for each request.

mod body;
mod fold;
mod future;
mod intern;
mod layer;
mod outcome;
mod pattern;
mod route;
mod sampling;
mod service;
mod slot;
mod ticket;

pub use body::TrackedBody;
pub use future::TrackFuture;
pub use layer::TrackRequestsLayer;
pub use service::TrackRequests;
pub(super) use slot::CorrelationSlot;
