//! What is tracked arrives: once, complete, under the right session, at every destination.

mod engine_support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use axum::extract::Path;
use axum::routing::get;
use axum::{Router, serve};
use engine_support::{
    assert_final, assert_holds_once, builder, collector, collector_of, current_thread, held,
    ids_of, in_time, metadata, millis, named, numbered, provider, text,
};
use productgraph::correlation::{Correlation, SessionId, UserId, capture, spawn, spawn_blocking};
use productgraph::event::{EventId, Timestamp};
use productgraph::{Engine, Event};
use productgraph_collector::{Collector, Fault, Generation, When};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const REQUESTS: usize = 40;
/// Of so many requests one brings no session.
const WITHOUT_SESSION: usize = 8;
/// Where an event of one request is tracked.
const PLACES: [&str; 6] = [
    "in.handler",
    "in.task",
    "in.blocking",
    "in.thread",
    "in.bare_thread",
    "after.response",
];

/// A shop whose handler tracks in every place that code of a request may run in.
fn shop(
    engine: &Engine,
    answered: watch::Receiver<bool>,
    late: mpsc::UnboundedSender<JoinHandle<()>>,
) -> Router {
    let handle = engine.handle();
    let handler = move |Path(n): Path<usize>| {
        let (handle, late, mut answered) = (handle.clone(), late.clone(), answered.clone());
        async move {
            let track = {
                let handle = handle.clone();
                move |place: &'static str| handle.track(Event::custom(place).with("n", n))
            };
            track("in.handler");
            let in_task = track.clone();
            let nested = spawn(async move {
                spawn(async move { in_task("in.task") })
                    .await
                    .expect("it does not panic");
            });
            let in_blocking = track.clone();
            let blocking = spawn_blocking(move || in_blocking("in.blocking"));
            let (captured, in_thread) = (capture(), track.clone());
            let thread = std::thread::spawn(move || captured.enter(|| in_thread("in.thread")));
            let in_bare = track.clone();
            let bare = std::thread::spawn(move || in_bare("in.bare_thread"));
            let outlives = spawn(async move {
                answered
                    .wait_for(|answered| *answered)
                    .await
                    .expect("the test says so");
                track("after.response");
            });
            late.send(outlives).expect("the test waits for it");
            nested.await.expect("it does not panic");
            blocking.await.expect("it does not panic");
            // short enough for a worker of a test
            thread.join().expect("it does not panic");
            bare.join().expect("it does not panic");
            "ok"
        }
    };
    Router::new()
        .route("/shop/{n}", get(handler))
        .route("/health", get(|| async { "ok" }))
        .layer(engine.layer())
}

fn brings_session(n: usize) -> bool {
    !n.is_multiple_of(WITHOUT_SESSION)
}

