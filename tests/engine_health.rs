//! Health that cannot lie: every fault shows within its bound with a sentence to act on, and an idle
//! engine is healthy for any length of time.

mod health_support;

use std::time::Duration;

use health_support::{MINUTE, SECOND, answer, attached, pass, status, track, turns};
use productgraph::providers::Memory;
use productgraph::testing::Victim;
use productgraph::{
    Cause, Engine, Health, HealthState, Outcome, ProviderOptions, RejectReason, STALLED_AFTER,
    TrackError,
};
use productgraph::{Event, LaneState};
use serde_json::Value;

const BOUND: Duration = STALLED_AFTER.saturating_add(SECOND);

#[track_caller]
fn assert_is(health: &Health, state: HealthState, why: &[&str]) {
    assert_eq!(health.state, state, "{:?}", health.why);
    assert_eq!(health.why.len(), why.len(), "{:?}", health.why);
    for (found, expected) in health.why.iter().zip(why) {
        assert!(found.contains(expected), "{found} lacks {expected}");
    }
}

#[track_caller]
fn assert_healthy(engine: &Engine) {
    assert_is(&engine.health(), HealthState::Healthy, &[]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_work_is_healthy_for_days() {
    let memory = Memory::new();
    let engine = attached(&memory).spawn().expect("it starts");
    for events in [0, 25] {
        track(&engine, events);
        pass(MINUTE).await;
        for _ in 0..24 {
            tokio::time::advance(60 * MINUTE).await;
            assert_healthy(&engine);
        }
    }
    let health = engine.health();
    assert!(health.is_healthy() && health.uptime >= 48 * 60 * MINUTE);
    assert_eq!(health.ledger.providers[0].delivered, 25);
    assert!(health.providers[0].last_success > Some(23 * 60 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_unhealthy_at_once_and_healthy_when_let_in() {
    let memory = Memory::new();
    let hold = Outcome::Hold {
        cause: Cause::status(401),
    };
    answer(&memory, 3, &hold);
    let engine = attached(&memory).spawn().expect("it starts");
    track(&engine, 10);
    turns().await;
    let why = ["memory refuses this client (status 401): check its key"];
    assert_is(&engine.health(), HealthState::Unhealthy, &why);
    assert_eq!(engine.health().providers[0].state, LaneState::Held);
    pass(MINUTE / 2).await;
    assert_is(&engine.health(), HealthState::Unhealthy, &why);
    pass(2 * MINUTE).await;
    assert_healthy(&engine);
    assert_eq!(memory.delivered().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_degrades_and_after_a_minute_it_is_unhealthy() {
    let memory = Memory::new();
    answer(&memory, 1000, &status(503));
    let engine = attached(&memory).spawn().expect("it starts");
    track(&engine, 10);
    turns().await;
    let why = ["memory has failed for 0 s (status 503)"];
    assert_is(&engine.health(), HealthState::Degraded, &why);
    pass(59 * SECOND).await;
    assert_eq!(engine.health().state, HealthState::Degraded);
    pass(3 * SECOND).await;
    let why = ["memory has failed for 6"];
    assert_is(&engine.health(), HealthState::Unhealthy, &why);
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_degrades_at_the_attempt_timeout_and_is_unhealthy_a_minute_later() {
    let memory = Memory::new();
    for _ in 0..100 {
        memory.never_answer();
    }
    let engine = attached(&memory).spawn().expect("it starts");
    track(&engine, 10);
    pass(29 * SECOND).await;
    assert_healthy(&engine);
    pass(2 * SECOND).await;
    let why = ["memory has failed for"];
    assert_is(&engine.health(), HealthState::Degraded, &why);
    pass(61 * SECOND).await;
    assert_is(&engine.health(), HealthState::Unhealthy, &why);
}

#[tokio::test(start_paused = true)]
async fn a_paused_provider_degrades_and_is_never_said_to_stall() {
    let memory = Memory::new();
    let engine = attached(&memory).spawn().expect("it starts");
    let pipeline = engine.pipeline().expect("it runs");
    assert!(pipeline.set_paused("memory", true));
    track(&engine, 10);
    for _ in 0..5 {
        pass(MINUTE).await;
        assert_is(
            &engine.health(),
            HealthState::Degraded,
            &["memory is paused"],
        );
    }
    pipeline.set_paused("memory", false);
    turns().await;
    assert_healthy(&engine);
}

#[tokio::test(start_paused = true)]
async fn every_actor_that_is_wedged_turns_health_within_the_bound() {
    let cases = [
        (Victim::Buffer, "buffer has work and has not moved for 1"),
        (Victim::FanOut, "fan_out has work and has not moved for 1"),
        (
            Victim::Flusher(0),
            "flusher of memory has work and has not moved for 1",
        ),
    ];
    for (victim, why) in cases {
        let memory = Memory::new();
        let engine = attached(&memory).spawn().expect("it starts");
        let wedged = engine.pipeline().expect("it runs").wedge(victim);
        pass(MINUTE).await;
        assert_healthy(&engine);
        track(&engine, 10);
        turns().await;
        assert_healthy(&engine);
        pass(BOUND).await;
        assert_is(&engine.health(), HealthState::Unhealthy, &[why]);
        drop(wedged);
        pass(SECOND).await;
        assert_healthy(&engine);
        assert_eq!(memory.delivered().len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_keeps_crashing_degrades_and_a_dead_one_is_unhealthy() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<&str>();
        if !text.is_some_and(|text| text.contains("crash injected")) {
            hook(panic);
        }
    }));
    let engine = attached(&Memory::new()).spawn().expect("it starts");
    let pipeline = engine.pipeline().expect("it runs");
    for _ in 0..2 {
        pipeline.crash(Victim::FanOut);
        pass(SECOND).await;
        assert_healthy(&engine);
    }
    pipeline.crash(Victim::FanOut);
    pass(SECOND).await;
    let why = ["fan_out keeps crashing: 3 times lately"];
    assert_is(&engine.health(), HealthState::Degraded, &why);
    pass(2 * MINUTE).await;
    assert_healthy(&engine);
    while engine.health().dead_actors == 0 {
        pipeline.crash(Victim::FanOut);
        tokio::task::yield_now().await;
    }
    let why = ["fan_out is dead: restart the service"];
    assert_is(&engine.health(), HealthState::Unhealthy, &why);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_every_event_for_good_does_not_pass_for_healthy() {
    let memory = Memory::new();
    let refuse = Outcome::Final {
        reason: RejectReason::Refused,
        cause: Cause::status(422),
    };
    answer(&memory, 100, &refuse);
    let engine = attached(&memory).batch_size(3).spawn().expect("it starts");
    track(&engine, 9);
    pass(2 * SECOND).await;
    assert_healthy(&engine);
    track(&engine, 3);
    turns().await;
    let why = ["memory refused the last 12 events for good (status 422)"];
    assert_is(&engine.health(), HealthState::Degraded, &why);
    pass(MINUTE).await;
    track(&engine, 3);
    turns().await;
    let why = ["memory refused the last 15 events for good"];
    assert_is(&engine.health(), HealthState::Unhealthy, &why);
}

#[tokio::test(start_paused = true)]
async fn a_full_engine_is_degraded_for_as_long_as_events_are_turned_away_and_a_minute() {
    let memory = Memory::new();
    let engine = attached(&memory)
        .queue_capacity(20)
        .spawn()
        .expect("it starts");
    track(&engine, 20);
    assert_healthy(&engine);
    let refused = engine.handle().try_track(Event::custom("one too many"));
    assert!(matches!(refused, Err(TrackError::Full(_))));
    for _ in 0..50 {
        let why = ["the engine is full"];
        assert_is(&engine.health(), HealthState::Degraded, &why);
        pass(SECOND).await;
    }
    pass(MINUTE / 2).await;
    assert_healthy(&engine);
}

#[tokio::test(start_paused = true)]
async fn a_late_provider_and_one_that_loses_events_are_degraded() {
    let engine = attached(&Memory::new()).spawn().expect("it starts");
    let health = engine.health();
    let lane = &health.providers[0];
    assert_eq!(health.provider_state(lane), HealthState::Healthy);
    let mut tardy = lane.clone();
    // the batch interval is a second
    tardy.oldest_pending = Some(61 * SECOND);
    assert_eq!(health.provider_state(&tardy), HealthState::Healthy);
    tardy.oldest_pending = Some(62 * SECOND);
    assert_eq!(health.provider_state(&tardy), HealthState::Degraded);
    let mut losing = lane.clone();
    losing.last_dropped = Some(59 * SECOND);
    assert_eq!(health.provider_state(&losing), HealthState::Degraded);
    losing.last_dropped = Some(60 * SECOND);
    assert_eq!(health.provider_state(&losing), HealthState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn the_worst_comes_first() {
    let (held, failing) = (Memory::new().name("held"), Memory::new().name("failing"));
    held.answer(Outcome::Hold {
        cause: Cause::status(403),
    });
    failing.answer(status(500));
    let engine = attached(&failing)
        .provider(held.clone())
        .spawn()
        .expect("it starts");
    track(&engine, 10);
    turns().await;
    let health = engine.health();
    assert_is(
        &health,
        HealthState::Unhealthy,
        &["held refuses", "failing has failed"],
    );
    let states = health
        .providers
        .iter()
        .map(|lane| health.provider_state(lane));
    let expected = [HealthState::Degraded, HealthState::Unhealthy];
    assert_eq!(states.collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_draining_engine_is_degraded_and_one_that_has_ended_is_stopped() {
    let memory = Memory::new();
    memory.never_answer();
    let engine = attached(&memory).spawn().expect("it starts");
    let monitor = engine.monitor();
    track(&engine, 10);
    turns().await;
    let meanwhile = async {
        turns().await;
        assert_is(&engine.health(), HealthState::Degraded, &["shutting down"]);
    };
    let (report, ()) = tokio::join!(engine.shutdown(3 * SECOND), meanwhile);
    let why = ["shut down; the deadline passed with events left for memory"];
    assert_is(&monitor.health(), HealthState::Stopped, &why);
    assert_eq!(monitor.health().ledger, report.ledger);
    drop(engine);
    assert_is(
        &monitor.health(),
        HealthState::Stopped,
        &["the engine was dropped"],
    );
}

#[test]
fn an_engine_whose_runtime_is_gone_is_stopped_and_says_why() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let engine = runtime.block_on(async { attached(&Memory::new()).spawn().expect("it starts") });
    assert_healthy(&engine);
    drop(runtime);
    let why = ["ended without a shutdown: its runtime"];
    assert_is(&engine.health(), HealthState::Stopped, &why);
}

#[test]
fn an_engine_that_is_switched_off_is_disabled_and_well() {
    let engine = Engine::builder().enabled(false).spawn().expect("it starts");
    assert_is(&engine.health(), HealthState::Disabled, &[]);
    assert!(engine.health().is_healthy());
    assert_eq!(engine.monitor().health().state, HealthState::Disabled);
}

fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn the_names_in_the_json_are_the_documented_ones() {
    let memory = Memory::new();
    memory.answer(status(503));
    let engine = attached(&memory).spawn().expect("it starts");
    let wedged = engine
        .pipeline()
        .expect("it runs")
        .wedge(Victim::Flusher(0));
    track(&engine, 10);
    turns().await;
    pass(BOUND).await;
    let json = serde_json::to_value(engine.health()).expect("it serialises");
    assert_eq!(json["stalled"][0]["stage"], "flusher");
    assert_eq!(json["stalled"][0]["provider"], "memory");
    assert!(json["stalled"][0]["stalled_seconds"].as_f64() > Some(10.0));
    drop(wedged);
    turns().await;
    let json = serde_json::to_value(engine.health()).expect("it serialises");
    assert_eq!(json["state"], "degraded");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["uptime_seconds"].as_f64(), Some(11.0));
    assert_eq!(json["queue"]["ceiling_bytes"], 8 << 20);
    assert_eq!(json["refused"]["full"], 0);
    let provider = &json["providers"][0];
    assert_eq!(provider["name"], "memory");
    assert_eq!(provider["health"], "degraded");
    assert_eq!(provider["state"], "retrying");
    assert_eq!(provider["pending_events"], 10);
    assert_eq!(provider["last_error"], "status 503");
    assert_eq!(provider["last_error_age_seconds"], 0.0);
    assert_eq!(provider["last_success_age_seconds"], Value::Null);
    assert_eq!(provider["oldest_pending_age_seconds"], 11.0);
    assert_eq!(provider["rejected"]["poison"], 0);

    let guide = std::fs::read_to_string("docs/guides/health.md").expect("the guide");
    let all = [
        keys(&json),
        keys(&json["queue"]),
        keys(provider),
        vec!["stalled_seconds"],
    ];
    for key in all.concat() {
        assert!(guide.contains(&format!("`{key}`")), "the guide lacks {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_whose_events_are_all_given_up_is_idle_and_not_for_ever_unhealthy() {
    let memory = Memory::new();
    answer(&memory, 1000, &status(503));
    let engine = attached(&memory)
        .retry(SECOND, SECOND, 5 * SECOND)
        .expect("valid")
        .spawn()
        .expect("it starts");
    track(&engine, 10);
    pass(20 * SECOND).await;
    let why = ["memory lost events"];
    assert_is(&engine.health(), HealthState::Degraded, &why);
    assert_eq!(engine.ledger().providers[0].pending, 0);
    pass(2 * MINUTE).await;
    assert_healthy(&engine);
    assert_eq!(engine.health().providers[0].failing_for, None);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_waits_for_a_refused_client_with_nothing_to_send_is_degraded() {
    let memory = Memory::new();
    let hold = Outcome::Hold {
        cause: Cause::status(401),
    };
    answer(&memory, 1000, &hold);
    let engine = attached(&memory)
        .hold_budget(5 * MINUTE)
        .spawn()
        .expect("it starts");
    track(&engine, 10);
    pass(4 * MINUTE).await;
    let why = ["memory refuses this client"];
    assert_is(&engine.health(), HealthState::Unhealthy, &why);
    pass(4 * MINUTE).await;
    assert_eq!(engine.ledger().providers[0].pending, 0);
    assert_is(&engine.health(), HealthState::Degraded, &why);
}

#[tokio::test(start_paused = true)]
async fn hooks_that_lose_every_event_do_not_pass_for_healthy() {
    let memory = Memory::new();
    let engine = attached(&memory)
        .before_send(|_| panic!("a bug in a hook"))
        .spawn()
        .expect("it starts");
    assert_healthy(&engine);
    track(&engine, 10);
    pass(SECOND).await;
    assert_eq!(engine.ledger().providers[0].dropped.total(), 10);
    assert_is(&engine.health(), HealthState::Degraded, &["hooks panic"]);

    let filter = ProviderOptions::new().filter(|_| panic!("a bug in a filter"));
    let engine = Engine::builder()
        .project("shop")
        .batch_size(10)
        .runtime(tokio::runtime::Handle::current())
        .provider_with(memory.clone(), filter)
        .spawn()
        .expect("it starts");
    track(&engine, 10);
    pass(SECOND).await;
    let why = ["hooks panic", "memory lost events"];
    assert_is(&engine.health(), HealthState::Degraded, &why);

    let engine = attached(&memory)
        .max_buffered_bytes(100_000)
        .before_send(|event| Some(event.with("blob", "b".repeat(200_000))))
        .spawn()
        .expect("it starts");
    track(&engine, 10);
    pass(SECOND).await;
    assert_eq!(engine.ledger().providers[0].dropped.total(), 10);
    assert_is(&engine.health(), HealthState::Degraded, &["full"]);
}
