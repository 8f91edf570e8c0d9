//! Whatever is put into an event, and whatever is read as one: the wire form stays sound.

mod wire_support;

use std::collections::BTreeSet;
use std::time::Duration;

use productgraph::Text;
use productgraph::correlation::{
    Correlation, RequestId, SessionId, SessionSource, TraceIds, UserId,
};
use productgraph::event::wire::{TenantKeys, WireOptions};
use productgraph::event::{
    Api, ErrorInfo, Event, EventId, Journey, JsonText, Org, Page, Performance, Snapshot, Stamp,
    State, Timestamp, Ui, UiAction, Value,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;
use wire_support::{assert_whole_integers, members};

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        4 => "[a-z/._ -]{0,24}",
        2 => "(\\PC|[\\x00-\\x1f\"\\\\]|[é🦀\u{2028}]){0,40}",
        1 => "[aé🦀]{200,1100}",
    ]
    .prop_map(Text::from)
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0..10_000_000_u64).prop_map(Duration::from_micros),
        any::<u64>().prop_map(Duration::from_nanos),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        text().prop_map(|text| Json::from(text.as_str())),
    ];
    let json = leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-z\"]{0,4}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    });
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
        json.prop_map(Value::from),
    ]
}

/// Metadata keys: any, and those that mean something to somebody.
fn key() -> impl Strategy<Value = Text> {
    let known = vec![
        "request_id",
        "trace_id",
        "span_id",
        "session_source",
        "user_source",
        "anonymous_id",
        "org_name",
        "user_id",
        "org_id",
        "event.type",
        "metadata",
        "product_id",
    ];
    prop_oneof![select(known).prop_map(Text::from), text()]
}

fn kind() -> impl Strategy<Value = Event> {
    use UiAction::{Blur, Click, Focus, Input, Scroll, Submit};
    let actions = vec![Click, Input, Scroll, Focus, Blur, Submit];
    let types = vec![
        "custom",
        "journey.conversion",
        "snapshot.captured",
        "api.response",
        "x.y",
    ];
    let names = vec!["journey.conversion", "snapshot.captured", ""];
    prop_oneof![
        text().prop_map(Event::custom),
        select(names).prop_map(Event::custom),
        text().prop_map(Event::page_view),
        text().prop_map(Event::page_leave),
        (select(actions), text()).prop_map(|(action, text)| Event::ui(action, text)),
        text().prop_map(Event::state_change),
        (text(), text()).prop_map(|(a, b)| Event::api_request(a, b)),
        (text(), text(), any::<u16>(), duration())
            .prop_map(|(a, b, status, took)| Event::api_response(a, b, status, took)),
        (text(), text(), text()).prop_map(|(a, b, c)| Event::journey_step(a, b, c)),
        (text(), text()).prop_map(|(a, b)| Event::journey_conversion(a, b)),
        (text(), text()).prop_map(|(a, b)| Event::error(a, b)),
        Just(Event::performance()),
        text().prop_map(Event::snapshot),
        select(types).prop_map(Event::of_type),
        "[a-z.é]{1,300}".prop_map(Event::of_type),
    ]
}

/// One thing that may be done to an event.
#[derive(Clone, Debug)]
enum Change {
    Texts(u8, Text),
    Context(u8, Text, f64),
    Json(JsonText),
    Float(f64),
    Duration(Duration),
    Metadata(Text, Value),
    Specific,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..16_u8, text()).prop_map(|(which, text)| Change::Texts(which, text)),
        (0..8_u8, text(), any::<f64>()).prop_map(|(which, t, n)| Change::Context(which, t, n)),
        text().prop_map(|text| Change::Json(JsonText::raw(text))),
        any::<f64>().prop_map(Change::Float),
        duration().prop_map(Change::Duration),
        (key(), value()).prop_map(|(key, value)| Change::Metadata(key, value)),
        Just(Change::Specific),
    ]
}

