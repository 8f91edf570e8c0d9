use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, Request, Response};
use tower_service::Service;

use super::CorrelatedBody;
use super::future::{CorrelateFuture, Echo};
use super::layer::Settings;
use crate::Correlation;
use crate::correlation::extract;
use crate::middleware::track::CorrelationSlot;

/// The service that [`CorrelationLayer`](super::CorrelationLayer) makes.
#[derive(Clone, Debug)]
pub struct Correlate<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Correlate<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    /// The correlation of a request: that of a layer further out, else a new one.
    fn correlation<B>(&self, request: &mut Request<B>) -> Correlation {
        if let Some(known) = request.extensions().get::<Correlation>() {
            return known.clone();
        }
        let extracted = extract(request.headers(), &self.settings.extract);
        if let Some(stats) = &self.settings.stats {
            stats.record(&extracted);
        }
        let correlation = extracted.correlation;
        if let Some(slot) = request.extensions().get::<CorrelationSlot>() {
            slot.fill(&correlation);
        }
        request.extensions_mut().insert(correlation.clone());
        correlation
    }

    fn echo(&self, correlation: &Correlation, headers: &HeaderMap) -> Option<Echo> {
        if !self.settings.echo {
            return None;
        }
        let name = self.settings.extract.request_header_name();
        let id = correlation.request_id()?.text();
        // the very value that came is shared instead of copied
        let value = match headers.get(name) {
            Some(value) if value == id.as_str() => value.clone(),
            _ => HeaderValue::from_str(&id).ok()?,
        };
        Some(Echo {
            name: name.clone(),
            value,
        })
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Correlate<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<CorrelatedBody<ResBody>>;
    type Error = S::Error;
    type Future = CorrelateFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let correlation = self.correlation(&mut request);
        let echo = self.echo(&correlation, request.headers());
        CorrelateFuture::new(correlation.scope_with(|| self.inner.call(request)), echo)
    }
}
