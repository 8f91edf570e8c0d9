//! What an HTTP status means for a request full of events.

use productgraph_actors::{Cause, Outcome, RejectReason};

use super::Answer;

/// What a status means, before anything is read from the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusClass {
    /// The request was taken. What became of each event is for the provider to read.
    Success,
    /// Nothing is known to be stored; the same request may work later.
    Retry,
    /// The body was too large: send it in parts.
    Split,
    /// The content was refused without naming an event: isolate it.
    Poison,
    /// This client or its configuration is refused, whatever the content: keep the events, tell
    /// the operator, try now and then.
    Hold,
    /// The whole request is refused for good.
    Refused,
}

/// Which status means what, for one destination.
///
/// | Status | Class | Why |
/// |---|---|---|
/// | 200-299 | [`Success`](StatusClass::Success) | the provider reads the body |
/// | 300-399 | [`Hold`](StatusClass::Hold) | redirects are not followed: the configured endpoint is not the final one |
/// | 400, 422 | [`Poison`](StatusClass::Poison) | something in the body is at fault, unsaid what |
/// | 408, 425, 429 | [`Retry`](StatusClass::Retry) | temporary by definition |
/// | 413 | [`Split`](StatusClass::Split) | |
/// | 401, 403, 407 | [`Hold`](StatusClass::Hold) | a wrong or expired key; may be put right without a restart |
/// | other 4xx (402, 404, 405, 410, 411, 415, ...) | [`Hold`](StatusClass::Hold) | wrong address, wrong server, used-up quota: nothing to do with the events |
/// | 511 | [`Hold`](StatusClass::Hold) | a captive network wants a login |
/// | other 5xx | [`Retry`](StatusClass::Retry) | can be changed with [`server_errors`](Self::server_errors) |
/// | anything else | [`Retry`](StatusClass::Retry) | not an answer |
///
/// So no event is thrown away on a status alone, and only 400 and 422 start the search for a bad
/// one. A destination for which a status means something else says so with [`on`](Self::on):
///
/// ```
/// use productgraph::providers::http::{StatusClass, StatusRules};
///
/// // final unless listed, as in OTLP
/// const OTLP: StatusRules = StatusRules::new()
///     .server_errors(StatusClass::Refused)
///     .on(&[(502, StatusClass::Retry), (503, StatusClass::Retry), (504, StatusClass::Retry)]);
///
/// assert_eq!(OTLP.classify(503), StatusClass::Retry);
/// assert_eq!(OTLP.classify(500), StatusClass::Refused);
/// assert_eq!(OTLP.classify(404), StatusClass::Hold);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRules {
    /// The destination's own list.
    listed: &'static [(u16, StatusClass)],
    /// What the user set, in order; the last one wins.
    set: Vec<(u16, StatusClass)>,
    server_errors: StatusClass,
}

impl Default for StatusRules {
    fn default() -> Self {
        Self::new()
    }
}

impl StatusRules {
    /// The table above.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            listed: &[],
            set: Vec::new(),
            server_errors: StatusClass::Retry,
        }
    }

    /// What these statuses mean instead; replaces an earlier list.
    #[must_use]
    pub const fn on(mut self, listed: &'static [(u16, StatusClass)]) -> Self {
        self.listed = listed;
        self
    }

    /// What a 5xx that is in no list means.
    #[must_use]
    pub const fn server_errors(mut self, class: StatusClass) -> Self {
        self.server_errors = class;
        self
    }

    /// Makes one status mean something else, over everything said before.
    pub(crate) fn set(&mut self, status: u16, class: StatusClass) {
        self.set.push((status, class));
    }

    /// What `status` means.
    pub fn classify(&self, status: u16) -> StatusClass {
        let exact = self
            .set
            .iter()
            .rev()
            .chain(self.listed)
            .find(|(exact, _)| *exact == status);
        if let Some((_, class)) = exact {
            return *class;
        }
        match status {
            200..=299 => StatusClass::Success,
            400 | 422 => StatusClass::Poison,
            413 => StatusClass::Split,
            408 | 425 | 429 => StatusClass::Retry,
            300..=499 | 511 => StatusClass::Hold,
            500..=599 => self.server_errors,
            _ => StatusClass::Retry,
        }
    }
}

