//! Every setting reaches the engine, a bad one stops it by name, and no key shows anywhere.

mod engine_support;

use std::process::Command;
use std::time::Duration;

use axum::body::Body;
use engine_support::settings::{KEY, calm, config, try_config};
use engine_support::{
    BOUND, account, assert_holds_once, collector, current_thread, ids_of, in_time, metadata,
    millis, named, numbered, provider,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use productgraph::providers::ProductGraph;
use productgraph::{
    Config, DropReason, Engine, EngineBuilder, Event, HealthState, RefuseReason, StartError,
};
use productgraph_collector::{Collector, Fault, When};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

fn engine(collector: &Collector, settings: &[(&str, &str)]) -> Engine {
    Engine::from_config(&config(&collector.endpoint(), settings)).expect("it starts")
}

fn track(engine: &Engine, range: std::ops::Range<usize>) {
    for n in range {
        engine
            .handle()
            .try_track(numbered(n))
            .expect("there is room");
    }
}

#[tokio::test]
async fn the_batch_size_closes_a_batch() {
    let collector = collector();
    let engine = engine(&collector, &calm(&[("BATCH_SIZE", "3")]));
    track(&engine, 0..4);
    in_time(collector.wait_for_events(3)).await;
    assert_holds_once(&collector, &ids_of(0..3));
    assert!(in_time(engine.shutdown(BOUND)).await.is_settled());
}

#[tokio::test]
async fn the_batch_interval_closes_a_batch() {
    let collector = collector();
    let engine = engine(&collector, &[("BATCH_INTERVAL", "30ms")]);
    track(&engine, 0..1);
    in_time(collector.wait_for_events(1)).await;
    assert!(in_time(engine.shutdown(BOUND)).await.is_settled());
}

#[tokio::test]
async fn the_byte_ceiling_holds() {
    let collector = collector();
    let _gate = collector.faults().hold();
    let engine = engine(&collector, &calm(&[("MAX_BUFFERED_BYTES", "64KiB")]));
    let handle = engine.handle();
    for n in 0..2_000 {
        handle.track(numbered(n));
        assert!(engine.stats().bytes_held <= 64 << 10);
    }
    let ledger = in_time(engine.shutdown(millis(50))).await.ledger;
    let given_up = account(&ledger, "productgraph").dropped.total() + ledger.refused.total();
    assert_eq!(given_up, 2_000, "{ledger}");
    assert!(ledger.balances());
}

/// An engine whose runtime nobody drives: what is tracked stays in the queue.
fn undriven(settings: &[(&str, &str)]) -> (Engine, Runtime) {
    let runtime = current_thread();
    let config = config("http://127.0.0.1:1", &calm(settings));
    let engine = EngineBuilder::from_config(&config)
        .and_then(|builder| {
            builder
                .runtime(runtime.handle().clone())
                .spawn()
                .map_err(|error| panic!("{error}"))
        })
        .expect("it starts");
    (engine, runtime)
}

#[test]
fn the_queue_capacity_and_each_way_to_overflow_hold() {
    let fill = |overflow| {
        let settings = [("QUEUE_CAPACITY", "64"), ("OVERFLOW", overflow)];
        let (engine, _runtime) = undriven(&settings);
        let handle = engine.handle();
        let taken = (0..100)
            .filter(|n| handle.try_track(numbered(*n)).is_ok())
            .count();
        let urgent = handle.try_track(Event::error("E", "m")).is_ok();
        let ledger = engine.ledger();
        let dropped = account(&ledger, "productgraph")
            .dropped
            .get(DropReason::Overflow);
        let refused = ledger.refused.get(RefuseReason::Full);
        (taken, urgent, dropped, refused)
    };
    assert_eq!(fill("drop_newest"), (64, false, 0, 37));
    assert_eq!(fill("drop_oldest"), (100, true, 37, 0));
    assert_eq!(fill("by_priority"), (56, true, 0, 44));
}

#[tokio::test]
async fn the_concurrency_is_how_many_requests_are_in_flight() {
    let collector = collector();
    let settings = [("CONCURRENCY", "3"), ("BATCH_SIZE", "1")];
    let engine = engine(&collector, &calm(&settings));
    let gate = collector.faults().hold();
    for n in 0..3 {
        track(&engine, n..n + 1);
        in_time(collector.wait_for_waiting(n as u64 + 1)).await;
    }
    track(&engine, 3..4);
    gate.release();
    assert!(in_time(engine.shutdown(BOUND)).await.ledger.is_clean());
    assert_holds_once(&collector, &ids_of(0..4));
}

#[tokio::test]
async fn the_request_timeout_ends_a_request() {
    let collector = collector();
    collector.faults().push(Fault::never_answer());
    let engine = engine(&collector, &calm(&[("REQUEST_TIMEOUT", "100ms")]));
    track(&engine, 0..1);
    assert!(in_time(engine.flush(BOUND)).await.is_settled());
    let lane = engine.health().providers.swap_remove(0);
    assert!(lane.attempts >= 2);
    assert_eq!(lane.last_error.map(|cause| cause.kind), Some("timeout"));
}

#[tokio::test]
async fn the_retry_budget_ends_the_retries() {
    let collector = collector();
    collector
        .faults()
        .set_standing(Fault::status(503), When::Always);
    let engine = engine(&collector, &calm(&[("RETRY_BUDGET", "60ms")]));
    track(&engine, 0..1);
    let report = in_time(engine.flush(BOUND)).await;
    let dropped = &account(&report.ledger, "productgraph").dropped;
    assert_eq!(dropped.get(DropReason::Expired), 1, "{report}");
    assert!(collector.stats().received >= 2, "it was tried again");
}

#[tokio::test]
async fn project_key_and_tenant_keys_reach_the_service() {
    let collector = Collector::builder()
        .require_key(KEY)
        .start_blocking()
        .expect("a free port");
    let settings = [
        ("API_KEY", KEY),
        ("PROJECT_ID", "fleet"),
        ("TENANT_KEYS", "product_id"),
    ];
    let engine = engine(&collector, &calm(&settings));
    track(&engine, 0..1);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.ledger.is_clean(), "{report}");
    let event = &collector.events()[0];
    assert_eq!(event["product_id"], "fleet");
    assert_eq!(event["project_id"], Value::Null);
}

