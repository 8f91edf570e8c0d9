//! What can go wrong on purpose, as data: the same types serve code, JSON and the command line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How one request to `/v1/events` is mistreated.
///
/// In JSON a fault is an object with a `kind`:
///
/// | JSON | Effect |
/// |---|---|
/// | `{"kind":"pass"}` | none: a gap in a queue of faults |
/// | `{"kind":"answer","status":503,"retry_after":2}` | this answer instead of the service's; see [`Answer`] |
/// | `{"kind":"reset","at":"after_body"}` | the connection is reset; see [`ResetAt`] |
/// | `{"kind":"silence","store":false}` | no answer until the client leaves or [`Faults::release`](crate::Faults::release) |
/// | `{"kind":"huge","status":500,"bytes":1000000}` | a body of that many bytes |
/// | `{"kind":"trickle","step_ms":20,"step_bytes":1}` | the true answer, a few bytes at a time |
/// | `{"kind":"cut","after_bytes":10,"reset":true}` | the true answer, ended in its body |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The request is treated properly.
    Pass,
    /// A fixed answer.
    Answer(Answer),
    /// The connection is reset, by `RST` where the platform allows it.
    Reset {
        /// How far the request gets before that.
        at: ResetAt,
    },
    /// No answer: the request is held until the client leaves or
    /// [`Faults::release`](crate::Faults::release) is called; then the true answer is given.
    Silence {
        /// Whether the events are stored before the silence (default) or after it.
        #[serde(default)]
        store: bool,
    },
    /// An answer with an oversized body, streamed without being held in memory.
    Huge {
        /// Its status.
        status: u16,
        /// Bytes in the body.
        bytes: u64,
    },
    /// The true answer, sent slowly.
    Trickle {
        /// The pause before each step, in milliseconds in JSON.
        #[serde(rename = "step_ms", with = "millis")]
        step: Duration,
        /// Bytes in each step, at least 1.
        step_bytes: usize,
    },
    /// The true answer, whose connection ends before its body does. The head is whole and promises
    /// all of it. A body that is no longer than this is not cut.
    Cut {
        /// Bytes of the body that are sent.
        after_bytes: usize,
        /// Whether the connection is reset, where the platform allows it, or just closed (default).
        #[serde(default)]
        reset: bool,
    },
}

impl Fault {
    /// An answer with this status, no headers and a body naming the status.
    pub fn status(status: u16) -> Self {
        Self::Answer(Answer::new(status))
    }

    /// A proxy's error page with this status.
    pub fn html(status: u16) -> Self {
        Answer::new(status)
            .body("<!DOCTYPE html><html><head><title>Error</title></head><body>Error</body></html>")
            .content_type("text/html; charset=utf-8")
            .into()
    }

    /// A 200 whose body is not JSON; nothing is stored.
    pub fn rubbish() -> Self {
        Answer::new(200)
            .body("{\"accepted\":")
            .content_type("application/json")
            .into()
    }

    /// A redirect to `location`; nothing is stored.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Answer::new(status).location(location).into()
    }

    /// The events are stored, then a 500 is answered: what the service does when one of several
    /// publishers fails.
    pub fn store_then_500() -> Self {
        Answer::new(500)
            .body("failed to process events\n")
            .after_storing()
            .into()
    }

    /// The connection is reset once the request's head was read, before its body is.
    pub const fn reset_before_body() -> Self {
        Self::Reset {
            at: ResetAt::BeforeBody,
        }
    }

    /// The connection is reset once the whole request was read; nothing is stored.
    pub const fn reset_after_body() -> Self {
        Self::Reset {
            at: ResetAt::AfterBody,
        }
    }

    /// The events are stored, but the connection is reset instead of an answer.
    pub const fn store_then_reset() -> Self {
        Self::Reset {
            at: ResetAt::AfterStore,
        }
    }

    /// The request is read and never answered; nothing is stored.
    pub const fn never_answer() -> Self {
        Self::Silence { store: false }
    }

    /// The events are stored, but no answer is given.
    pub const fn store_then_never_answer() -> Self {
        Self::Silence { store: true }
    }

    /// The name in a [`RequestRecord`](crate::RequestRecord); `None` for [`Fault::Pass`].
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Pass => None,
            Self::Answer(_) => Some("answer"),
            Self::Reset { .. } => Some("reset"),
            Self::Silence { .. } => Some("silence"),
            Self::Huge { .. } => Some("huge"),
            Self::Trickle { .. } => Some("trickle"),
            Self::Cut { .. } => Some("cut"),
        }
    }
}

impl From<Answer> for Fault {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// How far a request gets before its connection is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResetAt {
    /// The head was read, the body is not.
    BeforeBody,
    /// The body was read, nothing is stored.
    AfterBody,
    /// The events were stored.
    AfterStore,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Answer {
    /// The status, 200 to 999; anything else is answered as 500.
    pub status: u16,
    /// The `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<RetryAfter>,
    /// The body; by default the status' own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The content type, `text/plain; charset=utf-8` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The `Location` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether the events are stored first. A batch that the service would refuse is refused.
    #[serde(default)]
    pub store: bool,
}

impl Answer {
    /// An answer with this status and nothing else.
    pub const fn new(status: u16) -> Self {
        Self {
            status,
            retry_after: None,
            body: None,
            content_type: None,
            location: None,
            store: false,
        }
    }

    /// Adds a `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, retry_after: RetryAfter) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the content type.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets the `Location` header.
    #[must_use]
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// Stores the events before answering.
    #[must_use]
    pub const fn after_storing(mut self) -> Self {
        self.store = true;
        self
    }
}

/// A `Retry-After` header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum RetryAfter {
    /// Delay in whole seconds; a number in JSON.
    Seconds(u64),
    /// An HTTP date this far from the moment of the answer; `{"date_in":30}` (seconds) in JSON.
    Date {
        /// Seconds from now; a negative one gives a date in the past.
        date_in: i64,
    },
    /// These very words, valid or not; a string in JSON.
    Verbatim(String),
}

pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}
