//! What came back.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use productgraph_actors::Cause;

use super::{TransportError, classify};

/// An answer to a request, as far as it was read.
///
/// A provider's judgement is a pure function of this, so its tests make answers by hand:
///
/// ```
/// use productgraph::providers::http::Answer;
///
/// let answer = Answer::new(202).with_body(r#"{"accepted":1,"rejected":0}"#);
/// assert_eq!(answer.status, 202);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What `Retry-After` asked for, if it did: see [`retry_after`](super::retry_after).
    pub retry_after: Option<Duration>,
    /// `Content-Type`.
    pub content_type: Option<HeaderValue>,
    /// The body, up to the bound of the transport.
    pub body: Bytes,
    /// Why [`body`](Self::body) is not the whole of it; `None` when it is.
    pub incomplete: Option<TransportError>,
}

impl Answer {
    /// A whole answer with this status and nothing else.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            retry_after: None,
            content_type: None,
            body: Bytes::new(),
            incomplete: None,
        }
    }

    /// The same answer with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same answer, asking to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The cause that goes with an outcome decided by the status alone: `status`, or `redirect`
    /// for a 3xx.
    pub fn cause(&self) -> Cause {
        classify::cause(self.status)
    }
}
