//! Two users at once, and never an event of one under the name of the other.

mod middleware_support;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use middleware_support::{get, read, recorder};
use productgraph::correlation::{Correlation, UserId, spawn, spawn_blocking};
use productgraph::middleware::{CorrelatedBody, TelemetryLayer, TrackedBody};
use productgraph::{Event, Handle};
use tokio::task::{JoinSet, yield_now};
use tower::{Service, ServiceExt, service_fn};
use tower_layer::Layer;

const REQUESTS: usize = 100_000;
/// Requests whose events are kept until they are looked at.
const ROUND: usize = 2_000;
/// Requests in flight at once.
const IN_FLIGHT: usize = 50;
/// Events of one request: six that its handler tracks, two from its stream, and its response.
const EVENTS: usize = 9;

const SESSIONS: [&str; 2] = ["session-of-ann", "session-of-bob"];
const USERS: [&str; 2] = ["ann", "bob"];

/// Tracks an event that says which request it believes it belongs to.
fn track(handle: &Handle, request: usize) {
    handle.track(Event::custom("work.done").with("request", request));
}

/// Work in every place where a request's code may run, with switches of task in between.
async fn work(handle: Handle, request: usize) {
    track(&handle, request);
    yield_now().await;
    track(&handle, request);
    let nested = spawn({
        let handle = handle.clone();
        async move {
            yield_now().await;
            track(&handle, request);
            let deeper = spawn({
                let handle = handle.clone();
                async move { track(&handle, request) }
            });
            deeper.await.expect("the task does not panic");
        }
    });
    let blocking = spawn_blocking({
        let handle = handle.clone();
        move || track(&handle, request)
    });
    nested.await.expect("the task does not panic");
    blocking.await.expect("the closure does not panic");
    track(&handle, request);
}

/// A stream that yields to other tasks before each piece and tracks an event for it.
struct Stream {
    handle: Handle,
    request: usize,
    polls: usize,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.polls += 1;
        match self.polls {
            1 | 3 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            2 | 4 => {
                track(&self.handle, self.request);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
            }
            _ => Poll::Ready(None),
        }
    }
}

fn service(
    handle: Handle,
) -> impl Service<
    Request<()>,
    Response = Response<CorrelatedBody<TrackedBody<Stream>>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send {
    TelemetryLayer::new(handle.clone()).layer(service_fn(move |request: Request<()>| {
        let handle = handle.clone();
        async move {
            let number = number_of(&request);
            let correlation = Correlation::current().expect("inside a request");
            let user = UserId::parse(USERS[number % 2]).expect("a valid id");
            assert!(correlation.set_user(user), "nobody else has set it");
            work(handle.clone(), number).await;
            Ok(Response::new(Stream {
                handle,
                request: number,
                polls: 0,
            }))
        }
    }))
}

fn number_of(request: &Request<()>) -> usize {
    number(request.headers()["x-request-id"].to_str().expect("ASCII"))
}

/// The number of `r-17`.
fn number(request_id: &str) -> usize {
    let digits = request_id.strip_prefix("r-").expect("an id that was sent");
    digits.parse().expect("the number that was sent")
}

fn request(number: usize) -> Request<()> {
    let mut request = get("/work");
    let headers = request.headers_mut();
    headers.insert(
        "x-session-id",
        HeaderValue::from_static(SESSIONS[number % 2]),
    );
    let id = HeaderValue::try_from(format!("r-{number}")).expect("a valid value");
    headers.insert("x-request-id", id);
    request
}

/// Which request an event carries, once everything it says agrees.
fn check(event: &Event) -> usize {
    let correlation = event.correlation().expect("every event is correlated");
    let id = correlation.request_id().expect("every request has an id");
    let number = number(&id.text());
    assert_eq!(
        event.session_id().map(ToString::to_string).as_deref(),
        Some(SESSIONS[number % 2])
    );
    assert_eq!(
        event.user_id().map(ToString::to_string).as_deref(),
        Some(USERS[number % 2])
    );
    if let Some(metadata) = event.metadata() {
        let believed = metadata
            .get("request")
            .expect("the handler's events say it");
        assert_eq!(*believed, number.into(), "an event under a foreign name");
    }
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_thousand_interleaved_requests_never_mix() {
    for first in (0..REQUESTS).step_by(ROUND) {
        let (handle, recorder) = recorder();
        let service = service(handle);
        let mut in_flight = JoinSet::new();
        for number in first..first + ROUND {
            if in_flight.len() == IN_FLIGHT {
                in_flight
                    .join_next()
                    .await
                    .expect("some are in flight")
                    .expect("no panic");
            }
            let service = service.clone();
            in_flight.spawn(async move {
                let response = service.oneshot(request(number)).await.expect("a response");
                let id = response.headers()["x-request-id"]
                    .to_str()
                    .expect("ASCII")
                    .to_owned();
                assert_eq!(id, format!("r-{number}"));
                assert!(
                    Correlation::current().is_none(),
                    "left behind by the response"
                );
                let (text, _) = read(response).await.expect("a body");
                assert_eq!(text, "piecepiece");
                assert!(Correlation::current().is_none(), "left behind by the body");
            });
        }
        in_flight.join_all().await;

        let mut counts = vec![0; ROUND];
        for event in recorder.events() {
            counts[check(&event) - first] += 1;
        }
        assert!(
            counts.iter().all(|count| *count == EVENTS),
            "an event is missing or doubled"
        );
    }
}
