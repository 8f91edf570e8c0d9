//! The collector's own pages.

mod common;

use std::time::Duration;

use common::{Client, Reply, batch, event, get, ids, post};
use productgraph_collector::{Collector, Fault, FaultPlan, When};
use serde_json::{Value, json};
use tokio::net::TcpStream;

async fn call(collector: &Collector, head: &str, body: &str) -> Reply {
    let head = format!("{head} HTTP/1.1");
    Client::connect(collector)
        .await
        .call(&head, body.as_bytes())
        .await
        .unwrap()
}

/// Ids on the events page for a query, and the total it names.
async fn found(collector: &Collector, query: &str) -> (u64, Vec<String>) {
    let page = get(collector, &format!("/_collector/events?{query}")).await;
    assert_eq!(page.status, 200, "{query}: {page:?}");
    let page = page.json();
    let ids = page["events"].as_array().unwrap().iter();
    let ids = ids.map(|item| item["event"]["event_id"].as_str().unwrap().to_owned());
    (page["total"].as_u64().unwrap(), ids.collect())
}

fn rich(id: &str, change: &[(&str, Value)]) -> Value {
    let mut event = event(id);
    for (key, value) in change {
        event[*key] = value.clone();
    }
    event
}

#[tokio::test]
async fn events_can_be_found_by_each_of_their_marks() {
    let collector = Collector::builder().start().await.unwrap();
    let body = batch(&[
        rich(
            "a",
            &[("session.id", json!("s 2&")), ("event.name", json!("cart"))],
        ),
        rich(
            "b",
            &[("event.type", json!("error")), ("user.id", json!("ü"))],
        ),
        rich(
            "c",
            &[("metadata", json!({"request_id": "r-1", "user.id": "ü"}))],
        ),
        rich(
            "d",
            &[
                ("event.name", json!("cart")),
                ("metadata", json!({"request_id": 7})),
            ],
        ),
    ]);
    assert_eq!(post(&collector, body).await.unwrap().json()["accepted"], 4);
    for (query, expected) in [
        ("", &["a", "b", "c", "d"][..]),
        ("session=s%202%26", &["a"]),
        ("session=s+2%26", &["a"]),
        ("session=s", &[]),
        ("type=error", &["b"]),
        ("name=cart", &["a", "d"]),
        ("name=cart&type=custom&id=d", &["d"]),
        ("user=%C3%BC", &["b"]),
        ("request_id=r-1", &["c"]),
        ("request_id=7", &[]),
        ("id=c", &["c"]),
        ("id=a&id=b", &[]),
    ] {
        let (total, ids) = found(&collector, query).await;
        assert_eq!(ids, expected, "{query}");
        assert_eq!(total, expected.len() as u64, "{query}");
    }
}

#[tokio::test]
async fn pages_are_cut_by_limit_and_offset() {
    let collector = Collector::builder().start().await.unwrap();
    let events: Vec<_> = (0..150).map(|i| event(&i.to_string())).collect();
    post(&collector, batch(&events)).await.unwrap();
    let (total, ids) = found(&collector, "").await;
    assert_eq!((total, ids.len()), (150, 100));
    let (total, ids) = found(&collector, "offset=148&limit=5").await;
    assert_eq!(
        (total, ids),
        (150, vec!["148".to_owned(), "149".to_owned()])
    );
    assert_eq!(found(&collector, "limit=0").await, (150, vec![]));
    assert_eq!(found(&collector, "offset=999").await, (150, vec![]));
}

