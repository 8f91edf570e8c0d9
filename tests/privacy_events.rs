//! What redaction does to the parts of an event.

use std::sync::Arc;

use productgraph::correlation::{
    AnonymousId, Correlation, RequestId, SessionId, SessionSource, TraceIds, UserId,
};
use productgraph::event::{Event, EventId, JsonText, MAX_DEPTH, Org, State, Timestamp, Value};
use productgraph::{Redaction, Text};
use serde_json::{Value as Json, json};

const CARD: &str = "4111111111111111";

/// The event as it would be sent, after the default rules.
#[track_caller]
fn sent(event: Event) -> Json {
    sent_by(&Redaction::default(), event)
}

#[track_caller]
fn sent_by(redaction: &Redaction, mut event: Event) -> Json {
    let changed = redaction.apply(&mut event);
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(changed, json.to_string().contains("redacted"));
    json
}

#[test]
fn metadata_goes_by_its_names_at_any_depth() {
    let json = sent(
        Event::custom("x")
            .with("userPassword", "hunter2")
            .with("pin_code", 1234)
            .with("cvv", 123)
            .with("has_password", true)
            .with("token", Value::Null)
            .with("prompt_tokens", 12)
            .with("tokens", json!({"github": "abc", "count": 2}))
            .with(
                "card",
                json!({"number": 12, "brand": "visa", "holder": [{"cvc": "1"}]}),
            )
            .with("cookies", json!(["a", 1, null])),
    );
    assert_eq!(
        json["metadata"],
        json!({
            "userPassword": "[redacted]",
            "pin_code": 1234,
            "cvv": "[redacted]",
            "has_password": true,
            "token": null,
            "prompt_tokens": 12,
            "tokens": {"github": "[redacted]", "count": 2},
            "card": {"number": "[redacted]", "brand": "visa", "holder": [{"cvc": "[redacted]"}]},
            "cookies": ["[redacted]", 1, null],
        })
    );
}

#[test]
fn whole_numbers_that_look_like_cards_go_and_others_keep_their_type() {
    let json = sent(
        Event::custom("x")
            .with("int", 4_111_111_111_111_111_i64)
            .with("negative", -4_111_111_111_111_111_i64)
            .with("float", 4_111_111_111_111_111.0)
            .with("nested", json!([4_111_111_111_111_111_u64, 17, 1.5]))
            .with("millis", 1_767_225_600_123_u64)
            .with("max", u64::MAX)
            .with("inf", f64::INFINITY),
    );
    assert_eq!(
        json["metadata"],
        json!({
            "int": "[redacted]",
            "negative": "[redacted]",
            "float": "[redacted]",
            "nested": ["[redacted]", 17, 1.5],
            "millis": 1_767_225_600_123_u64,
            "max": u64::MAX,
            "inf": null,
        })
    );
}

