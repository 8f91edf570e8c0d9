//! What becomes of accepted events, and the switches of the decoder.

mod common;

use common::{accepted, batch, event, event_with, event_without, post, raw, refused};
use productgraph_collector::{Collector, Generation};
use serde_json::json;

#[tokio::test]
async fn an_absent_timestamp_is_the_servers_own() {
    for generation in [Generation::V0_2, Generation::V0_3] {
        let collector = Collector::builder()
            .generation(generation)
            .start()
            .await
            .unwrap();
        let absent = batch(&[event_without("event.timestamp")]);
        for body in [
            absent,
            raw("event.timestamp", "\"\""),
            raw("event.timestamp", "null"),
        ] {
            accepted(&post(&collector, &body).await.unwrap(), &body);
        }
        for event in collector.events() {
            let stamp = event["event.timestamp"].as_str().unwrap();
            // Sent again as it was stored, it is a timestamp the service takes.
            let again = batch(&[event_with("event.timestamp", json!(stamp))]);
            accepted(&post(&collector, &again).await.unwrap(), stamp);
        }
    }
}

#[tokio::test]
async fn one_event_over_the_limit_refuses_the_batch() {
    let events: Vec<_> = (0..1001).map(|i| event(&i.to_string())).collect();
    for generation in [Generation::V0_2, Generation::V0_3] {
        let collector = Collector::builder()
            .generation(generation)
            .start()
            .await
            .unwrap();
        let reply = post(&collector, batch(&events)).await.unwrap();
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (400, "batch too large\n")
        );
        accepted(
            &post(&collector, batch(&events[..1000])).await.unwrap(),
            "1000 events",
        );
        // Decoding comes first, so a bad event decides about the words.
        let mut worse = events.clone();
        worse[1000]["user.id"] = json!(1);
        refused(
            &post(&collector, batch(&worse)).await.unwrap(),
            "1001 events, one bad",
        );
    }
    let collector = Collector::builder().max_events(1).start().await.unwrap();
    assert_eq!(
        post(&collector, batch(&events[..2])).await.unwrap().status,
        400
    );
}

#[tokio::test]
async fn a_lenient_collector_rounds_half_away_from_zero() {
    let collector = Collector::builder().lenient().start().await.unwrap();
    for (sent, stored) in [
        ("12.7", 13),
        ("12.4", 12),
        ("2.5", 3),
        ("-2.5", -3),
        ("-0.4", 0),
        ("1e3", 1000),
        ("1.0", 1),
        ("7", 7),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808.0", i64::MIN),
    ] {
        accepted(
            &post(&collector, raw("api.duration_ms", sent))
                .await
                .unwrap(),
            sent,
        );
        assert_eq!(
            collector.events()[0]["api.duration_ms"],
            json!(stored),
            "{sent}"
        );
        collector.reset();
    }
    for sent in ["\"12\"", "9223372036854775808", "1e400", "true", "{}"] {
        refused(
            &post(&collector, raw("api.duration_ms", sent))
                .await
                .unwrap(),
            sent,
        );
    }
}

#[tokio::test]
async fn an_accepted_event_is_stored_exactly_as_sent() {
    let collector = Collector::builder().start().await.unwrap();
    let text = r#"{ "event_id":"\u00e9-1", "product_id":"p","session.id":"s" ,"event.type":"custom","event.timestamp":"2026-01-01T00:00:00Z","metadata":{"big":1.0e2,"z":1,"a":2}}"#;
    post(&collector, format!("{{\"events\":[{text}]}}"))
        .await
        .unwrap();
    assert_eq!(collector.raw_events(), [text]);
    assert_eq!(collector.event_ids(), ["é-1"]);
}

#[tokio::test]
async fn an_event_nested_too_deeply_to_parse_is_kept_as_text() {
    let collector = Collector::builder().start().await.unwrap();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    accepted(
        &post(&collector, raw("metadata", &deep)).await.unwrap(),
        "deep",
    );
    assert!(collector.events()[0].as_str().unwrap().contains(&deep));
}

#[tokio::test]
async fn an_event_in_a_padded_body_is_stored_without_the_padding() {
    let collector = Collector::builder().start().await.unwrap();
    let body = format!(
        "{{\"pad\":\"{}\",\"events\":[{}]}}",
        "x".repeat(9000),
        event("a")
    );
    accepted(&post(&collector, body).await.unwrap(), "padded");
    assert_eq!(collector.events(), [event("a")]);
    assert_eq!(
        collector.stats().stored_bytes,
        event("a").to_string().len() as u64
    );
}

#[tokio::test]
async fn ids_can_be_kept_without_the_texts() {
    let collector = Collector::builder().ids_only().start().await.unwrap();
    let body = batch(&[event("a"), event("b")]);
    for _ in 0..2 {
        accepted(&post(&collector, &body).await.unwrap(), &body);
    }
    assert_eq!(collector.event_ids(), ["a", "b", "a", "b"]);
    assert_eq!(collector.stats().duplicates, 2);
    assert!(collector.raw_events().iter().all(String::is_empty));
}