fn apply(event: Event, change: Change) -> Event {
    match change {
        Change::Texts(which, text) => match which {
            0 => event.title(text),
            1 => event.url(text),
            2 => event.referrer(text),
            3 => event.component(text),
            4 => event.component_path(text),
            5 => event.component_type(text),
            6 => event.action(text),
            7 => event.element(text),
            8 => event.element_text(text),
            9 => event.viewport(text),
            10 => event.change_type(text),
            11 => event.stack(text),
            12 => event.with_name(text),
            13 => event.with_project(text),
            14 => event.with_org(text),
            _ => event.with_org(Org::new("o_1").name(text)),
        },
        Change::Context(which, t, number) => match which {
            0 => event.with_page(Page::new().path(t.clone()).title(t)),
            1 => event.with_ui(
                Ui::new()
                    .component(t.clone())
                    .element(t)
                    .scroll_position(number),
            ),
            2 => event.with_state(State::new().key(t.clone()).change_type(t)),
            3 => event.with_journey(Journey::new().id(t.clone()).conversion_status(t)),
            4 => event.with_api(Api::new().method(t.clone()).path(t).status(7_u16)),
            5 => event.with_error(ErrorInfo::new().error_type(t.clone()).message(t)),
            6 => event.with_performance(Performance::new().lcp(number).cls(number)),
            _ => event.with_snapshot(Snapshot::new().url(t.clone()).viewport(t)),
        },
        Change::Json(json) => event.before(json.clone()).after(json),
        Change::Float(number) => event.scroll_position(number).fid(number).cls(number),
        Change::Duration(took) => event.with_duration(took).ttfb(took),
        Change::Metadata(key, value) => event.with(key, value),
        Change::Specific => event.specific_type(),
    }
}

