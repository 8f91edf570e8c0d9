//! The layers in every order: what the module's documentation promises of each.

mod middleware_support;

use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http::{HeaderValue, Response, StatusCode};
use middleware_support::{Broken, Script, Seen, all, get, ok, only, read, recorder};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use productgraph::Handle;
use productgraph::correlation::{Correlation, UserId, capture};
use productgraph::middleware::{CorrelationLayer, TelemetryLayer, TrackRequestsLayer};
use tower::{Service, service_fn};
use tower_layer::{Layer, Stack, layer_fn};

type Request = http::Request<()>;
type Answer = Result<Response<Script>, Broken>;

/// Correlation outside, tracker inside, as documented.
fn usual(handle: Handle) -> Stack<TrackRequestsLayer, CorrelationLayer> {
    Stack::new(TrackRequestsLayer::new(handle), CorrelationLayer::new())
}

/// Tracker outside, correlation inside.
fn swapped(handle: Handle) -> Stack<CorrelationLayer, TrackRequestsLayer> {
    Stack::new(CorrelationLayer::new(), TrackRequestsLayer::new(handle))
}

fn of_session(session: &'static str) -> Request {
    let mut request = get("/cart");
    request
        .headers_mut()
        .insert("x-session-id", HeaderValue::from_static(session));
    request
        .headers_mut()
        .insert("x-request-id", HeaderValue::from_static("r-1"));
    request
}

/// Sends one request through both orders of the layers and gives the event of each.
///
/// A macro because the services have different types.
macro_rules! events_of {
    ($handler:expr, $drive:expr) => {{
        let (handle, first) = recorder();
        $drive(usual(handle).layer(service_fn($handler)));
        let (handle, second) = recorder();
        $drive(swapped(handle).layer(service_fn($handler)));
        [only(&first), only(&second)]
    }};
}

/// Sends the request and reads the response, all within one poll.
fn complete<S, B>(mut service: S)
where
    S: Service<Request, Response = Response<B>>,
    B: http_body::Body<Data = bytes::Bytes>,
{
    let future = async {
        if let Ok(response) = service.call(of_session("s-1")).await {
            // the text does not matter here, nor does a failure
            let _ = read(response).await;
        }
    };
    assert!(poll_once(Box::pin(future).as_mut()).is_ready());
}

/// Sends the request and goes away while it is answered.
fn abandon<S: Service<Request>>(mut service: S) {
    let mut future = Box::pin(service.call(of_session("s-1")));
    assert!(poll_once(future.as_mut()).is_pending());
}

/// Sends the request to a handler that panics.
fn survive<S: Service<Request>>(mut service: S) {
    let mut future = Box::pin(service.call(of_session("s-1")));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()).is_ready())).is_err());
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn assert_correlated(events: &[Seen; 2], line: &str) {
    for event in events {
        assert_eq!(event.line(), line);
        assert_eq!(event.session(), Some("s-1"));
        assert_eq!(event.request_id(), Some("r-1"));
    }
}

#[test]
fn a_response_is_correlated_in_either_order() {
    let events = events_of!(|_| ready(Answer::Ok(ok())), complete);
    assert_correlated(&events, "GET /cart 200");
}

#[test]
fn an_error_of_the_service_is_correlated_in_either_order() {
    let events = events_of!(|_| ready(Answer::Err(Broken)), complete);
    assert_correlated(&events, "GET /cart 500 error");
}

#[test]
fn a_cancelled_request_is_correlated_in_either_order() {
    let events = events_of!(|_| pending::<Answer>(), abandon);
    assert_correlated(&events, "GET /cart 499 cancelled");
}

#[test]
fn a_panicking_handler_is_correlated_in_either_order() {
    let events = events_of!(
        |_| async {
            assert!(std::hint::black_box(false), "the handler was told to panic");
            Answer::Ok(ok())
        },
        survive
    );
    assert_correlated(&events, "GET /cart 500 panicked");
}

#[test]
fn a_user_set_in_the_handler_is_seen_in_either_order() {
    let events = events_of!(
        |_| async {
            let current = Correlation::current().expect("a correlation");
            current.set_user(UserId::parse("u_7").expect("a valid id"));
            Answer::Ok(ok())
        },
        complete
    );
    assert_correlated(&events, "GET /cart 200");
    assert!(events.iter().all(|event| event.user() == Some("u_7")));
}

#[test]
fn both_layers_in_one_are_the_usual_order() {
    let (handle, recorder) = recorder();
    complete(TelemetryLayer::new(handle).layer(service_fn(|_| ready(Answer::Ok(ok())))));
    let seen = only(&recorder);
    assert_correlated(&[seen.clone(), seen], "GET /cart 200");
}

