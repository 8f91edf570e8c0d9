//! Faults in the short form of the command line.

use std::str::FromStr;
use std::time::Duration;

use crate::faults::{Answer, Fault, RetryAfter};
use crate::plan::{Rule, When};

/// Why a short form was not understood; it says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(String);

/// Reads `FAULT[@WHEN]`.
///
/// | `FAULT` | |
/// |---|---|
/// | `status:CODE` or `status:CODE:RETRY_AFTER` | an answer, with `Retry-After` as given |
/// | `html:CODE` | a proxy's error page |
/// | `rubbish` | a 200 whose body is not JSON |
/// | `redirect:URL` | a 307 |
/// | `reset-before-body`, `reset-after-body` | a reset, nothing stored |
/// | `store-then-reset`, `store-then-500` | stored, yet no good answer |
/// | `never-answer`, `store-then-never-answer` | silence |
/// | `huge:BYTES` | a 500 with a body of that size |
/// | `trickle:MS` | the true answer, a byte every `MS` milliseconds |
/// | `cut:BYTES` | the true answer, reset after so many bytes of its body |
///
/// | `WHEN` | |
/// |---|---|
/// | `always` | the default |
/// | `every:N` | every Nth request |
/// | `first:N` | the first N requests |
/// | `p:P:SEED` | with probability P, reproducibly |
///
/// ```
/// # use productgraph_collector::{Fault, Rule, When};
/// let rule: Rule = "reset-after-body@every:3".parse()?;
/// assert_eq!(rule.fault, Fault::reset_after_body());
/// assert_eq!(rule.when, When::Every(3));
/// # Ok::<(), productgraph_collector::SpecError>(())
/// ```
impl FromStr for Rule {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        // A URL may hold an @ of its own; only what looks like a turn is taken for one.
        let (fault, when) = match spec.rsplit_once('@') {
            Some((fault, when)) if !when.contains('/') => (fault, turn(when)?),
            _ => (spec, When::Always),
        };
        Ok(Self {
            fault: kind(fault)?,
            when,
        })
    }
}

fn kind(spec: &str) -> Result<Fault, SpecError> {
    let (name, argument) = match spec.split_once(':') {
        Some((name, argument)) => (name, Some(argument)),
        None => (spec, None),
    };
    Ok(match (name, argument) {
        ("status", Some(argument)) => {
            let (code, retry_after) = match argument.split_once(':') {
                Some((code, retry_after)) => (code, Some(retry_after)),
                None => (argument, None),
            };
            let mut answer = Answer::new(status(code)?);
            answer.retry_after = retry_after.map(|text| match text.parse() {
                Ok(seconds) => RetryAfter::Seconds(seconds),
                Err(_) => RetryAfter::Verbatim(text.to_owned()),
            });
            answer.into()
        }
        ("html", Some(code)) => Fault::html(status(code)?),
        ("rubbish", None) => Fault::rubbish(),
        ("redirect", Some(location)) => Fault::redirect(307, location),
        ("reset-before-body", None) => Fault::reset_before_body(),
        ("reset-after-body", None) => Fault::reset_after_body(),
        ("store-then-reset", None) => Fault::store_then_reset(),
        ("store-then-500", None) => Fault::store_then_500(),
        ("never-answer", None) => Fault::never_answer(),
        ("store-then-never-answer", None) => Fault::store_then_never_answer(),
        ("huge", Some(bytes)) => Fault::Huge {
            status: 500,
            bytes: number(bytes, "huge:BYTES")?,
        },
        ("trickle", Some(ms)) => Fault::Trickle {
            step: Duration::from_millis(number(ms, "trickle:MS")?),
            step_bytes: 1,
        },
        ("cut", Some(bytes)) => Fault::Cut {
            after_bytes: number(bytes, "cut:BYTES")?.try_into().unwrap_or(usize::MAX),
            reset: true,
        },
        _ => {
            return Err(SpecError(
                "expected status:CODE[:RETRY_AFTER], html:CODE, rubbish, redirect:URL, \
                 reset-before-body, reset-after-body, store-then-reset, store-then-500, \
                 never-answer, store-then-never-answer, huge:BYTES, trickle:MS or cut:BYTES"
                    .to_owned(),
            ));
        }
    })
}

