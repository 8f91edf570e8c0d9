//! When it happened: nanoseconds since the Unix epoch, written as RFC 3339 in UTC.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time: nanoseconds since the Unix epoch, UTC, from the year 1677 to 2262.
///
/// Written with milliseconds, or with micro- or nanoseconds when it is finer than that:
///
/// ```
/// use productgraph::event::Timestamp;
///
/// let at: Timestamp = "2026-01-01T02:00:00.25+02:00".parse()?;
/// assert_eq!(at.to_string(), "2026-01-01T00:00:00.250Z");
/// assert_eq!(at.unix_millis(), 1_767_225_600_250);
/// # Ok::<_, productgraph::event::TimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time with seconds and an offset, or lies outside the years 1677 to
/// 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time with seconds and an offset, between the years 1677 and 2262")]
pub struct TimestampError;

impl Timestamp {
    /// The system's clock, now.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// A time given in nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// A time given in milliseconds since the Unix epoch; beyond the range, its nearest end.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads RFC 3339: seconds and an offset (or `Z`) are mandatory, a fraction is not.
    ///
    /// # Errors
    ///
    /// [`TimestampError`] when the text is anything else or outside the range.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let at = Self::offset_date_time(text)?;
        i64::try_from(at.unix_timestamp_nanos())
            .map(Self)
            .map_err(|_| TimestampError)
    }

    /// Like [`parse`](Self::parse), but the first instant of the year 1 is no time: Go clients
    /// send it when theirs was never set.
    pub(crate) fn parse_set(text: &str) -> Result<Option<Self>, TimestampError> {
        const GO_ZERO_SECONDS: i64 = -62_135_596_800;
        let at = Self::offset_date_time(text)?;
        if at.unix_timestamp() == GO_ZERO_SECONDS && at.nanosecond() == 0 {
            return Ok(None);
        }
        i64::try_from(at.unix_timestamp_nanos())
            .map(|nanos| Some(Self(nanos)))
            .map_err(|_| TimestampError)
    }

    fn offset_date_time(text: &str) -> Result<OffsetDateTime, TimestampError> {
        // the longest sensible form has 35 bytes
        if text.len() > 64 {
            return Err(TimestampError);
        }
        OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)
    }

    /// Days since 0000-03-01, seconds of the day, nanoseconds of the second.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range of the type is the years 1677 to 2262"
    )]
    const fn split(self) -> (u32, u32, u32) {
        const DAYS_TO_EPOCH: i64 = 719_468;
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        let days = seconds.div_euclid(SECONDS_PER_DAY) + DAYS_TO_EPOCH;
        let clock = seconds.rem_euclid(SECONDS_PER_DAY);
        (
            days as u32,
            clock as u32,
            self.0.rem_euclid(NANOS_PER_SECOND) as u32,
        )
    }

    /// Writes RFC 3339 into `buffer`, without an allocation.
    pub(crate) fn encode(self, buffer: &mut [u8; 30]) -> &str {
        let (days, clock, nanos) = self.split();
        let (year, month, day) = civil_date(days);

        buffer.copy_from_slice(b"0000-00-00T00:00:00.000000000Z");
        digits(&mut buffer[0..4], year);
        digits(&mut buffer[5..7], month);
        digits(&mut buffer[8..10], day);
        digits(&mut buffer[11..13], clock / 3600);
        digits(&mut buffer[14..16], clock / 60 % 60);
        digits(&mut buffer[17..19], clock % 60);
        let end = if nanos.is_multiple_of(1_000_000) {
            digits(&mut buffer[20..23], nanos / 1_000_000);
            23
        } else if nanos.is_multiple_of(1_000) {
            digits(&mut buffer[20..26], nanos / 1_000);
            26
        } else {
            digits(&mut buffer[20..29], nanos);
            29
        };
        buffer[end] = b'Z';
        // digits and punctuation only, so the default is never taken
        std::str::from_utf8(&buffer[..=end]).unwrap_or_default()
    }
}

