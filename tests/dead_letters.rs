//! What a destination refused for good: listed, told of, put back, over real sockets.

mod engine_support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use engine_support::faulty::{engine_of, track};
use engine_support::{
    BOUND, account, assert_final, assert_holds_once, builder, collector, id_of, ids_of, in_time,
    numbered, provider, until,
};
use productgraph::providers::Memory;
use productgraph::{
    Config, DeadLetter, DeadLetterLimits, DeadLetterStats, DeadReason, Engine, EngineBuilder,
    Event, Handle, Outcome, RedriveError, Redriven, RejectReason,
};
use productgraph_collector::Collector;

const BAD: [usize; 3] = [4, 5, 19];

fn refusing(events: &[usize]) -> Collector {
    let collector = collector();
    for n in events {
        collector.faults().reject(id_of(*n), "session.id: required");
    }
    collector
}

fn ids(letters: &[DeadLetter]) -> Vec<String> {
    let id = |letter: &DeadLetter| letter.event().id().expect("stamped").to_string();
    letters.iter().map(id).collect()
}

#[tokio::test]
async fn what_was_refused_is_listed_and_arrives_once_the_destination_takes_it() {
    let (faulty, sound) = (refusing(&BAD), collector());
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    let start = SystemTime::now();
    track(&engine, 0..20);
    assert!(in_time(engine.flush(BOUND)).await.is_settled());
    let letters = engine.dead_letters();
    assert_eq!(ids(&letters), BAD.map(id_of));
    for letter in &letters {
        assert_eq!(letter.provider(), "faulty");
        assert_eq!(letter.reason(), DeadReason::Rejected(RejectReason::Invalid));
        assert_eq!(letter.cause().kind, "refused by index");
        assert_eq!(letter.attempts(), 1);
        assert!(letter.at() >= start);
    }

    faulty.faults().clear();
    let redriven = engine.redrive(|letter| letter.provider() == "faulty");
    assert_eq!(redriven.map(|it| (it.moved, it.left)), Ok((3, 0)));
    let report = in_time(engine.flush(BOUND)).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_holds_once(&faulty, &ids_of(0..20));
    assert_holds_once(&sound, &ids_of(0..20));
    assert_eq!(account(&report.ledger, "faulty").redriven, 3, "{report}");
    assert!(engine.dead_letters().is_empty());
    // the same events: times and sequence numbers are those of `track`
    let times = |collector: &Collector| -> BTreeMap<String, String> {
        let known = collector.events().into_iter();
        known
            .map(|event| {
                let identity = [&event["event.timestamp"], &event["event.sequence"]];
                (event["event_id"].to_string(), format!("{identity:?}"))
            })
            .collect()
    };
    assert_eq!(times(&faulty), times(&sound));
    assert_final(&in_time(engine.shutdown(BOUND)).await);
}

#[tokio::test]
async fn dead_letters_are_listed_after_the_shutdown_and_moved_no_more() {
    let (faulty, sound) = (refusing(&BAD), collector());
    let engine = engine_of(provider(&faulty, "faulty"), &sound);
    track(&engine, 0..20);
    let report = in_time(engine.shutdown(BOUND)).await;
    assert_final(&report);
    assert_eq!(
        account(&report.ledger, "faulty").dead_letters,
        3,
        "{report}"
    );
    assert!(report.to_string().contains("; dead letters 3"), "{report}");
    assert_eq!(engine.redrive(|_| true), Err(RedriveError::Closed));
    assert_eq!(ids(&engine.dead_letters()), BAD.map(id_of));
    let taken = engine.take_dead_letters(|letter| letter.number() > 1);
    assert_eq!((taken.len(), engine.dead_letter_stats().kept), (2, 1));
}

#[tokio::test]
async fn how_many_are_kept_is_a_setting_and_zero_is_none() {
    for (events, kept, evicted) in [("2", 2, 1), ("0", 0, 0)] {
        let faulty = refusing(&BAD);
        let config = Config::from_lookup(|name| match name {
            "PRODUCTGRAPH_PROJECT_ID" => Some("shop".to_owned()),
            "PRODUCTGRAPH_ENDPOINT" => Some(faulty.endpoint()),
            "PRODUCTGRAPH_DEAD_LETTERS" => Some(events.to_owned()),
            _ => None,
        });
        let engine = Engine::from_config(&config.expect("valid")).expect("it starts");
        track(&engine, 0..20);
        let report = in_time(engine.flush(BOUND)).await;
        assert_eq!(report.ledger.providers[0].rejected.total(), 3, "{report}");
        let letters = engine.dead_letters();
        assert_eq!(
            ids(&letters),
            BAD[3 - kept..]
                .iter()
                .map(|n| id_of(*n))
                .collect::<Vec<_>>()
        );
        assert_eq!(engine.dead_letter_stats().evicted, evicted);
    }
}

