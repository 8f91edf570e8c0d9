//! The engine's metrics: one table that the Prometheus text and the guide agree with.
#![expect(clippy::float_cmp, reason = "counts are exact")]

mod health_support;

use std::collections::{BTreeMap, BTreeSet};

use health_support::{SECOND, attached, pass, status, track, turns};
use productgraph::observability::{METRICS, Metric, MetricKind};
use productgraph::providers::Memory;
use productgraph::testing::Victim;
use productgraph::{Cause, Engine, Outcome, RejectReason};
use proptest::prelude::*;

/// A sample of a scrape: the name, the labels and the value.
type Sample = (String, BTreeMap<String, String>, f64);

/// What a scraper reads: the grammar of format 0.0.4, strictly.
fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'));
    let mut samples = Vec::new();
    let mut family = String::new();
    let mut seen = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a help");
            assert!(!text.contains('\\') && !text.is_empty());
            assert!(seen.insert(name.to_owned()), "{name} twice");
            name.clone_into(&mut family);
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
            let (of, kind) = kind.and_then(|kind| kind.split_once(' ')).expect("a type");
            assert_eq!(of, family);
            assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
            assert!(["counter", "gauge"].contains(&kind));
            continue;
        }
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a sample"));
        assert_eq!(name, family, "a sample outside its family");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest),
            None => (BTreeMap::new(), rest),
        };
        let value = value.strip_prefix(' ').expect("a space").parse();
        samples.push((name.to_owned(), labels, value.expect("a number")));
    }
    samples
}

fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("an end") {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().expect("an escape").1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("no escape: {c}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none());
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (labels, rest.strip_prefix('}').expect("a brace")),
        }
    }
}

fn value(samples: &[Sample], name: &str, wanted: &[(&str, &str)]) -> f64 {
    let matches = |labels: &BTreeMap<String, String>| {
        wanted
            .iter()
            .all(|(key, value)| labels.get(*key).is_some_and(|v| v == value))
    };
    let mut found = samples
        .iter()
        .filter(|(n, labels, _)| n == name && matches(labels));
    let (_, _, value) = found
        .next()
        .unwrap_or_else(|| panic!("no {name} {wanted:?}"));
    assert!(found.next().is_none(), "several {name} {wanted:?}");
    *value
}

#[tokio::test(start_paused = true)]
async fn a_scrape_tells_where_every_event_is_and_how_the_lanes_are() {
    let (good, bad) = (Memory::new().name("good"), Memory::new().name("bad"));
    bad.answer(Outcome::Final {
        reason: RejectReason::Refused,
        cause: Cause::status(422),
    });
    bad.answer(status(503));
    let engine = attached(&good)
        .provider(bad.clone())
        .queue_capacity(20)
        .spawn()
        .expect("it starts");
    track(&engine, 10);
    turns().await;
    track(&engine, 13);
    turns().await;
    // nobody takes anything off the queue before the next turn
    track(&engine, 23);
    let samples = parse(&engine.monitor().prometheus());
    let get = |name: &str, labels: &[(&str, &str)]| {
        value(&samples, &format!("productgraph_engine_{name}"), labels)
    };
    assert_eq!(get("events_accepted_total", &[]), 43.0);
    assert_eq!(get("events_refused_total", &[("reason", "full")]), 3.0);
    assert_eq!(get("events_refused_total", &[("reason", "closed")]), 0.0);
    assert_eq!(get("events_delivered_total", &[("provider", "good")]), 20.0);
    assert_eq!(get("events_pending", &[("provider", "good")]), 23.0);
    let refused = [("provider", "bad"), ("reason", "refused")];
    assert_eq!(get("events_rejected_total", &refused), 10.0);
    assert_eq!(get("events_pending", &[("provider", "bad")]), 33.0);
    assert_eq!(get("queue_events", &[]), 20.0);
    assert_eq!(get("queue_capacity", &[]), 20.0);
    assert_eq!(get("requests_total", &[("provider", "bad")]), 2.0);
    assert_eq!(get("lane_failures", &[("provider", "bad")]), 1.0);
    let state = |state| get("lane_state", &[("provider", "bad"), ("state", state)]);
    assert_eq!((state("retrying"), state("healthy")), (1.0, 0.0));
    assert_eq!(get("health_state", &[("state", "degraded")]), 1.0);
    assert!(get("buffer_bytes", &[]) > 1000.0);
    assert_eq!(get("buffer_ceiling_bytes", &[]), f64::from(8 << 20));
    let never = "productgraph_engine_last_success_age_seconds";
    let of_bad = |(name, labels, _): &&Sample| name == never && labels["provider"] == "bad";
    assert_eq!(
        samples.iter().find(of_bad),
        None,
        "a success that never was"
    );
}