fn stamp() -> impl Strategy<Value = Stamp> {
    use SessionSource::{Adopted, Process, Request};
    let ids = (
        any::<i64>(),
        any::<u64>(),
        prop::option::of("[A-Za-z0-9._:-]{1,255}"),
    );
    let source = select(vec![Adopted, Request, Process]);
    let user = prop::option::of("(\\PC){1,40}");
    (ids, source, user, any::<[u8; 16]>(), any::<bool>()).prop_map(
        |((nanos, sequence, id), source, user, trace_id, request)| {
            let timestamp = Timestamp::from_unix_nanos(nanos);
            let trace = TraceIds {
                trace_id,
                span_id: [1; 8],
            };
            let mut correlation =
                Correlation::builder().session(SessionId::parse("s-1").unwrap(), source);
            if request {
                correlation = correlation
                    .request_id(RequestId::parse("r-1").unwrap())
                    .trace(trace);
            }
            if let Some(Ok(user)) = user.map(|user| UserId::parse(&user)) {
                correlation = correlation.claimed_user(user);
            }
            Stamp {
                id: match id {
                    Some(id) => EventId::parse(&id).unwrap(),
                    None => EventId::v7(timestamp, sequence),
                },
                timestamp,
                sequence,
                correlation: correlation.build(),
                trace: (!request).then_some(trace),
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (kind(), prop::collection::vec(change(), 0..10), stamp()).prop_map(|(event, changes, stamp)| {
        let mut event = changes.into_iter().fold(event, apply);
        event.stamp(stamp);
        event
    })
}

fn options() -> impl Strategy<Value = WireOptions> {
    let keys = vec![
        TenantKeys::Both,
        TenantKeys::ProductId,
        TenantKeys::ProjectId,
    ];
    (select(keys), any::<bool>()).prop_map(|(tenant_keys, specific_types)| {
        let mut options = WireOptions::new("shop");
        options.tenant_keys = tenant_keys;
        options.specific_types = specific_types;
        options
    })
}

fn written(event: &Event, options: &WireOptions) -> String {
    let mut out = Vec::new();
    event.write_wire(options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn parsed(raw: &str) -> Json {
    serde_json::from_str(raw).unwrap()
}

/// What reading does to ids that stand in the metadata for want of a better place.
fn lifted(mut event: Json) -> Json {
    for (key, field) in [("user_id", "user.id"), ("org_id", "org.id")] {
        let Some(id) = event["metadata"][key].as_str() else {
            continue;
        };
        let id = match UserId::parse(id) {
            Ok(user) if key == "user_id" => user.to_string(),
            _ if key == "org_id" && !id.is_empty() => {
                let end = (0..=255)
                    .rev()
                    .find(|&end| id.is_char_boundary(end.min(id.len())));
                id[..end.unwrap().min(id.len())].to_owned()
            }
            _ => continue,
        };
        if event.get(field).is_none() {
            event[field] = id.into();
            event["metadata"].as_object_mut().unwrap().remove(key);
        }
    }
    if event["metadata"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        event.as_object_mut().unwrap().remove("metadata");
    }
    event
}

/// Any JSON value that a hostile or careless sender may put under a key.
fn any_json() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "4111[0-9 ]{0,300}".prop_map(Json::from),
        Just(serde_json::json!([{"card": "4111"}])),
        Just(serde_json::json!({"user_id": "4111", "a": {}})),
    ]
}

proptest! {
    #[test]
    fn every_key_is_there_once_and_integers_are_whole(event in event(), options in options()) {
        let raw = written(&event, &options);
        // fails on a repeated key at any level
        let keys: BTreeSet<_> = members(&raw).into_iter().map(|(key, _)| key).collect();
        for required in ["event_id", "session.id", "event.type", "event.timestamp"] {
            prop_assert!(keys.contains(required), "{raw}");
        }
        assert_whole_integers(&raw);
        prop_assert!(!raw.contains('\n'));
    }

    #[test]
    fn what_is_written_reads_back_and_is_written_the_same(
        event in event(),
        options in options(),
    ) {
        let first = written(&event, &options);
        let read = Event::from_wire(&first).unwrap();
        let second = written(&read, &options);
        prop_assert_eq!(parsed(&second), lifted(parsed(&first)));
        let third = written(&Event::from_wire(&second).unwrap(), &options);
        prop_assert_eq!(third, second);
    }

    #[test]
    fn serde_says_the_same_as_the_writer(event in event()) {
        let event = event.with_project("shop");
        let raw = written(&event, &WireOptions::new("another"));
        prop_assert_eq!(serde_json::to_value(&event).unwrap(), parsed(&raw));
        let read: Event = serde_json::from_str(&raw).unwrap();
        prop_assert_eq!(written(&read, &WireOptions::new("shop")), {
            written(&Event::from_wire(&raw).unwrap(), &WireOptions::new("shop"))
        });
    }

    #[test]
    fn an_event_never_weighs_less_than_its_texts(event in event(), text in "[a-z]{24,400}") {
        let before = event.weight();
        let weight = event.with("another key", text.clone()).weight();
        prop_assert!(weight >= before + text.len());
    }

    #[test]
    fn reading_any_bytes_gives_an_event_or_an_error(bytes: Vec<u8>, text in "\\PC{0,60}") {
        let _ = Event::from_wire(&bytes);
        let _ = Event::from_wire(text);
    }

    #[test]
    fn reading_any_object_gives_an_event_that_can_be_written_or_an_error_without_its_values(
        fields in prop::collection::vec((select(KEYS), any_json()), 0..8),
        stamp in stamp(),
    ) {
        let mut object: serde_json::Map<String, Json> =
            fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        object.entry("event.type").or_insert_with(|| "custom".into());
        match Event::from_wire(Json::Object(object).to_string()) {
            Ok(mut event) => {
                event.stamp(stamp);
                let raw = written(&event, &WireOptions::new("shop"));
                members(&raw);
                assert_whole_integers(&raw);
            }
            Err(error) => {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains("4111"), "a value is in {}", shown);
            }
        }
    }
}

const KEYS: &[&str] = &[
    "event_id",
    "product_id",
    "project_id",
    "session.id",
    "event.type",
    "event.timestamp",
    "user.id",
    "user.anonymous_id",
    "org.id",
    "event.name",
    "event.sequence",
    "page.path",
    "page.title",
    "ui.component.name",
    "ui.element",
    "ui.viewport",
    "ui.scroll.position",
    "ui.state.key",
    "ui.state.before",
    "gen_ai.journey.id",
    "gen_ai.journey.step.id",
    "gen_ai.journey.conversion.status",
    "api.method",
    "api.path",
    "api.status_code",
    "api.duration_ms",
    "error.type",
    "error.message",
    "performance.lcp_ms",
    "performance.cls",
    "snapshot.url",
    "duration_ms",
    "metadata",
    "trace_id",
    "unknown",
];