#[tokio::test]
async fn a_dead_letter_shows_nothing_of_the_content_of_its_event() {
    let memory = Memory::new();
    memory.answer(Outcome::Final {
        reason: RejectReason::Refused,
        cause: productgraph::Cause::status(422),
    });
    let engine = builder().provider(memory).spawn().expect("it starts");
    engine.handle().track(numbered(7).with("card", "4111-1111"));
    assert!(in_time(engine.flush(BOUND)).await.is_settled());
    let letters = engine.dead_letters();
    let shown = format!("{letters:?} {letters:#?}");
    for part in ["DeadLetter", "memory", "Refused", "422", &id_of(7)] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(
        !shown.contains("card") && !shown.contains("4111"),
        "{shown}"
    );
}

#[test]
fn a_disabled_engine_has_no_dead_letters() {
    let engine = Engine::builder().enabled(false).spawn().expect("it starts");
    assert!(engine.dead_letters().is_empty());
    assert!(engine.take_dead_letters(|_| true).is_empty());
    assert_eq!(engine.dead_letter_stats(), DeadLetterStats::default());
    assert_eq!(engine.redrive(|_| true), Ok(Redriven::default()));
}

/// An engine whose only destination refuses everything, and a hook that is given its handle.
struct Hooked {
    engine: Engine,
    calls: Arc<AtomicUsize>,
}

impl Hooked {
    fn new(hook: impl Fn(&DeadLetter, &Handle) + Send + Sync + 'static) -> Self {
        Self::of(builder(), hook)
    }

    fn of(
        builder: EngineBuilder,
        hook: impl Fn(&DeadLetter, &Handle) + Send + Sync + 'static,
    ) -> Self {
        let refused = |_| Outcome::Final {
            reason: RejectReason::Refused,
            cause: productgraph::Cause::status(422),
        };
        let memory = Memory::new();
        (0..1000)
            .map(refused)
            .for_each(|answer| memory.answer(answer));
        let (calls, own) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::new()));
        let (count, handle) = (Arc::clone(&calls), Arc::clone(&own));
        let engine = builder
            .provider(memory)
            .on_dead_letter(move |letter| {
                count.fetch_add(1, Ordering::SeqCst);
                hook(
                    letter,
                    handle.get().expect("set before anything is tracked"),
                );
            })
            .spawn()
            .expect("it starts");
        own.set(engine.handle()).expect("once");
        Self { engine, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Shuts down; how often the hook was called in all.
    async fn end(self) -> usize {
        let report = in_time(self.engine.shutdown(BOUND)).await;
        assert_final(&report);
        // the thread lets the hook go once it has called it for the last time
        until(|| Arc::strong_count(&self.calls) == 1).await;
        self.calls()
    }
}

#[tokio::test]
async fn a_hook_that_tracks_is_not_called_for_what_it_tracked() {
    type Tracks = fn(&DeadLetter, &Handle);
    let ways: [(&str, Tracks); 3] = [
        ("an event of its own", |_, handle| {
            handle.track(Event::custom("letter.died"));
        }),
        ("the very event again", |letter, handle| {
            handle.track(letter.event().clone());
        }),
        ("within the request of the dead one", |letter, handle| {
            let correlation = letter.event().correlation().expect("stamped");
            correlation.enter(|| handle.track(Event::custom("letter.died")));
        }),
    ];
    for (what, hook) in ways {
        let hooked = Hooked::new(hook);
        track(&hooked.engine, 0..5);
        assert!(in_time(hooked.engine.flush(BOUND)).await.is_settled());
        until(|| hooked.calls() == 5).await;
        until(|| hooked.engine.ledger().accepted == 10).await;
        // what the hook tracked dies as well, and is kept
        for _ in 0..3 {
            assert!(in_time(hooked.engine.flush(BOUND)).await.is_settled());
            assert_eq!(hooked.engine.dead_letters().len(), 10, "{what}");
        }
        assert_eq!(hooked.end().await, 5, "{what}");
    }
}

#[tokio::test]
async fn what_a_hook_tracks_arrives_where_it_is_taken() {
    let memory = Memory::new().name("sound");
    let hooked = Hooked::of(builder().provider(memory.clone()), |letter, handle| {
        handle.track(Event::custom("letter.died").with("provider", letter.provider().to_owned()));
    });
    track(&hooked.engine, 0..1);
    assert!(in_time(hooked.engine.flush(BOUND)).await.is_settled());
    until(|| hooked.engine.ledger().accepted == 2).await;
    assert!(in_time(hooked.engine.flush(BOUND)).await.is_settled());
    let delivered = memory.delivered();
    assert_eq!(delivered[1]["event.name"], "letter.died");
    assert_eq!(delivered[1]["metadata"]["provider"], "memory");
    // tracked on another thread than the hook's it would be told of
    hooked.engine.handle().track(Event::custom("letter.died"));
    assert!(in_time(hooked.engine.flush(BOUND)).await.is_settled());
    assert_eq!(hooked.end().await, 2);
}

#[tokio::test]
async fn a_hook_of_an_engine_that_keeps_none_is_never_called() {
    let off = builder().dead_letters(DeadLetterLimits::off());
    let hooked = Hooked::of(off, |_, _| {});
    track(&hooked.engine, 0..5);
    assert!(in_time(hooked.engine.flush(BOUND)).await.is_settled());
    assert!(hooked.engine.dead_letters().is_empty());
    assert_eq!(hooked.end().await, 0);
}
