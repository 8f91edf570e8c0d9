mod table;

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::variables::{PREFIX, VARIABLES};
use super::*;
use crate::ConfigError;

fn from<const N: usize>(pairs: [(&str, &str); N]) -> Result<Config, ConfigError> {
    let values: HashMap<String, String> = pairs
        .map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned()))
        .into();
    Config::from_lookup(|name| values.get(name).cloned())
}

/// With a project and an endpoint, and this.
fn with(name: &str, value: &str) -> Result<Config, ConfigError> {
    from([
        ("PROJECT_ID", "shop"),
        ("ENDPOINT", "https://pg.example/v1/events"),
        (name, value),
    ])
}

#[test]
fn the_defaults_are_valid() {
    Config::default().validate().unwrap();
    Config::default()
        .project_id("shop")
        .endpoint("https://pg.example")
        .validate()
        .unwrap();
}

#[test]
fn without_project_and_endpoint_the_engine_is_off_and_says_why() {
    let config = from([]).unwrap();
    assert!(!config.is_enabled());
    assert_eq!(
        config.disabled_because(),
        Some("neither PRODUCTGRAPH_PROJECT_ID nor PRODUCTGRAPH_ENDPOINT is set")
    );

    let config = with("ENABLED", "false").unwrap();
    assert_eq!(
        config.disabled_because(),
        Some("PRODUCTGRAPH_ENABLED is false")
    );
    assert!(with("ENABLED", "true").unwrap().is_enabled());
    assert!(with("ENABLED", "").unwrap().is_enabled());
}

#[test]
fn what_is_missing_is_named_once_the_engine_is_asked_for() {
    for (error, name) in [
        (from([("ENABLED", "true")]), "PRODUCTGRAPH_PROJECT_ID"),
        (
            from([("ENDPOINT", "https://pg.example")]),
            "PRODUCTGRAPH_PROJECT_ID",
        ),
        (from([("PROJECT_ID", "shop")]), "PRODUCTGRAPH_ENDPOINT"),
        (
            from([("PROJECT_ID", "shop"), ("ENDPOINT", "  ")]),
            "PRODUCTGRAPH_ENDPOINT",
        ),
    ] {
        let error = error.unwrap_err();
        assert_eq!((error.setting(), error.problem()), (name, "is not set"));
    }
    from([("PROJECT_ID", "shop"), ("ENABLED", "false")]).unwrap();
}

#[test]
fn a_value_at_the_edge_is_taken_and_one_beyond_is_refused_by_name() {
    for (name, good, bad) in [
        ("BATCH_SIZE", ["1", "1000"], ["0", "1001"]),
        ("BATCH_INTERVAL", ["10ms", "1h"], ["9ms", "1h1ms"]),
        ("SHUTDOWN_TIMEOUT", ["0", "1h"], ["1h1ms", "2h"]),
        (
            "MAX_BUFFERED_BYTES",
            ["64KiB", "4GiB"],
            ["65535", "4294967297"],
        ),
        ("QUEUE_CAPACITY", ["64", "1048576"], ["63", "1048577"]),
        ("CONCURRENCY", ["1", "64"], ["0", "65"]),
        ("DEAD_LETTERS", ["0", "100000"], ["100001", "200000"]),
        ("REQUEST_TIMEOUT", ["100ms", "5m"], ["99ms", "5m1ms"]),
        ("RETRY_BASE", ["10ms", "30s"], ["9ms", "1m1ms"]),
        ("RETRY_MAX", ["500ms", "1h"], ["499ms", "1h1ms"]),
        ("RETRY_BUDGET", ["500ms", "24h"], ["499ms", "24h1ms"]),
        ("BREAKER_THRESHOLD", ["1", "1000"], ["0", "1001"]),
        ("HOLD_BUDGET", ["1s", "720h"], ["999ms", "720h1ms"]),
        ("SAMPLE_RATE", ["0", "1.0"], ["-0.001", "1.001"]),
    ] {
        for value in good {
            assert!(with(name, value).is_ok(), "{name}={value}");
        }
        for value in bad {
            let error = with(name, value).unwrap_err();
            assert_eq!(error.setting(), format!("{PREFIX}{name}"), "{value}");
            assert_eq!(error.problem(), "is out of range", "{value}");
        }
    }
}

