//! Every tracked request gives exactly one event, and the event says how it ended.

mod middleware_support;

use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame};
use middleware_support::{
    Broken, Script, Turn, all, get, lines, ok, only, read, recorder, request,
};
use productgraph::middleware::{TelemetryLayer, TrackRequestsLayer};
use proptest::prelude::*;
use tower::{Service, ServiceExt, service_fn};
use tower_layer::Layer;

type Request = http::Request<()>;

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

fn frame<B: Body>(body: Pin<&mut B>) -> Polled<B> {
    body.poll_frame(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn the_duration_runs_to_the_end_of_the_body() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle).layer(service_fn(async |_: Request| {
        tokio::time::advance(Duration::from_millis(5)).await;
        Ok::<_, Infallible>(Response::new(Script::new([
            Turn::Data("a"),
            Turn::Data("b"),
        ])))
    }));

    let response = service
        .oneshot(get("/slow?secret=1"))
        .await
        .expect("a response");
    assert!(
        lines(&recorder).is_empty(),
        "the body has not been read yet"
    );
    tokio::time::advance(Duration::from_millis(7)).await;
    assert_eq!(read(response).await.expect("a body").0, "ab");

    let seen = only(&recorder);
    assert_eq!(seen.line(), "GET /slow 200");
    assert_eq!(seen.duration_ms(), 12);
}

async fn answered(method: &str, response: Response<Script>) -> Vec<String> {
    let (handle, recorder) = recorder();
    let mut response = Some(response);
    let mut service = TrackRequestsLayer::new(handle).layer(service_fn(move |_: Request| {
        std::future::ready(Ok::<_, Infallible>(response.take().expect("one request")))
    }));
    let response = service
        .call(request(method, "/"))
        .await
        .expect("a response");
    let lines = lines(&recorder);
    drop(response);
    assert!(all(&recorder).len() == 1, "never a second event");
    lines
}

#[tokio::test]
async fn a_response_without_a_body_is_sent_at_once() {
    let data = || Script::new([Turn::Data("not sent")]);
    let with = |status: u16, body| {
        Response::builder()
            .status(status)
            .body(body)
            .expect("a valid response")
    };
    assert_eq!(
        answered("GET", with(200, Script::honest([]))).await,
        ["GET / 200"]
    );
    assert_eq!(answered("HEAD", with(200, data())).await, ["HEAD / 200"]);
    assert_eq!(answered("GET", with(204, data())).await, ["GET / 204"]);
    assert_eq!(answered("GET", with(304, data())).await, ["GET / 304"]);
    assert_eq!(answered("GET", with(101, data())).await, ["GET / 101"]);
    assert_eq!(
        answered("GET", with(200, data())).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_tunnel_is_sent_when_it_opens() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle).layer(service_fn(async |_: Request| {
        Ok::<_, Infallible>(Response::new(Script::new([Turn::Stall])))
    }));
    let response = service.oneshot(request("CONNECT", "example.com:443")).await;
    assert_eq!(lines(&recorder), ["CONNECT / 200"]);
    drop(response);
    assert_eq!(lines(&recorder).len(), 1);
}

#[test]
fn a_caller_that_leaves_before_the_response_is_a_cancelled_499() {
    let (handle, recorder) = recorder();
    let mut service = TrackRequestsLayer::new(handle).layer(service_fn(|_: Request| {
        pending::<Result<Response<Script>, Infallible>>()
    }));

    let never_polled = service.call(get("/"));
    drop(never_polled);
    assert_eq!(lines(&recorder), ["GET / 499 cancelled"]);

    let mut polled = Box::pin(service.call(get("/")));
    assert!(poll_once(polled.as_mut()).is_pending());
    drop(polled);
    assert_eq!(
        lines(&recorder),
        ["GET / 499 cancelled", "GET / 499 cancelled"]
    );
}

#[tokio::test]
async fn a_body_dropped_before_its_end_is_cancelled() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle).layer(service_fn(async |_: Request| {
        Ok::<_, Infallible>(Response::new(Script::new([Turn::Data("a"), Turn::Stall])))
    }));
    let mut body = service
        .oneshot(get("/feed"))
        .await
        .expect("a response")
        .into_body();
    assert!(frame(Pin::new(&mut body)).is_ready());
    assert!(frame(Pin::new(&mut body)).is_pending());
    assert!(lines(&recorder).is_empty());
    drop(body);
    assert_eq!(lines(&recorder), ["GET /feed 200 cancelled"]);
}

#[tokio::test]
async fn a_body_that_gave_all_it_announced_may_be_dropped_without_being_asked_for_its_end() {
    for announced in [true, false] {
        let (handle, recorder) = recorder();
        let service = TrackRequestsLayer::new(handle).layer(service_fn(move |_: Request| {
            let mut response = Response::new(Script::new([Turn::Data("abc"), Turn::Stall]));
            if announced {
                response
                    .headers_mut()
                    .insert("content-length", HeaderValue::from_static("3"));
            }
            std::future::ready(Ok::<_, Infallible>(response))
        }));
        let mut body = service
            .oneshot(get("/"))
            .await
            .expect("a response")
            .into_body();
        assert!(frame(Pin::new(&mut body)).is_ready());
        drop(body);
        let expected = if announced {
            "GET / 200"
        } else {
            "GET / 200 cancelled"
        };
        assert_eq!(lines(&recorder), [expected]);
    }
}

