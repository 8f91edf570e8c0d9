//! The handlers for axum.
#![cfg(feature = "axum")]

mod health_support;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use health_support::{SECOND, attached, status, track, turns};
use http_body_util::BodyExt;
use productgraph::providers::Memory;
use productgraph::{Cause, Engine, Outcome};
use serde_json::Value;
use tower::ServiceExt;

async fn ask(router: &Router, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response: Response<Body> = router.clone().oneshot(request).await.expect("an answer");
    let kind = response.headers()["content-type"]
        .to_str()
        .expect("text")
        .to_owned();
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    (
        status,
        kind,
        String::from_utf8(body.to_vec()).expect("text"),
    )
}

async fn health(router: &Router) -> (StatusCode, Value) {
    let (status, kind, body) = ask(router, "/health").await;
    assert_eq!(kind, "application/json");
    (status, serde_json::from_str(&body).expect("json"))
}

#[tokio::test(start_paused = true)]
async fn health_is_503_only_when_somebody_has_to_act() {
    let memory = Memory::new();
    memory.answer(status(503));
    memory.answer(Outcome::Hold {
        cause: Cause::status(401),
    });
    let engine = attached(&memory).spawn().expect("it starts");
    let router: Router = engine.monitor().router();
    let (status, json) = health(&router).await;
    assert_eq!(
        (status, &json["state"]),
        (StatusCode::OK, &"healthy".into())
    );
    track(&engine, 10);
    turns().await;
    let (status, json) = health(&router).await;
    assert_eq!(
        (status, &json["state"]),
        (StatusCode::OK, &"degraded".into())
    );
    assert!(
        json["why"][0]
            .as_str()
            .is_some_and(|why| why.contains("status 503"))
    );
    health_support::pass(SECOND).await;
    let (status, json) = health(&router).await;
    let unwell = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!((status, &json["state"]), (unwell, &"unhealthy".into()));
    assert_eq!(json["providers"][0]["held"], true);
    engine.shutdown(SECOND).await;
    let (status, json) = health(&router).await;
    assert_eq!((status, &json["state"]), (unwell, &"stopped".into()));
    drop(engine);
    let (status, json) = health(&router).await;
    assert_eq!((status, &json["state"]), (unwell, &"stopped".into()));
}

#[tokio::test]
async fn an_engine_that_is_switched_off_answers_too() {
    let engine = Engine::builder().enabled(false).spawn().expect("it starts");
    let router: Router = engine.monitor().router();
    let (status, json) = health(&router).await;
    assert_eq!(
        (status, &json["state"]),
        (StatusCode::OK, &"disabled".into())
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_are_prometheus_text() {
    let engine = attached(&Memory::new()).spawn().expect("it starts");
    track(&engine, 3);
    let router: Router = engine.monitor().named("shop").router();
    let (status, kind, body) = ask(&router, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(body.contains("\nproductgraph_engine_events_accepted_total{engine=\"shop\"} 3\n"));
}

#[tokio::test(start_paused = true)]
async fn a_scrape_is_no_event_when_merged_after_the_layer_or_excluded() {
    let engine = attached(&Memory::new())
        .excluded_paths(["/health", "/metrics"])
        .spawn()
        .expect("it starts");
    let hello = || Router::new().route("/hello", get(async || "hello"));
    let after = hello()
        .layer(engine.layer())
        .merge(engine.monitor().router());
    let inside = hello()
        .merge(engine.monitor().router())
        .layer(engine.layer());
    for router in [after, inside] {
        let before = engine.ledger().accepted;
        for path in ["/health", "/metrics"] {
            assert_eq!(ask(&router, path).await.0, StatusCode::OK);
        }
        assert_eq!(engine.ledger().accepted, before);
        assert_eq!(ask(&router, "/hello").await.2, "hello");
        assert_eq!(engine.ledger().accepted, before + 1);
    }
}