/// One request on a connection of its own: the whole answer.
async fn get_from(shop: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(shop).await.expect("a connection");
    let head = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

async fn visit(shop: SocketAddr, n: usize) {
    let session = if brings_session(n) {
        format!("X-Session-ID: session-{n}\r\n")
    } else {
        String::new()
    };
    let headers = format!("X-Request-ID: request-{n}\r\nX-User-ID: mallory\r\n{session}");
    let answer = get_from(shop, &format!("/shop/{n}?card=4111"), &headers).await;
    assert!(
        answer.contains(&format!("x-request-id: request-{n}\r\n")),
        "{answer}"
    );
    assert!(answer.ends_with("ok"), "{answer}");
}

fn number_of(event: &Value) -> usize {
    let n = metadata(event, "n").as_u64().expect("its request");
    usize::try_from(n).expect("a small number")
}

/// Checks every event of the shop at one destination.
fn check_shop(collector: &Collector) {
    let mut minted: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for place in PLACES {
        let events = named(collector, place);
        let numbers: BTreeSet<_> = events.iter().map(number_of).collect();
        assert_eq!(events.len(), REQUESTS, "{place}");
        assert_eq!(numbers.len(), REQUESTS, "{place}");
        for event in &events {
            let n = number_of(event);
            if place == "in.bare_thread" {
                assert_eq!(
                    text(event, "session.id"),
                    SessionId::of_process().text().as_str()
                );
                assert_eq!(metadata(event, "request_id"), &Value::Null);
                continue;
            }
            assert_eq!(metadata(event, "request_id"), &format!("request-{n}"));
            assert_eq!(event["user.id"], Value::Null, "nobody is authenticated");
            if brings_session(n) {
                assert_eq!(text(event, "session.id"), format!("session-{n}"));
            } else {
                assert_eq!(metadata(event, "session_source"), "request");
                minted
                    .entry(n)
                    .or_default()
                    .insert(text(event, "session.id").to_owned());
            }
        }
    }
    assert_eq!(minted.len(), REQUESTS / WITHOUT_SESSION);
    assert!(
        minted.values().all(|sessions| sessions.len() == 1),
        "one session for each request: {minted:?}"
    );
    let apart: BTreeSet<_> = minted.values().flatten().collect();
    assert_eq!(apart.len(), minted.len());

    let responses: Vec<_> = collector
        .events()
        .into_iter()
        .filter(|event| event["event.type"] == "api.response")
        .collect();
    assert_eq!(responses.len(), REQUESTS);
    for event in &responses {
        assert_eq!(event["api.path"], "/shop/{n}");
        assert_eq!(event["api.status_code"], 200);
        let request = metadata(event, "request_id").as_str().expect("a request");
        let n: usize = request["request-".len()..].parse().expect("its number");
        if brings_session(n) {
            assert_eq!(text(event, "session.id"), format!("session-{n}"));
        }
    }
    assert!(
        collector
            .raw_events()
            .iter()
            .all(|raw| !raw.contains("card")),
        "a query was recorded"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_tracked_around_real_requests_arrives_once_at_both_generations() {
    let (old, new) = (collector_of(Generation::V0_2), collector());
    let engine = builder()
        .batch_interval(millis(20))
        .excluded_paths(["/health"])
        .provider(provider(&old, "a"))
        .provider(provider(&new, "b"))
        .spawn()
        .expect("it starts");
    let (say_answered, answered) = watch::channel(false);
    let (late, mut outliving) = mpsc::unbounded_channel();
    let shop = shop(&engine, answered, late);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move { serve(listener, shop).await });

    let visits: Vec<_> = (0..REQUESTS)
        .map(|n| tokio::spawn(visit(address, n)))
        .collect();
    for visit in visits {
        in_time(visit).await.expect("a visit");
    }
    let health = in_time(get_from(address, "/health", "")).await;
    assert!(health.ends_with("ok"), "{health}");
    say_answered.send_replace(true);
    for _ in 0..REQUESTS {
        let late = in_time(outliving.recv()).await.expect("one for each");
        in_time(late).await.expect("it does not panic");
    }
    // a response's event is sent when its body is gone, which may be after the client has it
    let expected = u64::try_from(REQUESTS * (PLACES.len() + 1)).expect("a small number");
    in_time(old.wait_for_events(expected)).await;
    in_time(new.wait_for_events(expected)).await;
    server.abort();

    let correlation = engine.stats().correlation;
    let minted = REQUESTS / WITHOUT_SESSION + 1;
    assert_eq!(correlation.sessions_adopted, 35, "{correlation:?}");
    assert_eq!(
        correlation.sessions_minted, minted as u64,
        "{correlation:?}"
    );
    let ratio = correlation
        .correlation_ratio()
        .expect("there were requests");
    assert!((ratio - 35.0 / 41.0).abs() < 1e-9, "{ratio}");
    let report = in_time(engine.shutdown(Duration::from_secs(20))).await;
    assert_final(&report);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(report.ledger.accepted, expected, "{report}");
    assert_eq!(held(&old), held(&new));
    assert!(held(&old).values().all(|n| *n == 1));
    check_shop(&old);
    check_shop(&new);
}

#[tokio::test]
async fn a_user_that_is_known_only_after_authentication_is_on_later_events() {
    let collector = collector();
    let engine = builder()
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    Correlation::builder().build().enter(|| {
        let current = Correlation::current().expect("entered");
        current.set_user(UserId::parse("u_1").expect("a valid id"));
        handle.track(Event::custom("known"));
    });
    assert!(engine.flush(engine_support::BOUND).await.is_settled());
    assert_eq!(named(&collector, "known")[0]["user.id"], "u_1");
}

#[test]
fn ids_and_times_that_are_given_are_kept_and_others_are_made() {
    let collector = collector();
    let engine = builder()
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let before = SystemTime::now();
    let given = Timestamp::parse("2001-02-03T04:05:06.789012Z").expect("a time");
    let handle = engine.handle();
    handle.track(
        Event::custom("given")
            .with_id(EventId::parse("my-own-id").expect("an id"))
            .with_timestamp(given)
            .with_sequence(77),
    );
    handle.track(Event::custom("made"));
    let report = engine.shutdown_blocking(engine_support::BOUND);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");

    let own = &named(&collector, "given")[0];
    assert_eq!(own["event_id"], "my-own-id");
    assert_eq!(own["event.timestamp"], "2001-02-03T04:05:06.789012Z");
    assert_eq!(own["event.sequence"], 77);
    let made = &named(&collector, "made")[0];
    let at = Timestamp::parse(text(made, "event.timestamp")).expect("a time");
    assert!(at >= Timestamp::from(before - Duration::from_secs(1)));
    assert_eq!(text(made, "event_id").len(), 36);
}

#[test]
fn sequence_numbers_of_an_engine_are_unique_and_grow_on_every_thread() {
    const THREADS: usize = 4;
    const EACH: usize = 200;
    let collector = collector();
    let engine = builder()
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            // handles of one engine count together, however they were come by
            let handle = engine.handle();
            scope.spawn(move || {
                for n in 0..EACH {
                    handle.track(Event::custom("counted").with("thread", thread).with("n", n));
                }
            });
        }
    });
    let report = engine.shutdown_blocking(engine_support::BOUND);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");

    let events = named(&collector, "counted");
    let sequence = |event: &Value| event["event.sequence"].as_u64().expect("a number");
    let all: BTreeSet<_> = events.iter().map(sequence).collect();
    assert_eq!(all.len(), THREADS * EACH);
    for thread in 0..THREADS {
        let mut own: Vec<_> = events
            .iter()
            .filter(|event| *metadata(event, "thread") == thread)
            .map(|event| (metadata(event, "n").as_u64(), sequence(event)))
            .collect();
        own.sort_unstable();
        assert_eq!(own.len(), EACH);
        assert!(own.windows(2).all(|w| w[0].1 < w[1].1), "{own:?}");
    }
}

