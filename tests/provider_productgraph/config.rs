//! Settings that cannot be worked with, and secrets that must not show.

use std::time::Duration;

use productgraph::providers::http::StatusClass;
use productgraph::providers::{IntoProvider, ProductGraph, Setup};
use productgraph::{ConfigError, Secret};

fn error(settings: ProductGraph) -> ConfigError {
    match settings.into_provider(&Setup::new("shop")) {
        Ok(_) => panic!("these settings should have been refused"),
        Err(error) => error,
    }
}

fn valid() -> ProductGraph {
    ProductGraph::new("http://localhost:1")
}

#[test]
fn a_setting_out_of_range_is_named_with_what_is_expected() {
    for (settings, setting) in [
        (ProductGraph::new(""), "endpoint"),
        (ProductGraph::new("localhost:8080"), "endpoint"),
        (ProductGraph::new("http://pg.example"), "endpoint"),
        (valid().api_key(""), "api_key"),
        (valid().api_key("k\n"), "api_key"),
        (valid().timeout(Duration::ZERO), "timeout"),
        (valid().max_batch_events(0), "max_batch_events"),
        (valid().max_batch_events(1001), "max_batch_events"),
        (valid().max_batch_bytes(1023), "max_batch_bytes"),
        (valid().max_batch_bytes(10_000_001), "max_batch_bytes"),
        (valid().on_status(202, StatusClass::Retry), "on_status"),
        (valid().on_status(500, StatusClass::Success), "on_status"),
        (valid().name("Second One"), "name"),
        (valid().name(""), "name"),
    ] {
        let error = error(settings);
        assert_eq!(error.setting(), setting, "{error}");
        assert!(error.provider().is_some(), "{error}");
        assert!(!error.expected().is_empty(), "{error}");
    }
}

#[test]
fn a_provider_without_a_project_is_refused() {
    let error = valid()
        .into_provider(&Setup::new(" "))
        .err()
        .expect("an error");
    assert_eq!(error.setting(), "project");
}

#[test]
fn limits_and_name_are_those_of_the_settings() {
    let settings = valid()
        .max_batch_events(7)
        .max_batch_bytes(2048)
        .name("second-1");
    let provider = settings
        .into_provider(&Setup::new("shop"))
        .expect("a valid configuration");

    assert_eq!(provider.name(), "second-1");
    let limits = provider.limits();
    assert_eq!((limits.max_events.get(), limits.max_bytes.get()), (7, 2048));
}

#[test]
fn no_key_shows_in_settings_or_errors() {
    let key = Secret::new("s3cr3t").expect("a secret");
    for settings in [
        valid().api_key(key),
        valid().api_key("s3cr3t\r\n"),
        ProductGraph::new("https://user:s3cr3t@pg.example").api_key("s3cr3t".to_owned()),
        ProductGraph::new("ftp://pg.example/s3cr3t"),
        ProductGraph::new("https://pg.example/v1/events?key=s3cr3t\n"),
    ] {
        let shown = format!("{settings:?} {settings:#?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        if let Err(error) = settings.into_provider(&Setup::new("shop")) {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
    }
}
