//! One golden file for each kind of event: the bytes that the service gets.
//!
//! `UPDATE_GOLDEN=1 cargo test --test wire_golden` rewrites the files; review the difference.

#[path = "wire_support/fixtures.rs"]
mod fixtures;
mod wire_support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use fixtures::{all, everything, minted, stamped};
use productgraph::correlation::{SessionId, UserId};
use productgraph::event::wire::{TenantKeys, WireError, WireOptions};
use productgraph::event::{Api, ErrorInfo, Event, EventId, Page, Timestamp};
use serde_json::{Value, json};
use wire_support::{assert_whole_integers, members};

fn written(event: &Event, options: &WireOptions) -> String {
    let mut out = Vec::new();
    event.write_wire(options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn options() -> WireOptions {
    WireOptions::new("prod_web")
}

/// One member a line, in the order in which they were written.
fn pretty(raw: &str) -> String {
    let line = |(key, value): &(String, &str)| {
        format!("  {}: {value}", serde_json::to_string(key).unwrap())
    };
    let lines: Vec<_> = members(raw).iter().map(line).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"))
}

#[test]
fn every_kind_is_written_as_its_golden_file_says() {
    for (name, event) in all() {
        let raw = written(&event, &options());
        let path = golden_path(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, pretty(&raw)).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        assert_eq!(pretty(&raw), golden, "{name}");
        let parsed: Value = serde_json::from_str(&raw).unwrap();
        assert_eq!(
            parsed,
            serde_json::from_str::<Value>(&golden).unwrap(),
            "{name}"
        );
        assert_whole_integers(&raw);
    }
}

#[test]
fn every_golden_file_belongs_to_an_event_here() {
    let known: BTreeSet<_> = all()
        .iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    let found: BTreeSet<_> = std::fs::read_dir(golden_path("x").parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, known);
}

#[test]
fn every_field_of_the_protocol_can_be_set() {
    // the tables of the service's event schema, in their order
    let protocol = [
        "event_id",
        "product_id",
        "project_id",
        "session.id",
        "event.type",
        "event.timestamp",
        "user.id",
        "org.id",
        "event.name",
        "event.sequence",
        "page.path",
        "page.title",
        "page.url",
        "page.referrer",
        "ui.component.name",
        "ui.component.path",
        "ui.component.type",
        "ui.action",
        "ui.element",
        "ui.element.text",
        "ui.viewport",
        "ui.scroll.position",
        "ui.state.key",
        "ui.state.before",
        "ui.state.after",
        "ui.state.change_type",
        "gen_ai.journey.id",
        "gen_ai.journey.step.id",
        "gen_ai.journey.step.name",
        "gen_ai.journey.conversion.status",
        "api.method",
        "api.path",
        "api.status_code",
        "api.duration_ms",
        "error.type",
        "error.message",
        "error.stack",
        "error.component",
        "performance.lcp_ms",
        "performance.fid_ms",
        "performance.cls",
        "performance.ttfb_ms",
        "snapshot.url",
        "snapshot.viewport",
        "duration_ms",
        "metadata",
    ];
    let raw = written(&everything(), &options());
    let keys: BTreeSet<_> = members(&raw).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, protocol.map(str::to_owned).into());
}

#[test]
fn every_type_of_the_protocol_can_be_reached() {
    let protocol = [
        "page.view",
        "page.leave",
        "ui.click",
        "ui.input",
        "ui.scroll",
        "ui.focus",
        "ui.blur",
        "ui.submit",
        "state.change",
        "api.request",
        "api.response",
        "journey.step",
        "error",
        "performance",
        "custom",
    ];
    let written: BTreeSet<_> = all()
        .iter()
        .map(|(_, event)| written(event, &options()))
        .filter_map(|raw| Event::from_wire(raw).ok())
        .map(|event| {
            let json: Value = serde_json::to_value(&event).unwrap();
            json["event.type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(
        protocol.iter().all(|known| written.contains(*known)),
        "{written:?}"
    );
}

#[test]
fn the_tenant_goes_under_the_key_that_was_chosen() {
    let event = stamped(Event::custom("x"));
    let mut options = options();
    let tenants = |options: &WireOptions| -> Vec<_> {
        let raw = written(&event, options);
        let keys = members(&raw).into_iter().map(|(key, _)| key);
        keys.filter(|key| key.ends_with("ct_id")).collect()
    };
    assert_eq!(tenants(&options), ["product_id", "project_id"]);
    options.tenant_keys = TenantKeys::ProductId;
    assert_eq!(tenants(&options), ["product_id"]);
    options.tenant_keys = TenantKeys::ProjectId;
    assert_eq!(tenants(&options), ["project_id"]);
}

#[test]
fn the_project_of_an_event_wins_over_the_option() {
    let event = stamped(Event::custom("x").with_project("other"));
    let json: Value = serde_json::from_str(&written(&event, &options())).unwrap();
    assert_eq!(
        (&json["product_id"], &json["project_id"]),
        (&json!("other"), &json!("other"))
    );
}

#[test]
fn conversions_and_snapshots_can_go_under_their_own_types() {
    let types = |event: &Event, options: &WireOptions| {
        let json: Value = serde_json::from_str(&written(event, options)).unwrap();
        (json["event.type"].clone(), json["event.name"].clone())
    };
    let event = stamped(Event::journey_conversion("checkout", "completed"));
    assert_eq!(
        types(&event, &options()),
        (json!("journey.step"), json!("journey.conversion"))
    );
    let mut specific = options();
    specific.specific_types = true;
    assert_eq!(
        types(&event, &specific),
        (json!("journey.conversion"), json!(null))
    );
    let event = stamped(Event::snapshot("s3://1").specific_type());
    assert_eq!(
        types(&event, &options()),
        (json!("snapshot.captured"), json!(null))
    );
}

#[test]
fn what_an_event_lacks_is_named_and_nothing_is_written() {
    let id = EventId::parse("e-1").unwrap();
    let session = SessionId::parse("s-1").unwrap();
    let now = Timestamp::from_unix_millis(0);
    let cases = [
        (Event::custom("x"), "shop", WireError::NoId),
        (
            Event::custom("x").with_id(id.clone()),
            "",
            WireError::NoProject,
        ),
        (
            Event::custom("x").with_id(id.clone()),
            "shop",
            WireError::NoSession,
        ),
        (
            Event::custom("x")
                .with_id(id.clone())
                .with_session(session.clone()),
            "shop",
            WireError::NoTimestamp,
        ),
        (
            Event::of_type("")
                .with_id(id)
                .with_session(session)
                .with_timestamp(now),
            "shop",
            WireError::NoType,
        ),
    ];
    for (event, project, error) in cases {
        let mut out = b"before".to_vec();
        assert_eq!(
            event.write_wire(&WireOptions::new(project), &mut out),
            Err(error)
        );
        assert_eq!(out, b"before");
    }
}

#[test]
fn a_kind_wins_over_a_context_that_says_something_else() {
    let event = stamped(Event::api_response("GET", "/a", 200, Duration::ZERO))
        .with_api(Api::new().method("POST").path("/b").status(500_u16));
    let raw = written(&event, &options());
    let api: Vec<_> = members(&raw)
        .into_iter()
        .filter(|(key, _)| key.starts_with("api"))
        .collect();
    let expected = [
        ("api.method", "\"GET\""),
        ("api.path", "\"/a\""),
        ("api.status_code", "200"),
    ]
    .into_iter()
    .chain([("api.duration_ms", "0")])
    .map(|(key, value)| (key.to_owned(), value));
    assert_eq!(api, expected.collect::<Vec<_>>());
}

#[test]
fn the_users_own_metadata_wins_over_ours() {
    let event = minted()
        .with("request_id", "mine")
        .with("trace_id", 5)
        .with("user_source", true);
    let json: Value = serde_json::from_str(&written(&event, &options())).unwrap();
    let expected = json!({
        "request_id": "mine", "trace_id": 5, "user_source": true,
        "span_id": "2c2c2c2c2c2c2c2c", "session_source": "request",
    });
    assert_eq!(json["metadata"], expected);
}

#[test]
fn an_event_of_another_session_does_not_get_the_users_of_this_one() {
    let event = minted().with_session(SessionId::parse("another").unwrap());
    let json: Value = serde_json::from_str(&written(&event, &options())).unwrap();
    assert_eq!(json["session.id"], "another");
    assert_eq!(json.get("user.id"), None);
    assert_eq!(json["metadata"]["request_id"], "req-1");
    assert_eq!(json["metadata"].get("user_source"), None);
    assert_eq!(json["metadata"].get("session_source"), None);
}

#[test]
fn a_user_set_after_the_event_was_made_is_an_authenticated_one() {
    let event = minted();
    assert!(
        event
            .correlation()
            .unwrap()
            .set_user(UserId::parse("u_3").unwrap())
    );
    let json: Value = serde_json::from_str(&written(&event, &options())).unwrap();
    assert_eq!(json["user.id"], "u_3");
    assert_eq!(json["metadata"].get("user_source"), None);
}

#[test]
fn texts_are_cut_to_what_a_stored_deployment_accepts() {
    let long = "é".repeat(3000);
    let event = stamped(Event::api_request(long.clone(), long.clone()))
        .with_page(Page::new().title(long.clone()).url(long.clone()))
        .with_error(ErrorInfo::new().message(long.clone()));
    let json: Value = serde_json::from_str(&written(&event, &options())).unwrap();
    let bytes = |key: &str| json[key].as_str().unwrap().len();
    assert_eq!(bytes("api.method"), 10);
    assert_eq!(bytes("api.path"), 1024);
    assert_eq!(bytes("page.title"), 254);
    assert_eq!(bytes("page.url"), 2048);
    assert_eq!(bytes("error.message"), 6000);
}

#[test]
fn debug_shows_kind_and_ids_and_nothing_that_was_put_in() {
    let event = stamped(Event::error("CardError", "4111-1111").with("card", "4111-1111"));
    let shown = format!("{event:?}");
    assert!(shown.contains("kind: error"), "{shown}");
    assert!(
        shown.contains("01890a5d-ac96-774b-bcce-b302099a8057"),
        "{shown}"
    );
    assert!(!shown.contains("4111"), "{shown}");
}

#[test]
fn a_clone_shares_until_one_of_the_two_is_changed() {
    let event = stamped(Event::custom("x").with("a", 1));
    let changed = event.clone().with("a", 2);
    assert_ne!(written(&event, &options()), written(&changed, &options()));
    assert_eq!(event.metadata().unwrap().get("a"), Some(&1.into()));
}

#[test]
fn an_event_weighs_what_it_holds() {
    let small = Event::api_response("GET", "/", 200, Duration::ZERO);
    assert_eq!(small.weight(), size_of::<Event>());
    let long = "x".repeat(10_000);
    assert!(Event::custom(long.clone()).weight() >= size_of::<Event>() + 10_000);
    let nested = json!([[[long.clone()]]]);
    assert!(Event::custom("x").with(long.clone(), nested).weight() >= 20_000);
    assert!(Event::custom("x").stack(long).weight() >= 10_000);
}