#[test]
fn one_request_at_a_time_keeps_the_order_through_failures() {
    let collector = collector();
    collector
        .faults()
        .set_standing(Fault::store_then_reset(), When::Every(3));
    collector.faults().push_times(2, Fault::status(503));
    let engine = builder()
        .batch_size(7)
        .provider(provider(&collector, "a").max_batch_events(20))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    for n in 0..400 {
        handle.track(numbered(n));
    }
    let report = engine.shutdown_blocking(engine_support::BOUND);
    assert_final(&report);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");

    let mut seen = BTreeSet::new();
    let firsts: Vec<_> = collector
        .event_ids()
        .into_iter()
        .filter(|id| seen.insert(id.clone()))
        .collect();
    assert_eq!(firsts, ids_of(0..400));
    assert!(collector.stats().duplicates > 0, "the fault never struck");
}

#[test]
fn several_requests_at_a_time_lose_and_repeat_nothing() {
    let collector = collector();
    let engine = builder()
        .batch_size(10)
        .concurrency(4)
        .provider(provider(&collector, "a").max_batch_events(10))
        .spawn()
        .expect("it starts");
    let gate = collector.faults().hold();
    let handle = engine.handle();
    for n in 0..300 {
        handle.track(numbered(n));
    }
    current_thread().block_on(in_time(collector.wait_for_waiting(4)));
    assert_eq!(collector.stats().waiting, 4, "no more than were allowed");
    gate.release();
    let report = engine.shutdown_blocking(engine_support::BOUND);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_holds_once(&collector, &ids_of(0..300));
}

/// Text that breaks what is careless with text.
fn nasty_texts() -> Vec<String> {
    [
        "",
        "\0",
        "\u{1}\u{7f}\u{85}\u{2028}\u{feff}",
        "\"},{\"event_id\":\"forged\"",
        "\\u0000 \\ / \n\r\t",
        "\u{1f469}\u{200d}\u{1f680} \u{202e}evil\u{202c}",
        "<script>alert(1)</script>",
        "\u{10ffff}\u{d7ff}\u{e000}",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["x".repeat(30_000), "\u{1f600}".repeat(5_000)])
    .collect()
}

#[tokio::test]
async fn whatever_an_event_holds_a_strict_service_takes_it() {
    let (old, new) = (collector_of(Generation::V0_2), collector());
    let engine = builder()
        .provider(provider(&old, "a"))
        .provider(provider(&new, "b"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    let mut tracked = 0;
    let mut track = |event: Event| {
        handle.try_track(event).expect("there is room");
        tracked += 1;
    };
    for text in nasty_texts() {
        track(Event::custom(text.clone()).with(text.clone(), text.clone()));
        track(Event::error(text.clone(), text.clone()).stack(text.clone()));
        track(Event::journey_step(
            text.clone(),
            text.clone(),
            text.clone(),
        ));
        track(Event::page_view(text.clone()).title(text.clone()));
        track(Event::api_response(
            text.clone(),
            text.clone(),
            0,
            Duration::MAX,
        ));
        track(Event::state_change(text.clone()).before(Value::from(text.clone())));
    }
    for number in [f64::NAN, f64::INFINITY, -f64::INFINITY, f64::MAX, -0.0] {
        track(
            Event::performance()
                .cls(number)
                .lcp(Duration::MAX)
                .scroll_position(number)
                .with("number", number),
        );
    }
    for number in [i64::MIN, i64::MAX, 0] {
        let event = Event::custom("number").with("signed", number);
        track(
            event
                .with("unsigned", u64::MAX)
                .with_duration(Duration::MAX),
        );
    }
    track(Event::api_response(
        "GET",
        "/",
        u16::MAX,
        Duration::from_nanos(1),
    ));
    track(Event::custom("late").with_sequence(u64::MAX));
    for text in ["1678-01-01T00:00:00Z", "2262-01-01T00:00:00Z"] {
        let at = Timestamp::parse(text).expect("within range");
        track(Event::custom("when").with_timestamp(at));
    }
    let report = in_time(engine.shutdown(engine_support::BOUND)).await;
    assert_final(&report);
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(report.ledger.accepted, tracked);
    for collector in [&old, &new] {
        assert_eq!(collector.event_ids().len() as u64, tracked);
        assert!(!collector.event_ids().contains(&"forged".to_owned()));
        assert_eq!(collector.stats().duplicates, 0);
    }
}
