//! Text that costs a caller nothing: static, shared or short and inline.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use http::Method;
use smol_str::SmolStr;

/// An immutable string of 24 bytes whose clone never allocates.
///
/// A `&'static str` is kept as it is, up to 23 bytes are kept inline, an `Arc<str>` is shared.
/// Only longer borrowed or owned text is copied to the heap, once.
///
/// ```
/// use productgraph::Text;
///
/// let status: Text = "active".into();
/// let user: Text = format!("u_{}", 7).into();
/// assert_eq!(status, "active");
/// assert_eq!(Text::copied(&user[..1]), "u");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(SmolStr);

impl Text {
    /// Keeps a static string as it is.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(SmolStr::new_static(text))
    }

    /// Copies borrowed text: inline up to 23 bytes, else one allocation.
    #[must_use]
    pub fn copied(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Bytes on the heap, shared or not: what this text weighs beyond its own 24 bytes.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        if self.0.is_heap_allocated() {
            self.0.len() + 16
        } else {
            0
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&'static str> for Text {
    #[inline]
    fn from(text: &'static str) -> Self {
        Self::from_static(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Self {
        Self(text.into())
    }
}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The usual methods are static text; others are copied.
impl From<&http::Method> for Text {
    fn from(method: &http::Method) -> Self {
        // by what the method is, not by its letters: this is done for each request
        let text = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            Method::CONNECT => "CONNECT",
            Method::PATCH => "PATCH",
            Method::TRACE => "TRACE",
            _ => return Self::copied(method.as_str()),
        };
        Self::from_static(text)
    }
}

impl From<http::Method> for Text {
    fn from(method: http::Method) -> Self {
        Self::from(&method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_methods_are_static_text_and_others_are_copied() {
        for name in [
            "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "PATCH", "TRACE",
            "PROPFIND",
        ] {
            let method = Method::from_bytes(name.as_bytes()).expect("a method");
            assert_eq!(Text::from(method), name);
        }
    }
}
