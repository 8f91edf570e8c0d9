//! posthog-rs.

use std::sync::Arc;

use posthog_rs::{ClientOptionsBuilder, Event};
use tokio::runtime::{Builder, Runtime};

use crate::e2e::Client;
use crate::hotpath::peer::{Call, Peer, QUEUE};
use crate::request::Req;
use crate::sink::SinkProcess;

fn event(request: &Req) -> Event {
    let mut event = Event::new("api.response", &request.user);
    let _ = event.insert_prop("$session_id", &request.session);
    let _ = event.insert_prop("request.id", &request.request);
    let _ = event.insert_prop("api.method", request.method);
    let _ = event.insert_prop("api.path", &request.path);
    let _ = event.insert_prop("api.status_code", request.status);
    let _ = event.insert_prop("api.duration_ms", request.millis());
    event
}

struct Posthog {
    runtime: Runtime,
    client: posthog_rs::Client,
}

impl Posthog {
    fn new(url: &str, change: impl FnOnce(&mut ClientOptionsBuilder)) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut options = ClientOptionsBuilder::default();
        options.api_key("phc_benches".to_owned()).host(url);
        change(&mut options);
        let options = options.build().expect("options");
        let client = runtime.block_on(posthog_rs::client(options));
        Self { runtime, client }
    }
}

struct Caller {
    posthog: Posthog,
    requests: Arc<[Req]>,
    /// Its transport cannot be replaced, so it sends to a sink.
    _sink: SinkProcess,
}

/// `capture`, with a sink of its own.
pub(super) fn caller(requests: Arc<[Req]>) -> Box<dyn Peer> {
    let sink = SinkProcess::start(&["--status", "200", "--body", "{}"]);
    let posthog = Posthog::new(&sink.url(), |options| {
        options
            .max_queue_size(QUEUE)
            .flush_at(1000)
            .max_batch_size(1000)
            .flush_interval_ms(200u64);
    });
    Box::new(Caller {
        posthog,
        requests,
        _sink: sink,
    })
}

impl Call for Caller {
    fn name(&self) -> &'static str {
        "posthog-rs capture"
    }

    #[inline]
    fn call(&self, index: usize) -> bool {
        self.posthog.client.capture(event(&self.requests[index]));
        true
    }

    fn drain(&self) {
        self.posthog.runtime.block_on(self.posthog.client.flush());
    }
}

/// The client, with a large queue and batches, or as it comes.
pub(super) fn client(url: &str, tuned: bool) -> Box<dyn Client> {
    Box::new(Posthog::new(url, |options| {
        if tuned {
            options
                .max_queue_size(65_536usize)
                .flush_at(1000usize)
                .max_batch_size(1000usize)
                .max_capture_attempts(10u32);
        }
    }))
}

impl Client for Posthog {
    fn track(&mut self, request: &Req, _: u64) -> bool {
        self.client.capture(event(request));
        true
    }

    fn shutdown(&mut self) {
        self.runtime.block_on(self.client.shutdown());
    }
}
