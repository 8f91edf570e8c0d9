//! What the engine holds stays under its ceiling, and the weights say what is really held.

mod engine_support;

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use engine_support::{
    BOUND, account, assert_final, builder, collector, current_thread, delivered, held, id_of,
    in_time, numbered, provider, until,
};
use productgraph::correlation::{SessionId, UserId};
use productgraph::event::{EventId, UiAction};
use productgraph::{DropReason, Engine, Event, Overflow, RefuseReason, Text};
use productgraph_collector::Collector;

const CEILING: usize = 256 << 10;

/// An event of some size between small and a twentieth of the ceiling.
fn sized(n: usize) -> Event {
    match n % 7 {
        0 => numbered(n).with("text", "x".repeat(n * 37 % 12_000)),
        1 => Event::error("Failure", "y".repeat(n % 900))
            .with_id(EventId::parse(&id_of(n)).expect("an id")),
        _ => numbered(n),
    }
}

/// Offers ten times the ceiling to an engine whose destinations hold everything, without ever
/// yielding the thread; how many were taken.
fn flood(engine: &Engine) -> (u64, u64) {
    let handle = engine.handle();
    let (mut offered_bytes, mut offered, mut taken) = (0, 0, 0);
    while offered_bytes < 10 * CEILING {
        let event = sized(usize::try_from(offered).expect("few"));
        offered_bytes += event.weight();
        offered += 1;
        taken += u64::from(handle.try_track(event).is_ok());
        let held = engine.stats().bytes_held;
        assert!(held <= CEILING, "{held} bytes are held");
    }
    (offered, taken)
}

fn flooded(overflow: Overflow, shared: bool) {
    let (one, other) = (collector(), collector());
    let engine = builder()
        .max_buffered_bytes(CEILING)
        .overflow(overflow)
        .shared_budget(shared)
        .provider(provider(&one, "one"))
        .provider(provider(&other, "other"))
        .spawn()
        .expect("it starts");
    let gates = [one.faults().hold(), other.faults().hold()];
    // a runtime of one thread that nothing yields: what blocked would never end
    let (offered, taken) = current_thread().block_on(async { flood(&engine) });
    let ledger = engine.ledger();
    assert!(ledger.balances(), "{ledger}");
    assert_eq!(ledger.accepted, taken, "{ledger}");
    assert_eq!(ledger.refused.get(RefuseReason::Full), offered - taken);
    assert_eq!(ledger.refused.total(), offered - taken);
    assert!(
        ledger.providers.iter().all(|p| p.delivered == 0),
        "{ledger}"
    );

    drop(gates);
    let report = engine.shutdown_blocking(BOUND);
    assert_final(&report);
    assert!(report.is_settled(), "{report}");
    assert_eq!(report.ledger.accepted, taken);
    assert_eq!(engine.stats().bytes_held, 0);
    for (name, collector) in [("one", &one), ("other", &other)] {
        let account = account(&report.ledger, name);
        let held = held(collector);
        assert_eq!(held.len() as u64, account.delivered, "{report}");
        assert!(held.values().all(|times| *times == 1));
        assert_eq!(account.rejected.total(), 0, "{report}");
        assert_eq!(
            account.dropped.total(),
            account.dropped.get(DropReason::Overflow),
            "{report}"
        );
    }
    if shared && overflow == Overflow::DropNewest {
        // what was taken in is never given up for what comes later
        assert!(report.ledger.providers.iter().all(|p| p.delivered == taken));
        assert!(taken < offered, "the flood was no flood");
    }
}

#[test]
fn a_flood_stays_under_the_ceiling_when_the_newest_are_refused() {
    flooded(Overflow::DropNewest, false);
}

#[test]
fn a_flood_stays_under_the_ceiling_when_the_oldest_give_way() {
    flooded(Overflow::DropOldest, false);
}

#[test]
fn a_flood_stays_under_the_ceiling_when_priorities_decide() {
    flooded(Overflow::ByPriority, false);
}

#[test]
fn a_flood_stays_under_the_ceiling_when_lanes_share_it_and_nothing_taken_in_is_given_up() {
    flooded(Overflow::DropNewest, true);
}

