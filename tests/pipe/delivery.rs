//! What becomes of events, by the receiver's mood.

use std::io::Write;
use std::time::Duration;

use productgraph_collector::{Collector, Fault, When};
use serde_json::json;

use crate::example_support::{FOREVER, Running};
use crate::support::{account, collector, delivered, event, events, ids, pipe, started, stored};

#[test]
fn ten_thousand_lines_arrive_under_the_ids_they_were_given() {
    let collector = collector();
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    pipe.feed(|input| input.write_all(events(10_000).as_bytes()));
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.report(), delivered(10_000));
    assert!(ended.bad_lines().is_empty(), "{ended:?}");
    assert_eq!(stored(&collector), ids(10_000));
}

#[test]
fn the_report_has_its_keys_in_the_documented_order() {
    let collector = collector();
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    pipe.write(events(2).as_bytes());
    assert_eq!(
        pipe.finish().stdout,
        concat!(
            r#"{"accepted":2,"refused":{},"providers":{"productgraph":"#,
            r#"{"delivered":2,"rejected":{},"dropped":{},"pending":0}}}"#,
            "\n"
        )
    );
}

#[test]
fn what_a_line_says_wins_and_what_it_lacks_is_filled_in() {
    let collector = collector();
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    let own = r#"{"event.type":"custom","event_id":"own","product_id":"other","session.id":"s-1","event.timestamp":"2026-01-01T00:00:00.5Z","user.id":"u_1","top.level":1}"#;
    pipe.write(format!("{own}\n{{\"event.type\":\"custom\"}}\n").as_bytes());
    let ended = pipe.finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let events = collector.events();
    let own = &events[0];
    assert_eq!(own["event_id"], "own");
    assert_eq!(own["product_id"], "other");
    assert_eq!(own["session.id"], "s-1");
    assert_eq!(own["event.timestamp"], "2026-01-01T00:00:00.500Z");
    assert_eq!(own["user.id"], "u_1");
    assert_eq!(own["metadata"]["top.level"], 1);
    assert_eq!(own["metadata"]["session_source"], json!(null));

    let bare = &events[1];
    assert_eq!(bare["product_id"], "shop");
    assert_eq!(bare["metadata"]["session_source"], "process");
    for filled_in in ["event_id", "session.id", "event.timestamp"] {
        assert!(bare[filled_in].is_string(), "{filled_in}: {bare}");
    }
}

#[test]
fn a_burst_of_503_delays_and_loses_nothing() {
    let collector = collector();
    collector.faults().push_times(5, Fault::status(503));
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    pipe.write(events(500).as_bytes());
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.report(), delivered(500));
    assert_eq!(stored(&collector), ids(500));
    assert_eq!(collector.stats().by_status[&503], 5);
}

#[test]
fn poison_and_index_errors_are_rejected_and_the_rest_is_delivered() {
    let collector = collector();
    collector.faults().poison("skull");
    collector.faults().reject("smudge", "session.id: required");
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    let mut lines = events(300);
    for spoiled in ["skull-1", "smudge-1", "skull-2"] {
        lines.insert_str(0, &format!("{}\n", event(spoiled)));
    }
    pipe.write(lines.as_bytes());
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(3), "{ended:?}");
    let rejected = json!({"poison": 2, "invalid": 1});
    let expected = account(303, &json!({}), 300, &rejected, &json!({}));
    assert_eq!(ended.report(), expected);
    assert_eq!(stored(&collector), ids(300));
}

#[test]
fn a_receiver_that_refuses_the_key_gets_nothing_and_the_key_is_not_shown() {
    let collector = started(Collector::builder().require_key("right"));
    let mut pipe = pipe(&collector.endpoint());
    pipe.env("PRODUCTGRAPH_API_KEY", "wrong-51f2a")
        .env("PRODUCTGRAPH_DEBUG", "true")
        .env("PRODUCTGRAPH_SHUTDOWN_TIMEOUT", "500ms");
    let mut pipe = Running::start(&mut pipe);
    pipe.write(events(20).as_bytes());
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(3), "{ended:?}");
    let dropped = json!({"deadline": 20});
    let expected = account(20, &json!({}), 0, &json!({}), &dropped);
    assert_eq!(ended.report(), expected);
    assert!(ended.stderr.contains("401"), "{ended:?}");
    assert!(!ended.stderr.contains("51f2a"), "{ended:?}");
    assert_eq!(collector.event_ids().len(), 0);
}

#[test]
fn losses_weigh_more_than_bad_lines() {
    let collector = collector();
    collector.faults().poison("skull");
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    pipe.write(format!("{}\nno event\n", event("skull")).as_bytes());
    let ended = pipe.finish();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(ended.bad_lines(), [2]);
}

#[test]
fn an_event_that_the_engine_can_never_hold_is_refused_and_named() {
    let collector = collector();
    let mut pipe = pipe(&collector.endpoint());
    pipe.env("PRODUCTGRAPH_MAX_BUFFERED_BYTES", "64KiB");
    let mut pipe = Running::start(&mut pipe);
    let mut huge = event("huge");
    huge["error.stack"] = "x".repeat(100_000).into();
    pipe.write(format!("{}\n{huge}\n", event("e-0")).as_bytes());
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(ended.bad_lines(), [2]);
    let refused = json!({"too_large": 1});
    assert_eq!(
        ended.report(),
        account(1, &refused, 1, &json!({}), &json!({}))
    );
}

#[test]
fn a_slow_receiver_makes_the_input_wait_and_memory_stays_small() {
    let collector = collector();
    collector.faults().set_latency(Duration::from_millis(2));
    collector
        .faults()
        .set_standing(Fault::status(503), When::Every(20));
    let mut pipe = pipe(&collector.endpoint());
    pipe.env("PRODUCTGRAPH_MAX_BUFFERED_BYTES", "64KiB")
        .env("PRODUCTGRAPH_QUEUE_CAPACITY", "64");
    let mut pipe = Running::start(&mut pipe);
    pipe.write(events(20_000).as_bytes());
    let all_there = collector.wait_until_blocking(FOREVER, |stats| stats.accepted >= 20_000);
    assert!(all_there, "{:?}", collector.stats());
    let peak = pipe.peak_kib();
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.report(), delivered(20_000));
    assert_eq!(stored(&collector), ids(20_000));
    assert!(peak.is_none_or(|peak| peak < 48 * 1024), "{peak:?} KiB");
}
