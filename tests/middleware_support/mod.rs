//! What the middleware tests share: scripted bodies and a plain view of recorded events.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use productgraph::event::wire::WireOptions;
use productgraph::testing::Recorder;
use productgraph::{Event, Handle};
use serde_json::Value;

/// A handle that records, and what it records.
pub(crate) fn recorder() -> (Handle, Recorder) {
    productgraph::testing::recorder()
}

/// A handle of an engine that is switched off.
pub(crate) fn disabled() -> Handle {
    Handle::disabled()
}

/// An event as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Seen(pub(crate) Value);

impl Seen {
    fn text(&self, key: &str) -> Option<&str> {
        self.0[key].as_str()
    }

    fn metadata(&self, key: &str) -> Option<&Value> {
        self.0["metadata"].get(key)
    }

    pub(crate) fn is_response(&self) -> bool {
        self.text("event.type") == Some("api.response")
    }

    /// `GET /users/{id} 200`
    pub(crate) fn line(&self) -> String {
        let [method, path] = ["api.method", "api.path"].map(|key| self.text(key).unwrap_or("?"));
        let mut line = format!("{method} {path} {}", self.0["api.status_code"]);
        if let Some(outcome) = self.metadata("outcome") {
            line = format!("{line} {}", outcome.as_str().expect("an outcome is text"));
        }
        line
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.text("event.name")
    }

    pub(crate) fn duration_ms(&self) -> u64 {
        self.0["api.duration_ms"]
            .as_u64()
            .expect("a response has a duration")
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.text("session.id")
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.text("user.id")
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.metadata("request_id")?.as_str()
    }

    pub(crate) fn grpc_status(&self) -> Option<u64> {
        self.metadata("grpc_status")?.as_u64()
    }
}

fn seen(event: &Event) -> Seen {
    let mut wire = Vec::new();
    event
        .write_wire(&WireOptions::new("shop"), &mut wire)
        .expect("a tracked event is complete");
    Seen(serde_json::from_slice(&wire).expect("the wire form is JSON"))
}

/// Everything recorded so far.
pub(crate) fn all(recorder: &Recorder) -> Vec<Seen> {
    recorder.events().iter().map(seen).collect()
}

/// The responses recorded so far, each as one line.
pub(crate) fn lines(recorder: &Recorder) -> Vec<String> {
    all(recorder)
        .iter()
        .filter(|seen| seen.is_response())
        .map(Seen::line)
        .collect()
}

/// The one event recorded so far.
#[track_caller]
pub(crate) fn only(recorder: &Recorder) -> Seen {
    let mut events = all(recorder);
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

/// One turn of a [`Script`].
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    Data(&'static str),
    Trailers(HeaderMap),
    Fail,
    Panic,
    /// Nothing for now, and nobody will wake the reader.
    Stall,
}

/// A response body that does what it is told.
#[derive(Default)]
pub(crate) struct Script {
    turns: VecDeque<Turn>,
    /// Whether it tells its end and length beforehand.
    honest: bool,
    /// Called at each poll and at the drop.
    pub(crate) witness: Option<Box<dyn FnMut() + Send>>,
}

impl Script {
    pub(crate) fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self {
            turns: turns.into_iter().collect(),
            honest: false,
            witness: None,
        }
    }

    pub(crate) fn honest(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self::new(turns).telling_its_length(true)
    }

    pub(crate) fn telling_its_length(mut self, honest: bool) -> Self {
        self.honest = honest;
        self
    }

    fn testify(&mut self) {
        if let Some(witness) = &mut self.witness {
            witness();
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.testify();
    }
}

/// What a scripted body or handler fails with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.testify();
        match self.turns.pop_front() {
            None => Poll::Ready(None),
            Some(Turn::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data.into())))),
            Some(Turn::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Turn::Fail) => Poll::Ready(Some(Err(Broken))),
            Some(Turn::Panic) => panic!("the body was told to panic"),
            Some(Turn::Stall) => {
                self.turns.push_front(Turn::Stall);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.honest && self.turns.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let length = |turn: &Turn| {
            if let Turn::Data(data) = turn {
                data.len() as u64
            } else {
                0
            }
        };
        if self.honest {
            SizeHint::with_exact(self.turns.iter().map(length).sum())
        } else {
            SizeHint::default()
        }
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request<()> {
    request("GET", path)
}

pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(())
        .expect("a valid request")
}

/// A response with the body `ok`, whose length is known.
pub(crate) fn ok() -> Response<Script> {
    Response::new(Script::honest([Turn::Data("ok")]))
}

/// Reads a body to its end or failure: its text and its trailers.
pub(crate) async fn read<B>(response: Response<B>) -> Result<(String, Option<HeaderMap>), B::Error>
where
    B: Body<Data = Bytes>,
{
    let collected = http_body_util::BodyExt::collect(response.into_body()).await?;
    let trailers = collected.trailers().cloned();
    let bytes = collected.to_bytes();
    Ok((
        String::from_utf8(bytes.to_vec()).expect("the bodies of tests are text"),
        trailers,
    ))
}
