use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::TrackedBody;
use super::outcome::Outcome;
use super::ticket::{OnUnwind, Ticket};

pin_project! {
    /// The response future of [`TrackRequests`](super::TrackRequests).
    pub struct TrackFuture<F> {
        #[pin]
        inner: F,
        ticket: Option<Ticket>,
    }
}

impl<F> TrackFuture<F> {
    pub(super) fn new(inner: F, ticket: Option<Ticket>) -> Self {
        Self { inner, ticket }
    }
}

impl<F, B, E> Future for TrackFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<TrackedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let unwinding = OnUnwind(this.ticket);
        let polled = this.inner.poll(cx);
        unwinding.disarm();
        let result = ready!(polled);
        let ticket = this.ticket.take();
        Poll::Ready(match result {
            Ok(response) => Ok(TrackedBody::wrap(response, ticket)),
            Err(error) => {
                if let Some(ticket) = ticket {
                    ticket.finish(Outcome::Error);
                }
                Err(error)
            }
        })
    }
}