#[tokio::test]
async fn the_shutdown_timeout_bounds_drain_and_flush() {
    let collector = collector();
    let _gate = collector.faults().hold();
    let engine = engine(&collector, &calm(&[("SHUTDOWN_TIMEOUT", "100ms")]));
    assert_eq!(engine.shutdown_timeout(), millis(100));
    track(&engine, 0..1);
    assert!(!in_time(engine.handle().flush()).await.is_settled());
    let report = in_time(engine.drain_on(std::future::ready(()))).await;
    assert!(!report.is_settled() && report.ledger.balances(), "{report}");
    assert!(report.elapsed < Duration::from_secs(5), "{report}");
}

/// One request through the layer of an engine with these settings; the events that came of it.
async fn through_the_layer(settings: &[(&str, &str)], path: &str) -> Vec<Value> {
    let collector = collector();
    let engine = engine(&collector, &calm(settings));
    let handle = engine.handle();
    let handler = service_fn(move |_: Request<Body>| {
        handle.track(Event::custom("handled"));
        async { Ok::<_, std::convert::Infallible>(Response::new(Body::from("ok"))) }
    });
    let request = Request::get(path)
        .header("x-user-id", "mallory")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .body(Body::empty())
        .expect("a request");
    let answer = engine.layer().layer(handler).oneshot(request).await;
    let body = answer.expect("an answer").into_body();
    body.collect().await.expect("a body");
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.ledger.is_clean(), "{report}");
    let mut events = named(&collector, "handled");
    events.extend(
        collector
            .events()
            .into_iter()
            .filter(|event| event["event.type"] == "api.response"),
    );
    events
}

#[tokio::test]
async fn the_settings_of_requests_reach_the_layer() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let plain = through_the_layer(&[], "/cart").await;
    assert_eq!(plain.len(), 2);
    for event in &plain {
        assert_eq!(event["user.id"], Value::Null);
        assert_eq!(metadata(event, "session_source"), "request");
        assert_eq!(metadata(event, "trace_id"), TRACE);
    }
    let settings = [
        ("SESSION", "process"),
        ("TRUST_USER_HEADER", "true"),
        ("TRACE_TRUST", "ignore"),
        ("EXCLUDED_PATHS", "/health, /metrics*"),
    ];
    let set = through_the_layer(&settings, "/cart").await;
    assert_eq!(set.len(), 2);
    for event in &set {
        assert_eq!(event["user.id"], "mallory");
        assert_eq!(metadata(event, "user_source"), "claimed");
        assert_eq!(metadata(event, "session_source"), "process");
        assert_eq!(metadata(event, "trace_id"), &Value::Null);
    }
    for path in ["/health", "/metrics/all"] {
        assert_eq!(through_the_layer(&settings, path).await.len(), 1, "{path}");
    }
}

#[test]
fn plain_http_to_another_machine_needs_permission() {
    let far = "http://192.0.2.1/v1/events";
    let error = try_config(far, &[]).expect_err("it is another machine");
    assert_eq!(error.setting(), "PRODUCTGRAPH_ENDPOINT");
    let allowed = config(far, &[("ALLOW_PLAIN_HTTP", "true")]);
    let engine = Engine::from_config(&allowed).expect("it starts");
    assert!(engine.is_enabled());
}

