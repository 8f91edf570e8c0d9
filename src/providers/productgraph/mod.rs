//! The `ProductGraph` ingestion service: `POST /v1/events`.

mod encode;
mod judge;
mod sender;

use std::fmt;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use productgraph_actors::{Limits, Provider};

#[cfg(feature = "testing")]
pub(super) use self::encode::Encoder;
use self::sender::Sender;
use super::http::{HttpTransport, HttpTransportBuilder, StatusClass, StatusRules};
use super::{IntoProvider, Setup};
use crate::event::wire::{TenantKeys, WireOptions};
use crate::secret::SecretError;
use crate::{ConfigError, Event, Secret, Text};

/// The longest tenant key that the wire form does not cut.
const MAX_PROJECT_BYTES: usize = 255;
/// The service refuses requests with more events.
/// <https://github.com/plexusone/productgraph/blob/main/docs/api/events.md>
const MAX_EVENTS: usize = 1000;
/// The service's documented limit for a body.
const MAX_BYTES: usize = 10_000_000;
/// Smaller bodies than this are a mistake in the configuration.
const MIN_BYTES: usize = 1024;
const DEFAULT_EVENTS: usize = MAX_EVENTS;
const DEFAULT_BYTES: usize = 1_000_000;
/// Room for an error on each of a thousand events.
const MAX_ANSWER_BYTES: usize = 512 * 1024;
const EVENTS_PATH: &str = "/v1/events";
const MAX_NAME_BYTES: usize = 64;

/// The native destination: settings of the `ProductGraph` provider.
///
/// ```
/// use std::time::Duration;
/// use productgraph::providers::ProductGraph;
///
/// let provider = ProductGraph::new("https://pg.example.com")
///     .api_key("pg_live_51a7")
///     .timeout(Duration::from_secs(5));
/// # let _ = provider;
/// ```
///
/// # Wire
///
/// Requests are `{"events":[...]}`, not compressed, since the service decodes nothing else. The key
/// goes into the header `X-PG-API-Key`. Both tenant keys are written unless
/// [`tenant_keys`](Self::tenant_keys) says otherwise: servers before 0.3.0 want `project_id`, later
/// ones `product_id`, and each ignores the other.
///
/// An event over 100,000 bytes, or over the request limit alone, is refused as too large; one that
/// cannot be written as JSON is refused as unencodable. Neither holds up the others.
///
/// # What answers mean
///
/// | Answer | Outcome |
/// |---|---|
/// | 2xx with a receipt that adds up, nothing rejected | delivered |
/// | 2xx, some rejected and named by index | those rejected as invalid, the others delivered |
/// | 2xx, all rejected | all rejected as invalid |
/// | 2xx, some rejected, fewer named than counted | those named are rejected; the others go again, apart from them |
/// | 2xx, some rejected, none named, or an index that does not exist | bisected: smaller requests tell which |
/// | 2xx, the receipt contradicts itself or the request | again later, cause `miscounted` |
/// | 2xx without a receipt, such as a proxy's page, or cut short | again later, cause `bad_body` |
/// | 400 `batch too large`, 413 | split |
/// | any other 400, 422 | bisected: one event spoils the request and the answer does not say which |
/// | 401, 403, 3xx, other 4xx | held: nothing is lost while the key or address is put right |
/// | 408, 425, 429, 5xx | again later, not before `Retry-After` |
/// | none | again later |
///
/// A 2xx alone proves nothing: a server that wants the other tenant key answers 202 and rejects
/// every event. That case is logged, once until the server takes events again.
#[derive(Clone)]
pub struct ProductGraph {
    name: Text,
    transport: HttpTransportBuilder,
    api_key: Option<Result<Secret, SecretError>>,
    tenant_keys: TenantKeys,
    specific_types: bool,
    max_events: usize,
    max_bytes: usize,
    rules: StatusRules,
    bad_rule: bool,
}