#[test]
fn a_layer_between_the_two_sees_the_correlation() {
    let (handle, recorder) = recorder();
    let trace = layer_fn(|inner| {
        tower::util::MapRequest::new(inner, |request: Request| {
            let current = Correlation::current().expect("the correlation layer is further out");
            assert_eq!(current.session_id().text(), "s-1");
            request
        })
    });
    let layers = Stack::new(
        TrackRequestsLayer::new(handle),
        Stack::new(trace, CorrelationLayer::new()),
    );
    complete(layers.layer(service_fn(|_| ready(Answer::Ok(ok())))));
    assert_eq!(only(&recorder).session(), Some("s-1"));
}

#[test]
fn the_event_carries_the_span_around_the_tracker_though_the_body_ends_outside_of_it() {
    let (handle, recorder) = recorder();
    let span = SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        SpanId::from(0xb7ad_6b71_6920_3331),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let mut service = TelemetryLayer::new(handle).layer(service_fn(|_| ready(Answer::Ok(ok()))));
    let context = opentelemetry::Context::new().with_remote_span_context(span);
    let future = {
        let _current = context.attach();
        service.call(of_session("s-1"))
    };
    let read = async {
        read(future.await.expect("a response"))
            .await
            .expect("a body")
    };
    assert!(poll_once(Box::pin(read).as_mut()).is_ready());
    let seen = only(&recorder);
    assert_eq!(
        seen.0["metadata"]["trace_id"],
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(seen.0["metadata"]["span_id"], "b7ad6b7169203331");
}

#[test]
fn a_second_correlation_layer_changes_nothing() {
    let (handle, recorder) = recorder();
    let layers = Stack::new(usual(handle), CorrelationLayer::new());
    let mut service = layers.layer(service_fn(|_| {
        let id = Correlation::current().and_then(|c| Some(c.request_id()?.to_string()));
        assert_eq!(id.as_deref(), Some("r-1"));
        ready(Answer::Ok(ok()))
    }));
    let Poll::Ready(Ok(response)) = poll_once(Box::pin(service.call(of_session("s-1"))).as_mut())
    else {
        panic!("no response");
    };
    assert_eq!(response.headers().get_all("x-request-id").iter().count(), 1);
    drop(response);
    assert_eq!(only(&recorder).request_id(), Some("r-1"));
}

#[test]
fn the_tracker_twice_gives_two_events() {
    let (handle, recorder) = recorder();
    let layers = Stack::new(usual(handle.clone()), TrackRequestsLayer::new(handle));
    complete(layers.layer(service_fn(|_| ready(Answer::Ok(ok())))));
    let events = all(&recorder);
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.session() == Some("s-1")));
}

#[test]
fn the_tracker_alone_takes_the_correlation_it_runs_in() {
    let (handle, recorder) = recorder();
    let mut service =
        TrackRequestsLayer::new(handle).layer(service_fn(|_| ready(Answer::Ok(ok()))));
    let outer = Correlation::builder().build();
    let future = outer.enter(|| service.call(get("/job")));
    let read = async {
        read(future.await.expect("a response"))
            .await
            .expect("a body")
    };
    assert!(poll_once(Box::pin(read).as_mut()).is_ready());
    assert_eq!(
        only(&recorder).session(),
        Some(outer.session_id().to_string().as_str())
    );
}

#[test]
fn the_correlation_alone_sends_nothing_and_serves_what_handlers_track() {
    let (handle, recorder) = recorder();
    let service = CorrelationLayer::new().layer(service_fn(move |_| {
        handle.track(productgraph::Event::custom("cart.opened"));
        ready(Answer::Ok(ok()))
    }));
    complete(service);
    let seen = only(&recorder);
    assert_eq!(seen.name(), Some("cart.opened"));
    assert_eq!(seen.session(), Some("s-1"));
}

/// What a panic-catching layer does: 500 instead of unwinding.
async fn caught<E>(handler: impl Future<Output = Result<Response<Script>, E>>) -> Answer {
    let mut handler = Box::pin(handler);
    std::future::poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(answer.map_err(|_| Broken)),
            Err(_) => {
                let mut response = ok();
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Poll::Ready(Ok(response))
            }
        },
    )
    .await
}

#[test]
fn a_panic_caught_inside_the_tracker_is_an_ordinary_500() {
    let events = events_of!(
        |_| caught(async {
            assert!(std::hint::black_box(false), "the handler was told to panic");
            Answer::Ok(ok())
        }),
        complete
    );
    assert_correlated(&events, "GET /cart 500");
}

#[test]
fn a_context_captured_in_the_handler_carries_the_correlation_to_a_thread() {
    let (handle, recorder) = recorder();
    let service = CorrelationLayer::new().layer(service_fn(move |_| {
        let (captured, handle) = (capture(), handle.clone());
        let worker = std::thread::spawn(move || {
            captured.enter(|| handle.track(productgraph::Event::custom("report.made")));
        });
        worker.join().expect("the worker does not panic");
        ready(Answer::Ok(ok()))
    }));
    complete(service);
    assert_eq!(only(&recorder).session(), Some("s-1"));
}
