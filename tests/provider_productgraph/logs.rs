//! What is logged, how often, and what never is.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use productgraph::Outcome;
use productgraph::providers::{ProductGraph, TenantKeys};
use productgraph_collector::{Answer, Collector, Fault};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{build, deliver, events};

/// Keeps the text of everything that is logged, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lines(&self, words: &str) -> usize {
        self.0
            .lock()
            .expect("no panic")
            .iter()
            .filter(|line| line.contains(words))
            .count()
    }

    fn keep(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes all");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.keep(span.metadata(), |line| span.record(line));
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        self.keep(event.metadata(), |line| event.record(line));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_refused_tenant_key_is_logged_once_until_events_are_taken_again() {
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.clone());
    let collector = Collector::builder().start().await.expect("a collector");
    let provider =
        build(ProductGraph::new(collector.base_url()).tenant_keys(TenantKeys::ProjectId));
    let warned = || log.lines("lacks product_id: set `tenant_keys` to both");

    for _ in 0..3 {
        let outcome = deliver(&*provider, &events(2)).await;
        assert!(matches!(outcome, Outcome::PerEvent(_)), "{outcome:?}");
    }
    assert_eq!(warned(), 1);

    let receipt = Answer::new(202).body(r#"{"accepted":2,"rejected":0}"#);
    collector.faults().push(receipt);
    assert_eq!(deliver(&*provider, &events(2)).await, Outcome::Delivered);
    deliver(&*provider, &events(2)).await;
    assert_eq!(warned(), 2);
}

#[tokio::test]
async fn no_key_shows_in_logs_outcomes_or_debug_output() {
    const KEY: &str = "s3cr3t-51a7";
    let log = Log::default();
    let _logging = tracing::subscriber::set_default(log.clone());
    let collector = Collector::builder().start().await.expect("a collector");
    let endpoint = format!("{}?key={KEY}", collector.endpoint());
    let provider = build(
        ProductGraph::new(endpoint)
            .api_key(KEY)
            .tenant_keys(TenantKeys::ProjectId),
    );

    let mut shown = String::new();
    for fault in [
        Fault::Pass,
        Fault::status(401),
        Answer::new(400).body(KEY).into(),
        Answer::new(202).body(KEY).into(),
        Fault::redirect(302, format!("http://localhost/?key={KEY}")),
        Fault::reset_after_body(),
    ] {
        collector.faults().push(fault);
        write!(shown, "{:?}", deliver(&*provider, &events(1)).await).expect("a string takes all");
    }
    let down = collector.faults().down();
    collector.wait_until(|stats| !stats.listening).await;
    let outcome = deliver(&*provider, &events(1)).await;
    write!(shown, "{outcome:?}").expect("a string takes all");
    drop(down);

    assert!(
        shown.contains("reset") && shown.contains("connect"),
        "{shown}"
    );
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert!(log.lines("product_id") > 0, "the log is kept");
    assert_eq!(log.lines("s3cr3t"), 0);
}
