//! productgraph with its native provider.

use productgraph::{Correlation, Engine, Handle, Text};

use super::Client;
use crate::ours;
use crate::request::Req;

/// In front of each event's number on the wire.
pub(super) const MARKER: &str = r#""event.sequence":"#;

/// More than can be outstanding, so that no request has two events under way.
const POOL: u64 = 1 << 15;

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Requests {
    /// Of one of many requests whose correlations are there already.
    Pool,
    /// Each of a request of its own, whose correlation is made beside it.
    Fresh,
    /// All of one request.
    One,
}

/// A way of setting it up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// Batches of 1,000, a queue of 65,536 and room for it, or as it comes.
    pub(super) tuned: bool,
    /// All with the same wire form and the same sink.
    pub(super) providers: usize,
    requests: Requests,
}

impl Variant {
    const ALL: [Self; 6] = [
        Self::new("productgraph", true, 1, Requests::Pool),
        Self::new("productgraph_fresh", true, 1, Requests::Fresh),
        Self::new("productgraph_one", true, 1, Requests::One),
        Self::new("productgraph_default", false, 1, Requests::Pool),
        Self::new("productgraph_2", true, 2, Requests::Pool),
        Self::new("productgraph_10", true, 10, Requests::Pool),
    ];

    const fn new(name: &'static str, tuned: bool, providers: usize, requests: Requests) -> Self {
        Self {
            name,
            tuned,
            providers,
            requests,
        }
    }

    pub(super) fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name == name)
    }

    pub(super) fn start(self, url: &str) -> Productgraph {
        let mut builder = if self.tuned {
            ours::roomy()
                .batch_size(1000)
                .max_buffered_bytes(self.providers * (64 << 20))
        } else {
            ours::as_it_comes()
        };
        for number in 0..self.providers {
            let provider = ours::provider(url, format!("p{number}"));
            builder = builder.provider(if self.tuned {
                provider.max_batch_events(1000)
            } else {
                provider
            });
        }
        let engine = builder.spawn().expect("the engine starts");
        let count = match self.requests {
            Requests::Pool => POOL,
            Requests::Fresh => 0,
            Requests::One => 1,
        };
        let handle = engine.handle();
        let correlations = (0..count)
            .map(|number| ours::correlation(&Req::new(number)))
            .collect();
        Productgraph {
            engine,
            handle,
            correlations,
            routes: ours::routes(),
        }
    }
}

/// A running engine.
pub(super) struct Productgraph {
    engine: Engine,
    handle: Handle,
    correlations: Vec<Correlation>,
    routes: [Text; 8],
}

impl Productgraph {
    /// Runs `f` in the correlation of a request.
    fn within<R>(&self, request: &Req, number: u64, f: impl FnOnce() -> R) -> R {
        if self.correlations.is_empty() {
            ours::correlation(request).enter(f)
        } else {
            self.correlations[number as usize % self.correlations.len()].enter(f)
        }
    }
}

impl Client for Productgraph {
    fn track(&mut self, request: &Req, number: u64) -> bool {
        let route = &self.routes[number as usize % self.routes.len()];
        self.within(request, number, || {
            self.handle
                .try_track(ours::response_to(request, route))
                .is_ok()
        })
    }

    fn context(&mut self, request: &Req, number: u64) {
        self.within(request, number, || ());
    }

    fn shutdown(&mut self) {
        let report = self
            .engine
            .shutdown_blocking(std::time::Duration::from_secs(30));
        if !report.is_settled() {
            eprintln!("{report}");
        }
    }
}
