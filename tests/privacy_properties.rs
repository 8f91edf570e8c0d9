//! Whatever is in an event: no secret of the default rules leaves, and nothing else is touched.

use std::sync::Arc;

use productgraph::event::{Event, JsonText, Org, Page, State, UiAction, Value};
use productgraph::{Redaction, Text};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

/// Pieces out of which hostile text is made.
fn piece() -> impl Strategy<Value = String> {
    let known = vec![
        "password",
        "token",
        "tokens",
        "Authorization",
        "cookie",
        "api",
        "key",
        "apiKey",
        "card",
        "number",
        "=",
        ":",
        "==",
        "=>",
        "::",
        "://",
        "@",
        "%3D",
        "%26",
        "%",
        "&",
        "?",
        " ",
        "  ",
        "\n",
        "\"",
        "'",
        "\\",
        "\\\"",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ";",
        "-",
        "_",
        ".",
        "/",
        "[redacted]",
        "redacted",
        "Bearer ",
        "Basic ",
        "eyJhbGciOi.abcdef.ghi",
        "eyJ",
        "sk_live_",
        "ghp_",
        "AKIA",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "-----END ",
        "4111",
        "1111",
        "4111111111111111",
        "5",
        "42",
        "41111111-1111-1111-b111-111111111111",
        "a@b.cc",
        "ａ",
        "４",
        "é",
        "🦀",
        "\u{a0}",
        "\u{2011}",
        "null",
        "true",
        "x",
        "Z9",
    ];
    prop_oneof![
        8 => select(known).prop_map(str::to_owned),
        1 => "[0-9]{1,20}",
        1 => "[a-zA-Z0-9_-]{1,24}",
        1 => "\\PC{0,4}",
    ]
}

fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..14).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        Just(json!(4_111_111_111_111_111_u64)),
        Just(json!(4_111_111_111_111_111.0)),
        hostile().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((hostile(), inner), 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn rules() -> impl Strategy<Value = Redaction> {
    any::<bool>().prop_map(|emails| Redaction::default().emails(emails))
}

/// The check digit is set right.
fn card() -> impl Strategy<Value = String> {
    let separators = select(vec!["", " ", "-", "\u{a0}"]);
    (12_usize..19, "[2-689][0-9]{17}", separators).prop_map(|(length, digits, separator)| {
        let digits = &digits[..length];
        let sum: u32 = digits
            .bytes()
            .rev()
            .enumerate()
            .map(|(place, byte)| {
                let digit = u32::from(byte - b'0');
                match (place % 2, digit * 2) {
                    (1, _) => digit,
                    (_, twice) if twice > 9 => twice - 9,
                    (_, twice) => twice,
                }
            })
            .sum();
        let whole = format!("{digits}{}", (10 - sum % 10) % 10);
        let groups: Vec<&str> = whole
            .as_bytes()
            .chunks(4)
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect();
        groups.join(separator)
    })
}

/// A secret that is told by what it looks like.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        card(),
        "eyJ[A-Za-z0-9_-]{20}\\.[A-Za-z0-9_-]{20}\\.[A-Za-z0-9_-]{20}",
        "(sk_live|rk_test|ghp|github_pat)_[A-Za-z0-9]{19}[0-9]",
        "AKIA[A-Z0-9]{16}",
    ]
}

/// Text that has nothing to do with the secret in it.
fn around() -> impl Strategy<Value = String> {
    "([a-z,.!?é🦀\"\\\\<>()]{0,12}[,.!?\"(])?"
}

/// An event with the text at each place that a text can be at.
fn everywhere(text: &str) -> Event {
    let owned = Text::copied;
    Event::error(owned(text), owned(text))
        .with_name(owned(text))
        .stack(owned(text))
        .component(owned(text))
        .with_org(Org::new("org_7").name(owned(text)))
        .with_page(Page::new().path(owned(text)).url(owned(text)))
        .title(owned(text))
        .referrer(owned(text))
        .component_path(owned(text))
        .component_type(owned(text))
        .action(owned(text))
        .element(owned(text))
        .element_text(owned(text))
        .viewport(owned(text))
        .with_state(State::new().key(owned(text)))
        .before(json!({"a": [text, {"b": text}], text: 1}))
        .after(JsonText::raw(owned(text)))
        .change_type(owned(text))
        .with("plain", owned(text))
        .with(owned(text), "name")
        .with(
            "deep",
            json!([[{"a": {"b": text}}, text], {text: {text: [1]}}]),
        )
}

fn kinds(text: &str) -> Vec<Event> {
    let owned = || Text::copied(text);
    vec![
        everywhere(text),
        Event::custom(owned()),
        Event::page_view(owned()),
        Event::page_leave(owned()),
        Event::ui(UiAction::Input, owned()).element(owned()),
        Event::state_change(owned()),
        Event::api_request(owned(), owned()),
        Event::api_response(owned(), owned(), 200, std::time::Duration::ZERO),
        Event::journey_step(owned(), owned(), owned()),
        Event::journey_conversion(owned(), owned()),
        Event::snapshot(owned()).viewport(owned()),
        Event::of_type(owned()),
    ]
}

fn wire(event: &Event) -> String {
    serde_json::to_string(event).unwrap()
}