#[test]
fn a_retry_base_above_its_maximum_is_refused() {
    let error = from([("RETRY_BASE", "45s")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "PRODUCTGRAPH_RETRY_MAX is out of range; expected a duration from PRODUCTGRAPH_RETRY_BASE to 1h"
    );
}

#[test]
fn a_malformed_value_is_an_error_that_names_the_variable_and_what_is_expected() {
    for variable in VARIABLES {
        let suffix = &variable.name[PREFIX.len()..];
        if suffix == "PROJECT_ID" {
            continue; // any text will do
        }
        let error = with(suffix, "s3cr3t é,x").unwrap_err();
        assert_eq!(error.setting(), variable.name);
        assert_eq!(error.expected(), variable.accepts);
        assert!(
            !format!("{error} {error:?}").contains("s3cr3t"),
            "{error:?}"
        );
    }
}

#[test]
fn projects_addresses_and_paths_are_checked_without_being_shown() {
    let long = format!("/s3cr3t{}", "x".repeat(256));
    let many = "/s3cr3t,".repeat(65);
    for (name, value, problem) in [
        (
            "PROJECT_ID",
            "s3cr3t\u{7}shop",
            "has a control character in it",
        ),
        ("PROJECT_ID", long.as_str(), "is too long"),
        (
            "ENDPOINT",
            "https://user:s3cr3t@pg.example/v1",
            "has credentials in it",
        ),
        (
            "ENDPOINT",
            "http://s3cr3t.example/v1",
            "would send events and keys unencrypted to another machine",
        ),
        (
            "API_KEY",
            "s3cr3t\nX-Evil: 1",
            "has a control character, such as a line break, in it",
        ),
        (
            "EXCLUDED_PATHS",
            "s3cr3t",
            "has a path that does not start with /",
        ),
        (
            "EXCLUDED_PATHS",
            long.as_str(),
            "has a path that is too long",
        ),
        ("EXCLUDED_PATHS", many.as_str(), "has too many paths"),
    ] {
        let error = with(name, value).unwrap_err();
        assert_eq!(error.setting(), format!("{PREFIX}{name}"));
        assert_eq!(error.problem(), problem);
        assert!(
            !format!("{error} {error:?}").contains("s3cr3t"),
            "{error:?}"
        );
    }
    let allowed = from([
        ("PROJECT_ID", "shop"),
        ("ENDPOINT", "http://pg.example"),
        ("ALLOW_PLAIN_HTTP", "true"),
    ]);
    allowed.unwrap();
}

#[test]
fn space_around_a_value_is_ignored_and_an_empty_value_is_unset() {
    let config = from([
        ("PROJECT_ID", " shop \n"),
        ("ENDPOINT", "\thttps://pg.example/v1/events\n"),
        ("API_KEY", "k-1\n"),
        ("BATCH_SIZE", ""),
        ("BATCH_INTERVAL", " 2 "),
        ("OVERFLOW", "  "),
    ])
    .unwrap();

    assert_eq!(config.project_id.as_deref(), Some("shop"));
    assert_eq!(
        config.endpoint.as_deref(),
        Some("https://pg.example/v1/events")
    );
    assert_eq!(config.api_key.unwrap().expose(), "k-1");
    assert_eq!(config.batch_size, 50);
    assert_eq!(config.batch_interval, Duration::from_secs(2));
    assert_eq!(config.overflow, Overflow::DropNewest);
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_refused_by_name() {
    use std::os::unix::ffi::OsStringExt;

    let lookup =
        |name: &str| (name == "PRODUCTGRAPH_API_KEY").then(|| OsString::from_vec(vec![b'k', 0xff]));
    let error = Config::from_lookup(lookup).unwrap_err();
    assert_eq!(
        (error.setting(), error.problem()),
        ("PRODUCTGRAPH_API_KEY", "is not valid UTF-8")
    );
}

#[test]
fn the_process_environment_is_read_with_warnings() {
    const CHILD: &str = "PG_TEST_ENVIRONMENT_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let config = Config::from_env().unwrap();
        assert_eq!(config.batch_size, 7);
        assert_eq!(
            config.warnings(),
            ["PRODUCTGRAPH_BATCHSIZE is set, but there is no such setting"]
        );
        println!("\nthe child has checked it");
        return;
    }
    // The environment of a running process cannot be changed safely, that of a new one can.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(PREFIX) {
            child.env_remove(name);
        }
    }
    let child = child
        .args(["--exact", "--nocapture"])
        .arg("config::tests::the_process_environment_is_read_with_warnings")
        .env(CHILD, "1")
        .env("PRODUCTGRAPH_BATCH_SIZE", "7")
        .env("PRODUCTGRAPH_BATCHSIZE", "8")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{printed}");
    assert!(printed.contains("the child has checked it"), "{printed}");
}