#[tokio::test]
async fn each_event_tells_when_and_by_which_request_it_came() {
    let collector = Collector::builder().start().await.unwrap();
    collector.faults().push(Fault::status(503));
    for id in ["lost", "a", "b"] {
        post(&collector, ids(&[id])).await.unwrap();
    }
    let page = get(&collector, "/_collector/events").await.json();
    let items = page["events"].as_array().unwrap();
    assert_eq!(
        (&items[0]["arrival"], &items[0]["request"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        (&items[1]["arrival"], &items[1]["request"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(items[0]["event"], event("a"));
}

#[tokio::test]
async fn a_wrong_query_is_answered_400_with_the_reason() {
    let collector = Collector::builder().start().await.unwrap();
    for (path, word) in [
        ("events?sesion=x", "session"),
        ("events?limit=10001", "limit"),
        ("events?offset=x", "offset"),
        ("events?id=%zz", "%"),
        ("ids?format=xml", "format"),
        ("ids?x=1", "format"),
    ] {
        let reply = get(&collector, &format!("/_collector/{path}")).await;
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.body.contains(word), "{path}: {}", reply.body);
    }
    assert_eq!(get(&collector, "/_collector/nothing").await.status, 404);
    assert_eq!(
        call(&collector, "POST /_collector/events", "").await.status,
        405
    );
    let index = get(&collector, "/_collector").await;
    assert!(index.body.contains("/_collector/events"));
}

#[tokio::test]
async fn ids_come_as_json_or_lines_with_duplicates() {
    let collector = Collector::builder().start().await.unwrap();
    assert_eq!(get(&collector, "/_collector/ids").await.body, "[]\n");
    assert_eq!(
        get(&collector, "/_collector/ids?format=lines").await.body,
        ""
    );
    post(&collector, ids(&["a", "b"])).await.unwrap();
    post(&collector, ids(&["a"])).await.unwrap();
    assert_eq!(
        get(&collector, "/_collector/ids").await.json(),
        json!(["a", "b", "a"])
    );
    assert_eq!(
        get(&collector, "/_collector/ids?format=lines").await.body,
        "a\nb\na\n"
    );
}

#[tokio::test]
async fn stats_and_records_tell_what_happened_and_a_reset_forgets_it() {
    let collector = Collector::builder()
        .max_stored_events(2)
        .start()
        .await
        .unwrap();
    collector.faults().push(Fault::status(503));
    for body in [
        ids(&["x"]),
        ids(&["a", "a", "b"]),
        "{".to_owned(),
        batch(&[json!({})]),
    ] {
        post(&collector, body).await.unwrap();
    }
    let stats = get(&collector, "/_collector/stats").await.json();
    for (key, value) in [
        ("received", 4),
        ("requests", 4),
        ("faults", 1),
        ("accepted", 3),
        ("rejected", 1),
        ("duplicates", 1),
        ("evicted", 1),
        ("stored", 2),
        ("waiting", 0),
    ] {
        assert_eq!(stats[key], json!(value), "{key} in {stats}");
    }
    assert_eq!(stats["by_status"], json!({"202": 2, "400": 1, "503": 1}));
    assert_eq!(collector.event_ids(), ["a", "b"]);
    let records = get(&collector, "/_collector/requests").await.json();
    assert_eq!(records[0]["fault"], "answer");
    assert_eq!(records[1]["events"], 3);
    assert_eq!(records[1]["ending"], "answered");

    assert_eq!(
        call(&collector, "DELETE /_collector/events", "")
            .await
            .status,
        204
    );
    let stats = collector.stats();
    assert_eq!(
        (stats.received, stats.requests, stats.accepted, stats.stored),
        (0, 0, 0, 0)
    );
    assert!(collector.requests().is_empty() && collector.events().is_empty());
    assert!(stats.connections > 0 && stats.listening);
    // Ids seen before the reset are new again, numbers go on.
    post(&collector, ids(&["a"])).await.unwrap();
    assert_eq!(collector.stats().duplicates, 0);
    assert_eq!(collector.requests()[0].number, 5);
}

#[tokio::test]
async fn faults_are_set_read_and_ended_by_json() {
    let collector = Collector::builder().start().await.unwrap();
    let plan = json!({
        "next": [{"kind": "answer", "status": 429, "retry_after": 2}, {"kind": "pass"}],
        "standing": [{"fault": {"kind": "answer", "status": 500}, "when": {"every": 2}}],
    });
    let reply = call(&collector, "PUT /_collector/faults", &plan.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        get(&collector, "/_collector/faults").await.json(),
        reply.json()
    );
    let expected = FaultPlan::new()
        .next(Fault::Pass)
        .standing(Fault::status(500), When::Every(2));
    assert_eq!(post(&collector, "{}").await.unwrap().status, 429);
    assert_eq!(collector.faults().plan(), expected);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(post(&collector, "{}").await.unwrap().status);
    }
    assert_eq!(statuses, [202, 202, 500]);
    assert_eq!(
        call(&collector, "DELETE /_collector/faults", "")
            .await
            .status,
        204
    );
    assert_eq!(collector.faults().plan(), FaultPlan::new());
}

#[tokio::test]
async fn a_wrong_plan_changes_nothing() {
    let collector = Collector::builder()
        .faults(FaultPlan::new().poison("p"))
        .start()
        .await
        .unwrap();
    for plan in [
        "",
        "[]",
        "{\"nxt\":[]}",
        "{\"next\":[{\"kind\":\"explode\"}]}",
        "{\"next\":[{\"kind\":\"answer\"}]}",
        "{\"next\":[{\"kind\":\"answer\",\"status\":503,\"x\":1}]}",
        "{\"next\":[{\"kind\":\"answer\",\"status\":100}]}",
        "{\"standing\":[{\"fault\":{\"kind\":\"pass\"},\"when\":{\"every\":0}}]}",
        "{\"latency_ms\":-1}",
    ] {
        let reply = call(&collector, "PUT /_collector/faults", plan).await;
        assert_eq!(reply.status, 400, "{plan}: {reply:?}");
    }
    assert_eq!(collector.faults().plan(), FaultPlan::new().poison("p"));
}

#[tokio::test]
async fn silent_requests_can_be_released_from_outside() {
    let plan = FaultPlan::new().next(Fault::never_answer());
    let collector = Collector::builder().faults(plan).start().await.unwrap();
    let mut client = Client::connect(&collector).await;
    client
        .send("POST /v1/events HTTP/1.1", ids(&["a"]).as_bytes())
        .await
        .unwrap();
    collector.wait_for_waiting(1).await;
    assert_eq!(
        call(&collector, "POST /_collector/release", "")
            .await
            .status,
        204
    );
    assert_eq!(client.receive().await.unwrap().status, 202);
}

#[tokio::test(start_paused = true)]
async fn the_server_can_be_taken_down_for_a_while_from_outside() {
    let collector = Collector::builder().start().await.unwrap();
    for bad in ["", "?ms=x", "?ms=600001", "?s=1", "?ms=1&ms=2"] {
        assert_eq!(
            call(&collector, &format!("POST /_collector/down{bad}"), "")
                .await
                .status,
            400
        );
    }
    let reply = call(&collector, "POST /_collector/down?ms=60000", "").await;
    assert_eq!(
        (reply.status, reply.header("connection")),
        (202, Some("close"))
    );
    collector.wait_until(|stats| !stats.listening).await;
    let start = tokio::time::Instant::now();
    assert!(TcpStream::connect(collector.addr()).await.is_err());
    collector.wait_until(|stats| stats.listening).await;
    assert!(
        start.elapsed() >= Duration::from_secs(59),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(post(&collector, ids(&["a"])).await.unwrap().status, 202);
}
