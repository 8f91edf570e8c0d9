//! What tracking a request costs in allocations: nothing beyond its correlation.

mod middleware_support;

use std::convert::Infallible;
use std::future::ready;

use allocation_counter::measure;
use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Request};
use middleware_support::{Script, disabled, get, lines, ok, read, recorder};
use productgraph::middleware::{CorrelationLayer, TelemetryLayer, TrackRequestsLayer};
use tokio::runtime::{Builder, Runtime};
use tower::{Service, service_fn};
use tower_layer::Layer;

const REQUESTS: u64 = 1_000;
/// Allocations of the recording double itself, whose memory grows now and then.
const GROWTH: u64 = 20;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

fn correlated<B: Default>(path: &str) -> Request<B> {
    let mut request = get(path).map(|()| B::default());
    let headers = request.headers_mut();
    headers.insert(
        "x-session-id",
        HeaderValue::from_static("sess-lx2k9a00-0f1e2d3c"),
    );
    headers.insert(
        "x-request-id",
        HeaderValue::from_static("r-0123456789abcdef"),
    );
    request
}

/// Allocations of requests that are answered and read to the end, after a first one.
fn allocations<S, In, Out>(path: &str, service: S) -> u64
where
    S: Service<Request<In>, Response = http::Response<Out>>,
    In: Default,
    Out: http_body::Body<Data = bytes::Bytes>,
{
    let runtime = runtime();
    let mut service = service;
    let mut answer = || {
        let exchange = async {
            std::future::poll_fn(|cx| service.poll_ready(cx))
                .await
                .ok()?;
            let response = service.call(correlated(path)).await.ok()?;
            read(response).await.ok()
        };
        assert!(
            runtime.block_on(exchange).is_some(),
            "every request is answered"
        );
    };
    answer();
    let info = measure(|| (0..REQUESTS).for_each(|_| answer()));
    info.count_total
}

fn handler()
-> impl Service<Request<()>, Response = http::Response<Script>, Error = Infallible, Future: Send> + Clone
{
    service_fn(|_| ready(Ok(ok())))
}

#[test]
fn tracking_a_correlated_request_allocates_nothing() {
    for path in [
        "/cart",
        "/organisations/12345/invoices/0123456789abcdef/reminders",
    ] {
        let correlation = allocations(path, CorrelationLayer::new().layer(handler()));
        let (handle, recorder) = recorder();
        let both = allocations(path, TelemetryLayer::new(handle).layer(handler()));
        assert!(
            both <= correlation + GROWTH,
            "{both} and {correlation} for {path}"
        );
        assert_eq!(
            lines(&recorder).len() as u64,
            REQUESTS + 1,
            "all of them were tracked"
        );
    }
}

#[test]
fn tracking_a_correlated_request_of_an_axum_route_allocates_nothing() {
    let route = "/organisations/{organisation}/invoices/{invoice}/reminders";
    let path = "/organisations/12345/invoices/67890/reminders";
    let router = || Router::new().route(route, axum::routing::get(async || "reminders"));
    let correlation = allocations::<_, Body, _>(path, router().layer(CorrelationLayer::new()));
    let (handle, recorder) = recorder();
    let both = allocations::<_, Body, _>(path, router().layer(TelemetryLayer::new(handle)));
    assert!(both <= correlation + GROWTH, "{both} and {correlation}");
    assert_eq!(lines(&recorder)[0], format!("GET {route} 200"));
}

#[test]
fn a_disabled_tracker_allocates_nothing_at_all() {
    let plain = allocations("/cart", handler());
    let tracked = allocations(
        "/cart",
        TrackRequestsLayer::new(disabled()).layer(handler()),
    );
    assert_eq!(tracked, plain);
}
