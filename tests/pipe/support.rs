//! The pipe, what it is fed and what it reports.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

use productgraph_collector::{Collector, CollectorBuilder};
use serde_json::{Value, json};

use crate::example_support::{Ended, command};

pub(crate) fn collector() -> Collector {
    started(Collector::builder())
}

pub(crate) fn started(builder: CollectorBuilder) -> Collector {
    builder.start_blocking().expect("a collector starts")
}

/// The pipe with quick retries, sending to `endpoint`.
pub(crate) fn pipe(endpoint: &str) -> Command {
    let mut pipe = command("pipe");
    pipe.env("PRODUCTGRAPH_PROJECT_ID", "shop")
        .env("PRODUCTGRAPH_ENDPOINT", endpoint)
        .env("PRODUCTGRAPH_BATCH_INTERVAL", "20ms")
        .env("PRODUCTGRAPH_RETRY_BASE", "10ms")
        .env("PRODUCTGRAPH_RETRY_MAX", "50ms");
    pipe
}

/// Lines of events with the ids `e-0`, `e-1` and so on.
pub(crate) fn events(count: usize) -> String {
    let mut lines = String::new();
    for number in 0..count {
        writeln!(lines, "{}", event(&format!("e-{number}"))).expect("text can be written to");
    }
    lines
}

pub(crate) fn event(id: &str) -> Value {
    json!({
        "event_id": id,
        "event.type": "custom",
        "event.name": "import.row",
        "event.timestamp": "2026-01-01T00:00:00.000Z",
        "session.id": "import-1",
        "metadata": {"source": "nightly"},
    })
}

pub(crate) fn ids(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("e-{number}")).collect()
}

/// The stored ids; none came twice.
pub(crate) fn stored(collector: &Collector) -> BTreeSet<String> {
    let ids = collector.event_ids();
    let distinct: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(distinct.len(), ids.len(), "an event came twice");
    distinct
}

/// What the report must be when everything was delivered.
pub(crate) fn delivered(count: u64) -> Value {
    account(count, &json!({}), count, &json!({}), &json!({}))
}

pub(crate) fn account(
    accepted: u64,
    refused: &Value,
    delivered: u64,
    rejected: &Value,
    dropped: &Value,
) -> Value {
    json!({
        "accepted": accepted,
        "refused": refused,
        "providers": {"productgraph": {
            "delivered": delivered,
            "rejected": rejected,
            "dropped": dropped,
            "pending": 0,
        }},
    })
}

impl Ended {
    /// The report: the only line on standard output.
    pub(crate) fn report(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        assert!(self.stdout.ends_with('\n'), "{self:?}");
        serde_json::from_str(self.last_line()).expect("the report is JSON")
    }

    /// The lines that were complained of, in order.
    pub(crate) fn bad_lines(&self) -> Vec<u64> {
        let numbers = self.stderr.lines().filter_map(|line| {
            let (number, _) = line.strip_prefix("line ")?.split_once(':')?;
            Some(number.parse().expect("a line has a number"))
        });
        numbers.collect()
    }
}
