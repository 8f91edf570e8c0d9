//! Which faults are in force, and for which requests, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::faults::{Answer, Fault, millis};

/// Which requests a standing fault strikes; each rule counts the requests it is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum When {
    /// All of them.
    #[default]
    Always,
    /// Every `n`th: with 3 the third, sixth and so on. 0 means never.
    Every(u64),
    /// The first `n`.
    First(u64),
    /// Each with probability `p`, by a generator seeded with `seed`: the same seed gives the same
    /// sequence.
    Probability {
        /// From 0 (never) to 1 (always).
        p: f64,
        /// Start of the sequence.
        seed: u64,
    },
}

/// A standing fault and the requests it strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// To which requests.
    #[serde(default)]
    pub when: When,
}

/// An index error planted for events that contain a marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// Looked for in the event's JSON text.
    pub marker: String,
    /// The error to report, `session.id: required` by default.
    #[serde(default = "default_error")]
    pub error: String,
}

fn default_error() -> String {
    "session.id: required".to_owned()
}

/// All faults in force; `PUT /_collector/faults` takes one as JSON, every key optional.
///
/// For each `POST` to `/v1/events`, the front of [`next`](Self::next) is taken; when that queue is
/// empty, the first of [`standing`](Self::standing) whose turn it is; else none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FaultPlan {
    /// Faults for the next requests, one each, in this order.
    pub next: Vec<Fault>,
    /// Faults that stay in force.
    pub standing: Vec<Rule>,
    /// Every request waits this long after its body was read; `latency_ms` in JSON.
    #[serde(rename = "latency_ms", with = "millis")]
    pub latency: Duration,
    /// Bodies above this many bytes are answered 413, as by a proxy nobody knows of.
    pub secret_body_limit: Option<usize>,
    /// A batch with an event whose JSON text contains one of these is refused as a whole: 400.
    pub poison: Vec<String>,
    /// Events to be rejected by index.
    pub reject: Vec<Rejection>,
}

impl FaultPlan {
    /// No faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a fault for one request.
    #[must_use]
    pub fn next(mut self, fault: impl Into<Fault>) -> Self {
        self.next.push(fault.into());
        self
    }

    /// Adds a standing fault.
    #[must_use]
    pub fn standing(mut self, fault: impl Into<Fault>, when: When) -> Self {
        self.standing.push(Rule {
            fault: fault.into(),
            when,
        });
        self
    }

    /// Sets the fixed latency.
    #[must_use]
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Sets the secret body limit, in bytes.
    #[must_use]
    pub const fn secret_body_limit(mut self, bytes: usize) -> Self {
        self.secret_body_limit = Some(bytes);
        self
    }

    /// Adds a poison marker.
    #[must_use]
    pub fn poison(mut self, marker: impl Into<String>) -> Self {
        self.poison.push(marker.into());
        self
    }

    /// Adds a marker whose events are rejected by index with `session.id: required`.
    #[must_use]
    pub fn reject(mut self, marker: impl Into<String>) -> Self {
        self.reject.push(Rejection {
            marker: marker.into(),
            error: default_error(),
        });
        self
    }

    /// What of this plan could not be followed.
    pub(crate) fn check(&self) -> Result<(), String> {
        let faults = self
            .next
            .iter()
            .chain(self.standing.iter().map(|rule| &rule.fault));
        for fault in faults {
            let (Fault::Answer(Answer { status, .. }) | Fault::Huge { status, .. }) = fault else {
                continue;
            };
            if !(200..=999).contains(status) {
                return Err(format!("status {status} is not in 200..=999"));
            }
        }
        for rule in &self.standing {
            match rule.when {
                When::Every(0) => return Err("every 0 would never strike".to_owned()),
                When::Probability { p, .. } if !(0.0..=1.0).contains(&p) => {
                    return Err(format!("probability {p} is not in 0..=1"));
                }
                _ => {}
            }
        }
        if self
            .poison
            .iter()
            .chain(self.reject.iter().map(|r| &r.marker))
            .any(String::is_empty)
        {
            return Err("a marker must not be empty".to_owned());
        }
        Ok(())
    }
}
