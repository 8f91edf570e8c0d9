//! Keys that never show.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Unexpected, Visitor};
use thiserror::Error;

/// A key or token: kept, sent, never shown.
///
/// `Debug` prints a fixed word, there is no `Display` and no `Serialize`, and no error about it
/// contains it. Only text that can be an HTTP header value is let in, so a key with a stray newline
/// is refused when the engine is configured, not when the first request fails.
///
/// ```
/// use productgraph::Secret;
///
/// let key = Secret::new("pg_live_51a7").unwrap();
/// assert_eq!(format!("{key:?}"), "Secret(redacted)");
/// assert!(Secret::new("pg_live_51a7\n").is_err());
/// ```
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Longest secret that is taken, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Takes 1 to [`Secret::MAX_BYTES`] printable ASCII characters, the first and last not a space.
    ///
    /// # Errors
    ///
    /// [`SecretError`], which says what is wrong and never shows the text.
    pub fn new(text: impl Into<String>) -> Result<Self, SecretError> {
        let text = text.into();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(SecretError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(SecretError::Control);
        }
        if !text.is_ascii() {
            return Err(SecretError::NotAscii);
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(SecretError::Padded);
        }
        Ok(Self(text.into()))
    }

    /// The text itself: for the header it is sent in, and nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl TryFrom<&str> for Secret {
    type Error = SecretError;

    fn try_from(text: &str) -> Result<Self, SecretError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Secret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // asked for a string, some formats print the number they find instead of showing it to us
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Only text, and a mismatch that does not print what was found: by default serde would.
struct SecretVisitor;

impl SecretVisitor {
    fn mismatch<E: serde::de::Error>(&self, found: &'static str) -> E {
        E::invalid_type(Unexpected::Other(found), self)
    }
}

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret in quotes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
        Secret::new(text).map_err(E::custom)
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Secret, E> {
        Secret::new(text).map_err(E::custom)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(self.mismatch("a boolean"))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(self.mismatch("a number"))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(self.mismatch("a number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(self.mismatch("a number"))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Secret, E> {
        Err(self.mismatch("bytes"))
    }
}

/// Why a text cannot be a [`Secret`]. Never contains the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// There is no text.
    #[error("is empty")]
    Empty,
    /// More than [`Secret::MAX_BYTES`] bytes.
    #[error("is longer than {} bytes", Secret::MAX_BYTES)]
    TooLong,
    /// A control character, most often a newline at the end of a file it was read from.
    #[error("has a control character, such as a line break, in it")]
    Control,
    /// A character outside ASCII, most often from a copy out of a formatted page.
    #[error("has a character outside ascii in it")]
    NotAscii,
    /// A space at the start or end.
    #[error("starts or ends with a space")]
    Padded,
}

impl From<Infallible> for SecretError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_as_given_and_shown_nowhere() {
        let secret = Secret::new("s3cr3t value").unwrap();

        assert_eq!(secret.expose(), "s3cr3t value");
        assert!(!format!("{secret:?} {secret:#?}").contains("s3cr3t"));
    }

    #[test]
    fn text_that_no_header_can_carry_is_refused_without_showing_it() {
        let long = "s3cr3t".repeat(1000);
        for (text, expected) in [
            ("", SecretError::Empty),
            ("s3cr3t\n", SecretError::Control),
            ("s3cr3t\r\nX-Other: 1", SecretError::Control),
            ("s3cr\0et", SecretError::Control),
            ("s3cr3t\u{7f}", SecretError::Control),
            ("s3cr\u{85}et", SecretError::Control),
            ("s3cr3té", SecretError::NotAscii),
            (" s3cr3t", SecretError::Padded),
            ("s3cr3t ", SecretError::Padded),
            (long.as_str(), SecretError::TooLong),
        ] {
            let error = Secret::new(text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("s3cr"));
        }
    }

    #[test]
    fn a_configuration_file_error_does_not_show_what_was_found() {
        assert_eq!(
            serde_json::from_str::<Secret>(r#""k-1""#).unwrap().expose(),
            "k-1"
        );
        for json in [
            "5129741",
            "5129741.5",
            "-5129741",
            r#""5129741\n""#,
            r#"["5129741"]"#,
        ] {
            let error = serde_json::from_str::<Secret>(json)
                .unwrap_err()
                .to_string();
            assert!(!error.contains("5129741"), "{error}");
        }
    }
}
