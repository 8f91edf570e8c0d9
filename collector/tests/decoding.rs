//! What the service decodes, what it refuses as a whole, and what it rejects by index.

mod common;

use common::{Reply, batch, event, event_with, event_without, post};
use productgraph_collector::{Collector, Generation};
use serde_json::{Value, json};

const GENERATIONS: [Generation; 2] = [Generation::V0_2, Generation::V0_3];

const TEXTS: [&str; 30] = [
    "user.id",
    "org.id",
    "event.name",
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
    "error.type",
    "error.message",
    "error.stack",
    "error.component",
    "snapshot.url",
    "snapshot.viewport",
];
const INTEGERS: [&str; 4] = [
    "event.sequence",
    "api.status_code",
    "api.duration_ms",
    "duration_ms",
];
const FLOATS: [&str; 5] = [
    "ui.scroll.position",
    "performance.lcp_ms",
    "performance.fid_ms",
    "performance.cls",
    "performance.ttfb_ms",
];

fn raw(key: &str, value: &str) -> String {
    // Put first, so that later keys of a complete event do not hide it.
    let rest = event_without(key).to_string();
    format!("{{\"events\":[{{\"{key}\":{value},{}]}}", &rest[1..])
}

fn accepted(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 202, "{what}: {reply:?}");
    assert_eq!(reply.json()["rejected"], 0, "{what}: {reply:?}");
}

fn refused(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 400, "{what}: {reply:?}");
    assert_eq!(reply.body, "invalid request body\n", "{what}");
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; charset=utf-8"),
        "{what}"
    );
}

/// Posts each body to a collector of each generation.
async fn each<'a>(bodies: impl IntoIterator<Item = (&'a str, Vec<u8>)>, check: fn(&Reply, &str)) {
    let collectors = [
        Collector::builder()
            .generation(GENERATIONS[0])
            .start()
            .await
            .unwrap(),
        Collector::builder()
            .generation(GENERATIONS[1])
            .start()
            .await
            .unwrap(),
    ];
    for (what, body) in bodies {
        for collector in &collectors {
            check(&post(collector, &body).await.unwrap(), what);
        }
    }
}

#[tokio::test]
async fn every_known_field_is_accepted_with_its_own_type_and_with_null() {
    let mut bodies = Vec::new();
    for key in TEXTS {
        bodies.extend([
            (key, raw(key, "\"x\"")),
            (key, raw(key, "\"\"")),
            (key, raw(key, "null")),
        ]);
    }
    for key in INTEGERS {
        for value in [
            "0",
            "-0",
            "-7",
            "9223372036854775807",
            "-9223372036854775808",
            "null",
        ] {
            bodies.push((key, raw(key, value)));
        }
    }
    for key in FLOATS {
        for value in ["0", "1", "-1.5", "1e3", "0.1e-400", "null"] {
            bodies.push((key, raw(key, value)));
        }
    }
    for value in ["{}", "{\"a\":[1.5,null,{\"b\":\"c\"}]}", "null"] {
        bodies.push(("metadata", raw("metadata", value)));
    }
    each(
        bodies
            .into_iter()
            .map(|(key, body)| (key, body.into_bytes())),
        accepted,
    )
    .await;
}

#[tokio::test]
async fn a_wrong_type_in_any_known_field_refuses_the_whole_batch() {
    let mut bodies = Vec::new();
    let required = ["event_id", "session.id", "event.type", "event.timestamp"];
    for key in TEXTS.iter().chain(&required) {
        for value in ["42", "1.5", "true", "{}", "{\"a\":1}", "[]", "[\"x\"]"] {
            bodies.push((*key, raw(key, value)));
        }
    }
    for key in INTEGERS {
        for value in [
            "\"200\"",
            "true",
            "{}",
            "[]",
            "12.7",
            "1.0",
            "1e3",
            "1E0",
            "-0.0",
            "9223372036854775808",
            "-9223372036854775809",
            "1e400",
        ] {
            bodies.push((key, raw(key, value)));
        }
    }
    for key in FLOATS {
        for value in ["\"1.5\"", "false", "{}", "[]", "1e400", "-1e400"] {
            bodies.push((key, raw(key, value)));
        }
    }
    for value in ["\"{}\"", "1", "true", "[]", "[{}]"] {
        bodies.push(("metadata", raw("metadata", value)));
    }
    each(
        bodies
            .into_iter()
            .map(|(key, body)| (key, body.into_bytes())),
        refused,
    )
    .await;
}

#[tokio::test]
async fn the_own_tenant_key_is_typed_and_the_other_one_unknown() {
    for (generation, own, other) in [
        (Generation::V0_2, "project_id", "product_id"),
        (Generation::V0_3, "product_id", "project_id"),
    ] {
        let collector = Collector::builder()
            .generation(generation)
            .start()
            .await
            .unwrap();
        refused(&post(&collector, raw(own, "42")).await.unwrap(), own);
        accepted(&post(&collector, raw(other, "42")).await.unwrap(), other);
    }
}

