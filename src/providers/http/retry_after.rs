//! The `Retry-After` header (RFC 9110, section 10.2.3): seconds or a date.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Longest wait that is taken from a header; a longer one counts as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest header value that is looked at, in bytes; a date takes 29.
const MAX_BYTES: usize = 64;

/// How long the server asks to wait, or `None` for a value that is neither seconds nor a date.
///
/// A date is taken relative to `server_date` (the answer's `Date` header) when that can be read, so
/// that a wrong clock on either side does not turn a short wait into a long one; else relative to
/// `now`. A date in the past, and a negative number, mean no wait. The result is at most
/// [`MAX_RETRY_AFTER`].
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use productgraph::providers::http::retry_after;
///
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
/// assert_eq!(retry_after("120", None, now), Some(Duration::from_secs(120)));
/// let date = "Sun, 06 Nov 1994 08:50:37 GMT";
/// assert_eq!(retry_after(date, None, now), Some(Duration::from_secs(60)));
/// assert_eq!(retry_after("soon", None, now), None);
/// ```
pub fn retry_after(value: &str, server_date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if value.is_empty() || value.len() > MAX_BYTES {
        return None;
    }
    let wait = seconds(value).or_else(|| {
        let until = http_date(value)?;
        let now = server_date
            .and_then(http_date)
            .unwrap_or_else(|| now.into());
        Some(Duration::try_from(until - now).unwrap_or(Duration::ZERO))
    })?;
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Whole seconds; more digits than fit are a very long wait, not rubbish.
fn seconds(value: &str) -> Option<Duration> {
    let (negative, digits) = match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = if negative {
        0
    } else {
        digits.parse().unwrap_or(u64::MAX)
    };
    Some(Duration::from_secs(seconds))
}

/// The date form that every server sends (RFC 9110, section 5.6.7), which is a subset of RFC 2822.
/// The two obsolete forms, without a four-digit year or a zone, are not taken.
fn http_date(value: &str) -> Option<OffsetDateTime> {
    let value = value.trim();
    if value.len() > MAX_BYTES {
        return None;
    }
    OffsetDateTime::parse(value, &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const NOW: Duration = Duration::from_secs(784_111_777);

    fn wait(value: &str) -> Option<u64> {
        retry_after(value, None, SystemTime::UNIX_EPOCH + NOW).map(|d| d.as_secs())
    }

    #[test]
    fn seconds_are_read_and_bounded() {
        let day = MAX_RETRY_AFTER.as_secs();
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("007", Some(7)),
            ("-5", Some(0)),
            ("86401", Some(day)),
            ("18446744073709551616", Some(day)),
            ("", None),
            ("-", None),
            ("+5", None),
            ("1.5", None),
            ("1e3", None),
            ("5 s", None),
            ("soon", None),
            ("٣", None),
        ] {
            assert_eq!(wait(value), expected, "{value:?}");
        }
        assert_eq!(wait(&"9".repeat(65)), None);
    }

    #[test]
    fn dates_are_read_relative_to_now() {
        for (value, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            (
                "Sat, 06 Nov 2094 08:49:37 GMT",
                Some(MAX_RETRY_AFTER.as_secs()),
            ),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 1994", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("1994-11-06T08:49:37Z", None),
        ] {
            assert_eq!(wait(value), expected, "{value:?}");
        }
    }

    #[test]
    fn the_servers_own_date_wins_over_a_wrong_clock() {
        let until = "Sun, 06 Nov 1994 08:51:37 GMT";
        let date = Some("Sun, 06 Nov 1994 08:51:07 GMT");
        let wrong = SystemTime::UNIX_EPOCH;

        assert_eq!(
            retry_after(until, date, wrong),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            retry_after(until, Some("rubbish"), SystemTime::UNIX_EPOCH + NOW),
            Some(Duration::from_secs(120))
        );
    }

    proptest! {
        #[test]
        fn no_value_panics_or_waits_longer_than_the_bound(value in ".{0,80}", date in ".{0,40}") {
            let now = SystemTime::UNIX_EPOCH + NOW;
            let wait = retry_after(&value, Some(&date), now);
            prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }

        #[test]
        fn any_number_of_seconds_is_read(seconds in any::<u64>()) {
            let now = SystemTime::UNIX_EPOCH;
            let expected = Duration::from_secs(seconds).min(MAX_RETRY_AFTER);
            prop_assert_eq!(retry_after(&seconds.to_string(), None, now), Some(expected));
        }
    }
}
