//! The matrix of endings: kinds of runtime, kinds of destination.

use std::time::Duration;

use productgraph::providers::ProductGraph;
use productgraph::{
    BoxFuture, DropReason, Encoded, Engine, Event, Events, Handle, Limits, Outcome, Provider,
    Report,
};
use productgraph_collector::{Collector, Fault, When};
use tokio::runtime::Runtime;

use super::{
    BOUND, assert_final, assert_holds_once, builder, current_thread, ids_of, millis, numbered,
};

pub(crate) const EVENTS: usize = 60;
/// For destinations that never take what they get.
pub(crate) const SHORT: Duration = millis(300);
/// By how much a loaded machine may miss a deadline.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

/// What runs the application; the engine has a runtime of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flavour {
    CurrentThread,
    OneWorker,
    FourWorkers,
    NoRuntime,
}

impl Flavour {
    pub(crate) const ALL: [Self; 4] = [
        Self::CurrentThread,
        Self::OneWorker,
        Self::FourWorkers,
        Self::NoRuntime,
    ];

    pub(crate) fn runtime(self) -> Option<Runtime> {
        let workers = match self {
            Self::CurrentThread => return Some(current_thread()),
            Self::OneWorker => 1,
            Self::FourWorkers => 4,
            Self::NoRuntime => return None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build();
        Some(runtime.expect("a runtime"))
    }

    /// Runs `job` on a worker of this kind of runtime, where there is one.
    pub(crate) fn run<T: Send + 'static>(self, job: impl AsyncFnOnceSend<T>) -> T {
        let runtime = self.runtime().expect("a runtime");
        let task = job.call();
        match self {
            Self::CurrentThread => runtime.block_on(task),
            _ => runtime
                .block_on(runtime.spawn(task))
                .expect("it does not panic"),
        }
    }
}

/// An async job that can be sent to a worker.
pub(crate) trait AsyncFnOnceSend<T> {
    fn call(self) -> BoxFuture<'static, T>;
}

impl<T, F, Fut> AsyncFnOnceSend<T> for F
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T> + Send + 'static,
{
    fn call(self) -> BoxFuture<'static, T> {
        Box::pin(self())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Destination {
    Healthy,
    Slow,
    BlackHole,
    Unavailable,
    Panicking,
}

impl Destination {
    pub(crate) const ALL: [Self; 5] = [
        Self::Healthy,
        Self::Slow,
        Self::BlackHole,
        Self::Unavailable,
        Self::Panicking,
    ];

    pub(crate) fn prepare(self, collector: &Collector) {
        let faults = collector.faults();
        match self {
            Self::Healthy | Self::Panicking => {}
            Self::Slow => faults.set_latency(millis(30)),
            Self::BlackHole => faults.set_standing(Fault::never_answer(), When::Always),
            Self::Unavailable => faults.set_standing(Fault::status(503), When::Always),
        }
    }

    /// An engine with this destination alone.
    pub(crate) fn engine(self, endpoint: &str) -> Engine {
        let builder = builder().batch_size(10).shutdown_timeout(self.deadline());
        let builder = match self {
            Self::Panicking => builder.provider(Panics),
            _ => builder.provider(ProductGraph::new(endpoint).max_batch_events(20)),
        };
        builder.spawn().expect("it starts")
    }

    pub(crate) fn takes(self) -> bool {
        matches!(self, Self::Healthy | Self::Slow)
    }

    pub(crate) fn deadline(self) -> Duration {
        if self.takes() { BOUND } else { SHORT }
    }

    /// Checks the report and what has arrived against each other.
    pub(crate) fn check(self, report: &Report, took: Duration, collector: &Collector) {
        assert_final(report);
        assert_eq!(report.ledger.accepted, EVENTS as u64, "{report}");
        assert!(
            took <= self.deadline().min(Duration::from_secs(10)) + SLACK,
            "{self:?}: {took:?}"
        );
        let account = &report.ledger.providers[0];
        assert_eq!(account.delivered, collector.stats().accepted, "{report}");
        if self.takes() {
            assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
            assert_holds_once(collector, &ids_of(0..EVENTS));
        } else {
            assert_eq!(account.delivered, 0, "{report}");
            let (rejected, dropped) = (account.rejected.total(), account.dropped.total());
            assert_eq!(rejected + dropped, EVENTS as u64, "{report}");
            assert_eq!(
                dropped,
                account.dropped.get(DropReason::Deadline),
                "{report}"
            );
        }
        let shown = report.to_string();
        assert!(shown.contains("accepted 60"), "{shown}");
    }
}

/// A provider with a bug.
pub(crate) struct Panics;

impl Provider<Event> for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn limits(&self) -> Limits {
        Limits::new(100, 100_000)
    }

    fn encode(&self, events: &Events<'_, Event>, _: usize) -> Encoded {
        Encoded {
            body: vec![b'x'; events.len()].into(),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: bytes::Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async { panic!("a bug of the provider") })
    }
}

pub(crate) fn track_all(handle: &Handle) {
    for n in 0..EVENTS {
        handle.try_track(numbered(n)).expect("there is room");
    }
}