#[tokio::test]
async fn a_timestamp_of_another_shape_refuses_the_whole_batch() {
    let bad = [
        "2026-01-01 10:00:00",
        "2026-01-01",
        "2026-01-01T10:00:00",
        "2026-02-30T00:00:00Z",
        "1767225600",
        " ",
        "yesterday",
    ];
    let bodies = bad.map(|text| {
        (
            text,
            batch(&[event("a"), event_with("event.timestamp", json!(text))]),
        )
    });
    each(
        bodies.map(|(text, body)| (text, body.into_bytes())),
        refused,
    )
    .await;
    let good = [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.123456789+02:00",
    ];
    let bodies = good.map(|text| (text, batch(&[event_with("event.timestamp", json!(text))])));
    each(
        bodies.map(|(text, body)| (text, body.into_bytes())),
        accepted,
    )
    .await;
}

#[tokio::test]
async fn an_absent_timestamp_is_the_servers_own() {
    for generation in GENERATIONS {
        let collector = Collector::builder()
            .generation(generation)
            .start()
            .await
            .unwrap();
        let absent = batch(&[event_without("event.timestamp")]);
        for body in [
            absent,
            raw("event.timestamp", "\"\""),
            raw("event.timestamp", "null"),
        ] {
            accepted(&post(&collector, &body).await.unwrap(), &body);
        }
        for event in collector.events() {
            let stamp = event["event.timestamp"].as_str().unwrap();
            // Sent again as it was stored, it is a timestamp the service takes.
            let again = batch(&[event_with("event.timestamp", json!(stamp))]);
            accepted(&post(&collector, &again).await.unwrap(), stamp);
        }
    }
}

#[tokio::test]
async fn an_unreadable_document_refuses_the_whole_batch() {
    let whole = batch(&[event("a")]);
    let mut bodies = vec![
        ("empty", String::new()),
        ("truncated", whole[..whole.len() - 2].to_owned()),
        ("not json", "events".to_owned()),
        ("an array", format!("[{}]", event("a"))),
        ("a string", "\"events\"".to_owned()),
        ("a number", "1".to_owned()),
        ("a byte order mark", format!("\u{feff}{whole}")),
        ("events is an object", "{\"events\":{}}".to_owned()),
        ("events is a string", "{\"events\":\"\"}".to_owned()),
        (
            "a null element",
            format!("{{\"events\":[{},null]}}", event("a")),
        ),
        (
            "a string element",
            format!("{{\"events\":[{},\"\"]}}", event("a")),
        ),
        (
            "an array element",
            format!("{{\"events\":[{},[]]}}", event("a")),
        ),
        (
            "a trailing comma",
            format!("{{\"events\":[{},]}}", event("a")),
        ),
        ("a raw line end in a string", raw("user.id", "\"a\nb\"")),
        ("a bad escape", raw("user.id", "\"\\x\"")),
        ("a leading zero", raw("duration_ms", "007")),
        ("a plus sign", raw("duration_ms", "+7")),
        ("not a number", raw("performance.cls", "NaN")),
        (
            "a comment",
            whole.replace("{\"events\"", "{/* */\"events\""),
        ),
    ];
    bodies.push((
        "one bad event among good ones",
        batch(&[
            event("a"),
            event_with("api.duration_ms", json!(12.7)),
            event("c"),
        ]),
    ));
    let mut bodies: Vec<_> = bodies
        .into_iter()
        .map(|(k, v)| (k, v.into_bytes()))
        .collect();
    bodies.push((
        "compressed",
        vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56],
    ));
    bodies.push((
        "invalid UTF-8 between values",
        [b"{\xff", &whole.as_bytes()[1..]].concat(),
    ));
    each(bodies, refused).await;
}

#[tokio::test]
async fn harmless_oddities_are_accepted() {
    let whole = batch(&[event("a")]);
    let id_escaped = whole.replace("\"event_id\":\"a\"", "\"\\u0065vent_id\":\"\\u0061\"");
    assert_ne!(whole, id_escaped);
    let mut bodies: Vec<_> = [
        ("trailing bytes", format!("{whole} and more")),
        ("a second document", format!("{whole}{whole}")),
        ("white space around", format!(" \r\n\t{whole}\n")),
        (
            "unknown keys outside",
            whole.replacen('{', "{\"sdk\":{\"v\":1},", 1),
        ),
        ("unknown keys in an event", raw("x.y", "[{\"a\":1.5}]")),
        (
            "keys in another case",
            whole
                .replace("event_id", "Event_ID")
                .replace("events", "Events"),
        ),
        (
            "an event type nobody knows",
            batch(&[event_with("event.type", json!("x"))]),
        ),
        ("escaped keys", id_escaped),
        ("a lone surrogate", raw("user.id", "\"\\ud800\"")),
        ("a lone surrogate in a key", raw("\\ud800", "1")),
        (
            "the last of two equal keys",
            raw("user.id", "1").replace(":1,", ":null,\"user.id\":\"u\","),
        ),
        ("a big number under an unknown key", raw("x", "1e999")),
    ]
    .into_iter()
    .map(|(what, body)| (what, body.into_bytes()))
    .collect();
    let mut invalid = raw("user.id", "\"#\"").into_bytes();
    let at = invalid.iter().position(|b| *b == b'#').unwrap();
    invalid[at] = 0xff;
    bodies.push(("invalid UTF-8 in a string", invalid));
    each(bodies, |reply, what| {
        accepted(reply, what);
        assert_eq!(reply.json()["accepted"], 1, "{what}");
    })
    .await;
}

