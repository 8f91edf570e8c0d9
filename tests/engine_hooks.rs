//! What the application does with events on their way: hooks, redaction, and what each provider gets.

mod engine_support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, mpsc};
use std::time::Duration;

use engine_support::{BOUND, account, in_time, numbered, text};
use productgraph::correlation::{Correlation, SessionId, SessionSource};
use productgraph::event::EventId;
use productgraph::providers::Memory;
use productgraph::{
    Config, Consent, ConsentPolicy, DropReason, Engine, EngineBuilder, Event, FilterReason, Handle,
    LaneOptions, OnHookPanic, ProviderOptions, Redaction, RedactionMode, RefuseReason, Report,
    Sampling, TrackError,
};
use tokio::runtime::Handle as Runtime;

const SECOND: Duration = Duration::from_secs(1);

/// Under the paused clock of the test.
fn attached() -> EngineBuilder {
    Engine::builder()
        .project("shop")
        .runtime(Runtime::current())
}

async fn ended(engine: &Engine) -> Report {
    let report = in_time(engine.shutdown(10 * SECOND)).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    report
}

fn ids(range: impl IntoIterator<Item = usize>) -> Vec<String> {
    range.into_iter().map(engine_support::id_of).collect()
}

fn n(event: &Event) -> usize {
    let id = event.id().map(EventId::to_string).unwrap_or_default();
    id.trim_start_matches("e-").parse().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_and_what_one_filters_the_next_does_not_see() {
    let memory = Memory::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let second = Arc::clone(&seen);
    let engine = attached()
        .before_send(|event| (!n(&event).is_multiple_of(3)).then(|| event.with("order", "first")))
        .before_send(move |event| {
            second.fetch_add(1, Ordering::SeqCst);
            let before = event.metadata().and_then(|all| all.get("order")).is_some();
            Some(event.with("order", if before { "second" } else { "wrong" }))
        })
        .provider(memory.clone())
        .spawn()
        .expect("it starts");
    (0..300).for_each(|n| engine.handle().track(numbered(n)));
    let report = ended(&engine).await;
    assert!(report.ledger.is_clean(), "{report}");
    let account = account(&report.ledger, "memory");
    assert_eq!(account.filtered.get(FilterReason::BeforeSend), 100);
    assert_eq!(account.delivered, 200);
    assert_eq!(seen.load(Ordering::SeqCst), 200);
    assert_eq!(memory.delivered_ids(), ids((0..300).filter(|n| n % 3 > 0)));
    let all_second = |event: &serde_json::Value| event["metadata"]["order"] == "second";
    assert!(memory.delivered().iter().all(all_second));
    assert_eq!(engine.stats().hook_panics, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_unredacted_whatever_a_hook_adds() {
    let (default, none) = (Memory::new(), Memory::new());
    for (redaction, memory) in [(None, &default), (Some(Redaction::none()), &none)] {
        let mut builder = attached()
            .before_send(|event| Some(event.with("password", "hunter2")))
            .provider(memory.clone());
        if let Some(redaction) = redaction {
            builder = builder.redaction(redaction);
        }
        let engine = builder.spawn().expect("it starts");
        engine.handle().track(numbered(0));
        ended(&engine).await;
    }
    assert_ne!(default.delivered()[0]["metadata"]["password"], "hunter2");
    assert_eq!(none.delivered()[0]["metadata"]["password"], "hunter2");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_a_hook_puts_in_the_place_of_another_is_known_by_its_name() {
    let memory = Memory::new();
    let engine = attached()
        .before_send(|_| Some(Event::custom("replaced")))
        .provider(memory.clone())
        .spawn()
        .expect("it starts");
    let session = SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f").expect("an id");
    let correlation = Correlation::builder()
        .session(session.clone(), SessionSource::Adopted)
        .build();
    correlation.enter(|| engine.handle().track(numbered(7)));
    // who did not agree does not by way of another event
    engine
        .handle()
        .track(numbered(8).with_consent(Consent::Denied));
    let report = ended(&engine).await;
    let filtered = &account(&report.ledger, "memory").filtered;
    assert_eq!(filtered.get(FilterReason::Consent), 1, "{report}");
    let [replaced] = &memory.delivered()[..] else {
        panic!("{report}");
    };
    assert_eq!(text(replaced, "event.name"), "replaced");
    assert_eq!(text(replaced, "event_id"), engine_support::id_of(7));
    assert_eq!(text(replaced, "session.id"), session.text().as_str());
    assert!(!text(replaced, "event.timestamp").is_empty());
    assert!(replaced["event.sequence"].is_number());
}

/// Keeps the panics that the tests ask for out of their output.
fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<&str>();
            if !text.is_some_and(|text| text.ends_with("that panics")) {
                usual(panic);
            }
        }));
    });
}