#[test]
fn a_bad_value_is_an_error_that_names_the_variable_and_hides_the_value() {
    let bad = "b4d-\u{1}value";
    for variable in [
        "ENABLED",
        "ENDPOINT",
        "API_KEY",
        "BATCH_SIZE",
        "BATCH_INTERVAL",
        "DEBUG",
        "SHUTDOWN_TIMEOUT",
        "MAX_BUFFERED_BYTES",
        "QUEUE_CAPACITY",
        "OVERFLOW",
        "CONCURRENCY",
        "DEAD_LETTERS",
        "REQUEST_TIMEOUT",
        "RETRY_BASE",
        "RETRY_MAX",
        "RETRY_BUDGET",
        "BREAKER_THRESHOLD",
        "HOLD_BUDGET",
        "TENANT_KEYS",
        "ALLOW_PLAIN_HTTP",
        "SESSION",
        "TRACE_TRUST",
        "TRUST_USER_HEADER",
        "EXCLUDED_PATHS",
        "PROJECT_ID",
    ] {
        let error = try_config("http://127.0.0.1:1", &[(variable, bad)]);
        let error = StartError::from(error.expect_err(variable));
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains(&format!("PRODUCTGRAPH_{variable}")),
            "{shown}"
        );
        assert!(!shown.contains("b4d"), "{shown}");
    }
}

#[test]
fn settings_in_code_that_cannot_work_are_errors_too() {
    let start = |provider: ProductGraph| Engine::builder().project("p").provider(provider).spawn();
    let local = "http://127.0.0.1:1";
    for (bad, setting) in [
        (ProductGraph::new("ftp://127.0.0.1"), "endpoint"),
        (ProductGraph::new(local).api_key("new\nline"), "api_key"),
        (
            ProductGraph::new(local).max_batch_events(0),
            "max_batch_events",
        ),
        (ProductGraph::new(local).timeout(Duration::ZERO), "timeout"),
    ] {
        let error = start(bad).expect_err(setting).to_string();
        assert!(error.contains(setting), "{error}");
    }
    let error = Engine::builder().provider(ProductGraph::new(local)).spawn();
    assert!(
        error
            .expect_err("no project")
            .to_string()
            .contains("project")
    );
    let twice = Engine::builder()
        .project("p")
        .provider(ProductGraph::new(local))
        .provider(ProductGraph::new(local))
        .spawn();
    assert!(matches!(twice, Err(StartError::Spawn(_))));
}

#[tokio::test]
async fn a_configuration_without_an_endpoint_serves_providers_from_code() {
    let collector = collector();
    let config = Config::from_lookup(|name| (name == "PRODUCTGRAPH_BATCH_SIZE").then_some("2"))
        .expect("a valid configuration");
    let engine = EngineBuilder::from_config(&config)
        .expect("a valid configuration")
        .project("shop")
        .provider(provider(&collector, "own"))
        .spawn()
        .expect("it starts");
    track(&engine, 0..2);
    in_time(collector.wait_for_events(2)).await;

    let off = config.clone().enabled(false);
    let engine = EngineBuilder::from_config(&off)
        .expect("a valid configuration")
        .project("shop")
        .provider(provider(&collector, "own"))
        .spawn()
        .expect("it starts");
    assert!(!engine.is_enabled());
    assert_eq!(engine.health().state, HealthState::Disabled);
    assert!(!Engine::from_config(&config).expect("off").is_enabled());
}

#[test]
fn the_environment_of_the_process_is_read() {
    const ROLE: &str = "PG_TEST_CONFIG_CHILD";
    if std::env::var_os(ROLE).is_some() {
        match Engine::from_env() {
            Ok(engine) => {
                track(&engine, 0..3);
                println!("\nreport {}", engine.shutdown_blocking(BOUND));
            }
            Err(error) => println!("\nerror {error}"),
        }
        return;
    }
    let child = |settings: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command
            .args([
                "--exact",
                "--nocapture",
                "the_environment_of_the_process_is_read",
            ])
            .env(ROLE, "1");
        for (name, value) in settings {
            command.env(format!("PRODUCTGRAPH_{name}"), value);
        }
        let output = command.output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let collector = collector();
    let endpoint = collector.endpoint();
    let said = child(&[("PROJECT_ID", "shop"), ("ENDPOINT", &endpoint)]);
    assert!(said.contains("\nreport settled"), "{said}");
    assert_holds_once(&collector, &ids_of(0..3));
    let said = child(&[("PROJECT_ID", "shop")]);
    assert!(said.contains("\nerror PRODUCTGRAPH_ENDPOINT"), "{said}");
    let said = child(&[
        ("PROJECT_ID", "shop"),
        ("ENDPOINT", &endpoint),
        ("BATCH_SIZE", "many"),
    ]);
    assert!(said.contains("\nerror PRODUCTGRAPH_BATCH_SIZE"), "{said}");
}
