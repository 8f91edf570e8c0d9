//! sentry: events and logs.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sentry::protocol::{Event, Log, LogAttribute, LogLevel, Map};
use sentry::{ClientInitGuard, ClientOptions, Envelope, Hub, Level, Transport, User};
use serde_json::Value;

use crate::e2e::Client;
use crate::hotpath::peer::{Call, Peer};
use crate::request::Req;

fn attributes(request: &Req) -> [(&'static str, Value); 6] {
    [
        ("session.id", request.session.clone().into()),
        ("request.id", request.request.clone().into()),
        ("api.method", request.method.into()),
        ("api.path", request.path.clone().into()),
        ("api.status_code", request.status.into()),
        ("api.duration_ms", request.millis().into()),
    ]
}

fn event(request: &Req) -> Event<'static> {
    let mut event = Event {
        message: Some("api.response".to_owned()),
        level: Level::Info,
        user: Some(User {
            id: Some(request.user.clone()),
            ..User::default()
        }),
        ..Event::default()
    };
    for (key, value) in attributes(request) {
        event.extra.insert(key.to_owned(), value);
    }
    event
}

fn log(request: &Req) -> Log {
    let mut attributes: Map<String, LogAttribute> = attributes(request)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), LogAttribute(value)))
        .collect();
    attributes.insert("user.id".to_owned(), request.user.clone().into());
    Log {
        level: LogLevel::Info,
        body: "api.response".to_owned(),
        trace_id: None,
        timestamp: SystemTime::now(),
        severity_number: None,
        attributes,
    }
}

/// Drops what it is given.
struct Nowhere;

impl Transport for Nowhere {
    fn send_envelope(&self, envelope: Envelope) {
        black_box(&envelope);
    }
}

struct Caller {
    logs: bool,
    _guard: Arc<ClientInitGuard>,
    requests: Arc<[Req]>,
}

/// `capture_event` and `capture_log`, with a transport that drops.
pub(super) fn callers(requests: &Arc<[Req]>) -> [Box<dyn Peer>; 2] {
    let options = ClientOptions::new()
        .dsn("http://key@127.0.0.1:1/1")
        .transport(Arc::new(Nowhere));
    let guard = Arc::new(sentry::init(options));
    [false, true].map(|logs| {
        let peer = Caller {
            logs,
            _guard: Arc::clone(&guard),
            requests: Arc::clone(requests),
        };
        Box::new(peer) as Box<dyn Peer>
    })
}

impl Call for Caller {
    fn name(&self) -> &'static str {
        if self.logs {
            "sentry capture_log"
        } else {
            "sentry capture_event"
        }
    }

    #[inline]
    fn call(&self, index: usize) -> bool {
        let request = &self.requests[index];
        if self.logs {
            Hub::with_active(|hub| hub.capture_log(log(request)));
        } else {
            sentry::capture_event(event(request));
        }
        true
    }

    fn drain(&self) {
        if let Some(client) = Hub::main().client() {
            client.flush(Some(Duration::from_secs(10)));
        }
    }
}

struct Sentry(Option<ClientInitGuard>);

/// Logs over HTTP; places in the transport's channel, or as it comes.
pub(super) fn client(url: &str, capacity: Option<usize>) -> Box<dyn Client> {
    let dsn = format!("{}/1", url.replace("http://", "http://key@"));
    let mut options = ClientOptions::new()
        .dsn(&dsn)
        .shutdown_timeout(Duration::from_secs(30));
    if let Some(capacity) = capacity {
        options = options.transport_channel_capacity(capacity);
    }
    Box::new(Sentry(Some(sentry::init(options))))
}

impl Client for Sentry {
    fn track(&mut self, request: &Req, _: u64) -> bool {
        Hub::with_active(|hub| hub.capture_log(log(request)));
        true
    }

    fn shutdown(&mut self) {
        drop(self.0.take());
    }
}
