//! `POST /v1/events`: the service's own steps, with the places where faults strike.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::time::Instant;

use crate::body::{self, Read};
use crate::clock::after;
use crate::decode::IndexError;
use crate::decode::{self, Batch, Refusal};
use crate::faults::{Answer, Fault, ResetAt};
use crate::ordeal::Ordeal;
use crate::record::{Ending, RequestRecord};
use crate::respond::{self, Payload};
use crate::route::{Cut, not_allowed};
use crate::shared::{Pending, Shared, Waiting};

pub(crate) async fn handle(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    read_until: Instant,
) -> Result<Response<Payload>, Cut> {
    let (head, body) = request.into_parts();
    let mut pending = Pending::arrived(shared, RequestRecord::of(&head.method, &head.headers));
    let result = if head.method == Method::POST {
        post(shared, &head.headers, body, read_until, &mut pending.record).await
    } else {
        Ok(not_allowed("POST"))
    };
    match &result {
        Ok(response) => {
            pending.record.ending = Ending::Answered;
            pending.record.status = Some(response.status().as_u16());
        }
        Err(Cut) => pending.record.ending = Ending::Reset,
    }
    result
}

async fn post(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    body: Incoming,
    read_until: Instant,
    record: &mut RequestRecord,
) -> Result<Response<Payload>, Cut> {
    let ordeal = shared.faults.draw();
    record.fault = ordeal.fault.name();
    if let Fault::Reset {
        at: ResetAt::BeforeBody,
    } = ordeal.fault
    {
        return Err(Cut);
    }

    let body = match body::read(body, shared.settings.max_body_bytes, read_until).await {
        Read::Whole(body) => body,
        Read::TooLong(length) => {
            record.body_len = length;
            return Ok(too_large());
        }
        // The service decodes what it got, and an incomplete document cannot be decoded.
        Read::Broken(body) => {
            record.body_len = body.len();
            return Ok(respond::text(
                StatusCode::BAD_REQUEST,
                "invalid request body",
            ));
        }
    };
    record.body_len = body.len();
    if shared.settings.keep_bodies > 0 {
        record.body = Some(body.clone());
    }

    if !ordeal.latency.is_zero() {
        tokio::time::sleep_until(after(ordeal.latency)).await;
    }
    if shared.faults.holds() {
        let _waiting = Waiting::new(shared);
        tokio::select! {
            () = shared.faults.pass_gate() => {}
            () = shared.stopping() => return Err(Cut),
        }
    }
    match &ordeal.fault {
        Fault::Reset {
            at: ResetAt::AfterBody,
        } => return Err(Cut),
        Fault::Answer(answer @ Answer { store: false, .. }) => return Ok(respond::planned(answer)),
        Fault::Huge { status, bytes } => return Ok(respond::huge(*status, *bytes)),
        Fault::Silence { store: false } => silence(shared).await?,
        _ => {}
    }
    answer(shared, headers, body, ordeal, record).await
}

/// The true answer, and the faults that come after storing.
async fn answer(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    body: Bytes,
    ordeal: Ordeal,
    record: &mut RequestRecord,
) -> Result<Response<Payload>, Cut> {
    if !key_fits(shared, headers) {
        return Ok(respond::text(StatusCode::UNAUTHORIZED, "unauthorized"));
    }
    if ordeal
        .secret_body_limit
        .is_some_and(|limit| body.len() > limit)
    {
        record.fault = record.fault.or(Some("secret_body_limit"));
        return Ok(too_large());
    }
    let batch = match decode::decode(body, shared.settings.rules, &*ordeal.markers) {
        Ok(batch) => batch,
        Err(Refusal::InvalidBody) => {
            return Ok(respond::text(
                StatusCode::BAD_REQUEST,
                "invalid request body",
            ));
        }
        Err(Refusal::TooLarge) => {
            return Ok(respond::text(StatusCode::BAD_REQUEST, "batch too large"));
        }
    };
    let receipt = store(shared, batch, record);
    match ordeal.fault {
        Fault::Reset {
            at: ResetAt::AfterStore,
        } => return Err(Cut),
        Fault::Answer(answer) => return Ok(respond::planned(&answer)),
        Fault::Silence { store: true } => silence(shared).await?,
        _ => {}
    }
    let response = respond::json(StatusCode::ACCEPTED, &receipt);
    Ok(match ordeal.fault {
        Fault::Trickle { step, step_bytes } => respond::trickle(response, step, step_bytes),
        Fault::Cut { after_bytes, reset } => respond::cut(response, after_bytes, reset),
        _ => response,
    })
}

/// The body of a 202.
#[derive(Serialize)]
struct Receipt {
    accepted: usize,
    rejected: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<IndexError>,
}

fn store(shared: &Shared, batch: Batch, record: &mut RequestRecord) -> Receipt {
    record.events = batch.len();
    record.accepted = batch.accepted.len();
    record.rejected = batch.errors.len();
    let errors = shared.store(record.number, batch);
    Receipt {
        accepted: record.accepted,
        rejected: record.rejected,
        errors,
    }
}

async fn silence(shared: &Arc<Shared>) -> Result<(), Cut> {
    let released = shared.faults.released();
    let _waiting = Waiting::new(shared);
    tokio::select! {
        () = released => Ok(()),
        () = shared.stopping() => Err(Cut),
    }
}

fn key_fits(shared: &Shared, headers: &HeaderMap) -> bool {
    let Some(key) = &shared.settings.key else {
        return true;
    };
    headers
        .get("x-pg-api-key")
        .is_some_and(|sent| sent.as_bytes() == key.as_bytes())
}

fn too_large() -> Response<Payload> {
    respond::text(StatusCode::PAYLOAD_TOO_LARGE, "request body too large")
}
