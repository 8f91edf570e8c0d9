//! What runs inside a request sees its correlation; what came from outside is not believed.

mod middleware_support;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue, Response};
use middleware_support::{Script, Turn, get, ok, read};
use productgraph::correlation::{
    Correlation, ExtractOptions, ExtractStats, SessionMinting, SessionSource, UserSource,
};
use productgraph::middleware::CorrelationLayer;
use proptest::prelude::*;
use tower::{Service, ServiceExt, service_fn};
use tower_layer::Layer;

type Request = http::Request<()>;

fn with_headers(headers: &[(&'static str, &str)]) -> Request {
    let mut request = get("/");
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("a valid value");
        request.headers_mut().append(*name, value);
    }
    request
}

/// The correlation that a handler sees, and the response's headers.
async fn seen(layer: CorrelationLayer, request: Request) -> (Correlation, http::HeaderMap) {
    let seen = Arc::new(Mutex::new(None));
    let service = layer.layer(service_fn(|request: Request| {
        let current = Correlation::current().expect("the call runs inside the scope");
        let extension = request
            .extensions()
            .get::<Correlation>()
            .expect("an extension");
        assert!(extension.ptr_eq(&current));
        let seen = Arc::clone(&seen);
        async move {
            let inside = Correlation::current().expect("the future runs inside the scope");
            assert!(inside.ptr_eq(&current));
            *seen.lock().expect("no panic") = Some(inside);
            Ok::<_, Infallible>(ok())
        }
    }));
    let response = service.oneshot(request).await.expect("a response");
    assert!(Correlation::current().is_none(), "nothing is left behind");
    let seen = seen
        .lock()
        .expect("no panic")
        .take()
        .expect("the handler ran");
    (seen, response.headers().clone())
}

#[tokio::test]
async fn the_ids_of_the_headers_are_adopted_and_the_request_id_is_echoed() {
    let request = with_headers(&[("x-session-id", "sess-lx2k9a00-1"), ("x-request-id", "r-1")]);
    let (correlation, headers) = seen(CorrelationLayer::new(), request).await;
    assert_eq!(correlation.session_id().text(), "sess-lx2k9a00-1");
    assert_eq!(correlation.session_source(), SessionSource::Adopted);
    assert_eq!(
        correlation.request_id().map(ToString::to_string).as_deref(),
        Some("r-1")
    );
    assert_eq!(headers["x-request-id"], "r-1");
}

#[tokio::test]
async fn what_is_missing_is_minted_and_the_minted_request_id_is_echoed() {
    let (correlation, headers) = seen(CorrelationLayer::new(), get("/")).await;
    assert_eq!(correlation.session_source(), SessionSource::Request);
    let id = correlation.request_id().expect("a minted id");
    assert_eq!(headers["x-request-id"], id.text().as_str());
}

#[tokio::test]
async fn hostile_request_ids_are_replaced_and_never_echoed() {
    let long = "a".repeat(129);
    for hostile in [
        "<script>", "a b", "null", "", "r\t1", &long, "{}", "../../é",
    ] {
        let mut request = get("/");
        let value = HeaderValue::from_bytes(hostile.as_bytes()).expect("a possible value");
        request.headers_mut().insert("x-request-id", value);
        let (correlation, headers) = seen(CorrelationLayer::new(), request).await;
        let echoed = headers["x-request-id"].to_str().expect("an id is ASCII");
        assert_ne!(echoed, hostile);
        assert_eq!(
            correlation.request_id().map(ToString::to_string).as_deref(),
            Some(echoed)
        );
    }
}

#[tokio::test]
async fn a_user_header_is_believed_only_when_asked_and_then_marked() {
    let request = || with_headers(&[("x-user-id", "u_1")]);
    let (correlation, _) = seen(CorrelationLayer::new(), request()).await;
    assert_eq!(correlation.user_id(), None);

    let options = ExtractOptions::new().claimed_user_from(HeaderName::from_static("x-user-id"));
    let (correlation, _) = seen(CorrelationLayer::new().extract(options), request()).await;
    assert_eq!(correlation.user_source(), Some(UserSource::Claimed));
}

#[tokio::test]
async fn names_and_minting_are_the_application_s_choice() {
    let options = ExtractOptions::new()
        .request_header(HeaderName::from_static("x-correlation-id"))
        .session_minting(SessionMinting::PerProcess);
    let layer = CorrelationLayer::new().extract(options);
    let (correlation, headers) = seen(layer, with_headers(&[("x-correlation-id", "c-1")])).await;
    assert_eq!(correlation.session_source(), SessionSource::Process);
    assert_eq!(headers["x-correlation-id"], "c-1");
    assert!(!headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn nothing_is_echoed_when_switched_off() {
    let request = with_headers(&[("x-request-id", "r-1")]);
    let (_, headers) = seen(CorrelationLayer::new().echo(false), request).await;
    assert!(headers.is_empty());
}

#[tokio::test]
async fn what_requests_brought_is_counted_once_each() {
    let stats = Arc::new(ExtractStats::default());
    let layer = CorrelationLayer::new().stats(Arc::clone(&stats));
    seen(layer.clone(), with_headers(&[("x-session-id", "s-1")])).await;
    seen(
        layer.clone(),
        with_headers(&[("x-session-id", "not valid")]),
    )
    .await;
    seen(layer, get("/")).await;
    let counts = stats.snapshot();
    assert_eq!((counts.sessions_adopted, counts.sessions_minted), (1, 2));
    assert_eq!(counts.sessions_refused.total(), 1);
}

#[tokio::test]
async fn a_request_id_that_the_handler_set_stays() {
    let service = CorrelationLayer::new().layer(service_fn(|_: Request| {
        let mut response = ok();
        response
            .headers_mut()
            .insert("x-request-id", HeaderValue::from_static("own"));
        ready(Ok::<_, Infallible>(response))
    }));
    let response = service.oneshot(get("/")).await.expect("a response");
    let ids: Vec<_> = response.headers().get_all("x-request-id").iter().collect();
    assert_eq!(ids, ["own"]);
}

#[tokio::test]
async fn the_request_arrives_with_the_headers_it_was_sent_with() {
    let sent = with_headers(&[
        ("x-session-id", "null"),
        ("x-user-id", "u"),
        ("x-request-id", "r"),
    ]);
    let headers = sent.headers().clone();
    let kept = Arc::new(Mutex::new(None));
    let service = CorrelationLayer::new().layer(service_fn(|request: Request| {
        *kept.lock().expect("no panic") = Some(request.headers().clone());
        ready(Ok::<_, Infallible>(ok()))
    }));
    service.oneshot(sent).await.expect("a response");
    assert_eq!(kept.lock().expect("no panic").take(), Some(headers));
}

type Sightings = Arc<Mutex<Vec<Option<String>>>>;

fn witness(sightings: &Sightings) -> Box<dyn FnMut() + Send> {
    let sightings = Arc::clone(sightings);
    Box::new(move || {
        let session = Correlation::current().map(|c| c.session_id().to_string());
        sightings.lock().expect("no panic").push(session);
    })
}

#[tokio::test]
async fn a_streaming_body_is_polled_and_dropped_inside_the_correlation() {
    let sightings = Sightings::default();
    let service = CorrelationLayer::new().layer(service_fn(|_: Request| {
        let mut body = Script::new([Turn::Data("a"), Turn::Data("b")]);
        body.witness = Some(witness(&sightings));
        ready(Ok::<_, Infallible>(Response::new(body)))
    }));
    let response = service
        .oneshot(with_headers(&[("x-session-id", "s-1")]))
        .await;
    let (text, _) = read(response.expect("a response")).await.expect("a body");
    assert_eq!(text, "ab");
    let sightings = sightings.lock().expect("no panic");
    assert_eq!(sightings.len(), 4, "three polls and the drop");
    assert!(
        sightings
            .iter()
            .all(|session| session.as_deref() == Some("s-1")),
        "{sightings:?}"
    );
}

#[tokio::test]
async fn a_cancelled_handler_is_dropped_inside_the_correlation() {
    let sightings = Sightings::default();
    let mut service = CorrelationLayer::new().layer(service_fn(|_: Request| {
        let mut held = Script::new([]);
        held.witness = Some(witness(&sightings));
        async move {
            let _held = held;
            pending::<Result<Response<Script>, Infallible>>().await
        }
    }));
    drop(service.call(with_headers(&[("x-session-id", "s-2")])));
    assert_eq!(
        *sightings.lock().expect("no panic"),
        [Some("s-2".to_owned())]
    );
}

#[tokio::test]
async fn two_interleaved_bodies_keep_their_correlations_apart() {
    let sightings = [Sightings::default(), Sightings::default()];
    let mut bodies = Vec::new();
    for (session, sightings) in ["s-a", "s-b"].iter().zip(&sightings) {
        let service = CorrelationLayer::new().layer(service_fn(|_: Request| {
            let mut body = Script::new([Turn::Data("x"), Turn::Data("y"), Turn::Data("z")]);
            body.witness = Some(witness(sightings));
            ready(Ok::<_, Infallible>(Response::new(body)))
        }));
        let response = service
            .oneshot(with_headers(&[("x-session-id", session)]))
            .await;
        bodies.push(response.expect("a response").into_body());
    }
    for _ in 0..3 {
        for body in &mut bodies {
            http_body_util::BodyExt::frame(body)
                .await
                .expect("a frame")
                .expect("no error");
        }
    }
    drop(bodies);
    for (session, sightings) in ["s-a", "s-b"].iter().zip(&sightings) {
        let sightings = sightings.lock().expect("no panic");
        assert_eq!(sightings.len(), 4);
        assert!(
            sightings
                .iter()
                .all(|seen| seen.as_deref() == Some(*session))
        );
    }
}

proptest! {
    #[test]
    fn any_headers_give_a_valid_session_and_a_safe_echo(
        session in proptest::collection::vec(any::<u8>(), 0..300),
        request in proptest::collection::vec(any::<u8>(), 0..300),
        trace in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut sent = get("/");
        for (name, value) in
            [("x-session-id", session), ("x-request-id", request), ("traceparent", trace)]
        {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                sent.headers_mut().insert(name, value);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (correlation, headers) = runtime.block_on(seen(CorrelationLayer::new(), sent));
        prop_assert!(!correlation.session_id().text().is_empty());
        let echoed = headers["x-request-id"].to_str().expect("visible ASCII");
        prop_assert!((1..=128).contains(&echoed.len()));
        prop_assert!(!echoed.contains(['<', '>', '"', '\'', ' ']));
    }
}
