//! Which path leads where, and what browsers are told.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, HeaderValue, ORIGIN,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::conn::Control;
use crate::respond::{self, Payload};
use crate::shared::Shared;
use crate::{ingest, query};

/// The connection is to be cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection reset on purpose")]
pub(crate) struct Cut;

/// Answers one request.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    control: Arc<Control>,
    request: Request<Incoming>,
) -> Result<Response<Payload>, Cut> {
    let read_until = control.start_answering();
    let origin = request.headers().get(ORIGIN).cloned();
    let private = request.uri().path().starts_with(query::PREFIX);
    let mut response = match (request.method(), request.uri().path()) {
        (&Method::OPTIONS, _) => respond::empty(StatusCode::NO_CONTENT),
        (_, path) if path.starts_with(query::PREFIX) => {
            query::handle(&shared, &control, request, read_until).await
        }
        (_, "/v1/events") => match ingest::handle(&shared, request, read_until).await {
            Ok(response) => response,
            Err(cut) => {
                control.reset();
                return Err(cut);
            }
        },
        (&Method::GET | &Method::HEAD, "/health") => status_page("ok"),
        (&Method::GET | &Method::HEAD, "/ready") => status_page("ready"),
        (_, "/health" | "/ready") => not_allowed("GET, HEAD"),
        _ => respond::text(StatusCode::NOT_FOUND, "404 page not found"),
    };
    // The collector's own pages show stored events and take orders: not for other sites' scripts.
    if !private {
        allow_origin(response.headers_mut(), origin);
    }
    control.start_writing();
    Ok(response.map(|payload| payload.of_connection(control)))
}

/// The static pages; the type is what Go's content sniffing calls them.
fn status_page(word: &str) -> Response<Payload> {
    let body = format!("{{\"status\":\"{word}\"}}");
    respond::typed(StatusCode::OK, "text/plain; charset=utf-8", body)
}

/// The answer to a method that a path does not know.
pub(crate) fn not_allowed(allowed: &'static str) -> Response<Payload> {
    let mut response = respond::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn allow_origin(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    let origin = origin
        .filter(|o| !o.is_empty())
        .unwrap_or(HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Content-Type, Authorization, X-PG-API-Key"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
}
