//! Configuration from code, the environment or a file; checked once.

mod check;
mod debug;
mod env;
mod file;
mod setters;
#[cfg(test)]
mod tests;
mod values;
mod variables;

use std::time::Duration;

use productgraph_actors::Overflow;
use serde::Deserialize;

use crate::Secret;
use crate::correlation::{SessionMinting, TraceTrust};
use crate::event::wire::TenantKeys;
use crate::{ConfigError, ConsentPolicy, Redaction, RedactionMode, Sampling};

/// Everything about the engine that a deployment may want to change.
///
/// Starts from the defaults named at each field. From code it is a plain value with setters; from
/// the environment it comes from [`Config::from_env`]; from a file through serde, with the fields as
/// keys, durations as `"5s"`, sizes as `"8MiB"` and unknown keys refused. `docs/configuration.md`
/// lists each field with its variable.
///
/// ```
/// use std::time::Duration;
/// use productgraph::Config;
///
/// let config = Config::default()
///     .project_id("shop")
///     .endpoint("https://telemetry.example/v1/events")
///     .batch_interval(Duration::from_secs(2));
/// config.validate()?;
/// # Ok::<(), productgraph::ConfigError>(())
/// ```
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, under the name that a deployment knows"
)]
pub struct Config {
    /// Whether the engine runs at all. Default: unset, which means yes as soon as a project or an
    /// endpoint is given ([`Config::is_enabled`]). `Some(true)` turns a missing one into an error.
    pub enabled: Option<bool>,
    /// The project that events belong to. Default: none.
    #[serde(deserialize_with = "file::text")]
    pub project_id: Option<String>,
    /// Where the `ProductGraph` service takes events, usually ending in `/v1/events`. Default: none.
    #[serde(deserialize_with = "file::text")]
    pub endpoint: Option<String>,
    /// The key of the service. Default: none.
    pub api_key: Option<Secret>,
    /// Events that close a batch. Default 50, from 1 to 1000.
    pub batch_size: usize,
    /// Age of its oldest event that closes a batch. Default 5 s, from 10 ms to 1 h.
    #[serde(deserialize_with = "file::duration")]
    pub batch_interval: Duration,
    /// Whether every request is logged, with sizes and outcome but never content. Default `false`.
    pub debug: bool,
    /// How long a shutdown may take to deliver what is left. Default 10 s, up to 1 h.
    #[serde(deserialize_with = "file::duration")]
    pub shutdown_timeout: Duration,
    /// Ceiling over the events held, in bytes of memory; encoded bodies come on top. Default 8 MiB, from 64 KiB to 4 GiB.
    #[serde(deserialize_with = "file::size")]
    pub max_buffered_bytes: usize,
    /// Events that may wait between the callers and the engine. Default 8192, from 64 to 1,048,576.
    pub queue_capacity: usize,
    /// What gives way when that queue or the ceiling is full. Default [`Overflow::DropNewest`]. A
    /// provider's lane that is full gives up its oldest events whatever is set here, but for
    /// [`Overflow::ByPriority`], which holds for lanes too.
    #[serde(deserialize_with = "file::overflow")]
    pub overflow: Overflow,
    /// Requests in flight to one provider. Default 1, which keeps order; up to 64.
    pub concurrency: usize,
    /// Dead letters kept in memory over all providers, within 1 MiB; 0 keeps none. Default 1000, up
    /// to 100,000.
    pub dead_letters: usize,
    /// Longest time one request may take. Default 10 s, from 100 ms to 5 min.
    #[serde(deserialize_with = "file::duration")]
    pub request_timeout: Duration,
    /// Upper bound of the wait before the first retry; doubles from there. Default 500 ms, from
    /// 10 ms to 1 min.
    #[serde(deserialize_with = "file::duration")]
    pub retry_base: Duration,
    /// Where the doubling ends. Default 30 s, at least the base, up to 1 h.
    #[serde(deserialize_with = "file::duration")]
    pub retry_max: Duration,
    /// How long a batch is tried, from when the run of failures began or from when the batch came,
    /// whichever is later; then it is given up. Default 5 min, at least the base, up to 24 h.
    ///
    /// This is time. [`RetryBudget`](crate::RetryBudget), which limits the number of retries, is another
    /// thing and is set in code.
    #[serde(deserialize_with = "file::duration")]
    pub retry_budget: Duration,
    /// Failed attempts in a row after which a lane sends one request at a time until the destination works
    /// again. Default 5, from 1 to 1000.
    pub breaker_threshold: u32,
    /// How long events are kept for a provider that refuses this client. Default: none, only the ceiling
    /// ends it; from 1 s to 30 d (720 h).
    #[serde(deserialize_with = "file::optional_duration")]
    pub hold_budget: Option<Duration>,
    /// Which tenant keys events carry. Default [`TenantKeys::Both`]; service versions differ.
    #[serde(deserialize_with = "file::tenant_keys")]
    pub tenant_keys: TenantKeys,
    /// Whether events and the key may go unencrypted to another machine. Default `false`.
    pub allow_plain_http: bool,
    /// The session of requests that bring none. Default [`SessionMinting::PerRequest`].
    #[serde(deserialize_with = "file::session")]
    pub session: SessionMinting,
    /// What becomes of an incoming `traceparent`. Default [`TraceTrust::Trust`].
    #[serde(deserialize_with = "file::trace_trust")]
    pub trace_trust: TraceTrust,
    /// Whether `X-User-ID` is read and recorded as claimed. Default `false`: anybody can write it.
    pub trust_user_header: bool,
    /// Paths whose requests are not tracked: to the letter, or with `*` at the end as a prefix.
    /// Default: none; at most 64.
    pub excluded_paths: Vec<String>,
    /// Whether secrets are taken out of events. Default [`RedactionMode::Default`].
    #[serde(deserialize_with = "file::redaction")]
    pub redaction: RedactionMode,
    /// Whether mail addresses are taken out too, where secrets are. Default `false`.
    pub redact_emails: bool,
    /// Share of the sessions that are sent, 0 to 1; errors are always sent. Default 1.
    #[serde(deserialize_with = "file::rate")]
    pub sample_rate: f64,
    /// What has to be allowed for an event to be sent. Default [`ConsentPolicy::Explicit`].
    #[serde(deserialize_with = "file::consent")]
    pub consent: ConsentPolicy,
    #[serde(skip)]
    warnings: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: None,
            project_id: None,
            endpoint: None,
            api_key: None,
            batch_size: 50,
            batch_interval: Duration::from_secs(5),
            debug: false,
            shutdown_timeout: Duration::from_secs(10),
            max_buffered_bytes: 8 << 20,
            queue_capacity: 8192,
            overflow: Overflow::DropNewest,
            concurrency: 1,
            dead_letters: 1000,
            request_timeout: Duration::from_secs(10),
            retry_base: Duration::from_millis(500),
            retry_max: Duration::from_secs(30),
            retry_budget: Duration::from_secs(300),
            breaker_threshold: 5,
            hold_budget: None,
            tenant_keys: TenantKeys::Both,
            allow_plain_http: false,
            session: SessionMinting::PerRequest,
            trace_trust: TraceTrust::Trust,
            trust_user_header: false,
            excluded_paths: Vec::new(),
            redaction: RedactionMode::Default,
            redact_emails: false,
            sample_rate: 1.0,
            consent: ConsentPolicy::Explicit,
            warnings: Vec::new(),
        }
    }
}

