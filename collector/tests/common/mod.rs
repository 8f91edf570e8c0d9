//! A client that sends exactly what a test says.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io;

use productgraph_collector::Collector;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// The value of a header, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// One connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn connect(collector: &Collector) -> Self {
        Self(
            TcpStream::connect(collector.addr())
                .await
                .expect("the collector listens"),
        )
    }

    /// Sends bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Sends a request with a length and a body.
    pub(crate) async fn send(&mut self, head: &str, body: &[u8]) -> io::Result<()> {
        let mut request = format!(
            "{head}\r\nhost: test\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.write(&request).await
    }

    /// Reads one answer; an error when the connection ends before it does.
    pub(crate) async fn receive(&mut self) -> io::Result<Reply> {
        let mut seen = Vec::new();
        let head_len = loop {
            if let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut seen).await?;
        };
        let head = String::from_utf8_lossy(&seen[..head_len]).into_owned();
        let mut reply = Reply {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|s| s.parse().ok())
                .expect("a status"),
            head,
            body: String::new(),
        };
        let length = reply
            .header("content-length")
            .map_or(0, |l| l.parse().expect("a length"));
        while seen.len() < head_len + length {
            self.more(&mut seen).await?;
        }
        reply.body = String::from_utf8_lossy(&seen[head_len..]).into_owned();
        Ok(reply)
    }

    async fn more(&mut self, seen: &mut Vec<u8>) -> io::Result<()> {
        let mut chunk = vec![0; 64 * 1024];
        match self.0.read(&mut chunk).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                seen.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn call(&mut self, head: &str, body: &[u8]) -> io::Result<Reply> {
        self.send(head, body).await?;
        self.receive().await
    }

    /// How the connection ends, with nothing more to come.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest).await? {
            0 => Ok(()),
            _ => Err(io::Error::other(
                String::from_utf8_lossy(&rest).into_owned(),
            )),
        }
    }
}

/// Posts a body over a connection of its own.
pub(crate) async fn post(collector: &Collector, body: impl AsRef<[u8]>) -> io::Result<Reply> {
    Client::connect(collector)
        .await
        .call("POST /v1/events HTTP/1.1", body.as_ref())
        .await
}

/// Asks for a page.
pub(crate) async fn get(collector: &Collector, path: &str) -> Reply {
    let head = format!("GET {path} HTTP/1.1");
    Client::connect(collector)
        .await
        .call(&head, b"")
        .await
        .expect("an answer")
}

/// A complete event for both generations.
pub(crate) fn event(id: &str) -> Value {
    json!({
        "event_id": id,
        "product_id": "shop",
        "project_id": "shop",
        "session.id": "s-1",
        "event.type": "custom",
        "event.timestamp": "2026-01-01T00:00:00.000Z",
    })
}

/// A complete event with one key set to something else.
pub(crate) fn event_with(key: &str, value: Value) -> Value {
    let mut event = event("e-1");
    event[key] = value;
    event
}

/// A complete event without one key.
pub(crate) fn event_without(key: &str) -> Value {
    let mut event = event("e-1");
    event.as_object_mut().expect("an object").remove(key);
    event
}

/// A request body.
pub(crate) fn batch(events: &[Value]) -> String {
    json!({ "events": events }).to_string()
}

/// A request body with events of these ids.
pub(crate) fn ids(ids: &[&str]) -> String {
    batch(&ids.iter().map(|id| event(id)).collect::<Vec<_>>())
}