#[tokio::test]
async fn a_stuck_destination_gives_up_its_own_oldest_events_and_costs_the_other_none() {
    const EVENTS: usize = 3_000;
    let (stuck, sound) = (collector(), collector());
    let _gate = stuck.faults().hold();
    let engine = builder()
        .batch_size(20)
        .batch_interval(Duration::from_millis(10))
        .max_buffered_bytes(CEILING)
        .provider(provider(&stuck, "stuck"))
        .provider(provider(&sound, "sound"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    for n in 0..EVENTS {
        handle
            .try_track(numbered(n))
            .expect("the stuck one makes room by itself");
        if n % 100 == 99 {
            in_time(sound.wait_for_events(n as u64 + 1)).await;
        }
    }
    delivered(&engine, "sound", EVENTS).await;
    assert!(engine.stats().bytes_held <= CEILING);
    let report = in_time(engine.shutdown(Duration::from_millis(100))).await;
    assert_final(&report);
    assert_eq!(account(&report.ledger, "sound").delivered, EVENTS as u64);
    let dropped = &account(&report.ledger, "stuck").dropped;
    assert!(dropped.get(DropReason::Overflow) > 0, "{report}");
    assert_eq!(
        dropped.get(DropReason::Overflow) + dropped.get(DropReason::Deadline),
        EVENTS as u64,
        "{report}"
    );
}

#[tokio::test]
async fn errors_and_journey_steps_outlive_clicks_when_priorities_decide() {
    let collector = collector();
    let gate = collector.faults().hold();
    let engine = builder()
        .max_buffered_bytes(CEILING)
        .queue_capacity(4096)
        .overflow(Overflow::ByPriority)
        .shared_budget(true)
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    while handle
        .try_track(Event::ui(UiAction::Click, "buy").with("text", "x".repeat(500)))
        .is_ok()
    {}
    handle
        .try_track(Event::error("CardError", "declined"))
        .expect("room is kept for it");
    handle
        .try_track(Event::journey_step("checkout", "paid", "Paid"))
        .expect("room is kept for it");
    gate.release();
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    let types: Vec<_> = collector
        .events()
        .into_iter()
        .filter(|event| event["event.type"] != "ui.click")
        .collect();
    assert!(types.len() >= 2, "{report}");
    assert_eq!(report.ledger.refused.get(RefuseReason::Full), 1);
}

#[tokio::test]
async fn errors_outlive_clicks_also_in_the_lane_of_a_stuck_destination() {
    const ERRORS: usize = 80;
    let collector = collector();
    let gate = collector.faults().hold();
    let engine = builder()
        .batch_size(10)
        .max_buffered_bytes(CEILING)
        .overflow(Overflow::ByPriority)
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let handle = engine.handle();
    for n in 0..ERRORS * 10 {
        if n % 10 == 5 {
            // what is kept for them is enough for all of them
            let error = Event::error("CardError", "declined");
            handle.try_track(error).expect("room is kept for it");
        } else {
            handle.track(Event::ui(UiAction::Click, "buy").with("text", "x".repeat(500)));
        }
    }
    let pipeline = engine.pipeline().expect("it is enabled");
    // all but the batch being built has reached the lane
    until(|| {
        let ledger = engine.ledger();
        let given_up = account(&ledger, "a").dropped.total();
        pipeline.lanes()[0].pending + given_up + 10 > ledger.accepted
    })
    .await;
    let ledger = engine.ledger();
    let dropped = account(&ledger, "a").dropped.get(DropReason::Overflow);
    assert!(dropped > 0, "the lane is full: {ledger}");
    gate.release();
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    let events = collector.events();
    let errors = events.iter().filter(|event| event["event.type"] == "error");
    assert_eq!(errors.count(), ERRORS, "{report}");
}

type Make = dyn FnOnce() -> Event;
type Case = (&'static str, Box<Make>);

/// An event and the bytes that making it left allocated.
fn weighed(make: impl FnOnce() -> Event) -> (usize, usize) {
    let mut event = None;
    let measured = measure(|| event = Some(make()));
    let heap = usize::try_from(measured.bytes_current).expect("nothing was freed before");
    let weight = event.as_ref().map_or(0, Event::weight);
    (weight - size_of::<Event>(), heap)
}

#[test]
fn a_weight_is_what_is_allocated_within_a_quarter() {
    let long = || "a text that is too long to be kept inline, ".repeat(3);
    let shared: Arc<str> = long().into();
    let cases: Vec<Case> = vec![
        (
            "a response of static text",
            Box::new(|| Event::api_response(http::Method::GET, "/plans/{id}", 200, Duration::ZERO)),
        ),
        ("a long name", Box::new(move || Event::custom(long()))),
        (
            "a long error",
            Box::new(move || Event::error(long(), long()).stack("s".repeat(5_000))),
        ),
        (
            "a journey step",
            Box::new(move || Event::journey_step(long(), long(), long())),
        ),
        (
            "one entry of metadata",
            Box::new(|| Event::custom("x").with("items", 3)),
        ),
        (
            "much metadata",
            Box::new(move || {
                (0..50).fold(Event::custom("x"), |event, n| {
                    event.with(format!("key-{n}-{}", long()), long())
                })
            }),
        ),
        (
            "a page",
            Box::new(move || Event::page_view(long()).title(long()).referrer(long())),
        ),
        (
            "vitals",
            Box::new(|| Event::performance().lcp(Duration::from_millis(3)).cls(0.1)),
        ),
        (
            "an own id",
            Box::new(|| {
                Event::custom("x").with_id(EventId::parse(&"i".repeat(200)).expect("it is"))
            }),
        ),
        (
            "an own identity",
            Box::new(|| {
                Event::custom("x")
                    .with_session(SessionId::parse(&"s".repeat(100)).expect("it is"))
                    .with_user(UserId::parse(&"u".repeat(100)).expect("it is"))
            }),
        ),
        (
            "nested metadata",
            Box::new(|| {
                let nested = serde_json::json!({
                    "list": (0..40).collect::<Vec<_>>(),
                    "object": {"a": "text of some length, more than inline", "b": [1.5, null]},
                });
                Event::custom("x").with("nested", nested)
            }),
        ),
    ];
    let maps = [1, 5, 11, 12, 40, 300].map(|entries| {
        let make = move || {
            let mut map = serde_json::Map::new();
            for n in 0..entries {
                map.insert(format!("key-{n}"), n.into());
            }
            Event::custom("x").with("map", serde_json::Value::Object(map))
        };
        ("a map", Box::new(make) as Box<Make>)
    });
    for (what, make) in cases.into_iter().chain(maps) {
        let (claimed, real) = weighed(make);
        // allocators round up, and reference counts are guessed
        let slack = 64 + real / 4;
        assert!(
            claimed.abs_diff(real) <= slack,
            "{what}: weighs {claimed}, holds {real}"
        );
    }

    // shared text counts for everyone who holds it: rather too much than too little
    let text = Text::from(Arc::clone(&shared));
    let (claimed, real) = weighed(move || Event::custom(text));
    assert!(claimed >= shared.len() && real == 0, "{claimed} {real}");
}

#[test]
fn a_correlated_event_keeps_its_session_small() {
    // not part of a weight, since all events of a request share it; so it has to be small
    let measured = measure(|| {
        std::mem::forget(
            productgraph::Correlation::builder()
                .session(
                    SessionId::parse(&"s".repeat(SessionId::MAX_LEN)).expect("it is"),
                    productgraph::correlation::SessionSource::Adopted,
                )
                .build(),
        );
    });
    assert!(measured.bytes_current <= 1024, "{measured:?}");
}

#[test]
fn a_collector_that_holds_is_released_by_its_guard() {
    // what the floods above rest on: without it they would pass by delivering
    let collector: Collector = collector();
    let gate = collector.faults().hold();
    let engine = builder()
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    engine.handle().track(numbered(0));
    let report = engine.shutdown_blocking(Duration::from_millis(100));
    assert_eq!(account(&report.ledger, "a").delivered, 0);
    drop(gate);
}
