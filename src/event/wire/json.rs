//! JSON, straight into a byte buffer.

use std::io::Write as _;

use crate::event::value::Value;

/// Appends text in quotes.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    rest_of_text(out, text);
}

/// Appends text and the closing quote.
pub(super) fn rest_of_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        escaped(out, bytes);
    }
    out.push(b'"');
}

/// Appends text with whatever JSON does not allow in a string escaped.
fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = bytes;
    while let Some(plain) = rest.iter().position(|&byte| needs_escape(byte)) {
        out.extend_from_slice(&rest[..plain]);
        let byte = rest[plain];
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(control >> 4)]);
                out.push(DIGITS[usize::from(control & 15)]);
            }
        }
        rest = &rest[plain + 1..];
    }
    out.extend_from_slice(rest);
}

/// Whether no byte needs an escape.
///
/// Nearly all text is plain, so a block is looked at without a branch for each byte, which the
/// compiler turns into vector instructions. The last block overlaps the one before: no text of 8
/// bytes or more has a tail.
fn is_plain(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        let (blocks, _) = bytes.as_chunks::<16>();
        for block in blocks {
            if any_needs_escape(block) {
                return false;
            }
        }
        return !any_needs_escape(last);
    }
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => !(any_needs_escape(first) | any_needs_escape(last)),
        _ => !bytes.iter().any(|&byte| needs_escape(byte)),
    }
}

#[inline]
fn any_needs_escape<const N: usize>(block: &[u8; N]) -> bool {
    block
        .iter()
        .fold(false, |any, &byte| any | needs_escape(byte))
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends an integer.
pub(super) fn int(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    uint(out, value.unsigned_abs());
}

/// Appends an integer.
pub(super) fn uint(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends a number; what JSON cannot say becomes `null`.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        // Debug is the shortest form that reads back the same, always with a point or an exponent;
        // writing into a Vec cannot fail
        let _ = write!(out, "{value:?}");
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends any metadata value.
pub(super) fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => int(out, *number),
        Value::Uint(number) => uint(out, *number),
        Value::Float(number) => float(out, *number),
        Value::Text(content) => text(out, content),
        Value::Json(json) => {
            let before = out.len();
            if serde_json::to_writer(&mut *out, &**json).is_err() {
                out.truncate(before);
                out.extend_from_slice(b"null");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_that_json_cannot_say_are_null() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(written(|out| float(out, value)), "null");
        }
    }

    #[test]
    fn the_ends_of_the_integers_are_written_whole() {
        assert_eq!(written(|out| int(out, i64::MIN)), "-9223372036854775808");
        assert_eq!(written(|out| int(out, 0)), "0");
        assert_eq!(written(|out| uint(out, u64::MAX)), "18446744073709551615");
    }

    #[test]
    fn every_byte_is_escaped_at_every_place_of_any_length() {
        for code in 0..=0x7f_u8 {
            for (len, place) in (1..40).flat_map(|len| (0..len).map(move |place| (len, place))) {
                let mut bytes = vec![b'x'; len];
                bytes[place] = code;
                let plain = std::str::from_utf8(&bytes).unwrap();
                let json = written(|out| text(out, plain));
                assert_eq!(serde_json::from_str::<String>(&json).unwrap(), plain);
            }
        }
    }

    proptest! {
        #[test]
        fn text_reads_back_as_it_was(plain in "(\\PC|[\\x00-\\x7f]|[é🦀\u{2028}]){0,64}") {
            let json = written(|out| text(out, &plain));
            prop_assert!(!json.bytes().any(|b| b < 0x20));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), plain);
        }

        #[test]
        fn integers_read_back_as_they_were(value: i64) {
            prop_assert_eq!(written(|out| int(out, value)), value.to_string());
        }

        #[test]
        fn floats_read_back_as_they_were(value in any::<f64>()) {
            let json = written(|out| float(out, value));
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            if value.is_finite() {
                prop_assert_eq!(json.parse::<f64>().unwrap().to_bits(), value.to_bits());
                prop_assert!(read.is_f64());
            }
        }
    }
}
