//! The engine: the one thing a service spawns and shuts down.

mod builder;
mod health;
mod health_json;
mod hooks;
mod logged;
mod options;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use productgraph_actors::{Ledger, Pipeline, Report};

use crate::correlation::{ExtractCounts, ExtractOptions, ExtractStats};
use crate::observability::Monitor;
use crate::{Config, Event, Handle};

pub use builder::{EngineBuilder, StartError};
pub use health::{Health, HealthState, QueueHealth};
pub(crate) use health_json::lane_state;
pub use hooks::OnHookPanic;
pub use options::ProviderOptions;

/// A running telemetry engine.
///
/// Owns the delivery actors and, by default, a small runtime for them. Hand out [`Engine::handle`]
/// and [`Engine::layer`]; when the service stops, call [`Engine::shutdown`] after the server has
/// stopped: telemetry drains last.
///
/// Dropping it without a shutdown never blocks: what is left is given up, counted and warned of.
#[must_use = "dropping the engine gives up whatever it holds"]
pub struct Engine {
    /// `None` when disabled.
    pipeline: Option<Arc<Pipeline<Event>>>,
    handle: Handle,
    #[cfg_attr(
        not(feature = "tower"),
        expect(dead_code, reason = "only the layers read it")
    )]
    extract: ExtractOptions,
    extracted: Arc<ExtractStats>,
    #[cfg_attr(
        not(feature = "tower"),
        expect(dead_code, reason = "only the layers read it")
    )]
    excluded_paths: Vec<String>,
    shutdown_timeout: Duration,
}

/// What the engine has done so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Where every event is.
    pub ledger: Ledger,
    /// What the requests brought in their headers.
    pub correlation: ExtractCounts,
    /// Bytes of events held now.
    pub bytes_held: usize,
    /// How often a hook panicked: `before_send`, a pattern of the redaction, a provider's filter.
    pub hook_panics: u64,
}

impl Engine {
    /// Starts to describe an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::new()
    }

    /// An engine configured by the environment, sending to a `ProductGraph` service. See
    /// `docs/configuration.md` for the variables.
    ///
    /// Without a project and an endpoint it is disabled and says so once in the log.
    ///
    /// # Errors
    ///
    /// [`StartError`] for a malformed or missing value, naming the variable.
    pub fn from_env() -> Result<Self, StartError> {
        Self::from_config(&Config::from_env()?)
    }

    /// An engine with this configuration, sending to a `ProductGraph` service.
    ///
    /// # Errors
    ///
    /// [`StartError`] for a value that cannot be worked with.
    pub fn from_config(config: &Config) -> Result<Self, StartError> {
        EngineBuilder::from_config(config)?.spawn()
    }

    /// A handle to track with; clone it freely.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The tower layer for a service: correlation around request tracking.
    #[cfg(feature = "tower")]
    pub fn layer(&self) -> crate::middleware::TelemetryLayer {
        let excluded = &self.excluded_paths;
        crate::middleware::TelemetryLayer::new(self.handle())
            .correlation(|layer| {
                layer
                    .extract(self.extract.clone())
                    .stats(Arc::clone(&self.extracted))
            })
            .requests(|layer| {
                excluded
                    .iter()
                    .fold(layer, |layer, path| layer.exclude(path.clone()))
            })
    }

    /// Whether events go anywhere.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.pipeline.is_some()
    }

    /// The accounts at this instant.
    pub fn ledger(&self) -> Ledger {
        self.pipeline
            .as_ref()
            .map_or_else(Ledger::default, |pipeline| pipeline.ledger())
    }

    /// Accounts, correlation and memory at this instant.
    pub fn stats(&self) -> Stats {
        Stats {
            ledger: self.ledger(),
            correlation: self.extracted.snapshot(),
            bytes_held: self
                .pipeline
                .as_ref()
                .map_or(0, |pipeline| pipeline.bytes_held()),
            hook_panics: self
                .pipeline
                .as_ref()
                .map_or(0, |pipeline| pipeline.hook_panics()),
        }
    }

    /// How the engine and each provider are. Never blocks; works on any thread, also after the end.
    pub fn health(&self) -> Health {
        match &self.pipeline {
            Some(pipeline) => Health::of(pipeline.vitals()),
            None => Health::disabled(),
        }
    }

    /// A view of health and metrics, to hand to whoever watches. It keeps the engine no longer alive.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.pipeline.as_ref())
    }

    /// Delivers everything accepted before this call, or as much as `timeout` allows. Works on any
    /// executor.
    pub async fn flush(&self, timeout: Duration) -> Report {
        match &self.pipeline {
            Some(pipeline) => pipeline.flush(timeout).await,
            None => Report::default(),
        }
    }

    /// Refuses new events, delivers what is left within `timeout`, counts the rest, and reports.
    /// Idempotent; works on any executor and any runtime flavour.
    pub async fn shutdown(&self, timeout: Duration) -> Report {
        match &self.pipeline {
            Some(pipeline) => pipeline.shutdown(timeout).await,
            None => Report::default(),
        }
    }

    /// [`Engine::shutdown`] for threads that cannot await.
    pub fn shutdown_blocking(&self, timeout: Duration) -> Report {
        match &self.pipeline {
            Some(pipeline) => pipeline.shutdown_blocking(timeout),
            None => Report::default(),
        }
    }

    /// Waits for `signal`, then shuts down within the configured timeout.
    ///
    /// ```no_run
    /// # async fn example(engine: productgraph::Engine) {
    /// let report = engine.drain_on(productgraph::shutdown_signal()).await;
    /// println!("{report}");
    /// # }
    /// ```
    pub async fn drain_on(&self, signal: impl Future<Output = ()>) -> Report {
        signal.await;
        self.shutdown(self.shutdown_timeout).await
    }

    /// The configured time for a shutdown. Default 10 s.
    pub fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    /// The delivery engine; `None` when disabled.
    pub(crate) fn running(&self) -> Option<&Pipeline<Event>> {
        self.pipeline.as_deref()
    }

    /// The delivery engine, to crash its actors in tests.
    #[cfg(feature = "testing")]
    pub fn pipeline(&self) -> Option<&Pipeline<Event>> {
        self.pipeline.as_deref()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("enabled", &self.is_enabled())
            .field("ledger", &self.ledger())
            .finish_non_exhaustive()
    }
}
