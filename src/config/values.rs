//! How the text of a value reads. An error is what is wrong with it, never the value itself.

use std::time::Duration;

use productgraph_actors::Overflow;

use crate::correlation::{SessionMinting, TraceTrust};
use crate::event::wire::TenantKeys;
use crate::{ConsentPolicy, RedactionMode};

pub(super) type Read<T> = Result<T, &'static str>;

/// `true`, `yes`, `on` and `1` or their opposites, in any case.
pub(super) fn boolean(text: &str) -> Read<bool> {
    choice(
        text,
        &[
            ("true", true),
            ("yes", true),
            ("on", true),
            ("1", true),
            ("false", false),
            ("no", false),
            ("off", false),
            ("0", false),
        ],
    )
    .map_err(|_| "is neither true nor false")
}

/// A whole number.
pub(super) fn whole(text: &str) -> Read<usize> {
    text.parse().map_err(|_| "is not a whole number")
}

/// `500ms`, `5s`, `1.5m`, `1h30m`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Read<Duration> {
    const PROBLEM: &str = "is not a duration";
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (number, after) = split_at_unit(rest);
        let (unit, after) = after.split_at(
            after
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(after.len()),
        );
        let scale = match unit.to_ascii_lowercase().as_str() {
            "" if number == text => 1_000_000_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(PROBLEM),
        };
        nanos = scaled(number, scale)
            .and_then(|part| nanos.checked_add(part))
            .ok_or(PROBLEM)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(PROBLEM);
    }
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| "is too long a time")
}

/// `65536`, `64KiB`, `8 MiB`, `1.5GiB`, and decimal `KB`, `MB`, `GB`; a bare number is bytes.
pub(super) fn size(text: &str) -> Read<usize> {
    const PROBLEM: &str = "is not a size";
    let (number, unit) = split_at_unit(text);
    let scale = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(PROBLEM),
    };
    let bytes = scaled(number, scale).ok_or(PROBLEM)?;
    usize::try_from(bytes).map_err(|_| "is larger than any memory")
}

pub(super) fn overflow(text: &str) -> Read<Overflow> {
    choice(
        text,
        &[
            ("drop_newest", Overflow::DropNewest),
            ("drop_oldest", Overflow::DropOldest),
            ("by_priority", Overflow::ByPriority),
        ],
    )
}

pub(super) fn tenant_keys(text: &str) -> Read<TenantKeys> {
    choice(
        text,
        &[
            ("both", TenantKeys::Both),
            ("product_id", TenantKeys::ProductId),
            ("project_id", TenantKeys::ProjectId),
        ],
    )
}

pub(super) fn session(text: &str) -> Read<SessionMinting> {
    choice(
        text,
        &[
            ("request", SessionMinting::PerRequest),
            ("process", SessionMinting::PerProcess),
        ],
    )
}

pub(super) fn trace_trust(text: &str) -> Read<TraceTrust> {
    choice(
        text,
        &[
            ("trust", TraceTrust::Trust),
            ("link", TraceTrust::Link),
            ("ignore", TraceTrust::Ignore),
        ],
    )
}

pub(super) fn redaction(text: &str) -> Read<RedactionMode> {
    choice(
        text,
        &[
            ("default", RedactionMode::Default),
            ("off", RedactionMode::Off),
        ],
    )
}

pub(super) fn consent(text: &str) -> Read<ConsentPolicy> {
    choice(
        text,
        &[
            ("ignore", ConsentPolicy::Ignore),
            ("explicit", ConsentPolicy::Explicit),
            ("gpc", ConsentPolicy::GlobalPrivacyControl),
            ("opt-in", ConsentPolicy::OptIn),
        ],
    )
}

/// A number in figures; whether it is one that a share can be is checked later.
pub(super) fn rate(text: &str) -> Read<f64> {
    let number: f64 = text.parse().map_err(|_| "is not a number")?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err("is not a number")
    }
}

/// The parts between commas, without the space around them and without empty ones.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Read<T> {
    words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|&(_, value)| value)
        .ok_or("is none of the words it may be")
}

fn split_at_unit(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len()),
    )
}

/// `number * scale`, exactly but for what is below one; `None` if it is no number or has too many
/// digits to matter.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| -> Option<u128> {
        let plain = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if plain { text.parse().ok() } else { None }
    };
    let places = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    digits(whole)?
        .checked_mul(scale)?
        .checked_add(digits(fraction)?.checked_mul(scale)? / places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("5", 5_000),
            ("0", 0),
            ("0.25", 250),
            ("5s", 5_000),
            ("5S", 5_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1m0.5s", 60_500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            ".",
            "s",
            "5 s",
            "-5s",
            "+5",
            "5x",
            "5sec",
            "1h30",
            "s5",
            "5..5s",
            "1.s",
            ".5s",
            "5e3",
            "0x5",
            "٥s",
            "5µs",
            "∞",
            "nan",
            "999999999999999999999999h",
        ] {
            assert_eq!(duration(text), Err("is not a duration"), "{text}");
        }
        assert_eq!(duration("99999999999h"), Err("is too long a time"));
    }

    #[test]
    fn sizes_read_with_binary_and_decimal_units() {
        for (text, bytes) in [
            ("8388608", 8 << 20),
            ("8MiB", 8 << 20),
            ("8 mib", 8 << 20),
            ("64KiB", 64 << 10),
            ("1.5KiB", 1536),
            ("12B", 12),
            ("1kB", 1_000),
            ("2MB", 2_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "8M",
            "8Mi",
            "-8",
            "8 MiB 1",
            "8,388,608",
            "1_000",
            "8MiB8",
        ] {
            assert_eq!(size(text), Err("is not a size"), "{text}");
        }
    }

    #[test]
    fn booleans_read_in_any_case_and_nothing_else_does() {
        for text in ["true", "TRUE", "1", "yes", "On"] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["false", "False", "0", "NO", "off"] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        for text in ["", "t", "2", "01", "enabled", "yes!"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_ignores_empty_parts_and_outer_space() {
        assert_eq!(list(" /health , ,/metrics,"), ["/health", "/metrics"]);
        assert_eq!(list(" , "), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC{0,40}|[0-9.]{0,45}(ms|s|m|h|KiB|GB)?") {
            let _ = (duration(&text), size(&text), whole(&text), boolean(&text), list(&text));
        }

        #[test]
        fn a_whole_number_of_milliseconds_reads_back_exactly(millis in 0_u64..1_000_000_000_000) {
            prop_assert_eq!(duration(&format!("{millis}ms")), Ok(Duration::from_millis(millis)));
            let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
            prop_assert_eq!(duration(&seconds), Ok(Duration::from_millis(millis)));
        }
    }
}