#[tokio::test]
async fn the_last_frame_of_a_body_that_tells_its_end_sends_the_event() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle)
        .layer(service_fn(async |_: Request| Ok::<_, Infallible>(ok())));
    let mut body = service
        .oneshot(get("/"))
        .await
        .expect("a response")
        .into_body();
    assert_eq!(body.size_hint().exact(), Some(2));
    assert!(!body.is_end_stream());
    assert!(frame(Pin::new(&mut body)).is_ready());
    assert_eq!(lines(&recorder), ["GET / 200"]);
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test]
async fn a_body_that_fails_is_a_body_error_and_the_error_passes() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle).layer(service_fn(async |_: Request| {
        Ok::<_, Infallible>(Response::new(Script::new([Turn::Data("a"), Turn::Fail])))
    }));
    let response = service.oneshot(get("/")).await.expect("a response");
    assert_eq!(read(response).await, Err(Broken));
    assert_eq!(lines(&recorder), ["GET / 200 body_error"]);
}

#[tokio::test]
async fn an_error_of_the_service_is_a_500_and_passes() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle).layer(service_fn(async |_: Request| {
        Err::<Response<Script>, _>(Broken)
    }));
    assert_eq!(service.oneshot(get("/")).await.err(), Some(Broken));
    assert_eq!(lines(&recorder), ["GET / 500 error"]);
}

#[test]
fn a_panic_in_the_handler_is_sent_before_anybody_catches_it() {
    let (handle, recorder) = recorder();
    let mut service = TrackRequestsLayer::new(handle).layer(service_fn(async |_: Request| {
        assert!(std::hint::black_box(false), "the handler was told to panic");
        Ok::<_, Infallible>(ok())
    }));
    let mut future = Box::pin(service.call(get("/")));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))).is_err());
    assert_eq!(
        lines(&recorder),
        ["GET / 500 panicked"],
        "while the future still exists"
    );
    drop(future);
    assert_eq!(lines(&recorder).len(), 1);
}

#[test]
fn a_panic_in_the_call_itself_gives_the_event_too() {
    let (handle, recorder) = recorder();
    let mut service = TrackRequestsLayer::new(handle).layer(service_fn(|_: Request| {
        assert!(std::hint::black_box(false), "the service was told to panic");
        std::future::ready(Ok::<_, Infallible>(ok()))
    }));
    assert!(catch_unwind(AssertUnwindSafe(|| service.call(get("/")))).is_err());
    assert_eq!(lines(&recorder), ["GET / 500 panicked"]);
}

#[tokio::test]
async fn a_panic_in_the_body_keeps_the_status_that_was_sent() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle).layer(service_fn(async |_: Request| {
        Ok::<_, Infallible>(Response::new(Script::new([Turn::Data("a"), Turn::Panic])))
    }));
    let mut body = service
        .oneshot(get("/"))
        .await
        .expect("a response")
        .into_body();
    assert!(frame(Pin::new(&mut body)).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| frame(Pin::new(&mut body)))).is_err());
    assert_eq!(lines(&recorder), ["GET / 200 panicked"]);
    drop(body);
    assert_eq!(lines(&recorder).len(), 1);
}

#[test]
fn a_future_dropped_by_a_foreign_panic_is_cancelled_and_not_panicked() {
    let (handle, recorder) = recorder();
    let mut service = TrackRequestsLayer::new(handle).layer(service_fn(|_: Request| {
        pending::<Result<Response<Script>, Infallible>>()
    }));
    let future = service.call(get("/"));
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _held = future;
        assert!(std::hint::black_box(false), "somebody else panics");
    }));
    assert!(unwound.is_err());
    assert_eq!(lines(&recorder), ["GET / 499 cancelled"]);
}

#[test]
fn wrapped_bodies_have_a_default() {
    type Body = <<TelemetryLayer as Layer<Inner>>::Service as Service<Request>>::Response;
    type Inner = tower::util::BoxService<Request, Response<Script>, Infallible>;
    let mut body = Body::default().into_body();
    assert!(matches!(frame(Pin::new(&mut body)), Poll::Ready(None)));
}

#[derive(Clone, Debug)]
enum Ending {
    Read(usize),
    DropBefore,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => Just(Turn::Data("data")),
        1 => Just(Turn::Data("")),
        1 => Just(Turn::Fail),
        1 => Just(Turn::Panic),
        1 => Just(Turn::Stall),
        1 => Just(Turn::Trailers(HeaderMap::new())),
    ];
    proptest::collection::vec(turn, 0..6)
}

proptest! {
    #[test]
    fn there_is_exactly_one_event_whatever_happens(
        turns in turns(),
        honest in any::<bool>(),
        answer in 0..4_u8,
        ending in prop_oneof![Just(Ending::DropBefore), (0..8_usize).prop_map(Ending::Read)],
    ) {
        let (handle, recorder) = recorder();
        let mut script = Some(Script::new(turns).telling_its_length(honest));
        let mut service = TelemetryLayer::new(handle).layer(service_fn(move |_: Request| {
            let body = script.take().unwrap_or_default();
            async move {
                match answer {
                    0 => panic!("the handler was told to panic"),
                    1 => Err(Broken),
                    2 => pending().await,
                    _ => Ok(Response::new(body)),
                }
            }
        }));
        let mut future = Box::pin(service.call(get("/")));
        let response = match ending {
            Ending::DropBefore => None,
            Ending::Read(_) => catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))).ok(),
        };
        if let (Some(Poll::Ready(Ok(response))), Ending::Read(times)) = (response, ending) {
            let mut body = response.into_body();
            for _ in 0..times {
                let polled = catch_unwind(AssertUnwindSafe(|| frame(Pin::new(&mut body))));
                if !matches!(polled, Ok(Poll::Ready(Some(Ok(_))))) {
                    break;
                }
            }
        }
        drop(future);
        prop_assert_eq!(lines(&recorder).len(), 1);
    }
}
