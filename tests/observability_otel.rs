//! The engine's metrics through OpenTelemetry's SDK.
#![cfg(feature = "metrics")]
#![expect(clippy::float_cmp, reason = "counts are exact")]

mod health_support;

use std::collections::BTreeMap;

use health_support::{attached, track, turns};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use productgraph::observability::METRICS;
use productgraph::providers::Memory;
use productgraph::{Event, TrackError};

/// Every point of a collection, by name and attributes.
type Points = BTreeMap<(String, String), f64>;

struct Sdk {
    exporter: InMemoryMetricExporter,
    provider: SdkMeterProvider,
}

impl Sdk {
    fn new() -> Self {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        Self { exporter, provider }
    }

    fn collect(&self) -> (Points, Vec<ResourceMetrics>) {
        self.exporter.reset();
        self.provider.force_flush().expect("a collection");
        let all = self.exporter.get_finished_metrics().expect("exported");
        let mut points = Points::new();
        for metric in all
            .iter()
            .flat_map(ResourceMetrics::scope_metrics)
            .flat_map(ScopeMetrics::metrics)
        {
            let name = metric.name();
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    assert!(sum.is_monotonic(), "{name}");
                    for point in sum.data_points() {
                        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                        insert(&mut points, name, point.attributes(), point.value() as f64);
                    }
                }
                AggregatedMetrics::I64(MetricData::Sum(sum)) => {
                    assert!(!sum.is_monotonic(), "{name}");
                    for point in sum.data_points() {
                        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                        insert(&mut points, name, point.attributes(), point.value() as f64);
                    }
                }
                AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                    for point in gauge.data_points() {
                        insert(&mut points, name, point.attributes(), point.value());
                    }
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        (points, all)
    }
}

fn insert<'a>(
    points: &mut Points,
    name: &str,
    attributes: impl Iterator<Item = &'a opentelemetry::KeyValue>,
    value: f64,
) {
    let mut attributes: Vec<_> = attributes
        .map(|kv| format!("{}={}", kv.key, kv.value))
        .collect();
    attributes.sort();
    let key = (name.to_owned(), attributes.join(","));
    assert!(points.insert(key.clone(), value).is_none(), "{key:?} twice");
}

fn get(points: &Points, name: &str, attributes: &str) -> f64 {
    let key = (format!("productgraph.engine.{name}"), attributes.to_owned());
    *points
        .get(&key)
        .unwrap_or_else(|| panic!("no {key:?} in {points:#?}"))
}

#[tokio::test(start_paused = true)]
async fn a_collection_reads_the_engine_and_leaves_no_trace_in_it() {
    let sdk = Sdk::new();
    let engine = attached(&Memory::new()).spawn().expect("it starts");
    engine.monitor().observe_with(&sdk.provider.meter("test"));
    track(&engine, 10);
    turns().await;
    track(&engine, 3);
    for _ in 0..3 {
        let (points, all) = sdk.collect();
        assert_eq!(get(&points, "events.accepted", ""), 13.0);
        assert_eq!(get(&points, "events.delivered", "provider=memory"), 10.0);
        assert_eq!(get(&points, "events.pending", "provider=memory"), 3.0);
        assert_eq!(
            get(&points, "events.dropped", "provider=memory,reason=expired"),
            0.0
        );
        assert_eq!(
            get(&points, "lane.state", "provider=memory,state=healthy"),
            1.0
        );
        // the exporter's thread has a clock of its own
        assert!(get(&points, "last_success.age", "provider=memory") < 60.0);
        assert_eq!(get(&points, "health.state", "state=healthy"), 1.0);
        let scopes = all.iter().flat_map(ResourceMetrics::scope_metrics);
        for metric in scopes.flat_map(ScopeMetrics::metrics) {
            let defined = METRICS
                .iter()
                .find(|m| m.name == metric.name())
                .expect("defined");
            assert_eq!(
                (metric.unit(), metric.description()),
                (defined.unit, defined.description)
            );
        }
        // what never happened has no age, and nothing waits to be sent again; everything else is there
        let names: std::collections::BTreeSet<_> = points.keys().map(|(name, _)| name).collect();
        assert_eq!(names.len(), METRICS.len() - 2);
    }
    assert_eq!(engine.ledger().accepted, 13);
}

#[tokio::test(start_paused = true)]
async fn two_engines_of_one_process_are_told_apart_by_name_and_a_dropped_one_falls_silent() {
    let sdk = Sdk::new();
    let meter = sdk.provider.meter("test");
    let one = attached(&Memory::new()).spawn().expect("it starts");
    let two = attached(&Memory::new()).spawn().expect("it starts");
    one.monitor().named("one").observe_with(&meter);
    two.monitor().named("two").observe_with(&meter);
    track(&one, 1);
    track(&two, 2);
    let (points, _) = sdk.collect();
    assert_eq!(get(&points, "events.accepted", "engine=one"), 1.0);
    assert_eq!(get(&points, "events.accepted", "engine=two"), 2.0);
    let handle = one.handle();
    drop(one);
    // nothing keeps it alive: its end has begun
    let refused = handle.try_track(Event::custom("late"));
    assert!(matches!(refused, Err(TrackError::Closed(_))));
    let (points, _) = sdk.collect();
    let of_one = points
        .keys()
        .filter(|(_, attributes)| attributes.contains("engine=one"));
    assert_eq!(of_one.count(), 0);
    assert_eq!(get(&points, "events.accepted", "engine=two"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn the_global_meter_provider_is_the_default() {
    let sdk = Sdk::new();
    opentelemetry::global::set_meter_provider(sdk.provider.clone());
    let engine = attached(&Memory::new()).spawn().expect("it starts");
    engine.monitor().observe();
    track(&engine, 4);
    let (points, all) = sdk.collect();
    assert_eq!(get(&points, "events.accepted", ""), 4.0);
    let mut scopes = all.iter().flat_map(ResourceMetrics::scope_metrics);
    assert!(scopes.all(|scope| scope.scope().name() == "productgraph"));
}
