//! The correlation of each request, around everything that answers it.

mod body;
mod future;
mod layer;
mod service;

pub use body::CorrelatedBody;
pub use future::CorrelateFuture;
pub use layer::CorrelationLayer;
pub use service::Correlate;
