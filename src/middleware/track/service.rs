use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::TrackedBody;
use super::future::TrackFuture;
use super::layer::Settings;
use super::route::{ask, is_grpc, method_text, route_text, template};
use super::slot::CorrelationSlot;
use super::ticket::{OnUnwind, Source, Ticket};
use crate::{Correlation, Handle};

/// The service that [`TrackRequestsLayer`](super::TrackRequestsLayer) makes.
#[derive(Clone)]
pub struct TrackRequests<S> {
    inner: S,
    handle: Handle,
    settings: Arc<Settings>,
}

impl<S> TrackRequests<S> {
    pub(super) fn new(inner: S, handle: Handle, settings: Arc<Settings>) -> Self {
        Self {
            inner,
            handle,
            settings,
        }
    }

    /// The ticket of a request, unless it is not to be tracked.
    fn ticket<B>(&self, request: Request<B>) -> (Option<Ticket>, Request<B>) {
        if !self.handle.is_enabled()
            || self.settings.excludes(request.uri().path())
            || template(&request).is_some_and(|template| self.settings.excludes(template))
        {
            return (None, request);
        }
        let (named, mut request) = match &self.settings.route_with {
            Some(name) => ask(name, request),
            None => (None, request),
        };
        let grpc = is_grpc(request.method(), request.headers());
        let route = named.unwrap_or_else(|| route_text(&request, grpc));
        let rate = self.settings.rate(&route);
        let method = method_text(request.method());
        let source = source(&mut request);
        let ticket = Ticket::new(self.handle.clone(), method, route, rate, grpc, source);
        (Some(ticket), request)
    }
}

/// Where the event will find its correlation.
fn source<B>(request: &mut Request<B>) -> Source {
    let known = request.extensions().get::<Correlation>().cloned();
    if let Some(correlation) = known.or_else(Correlation::current) {
        return Source::Known(correlation);
    }
    let slot = CorrelationSlot::default();
    request.extensions_mut().insert(slot.clone());
    Source::Slot(slot)
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TrackRequests<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
{
    type Response = Response<TrackedBody<ResBody>>;
    type Error = S::Error;
    type Future = TrackFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut ticket, request) = self.ticket(request);
        let unwinding = OnUnwind(&mut ticket);
        let inner = self.inner.call(request);
        unwinding.disarm();
        TrackFuture::new(inner, ticket)
    }
}

impl<S: fmt::Debug> fmt::Debug for TrackRequests<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackRequests")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
