//! Events, providers and a bare server for the tests beside this file.

use std::net::SocketAddr;
use std::time::Duration;

use productgraph::providers::{IntoProvider, ProductGraph, Setup};
use productgraph::{Event, Events, Outcome, Provider};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A limit for waits that end by themselves, so that a failing test ends too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A valid event with this id.
pub(crate) fn event(id: &str) -> Event {
    let event = json!({
        "event_id": id,
        "session.id": "018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f",
        "event.type": "custom",
        "event.name": "test",
        "event.timestamp": "2026-01-01T00:00:00.000Z",
    });
    Event::from_wire(event.to_string()).expect("a valid event")
}

/// Valid events `e0`, `e1`, ...
pub(crate) fn events(count: usize) -> Vec<Event> {
    (0..count).map(|n| event(&format!("e{n}"))).collect()
}

pub(crate) fn build(provider: impl IntoProvider) -> Box<dyn Provider<Event>> {
    provider
        .into_provider(&Setup::new("shop"))
        .expect("a valid configuration")
}

/// A provider for `endpoint` with default settings.
pub(crate) fn provider(endpoint: impl Into<String>) -> Box<dyn Provider<Event>> {
    build(ProductGraph::new(endpoint))
}

/// Encodes all of `events` into one body and sends it once.
pub(crate) async fn deliver(provider: &dyn Provider<Event>, events: &[Event]) -> Outcome {
    let events = Events::from_slice(events);
    let encoded = provider.encode(&events, provider.limits().max_bytes.get());
    assert_eq!((encoded.consumed, encoded.refused.len()), (events.len(), 0));
    let sent = provider.send(encoded.body, events);
    tokio::time::timeout(PATIENCE, sent)
        .await
        .expect("an outcome in time")
}

/// The kind of the cause of `outcome`, with the name of the outcome before it.
pub(crate) fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered => "delivered".into(),
        Outcome::PerEvent(_) => "per event".into(),
        Outcome::Retry { cause, .. } => format!("retry {}", cause.kind),
        Outcome::Split { cause } => format!("split {}", cause.kind),
        Outcome::Poisoned { cause } => format!("poisoned {}", cause.kind),
        Outcome::Hold { cause } => format!("hold {}", cause.kind),
        other => format!("{other:?}"),
    }
}

/// A listener on a free loopback port.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

/// Reads one request with a `content-length` body and returns its head.
pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    let head = String::from_utf8(head)
        .expect("an ASCII head")
        .to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    head
}

/// Answers a request of one event.
pub(crate) async fn write_receipt(stream: &mut TcpStream) {
    let body = r#"{"accepted":1,"rejected":0}"#;
    let answer = format!(
        "HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(answer.as_bytes())
        .await
        .expect("an open connection");
}
