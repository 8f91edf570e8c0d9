//! How an engine is put together.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use productgraph_actors::{
    Backoff, BackoffError, BatchLimits, DeadLetterLimits, LaneOptions, Overflow, Pipeline,
    Priority, Provider, RetryBudget, SpawnError,
};
use tokio::runtime::Handle as RuntimeHandle;

use super::hooks::Hooks;
use super::logged::Logged;
use super::{Engine, ProviderOptions};
use crate::correlation::{ExtractOptions, SessionMinting, TraceTrust};
use crate::providers::{IntoProvider, ProductGraph, Setup};
use crate::{Config, ConfigError, Event, Handle, Text, dead_letters};

type MakeProvider = dyn FnOnce(&Setup) -> Result<Box<dyn Provider<Event>>, ConfigError> + Send;

/// Collects what an [`Engine`] is made of; see [`Engine::builder`].
///
/// Everything has a default but the project and at least one provider. Without a provider the engine
/// is disabled: same methods, no threads.
#[must_use = "nothing runs before `spawn`"]
pub struct EngineBuilder {
    enabled: bool,
    /// Why the configuration brings no provider; said if no other one is added.
    why_off: Option<&'static str>,
    debug: bool,
    project: Option<Text>,
    providers: Vec<(Box<MakeProvider>, ProviderOptions)>,
    lane: LaneOptions,
    pub(super) hooks: Hooks,
    /// What providers get that do not say it themselves.
    pub(super) defaults: ProviderOptions,
    batch: BatchLimits,
    max_bytes: usize,
    queue_capacity: usize,
    overflow: Overflow,
    shared_budget: bool,
    shutdown_timeout: Duration,
    extract: ExtractOptions,
    excluded_paths: Vec<String>,
    runtime: Option<RuntimeHandle>,
    pub(crate) dead_letters: DeadLetterLimits,
    pub(crate) on_dead_letter: Option<Box<dead_letters::Hook>>,
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be worked with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The delivery engine could not be started.
    #[error("the engine could not be started")]
    Spawn(#[from] SpawnError),
}

impl EngineBuilder {
    pub(super) fn new() -> Self {
        let config = Config::default();
        Self {
            enabled: true,
            why_off: None,
            debug: false,
            project: None,
            providers: Vec::new(),
            lane: LaneOptions::default(),
            hooks: Hooks::default(),
            defaults: ProviderOptions::default(),
            batch: BatchLimits::new(config.batch_size, config.batch_interval),
            max_bytes: config.max_buffered_bytes,
            queue_capacity: config.queue_capacity,
            overflow: config.overflow,
            shared_budget: false,
            shutdown_timeout: config.shutdown_timeout,
            extract: ExtractOptions::new(),
            excluded_paths: Vec::new(),
            runtime: None,
            dead_letters: dead_letters::limits(config.dead_letters),
            on_dead_letter: None,
        }
    }

    /// Everything a [`Config`] says, a `ProductGraph` provider included if it has an endpoint. More can
    /// be set or added on top: a configuration that is off only for the lack of project and endpoint
    /// runs with providers added here.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration is not valid.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
        config.validate()?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let mut builder = Self::new()
            .batch_size(config.batch_size)
            .batch_interval(config.batch_interval)
            .max_buffered_bytes(config.max_buffered_bytes)
            .queue_capacity(config.queue_capacity)
            .overflow(config.overflow)
            .concurrency(config.concurrency)
            .dead_letters(dead_letters::limits(config.dead_letters))
            .shutdown_timeout(config.shutdown_timeout)
            .session_minting(config.session)
            .trace_trust(config.trace_trust)
            .excluded_paths(config.excluded_paths.iter().cloned())
            .debug(config.debug)
            .breaker_threshold(config.breaker_threshold)
            .redaction(config.redaction_rules())
            .consent(config.consent)
            .sampling(config.sampling()?)
            .retry(config.retry_base, config.retry_max, config.retry_budget)?;
        builder.lane.hold_budget = config.hold_budget;
        builder.lane.attempt_timeout = config.request_timeout.saturating_mul(2);
        if config.trust_user_header {
            builder = builder.trust_user_header();
        }
        builder.why_off = config.disabled_because();
        builder.enabled = config.enabled != Some(false);
        if !builder.enabled {
            return Ok(builder);
        }
        if let Some(project) = &config.project_id {
            builder = builder.project(project.clone());
        }
        if let Some(endpoint) = &config.endpoint {
            let mut provider = ProductGraph::new(endpoint.clone())
                .tenant_keys(config.tenant_keys)
                .timeout(config.request_timeout)
                .allow_plain_http(config.allow_plain_http);
            if let Some(key) = &config.api_key {
                provider = provider.api_key(key.clone());
            }
            builder = builder.provider(provider);
        }
        Ok(builder)
    }

