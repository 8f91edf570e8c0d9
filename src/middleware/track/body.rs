use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http::{HeaderMap, Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::outcome::Outcome;
use super::ticket::{OnUnwind, Ticket};

pin_project! {
    /// A response body whose end sends the event of its request.
    ///
    /// Frames, errors, the size and the end are those of the body inside.
    #[derive(Default)]
    pub struct TrackedBody<B> {
        #[pin]
        inner: B,
        ticket: Option<Ticket>,
        // bytes still announced to the receiver; none where the length is not known
        remaining: Option<u64>,
    }
}

impl<B: Body> TrackedBody<B> {
    /// Wraps the body of `response`; the event is sent here where nothing is to follow.
    pub(super) fn wrap(response: Response<B>, ticket: Option<Ticket>) -> Response<Self> {
        let Some(mut ticket) = ticket else {
            return response.map(|inner| Self {
                inner,
                ticket: None,
                remaining: None,
            });
        };
        let status = response.status();
        ticket.head(status, response.headers());
        if ticket.ends_with_head(status) || response.body().is_end_stream() {
            ticket.finish(Outcome::Completed);
            return response.map(|inner| Self {
                inner,
                ticket: None,
                remaining: None,
            });
        }
        let remaining = announced(response.body(), response.headers());
        let mut ticket = Some(ticket);
        complete_if_nothing_remains(&mut ticket, remaining);
        response.map(|inner| Self {
            inner,
            ticket,
            remaining,
        })
    }
}

/// The length the receiver is told: a server stops asking for frames once it has sent that much.
fn announced<B: Body>(body: &B, headers: &HeaderMap) -> Option<u64> {
    body.size_hint().exact().or_else(|| {
        headers
            .get(header::CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    })
}

/// A body that has given all it announced may be dropped without having been asked for its end.
fn complete_if_nothing_remains(ticket: &mut Option<Ticket>, remaining: Option<u64>) {
    if remaining == Some(0)
        && let Some(ticket) = ticket
    {
        ticket.if_dropped(Outcome::Completed);
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let unwinding = OnUnwind(this.ticket);
        let polled = this.inner.as_mut().poll_frame(cx);
        unwinding.disarm();
        let ended = match &polled {
            _ if this.ticket.is_none() => None,
            Poll::Pending => None,
            Poll::Ready(None) => Some(Outcome::Completed),
            Poll::Ready(Some(Err(_))) => Some(Outcome::BodyError),
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(remaining)) = (frame.data_ref(), &mut *this.remaining) {
                    *remaining = remaining.saturating_sub(data.remaining() as u64);
                }
                complete_if_nothing_remains(this.ticket, *this.remaining);
                if let (Some(trailers), Some(ticket)) = (frame.trailers_ref(), &mut *this.ticket) {
                    ticket.trailers(trailers);
                }
                (frame.is_trailers() || this.inner.is_end_stream()).then_some(Outcome::Completed)
            }
        };
        if let Some(outcome) = ended
            && let Some(ticket) = this.ticket.take()
        {
            ticket.finish(outcome);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