/// Panics on every tenth event, after it has changed it.
fn clumsy(event: Event) -> Event {
    let n = n(&event);
    let event = event.with("touched", true);
    assert!(n % 10 != 4, "a hook that panics");
    event
}

#[tokio::test(start_paused = true)]
async fn an_event_on_which_a_hook_panics_is_dropped_unless_told_otherwise() {
    expect_panics();
    let memory = Memory::new();
    let engine = attached()
        .before_send(|event| Some(clumsy(event)))
        .provider(memory.clone())
        .spawn()
        .expect("it starts");
    (0..100).for_each(|n| engine.handle().track(numbered(n)));
    let report = ended(&engine).await;
    let account = account(&report.ledger, "memory");
    assert_eq!(account.dropped.get(DropReason::HookPanicked), 10);
    assert_eq!(
        memory.delivered_ids(),
        ids((0..100).filter(|n| n % 10 != 4))
    );
    assert_eq!(engine.stats().hook_panics, 10);
}

#[tokio::test(start_paused = true)]
async fn when_told_to_keep_it_an_event_goes_on_as_it_was_before_the_hook_and_is_redacted() {
    expect_panics();
    let memory = Memory::new();
    let engine = attached()
        .on_hook_panic(OnHookPanic::Keep)
        .before_send(|event| Some(event.with("first", true)))
        .before_send(|event| Some(clumsy(event)))
        .before_send(|event| Some(event.with("last", true)))
        .provider(memory.clone())
        .spawn()
        .expect("it starts");
    for n in 0..100 {
        engine
            .handle()
            .track(numbered(n).with("password", "hunter2"));
    }
    let report = ended(&engine).await;
    assert!(report.ledger.is_clean(), "{report}");
    assert_eq!(memory.delivered_ids(), ids(0..100));
    for (n, event) in memory.delivered().iter().enumerate() {
        let metadata = &event["metadata"];
        assert_eq!(metadata["touched"].is_boolean(), n % 10 != 4, "{event}");
        assert!(metadata["first"].is_boolean() && metadata["last"].is_boolean());
        assert_ne!(metadata["password"], "hunter2");
    }
    assert_eq!(engine.stats().hook_panics, 10);
}

