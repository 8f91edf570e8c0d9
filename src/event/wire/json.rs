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
/// Nearly all text is plain, so blocks of it are looked at without a branch for each byte, long ones by
/// vector instructions. The last block overlaps the one before: no text of 4 bytes or more has a tail.
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
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return escapes(u64::from_le_bytes(*first)) | escapes(u64::from_le_bytes(*last)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let word = |half: &[u8; 4]| u64::from(u32::from_le_bytes(*half));
        return escapes(word(first) | (word(last) << 32)) == 0;
    }
    !bytes.iter().any(|&byte| needs_escape(byte))
}

/// Not zero if one of eight bytes needs an escape.
///
/// A subtraction borrows into the upper bit of a byte that was smaller; that the bit was not set before
/// tells it from a large byte. Above a byte that is found others may be found wrongly.
const fn escapes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & (ONES << 7)
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

/// Appends text in which every byte stands for itself, and the closing quote.
#[inline]
pub(super) fn plain_text(out: &mut Vec<u8>, text: &str) {
    debug_assert!(is_plain(text.as_bytes()), "text that is not plain");
    match <&[u8; 36]>::try_from(text.as_bytes()) {
        // most ids are UUIDs, and a copy of a known length needs no call
        Ok(uuid) => out.extend_from_slice(uuid),
        Err(_) => out.extend_from_slice(text.as_bytes()),
    }
    out.push(b'"');
}

/// Appends a UUID in its usual form, and the closing quote.
pub(super) fn uuid(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    /// Where each byte goes.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let mut text = [b'-'; 37];
    for (byte, place) in bytes.iter().zip(PLACES) {
        let [high, low] = HEX[usize::from(*byte)];
        text[place] = high;
        text[place + 1] = low;
    }
    text[36] = b'"';
    out.extend_from_slice(&text);
}

/// Every byte as two digits.
const HEX: [[u8; 2]; 256] = {
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        hex[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    hex
};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends an integer.
pub(super) fn int(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    uint(out, value.unsigned_abs());
}

/// Appends an integer.
pub(super) fn uint(out: &mut Vec<u8>, value: u64) {
    if value >= EIGHT {
        uint(out, value / EIGHT);
        out.extend_from_slice(&eight(value % EIGHT).to_le_bytes());
        return;
    }
    let digits = eight(value);
    // a zero keeps its last digit
    let zeros = ((digits ^ ZEROS).trailing_zeros() / 8).min(7);
    let end = out.len() + 8 - zeros as usize;
    out.extend_from_slice(&(digits >> (8 * zeros)).to_le_bytes());
    out.truncate(end);
}

/// The nine digits of a number below a thousand million, zeros in front.
pub(super) fn nine(value: u32) -> [u8; 9] {
    let value = u64::from(value);
    let mut digits = [b'0' + (value / EIGHT % 10) as u8; 9];
    digits[1..].copy_from_slice(&eight(value % EIGHT).to_le_bytes());
    digits
}

/// The first number of nine digits.
const EIGHT: u64 = 100_000_000;
/// Eight times the digit zero.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight digits of a number below [`EIGHT`], zeros in front, the first one in the lowest byte.
///
/// Halves the number three times, all parts at once: into two of four digits, four of two, eight of
/// one. The multiplications divide by 100 and by 10, exactly for numbers of that size.
const fn eight(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | ((twos - 10 * tens) << 8)) + ZEROS
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
    fn every_number_of_few_digits_and_both_sides_of_every_power_of_ten_are_written_whole() {
        let powers = (0..20).map(|digits| 10_u64.pow(digits));
        let around = powers.flat_map(|power| [power - 1, power, power + 1]);
        for value in (0..100_000).chain(around) {
            assert_eq!(written(|out| uint(out, value)), value.to_string());
        }
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
        fn eight_bytes_are_plain_if_each_of_them_is(bytes: [u8; 8]) {
            let any = bytes.iter().any(|&byte| needs_escape(byte));
            prop_assert_eq!(escapes(u64::from_le_bytes(bytes)) != 0, any);
        }

        #[test]
        fn text_reads_back_as_it_was(plain in "(\\PC|[\\x00-\\x7f]|[é🦀\u{2028}]){0,64}") {
            let json = written(|out| text(out, &plain));
            prop_assert!(!json.bytes().any(|b| b < 0x20));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), plain);
        }

        #[test]
        fn integers_read_back_as_they_were(value: i64, bits in 0..64) {
            for value in [value, value >> bits] {
                prop_assert_eq!(written(|out| int(out, value)), value.to_string());
            }
        }

        #[test]
        fn a_uuid_is_written_in_its_usual_form(bytes: [u8; 16]) {
            let usual = uuid::Uuid::from_bytes(bytes).to_string();
            prop_assert_eq!(written(|out| super::uuid(out, &bytes)), usual + "\"");
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
