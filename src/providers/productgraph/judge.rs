//! An answer of the service to what became of each event.

use std::fmt;

use productgraph_actors::{Cause, Outcome, RejectReason, Verdict};
use serde::Deserialize;

use crate::providers::http::{Answer, StatusClass, StatusRules};

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) outcome: Outcome,
    /// What the receipt tells about the tenant key of the configuration.
    pub(crate) tenant_key: TenantKeyState,
}

/// Whether the service takes the tenant key that events carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TenantKeyState {
    /// It took at least one event.
    Accepted,
    /// It rejected every event for the lack of this key.
    Missing(TenantKey),
    /// The answer does not tell.
    Unknown,
}

/// A tenant key of the wire, old or new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TenantKey {
    ProductId,
    ProjectId,
}

impl fmt::Display for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProductId => "product_id",
            Self::ProjectId => "project_id",
        })
    }
}

/// The body of a 202. Unknown keys are ignored, missing counts are not.
#[derive(Debug, Deserialize)]
struct Receipt {
    accepted: u64,
    rejected: u64,
    // left out, or null, when nothing was rejected
    #[serde(default)]
    errors: Option<Vec<EventError>>,
}

#[derive(Debug, Deserialize)]
struct EventError {
    #[serde(default)]
    index: Option<i64>,
    #[serde(default)]
    error: Option<String>,
}

/// Says what became of the `count` events of a request.
///
/// The table is at [`ProductGraph`](super::ProductGraph). Two rules stand behind it: no event is
/// counted as delivered unless the receipt as a whole says so, and every outcome either waits for
/// the retry budget or leaves a smaller request behind.
pub(crate) fn judge(answer: &Answer, count: usize, rules: &StatusRules) -> Judgement {
    let class = rules.classify(answer.status);
    if class == StatusClass::Poison && too_many_events(answer) {
        let cause = answer.cause().with_detail("batch too large");
        return unknown(Outcome::Split { cause });
    }
    if let Some(outcome) = class.outcome(answer) {
        return unknown(outcome);
    }
    match receipt(answer) {
        Ok(receipt) => settle(answer, &receipt, count),
        Err(detail) => unknown(again(answer, "bad_body", detail)),
    }
}

fn unknown(outcome: Outcome) -> Judgement {
    Judgement {
        outcome,
        tenant_key: TenantKeyState::Unknown,
    }
}

fn again(answer: &Answer, kind: &'static str, detail: &str) -> Outcome {
    let cause = Cause {
        kind,
        ..Cause::status(answer.status)
    }
    .with_detail(detail);
    Outcome::Retry {
        not_before: answer.retry_after,
        cause,
    }
}

/// The service says this, in plain text, when there are more than a thousand events.
fn too_many_events(answer: &Answer) -> bool {
    answer.body.trim_ascii().starts_with(b"batch too large")
}

fn receipt(answer: &Answer) -> Result<Receipt, &'static str> {
    if answer.incomplete.is_some() {
        return Err("the answer was cut short");
    }
    // serde would also read the fields from an array
    if !answer.body.trim_ascii_start().starts_with(b"{") {
        return Err("the answer is no receipt; is something else listening at the endpoint?");
    }
    serde_json::from_slice(&answer.body).map_err(|_| "the answer is no receipt")
}

fn settle(answer: &Answer, receipt: &Receipt, count: usize) -> Judgement {
    let errors = receipt.errors.as_deref().unwrap_or_default();
    let tenant_key = tenant_key(receipt, errors);
    let outcome = match Tally::of(receipt, errors, count) {
        Tally::Delivered => Outcome::Delivered,
        Tally::Rejected => Outcome::PerEvent(vec![Verdict::Rejected(RejectReason::Invalid); count]),
        Tally::Named { rejected, others } => Outcome::PerEvent(
            rejected
                .into_iter()
                .map(|named| {
                    if named {
                        Verdict::Rejected(RejectReason::Invalid)
                    } else {
                        others
                    }
                })
                .collect(),
        ),
        Tally::Unnamed => {
            let cause = Cause {
                kind: "unnamed_rejection",
                ..Cause::status(answer.status)
            }
            .with_detail("the receipt counts rejected events without saying which");
            Outcome::Poisoned { cause }
        }
        Tally::Contradiction => again(
            answer,
            "miscounted",
            "the receipt does not match the request",
        ),
    };
    Judgement {
        outcome,
        tenant_key,
    }
}

/// A receipt held against the request.
enum Tally {
    Delivered,
    Rejected,
    /// Which events are named as rejected, and what that means for the others.
    Named {
        rejected: Vec<bool>,
        others: Verdict,
    },
    Unnamed,
    Contradiction,
}

impl Tally {
    fn of(receipt: &Receipt, errors: &[EventError], count: usize) -> Self {
        let total = receipt.accepted.checked_add(receipt.rejected);
        if total.and_then(|total| usize::try_from(total).ok()) != Some(count) {
            return Self::Contradiction;
        }
        match (receipt.accepted, receipt.rejected) {
            (_, 0) if errors.is_empty() => return Self::Delivered,
            (_, 0) => return Self::Contradiction,
            (0, _) => return Self::Rejected,
            _ => {}
        }

        let mut rejected = vec![false; count];
        for error in errors {
            let index = error.index.and_then(|index| usize::try_from(index).ok());
            match index.and_then(|index| rejected.get_mut(index)) {
                Some(named) => *named = true,
                // an index that cannot be: perhaps they count from one, so none can be relied on
                None => return Self::Unnamed,
            }
        }
        let named = rejected.iter().filter(|named| **named).count() as u64;
        if named == 0 {
            Self::Unnamed
        } else if named < receipt.rejected {
            Self::Named {
                rejected,
                others: Verdict::Retry,
            }
        } else if named == receipt.rejected {
            Self::Named {
                rejected,
                others: Verdict::Delivered,
            }
        } else {
            Self::Contradiction
        }
    }
}

/// Every event rejected because a tenant key is missing: that is the configuration, not the events.
fn tenant_key(receipt: &Receipt, errors: &[EventError]) -> TenantKeyState {
    if receipt.accepted > 0 {
        return TenantKeyState::Accepted;
    }
    let all_say = |words: &str| {
        !errors.is_empty() && errors.iter().all(|e| e.error.as_deref() == Some(words))
    };
    if all_say("product_id: required") {
        TenantKeyState::Missing(TenantKey::ProductId)
    } else if all_say("project_id: required") {
        TenantKeyState::Missing(TenantKey::ProjectId)
    } else {
        TenantKeyState::Unknown
    }
}

#[cfg(test)]
mod tests;
