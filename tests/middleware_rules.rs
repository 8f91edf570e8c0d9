//! Which requests give an event, and what it says beyond the outcome.

mod middleware_support;

use std::convert::Infallible;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use middleware_support::{
    Script, Seen, Turn, all, disabled, get, lines, ok, only, read, recorder, request,
};
use productgraph::correlation::{Correlation, UserId};
use productgraph::middleware::{TelemetryLayer, TrackRequestsLayer};
use tower::{Service, ServiceExt, service_fn};
use tower_layer::Layer;

type Request = http::Request<()>;

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )])
}

async fn grpc(response: Response<Script>) -> (Seen, Option<HeaderMap>) {
    let (handle, recorder) = recorder();
    let mut response = Some(response);
    let mut service = TrackRequestsLayer::new(handle)
        .sample("*", 0.0)
        .layer(service_fn(move |_: Request| {
            std::future::ready(Ok::<_, Infallible>(response.take().expect("one request")))
        }));
    let mut call = request("POST", "/shop.Catalog/GetItem");
    call.headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    let response = service.call(call).await.expect("a response");
    let (_, trailers) = read(response).await.expect("a body");
    (only(&recorder), trailers)
}

#[tokio::test]
async fn the_grpc_code_comes_from_the_trailers_which_pass_untouched() {
    let sent = trailers("grpc-status", "13");
    let body = Script::new([Turn::Data("x"), Turn::Trailers(sent.clone())]);
    let (seen, received) = grpc(Response::new(body)).await;
    assert_eq!(seen.line(), "POST /shop.Catalog/GetItem 200");
    assert_eq!(
        seen.grpc_status(),
        Some(13),
        "kept although nothing else is"
    );
    assert_eq!(received, Some(sent));
}

#[tokio::test]
async fn the_grpc_code_of_a_call_without_a_message_comes_from_the_headers() {
    let mut response = Response::new(Script::honest([]));
    response
        .headers_mut()
        .insert("grpc-status", HeaderValue::from_static("14"));
    assert_eq!(grpc(response).await.0.grpc_status(), Some(14));
}

#[tokio::test]
async fn a_grpc_code_on_an_ordinary_response_means_nothing() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle).layer(service_fn(async |_: Request| {
        let body = Script::new([Turn::Trailers(trailers("grpc-status", "2"))]);
        Ok::<_, Infallible>(Response::new(body))
    }));
    read(service.oneshot(get("/")).await.expect("a response"))
        .await
        .expect("a body");
    assert_eq!(only(&recorder).grpc_status(), None);
}

/// Answers with the status that the path's last segment asks for.
fn by_path()
-> impl Service<Request, Response = Response<Script>, Error = Infallible, Future: Send> + Clone {
    service_fn(async |request: Request| {
        let asked = request.uri().path().rsplit('/').next().unwrap_or_default();
        let mut response = ok();
        *response.status_mut() = asked.parse().unwrap_or(StatusCode::OK);
        Ok(response)
    })
}

#[tokio::test]
async fn excluded_paths_give_no_event() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle)
        .exclude("/metrics")
        .exclude("/health*")
        .layer(by_path());
    for path in [
        "/metrics",
        "/metrics?x=1",
        "/health",
        "/healthz/live/500",
        "/shop",
        "/metrics/2",
    ] {
        let response = service
            .clone()
            .oneshot(get(path))
            .await
            .expect("a response");
        read(response).await.expect("a body");
    }
    assert_eq!(lines(&recorder), ["GET /shop 200", "GET /metrics/{id} 200"]);
}

#[tokio::test]
async fn failures_are_kept_whatever_the_sampling_says() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle)
        .sample("/quiet/*", 0.0)
        .layer(by_path());
    for path in [
        "/quiet/200",
        "/quiet/404",
        "/quiet/500",
        "/quiet/503",
        "/loud/200",
    ] {
        let response = service
            .clone()
            .oneshot(get(path))
            .await
            .expect("a response");
        read(response).await.expect("a body");
    }
    let expected = [
        "GET /quiet/{id} 500",
        "GET /quiet/{id} 503",
        "GET /loud/{id} 200",
    ];
    assert_eq!(lines(&recorder), expected);
}

#[tokio::test]
async fn a_session_is_sampled_as_a_whole() {
    let (handle, recorder) = recorder();
    let service = TelemetryLayer::new(handle)
        .requests(|layer| layer.sample("*", 0.5))
        .layer(by_path());
    for n in 0..100 {
        for path in ["/cart", "/checkout", "/thanks"] {
            let mut request = get(path);
            let session = HeaderValue::try_from(format!("sess-{n}")).expect("a valid value");
            request.headers_mut().insert("x-session-id", session);
            let response = service.clone().oneshot(request).await.expect("a response");
            read(response).await.expect("a body");
        }
    }
    let mut whole = 0;
    for n in 0..100 {
        let session = format!("sess-{n}");
        let kept = all(&recorder)
            .iter()
            .filter(|e| e.session() == Some(&session))
            .count();
        assert!(
            kept == 0 || kept == 3,
            "{kept} of the three steps of {session}"
        );
        whole += usize::from(kept == 3);
    }
    assert!(
        (25..=75).contains(&whole),
        "{whole} of 100 sessions kept at one half"
    );
}

#[tokio::test]
async fn the_application_may_name_its_routes() {
    let (handle, recorder) = recorder();
    let service = TrackRequestsLayer::new(handle)
        .route_with(|request| match request.uri.path() {
            "/panic" => panic!("no name for this one"),
            path if path.starts_with("/static/") => Some("/static/*".into()),
            _ => None,
        })
        .layer(by_path());
    for path in ["/static/app.js", "/orders/7", "/panic"] {
        let response = service
            .clone()
            .oneshot(get(path))
            .await
            .expect("a response");
        read(response).await.expect("a body");
    }
    assert_eq!(
        lines(&recorder),
        [
            "GET /static/* 200",
            "GET /orders/{id} 200",
            "GET /panic 200"
        ]
    );
}

#[tokio::test]
async fn a_disabled_engine_still_correlates() {
    let service = TelemetryLayer::new(disabled()).layer(service_fn(async |_: Request| {
        assert!(Correlation::current().is_some());
        Ok::<_, Infallible>(ok())
    }));
    let response = service.oneshot(get("/")).await.expect("a response");
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(read(response).await.expect("a body").0, "ok");
}

#[tokio::test]
async fn a_user_that_is_set_further_in_is_in_the_event() {
    let (handle, recorder) = recorder();
    let service = TelemetryLayer::new(handle).layer(service_fn(async |request: Request| {
        let correlation = request
            .extensions()
            .get::<Correlation>()
            .expect("a correlation");
        correlation.set_user(UserId::parse("u_42").expect("a valid id"));
        Ok::<_, Infallible>(ok())
    }));
    read(service.oneshot(get("/")).await.expect("a response"))
        .await
        .expect("a body");
    assert_eq!(only(&recorder).user(), Some("u_42"));
}
