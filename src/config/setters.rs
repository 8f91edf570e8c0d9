//! Consuming setters, one per field.

use std::time::Duration;

use productgraph_actors::Overflow;

use super::Config;
use crate::Secret;
use crate::correlation::{SessionMinting, TraceTrust};
use crate::event::wire::TenantKeys;
use crate::{ConsentPolicy, RedactionMode};

macro_rules! setters {
    ($($field:ident: $type:ty,)+) => {
        $(
            #[doc = concat!("Sets [`", stringify!($field), "`](field@Config::", stringify!($field), ").")]
            #[must_use]
            pub fn $field(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )+
    };
}

impl Config {
    /// Sets [`enabled`](field@Config::enabled) to yes or no.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = Some(enabled);
        self
    }

    /// Sets [`project_id`](field@Config::project_id).
    #[must_use]
    pub fn project_id(mut self, project_id: impl Into<String>) -> Self {
        self.project_id = Some(project_id.into());
        self
    }

    /// Sets [`endpoint`](field@Config::endpoint).
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Sets [`api_key`](field@Config::api_key).
    #[must_use]
    pub fn api_key(mut self, api_key: Secret) -> Self {
        self.api_key = Some(api_key);
        self
    }

    /// Sets [`excluded_paths`](field@Config::excluded_paths), instead of those set before.
    #[must_use]
    pub fn excluded_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.excluded_paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`hold_budget`](field@Config::hold_budget).
    #[must_use]
    pub fn hold_budget(mut self, budget: Duration) -> Self {
        self.hold_budget = Some(budget);
        self
    }

    setters! {
        batch_size: usize,
        batch_interval: Duration,
        debug: bool,
        shutdown_timeout: Duration,
        max_buffered_bytes: usize,
        queue_capacity: usize,
        overflow: Overflow,
        concurrency: usize,
        dead_letters: usize,
        request_timeout: Duration,
        retry_base: Duration,
        retry_max: Duration,
        retry_budget: Duration,
        breaker_threshold: u32,
        tenant_keys: TenantKeys,
        allow_plain_http: bool,
        session: SessionMinting,
        trace_trust: TraceTrust,
        trust_user_header: bool,
        redaction: RedactionMode,
        redact_emails: bool,
        sample_rate: f64,
        consent: ConsentPolicy,
    }
}