#[test]
fn a_hook_needs_no_runtime_and_runs_on_a_thread_of_the_engine() {
    let (told, thread) = mpsc::channel();
    let memory = Memory::new();
    let engine = Engine::builder()
        .project("shop")
        .before_send(move |event| {
            // nobody may be listening any more
            let _ = told.send(std::thread::current().id());
            Some(event)
        })
        .provider(memory.clone())
        .spawn()
        .expect("it starts");
    engine.handle().track(numbered(0));
    let report = engine.shutdown_blocking(BOUND);
    assert!(report.ledger.is_clean(), "{report}");
    let ran_on = thread.recv().expect("it ran");
    assert_ne!(ran_on, std::thread::current().id());
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_tracks_is_refused_and_counted_and_neither_loops_nor_waits() {
    let memory = Memory::new();
    let own = Arc::new(OnceLock::<Handle>::new());
    let handle = Arc::clone(&own);
    let engine = attached()
        .queue_capacity(4)
        .before_send(move |event| {
            let handle = handle.get().expect("set before anything is tracked");
            handle.track(Event::custom("from inside"));
            handle.track_error("Hook", "from inside");
            let refused = handle.try_track(Event::custom("from inside"));
            assert!(matches!(refused, Err(TrackError::InHook(_))), "{refused:?}");
            // its first poll answers: nothing is waited for
            let waiting = std::pin::pin!(handle.track_wait(Event::custom("from inside")));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(waiting.poll(&mut context).is_ready());
            Some(event)
        })
        .provider(memory.clone())
        .spawn()
        .expect("it starts");
    own.set(engine.handle()).expect("once");
    (0..4).for_each(|n| engine.handle().track(numbered(n)));
    let report = ended(&engine).await;
    assert_eq!(engine.stats().hook_panics, 0);
    assert_eq!(memory.delivered_ids(), ids(0..4));
    assert_eq!(report.ledger.refused.get(RefuseReason::InHook), 16);
    assert_eq!(report.ledger.accepted, 4);
}

#[cfg(feature = "opentelemetry")]
#[tokio::test(start_paused = true)]
async fn hooks_and_filters_run_with_telemetry_suppressed() {
    use opentelemetry::Context;

    let seen = Arc::new(Mutex::new(Vec::new()));
    let (hook, filter) = (Arc::clone(&seen), Arc::clone(&seen));
    let note = |seen: &Mutex<Vec<bool>>| {
        let suppressed = Context::is_current_telemetry_suppressed();
        seen.lock().expect("no panic").push(suppressed);
    };
    let options = ProviderOptions::new().filter(move |_| {
        note(&filter);
        true
    });
    let engine = attached()
        .before_send(move |event| {
            note(&hook);
            Some(event)
        })
        .provider_with(Memory::new(), options)
        .spawn()
        .expect("it starts");
    engine.handle().track(numbered(0));
    assert!(ended(&engine).await.ledger.is_clean());
    assert_eq!(*seen.lock().expect("no panic"), [true, true]);
    assert!(!Context::is_current_telemetry_suppressed());
}

/// An event of session `n`, of which there are many.
fn of_session(n: usize) -> Event {
    let session = SessionId::parse(&format!("0193b3f0-0000-7000-8000-{n:012}")).expect("an id");
    numbered(n).with_session(session)
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_needs_consent_gets_what_was_agreed_to_and_another_everything() {
    let (all, agreed, usual) = (Memory::new(), Memory::new(), Memory::new());
    let with = |policy| ProviderOptions::new().consent(policy);
    let engine = attached()
        .provider_with(all.clone().name("all"), with(ConsentPolicy::Ignore))
        .provider_with(agreed.clone().name("agreed"), with(ConsentPolicy::OptIn))
        .provider(usual.clone().name("usual"))
        .spawn()
        .expect("it starts");
    for n in 0..90 {
        engine.handle().track(match n % 3 {
            0 => numbered(n),
            1 => numbered(n).with_consent(Consent::Granted),
            _ => numbered(n).with_consent(Consent::Denied),
        });
    }
    let report = ended(&engine).await;
    assert!(report.ledger.is_clean(), "{report}");
    assert_eq!(all.delivered_ids(), ids(0..90));
    assert_eq!(agreed.delivered_ids(), ids((0..90).filter(|n| n % 3 == 1)));
    assert_eq!(usual.delivered_ids(), ids((0..90).filter(|n| n % 3 < 2)));
    for (name, filtered) in [("all", 0), ("agreed", 60), ("usual", 30)] {
        let account = account(&report.ledger, name);
        assert_eq!(
            account.filtered.get(FilterReason::Consent),
            filtered,
            "{report}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_gets_its_share_of_the_sessions_and_another_everything() {
    let half = Sampling::sessions(0.5).expect("a share");
    let (all, some) = (Memory::new(), Memory::new());
    let engine = attached()
        .sampling(half)
        .provider_with(
            all.clone().name("all"),
            ProviderOptions::new().sampling(Sampling::all()),
        )
        .provider(some.clone().name("some"))
        .spawn()
        .expect("it starts");
    (0..1000).for_each(|n| engine.handle().track(of_session(n)));
    let report = ended(&engine).await;
    assert!(report.ledger.is_clean(), "{report}");
    assert_eq!(all.delivered_ids(), ids(0..1000));
    let expected: Vec<_> = (0..1000).filter(|n| half.keeps(&of_session(*n))).collect();
    assert!((350..650).contains(&expected.len()), "{}", expected.len());
    let account = account(&report.ledger, "some");
    assert_eq!(
        account.filtered.get(FilterReason::Sampled),
        1000 - expected.len() as u64
    );
    assert_eq!(some.delivered_ids(), ids(expected));
}

#[tokio::test(start_paused = true)]
async fn a_filter_of_ones_own_is_for_one_provider_and_its_panics_follow_the_policy() {
    expect_panics();
    for policy in [OnHookPanic::Drop, OnHookPanic::Keep] {
        let (all, odd) = (Memory::new(), Memory::new());
        let filter = |event: &Event| {
            assert!(n(event) != 50, "a filter that panics");
            n(event) % 2 == 1
        };
        let mut lane = LaneOptions::default();
        lane.concurrency = 1;
        let engine = attached()
            .on_hook_panic(policy)
            .provider_with(all.clone().name("all"), lane)
            .provider_with(
                odd.clone().name("odd"),
                ProviderOptions::from(lane).filter(filter),
            )
            .spawn()
            .expect("it starts");
        (0..100).for_each(|n| engine.handle().track(numbered(n)));
        let report = ended(&engine).await;
        let kept = policy == OnHookPanic::Keep;
        assert_eq!(report.ledger.is_clean(), kept, "{report}");
        assert_eq!(all.delivered_ids(), ids(0..100));
        let expected = (0..100).filter(|n| n % 2 == 1 || (*n == 50 && kept));
        assert_eq!(odd.delivered_ids(), ids(expected));
        let account = account(&report.ledger, "odd");
        assert_eq!(
            account.filtered.get(FilterReason::BeforeSend),
            49,
            "{report}"
        );
        assert_eq!(
            account.dropped.get(DropReason::HookPanicked),
            u64::from(!kept)
        );
        assert_eq!(engine.stats().hook_panics, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_panics_costs_its_text_and_is_counted() {
    expect_panics();
    let memory = Memory::new();
    let pattern = |text: &str| {
        assert!(!text.contains("boom"), "a hook that panics");
        None
    };
    let engine = attached()
        .redaction(Redaction::default().pattern("clumsy", pattern))
        .provider(memory.clone())
        .spawn()
        .expect("it starts");
    engine.handle().track(numbered(0).with("note", "boom"));
    engine.handle().track(numbered(1).with("note", "calm"));
    assert!(ended(&engine).await.ledger.is_clean());
    assert_eq!(memory.delivered()[0]["metadata"]["note"], "[redacted]");
    assert_eq!(memory.delivered()[1]["metadata"]["note"], "calm");
    assert!(engine.stats().hook_panics > 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_objects_by_its_header_goes_where_that_is_no_objection() {
    let (asks, usual) = (Memory::new(), Memory::new());
    let policy = ProviderOptions::new().consent(ConsentPolicy::GlobalPrivacyControl);
    let engine = attached()
        .provider_with(asks.clone().name("asks"), policy)
        .provider(usual.clone().name("usual"))
        .spawn()
        .expect("it starts");
    let objects = Correlation::builder().privacy_control(true).build();
    objects.enter(|| engine.handle().track(numbered(0)));
    engine.handle().track(numbered(1));
    let report = ended(&engine).await;
    assert_eq!(asks.delivered_ids(), ids([1]), "{report}");
    assert_eq!(usual.delivered_ids(), ids([0, 1]), "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_a_configuration_says_holds_for_every_provider_that_does_not_say_it_itself() {
    let (own, usual) = (Memory::new(), Memory::new());
    let mut config = Config::default();
    config.consent = ConsentPolicy::OptIn;
    config.sample_rate = 0.0;
    config.redaction = RedactionMode::Off;
    let all = ProviderOptions::new()
        .consent(ConsentPolicy::Ignore)
        .sampling(Sampling::all());
    let engine = EngineBuilder::from_config(&config)
        .expect("a valid configuration")
        .project("shop")
        .runtime(Runtime::current())
        .provider_with(own.clone().name("own"), all)
        .provider(usual.clone().name("usual"))
        .spawn()
        .expect("it starts");
    engine
        .handle()
        .track(numbered(0).with("password", "hunter2"));
    engine
        .handle()
        .track(numbered(1).with_consent(Consent::Granted));
    let report = ended(&engine).await;
    assert_eq!(own.delivered_ids(), ids([0, 1]), "{report}");
    assert_eq!(own.delivered()[0]["metadata"]["password"], "hunter2");
    let filtered = &account(&report.ledger, "usual").filtered;
    let by = |reason| filtered.get(reason);
    assert_eq!(
        (by(FilterReason::Consent), by(FilterReason::Sampled)),
        (1, 1)
    );
}
