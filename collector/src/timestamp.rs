//! The shape of `event.timestamp`: RFC 3339 with seconds and an offset, nothing looser.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Whether the service would parse this text as a timestamp.
pub(crate) fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    // "2026-01-01T00:00:00" and at least the "Z"
    if bytes.len() < 20 || !bytes.is_ascii() {
        return false;
    }
    let shape = bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !shape {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (
        number(&bytes[..4]),
        number(&bytes[5..7]),
        number(&bytes[8..10]),
    ) else {
        return false;
    };
    let (Some(hour), Some(minute), Some(second)) = (
        number(&bytes[11..13]),
        number(&bytes[14..16]),
        number(&bytes[17..19]),
    ) else {
        return false;
    };
    (1..=12).contains(&month)
        && (1..=days(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59
        && offset_is_valid(after_fraction(&bytes[19..]))
}

/// The present instant in the same shape; `None` beyond the year 9999.
pub(crate) fn now() -> Option<String> {
    OffsetDateTime::from(SystemTime::now())
        .format(&Rfc3339)
        .ok()
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u16::from(digit - b'0'))
    })
}

fn days(year: u16, month: u16) -> u16 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Skips `.digits`; a lone dot is left in place and fails as an offset.
fn after_fraction(rest: &[u8]) -> &[u8] {
    let [b'.', digits @ ..] = rest else {
        return rest;
    };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 { rest } else { &digits[count..] }
}

fn offset_is_valid(offset: &[u8]) -> bool {
    match offset {
        [b'Z'] => true,
        [b'+' | b'-', hour @ .., b':', m1, m2] if hour.len() == 2 => {
            number(hour).is_some_and(|h| h <= 23) && number(&[*m1, *m2]).is_some_and(|m| m <= 59)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_the_service_takes() {
        for good in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.1Z",
            "2026-01-01T00:00:00.123456789+02:00",
            "2026-01-01T23:59:59-23:59",
            "2024-02-29T00:00:00Z",
            "2000-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert!(is_valid(good), "{good}");
        }
    }

    #[test]
    fn shapes_the_service_refuses() {
        for bad in [
            "",
            "2026-01-01",
            "2026-01-01 10:00:00",
            "2026-01-01 10:00:00Z",
            "2026-01-01T10:00:00",
            "2026-01-01T10:00Z",
            "2026-01-01t10:00:00Z",
            "2026-01-01T10:00:00z",
            "2026-01-01T10:00:00.Z",
            "2026-01-01T10:00:00,5Z",
            "2026-01-01T10:00:00+0200",
            "2026-01-01T10:00:00+02",
            "2026-01-01T10:00:00+24:00",
            "2026-01-01T10:00:00+02:60",
            "2026-01-01T24:00:00Z",
            "2026-01-01T10:60:00Z",
            "2026-01-01T10:00:60Z",
            "2026-00-01T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-02-29T10:00:00Z",
            "1900-02-29T10:00:00Z",
            "2026-04-31T10:00:00Z",
            "1767225600",
            "2026-01-01T10:00:00Z ",
            "２026-01-01T10:00:00Z",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn the_servers_own_clock_is_written_in_a_shape_it_takes() {
        assert!(now().is_some_and(|text| is_valid(&text)));
    }
}