#[tokio::test(start_paused = true)]
async fn restarts_stalls_and_the_end_are_counted() {
    let memory = Memory::new();
    let engine = attached(&memory).spawn().expect("it starts");
    let monitor = engine.monitor().named("shop \"1\"\\\n");
    let pipeline = engine.pipeline().expect("it runs");
    let _wedged = pipeline.wedge(Victim::FanOut);
    track(&engine, 10);
    pass(15 * SECOND).await;
    let samples = parse(&monitor.prometheus());
    assert_eq!(
        value(&samples, "productgraph_engine_stages_stalled", &[]),
        1.0
    );
    let restarts = "productgraph_engine_actor_restarts_total";
    let flusher = [("actor", "flusher"), ("provider", "memory")];
    assert_eq!(value(&samples, restarts, &flusher), 0.0);
    let named = |(_, labels, _): &Sample| labels["engine"] == "shop \"1\"\\\n";
    assert!(samples.iter().all(named));
    drop(engine);
    let samples = parse(&monitor.prometheus());
    let state = [("state", "stopped")];
    assert_eq!(
        value(&samples, "productgraph_engine_health_state", &state),
        1.0
    );
}

proptest! {
    #[test]
    fn whatever_a_provider_is_called_a_scraper_reads_its_name(name in "\\PC{1,20}|[\"\\\\\n{},= ]{1,9}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
        let engine = runtime.block_on(async {
            attached(&Memory::new().name(name.clone())).spawn().expect("it starts")
        });
        let samples = parse(&engine.monitor().prometheus());
        let delivered = "productgraph_engine_events_delivered_total";
        prop_assert_eq!(value(&samples, delivered, &[("provider", &name)]), 0.0);
    }
}

#[test]
fn names_units_and_kinds_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for metric in METRICS {
        let name = metric
            .name
            .strip_prefix("productgraph.engine.")
            .expect("the namespace");
        assert!(
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c == '.'),
            "{name}"
        );
        assert!(names.insert(metric.prometheus_name()), "{name} twice");
        let is_annotation = metric.unit.starts_with('{') && metric.unit.ends_with('}');
        assert!(
            is_annotation || ["1", "s", "By"].contains(&metric.unit),
            "{name}"
        );
        assert!(
            metric.kind == MetricKind::Gauge || metric.unit != "s",
            "{name}"
        );
        let first = metric.description.chars().next().expect("a description");
        assert!(first.is_lowercase() || first.is_ascii_digit(), "{name}");
    }
}

#[test]
fn a_disabled_engine_has_no_values_that_count_anything() {
    let engine = Engine::builder().enabled(false).spawn().expect("it starts");
    let samples = parse(&engine.monitor().prometheus());
    let state = [("state", "disabled")];
    assert_eq!(
        value(&samples, "productgraph_engine_health_state", &state),
        1.0
    );
    let counted = samples
        .iter()
        .filter(|(name, _, value)| name.contains("events") && *value > 0.0);
    assert_eq!(counted.count(), 0);
}

fn row(metric: &Metric) -> String {
    let attributes = metric.attributes.iter().map(|name| format!("`{name}`"));
    let attributes = attributes.collect::<Vec<_>>().join(", ");
    let (name, kind, unit) = (metric.name, metric.kind.as_str(), metric.unit);
    let attributes = if attributes.is_empty() {
        "–"
    } else {
        &attributes
    };
    format!(
        "| `{name}` | {kind} | `{unit}` | {attributes} | {} |",
        metric.description
    )
}

#[test]
fn the_guide_lists_every_metric_and_no_other() {
    let guide = std::fs::read_to_string("docs/guides/health.md").expect("the guide");
    let listed = guide
        .lines()
        .filter(|line| line.starts_with("| `productgraph.engine."));
    let listed: Vec<_> = listed.map(str::to_owned).collect();
    let defined: Vec<_> = METRICS.iter().map(row).collect();
    assert_eq!(listed, defined, "\n{}", defined.join("\n"));
}