proptest! {
    #[test]
    fn redacting_twice_is_redacting_once(text in hostile(), rules in rules()) {
        let once = rules.text(&text).into_owned();
        let twice = rules.text(&once).into_owned();
        prop_assert_eq!(&once, &twice);
    }

    #[test]
    fn redacting_an_event_twice_changes_nothing_more(
        text in hostile(),
        document in json(),
        key in hostile(),
        rules in rules(),
    ) {
        let mut event = everywhere(&text)
            .before(&document)
            .with("document", Value::Text(document.to_string().into()))
            .with(key, document);
        let before = wire(&event);
        let changed = rules.apply(&mut event);
        let once = wire(&event);
        prop_assert_eq!(changed, before != once);
        prop_assert!(!rules.apply(&mut event), "{} then {}", once, wire(&event));
    }

    #[test]
    fn no_planted_secret_survives_anywhere(
        secret in secret(),
        before in around(),
        after in "([,.!?\")][a-z,.!?é🦀\"\\\\<>()]{0,12})?",
    ) {
        let text = format!("{before}{secret}{after}");
        for mut event in kinds(&text) {
            let escaped = serde_json::to_string(&secret).unwrap();
            let escaped = escaped.trim_matches('"');
            prop_assert!(wire(&event).contains(escaped));
            prop_assert!(Redaction::default().apply(&mut event));
            let wire = wire(&event);
            prop_assert!(!wire.contains(escaped), "{}", wire);
        }
    }

    #[test]
    fn no_value_of_a_secrets_name_survives(
        name in select(vec![
            "password", "userPassword", "x-api-key", "auth_token", "Cookie", "card.number", "CVV",
        ]),
        secret in "[a-z0-9]{6,30}",
        depth in 0_usize..100,
    ) {
        let secret = format!("Q{secret}Q");
        let deep = |inner: Json| (0..depth).fold(inner, |inner, _| json!([{"a": inner}]));
        let pairs = json!({name: secret, "b": [{name: {"c": [secret]}}]});
        let mut event = Event::error("E", format!("{name}={secret} \"{name}\": \"{secret}\", {name}: {secret}"))
            .with("deep", deep(pairs.clone()))
            .with(name, secret.clone())
            .with("text", pairs.to_string())
            .with_page(Page::new().url(format!("/p?a=1&{name}={secret}&b=2")))
            .before(deep(pairs));
        prop_assert!(Redaction::default().apply(&mut event));
        let wire = wire(&event);
        prop_assert!(!wire.contains(&secret), "{}", wire);
    }

    #[test]
    fn text_without_secrets_is_left_alone(
        text in "[a-zA-Z ,.!?()<>éü🦀\n]{0,200}",
        number in 0_u64..1_000_000_000_000,
    ) {
        prop_assume!(!text.to_lowercase().contains("basic") && !text.to_lowercase().contains("bearer"));
        prop_assume!(!text.contains("AKIA") && !text.contains("AIza") && !text.contains("eyJ"));
        let mut event = everywhere(&text).with("number", number).with("time", 1_767_225_600_123_u64);
        let before = wire(&event);
        prop_assert!(!Redaction::default().emails(true).apply(&mut event));
        prop_assert_eq!(wire(&event), before);
    }

    #[test]
    fn documents_stay_documents(document in json()) {
        let mut event = Event::state_change("s").before(&document);
        Redaction::default().apply(&mut event);
        let after = event.contexts().state.as_ref().unwrap().before.clone().unwrap();
        let after: Json = serde_json::from_str(after.as_str()).unwrap();
        if document.is_object() || document.is_array() {
            prop_assert_eq!(document.is_object(), after.is_object());
        }
    }
}

/// Each detector would look at these again and again if it could: a quarter of a megabyte would then
/// take minutes.
#[test]
fn text_made_to_be_expensive_is_read_in_one_pass() {
    const LENGTH: usize = 1 << 18;
    for piece in [
        "4111 1111 1111 1111 ",
        "1 ",
        "4",
        "4-",
        "41111111-1111-1111-1111-",
        "password={",
        "password=",
        "password: ",
        "token=password=",
        "\"password\":\"",
        "=",
        ":",
        "://a@",
        "a@",
        "a@b.c",
        "-eyJ",
        "eyJ.",
        "eyJhbGciOi.abcdef.",
        "ghp_",
        "sk-",
        "sk_live_",
        "Bearer ",
        "-----BEGIN PRIVATE KEY-----",
        "%3D",
        "%40",
        "\\\"",
        "\\",
        "a ",
        "４",
        "password.",
        "Authorization: \n",
        "password=(\"",
    ] {
        let text = piece.repeat(LENGTH / piece.len());
        let redaction = Redaction::default().emails(true);
        let once = redaction.text(&text).into_owned();
        assert_eq!(redaction.text(&once), once, "{piece}");
    }
}

#[test]
fn an_event_of_megabytes_of_secrets_is_redacted() {
    let text = "password=hunter2 4111 1111 1111 1111 ".repeat(1 << 15);
    let members: serde_json::Map<_, _> = (0..5_000)
        .map(|n| (format!("{n} password=hunter2"), json!(n)))
        .chain((0..5_000).map(|n| (format!("user{n} token"), json!("hunter2"))))
        .collect();
    let count = members.len();
    let mut event = Event::error("E", Text::from(Arc::<str>::from(text.as_str())))
        .with("members", Json::Object(members))
        .with(text.clone(), 1)
        .before(JsonText::raw(text));
    assert!(Redaction::default().apply(&mut event));
    let wire = wire(&event);
    assert!(!wire.contains("hunter2") && !wire.contains("1111 1111"));
    let json: Json = serde_json::from_str(&wire).unwrap();
    assert_eq!(
        json["metadata"]["members"].as_object().unwrap().len(),
        count
    );
}