#[tokio::test]
async fn a_batch_without_events_is_accepted() {
    let bodies = [
        "{}",
        "null",
        "{\"events\":[]}",
        "{\"events\":null}",
        "{\"sdk\":1}",
    ];
    each(
        bodies.map(|body| (body, body.as_bytes().to_vec())),
        |reply, what| {
            assert_eq!(
                (reply.status, reply.body.as_str()),
                (202, "{\"accepted\":0,\"rejected\":0}\n"),
                "{what}"
            );
        },
    )
    .await;
}

#[tokio::test]
async fn required_fields_are_checked_in_order_and_may_not_be_empty() {
    for generation in GENERATIONS {
        let collector = Collector::builder()
            .generation(generation)
            .start()
            .await
            .unwrap();
        let order = [
            "event_id",
            generation.tenant_key(),
            "session.id",
            "event.type",
        ];
        for (i, key) in order.iter().enumerate() {
            for value in [Value::Null, json!("")] {
                // This one and all after it are missing: this one is named.
                let mut event = event("a");
                for missing in &order[i..] {
                    event[*missing] = value.clone();
                }
                let reply = post(&collector, batch(&[event])).await.unwrap();
                assert_eq!(reply.status, 202);
                assert_eq!(
                    reply.json(),
                    json!({"accepted": 0, "rejected": 1, "errors": [
                        {"index": 0, "error": format!("{key}: required")},
                    ]})
                );
            }
        }
    }
}

#[tokio::test]
async fn one_event_over_the_limit_refuses_the_batch() {
    let events: Vec<_> = (0..1001).map(|i| event(&i.to_string())).collect();
    for generation in GENERATIONS {
        let collector = Collector::builder()
            .generation(generation)
            .start()
            .await
            .unwrap();
        let reply = post(&collector, batch(&events)).await.unwrap();
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (400, "batch too large\n")
        );
        accepted(
            &post(&collector, batch(&events[..1000])).await.unwrap(),
            "1000 events",
        );
        // Decoding comes first, so a bad event decides about the words.
        let mut worse = events.clone();
        worse[1000]["user.id"] = json!(1);
        refused(
            &post(&collector, batch(&worse)).await.unwrap(),
            "1001 events, one bad",
        );
    }
    let collector = Collector::builder().max_events(1).start().await.unwrap();
    assert_eq!(
        post(&collector, batch(&events[..2])).await.unwrap().status,
        400
    );
}

#[tokio::test]
async fn a_lenient_collector_rounds_half_away_from_zero() {
    let collector = Collector::builder().lenient().start().await.unwrap();
    for (sent, stored) in [
        ("12.7", 13),
        ("12.4", 12),
        ("2.5", 3),
        ("-2.5", -3),
        ("-0.4", 0),
        ("1e3", 1000),
        ("1.0", 1),
        ("7", 7),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808.0", i64::MIN),
    ] {
        accepted(
            &post(&collector, raw("api.duration_ms", sent))
                .await
                .unwrap(),
            sent,
        );
        assert_eq!(
            collector.events()[0]["api.duration_ms"],
            json!(stored),
            "{sent}"
        );
        collector.reset();
    }
    for sent in ["\"12\"", "9223372036854775808", "1e400", "true", "{}"] {
        refused(
            &post(&collector, raw("api.duration_ms", sent))
                .await
                .unwrap(),
            sent,
        );
    }
}

#[tokio::test]
async fn an_accepted_event_is_stored_exactly_as_sent() {
    let collector = Collector::builder().start().await.unwrap();
    let text = r#"{ "event_id":"\u00e9-1", "product_id":"p","session.id":"s" ,"event.type":"custom","event.timestamp":"2026-01-01T00:00:00Z","metadata":{"big":1.0e2,"z":1,"a":2}}"#;
    post(&collector, format!("{{\"events\":[{text}]}}"))
        .await
        .unwrap();
    assert_eq!(collector.raw_events(), [text]);
    assert_eq!(collector.event_ids(), ["é-1"]);
}

#[tokio::test]
async fn an_event_nested_too_deeply_to_parse_is_kept_as_text() {
    let collector = Collector::builder().start().await.unwrap();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    accepted(
        &post(&collector, raw("metadata", &deep)).await.unwrap(),
        "deep",
    );
    assert!(collector.events()[0].as_str().unwrap().contains(&deep));
}
