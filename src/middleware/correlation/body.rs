use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::correlation::Scoped;

pin_project! {
    /// A response body that is polled, and dropped, inside the correlation of its request.
    ///
    /// A streaming body runs when its handler has long returned. Frames, errors, the size and the
    /// end are those of the body inside.
    pub struct CorrelatedBody<B> {
        #[pin]
        inner: Scoped<B>,
    }
}

impl<B> CorrelatedBody<B> {
    pub(super) fn new(inner: Scoped<B>) -> Self {
        Self { inner }
    }
}

impl<B: Default> Default for CorrelatedBody<B> {
    fn default() -> Self {
        Self {
            inner: Scoped::unscoped(B::default()),
        }
    }
}

impl<B: Body> Body for CorrelatedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        // a body is never handed on, so there always is one
        self.project()
            .inner
            .with(|body| body.poll_frame(cx))
            .unwrap_or(Poll::Ready(None))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.get_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .get_ref()
            .map(Body::size_hint)
            .unwrap_or_default()
    }
}
