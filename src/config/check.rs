//! What values make sense, alone and together.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Config;
use super::variables::accepts;
use crate::ConfigError;
use crate::providers::http::Endpoint;

const HOUR: Duration = Duration::from_secs(3600);
/// What the wire form has room for: a tenant key that was cut would be another tenant's.
const MAX_PROJECT_BYTES: usize = 255;
const MAX_PATHS: usize = 64;
const MAX_PATH_BYTES: usize = 256;

impl Config {
    /// Checks every value, and that project and endpoint are there when the engine is enabled.
    ///
    /// Settings are named by their variables, wherever they came from.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that is out of range or missing. It never holds a value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_values()?;
        if !self.is_enabled() {
            return Ok(());
        }
        let required = [
            ("PRODUCTGRAPH_PROJECT_ID", self.project_id.is_some()),
            ("PRODUCTGRAPH_ENDPOINT", self.endpoint.is_some()),
        ];
        match required.iter().find(|(_, given)| !given) {
            Some(&(name, _)) => Err(invalid(name, "is not set")),
            None => Ok(()),
        }
    }

    /// Checks every value that is there: all that can be asked where providers come from code and the
    /// endpoint is theirs.
    ///
    /// # Errors
    ///
    /// As [`validate`](Config::validate), but for what is missing.
    pub(crate) fn check_values(&self) -> Result<(), ConfigError> {
        self.check_destination()?;
        within("PRODUCTGRAPH_BATCH_SIZE", &self.batch_size, 1..=1000)?;
        within(
            "PRODUCTGRAPH_BATCH_INTERVAL",
            &self.batch_interval,
            millis(10)..=HOUR,
        )?;
        within(
            "PRODUCTGRAPH_SHUTDOWN_TIMEOUT",
            &self.shutdown_timeout,
            Duration::ZERO..=HOUR,
        )?;
        let bytes = u64::try_from(self.max_buffered_bytes).unwrap_or(u64::MAX);
        within(
            "PRODUCTGRAPH_MAX_BUFFERED_BYTES",
            &bytes,
            64 << 10..=4 << 30,
        )?;
        within(
            "PRODUCTGRAPH_QUEUE_CAPACITY",
            &self.queue_capacity,
            64..=1 << 20,
        )?;
        within("PRODUCTGRAPH_CONCURRENCY", &self.concurrency, 1..=64)?;
        within("PRODUCTGRAPH_DEAD_LETTERS", &self.dead_letters, 0..=100_000)?;
        within(
            "PRODUCTGRAPH_REQUEST_TIMEOUT",
            &self.request_timeout,
            millis(100)..=HOUR / 12,
        )?;
        within(
            "PRODUCTGRAPH_RETRY_BASE",
            &self.retry_base,
            millis(10)..=HOUR / 60,
        )?;
        within(
            "PRODUCTGRAPH_RETRY_MAX",
            &self.retry_max,
            self.retry_base..=HOUR,
        )?;
        within(
            "PRODUCTGRAPH_RETRY_BUDGET",
            &self.retry_budget,
            self.retry_base..=HOUR * 24,
        )?;
        within(
            "PRODUCTGRAPH_BREAKER_THRESHOLD",
            &self.breaker_threshold,
            1..=1000,
        )?;
        if let Some(budget) = &self.hold_budget {
            let range = Duration::from_secs(1)..=HOUR * 720;
            within("PRODUCTGRAPH_HOLD_BUDGET", budget, range)?;
        }
        self.check_paths()?;
        within("PRODUCTGRAPH_SAMPLE_RATE", &self.sample_rate, 0.0..=1.0)
    }

    fn check_destination(&self) -> Result<(), ConfigError> {
        const PROJECT: &str = "PRODUCTGRAPH_PROJECT_ID";
        if let Some(project) = &self.project_id {
            if project.trim().is_empty() {
                return Err(invalid(PROJECT, "is empty"));
            }
            if project.len() > MAX_PROJECT_BYTES {
                return Err(invalid(PROJECT, "is too long"));
            }
            if project.chars().any(char::is_control) {
                return Err(invalid(PROJECT, "has a control character in it"));
            }
        }
        if let Some(endpoint) = &self.endpoint {
            // The path is the provider's to complete; only the address counts here.
            Endpoint::parse(endpoint, "/", self.allow_plain_http)
                .map_err(|error| invalid("PRODUCTGRAPH_ENDPOINT", error.problem().to_owned()))?;
        }
        Ok(())
    }

    fn check_paths(&self) -> Result<(), ConfigError> {
        const PATHS: &str = "PRODUCTGRAPH_EXCLUDED_PATHS";
        if self.excluded_paths.len() > MAX_PATHS {
            return Err(invalid(PATHS, "has too many paths"));
        }
        for path in &self.excluded_paths {
            if !path.starts_with('/') {
                return Err(invalid(PATHS, "has a path that does not start with /"));
            }
            if path.len() > MAX_PATH_BYTES {
                return Err(invalid(PATHS, "has a path that is too long"));
            }
        }
        Ok(())
    }
}

fn within<T: PartialOrd>(
    name: &'static str,
    value: &T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(value) {
        Ok(())
    } else {
        Err(invalid(name, "is out of range"))
    }
}

fn invalid(name: &'static str, problem: impl Into<Cow<'static, str>>) -> ConfigError {
    ConfigError::new(name, problem, accepts(name))
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
