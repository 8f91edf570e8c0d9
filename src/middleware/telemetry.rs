//! Both layers in the right order.

use tower_layer::Layer;

use super::{Correlate, CorrelationLayer, TrackRequests, TrackRequestsLayer};
use crate::Handle;

/// [`CorrelationLayer`] around [`TrackRequestsLayer`]: what a service normally adds, once.
#[derive(Clone, Debug)]
pub struct TelemetryLayer {
    correlation: CorrelationLayer,
    requests: TrackRequestsLayer,
}

impl TelemetryLayer {
    /// Both layers with their defaults; events go to `handle`.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self {
            correlation: CorrelationLayer::new(),
            requests: TrackRequestsLayer::new(handle),
        }
    }

    /// Changes the correlation layer.
    #[must_use]
    pub fn correlation(self, change: impl FnOnce(CorrelationLayer) -> CorrelationLayer) -> Self {
        Self {
            correlation: change(self.correlation),
            ..self
        }
    }

    /// Changes the request tracking layer.
    #[must_use]
    pub fn requests(self, change: impl FnOnce(TrackRequestsLayer) -> TrackRequestsLayer) -> Self {
        Self {
            requests: change(self.requests),
            ..self
        }
    }
}

impl<S> Layer<S> for TelemetryLayer {
    type Service = Correlate<TrackRequests<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        self.correlation.layer(self.requests.layer(inner))
    }
}
