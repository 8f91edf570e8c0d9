//! Connections: reuse, clocks, limits, and the server going down, up and away.

mod common;

use std::time::Duration;

use common::{Client, ids, post};
use productgraph_collector::{Collector, Ending, StartError};
use tokio::net::TcpStream;

const POST: &str = "POST /v1/events HTTP/1.1";

#[tokio::test]
async fn a_pooling_client_reuses_its_connection() {
    let collector = Collector::builder().start().await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for id in ["a", "b", "c"] {
        let reply = client
            .post(collector.endpoint())
            .body(ids(&[id]))
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), 202);
        assert_eq!(
            reply.text().await.unwrap(),
            "{\"accepted\":1,\"rejected\":0}\n"
        );
    }
    assert_eq!(collector.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_its_time() {
    let idle = Duration::from_secs(60);
    let collector = Collector::builder().start().await.unwrap();
    let mut client = Client::connect(&collector).await;
    assert_eq!(
        client
            .call(POST, ids(&["a"]).as_bytes())
            .await
            .unwrap()
            .status,
        202
    );
    let start = tokio::time::Instant::now();
    client.end().await.unwrap();
    assert!(start.elapsed() >= idle, "{:?}", start.elapsed());
    assert!(start.elapsed() < idle * 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_short_idle_time_cuts_between_two_requests() {
    let idle = Duration::from_millis(1);
    let collector = Collector::builder()
        .idle_timeout(idle)
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&collector).await;
    assert_eq!(
        client
            .call(POST, ids(&["a"]).as_bytes())
            .await
            .unwrap()
            .status,
        202
    );
    client.end().await.unwrap();
    collector
        .wait_until(|stats| stats.open_connections == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_nothing_is_closed_after_the_read_time() {
    let collector = Collector::builder().start().await.unwrap();
    let mut client = Client::connect(&collector).await;
    let start = tokio::time::Instant::now();
    client.end().await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_in_time_is_an_invalid_one() {
    let collector = Collector::builder().start().await.unwrap();
    let mut client = Client::connect(&collector).await;
    let body = ids(&["a"]);
    let head = format!(
        "{POST}\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write(head.as_bytes()).await.unwrap();
    client.write(&body.as_bytes()[..10]).await.unwrap();
    let reply = client.receive().await.unwrap();
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (400, "invalid request body\n")
    );
    assert_eq!(collector.requests()[0].body_len, 10);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_is_recorded() {
    let collector = Collector::builder().start().await.unwrap();
    let mut client = Client::connect(&collector).await;
    let head = format!("{POST}\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{\"events\"");
    client.write(head.as_bytes()).await.unwrap();
    drop(client);
    collector.wait_for_requests(1).await;
    assert!(collector.event_ids().is_empty());
}

#[tokio::test]
async fn one_connection_too_many_is_reset() {
    let collector = Collector::builder()
        .max_connections(1)
        .start()
        .await
        .unwrap();
    let mut first = Client::connect(&collector).await;
    assert_eq!(
        first
            .call(POST, ids(&["a"]).as_bytes())
            .await
            .unwrap()
            .status,
        202
    );
    assert!(post(&collector, ids(&["b"])).await.is_err());
    assert_eq!(collector.stats().connections_refused, 1);
    drop(first);
    collector
        .wait_until(|stats| stats.open_connections == 0)
        .await;
    assert_eq!(post(&collector, ids(&["c"])).await.unwrap().status, 202);
}

#[tokio::test]
async fn while_it_is_down_connections_are_refused_and_open_ones_reset() {
    let collector = Collector::builder().start().await.unwrap();
    let mut client = Client::connect(&collector).await;
    assert_eq!(
        client
            .call(POST, ids(&["a"]).as_bytes())
            .await
            .unwrap()
            .status,
        202
    );
    let down = collector.faults().down();
    collector
        .wait_until(|stats| !stats.listening && stats.open_connections == 0)
        .await;
    assert!(client.end().await.is_err());
    let refused = TcpStream::connect(collector.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    down.up();
    collector.wait_until(|stats| stats.listening).await;
    assert_eq!(post(&collector, ids(&["b"])).await.unwrap().status, 202);
    assert_eq!(collector.event_ids(), ["a", "b"]);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let first = Collector::builder().start().await.unwrap();
    let second = Collector::builder()
        .addr(first.addr())
        .start()
        .await
        .unwrap_err();
    assert!(
        matches!(second, StartError::Listen { addr, .. } if addr == first.addr()),
        "{second}"
    );
}

#[tokio::test]
async fn shutdown_cuts_held_requests_and_refuses_new_connections() {
    let collector = Collector::builder().start().await.unwrap();
    let addr = collector.addr();
    let _guard = collector.faults().hold();
    let mut client = Client::connect(&collector).await;
    client.send(POST, ids(&["a"]).as_bytes()).await.unwrap();
    collector.wait_for_waiting(1).await;
    let stats = collector.shutdown().await;
    assert_eq!(
        (stats.requests, stats.resets, stats.open_connections),
        (1, 1, 0)
    );
    assert!(client.receive().await.is_err());
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn dropping_the_collector_closes_everything() {
    let collector = Collector::builder().start_blocking().unwrap();
    let mut client = Client::connect(&collector).await;
    assert_eq!(
        client
            .call(POST, ids(&["a"]).as_bytes())
            .await
            .unwrap()
            .status,
        202
    );
    drop(collector);
    // However it ends, it ends.
    let _ = client.end().await;
}

#[tokio::test]
async fn records_are_bounded_and_only_the_last_bodies_kept() {
    let collector = Collector::builder()
        .max_records(3)
        .keep_bodies(1)
        .start()
        .await
        .unwrap();
    for id in ["a", "b", "c", "d"] {
        post(&collector, ids(&[id])).await.unwrap();
    }
    let records = collector.requests();
    assert_eq!(
        records.iter().map(|r| r.number).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    let bodies: Vec<_> = records.iter().map(|r| r.body.as_deref()).collect();
    assert_eq!(bodies, [None, None, Some(ids(&["d"]).as_bytes())]);
    let last = &records[2];
    assert_eq!(
        (last.method.as_str(), last.events, last.accepted),
        ("POST", 1, 1)
    );
    assert_eq!((last.status, last.ending), (Some(202), Ending::Answered));
    assert_eq!(last.header("host"), Some("test"));
}
