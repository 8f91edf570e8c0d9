//! Writing times of events that follow each other: most fall into one second.

use super::json;
use crate::event::Timestamp;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Bytes of `2026-01-01T00:00:00.`
const TO_SECONDS: usize = 20;
/// The longest form, and the closing quote.
const LONGEST: usize = 31;

/// Remembers the second of the last time that was written.
#[derive(Debug)]
pub(crate) struct Clock {
    second: i64,
    text: [u8; LONGEST],
}

impl Clock {
    pub(crate) const fn new() -> Self {
        Self {
            // no time that there is
            second: i64::MAX,
            text: [0; LONGEST],
        }
    }

    /// Appends a time and the closing quote: as [`Timestamp`] is shown.
    pub(super) fn write(&mut self, at: Timestamp, out: &mut Vec<u8>) {
        let nanos = at.unix_nanos();
        let second = nanos.div_euclid(NANOS_PER_SECOND);
        if second != self.second {
            self.second = second;
            let mut buffer = [0; 30];
            at.encode(&mut buffer);
            self.text[..TO_SECONDS].copy_from_slice(&buffer[..TO_SECONDS]);
        }
        // below a thousand million
        let fraction = u32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0);
        let nine = json::nine(fraction);
        self.text[TO_SECONDS..TO_SECONDS + 9].copy_from_slice(&nine);
        let end = if fraction.is_multiple_of(1_000_000) {
            TO_SECONDS + 3
        } else if fraction.is_multiple_of(1_000) {
            TO_SECONDS + 6
        } else {
            TO_SECONDS + 9
        };
        let from = out.len();
        let mut text = self.text;
        text[end] = b'Z';
        text[end + 1] = b'"';
        out.extend_from_slice(&text);
        out.truncate(from + end + 2);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_are_written_as_they_are_shown_whatever_came_before(
            times in prop::collection::vec(
                (any::<i64>(), prop::sample::select(vec![1, 1_000, 1_000_000, NANOS_PER_SECOND])),
                1..20,
            ),
            near in prop::collection::vec(0..3 * NANOS_PER_SECOND, 0..20),
        ) {
            let mut clock = Clock::new();
            let first = times[0].0;
            let times = times.into_iter().map(|(nanos, unit)| nanos / unit * unit);
            for nanos in times.chain(near.into_iter().map(|more| first.saturating_add(more))) {
                let at = Timestamp::from_unix_nanos(nanos);
                let mut out = b"before".to_vec();
                clock.write(at, &mut out);
                prop_assert_eq!(String::from_utf8(out).unwrap(), format!("before{at}\""));
            }
        }
    }
}
