//! What an identifier from outside may look like, and why one is refused.

/// The rule that an identifier broke.
///
/// It carries at most the length of the refused value, never the value: identifiers come from
/// hostile hosts and from people, and errors end up in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Nothing is left, for a user id after trimming.
    #[error("identifier is empty")]
    Empty,
    /// More bytes than the identifier's `MAX_LEN`.
    #[error("identifier of {len} bytes is too long")]
    TooLong {
        /// Length of the refused value in bytes.
        len: usize,
    },
    /// A character outside the identifier's alphabet.
    #[error("identifier has a character that is not allowed")]
    BadCharacter,
    /// A word that programs write when they have no identifier, such as `null` or `anonymous`, or
    /// the all-zero UUID.
    #[error("identifier is a reserved word that stands for a missing value")]
    Reserved,
}

/// What vendors refuse as an identifier because it joins strangers into one profile.
const RESERVED: [&str; 19] = [
    "null",
    "undefined",
    "nil",
    "none",
    "n/a",
    "na",
    "unknown",
    "anonymous",
    "anon",
    "guest",
    "0",
    "-1",
    "true",
    "false",
    "[object object]",
    "{}",
    "[]",
    "00000000-0000-0000-0000-000000000000",
    "00000000000000000000000000000000",
];

fn is_reserved(value: &str) -> bool {
    RESERVED.iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// Session, anonymous and device ids: `[A-Za-z0-9._:-]`.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

/// Request ids: `[A-Za-z0-9._:+/=@-]`.
pub(super) fn is_request_byte(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b'+' | b'/' | b'=' | b'@')
}

/// Checks an identifier made of single ASCII characters; the length comes first.
pub(super) fn check_ascii(
    value: &str,
    max_len: usize,
    allowed: fn(u8) -> bool,
) -> Result<&str, IdError> {
    if value.len() > max_len {
        return Err(IdError::TooLong { len: value.len() });
    }
    if value.is_empty() {
        return Err(IdError::Empty);
    }
    if is_reserved(value) {
        return Err(IdError::Reserved);
    }
    if value.bytes().all(allowed) {
        Ok(value)
    } else {
        Err(IdError::BadCharacter)
    }
}

/// Checks an identifier of any script and returns it without surrounding white space.
pub(super) fn check_printable(value: &str, max_len: usize) -> Result<&str, IdError> {
    if value.len() > max_len {
        return Err(IdError::TooLong { len: value.len() });
    }
    let value = value.trim();
    if value.is_empty() {
        return Err(IdError::Empty);
    }
    if is_reserved(value) {
        return Err(IdError::Reserved);
    }
    if value.chars().all(is_printable) {
        Ok(value)
    } else {
        Err(IdError::BadCharacter)
    }
}

/// Neither a control character nor one that is invisible or reorders its neighbours: two ids that
/// look alike must be alike.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{061C}'
                | '\u{200B}'
                | '\u{200E}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{FFFE}'..='\u{FFFF}'
                | '\u{E0000}'..='\u{E007F}'
        )
}