impl Config {
    /// Whether an engine built from this would deliver anything.
    pub fn is_enabled(&self) -> bool {
        self.disabled_because().is_none()
    }

    /// Why the engine stays off, to be said once at start-up; `None` when it runs.
    pub fn disabled_because(&self) -> Option<&'static str> {
        match self.enabled {
            Some(false) => Some("PRODUCTGRAPH_ENABLED is false"),
            None if self.project_id.is_none() && self.endpoint.is_none() => {
                Some("neither PRODUCTGRAPH_PROJECT_ID nor PRODUCTGRAPH_ENDPOINT is set")
            }
            Some(true) | None => None,
        }
    }

    /// The rules that [`redaction`](field@Config::redaction) and
    /// [`redact_emails`](field@Config::redact_emails) ask for.
    pub fn redaction_rules(&self) -> Redaction {
        match self.redaction {
            RedactionMode::Default => Redaction::default().emails(self.redact_emails),
            RedactionMode::Off => Redaction::none(),
        }
    }

    /// The sampling that [`sample_rate`](field@Config::sample_rate) asks for.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a rate out of range, as from [`validate`](Config::validate).
    pub fn sampling(&self) -> Result<Sampling, ConfigError> {
        Sampling::sessions(self.sample_rate)
            .map_err(|error| error.in_setting("PRODUCTGRAPH_SAMPLE_RATE"))
    }

    /// What looks like a mistake but stops nothing: variables of the family that do not exist.
    ///
    /// Each is a sentence for the log; none holds a value. Empty unless read from the environment.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
