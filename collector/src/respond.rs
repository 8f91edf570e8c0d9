//! Answers: plain ones as the service words them, and bodies made to hurt.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::{Sleep, sleep_until};

use crate::clock::after;
use crate::conn::Control;
use crate::faults::{Answer, RetryAfter};
use crate::route::Cut;

/// Filler of a huge body, sent again and again.
static FILLER: &[u8] = &[b'x'; 64 * 1024];

/// A text answer, in the form of Go's `http.Error`: with a line end and without sniffing.
pub(crate) fn text(status: StatusCode, words: &str) -> Response<Payload> {
    let mut response = Response::new(Payload::whole(format!("{words}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A JSON answer, with the line end that Go's encoder writes.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Payload> {
    let Ok(mut body) = serde_json::to_vec(value) else {
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "answer cannot be written as json",
        );
    };
    body.push(b'\n');
    typed(status, "application/json", body)
}

/// An answer with a body and its type.
pub(crate) fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Payload> {
    let mut response = Response::new(Payload::whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Payload> {
    let mut response = Response::new(Payload::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// The answer a fault asks for.
pub(crate) fn planned(answer: &Answer) -> Response<Payload> {
    let status = status(answer.status);
    let body = answer
        .body
        .clone()
        .unwrap_or_else(|| format!("{}\n", status.canonical_reason().unwrap_or("fault")));
    let mut response = typed(status, "text/plain; charset=utf-8", body);
    let headers = response.headers_mut();
    // What is no header value is left out: a fault cannot break the collector itself.
    let mut set = |name, value: Option<&str>| {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, answer.content_type.as_deref());
    set(LOCATION, answer.location.as_deref());
    set(
        RETRY_AFTER,
        answer.retry_after.as_ref().map(retry_after).as_deref(),
    );
    response
}

/// A body of `bytes` filler bytes.
pub(crate) fn huge(code: u16, bytes: u64) -> Response<Payload> {
    let mut response = Response::new(Payload {
        kind: Kind::Filler(bytes),
        control: None,
    });
    *response.status_mut() = status(code);
    response
}

/// The same answer, sent `step_bytes` at a time with a pause before each step.
pub(crate) fn trickle(
    response: Response<Payload>,
    step: Duration,
    step_bytes: usize,
) -> Response<Payload> {
    response.map(|mut payload| {
        if let Kind::Whole(body) = &mut payload.kind {
            let (rest, pause) = (std::mem::take(body), Box::pin(sleep_until(after(step))));
            payload.kind = Kind::Trickle {
                rest,
                step,
                step_bytes: step_bytes.max(1),
                pause,
            };
        }
        payload
    })
}

/// The same answer, whose connection ends once `after_bytes` of its body are sent.
pub(crate) fn cut(
    response: Response<Payload>,
    after_bytes: usize,
    reset: bool,
) -> Response<Payload> {
    response.map(|mut payload| {
        if let Kind::Whole(body) = &payload.kind
            && after_bytes < body.len()
        {
            payload.kind = Kind::Cut {
                start: body.slice(..after_bytes),
                length: body.len() as u64,
                sent: false,
                reset,
            };
        }
        payload
    })
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn retry_after(value: &RetryAfter) -> String {
    match value {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date { date_in } => {
            let now = OffsetDateTime::from(SystemTime::now());
            http_date(
                now.checked_add(time::Duration::seconds(*date_in))
                    .unwrap_or(now),
            )
        }
        RetryAfter::Verbatim(words) => words.clone(),
    }
}

/// The preferred date format of RFC 9110 section 5.6.7.
fn http_date(at: OffsetDateTime) -> String {
    let (day, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        &day[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The body of an answer.
pub(crate) struct Payload {
    kind: Kind,
    /// Told when the body has been handed over.
    control: Option<Arc<Control>>,
}

enum Kind {
    Whole(Bytes),
    Filler(u64),
    Trickle {
        rest: Bytes,
        step: Duration,
        step_bytes: usize,
        pause: Pin<Box<Sleep>>,
    },
    Cut {
        start: Bytes,
        /// What the head promises.
        length: u64,
        /// Whether there was time to send what was handed over.
        sent: bool,
        reset: bool,
    },
}

impl Payload {
    fn whole(body: impl Into<Bytes>) -> Self {
        Self {
            kind: Kind::Whole(body.into()),
            control: None,
        }
    }

    /// Ties the end of this body to the clocks of its connection.
    pub(crate) fn of_connection(mut self, control: Arc<Control>) -> Self {
        self.control = Some(control);
        self
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let data = match &mut self.kind {
            Kind::Cut { start, .. } if !start.is_empty() => std::mem::take(start),
            Kind::Cut {
                sent: sent @ false, ..
            } => {
                // an error now would take along what is buffered; the next poll comes after a flush
                *sent = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Kind::Cut { reset, .. } => {
                if let (true, Some(control)) = (*reset, &self.control) {
                    control.reset();
                }
                return Poll::Ready(Some(Err(Cut)));
            }
            Kind::Whole(body) => std::mem::take(body),
            Kind::Filler(left) => {
                let size = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(FILLER.len());
                *left -= size as u64;
                Bytes::from_static(&FILLER[..size])
            }
            Kind::Trickle {
                rest,
                step,
                step_bytes,
                pause,
            } => {
                ready!(pause.as_mut().poll(cx));
                *pause = Box::pin(sleep_until(after(*step)));
                rest.split_to((*step_bytes).min(rest.len()))
            }
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.kind {
            Kind::Whole(body) => body.len() as u64,
            Kind::Filler(left) => *left,
            Kind::Trickle { rest, .. } => rest.len() as u64,
            Kind::Cut { length, .. } => *length,
        })
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            control.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        let at = OffsetDateTime::from_unix_timestamp(784_111_777);
        assert_eq!(
            at.map(http_date).as_deref(),
            Ok("Sun, 06 Nov 1994 08:49:37 GMT")
        );
    }

    #[test]
    fn a_status_that_cannot_be_sent_becomes_500() {
        for code in [0, 99, 100, 101, 1000] {
            assert_eq!(status(code), StatusCode::INTERNAL_SERVER_ERROR, "{code}");
        }
        assert_eq!(status(599).as_u16(), 599);
    }
}