#[test]
fn documents_of_state_stay_documents() {
    let json = sent(
        Event::state_change("form")
            .before(json!({"password": {"old": ["a"]}, "n": 1.5}))
            .after(JsonText::raw(
                r#"{"pass\u0077ord":"x","a":"4111\u00201111 1111 1111"}"#,
            )),
    );
    assert_eq!(
        json["ui.state.before"],
        r#"{"n":1.5,"password":"[redacted]"}"#
    );
    let after: Json = serde_json::from_str(json["ui.state.after"].as_str().unwrap()).unwrap();
    assert_eq!(after, json!({"password": "[redacted]", "a": "[redacted]"}));

    // the last of two members of one name is what a reader sees; the first is sent all the same
    let twice = r#"{"a":{"password":"hunter2"},"a":1}"#;
    let json = sent_quietly(Event::state_change("s").before(JsonText::raw(twice)));
    assert_eq!(json["ui.state.before"], r#"{"a":1}"#);
}

fn sent_quietly(mut event: Event) -> Json {
    assert!(Redaction::default().apply(&mut event));
    serde_json::to_value(&event).unwrap()
}

#[test]
fn a_document_that_is_none_or_too_deep_is_treated_as_text() {
    let deep = format!(
        "{}{{\"password\":{{\"a\":\"hunter2\"}}}}{}",
        "[".repeat(300),
        "]".repeat(300)
    );
    for document in [
        deep.as_str(),
        r#"{"password": "hunter2""#,
        r#"{"password": {"a": "hunter2"#,
        "password=hunter2",
    ] {
        let json = sent(Event::state_change("s").before(JsonText::raw(document.to_owned())));
        let after = json["ui.state.before"].as_str().unwrap();
        assert!(!after.contains("hunter2"), "{after}");
    }
    let clean = JsonText::raw("[".repeat(300));
    assert!(!Redaction::default().apply(&mut Event::state_change("s").before(clean)));
}

#[test]
fn the_state_of_a_secrets_name_goes_as_a_whole() {
    let by_kind = Event::state_change("authToken")
        .before(json!("abc"))
        .after(json!({"a": [1]}));
    let by_context = Event::custom("x").with_state(State::new().key("auth.token").after(json!(7)));
    for json in [sent(by_kind), sent(by_context)] {
        assert_eq!(json["ui.state.after"], r#""[redacted]""#);
    }
}

#[test]
fn what_identifies_an_event_is_never_touched() {
    let event = Event::custom(CARD)
        .with_id(EventId::parse(CARD).unwrap())
        .with_timestamp(Timestamp::from_unix_millis(1_767_225_600_123))
        .with_sequence(4_111_111_111_111_111)
        .with_session(SessionId::parse(CARD).unwrap())
        .with_user(UserId::parse("ada@example.org").unwrap())
        .with_anonymous_id(AnonymousId::parse(CARD).unwrap())
        .with_org(Org::new(CARD).name(CARD))
        .with_project(CARD)
        .with_trace(TraceIds {
            trace_id: [0x41; 16],
            span_id: [0x42; 8],
        })
        .with_correlation(
            Correlation::builder()
                .session(SessionId::parse(CARD).unwrap(), SessionSource::Adopted)
                .request_id(RequestId::parse(CARD).unwrap())
                .build(),
        );
    let before = serde_json::to_value(&event).unwrap();
    let mut after = sent_by(&Redaction::default().emails(true), event);
    assert_eq!(after["event.name"], "[redacted]");
    assert_eq!(after["metadata"]["org_name"], "[redacted]");
    after["event.name"] = CARD.into();
    after["metadata"]["org_name"] = CARD.into();
    assert_eq!(after, before);

    let own = Event::custom("x")
        .with("request_id", CARD)
        .with("trace_id", CARD)
        .with("span_id", CARD);
    assert!(!Redaction::default().apply(&mut own.clone()));
}

#[test]
fn a_clone_of_the_event_keeps_what_it_had() {
    let original = Event::error("E", "password=hunter2").with("token", "abc");
    let mut copy = original.clone();
    assert!(Redaction::default().apply(&mut copy));
    assert!(!Redaction::default().apply(&mut copy));
    let kept = original.metadata().unwrap().get("token").unwrap();
    assert_eq!(kept.as_str(), Some("abc"));
}

#[test]
fn allowed_names_keep_what_they_hold_and_own_names_lose_it() {
    let redaction = Redaction::default()
        .key("iban")
        .allow_key("auth_token")
        .allow_key("order_no");
    let json = sent_by(
        &redaction,
        Event::custom("x")
            .with("customerIban", "DE89")
            .with("authToken", json!({"password": "abc"}))
            .with(
                "nested",
                json!({"order_no": 4_111_111_111_111_111_u64, "old_auth_token": "x"}),
            ),
    );
    assert_eq!(
        json["metadata"],
        json!({
            "customerIban": "[redacted]",
            "authToken": {"password": "abc"},
            "nested": {"order_no": 4_111_111_111_111_111_u64, "old_auth_token": "[redacted]"},
        })
    );
}

#[test]
fn names_that_become_the_same_keep_their_values_apart() {
    let json = sent(
        Event::custom("x")
            .with("4111111111111111", 1)
            .with("4242424242424242", 2)
            .with(
                "nested",
                json!({"4111111111111111": 3, "4242424242424242": 4}),
            ),
    );
    assert_eq!(
        json["metadata"],
        json!({
            "[redacted]": 1,
            "[redacted] 2": 2,
            "nested": {"[redacted]": 3, "[redacted] 2": 4},
        })
    );
}

#[test]
fn a_value_as_deep_as_they_get_is_looked_at_and_a_deeper_one_goes() {
    let nested = |depth| (0..depth).fold(json!("plain"), |inner, _| json!([inner]));
    let mut deepest = Event::custom("x").with("a", nested(MAX_DEPTH));
    assert!(!Redaction::default().apply(&mut deepest));

    let too_deep = Value::Json(Arc::new(nested(MAX_DEPTH + 50)));
    let mut event = Event::custom("x").with("a", too_deep);
    assert!(Redaction::default().apply(&mut event));
    let left = format!("{:?}", event.metadata().unwrap().get("a").unwrap());
    assert!(!left.contains("plain"), "{left}");
}

#[test]
fn without_rules_nothing_happens() {
    let mut event =
        Event::error("E", format!("password=hunter2 {CARD}")).with("token", Text::copied(CARD));
    assert!(!Redaction::none().apply(&mut event));
    let mut own = event.clone();
    assert!(Redaction::none().key("token").apply(&mut own));
    let message = serde_json::to_value(&own).unwrap()["error.message"].clone();
    assert_eq!(
        message,
        format!("password=hunter2 {CARD}"),
        "only the rule that was given"
    );
}
