//! The table of variables, the documentation, the file keys and the setters say the same.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::super::variables::{PREFIX, VARIABLES};
use super::super::*;

const DOCUMENTATION: &str = include_str!("../../../docs/configuration.md");

/// For each variable a value that is not the default, with the key and value of a file.
fn other_values() -> BTreeMap<&'static str, (&'static str, serde_json::Value)> {
    BTreeMap::from([
        ("ENABLED", ("No", json!(false))),
        ("PROJECT_ID", ("shop", json!("shop"))),
        (
            "ENDPOINT",
            ("https://pg.example", json!("https://pg.example")),
        ),
        ("API_KEY", ("k-1", json!("k-1"))),
        ("BATCH_SIZE", ("7", json!(7))),
        ("BATCH_INTERVAL", ("250ms", json!("250ms"))),
        ("DEBUG", ("on", json!(true))),
        ("SHUTDOWN_TIMEOUT", ("0", json!(0))),
        ("MAX_BUFFERED_BYTES", ("64KiB", json!(65536))),
        ("QUEUE_CAPACITY", ("64", json!(64))),
        ("OVERFLOW", ("By_Priority", json!("by_priority"))),
        ("CONCURRENCY", ("4", json!(4))),
        ("DEAD_LETTERS", ("0", json!(0))),
        ("REQUEST_TIMEOUT", ("1.5s", json!(1.5))),
        ("RETRY_BASE", ("1s", json!("1s"))),
        ("RETRY_MAX", ("1m", json!("60s"))),
        ("RETRY_BUDGET", ("1h", json!("60m"))),
        ("BREAKER_THRESHOLD", ("9", json!(9))),
        ("HOLD_BUDGET", ("2h", json!("120m"))),
        ("TENANT_KEYS", ("product_id", json!("product_id"))),
        ("ALLOW_PLAIN_HTTP", ("1", json!(true))),
        ("SESSION", ("process", json!("process"))),
        ("TRACE_TRUST", ("link", json!("link"))),
        ("TRUST_USER_HEADER", ("yes", json!(true))),
        (
            "EXCLUDED_PATHS",
            ("/health*, /metrics", json!(["/health*", "/metrics"])),
        ),
        ("REDACTION", ("Off", json!("off"))),
        ("REDACT_EMAILS", ("true", json!(true))),
        ("SAMPLE_RATE", ("0.25", json!(0.25))),
        ("CONSENT", ("GPC", json!("gpc"))),
    ])
}

fn shown(config: &Config) -> String {
    format!("{config:?}")
}

/// The rows of the table: variable, key, default, what it accepts.
fn documented() -> Vec<[&'static str; 4]> {
    DOCUMENTATION
        .lines()
        .filter(|line| line.starts_with("| `PRODUCTGRAPH_"))
        .map(|line| {
            let mut cells = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'));
            std::array::from_fn(|_| cells.next().expect("four cells"))
        })
        .collect()
}

#[test]
fn the_documentation_lists_each_variable_as_the_code_has_it() {
    let documented: Vec<_> = documented()
        .iter()
        .map(|[name, key, _, accepts]| (*name, (*key).to_owned(), *accepts))
        .collect();
    let coded: Vec<_> = VARIABLES
        .iter()
        .map(|v| {
            (
                v.name,
                v.name[PREFIX.len()..].to_ascii_lowercase(),
                v.accepts,
            )
        })
        .collect();
    assert_eq!(documented, coded);
}

#[test]
fn the_documentation_states_each_default_and_none_where_there_is_none() {
    let untouched = shown(&Config::default());
    for [name, key, default, _] in documented() {
        let variable = VARIABLES
            .iter()
            .find(|v| v.name == name)
            .expect("a variable");
        if default == "none" {
            let empty = [format!("{key}: None"), format!("{key}: []")];
            assert!(empty.iter().any(|text| untouched.contains(text)), "{name}");
        } else {
            let mut config = Config::default();
            (variable.set)(&mut config, default).unwrap();
            assert_eq!(shown(&config), untouched, "{name}");
        }
    }
}

#[test]
fn a_variable_and_a_key_in_a_file_set_the_same_single_field() {
    let values = other_values();
    assert_eq!(values.len(), VARIABLES.len());
    let untouched = shown(&Config::default());
    let mut seen = Vec::new();

    for variable in VARIABLES {
        let suffix = &variable.name[PREFIX.len()..];
        let (text, json) = &values[suffix];
        let mut by_variable = Config::default();
        (variable.set)(&mut by_variable, text).unwrap();
        let by_file: Config =
            serde_json::from_value(json!({ suffix.to_ascii_lowercase(): json })).unwrap();

        assert_eq!(shown(&by_variable), shown(&by_file), "{suffix}");
        assert_ne!(shown(&by_variable), untouched, "{suffix}");
        assert!(!seen.contains(&shown(&by_variable)), "{suffix}");
        seen.push(shown(&by_variable));
    }
}

#[test]
fn the_setters_set_what_the_variables_do() {
    let by_code = Config::default()
        .enabled(false)
        .project_id("shop")
        .endpoint("https://pg.example")
        .api_key(Secret::new("k-1").unwrap())
        .batch_size(7)
        .batch_interval(Duration::from_millis(250))
        .debug(true)
        .shutdown_timeout(Duration::ZERO)
        .max_buffered_bytes(65536)
        .queue_capacity(64)
        .overflow(Overflow::ByPriority)
        .concurrency(4)
        .dead_letters(0)
        .request_timeout(Duration::from_millis(1500))
        .retry_base(Duration::from_secs(1))
        .retry_max(Duration::from_secs(60))
        .retry_budget(Duration::from_secs(3600))
        .breaker_threshold(9)
        .hold_budget(Duration::from_secs(7200))
        .tenant_keys(TenantKeys::ProductId)
        .allow_plain_http(true)
        .session(SessionMinting::PerProcess)
        .trace_trust(TraceTrust::Link)
        .trust_user_header(true)
        .excluded_paths(["/health*", "/metrics"])
        .redaction(RedactionMode::Off)
        .redact_emails(true)
        .sample_rate(0.25)
        .consent(ConsentPolicy::GlobalPrivacyControl);
    let values = other_values();
    let by_variables =
        Config::from_lookup(|name| values.get(name.strip_prefix(PREFIX)?).map(|(text, _)| text))
            .unwrap();

    assert_eq!(shown(&by_code), shown(&by_variables));
    assert_eq!(
        by_code.api_key.unwrap().expose(),
        by_variables.api_key.unwrap().expose()
    );
}
