//! Keys show nowhere: not in what prints settings and state, not in errors, not in logs.

mod engine_support;

use std::fmt::{Debug, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine_support::settings::{KEY, calm, config};
use engine_support::{BOUND, in_time, millis, numbered, until};
use productgraph::providers::ProductGraph;
use productgraph::{EngineBuilder, HealthState, TrackError};
use productgraph_collector::{Collector, Fault};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

/// Everything that was logged in this process, field by field.
struct Logs;

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn logged() -> MutexGuard<'static, Vec<String>> {
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").expect("a string takes everything");
    }
}

impl Subscriber for Logs {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {} ", attributes.metadata().name()));
        attributes.record(&mut line);
        logged().push(line.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, record: &Record<'_>) {
        let mut line = Line(String::new());
        record.record(&mut line);
        logged().push(line.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        logged().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn no_key_shows_in_debug_output_errors_reports_or_logs() {
    const TOKEN: &str = "qu3ry_5ecre7";
    tracing::subscriber::set_global_default(Logs).expect("the first in this process");
    let mut shown: Vec<String> = Vec::new();
    let collector = Collector::builder()
        .require_key("another")
        .start_blocking()
        .expect("a free port");
    collector.faults().push(Fault::status(500));
    collector.faults().push(Fault::store_then_reset());
    let endpoint = format!("{}?token={TOKEN}", collector.endpoint());
    let settings = calm(&[("API_KEY", KEY), ("DEBUG", "true")]);
    let config = config(&endpoint, &settings);
    shown.push(format!("{config:?}"));
    let builder = EngineBuilder::from_config(&config).expect("a valid configuration");
    shown.push(format!("{builder:?}"));
    let provider = ProductGraph::new(&endpoint).api_key(KEY);
    shown.push(format!("{provider:?}"));

    let engine = builder.spawn().expect("it starts");
    for n in 0..3 {
        engine.handle().track(numbered(n));
    }
    let flush = in_time(engine.flush(BOUND));
    let held = until(|| engine.health().state == HealthState::Unhealthy);
    tokio::select! {
        report = flush => panic!("nothing is taken, yet {report}"),
        () = held => {}
    }
    let report = in_time(engine.flush(millis(20))).await;
    shown.push(format!("{report} {report:?}"));
    let health = engine.health();
    assert_eq!(health.state, HealthState::Unhealthy, "{health:?}");
    shown.push(format!("{health:?} {:?}", engine.stats()));
    shown.push(format!("{engine:?} {:?}", engine.handle()));
    let down = collector.faults().down();
    in_time(collector.wait_until(|stats| !stats.listening)).await;
    let report = in_time(engine.shutdown(millis(100))).await;
    shown.push(format!("{report} {report:?}"));
    down.up();
    let refused = engine.handle().try_track(numbered(9));
    shown.push(format!("{refused:?}"));
    assert!(matches!(refused, Err(TrackError::Closed(_))));

    let logs = logged().join("\n");
    assert!(logs.contains("request sent"), "debug was asked for: {logs}");
    assert!(logs.contains("holding events"), "{logs}");
    shown.push(logs);
    for text in shown {
        for secret in [KEY, TOKEN] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
