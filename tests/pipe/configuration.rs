//! Bad configuration: named, not shown, and nothing is read.

use std::process::Command;

use crate::example_support::{Ended, Running, command};

const KEY: &str = "pg_live_9c41d";

fn refused(pipe: &mut Command, names: &[&str]) -> Ended {
    let ended = Running::start(pipe).finish();
    assert_eq!(ended.code, Some(2), "{names:?}: {ended:?}");
    assert_eq!(ended.stdout, "", "{names:?}");
    for name in names {
        assert!(ended.stderr.contains(name), "{name}: {ended:?}");
    }
    ended
}

#[test]
fn a_pipe_without_a_destination_names_the_variables_that_give_it_one() {
    let both = ["PRODUCTGRAPH_PROJECT_ID", "PRODUCTGRAPH_ENDPOINT"];
    refused(&mut command("pipe"), &both);

    let mut switched_off = command("pipe");
    switched_off
        .env("PRODUCTGRAPH_PROJECT_ID", "shop")
        .env("PRODUCTGRAPH_ENDPOINT", "http://127.0.0.1:9/v1/events")
        .env("PRODUCTGRAPH_ENABLED", "false");
    refused(&mut switched_off, &["PRODUCTGRAPH_ENABLED"]);
}

#[test]
fn half_a_destination_names_the_other_half() {
    let mut no_project = command("pipe");
    no_project.env("PRODUCTGRAPH_ENDPOINT", "http://127.0.0.1:9/v1/events");
    refused(&mut no_project, &["PRODUCTGRAPH_PROJECT_ID"]);

    let mut no_endpoint = command("pipe");
    no_endpoint.env("PRODUCTGRAPH_PROJECT_ID", "shop");
    refused(&mut no_endpoint, &["PRODUCTGRAPH_ENDPOINT"]);
}

#[test]
fn each_bad_value_names_its_variable_and_neither_it_nor_the_key_is_shown() {
    for (name, value) in [
        ("PROJECT_ID", "bad\u{7}project"),
        ("ENDPOINT", "bad-endpoint"),
        ("ENDPOINT", "ftp://bad.example/v1/events"),
        ("ENDPOINT", "http://bad.example/v1/events"),
        ("ENDPOINT", "https://bad:bad-secret@host.example/v1/events"),
        ("ENDPOINT", "http://127.0.0.1:9999999/bad"),
        ("API_KEY", "bad\u{1}key"),
        ("API_KEY", "bad-schlüssel"),
        ("BATCH_SIZE", "bad-10"),
        ("BATCH_SIZE", "1000000007"),
        ("BATCH_INTERVAL", "bad-soon"),
        ("DEBUG", "bad-maybe"),
        ("ENABLED", "bad-perhaps"),
        ("SHUTDOWN_TIMEOUT", "-1s"),
        ("MAX_BUFFERED_BYTES", "17"),
        ("QUEUE_CAPACITY", "bad"),
        ("OVERFLOW", "bad-block"),
        ("CONCURRENCY", "1000000007"),
        ("DEAD_LETTERS", "1000000007"),
        ("REQUEST_TIMEOUT", "bad"),
        ("RETRY_BASE", "bad"),
        ("RETRY_MAX", "bad"),
        ("RETRY_BUDGET", "bad"),
        ("BREAKER_THRESHOLD", "1000000007"),
        ("HOLD_BUDGET", "bad"),
        ("TENANT_KEYS", "bad-neither"),
        ("ALLOW_PLAIN_HTTP", "bad"),
        ("SESSION", "bad-session"),
        ("TRACE_TRUST", "bad-trust"),
        ("TRUST_USER_HEADER", "bad"),
        ("EXCLUDED_PATHS", "bad-path"),
    ] {
        let name = format!("PRODUCTGRAPH_{name}");
        let mut pipe = command("pipe");
        pipe.env("PRODUCTGRAPH_PROJECT_ID", "shop")
            .env("PRODUCTGRAPH_ENDPOINT", "http://127.0.0.1:9/v1/events")
            .env("PRODUCTGRAPH_API_KEY", KEY)
            .env(&name, value);
        let ended = refused(&mut pipe, &[&name]);
        assert!(!ended.stderr.contains(value), "{name}: {ended:?}");
        assert!(!ended.stderr.contains(KEY), "{name}: {ended:?}");
        assert!(!ended.stderr.contains("bad-secret"), "{name}: {ended:?}");
    }
}

#[test]
fn an_argument_is_a_mistake_and_help_is_not() {
    let mut with_argument = command("pipe");
    with_argument.arg("events.ndjson");
    refused(&mut with_argument, &["events.ndjson", "usage: pipe"]);

    let mut help = command("pipe");
    help.arg("--help");
    let help = Running::start(&mut help).finish();
    assert_eq!((help.code, help.stdout.as_str()), (Some(0), ""));
    assert!(help.stderr.contains("PRODUCTGRAPH_ENDPOINT"), "{help:?}");
}