/// Fills `place` with the decimal digits of `value`, zeros in front.
fn digits(place: &mut [u8], mut value: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a number of days since 0000-03-01 in the Gregorian calendar.
///
/// Counts in eras of 400 years (146,097 days) whose years begin in March, so that the leap day is
/// the last day of a year.
fn civil_date(days: u32) -> (u32, u32, u32) {
    const DAYS_PER_ERA: u32 = 146_097;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era + year_of_era / 100 - year_of_era / 4 - 365 * year_of_era;
    let months_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_from_march + 2) / 5 + 1;
    let (month, next_year) = if months_from_march < 10 {
        (months_from_march + 3, 0)
    } else {
        (months_from_march - 9, 1)
    };
    (era * 400 + year_of_era + next_year, month, day)
}

/// Milliseconds, rounded half away from zero; the service takes integers only.
pub(crate) fn whole_millis(duration: Duration) -> i64 {
    let below_a_second = (duration.subsec_nanos() + 500_000) / 1_000_000;
    i64::try_from(duration.as_secs())
        .ok()
        .and_then(|seconds| {
            seconds
                .checked_mul(1_000)?
                .checked_add(below_a_second.into())
        })
        .unwrap_or(i64::MAX)
}

/// At most what an `i64` holds. Most times come through here once an event, so it is no wide arithmetic.
#[inline]
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs())
        .ok()
        .and_then(|seconds| seconds.checked_mul(NANOS_PER_SECOND))
        .and_then(|nanos| nanos.checked_add(duration.subsec_nanos().into()))
        .unwrap_or(i64::MAX)
}

/// How long something took, in 8 bytes: whole nanoseconds, at most 584 years.
///
/// ```
/// use productgraph::event::Elapsed;
/// use std::time::Duration;
///
/// assert_eq!(Elapsed::from(Duration::from_millis(12)).get(), Duration::from_millis(12));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Elapsed(NonZeroU64);

impl Elapsed {
    /// The time as a duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }
}

impl From<Duration> for Elapsed {
    fn from(duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }
}

impl fmt::Debug for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        match at.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(nanos(after)),
            Err(before) => Self(-nanos(before.duration())),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; 30]))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn milliseconds_are_written_unless_the_time_is_finer() {
        let written = |nanos| Timestamp::from_unix_nanos(nanos).to_string();
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(1_000_000), "1970-01-01T00:00:00.001Z");
        assert_eq!(written(1_000), "1970-01-01T00:00:00.000001Z");
        assert_eq!(written(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(written(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(
            written(951_782_400 * NANOS_PER_SECOND),
            "2000-02-29T00:00:00.000Z"
        );
        assert_eq!(written(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(written(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn only_rfc_3339_with_seconds_and_an_offset_is_read() {
        for good in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.123456789+02:00",
        ] {
            assert!(Timestamp::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "2026-01-01",
            "2026-01-01 10:00:00",
            "2026-01-01T10:00:00",
            "2026-01-01T10:00Z",
            "1767225600",
            "2026-13-01T00:00:00Z",
            "1500-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(bad), Err(TimestampError), "{bad}");
        }
    }

    #[test]
    fn the_zero_time_of_go_is_no_time() {
        assert_eq!(Timestamp::parse_set("0001-01-01T00:00:00Z"), Ok(None));
        assert_eq!(
            Timestamp::parse_set("0001-01-01T00:00:01Z"),
            Err(TimestampError)
        );
    }

    #[test]
    fn a_time_taken_has_no_gap_and_an_end() {
        for nanos in [0, 1, u64::MAX - 1] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(Elapsed::from(duration).get(), duration);
        }
        let most = Duration::from_nanos(u64::MAX - 1);
        assert_eq!(Elapsed::from(Duration::MAX).get(), most);
        assert_eq!(size_of::<Option<Elapsed>>(), 8);
    }

    #[test]
    fn durations_round_half_away_from_zero() {
        assert_eq!(whole_millis(Duration::ZERO), 0);
        assert_eq!(whole_millis(Duration::from_nanos(499_999)), 0);
        assert_eq!(whole_millis(Duration::from_micros(500)), 1);
        assert_eq!(whole_millis(Duration::from_micros(2_500)), 3);
        assert_eq!(whole_millis(Duration::MAX), i64::MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_the_calendar_says(nanos: i64) {
            let at = Timestamp::from_unix_nanos(nanos);
            let text = at.to_string();
            prop_assert_eq!(Timestamp::parse(&text), Ok(at));
            let reference = OffsetDateTime::from_unix_timestamp_nanos(nanos.into()).unwrap();
            prop_assert_eq!(&text[..10], &reference.date().to_string());
        }
    }
}
