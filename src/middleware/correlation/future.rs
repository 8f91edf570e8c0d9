use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderName, HeaderValue, Response};
use pin_project_lite::pin_project;

use super::CorrelatedBody;
use crate::correlation::Scoped;

pin_project! {
    /// The response future of [`Correlate`](super::Correlate): polled, and dropped, inside the
    /// correlation of its request.
    pub struct CorrelateFuture<F> {
        #[pin]
        inner: Scoped<F>,
        echo: Option<Echo>,
    }
}

/// The header that tells the caller its request id.
pub(super) struct Echo {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

impl<F> CorrelateFuture<F> {
    pub(super) fn new(inner: Scoped<F>, echo: Option<Echo>) -> Self {
        Self { inner, echo }
    }
}

impl<F, B, E> Future for CorrelateFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CorrelatedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut response = ready!(this.inner.as_mut().poll(cx))?;
        if let Some(Echo { name, value }) = this.echo.take() {
            response.headers_mut().entry(name).or_insert(value);
        }
        let (head, body) = response.into_parts();
        let body = CorrelatedBody::new(this.inner.hand_over(body));
        Poll::Ready(Ok(Response::from_parts(head, body)))
    }
}
