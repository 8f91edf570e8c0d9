//! Configurations as the environment would give them.

use std::collections::HashMap;

use productgraph::{Config, ConfigError};

pub(crate) const KEY: &str = "pg_live_5ecre7";

/// A configuration as the environment would give it: project, endpoint and these.
pub(crate) fn config(endpoint: &str, settings: &[(&str, &str)]) -> Config {
    try_config(endpoint, settings).expect("a valid configuration")
}

pub(crate) fn try_config(endpoint: &str, settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut all = HashMap::from([("PROJECT_ID", "shop"), ("ENDPOINT", endpoint)]);
    all.extend(settings.iter().copied());
    Config::from_lookup(|name| {
        let name = name.strip_prefix("PRODUCTGRAPH_")?;
        all.get(name).map(ToString::to_string)
    })
}

/// Slow to close batches by itself, quick to retry.
pub(crate) const CALM: [(&str, &str); 3] = [
    ("BATCH_INTERVAL", "1h"),
    ("RETRY_BASE", "10ms"),
    ("RETRY_MAX", "50ms"),
];

pub(crate) fn calm<'a>(settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&CALM, settings].concat()
}