impl StatusClass {
    /// The outcome that follows from the status of `answer` alone; `None` for
    /// [`StatusClass::Success`], which the provider has to look into.
    pub fn outcome(self, answer: &Answer) -> Option<Outcome> {
        let cause = answer.cause();
        Some(match self {
            Self::Success => return None,
            Self::Retry => Outcome::Retry {
                not_before: answer.retry_after,
                cause,
            },
            Self::Split => Outcome::Split { cause },
            Self::Poison => Outcome::Poisoned { cause },
            Self::Hold => Outcome::Hold { cause },
            Self::Refused => Outcome::Final {
                reason: RejectReason::Refused,
                cause,
            },
        })
    }
}

/// The cause of an answer, by its status.
pub(super) fn cause(status: u16) -> Cause {
    match status {
        300..=399 => Cause {
            kind: "redirect",
            ..Cause::status(status)
        }
        .with_detail("redirects are not followed; set the final address as the endpoint"),
        _ => Cause::status(status),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::StatusClass::{Hold, Poison, Refused, Retry, Split, Success};
    use super::*;

    #[test]
    fn each_status_has_the_class_of_the_documented_table() {
        let rules = StatusRules::new();
        for (class, statuses) in [
            (Success, &[200, 201, 202, 204, 207, 299][..]),
            (Poison, &[400, 422]),
            (Split, &[413]),
            (
                Retry,
                &[408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 599],
            ),
            (Hold, &[300, 301, 302, 303, 304, 307, 308]),
            (
                Hold,
                &[
                    401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 415, 451, 511,
                ],
            ),
            (Retry, &[0, 100, 101, 103, 600, 999]),
        ] {
            for &status in statuses {
                assert_eq!(rules.classify(status), class, "{status}");
            }
        }
    }

    #[test]
    fn the_default_rules_never_give_events_up_on_a_status() {
        let rules = StatusRules::default();
        assert!((0..=u16::MAX).all(|status| rules.classify(status) != Refused));
    }

    #[test]
    fn later_rules_win_over_earlier_ones_and_over_the_table() {
        const RULES: StatusRules = StatusRules::new()
            .on(&[(500, Refused), (404, Retry)])
            .server_errors(Hold);
        let mut rules = RULES;
        assert_eq!(rules.classify(500), Refused);
        assert_eq!(rules.classify(503), Hold);
        assert_eq!(rules.classify(404), Retry);

        rules.set(404, Poison);
        rules.set(404, Split);
        assert_eq!(rules.classify(404), Split);
        assert_eq!(rules.classify(405), Hold);
    }

    #[test]
    fn outcomes_carry_the_status_and_the_wait() {
        let answer = Answer::new(503).with_retry_after(Duration::from_secs(3));
        let cause = Cause::status(503);

        assert_eq!(Success.outcome(&answer), None);
        assert_eq!(
            Retry.outcome(&answer),
            Some(Outcome::Retry {
                not_before: Some(Duration::from_secs(3)),
                cause: cause.clone()
            })
        );
        assert_eq!(
            Hold.outcome(&answer),
            Some(Outcome::Hold {
                cause: cause.clone()
            })
        );
        assert_eq!(
            Refused.outcome(&answer),
            Some(Outcome::Final {
                reason: RejectReason::Refused,
                cause
            })
        );
        let Some(Outcome::Hold { cause }) = Hold.outcome(&Answer::new(308)) else {
            panic!()
        };
        assert_eq!((cause.kind, cause.status), ("redirect", Some(308)));
    }
}
