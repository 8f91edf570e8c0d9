//! Identifiers in 24 bytes: a UUID as its 16 bytes, anything else as text.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

use uuid::Uuid;

use crate::Text;

/// An identifier that is nearly always a UUID.
///
/// Only what is written as lower-case, hyphenated text is kept as bytes, so that equal text is equal
/// and comes out as it went in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum CompactId {
    Uuid([u8; 16]),
    Given(Text),
}

/// The text of an identifier, borrowed or on the stack. Derefs to `str`.
///
/// ```
/// use productgraph::correlation::SessionId;
///
/// let session = SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f")?;
/// assert_eq!(&session.text()[..8], "018f3b0e");
/// # Ok::<(), productgraph::correlation::IdError>(())
/// ```
#[derive(Clone)]
pub struct IdText<'a>(Written<'a>);

#[derive(Clone)]
enum Written<'a> {
    Uuid([u8; UUID_TEXT]),
    Given(&'a str),
}

/// Bytes of a UUID as text.
const UUID_TEXT: usize = 36;

impl CompactId {
    /// Copies text; what is long and no UUID goes to the heap.
    pub(crate) fn copied(text: &str) -> Self {
        if text.len() == UUID_TEXT
            && !text.bytes().any(|byte| byte.is_ascii_uppercase())
            && let Ok(uuid) = Uuid::try_parse(text)
        {
            return Self::Uuid(uuid.into_bytes());
        }
        Self::Given(Text::copied(text))
    }

    /// The text.
    #[inline]
    pub(crate) fn text(&self) -> IdText<'_> {
        IdText(match self {
            Self::Uuid(bytes) => {
                let mut text = [0; UUID_TEXT];
                Uuid::from_bytes(*bytes)
                    .hyphenated()
                    .encode_lower(&mut text);
                Written::Uuid(text)
            }
            Self::Given(text) => Written::Given(text),
        })
    }

    /// Bytes on the heap.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Uuid(_) => 0,
            Self::Given(text) => text.heap_bytes(),
        }
    }
}

impl From<Uuid> for CompactId {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid.into_bytes())
    }
}

impl From<CompactId> for Text {
    fn from(id: CompactId) -> Self {
        match id {
            CompactId::Uuid(_) => Self::copied(&id.text()),
            CompactId::Given(text) => text,
        }
    }
}

/// By text, so that ids of both kinds sort as they are shown.
impl Ord for CompactId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text().cmp(&other.text())
    }
}

impl PartialOrd for CompactId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl IdText<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // digits and hyphens only, so the default is never taken
            Written::Uuid(text) => std::str::from_utf8(text).unwrap_or_default(),
            Written::Given(text) => text,
        }
    }
}

impl Deref for IdText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for IdText<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for IdText<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for IdText<'_> {}

impl PartialOrd for IdText<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for IdText<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialEq<str> for IdText<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for IdText<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for IdText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for IdText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_in_its_usual_form_takes_no_heap_and_nothing_more_than_its_place() {
        let usual = CompactId::copied("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f");
        assert!(matches!(usual, CompactId::Uuid(_)));
        assert_eq!(
            (usual.heap_bytes(), size_of::<Option<CompactId>>()),
            (0, 24)
        );
    }

    #[test]
    fn other_spellings_of_a_uuid_come_out_as_they_went_in() {
        for given in [
            "018F3B0E-6A00-7C11-9D2E-6A1B2C3D4E5F",
            "018f3b0e6a007c119d2e6a1b2c3d4e5f",
            "{018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5",
            "urn:uuid:018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f",
            "018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5g",
        ] {
            let id = CompactId::copied(given);
            assert!(matches!(id, CompactId::Given(_)), "{given}");
            assert_eq!(id.text(), given);
        }
    }

    proptest! {
        #[test]
        fn text_comes_out_as_it_went_in(text in "[0-9a-fA-F-]{36}|[ -~é]{0,40}", bytes: [u8; 16]) {
            let id = CompactId::copied(&text);
            prop_assert_eq!(&*id.text(), text.as_str());
            let uuid = CompactId::from(Uuid::from_bytes(bytes));
            prop_assert!(CompactId::copied(&uuid.text()) == uuid);
        }

        #[test]
        fn ids_sort_as_their_text(one: [u8; 16], other in "[0-9a-f-]{1,40}") {
            let (one, other) = (CompactId::from(Uuid::from_bytes(one)), CompactId::copied(&other));
            prop_assert_eq!(one.cmp(&other), one.text().as_str().cmp(other.text().as_str()));
        }
    }
}