    /// The project (tenant) that events belong to. Required as soon as there is a provider.
    pub fn project(mut self, project: impl Into<Text>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Adds a destination. Each gets every event that its consent policy and its sampling let through,
    /// in a lane of its own.
    pub fn provider(self, provider: impl IntoProvider + Send + 'static) -> Self {
        self.provider_with(provider, ProviderOptions::default())
    }

    /// Adds a destination that differs from the engine's settings: by its lane, by what it may get.
    pub fn provider_with(
        mut self,
        provider: impl IntoProvider + Send + 'static,
        options: impl Into<ProviderOptions>,
    ) -> Self {
        self.providers.push((
            Box::new(move |setup| provider.into_provider(setup)),
            options.into(),
        ));
        self
    }

    /// Whether the engine runs at all. Default true.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Whether every request is logged, with its sizes and its outcome but without content, at level
    /// `INFO`. Default false: only the start and end of trouble are.
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// Events that close a batch. Default 50, from 1 to 100,000. Under backlog batches are merged up to the provider's
    /// own limit, so this bounds waiting, not request size.
    pub fn batch_size(mut self, events: usize) -> Self {
        self.batch.max_events = events.max(1);
        self
    }

    /// Age of its oldest event that closes a batch. Default 5 s.
    pub fn batch_interval(mut self, interval: Duration) -> Self {
        self.batch.max_age = interval;
        self
    }

    /// Ceiling over the events held anywhere in the engine, in bytes of memory. Default 8 MiB, from
    /// 1 KiB to 4 GiB.
    pub fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Events that fit between callers and the engine. Default 8,192, from 1 to 1,048,576; about 200
    /// bytes each, from the start.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.queue_capacity = events;
        self
    }

    /// What gives way when the queue or the ceiling is full. Default [`Overflow::DropNewest`]. A lane that
    /// is full gives up its oldest events, whatever is set here; with [`Overflow::ByPriority`] it decides by
    /// priority too, unless its provider came with options of its own: see
    /// [`LaneOptions::overflow`](crate::LaneOptions::overflow).
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Lets every lane fill the whole byte ceiling instead of its share. A stuck provider then makes
    /// the engine full, which [`Handle::track_wait`](crate::Handle::track_wait) waits out, instead of
    /// losing its oldest events. For pipes and batch jobs. Default false.
    pub fn shared_budget(mut self, shared: bool) -> Self {
        self.shared_budget = shared;
        self
    }

