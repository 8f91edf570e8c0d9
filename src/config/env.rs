//! Reading the environment, as a pure function over a look-up.

use std::borrow::Cow;
use std::ffi::OsString;

use super::Config;
use super::variables::{PREFIX, VARIABLES};
use crate::ConfigError;

/// Longest part of an unknown variable's name that a warning repeats, in characters.
const SHOWN_NAME: usize = 64;

impl Config {
    /// Reads the process environment over the defaults and checks the result.
    ///
    /// A variable that is set but empty counts as unset; space around a value is ignored. With
    /// neither project nor endpoint the engine is [disabled](Config::disabled_because), unless
    /// `PRODUCTGRAPH_ENABLED` asks for it. Variables that start with `PRODUCTGRAPH_` and do not exist
    /// end up in [`warnings`](Config::warnings).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first variable, in the order of the documentation, that is malformed
    /// or out of range, and for a project or endpoint that is missing. It names the variable and what
    /// is expected and never holds the value.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::default().with_env()
    }

    /// Like [`from_env`](Config::from_env), over `self` instead of the defaults: for a file whose
    /// values the environment may override.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Config::from_env).
    pub fn with_env(self) -> Result<Self, ConfigError> {
        let mut config = self.read(|name| std::env::var_os(name))?;
        config.warn_of_unknown(std::env::vars_os().map(|(name, _)| name));
        config.validate()?;
        Ok(config)
    }

    /// Like [`from_env`](Config::from_env), from any source that can be asked for a name. It cannot
    /// be asked which names it has, so there are no warnings.
    ///
    /// ```
    /// use productgraph::Config;
    ///
    /// let config = Config::from_lookup(|name| match name {
    ///     "PRODUCTGRAPH_PROJECT_ID" => Some("shop"),
    ///     "PRODUCTGRAPH_ENDPOINT" => Some("http://localhost:8080/v1/events"),
    ///     _ => None,
    /// })?;
    /// assert!(config.is_enabled());
    /// # Ok::<(), productgraph::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_env`](Config::from_env).
    pub fn from_lookup<V: Into<OsString>>(
        lookup: impl Fn(&str) -> Option<V>,
    ) -> Result<Self, ConfigError> {
        let config = Self::default().read(|name| lookup(name).map(Into::into))?;
        config.validate()?;
        Ok(config)
    }

    pub(super) fn read(
        mut self,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        for variable in VARIABLES {
            let Some(value) = lookup(variable.name) else {
                continue;
            };
            let invalid = |problem: Cow<'static, str>| {
                ConfigError::new(variable.name, problem, variable.accepts)
            };
            let value = value
                .into_string()
                .map_err(|_| invalid("is not valid UTF-8".into()))?;
            let value = value.trim();
            if !value.is_empty() {
                (variable.set)(&mut self, value).map_err(invalid)?;
            }
        }
        Ok(self)
    }

    /// Notes which of `names` look like ours and are not.
    pub(super) fn warn_of_unknown(&mut self, names: impl IntoIterator<Item = OsString>) {
        let names = names
            .into_iter()
            .map(|name| name.to_string_lossy().into_owned());
        let mut unknown: Vec<String> = names
            .filter(|name| name.starts_with(PREFIX) && VARIABLES.iter().all(|v| v.name != name))
            .map(|name| {
                name.chars()
                    .take(SHOWN_NAME)
                    .flat_map(char::escape_debug)
                    .collect()
            })
            .collect();
        unknown.sort_unstable();
        self.warnings.extend(
            unknown
                .into_iter()
                .map(|name| format!("{name} is set, but there is no such setting")),
        );
    }
}
