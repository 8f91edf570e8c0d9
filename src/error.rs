//! What can be wrong with a configuration.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::Text;

/// A setting that the engine or a provider cannot work with.
///
/// Says which setting, what is wrong with it and what is expected. The rejected value is never part
/// of it: settings hold addresses with credentials and keys, and errors end up in logs.
///
/// ```
/// use productgraph::ConfigError;
///
/// let error = ConfigError::new("batch_size", "is not a number", "a whole number from 1 to 1000");
/// let error = error.in_setting("PRODUCTGRAPH_BATCH_SIZE");
/// assert_eq!(
///     error.to_string(),
///     "PRODUCTGRAPH_BATCH_SIZE is not a number; expected a whole number from 1 to 1000",
/// );
/// ```
#[derive(Debug)]
pub struct ConfigError {
    provider: Option<Text>,
    setting: Cow<'static, str>,
    problem: Cow<'static, str>,
    expected: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ConfigError {
    /// An error about `setting`: it `problem`, where `expected` would do.
    ///
    /// The three read as a sentence: "`setting` `problem`; expected `expected`". None may hold the
    /// rejected value.
    pub fn new(
        setting: impl Into<Cow<'static, str>>,
        problem: impl Into<Cow<'static, str>>,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            provider: None,
            setting: setting.into(),
            problem: problem.into(),
            expected: expected.into(),
            source: None,
        }
    }

    /// The same error under the name by which the user knows the setting, such as the variable it
    /// was read from.
    #[must_use]
    pub fn in_setting(mut self, setting: impl Into<Cow<'static, str>>) -> Self {
        self.setting = setting.into();
        self
    }

    /// The same error, told of the provider called `name`.
    #[must_use]
    pub fn in_provider(mut self, name: impl Into<Text>) -> Self {
        self.provider = Some(name.into());
        self
    }

    /// Keeps the error behind this one; it must not print the rejected value either.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The provider the setting belongs to, where it belongs to one.
    pub fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    /// The name of the setting.
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What would be right.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(provider) = &self.provider {
            write!(f, "provider {provider}: ")?;
        }
        write!(
            f,
            "{} {}; expected {}",
            self.setting, self.problem, self.expected
        )
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_a_sentence_and_keeps_its_source() {
        let error = ConfigError::new("timeout", "is zero", "at least 1ms")
            .in_provider("productgraph")
            .with_source("inner");

        assert_eq!(
            error.to_string(),
            "provider productgraph: timeout is zero; expected at least 1ms"
        );
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("inner")
        );
        assert_eq!(error.provider(), Some("productgraph"));
        assert_eq!(
            (error.setting(), error.problem(), error.expected()),
            ("timeout", "is zero", "at least 1ms")
        );
    }
}
