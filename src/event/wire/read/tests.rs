use std::time::Duration;

use serde_json::json;

use crate::correlation::SessionId;
use crate::event::wire::{MAX_WIRE_BYTES, ReadError, WireOptions};
use crate::event::{Event, EventId, EventKind, Millis, Timestamp, Value};

fn read(json: &serde_json::Value) -> Result<Event, ReadError> {
    Event::from_wire(json.to_string())
}

/// Reads an event that must be one, with a page view's type where none is given.
fn page(mut json: serde_json::Value) -> Event {
    json["event.type"] = "page.view".into();
    read(&json).unwrap()
}

#[test]
fn a_line_of_the_web_adapter_is_read_with_all_its_defects() {
    let event = read(&json!({
        "event_id": "evt-1767225600000-k3j9",
        "project_id": "prod_web",
        "session.id": "sess-mjx2a3b4-0a1b2c3d",
        "user.anonymous_id": "anon-1767225600000-zz",
        "event.type": "api.response",
        "event.timestamp": "2026-01-01T00:00:00.250Z",
        "event.sequence": 1,
        "api.method": "GET",
        "api.path": "/v1/plans",
        "api.duration_ms": 12.500_000_001,
        "metadata": {"app_name": "shop", "user_id": "u_1", "org_id": "org_7"},
    }))
    .unwrap();
    assert_eq!(event.id().unwrap(), &"evt-1767225600000-k3j9");
    assert_eq!(event.project(), Some("prod_web"));
    assert_eq!(
        event.session_id().map(ToString::to_string).as_deref(),
        Some("sess-mjx2a3b4-0a1b2c3d")
    );
    assert_eq!(
        event.user_id().map(ToString::to_string).as_deref(),
        Some("u_1")
    );
    assert_eq!(event.org().unwrap().id(), "org_7");
    assert_eq!(
        event.anonymous_id().unwrap().text(),
        "anon-1767225600000-zz"
    );
    assert_eq!(
        event.timestamp(),
        Some(Timestamp::from_unix_millis(1_767_225_600_250))
    );
    assert_eq!(event.sequence(), Some(1));
    let EventKind::ApiResponse {
        status: None,
        duration,
        ..
    } = event.kind()
    else {
        panic!("{:?}", event.kind())
    };
    assert_eq!(*duration, Some(Duration::from_millis(13).into()));
    let metadata: Vec<_> = event.metadata().unwrap().iter().collect();
    assert_eq!(metadata, [("app_name", &Value::from("shop"))]);
}

#[test]
fn null_is_the_same_as_absent() {
    let event = page(json!({
        "event_id": null, "session.id": null, "user.id": null, "event.timestamp": null,
        "event.sequence": null, "page.path": null, "api.status_code": null, "duration_ms": null,
        "metadata": null, "user.anonymous_id": null, "project_id": null, "unknown": null,
    }));
    assert!(event.id().is_none() && event.session_id().is_none() && event.timestamp().is_none());
    assert!(event.extra().is_none(), "nothing was there to keep");
}

#[test]
fn empty_and_placeholder_values_are_the_same_as_absent() {
    let event = page(json!({
        "session.id": "", "user.id": "", "org.id": "", "event.timestamp": "", "product_id": "",
    }));
    assert!(event.extra().is_none() && event.timestamp().is_none());
    assert!(
        page(json!({"session.id": "undefined"}))
            .session_id()
            .is_none()
    );
    assert!(
        page(json!({"event.timestamp": "0001-01-01T00:00:00Z"}))
            .timestamp()
            .is_none()
    );
}

#[test]
fn a_user_id_that_cannot_be_one_is_left_out() {
    assert!(page(json!({"user.id": "a\u{0}b"})).user_id().is_none());
    assert!(
        page(json!({"user.anonymous_id": "a b"}))
            .anonymous_id()
            .is_none()
    );
    let kept = page(json!({"metadata": {"user_id": 42, "org_id": ""}}));
    assert!(kept.user_id().is_none() && kept.org().is_none());
    assert_eq!(kept.metadata().unwrap().len(), 2);
}