#[test]
fn unknown_variables_of_the_family_are_warned_of_by_name_only() {
    let names = [
        "PRODUCTGRAPH_BATCHSIZE",
        "PRODUCTGRAPH_BATCH_SIZE",
        "PATH",
        "MY_PRODUCTGRAPH_X",
        "PRODUCTGRAPH_\u{1b}[31m",
    ];
    let mut config = Config::default();
    config.warn_of_unknown(names.map(OsString::from));
    assert_eq!(
        config.warnings(),
        [
            "PRODUCTGRAPH_BATCHSIZE is set, but there is no such setting",
            "PRODUCTGRAPH_\\u{1b}[31m is set, but there is no such setting",
        ]
    );
}

#[test]
fn a_file_is_read_over_the_defaults_and_the_environment_over_the_file() {
    let file: Config = serde_json::from_str(
        r#"{"project_id": "shop", "endpoint": "https://pg.example", "batch_size": 20, "debug": true}"#,
    )
    .unwrap();
    let config = file
        .read(|name| (name == "PRODUCTGRAPH_BATCH_SIZE").then(|| "30".into()))
        .unwrap();

    config.validate().unwrap();
    assert_eq!(
        (config.batch_size, config.debug, config.concurrency),
        (30, true, 1)
    );
}

#[test]
fn a_file_with_an_unknown_key_or_a_bad_value_is_refused() {
    for (json, words) in [
        (json!({"batchsize": 1}), "unknown field `batchsize`"),
        (json!({"warnings": []}), "unknown field `warnings`"),
        (
            json!({"batch_interval": "soon"}),
            "value is not a duration; expected a duration such as",
        ),
        (json!({"batch_interval": -1}), "value is not a duration"),
        (json!({"batch_interval": true}), "expected text or a number"),
        (
            json!({"overflow": "block"}),
            "expected drop_newest, drop_oldest or by_priority",
        ),
        (json!({"api_key": 5_129_741}), "a secret in quotes"),
    ] {
        let error = serde_json::from_value::<Config>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("5129741"), "{error}");
    }
    let empty: Config =
        serde_json::from_value(json!({"project_id": " ", "endpoint": null})).unwrap();
    assert!(!empty.is_enabled());
}

#[test]
fn what_protects_privacy_is_on_unless_it_is_switched_off() {
    let card = "4111 1111 1111 1111, ada@example.org";
    let config = Config::default();
    assert_eq!(
        config.redaction_rules().text(card),
        "[redacted], ada@example.org"
    );
    assert_eq!(
        config.redact_emails(true).redaction_rules().text(card),
        "[redacted], [redacted]"
    );
    assert!(
        with("REDACTION", "off")
            .unwrap()
            .redaction_rules()
            .is_none()
    );
    assert_eq!(
        with("CONSENT", "opt-in").unwrap().consent,
        ConsentPolicy::OptIn
    );
    assert_eq!(
        with("SAMPLE_RATE", "1").unwrap().sampling().unwrap(),
        Sampling::all()
    );
    let error = Config::default()
        .sample_rate(f64::NAN)
        .sampling()
        .unwrap_err();
    assert_eq!(error.setting(), "PRODUCTGRAPH_SAMPLE_RATE");
    assert!(Config::default().sample_rate(f64::NAN).validate().is_err());
}

#[test]
fn debug_output_does_not_show_the_key() {
    let config = with("API_KEY", "s3cr3t").unwrap();
    assert!(!format!("{config:?} {config:#?}").contains("s3cr3t"));
}

proptest! {
    #[test]
    fn no_environment_makes_reading_panic_and_what_it_takes_is_valid(
        values in proptest::collection::vec(
            proptest::option::of("\\PC{0,24}|[0-9.]{1,8}(ms|s|m|h|MiB)?|true|https?://[a-z./:@]{1,20}"),
            VARIABLES.len(),
        )
    ) {
        let given: HashMap<_, _> = VARIABLES.iter().map(|v| v.name).zip(values).collect();
        if let Ok(config) = Config::from_lookup(|name| given[name].clone()) {
            prop_assert!(config.validate().is_ok());
        }
    }
}
