//! The behaviour every client of the service sees.

mod common;

use common::{Client, batch, event, event_without, get, ids, post};
use productgraph_collector::{Collector, Generation};
use serde_json::json;

#[tokio::test]
async fn a_good_batch_is_accepted_and_stored_in_order() {
    let collector = Collector::builder().start().await.unwrap();
    let reply = post(&collector, ids(&["a", "b"])).await.unwrap();
    assert_eq!(reply.status, 202);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    // The key `errors` is left out when nothing was rejected.
    assert_eq!(reply.body, "{\"accepted\":2,\"rejected\":0}\n");
    assert_eq!(collector.event_ids(), ["a", "b"]);
    assert_eq!(collector.events()[1], event("b"));
}

#[tokio::test]
async fn rejected_events_are_named_by_index_and_the_others_stored() {
    let collector = Collector::builder().start().await.unwrap();
    let body = batch(&[
        event("a"),
        event_without("session.id"),
        event("c"),
        json!({}),
    ]);
    let reply = post(&collector, body).await.unwrap();
    assert_eq!(reply.status, 202);
    assert_eq!(
        reply.json(),
        json!({"accepted": 2, "rejected": 2, "errors": [
            {"index": 1, "error": "session.id: required"},
            {"index": 3, "error": "event_id: required"},
        ]})
    );
    assert_eq!(collector.event_ids(), ["a", "c"]);
}

#[tokio::test]
async fn the_wrong_generations_tenant_key_is_accepted_with_nothing_stored() {
    let body = |key: &str| {
        batch(&[json!({"event_id": "a", key: "shop", "session.id": "s", "event.type": "custom"})])
    };
    for (generation, right, wrong) in [
        (Generation::V0_2, "project_id", "product_id"),
        (Generation::V0_3, "product_id", "project_id"),
    ] {
        let collector = Collector::builder()
            .generation(generation)
            .start()
            .await
            .unwrap();
        let reply = post(&collector, body(wrong)).await.unwrap();
        assert_eq!(reply.status, 202);
        assert_eq!(
            reply.json(),
            json!({"accepted": 0, "rejected": 1, "errors": [
                {"index": 0, "error": format!("{right}: required")},
            ]})
        );
        assert!(collector.event_ids().is_empty());
        assert_eq!(
            post(&collector, body(right)).await.unwrap().json()["accepted"],
            1
        );
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let collector = Collector::builder().start().await.unwrap();
    let mut client = Client::connect(&collector).await;
    for id in ["a", "b", "c"] {
        let reply = client
            .call("POST /v1/events HTTP/1.1", ids(&[id]).as_bytes())
            .await
            .unwrap();
        assert_eq!(reply.status, 202);
    }
    let stats = collector.stats();
    assert_eq!(
        (stats.connections, stats.requests, stats.accepted),
        (1, 3, 3)
    );
}

#[tokio::test]
async fn other_methods_are_refused_by_text() {
    let collector = Collector::builder().start().await.unwrap();
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let head = format!("{method} /v1/events HTTP/1.1");
        let reply = Client::connect(&collector)
            .await
            .call(&head, b"")
            .await
            .unwrap();
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.body, "Method Not Allowed\n");
        assert_eq!(reply.header("allow"), Some("POST"));
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
    assert_eq!(get(&collector, "/v1/events/").await.status, 404);
}

#[tokio::test]
async fn health_and_readiness_are_static() {
    let collector = Collector::builder().start().await.unwrap();
    let health = get(&collector, "/health").await;
    assert_eq!(
        (health.status, health.body.as_str()),
        (200, "{\"status\":\"ok\"}")
    );
    let ready = get(&collector, "/ready").await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (200, "{\"status\":\"ready\"}")
    );
    assert_eq!(collector.stats().requests, 0);
}

#[tokio::test]
async fn a_preflight_is_allowed_everywhere_with_the_origin_echoed() {
    let collector = Collector::builder().start().await.unwrap();
    for path in ["/v1/events", "/health", "/nowhere"] {
        let head = format!("OPTIONS {path} HTTP/1.1\r\norigin: https://shop.example");
        let reply = Client::connect(&collector)
            .await
            .call(&head, b"")
            .await
            .unwrap();
        assert_eq!(reply.status, 204, "{path}");
        assert_eq!(
            reply.header("access-control-allow-origin"),
            Some("https://shop.example")
        );
        assert_eq!(
            reply.header("access-control-allow-credentials"),
            Some("true")
        );
        assert_eq!(
            reply.header("access-control-allow-headers"),
            Some("Content-Type, Authorization, X-PG-API-Key")
        );
    }
    let reply = post(&collector, ids(&["a"])).await.unwrap();
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn the_collectors_own_pages_are_closed_to_other_sites() {
    let collector = Collector::builder().start().await.unwrap();
    let head = "OPTIONS /_collector/events HTTP/1.1\r\norigin: https://shop.example";
    let reply = Client::connect(&collector)
        .await
        .call(head, b"")
        .await
        .unwrap();
    assert_eq!(reply.header("access-control-allow-origin"), None);
    let reply = get(&collector, "/_collector/stats").await;
    assert_eq!(
        (reply.status, reply.header("access-control-allow-origin")),
        (200, None)
    );
}

#[tokio::test]
async fn a_key_is_checked_only_when_asked_for() {
    let collector = Collector::builder()
        .require_key("k-1")
        .start()
        .await
        .unwrap();
    let body = ids(&["a"]);
    for (header, status) in [
        ("", 401),
        ("\r\nx-pg-api-key: k-2", 401),
        ("\r\nx-pg-api-key: k-1", 202),
        ("\r\nX-PG-API-Key: k-1", 202),
    ] {
        let head = format!("POST /v1/events HTTP/1.1{header}");
        let reply = Client::connect(&collector)
            .await
            .call(&head, body.as_bytes())
            .await
            .unwrap();
        assert_eq!(reply.status, status, "{header:?}");
    }
    assert_eq!(collector.stats().by_status[&401], 2);
    let records = collector.requests();
    assert_eq!(records[2].header("x-pg-api-key"), Some("<redacted>"));
    assert!(!format!("{records:?}{collector:?}").contains("k-1"));
}

#[tokio::test]
async fn a_collector_outside_loopback_must_be_asked_for() {
    let anywhere = ([0, 0, 0, 0], 0).into();
    let refused = Collector::builder()
        .addr(anywhere)
        .start()
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("0.0.0.0"), "{refused}");
    let collector = Collector::builder()
        .addr(anywhere)
        .allow_remote()
        .start()
        .await
        .unwrap();
    assert!(collector.endpoint().starts_with("http://127.0.0.1:"));
}

#[test]
fn a_collector_on_its_own_thread_needs_no_runtime_around_it() {
    use std::io::{Read, Write};
    let collector = Collector::builder().start_blocking().unwrap();
    let mut socket = std::net::TcpStream::connect(collector.addr()).unwrap();
    let body = ids(&["a"]);
    write!(
        socket,
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let long = std::time::Duration::from_secs(30);
    assert!(collector.wait_until_blocking(long, |stats| stats.accepted == 1));
    let mut reply = String::new();
    socket.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
    let none = std::time::Duration::ZERO;
    assert!(!collector.wait_until_blocking(none, |stats| stats.accepted == 2));
    let stats = collector.shutdown_blocking();
    assert_eq!((stats.accepted, stats.listening), (1, false));
}