#[test]
fn ids_in_the_metadata_do_not_replace_the_fields() {
    let event = page(json!({
        "user.id": "u_1", "org.id": "o_1", "metadata": {"user_id": "u_2", "org_id": "o_2"},
    }));
    assert_eq!(event.user_id().unwrap().text(), "u_1");
    assert_eq!(event.org().unwrap().id(), "o_1");
    assert_eq!(
        event.metadata().unwrap().get("user_id"),
        Some(&"u_2".into())
    );
}

#[test]
fn unknown_keys_move_into_the_metadata_unless_it_has_them() {
    let event = page(json!({
        "org.name": "Acme", "custom": {"a": [1]}, "clash": "top", "metadata": {"clash": "own"},
    }));
    let metadata = event.metadata().unwrap();
    assert_eq!(metadata.get("org.name"), Some(&"Acme".into()));
    assert_eq!(metadata.get("custom"), Some(&json!({"a": [1]}).into()));
    assert_eq!(metadata.get("clash"), Some(&"own".into()));
}

#[test]
fn an_unknown_type_is_kept_and_a_specific_one_is_not_disguised() {
    for given in [
        "feature.flag",
        "journey.conversion",
        "snapshot.captured",
        "PAGE.VIEW",
    ] {
        let event = read(&json!({"event.type": given, "event.name": "n"})).unwrap();
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json, json!({"event.type": given, "event.name": "n"}));
    }
}

#[test]
fn a_disguised_type_is_recognised_and_stays_disguised() {
    let line = json!({
        "event.type": "journey.step", "event.name": "journey.conversion",
        "gen_ai.journey.id": "j", "gen_ai.journey.conversion.status": "completed",
    });
    let event = read(&line).unwrap();
    assert!(matches!(event.kind(), EventKind::JourneyConversion { .. }));
    assert_eq!(serde_json::to_value(&event).unwrap(), line);

    let event = event
        .with_id(EventId::parse("e").unwrap())
        .with_session(SessionId::parse("s").unwrap())
        .with_timestamp(Timestamp::from_unix_nanos(0));
    let mut options = WireOptions::new("shop");
    options.specific_types = true;
    let mut out = Vec::new();
    event.write_wire(&options, &mut out).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(written["event.type"], "journey.step");
}

#[test]
fn numbers_are_rounded_half_away_from_zero_into_integer_fields() {
    let sequence = |number: &str| {
        Event::from_wire(format!(
            r#"{{"event.type":"custom","event.sequence":{number}}}"#
        ))
        .map(|event| event.sequence().unwrap())
    };
    assert_eq!(sequence("0.5").unwrap(), 1);
    assert_eq!(sequence("2.5").unwrap(), 3);
    assert_eq!(sequence("1e3").unwrap(), 1000);
    assert_eq!(sequence("-0.4").unwrap(), 0);
    assert_eq!(
        sequence("9223372036854775807").unwrap(),
        i64::MAX.unsigned_abs()
    );
    for out_of_range in ["-1", "-0.5", "9223372036854775808", "1e300"] {
        let error = sequence(out_of_range).unwrap_err().to_string();
        assert!(error.starts_with("event.sequence: expected"), "{error}");
    }
}

#[test]
fn a_negative_duration_is_zero() {
    assert_eq!(
        page(json!({"duration_ms": -3})).duration(),
        Some(Duration::ZERO)
    );
}

#[test]
fn contexts_are_read_and_the_kind_takes_its_own() {
    let event = page(json!({
        "page.path": "/a", "page.title": "A", "api.status_code": 0, "performance.lcp_ms": 3,
    }));
    let EventKind::PageView { path } = event.kind() else {
        panic!("{:?}", event.kind())
    };
    assert_eq!(path.as_deref(), Some("/a"));
    let contexts = event.contexts();
    let page = contexts.page.as_ref().unwrap();
    assert_eq!(
        (page.path.as_deref(), page.title.as_deref()),
        (None, Some("A"))
    );
    assert_eq!(contexts.api.as_ref().unwrap().status, Some(0));
    assert_eq!(
        contexts.performance.as_ref().unwrap().lcp,
        Some(Millis::from(3.0))
    );
}

