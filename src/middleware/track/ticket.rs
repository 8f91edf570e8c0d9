//! The one event of one request.

use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::outcome::Outcome;
use super::sampling::Rate;
use super::slot::CorrelationSlot;
use crate::correlation::{TraceIds, current_span};
use crate::{Correlation, Event, Handle, Text};

/// gRPC codes that say the server failed: unknown, deadline exceeded, unimplemented, internal,
/// unavailable, data loss.
const GRPC_FAULTS: [u16; 6] = [2, 4, 12, 13, 14, 15];

/// Where the correlation comes from.
pub(super) enum Source {
    /// It was there when the request came by.
    Known(Correlation),
    /// Somebody further in may make one.
    Slot(CorrelationSlot),
}

/// The event of one request, sent when this is dropped, and so exactly once.
///
/// It travels from the service to the future to the body. Wherever it is lost, the event still
/// goes out, with the outcome that such a loss means.
pub(super) struct Ticket {
    handle: Handle,
    method: Text,
    route: Text,
    started: Instant,
    source: Source,
    // the span around the tracker, which is gone when the body ends
    trace: Option<TraceIds>,
    rate: Rate,
    grpc: bool,
    status: Option<StatusCode>,
    grpc_status: Option<u16>,
    outcome: Outcome,
}

impl Ticket {
    pub(super) fn new(
        handle: Handle,
        method: Text,
        route: Text,
        rate: Rate,
        grpc: bool,
        source: Source,
    ) -> Self {
        Self {
            handle,
            method,
            route,
            started: Instant::now(),
            source,
            trace: current_span().map(|span| span.ids()),
            rate,
            grpc,
            status: None,
            grpc_status: None,
            outcome: Outcome::Cancelled,
        }
    }

    /// Notes the head of the response.
    pub(super) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.status = Some(status);
        self.trailers(headers);
    }

    /// Notes trailers, or headers, that may carry the code of a gRPC call.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        if self.grpc
            && let Some(value) = trailers.get("grpc-status")
        {
            self.grpc_status = value.to_str().ok().and_then(|code| code.parse().ok());
        }
    }

    /// Whether a response with this head ends with it: no body follows, or what follows is
    /// another protocol.
    pub(super) fn ends_with_head(&self, status: StatusCode) -> bool {
        status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || self.method == Method::HEAD.as_str()
            || (status.is_success() && self.method == Method::CONNECT.as_str())
    }

    /// What it means if the ticket is dropped from now on.
    pub(super) fn if_dropped(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Sends the event.
    pub(super) fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    fn is_kept(&self, status: u16, correlation: Option<&Correlation>) -> bool {
        status >= 500
            || self.outcome.is_failure()
            || self
                .grpc_status
                .is_some_and(|code| GRPC_FAULTS.contains(&code))
            || self.rate.keeps(correlation.map(Correlation::session_id))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let correlation = match &self.source {
            Source::Known(correlation) => Some(correlation),
            Source::Slot(slot) => slot.get(),
        };
        let status = self.status.map_or_else(
            || self.outcome.status_without_response(),
            |status| status.as_u16(),
        );
        if !self.is_kept(status, correlation) {
            return;
        }
        let method = std::mem::take(&mut self.method);
        let route = std::mem::take(&mut self.route);
        let mut event = Event::api_response(method, route, status, self.started.elapsed());
        if let Some(outcome) = self.outcome.label() {
            event = event.with("outcome", outcome);
        }
        if let Some(code) = self.grpc_status {
            event = event.with("grpc_status", code);
        }
        if let Some(correlation) = correlation {
            // said outright: what is dropped may be outside of the scope it was polled in
            event = event.with_correlation(correlation.clone());
        }
        if let Some(trace) = self.trace {
            event = event.with_trace(trace);
        }
        self.handle.track(event);
    }
}

/// Sends the event of a panic when dropped, which only unwinding does.
///
/// The future that panicked may live on for long, in the hands of whoever caught the panic.
pub(super) struct OnUnwind<'a>(pub(super) &'a mut Option<Ticket>);

impl OnUnwind<'_> {
    /// There was no panic.
    pub(super) fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for OnUnwind<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            ticket.finish(Outcome::Panicked);
        }
    }
}