fn turn(spec: &str) -> Result<When, SpecError> {
    let parts: Vec<_> = spec.split(':').collect();
    match parts.as_slice() {
        ["always"] => Ok(When::Always),
        ["every", n] => match number(n, "every:N")? {
            0 => Err(SpecError("every:0 would never strike".to_owned())),
            n => Ok(When::Every(n)),
        },
        ["first", n] => Ok(When::First(number(n, "first:N")?)),
        ["p", p, seed] => {
            let p = p.parse().ok().filter(|p| (0.0..=1.0).contains(p));
            let p = p.ok_or_else(|| SpecError("p:P:SEED needs P from 0 to 1".to_owned()))?;
            Ok(When::Probability {
                p,
                seed: number(seed, "p:P:SEED")?,
            })
        }
        _ => Err(SpecError(
            "after @ expected always, every:N, first:N or p:P:SEED".to_owned(),
        )),
    }
}

fn status(code: &str) -> Result<u16, SpecError> {
    code.parse()
        .ok()
        .filter(|code| (200..=999).contains(code))
        .ok_or_else(|| SpecError("a status is a number from 200 to 999".to_owned()))
}

fn number(text: &str, form: &str) -> Result<u64, SpecError> {
    text.parse()
        .map_err(|_| SpecError(format!("{form} needs a whole number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_form_is_read() {
        let after = |text: &str| RetryAfter::Verbatim(text.to_owned());
        for (spec, fault) in [
            ("status:503", Fault::status(503)),
            (
                "status:429:2",
                Answer::new(429).retry_after(RetryAfter::Seconds(2)).into(),
            ),
            (
                "status:429:soon",
                Answer::new(429).retry_after(after("soon")).into(),
            ),
            ("html:502", Fault::html(502)),
            ("rubbish", Fault::rubbish()),
            (
                "redirect:http://u@h/x",
                Fault::redirect(307, "http://u@h/x"),
            ),
            ("reset-before-body", Fault::reset_before_body()),
            ("reset-after-body", Fault::reset_after_body()),
            ("store-then-reset", Fault::store_then_reset()),
            ("store-then-500", Fault::store_then_500()),
            ("never-answer", Fault::never_answer()),
            ("store-then-never-answer", Fault::store_then_never_answer()),
            (
                "huge:7",
                Fault::Huge {
                    status: 500,
                    bytes: 7,
                },
            ),
            (
                "trickle:5",
                Fault::Trickle {
                    step: Duration::from_millis(5),
                    step_bytes: 1,
                },
            ),
            (
                "cut:9",
                Fault::Cut {
                    after_bytes: 9,
                    reset: true,
                },
            ),
        ] {
            assert_eq!(
                spec.parse(),
                Ok(Rule {
                    fault,
                    when: When::Always
                }),
                "{spec}"
            );
        }
    }

    #[test]
    fn every_turn_is_read() {
        for (spec, when) in [
            ("always", When::Always),
            ("every:3", When::Every(3)),
            ("first:2", When::First(2)),
            ("p:0.5:7", When::Probability { p: 0.5, seed: 7 }),
        ] {
            let rule: Rule = format!("rubbish@{spec}").parse().unwrap();
            assert_eq!(rule.when, when, "{spec}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for bad in [
            "",
            "status",
            "status:",
            "status:100",
            "status:99999",
            "html",
            "rubbish:1",
            "huge:-1",
            "huge:x",
            "trickle",
            "cut:",
            "cut:-1",
            "explode",
            "rubbish@",
            "rubbish@every",
            "rubbish@every:0",
            "rubbish@p:2:1",
            "rubbish@p:NaN:1",
            "rubbish@p:0.5",
            "rubbish@first:x",
        ] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }
}