#[test]
fn the_product_wins_over_the_project() {
    assert_eq!(
        page(json!({"project_id": "old", "product_id": "new"})).project(),
        Some("new")
    );
    assert_eq!(page(json!({"project_id": "old"})).project(), Some("old"));
}

#[test]
fn what_is_wrong_is_named_by_its_field_and_never_shown() {
    let secret = "4111-1111";
    let cases = [
        (json!({"event.type": 5}), "event.type: expected a string"),
        (json!({}), "event.type: missing"),
        (json!({"event.type": ""}), "event.type: missing"),
        (
            json!({"event.type": "error", "error.message": 5}),
            "error.message: expected a string",
        ),
        (
            json!({"event.type": "api.response", "api.status_code": secret}),
            "api.status_code: expected a number from 0 to 65535",
        ),
        (
            json!({"event.type": "api.response", "api.status_code": 70_000}),
            "api.status_code: expected a number from 0 to 65535",
        ),
        (
            json!({"event.type": "state.change", "ui.state.before": {"card": secret}}),
            "ui.state.before: expected a string that holds a JSON document",
        ),
        (
            json!({"event.type": "custom", "metadata": [secret]}),
            "metadata: expected an object",
        ),
        (
            json!({"event.type": "custom", "user.id": 42}),
            "user.id: expected a string",
        ),
        (
            json!({"event.type": "custom", "user.anonymous_id": 42}),
            "user.anonymous_id: expected a string",
        ),
        (
            json!({"event.type": "custom", "session.id": format!("a b {secret}")}),
            "session.id: expected 1 to 128 characters of [A-Za-z0-9._:-]",
        ),
        (
            json!({"event.type": "custom", "event_id": ""}),
            "event_id: expected 1 to 255 characters of [A-Za-z0-9._:-]",
        ),
        (
            json!({"event.type": "custom", "event_id": "x".repeat(256)}),
            "event_id: expected 1 to 255 characters of [A-Za-z0-9._:-]",
        ),
        (
            json!({"event.type": "custom", "event.timestamp": "2026-01-01"}),
            "event.timestamp: expected an RFC 3339 time with an offset, between the years 1677 \
             and 2262",
        ),
    ];
    for (line, message) in cases {
        assert_eq!(read(&line).unwrap_err().to_string(), message, "{line}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    assert!(matches!(
        Event::from_wire("[]"),
        Err(ReadError::NotAnObject)
    ));
    assert!(matches!(Event::from_wire("5"), Err(ReadError::NotAnObject)));
    for broken in [
        "",
        "{",
        "{}x",
        "{\"event.type\":\"custom\",}",
        "{'event.type':'custom'}",
    ] {
        assert!(
            matches!(Event::from_wire(broken), Err(ReadError::Json(_))),
            "{broken}"
        );
    }
    assert!(matches!(Event::from_wire(b"\xff"), Err(ReadError::Json(_))));
}

#[test]
fn length_and_depth_are_bounded() {
    let line = |padding: usize| {
        let text = "x".repeat(padding);
        format!(r#"{{"event.type":"error","error.message":"{text}"}}"#)
    };
    let frame = line(0).len();
    assert!(Event::from_wire(line(MAX_WIRE_BYTES - frame)).is_ok());
    let error = Event::from_wire(line(MAX_WIRE_BYTES - frame + 1)).unwrap_err();
    assert!(matches!(error, ReadError::TooLarge { bytes } if bytes == MAX_WIRE_BYTES + 1));

    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        Event::from_wire(format!(
            r#"{{"event.type":"custom","metadata":{{"a":{open}{close}}}}}"#
        ))
    };
    assert!(nested(120).is_ok());
    let error = nested(121).unwrap_err().to_string();
    assert_eq!(error, "metadata: expected values at most 120 levels deep");
    assert!(matches!(nested(100_000), Err(ReadError::Json(_))));
}

#[test]
fn many_distinct_keys_are_read_in_good_time() {
    let keys: Vec<_> = (0..60_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let line = format!(
        r#"{{"event.type":"custom","metadata":{{{}}}}}"#,
        keys.join(",")
    );
    assert_eq!(
        Event::from_wire(line).unwrap().metadata().unwrap().len(),
        60_000
    );
}
