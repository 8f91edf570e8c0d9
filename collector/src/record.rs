//! What is remembered of each request.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;

/// How a request to `/v1/events` ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// With an answer.
    Answered,
    /// The collector reset the connection.
    Reset,
    /// The client left, or the collector stopped, before there was an answer.
    #[default]
    Abandoned,
}

/// One request to `/v1/events`, as seen by the collector.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Position in the order of arrival, from 1.
    pub number: u64,
    /// The method.
    pub method: String,
    /// Names in lower case and values cut to 1,024 bytes; at most 64. Credentials are replaced by
    /// `<redacted>`.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body that were read.
    pub body_len: usize,
    /// Events in the batch, if it could be decoded.
    pub events: usize,
    /// Events stored.
    pub accepted: usize,
    /// Events rejected by index.
    pub rejected: usize,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// How it ended.
    pub ending: Ending,
    /// The [name](crate::Fault::name) of the fault that struck.
    pub fault: Option<&'static str>,
    /// The body, while it is among the last few that
    /// [`CollectorBuilder::keep_bodies`](crate::CollectorBuilder::keep_bodies) keeps.
    #[serde(skip)]
    pub body: Option<Bytes>,
}

impl RequestRecord {
    pub(crate) fn of(method: &http::Method, headers: &HeaderMap) -> Self {
        Self {
            method: method.as_str().chars().take(32).collect(),
            headers: headers
                .iter()
                .take(64)
                .map(|(k, v)| describe(k, v))
                .collect(),
            ..Self::default()
        }
    }

    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    }
}

fn describe(name: &http::HeaderName, value: &http::HeaderValue) -> (String, String) {
    let secret = matches!(
        name.as_str(),
        "x-pg-api-key" | "authorization" | "proxy-authorization" | "cookie"
    );
    let value = if secret {
        "<redacted>".to_owned()
    } else {
        let bytes = value.as_bytes();
        String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned()
    };
    (name.as_str().to_owned(), value)
}

/// The last requests, oldest dropped first.
#[derive(Debug)]
pub(crate) struct Log {
    records: VecDeque<RequestRecord>,
    max_records: usize,
    keep_bodies: usize,
}

impl Log {
    pub(crate) const fn new(max_records: usize, keep_bodies: usize) -> Self {
        Self {
            records: VecDeque::new(),
            max_records,
            keep_bodies,
        }
    }

    pub(crate) fn push(&mut self, mut record: RequestRecord) {
        if self.keep_bodies == 0 {
            record.body = None;
        }
        self.records.push_back(record);
        if self.records.len() > self.max_records {
            self.records.pop_front();
        }
        let stale = self.records.len().checked_sub(self.keep_bodies + 1);
        if let Some(stale) = stale.and_then(|index| self.records.get_mut(index)) {
            stale.body = None;
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<RequestRecord> {
        self.records.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
    }
}