    /// Requests in flight to one provider. Default 1, which keeps order; up to 64.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.lane.concurrency = requests.max(1);
        self
    }

    /// Retries: the first wait is at most `base`, doubling up to `cap`. `budget` is time: a batch that
    /// fails is given up that long after the run of failures began, or after the batch came if that was
    /// later. Default 500 ms, 30 s, 5 min.
    ///
    /// The same as `retry_base`, `retry_max` and `retry_budget` in the configuration. For the number of
    /// retries see [`retry_budget`](Self::retry_budget).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the three cannot work together.
    pub fn retry(
        mut self,
        base: Duration,
        cap: Duration,
        budget: Duration,
    ) -> Result<Self, ConfigError> {
        self.lane.backoff = Backoff::new(base, cap, budget).map_err(retry_error)?;
        Ok(self)
    }

    /// Failed attempts in a row after which a provider gets one request at a time, however many wait,
    /// until it works again. Default 5; zero is taken as one.
    pub fn breaker_threshold(mut self, failures: u32) -> Self {
        self.lane.breaker_threshold = failures;
        self
    }

    /// How many retries a provider gets beside what it takes, in tokens. Default: one for each success
    /// and one more every 500 ms, at most 20 saved up. Without a token a retry waits; nothing is dropped.
    ///
    /// Not `retry_budget` of the configuration, which is the time that a batch is tried: see
    /// [`retry`](Self::retry).
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.lane.retry_budget = budget;
        self
    }

    /// How long events are kept for a provider that refuses this client (401, 403, ...). Default: as long
    /// as they fit under the ceiling.
    pub fn hold_budget(mut self, budget: Duration) -> Self {
        self.lane.hold_budget = Some(budget);
        self
    }

    /// Time for [`Engine::drain_on`] and [`Handle::flush`](crate::Handle::flush). Default 10 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// How requests are correlated; see [`ExtractOptions`].
    pub fn extract(mut self, options: ExtractOptions) -> Self {
        self.extract = options;
        self
    }

    /// The session of requests that bring none. Default one per request.
    pub fn session_minting(mut self, minting: SessionMinting) -> Self {
        self.extract = self.extract.session_minting(minting);
        self
    }

    /// What becomes of an incoming `traceparent`.
    pub fn trace_trust(mut self, trust: TraceTrust) -> Self {
        self.extract = self.extract.trace_trust(trust);
        self
    }

    /// Reads `X-User-ID` and records it as claimed. Off by default: anybody can write that header.
    pub fn trust_user_header(mut self) -> Self {
        self.extract = self
            .extract
            .claimed_user_from(http::HeaderName::from_static("x-user-id"));
        self
    }

    /// Paths whose requests are not tracked; `*` at the end makes a prefix.
    pub fn excluded_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.excluded_paths
            .extend(paths.into_iter().map(Into::into));
        self
    }

    /// Runs the actors and the requests of every provider on this runtime instead of threads of the
    /// engine's own, one for the actors and one for each provider. For tests under a paused clock; in
    /// production its own threads are neither starved nor ended by the application, and a provider that
    /// blocks its thread holds up nobody else.
    pub fn runtime(mut self, runtime: RuntimeHandle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Checks everything and starts the engine.
    ///
    /// # Errors
    ///
    /// [`StartError`], naming the setting or what could not be started.
    pub fn spawn(mut self) -> Result<Engine, StartError> {
        let pipeline = if self.enabled && !self.providers.is_empty() {
            Some(Arc::new(self.spawn_pipeline()?))
        } else {
            if let Some(why) = self.why_off {
                tracing::info!(why, "productgraph is disabled");
            }
            None
        };
        let handle = pipeline.as_ref().map_or_else(Handle::disabled, |pipeline| {
            Handle::of_engine(pipeline, self.shutdown_timeout)
        });
        Ok(Engine {
            pipeline,
            handle,
            extract: self.extract,
            extracted: Arc::default(),
            excluded_paths: self.excluded_paths,
            shutdown_timeout: self.shutdown_timeout,
        })
    }

    /// What would allocate without bound, or refuse every event, is a mistake.
    fn check(&self) -> Result<(), ConfigError> {
        within("batch_size", self.batch.max_events, &(1..=100_000))?;
        within("queue_capacity", self.queue_capacity, &(1..=1 << 20))?;
        within("max_buffered_bytes", self.max_bytes, &(1024..=4 << 30))?;
        within("concurrency", self.lane.concurrency, &(1..=64))
    }

    fn spawn_pipeline(&mut self) -> Result<Pipeline<Event>, StartError> {
        let project = self.project.take().filter(|project| !project.is_empty());
        let project = project.ok_or_else(|| {
            ConfigError::new("project", "is not set", "the project that events belong to")
        })?;
        self.check()?;
        let setup = Setup::new(project);
        let mut pipeline = Pipeline::builder(Event::weight)
            .priority(priority)
            .trusted_weigher(true)
            .batch(self.batch)
            .max_bytes(self.max_bytes)
            .queue_capacity(self.queue_capacity)
            .overflow(self.overflow)
            .dead_letters(self.dead_letters);
        if let Some(hook) = self.on_dead_letter.take() {
            pipeline = pipeline.on_dead_letter(dead_letters::guarded(hook));
        }
        if let Some(runtime) = self.runtime.take() {
            pipeline = pipeline.runtime(runtime);
        }
        let hooks = std::mem::take(&mut self.hooks);
        if self.overflow == Overflow::ByPriority {
            self.lane.overflow = Overflow::ByPriority;
        }
        let filters = self.providers.iter().any(|(_, o)| o.has_filter());
        let mut pipeline = pipeline.trusted_hooks(hooks.are_ours() && !filters);
        for (make, options) in std::mem::take(&mut self.providers) {
            let mut lane = options.lane_or(self.lane);
            if self.shared_budget {
                lane.max_bytes = Some(usize::MAX);
            }
            let mut provider = make(&setup)?;
            if self.debug {
                provider = Box::new(Logged(provider));
            }
            pipeline = match options.into_filter(&self.defaults, &hooks) {
                Some(filter) => pipeline.filtered_provider(provider, lane, filter),
                None => pipeline.boxed_provider(provider, lane),
            };
        }
        Ok(hooks.attach(pipeline).spawn()?)
    }
}

/// Fails unless `value` is within `range`.
fn within(
    setting: &'static str,
    value: usize,
    range: &RangeInclusive<usize>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("a number from {} to {}", range.start(), range.end());
    Err(ConfigError::new(setting, "is out of range", expected))
}

fn priority(event: &Event) -> Priority {
    if event.is_high_priority() {
        Priority::High
    } else {
        Priority::Normal
    }
}

fn retry_error(error: BackoffError) -> ConfigError {
    let (setting, problem, expected) = match error {
        BackoffError::ZeroBase => ("retry_base", "is too short", "at least 1 ms"),
        BackoffError::CapBelowBase => ("retry_max", "is below the base", "at least the base"),
        _ => ("retry_budget", "is below the base", "at least the base"),
    };
    ConfigError::new(setting, problem, expected).with_source(error)
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("enabled", &self.enabled)
            .field("project", &self.project)
            .field("providers", &self.providers.len())
            .field("batch", &self.batch)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}
