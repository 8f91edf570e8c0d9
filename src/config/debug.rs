//! A configuration for people to read: an endpoint may hold credentials, or a token in its query.

use std::fmt;

use super::Config;
use crate::providers::http::Endpoint;

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut config = f.debug_struct("Config");
        // what cannot be read as an address is not shown at all
        let endpoint = self
            .endpoint
            .as_deref()
            .map(|endpoint| Endpoint::parse(endpoint, "/", true).ok());
        config.field("endpoint", &endpoint);
        macro_rules! plain {
            ($($field:ident),+ $(,)?) => {
                // names every field, so that a new one cannot be forgotten
                let Self { endpoint: _, $($field,)+ } = self;
                $(config.field(stringify!($field), $field);)+
            };
        }
        plain!(
            enabled,
            project_id,
            api_key,
            batch_size,
            batch_interval,
            debug,
            shutdown_timeout,
            max_buffered_bytes,
            queue_capacity,
            overflow,
            concurrency,
            dead_letters,
            request_timeout,
            retry_base,
            retry_max,
            retry_budget,
            breaker_threshold,
            hold_budget,
            tenant_keys,
            allow_plain_http,
            session,
            trace_trust,
            trust_user_header,
            excluded_paths,
            redaction,
            redact_emails,
            sample_rate,
            consent,
            warnings,
        );
        config.finish()
    }
}
