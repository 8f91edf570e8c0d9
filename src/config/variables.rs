//! The one table of variables. `docs/configuration.md` shows it to users; a test compares them.

use std::borrow::Cow;

use super::Config;
use super::values;
use crate::Secret;

/// Every variable of ours starts with this.
pub(super) const PREFIX: &str = "PRODUCTGRAPH_";

/// One variable: its name after [`PREFIX`] in lower case is the field and the key in a file.
pub(super) struct Variable {
    pub(super) name: &'static str,
    /// What an error says is expected.
    pub(super) accepts: &'static str,
    pub(super) set: fn(&mut Config, &str) -> Result<(), Cow<'static, str>>,
}

macro_rules! variables {
    ($($name:literal, $accepts:literal, |$config:ident, $text:ident| $set:expr;)+) => {
        pub(super) const VARIABLES: &[Variable] = &[$(Variable {
            name: concat!("PRODUCTGRAPH_", $name),
            accepts: $accepts,
            set: |$config, $text| {
                $set;
                Ok(())
            },
        },)+];
    };
}

variables! {
    "ENABLED", "true or false", |c, t| c.enabled = Some(values::boolean(t)?);
    "PROJECT_ID", "1 to 255 bytes without control characters",
        |c, t| c.project_id = Some(t.to_owned());
    "ENDPOINT",
        "a URL such as https://host/v1/events; http only to this machine or with PRODUCTGRAPH_ALLOW_PLAIN_HTTP=true",
        |c, t| c.endpoint = Some(t.to_owned());
    "API_KEY", "1 to 4096 printable ASCII characters",
        |c, t| c.api_key = Some(Secret::new(t).map_err(|error| error.to_string())?);
    "BATCH_SIZE", "a whole number from 1 to 1000", |c, t| c.batch_size = values::whole(t)?;
    "BATCH_INTERVAL", "a duration from 10ms to 1h", |c, t| c.batch_interval = values::duration(t)?;
    "DEBUG", "true or false", |c, t| c.debug = values::boolean(t)?;
    "SHUTDOWN_TIMEOUT", "a duration up to 1h", |c, t| c.shutdown_timeout = values::duration(t)?;
    "MAX_BUFFERED_BYTES", "a size from 64KiB to 4GiB",
        |c, t| c.max_buffered_bytes = values::size(t)?;
    "QUEUE_CAPACITY", "a whole number from 64 to 1048576",
        |c, t| c.queue_capacity = values::whole(t)?;
    "OVERFLOW", "drop_newest, drop_oldest or by_priority",
        |c, t| c.overflow = values::overflow(t)?;
    "CONCURRENCY", "a whole number from 1 to 64", |c, t| c.concurrency = values::whole(t)?;
    "DEAD_LETTERS", "a whole number from 0 to 100000", |c, t| c.dead_letters = values::whole(t)?;
    "REQUEST_TIMEOUT", "a duration from 100ms to 5m", |c, t| c.request_timeout = values::duration(t)?;
    "RETRY_BASE", "a duration from 10ms to 1m", |c, t| c.retry_base = values::duration(t)?;
    "RETRY_MAX", "a duration from PRODUCTGRAPH_RETRY_BASE to 1h",
        |c, t| c.retry_max = values::duration(t)?;
    "RETRY_BUDGET", "a duration from PRODUCTGRAPH_RETRY_BASE to 24h",
        |c, t| c.retry_budget = values::duration(t)?;
    "BREAKER_THRESHOLD", "a whole number from 1 to 1000",
        |c, t| c.breaker_threshold = u32::try_from(values::whole(t)?).unwrap_or(u32::MAX);
    "HOLD_BUDGET", "a duration from 1s to 720h", |c, t| c.hold_budget = Some(values::duration(t)?);
    "TENANT_KEYS", "both, product_id or project_id", |c, t| c.tenant_keys = values::tenant_keys(t)?;
    "ALLOW_PLAIN_HTTP", "true or false", |c, t| c.allow_plain_http = values::boolean(t)?;
    "SESSION", "request or process", |c, t| c.session = values::session(t)?;
    "TRACE_TRUST", "trust, link or ignore", |c, t| c.trace_trust = values::trace_trust(t)?;
    "TRUST_USER_HEADER", "true or false", |c, t| c.trust_user_header = values::boolean(t)?;
    "EXCLUDED_PATHS", "up to 64 comma-separated paths, each starting with / and at most 256 bytes",
        |c, t| c.excluded_paths = values::list(t);
    "REDACTION", "default or off", |c, t| c.redaction = values::redaction(t)?;
    "REDACT_EMAILS", "true or false", |c, t| c.redact_emails = values::boolean(t)?;
    "SAMPLE_RATE", "a number from 0 to 1", |c, t| c.sample_rate = values::rate(t)?;
    "CONSENT", "ignore, explicit, gpc or opt-in", |c, t| c.consent = values::consent(t)?;
}

/// What the variable called `name` accepts.
pub(super) fn accepts(name: &str) -> &'static str {
    VARIABLES
        .iter()
        .find(|v| v.name == name)
        .map_or("another value", |v| v.accepts)
}
