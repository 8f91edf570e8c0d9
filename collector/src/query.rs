//! `/_collector`: what is stored, what was counted, and the faults, for people and scripts.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::body::{self, Read};
use crate::clock::after;
use crate::conn::Control;
use crate::control::Faults;
use crate::filter::Filter;
use crate::params;
use crate::plan::FaultPlan;
use crate::respond::{self, Payload};
use crate::route::not_allowed;
use crate::shared::{Shared, State};

/// Start of all paths that are the collector's own.
pub(crate) const PREFIX: &str = "/_collector";
/// Bytes of a fault plan.
const MAX_PLAN_BYTES: usize = 1 << 20;
/// Bytes of event text on one page; what is beyond is left for the next one.
const MAX_PAGE_BYTES: usize = 32 << 20;
/// The longest time down that can be ordered from outside.
const MAX_DOWN: Duration = Duration::from_secs(600);

const INDEX: &str = "\
GET    /_collector/events    stored events; session= request_id= type= name= user= id= limit= offset=
DELETE /_collector/events    empties the store and the log, starts the counters anew
GET    /_collector/ids       ids of the stored events; format=lines for text
GET    /_collector/stats     counters
GET    /_collector/requests  the last requests to /v1/events
GET    /_collector/faults    faults in force
PUT    /_collector/faults    replaces them by the JSON sent
DELETE /_collector/faults    ends them
POST   /_collector/release   answers the requests held in silence
POST   /_collector/down      refuses connections for ms= milliseconds
";

pub(crate) async fn handle(
    shared: &Arc<Shared>,
    control: &Control,
    request: Request<Incoming>,
    read_until: Instant,
) -> Response<Payload> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let answer = match (
        path.strip_prefix(PREFIX).unwrap_or_default(),
        request.method(),
    ) {
        ("" | "/", &Method::GET) => Ok(respond::typed(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            INDEX,
        )),
        ("/events", &Method::GET) => events(shared, &query),
        ("/events", &Method::DELETE) => {
            shared.reset();
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        ("/ids", &Method::GET) => ids(shared, &query),
        ("/stats", &Method::GET) => {
            Ok(respond::json(StatusCode::OK, &shared.read(State::snapshot)))
        }
        ("/requests", &Method::GET) => Ok(respond::json(
            StatusCode::OK,
            &shared.read(|state| state.log.to_vec()),
        )),
        ("/faults", &Method::GET) => Ok(respond::json(StatusCode::OK, &shared.faults.plan())),
        ("/faults", &Method::PUT) => put_faults(shared, request, read_until).await,
        ("/faults", &Method::DELETE) => {
            shared.faults.set(FaultPlan::new());
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        ("/release", &Method::POST) => {
            shared.faults.release();
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        ("/down", &Method::POST) => down(shared, control, &query),
        (
            "/events" | "/faults" | "/ids" | "/stats" | "/requests" | "/release" | "/down" | ""
            | "/",
            _,
        ) => Ok(not_allowed("see /_collector")),
        _ => Ok(respond::text(
            StatusCode::NOT_FOUND,
            "404 page not found; see /_collector",
        )),
    };
    answer.unwrap_or_else(|problem| respond::text(StatusCode::BAD_REQUEST, &problem))
}

/// One page of stored events.
#[derive(Serialize)]
struct Page<'a> {
    /// Events that fit the filter.
    total: usize,
    offset: usize,
    /// Whether the page ended early because it grew too long.
    truncated: bool,
    events: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    arrival: u64,
    request: u64,
    event: &'a RawValue,
}

fn events(shared: &Shared, query: &str) -> Result<Response<Payload>, String> {
    let filter = Filter::parse(query)?;
    // The lock is held for cheap copies only; looking into them comes after.
    let mut stored = shared.read(|state| state.store.to_vec());
    stored.retain(|event| filter.fits(event));
    let mut page = Page {
        total: stored.len(),
        offset: filter.offset,
        truncated: false,
        events: Vec::new(),
    };
    let mut bytes = 0;
    for event in stored.iter().skip(filter.offset).take(filter.limit) {
        bytes += event.raw.len();
        if bytes > MAX_PAGE_BYTES && !page.events.is_empty() {
            page.truncated = true;
            break;
        }
        let raw = serde_json::from_slice(&event.raw).map_err(|error| error.to_string())?;
        page.events.push(Item {
            arrival: event.arrival,
            request: event.request,
            event: raw,
        });
    }
    Ok(respond::json(StatusCode::OK, &page))
}

fn ids(shared: &Shared, query: &str) -> Result<Response<Payload>, String> {
    let mut lines = false;
    for (name, value) in params::pairs(query)? {
        match (name.as_str(), value.as_str()) {
            ("format", "lines") => lines = true,
            ("format", "json") => lines = false,
            ("format", _) => return Err("format: expected json or lines".to_owned()),
            _ => return Err("unknown parameter; known: format".to_owned()),
        }
    }
    let ids = shared.read(|state| state.store.ids());
    let ids: Vec<_> = ids.iter().map(|id| String::from_utf8_lossy(id)).collect();
    Ok(if lines {
        let mut text = ids.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        respond::typed(StatusCode::OK, "text/plain; charset=utf-8", text)
    } else {
        respond::json(StatusCode::OK, &ids)
    })
}

async fn put_faults(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    read_until: Instant,
) -> Result<Response<Payload>, String> {
    let body = match body::read(request.into_body(), MAX_PLAN_BYTES, read_until).await {
        Read::Whole(body) => body,
        Read::TooLong(_) => return Err(format!("a plan may have {MAX_PLAN_BYTES} bytes")),
        Read::Broken(_) => return Err("the body did not arrive".to_owned()),
    };
    // By way of an object, because an array of the fields in order would be taken for a plan too.
    let plan = serde_json::from_slice(&body)
        .and_then(|object| serde_json::from_value::<FaultPlan>(Value::Object(object)))
        .map_err(|error| error.to_string())?;
    plan.check()?;
    shared.faults.set(plan);
    Ok(respond::json(StatusCode::OK, &shared.faults.plan()))
}

fn down(shared: &Arc<Shared>, control: &Control, query: &str) -> Result<Response<Payload>, String> {
    let time = match params::pairs(query)?.as_slice() {
        [(name, value)] if name == "ms" => value.parse().ok().map(Duration::from_millis),
        _ => None,
    };
    let time = time
        .filter(|time| *time <= MAX_DOWN)
        .ok_or_else(|| format!("ms: expected a number up to {}", MAX_DOWN.as_millis()))?;
    // This very answer should still be read.
    control.spare();
    let guard = Faults::new(Arc::clone(shared)).down();
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let _down = guard;
        tokio::select! {
            () = tokio::time::sleep_until(after(time)) => {}
            () = shared.stopping() => {}
        }
    });
    let mut response = respond::empty(StatusCode::ACCEPTED);
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}
