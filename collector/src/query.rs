//! `/_collector`: what is stored, what was counted, and the faults, for people and scripts.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::conn::Control;
use crate::respond::{self, Payload};
use crate::shared::Shared;

/// Start of all paths that are the collector's own.
pub(crate) const PREFIX: &str = "/_collector";

pub(crate) async fn handle(
    shared: &Arc<Shared>,
    _control: &Control,
    request: Request<Incoming>,
    _read_until: Instant,
) -> Response<Payload> {
    match request.uri().path() {
        "/_collector/stats" => respond::json(StatusCode::OK, &shared.read(|s| s.snapshot())),
        _ => respond::text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}
