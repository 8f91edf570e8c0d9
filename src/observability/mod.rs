//! Watching the engine itself: health, metrics, and handlers to serve them.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use productgraph::Engine;
//!
//! let engine = Engine::builder().enabled(false).spawn()?;
//! let monitor = engine.monitor();
//! assert!(monitor.health().is_healthy());
//! assert!(monitor.prometheus().contains("productgraph_engine_uptime_seconds"));
//! # Ok(()) }
//! ```
//!
//! With the feature `metrics` the same numbers go to OpenTelemetry, see [`Monitor::observe`]; with the
//! feature `axum` there are handlers, see [`Monitor::router`]. [`METRICS`] lists them all.

#[cfg(feature = "axum")]
mod axum;
mod metrics;
#[cfg(feature = "metrics")]
mod otel;
mod prometheus;

use std::fmt;
use std::sync::{Arc, Weak};

use productgraph_actors::Pipeline;

pub use metrics::{METRICS, Metric, MetricKind};

use crate::{Event, Health, Text};

/// A view of an engine's health. A clone is cheap; it goes to any thread and keeps no engine alive.
///
/// Reading it never blocks, whatever the engine, a provider or a hook does, and it says so when the
/// engine is gone.
#[derive(Clone)]
pub struct Monitor {
    /// `None` when disabled.
    pipeline: Option<Weak<Pipeline<Event>>>,
    name: Option<Text>,
}

impl Monitor {
    pub(crate) fn new(pipeline: Option<&Arc<Pipeline<Event>>>) -> Self {
        Self {
            pipeline: pipeline.map(Arc::downgrade),
            name: None,
        }
    }

    /// Adds the attribute `engine` with this name to every metric, so that two engines of one process
    /// can be told apart.
    #[must_use]
    pub fn named(mut self, name: impl Into<Text>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How the engine and each provider are: [`Engine::health`](crate::Engine::health), or that it was
    /// dropped.
    pub fn health(&self) -> Health {
        match &self.pipeline {
            None => Health::disabled(),
            Some(pipeline) => match pipeline.upgrade() {
                Some(pipeline) => Health::of(pipeline.vitals()),
                None => Health::gone(),
            },
        }
    }

    /// Every metric as Prometheus text, format 0.0.4. Serve it as
    /// `text/plain; version=0.0.4; charset=utf-8`.
    pub fn prometheus(&self) -> String {
        prometheus::render(&self.health(), self.name.as_deref())
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("name", &self.name)
            .field("enabled", &self.pipeline.is_some())
            .finish_non_exhaustive()
    }
}