impl ProductGraph {
    /// Sends to `endpoint`: the service's base URL, or the full one of its events path. Only an
    /// empty path is completed, to `/v1/events`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            name: "productgraph".into(),
            transport: HttpTransport::builder(endpoint)
                .default_path(EVENTS_PATH)
                .max_answer_bytes(MAX_ANSWER_BYTES),
            api_key: None,
            tenant_keys: TenantKeys::default(),
            specific_types: false,
            max_events: DEFAULT_EVENTS,
            max_bytes: DEFAULT_BYTES,
            rules: StatusRules::new(),
            bad_rule: false,
        }
    }

    /// The key for `X-PG-API-Key`: text or a [`Secret`]. Default: none, and no header.
    #[must_use]
    pub fn api_key<K>(mut self, key: K) -> Self
    where
        K: TryInto<Secret>,
        K::Error: Into<SecretError>,
    {
        self.api_key = Some(key.try_into().map_err(Into::into));
        self
    }

    /// Which tenant keys events carry. Default: both.
    #[must_use]
    pub fn tenant_keys(mut self, keys: TenantKeys) -> Self {
        self.tenant_keys = keys;
        self
    }

    /// Whether journey conversions and snapshots go under event types of their own, which the
    /// service has no constant for. Default: no, see [`WireOptions::specific_types`].
    #[must_use]
    pub fn specific_types(mut self, specific: bool) -> Self {
        self.specific_types = specific;
        self
    }

    /// Time for a whole request. Default: 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.transport = self.transport.timeout(timeout);
        self
    }

    /// Sends through this client. See [`HttpTransportBuilder::client`].
    #[must_use]
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.transport = self.transport.client(client);
        self
    }

    /// Allows plain `http` to another machine. Default: no.
    #[must_use]
    pub fn allow_plain_http(mut self, allow: bool) -> Self {
        self.transport = self.transport.allow_plain_http(allow);
        self
    }

    /// Events in one request, 1 to 1000. Default: 1000, so that a lane with one request in flight delivers as much as
    /// it can in each round trip.
    #[must_use]
    pub fn max_batch_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    /// Bytes of one request, 1024 to 10,000,000. Default: 1,000,000.
    #[must_use]
    pub fn max_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// What a status from 300 on means instead of what the [table](StatusRules) says, for a
    /// gateway with a mind of its own: `.on_status(403, StatusClass::Retry)`.
    #[must_use]
    pub fn on_status(mut self, status: u16, class: StatusClass) -> Self {
        self.bad_rule |= status < 300 || class == StatusClass::Success;
        self.rules.set(status, class);
        self
    }

    /// The name in reports: 1 to 64 lower-case letters, digits, `-` and `_`. A second provider of
    /// this type needs its own. Default: `productgraph`.
    #[must_use]
    pub fn name(mut self, name: impl Into<Text>) -> Self {
        self.name = name.into();
        self
    }

    fn check(&self, setup: &Setup) -> Result<(), ConfigError> {
        if !is_name(&self.name) {
            return Err(ConfigError::new(
                "name",
                "is not usable in reports",
                "1 to 64 lower-case letters, digits, - and _",
            ));
        }
        if setup.project.trim().is_empty() {
            return Err(ConfigError::new(
                "project",
                "is empty",
                "the id of the project that events belong to; the service rejects events without it",
            ));
        }
        if setup.project.len() > MAX_PROJECT_BYTES {
            return Err(ConfigError::new(
                "project",
                "is too long",
                "at most 255 bytes; cut, it would be another project's id",
            ));
        }
        if !(1..=MAX_EVENTS).contains(&self.max_events) {
            return Err(ConfigError::new(
                "max_batch_events",
                "is out of range",
                "a number of events from 1 to 1000",
            ));
        }
        if !(MIN_BYTES..=MAX_BYTES).contains(&self.max_bytes) {
            return Err(ConfigError::new(
                "max_batch_bytes",
                "is out of range",
                "a number of bytes from 1024 to 10000000",
            ));
        }
        if self.bad_rule {
            return Err(ConfigError::new(
                "on_status",
                "makes a success of a failure, or the reverse",
                "a status from 300 on, and another class than success",
            ));
        }
        Ok(())
    }

    fn build(self, setup: &Setup) -> Result<Sender, ConfigError> {
        self.check(setup)?;
        let mut transport = self.transport;
        if let Some(key) = self.api_key {
            let key = key.map_err(|e| {
                ConfigError::new("api_key", e.to_string(), "the key as it was issued")
            })?;
            transport = transport.secret_header(HeaderName::from_static("x-pg-api-key"), &key);
        }
        let accept = HeaderValue::from_static("application/json");
        let transport = transport.header(::http::header::ACCEPT, accept).build()?;
        let mut wire = WireOptions::new(setup.project.clone());
        wire.tenant_keys = self.tenant_keys;
        wire.specific_types = self.specific_types;
        let limits = Limits::new(self.max_events, self.max_bytes);
        Ok(Sender::new(self.name, transport, wire, self.rules, limits))
    }
}

impl IntoProvider for ProductGraph {
    fn into_provider(self, setup: &Setup) -> Result<Box<dyn Provider<Event>>, ConfigError> {
        let name = self.name.clone();
        match self.build(setup) {
            Ok(sender) => Ok(Box::new(sender)),
            Err(error) => Err(error.in_provider(name)),
        }
    }
}

impl fmt::Debug for ProductGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProductGraph")
            .field("name", &self.name)
            .field("transport", &self.transport)
            .field("api_key", &self.api_key)
            .field("tenant_keys", &self.tenant_keys)
            .field("max_batch_events", &self.max_events)
            .field("max_batch_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(fits)
}
