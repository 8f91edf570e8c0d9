//! Dead letters of a whole engine, under a clock that stands still.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is virtual: a sleep is a step of the schedule"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use productgraph_actors::testing::{Script, Step};
use productgraph_actors::{
    Backoff, BatchLimits, DeadLetterLimits, DeadReason, LaneOptions, Pipeline, RedriveError,
    RejectReason,
};
use tokio::runtime::Handle;

const MINUTE: Duration = Duration::from_secs(60);

/// A provider that refuses everything until it is told to take it.
struct Stubborn {
    script: Script<u64>,
    willing: Arc<AtomicBool>,
}

impl Stubborn {
    fn new(name: &str, refusal: Step) -> Self {
        let willing = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&willing);
        let script = Script::new(name, move |_: &[u64], _| {
            if asked.load(Ordering::SeqCst) {
                Step::After(Duration::from_secs(2), Box::new(Step::Deliver))
            } else {
                refusal.clone()
            }
        });
        Self { script, willing }
    }

    fn give_in(&self) {
        self.willing.store(true, Ordering::SeqCst);
    }
}

fn pipeline(scripts: &[&Script<u64>], limits: DeadLetterLimits) -> Pipeline<u64> {
    let mut options = LaneOptions::default();
    let ms = Duration::from_millis;
    options.backoff = Backoff::new(ms(100), ms(1000), MINUTE).expect("valid");
    let mut builder = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(3, Duration::from_secs(1)))
        .runtime(Handle::current())
        .dead_letters(limits);
    for script in scripts {
        builder = builder.boxed_provider(Box::new(script.provider()), options);
    }
    builder.spawn().expect("spawns")
}

fn ids(pipeline: &Pipeline<u64>) -> Vec<u64> {
    let letters = pipeline.dead_letters();
    letters.iter().map(|letter| *letter.event()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_listed_and_arrives_once_it_is_redriven_and_nobody_else_gets_it_again()
{
    let stubborn = Stubborn::new("stubborn", Step::Final);
    let sound = Script::delivering("sound");
    let pipeline = pipeline(&[&stubborn.script, &sound], DeadLetterLimits::default());
    for n in 0..10 {
        pipeline.sender().try_send(n).expect("room");
    }
    let report = pipeline.flush(MINUTE).await;
    assert!(report.is_settled(), "{report}");
    assert_eq!(ids(&pipeline), (0..10).collect::<Vec<_>>());
    assert_eq!(report.ledger.providers[0].dead_letters, 10, "{report}");
    assert!(report.to_string().contains("; dead letters 10"), "{report}");

    stubborn.give_in();
    let redriven = pipeline
        .redrive(|letter| *letter.event() < 7)
        .expect("open");
    assert_eq!((redriven.moved, redriven.left), (7, 0));
    let report = pipeline.flush(MINUTE).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(stubborn.script.delivered(), (0..7).collect::<Vec<_>>());
    assert_eq!(sound.delivered(), (0..10).collect::<Vec<_>>());
    assert_eq!(ids(&pipeline), [7, 8, 9]);
    let account = &report.ledger.providers[0];
    assert_eq!((account.delivered, account.redriven), (7, 7), "{report}");
    assert_eq!(account.rejected.get(RejectReason::Refused), 10, "{report}");
    assert_eq!(pipeline.bytes_held(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_ran_out_of_its_retry_budget_can_be_redriven_with_a_new_one() {
    let stubborn = Stubborn::new("stubborn", Step::Fail(None));
    let pipeline = pipeline(&[&stubborn.script], DeadLetterLimits::default());
    pipeline.sender().try_send(1).expect("room");
    let report = pipeline.flush(10 * MINUTE).await;
    assert!(report.is_settled(), "{report}");
    let letters = pipeline.dead_letters();
    assert_eq!(letters[0].reason(), DeadReason::Expired);
    assert_eq!(letters[0].cause().kind, "script");
    assert_eq!(u64::from(letters[0].attempts()), stubborn.script.requests());
    assert_eq!(pipeline.redrive(|_| true).map(|it| it.moved), Ok(1));
    let failed = stubborn.script.requests();
    while stubborn.script.requests() == failed {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(pipeline.dead_letters().is_empty(), "it is given time again");
    stubborn.give_in();
    assert!(pipeline.flush(10 * MINUTE).await.is_settled());
    assert_eq!(stubborn.script.delivered(), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_sends_what_is_redriven_without_anything_that_prods_it() {
    let stubborn = Stubborn::new("stubborn", Step::Final);
    let pipeline = pipeline(&[&stubborn.script], DeadLetterLimits::default());
    for n in 0..100 {
        pipeline.sender().try_send(n).expect("room");
    }
    assert!(pipeline.flush(MINUTE).await.is_settled());
    tokio::time::sleep(MINUTE).await;
    stubborn.give_in();
    // more batches than fit the hand-off
    assert_eq!(pipeline.redrive(|_| true).map(|it| it.moved), Ok(100));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(stubborn.script.delivered(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn dead_letters_outlive_the_shutdown_and_are_redriven_no_more() {
    let stubborn = Stubborn::new("stubborn", Step::Final);
    let pipeline = pipeline(&[&stubborn.script], DeadLetterLimits::default());
    for n in 0..5 {
        pipeline.sender().try_send(n).expect("room");
    }
    let report = pipeline.shutdown(MINUTE).await;
    assert!(report.is_settled(), "{report}");
    assert_eq!(report.ledger.providers[0].dead_letters, 5);
    assert_eq!(pipeline.redrive(|_| true), Err(RedriveError::Closed));
    let taken = pipeline.take_dead_letters(|letter| *letter.event() > 1);
    assert_eq!(taken.len(), 3);
    assert_eq!(ids(&pipeline), [0, 1]);
    let stats = pipeline.dead_letter_stats();
    assert_eq!((stats.kept, stats.taken), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_right_after_a_redrive_delivers_it_or_counts_it() {
    for (timeout, delivered) in [(MINUTE, 20), (Duration::ZERO, 0)] {
        let stubborn = Stubborn::new("stubborn", Step::Final);
        let pipeline = pipeline(&[&stubborn.script], DeadLetterLimits::default());
        for n in 0..20 {
            pipeline.sender().try_send(n).expect("room");
        }
        assert!(pipeline.flush(MINUTE).await.is_settled());
        stubborn.give_in();
        assert_eq!(pipeline.redrive(|_| true).map(|it| it.moved), Ok(20));
        let report = pipeline.shutdown(timeout).await;
        let account = &report.ledger.providers[0];
        assert!(report.ledger.balances(), "{report}");
        assert_eq!(account.delivered, delivered, "{report}");
        assert_eq!(account.dropped.total(), 20 - delivered, "{report}");
        assert_eq!((account.redriven, account.pending), (20, 0), "{report}");
        assert_eq!(pipeline.bytes_held(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_keeps_none_only_counts() {
    let stubborn = Stubborn::new("stubborn", Step::Final);
    let pipeline = pipeline(&[&stubborn.script], DeadLetterLimits::off());
    pipeline.sender().try_send(1).expect("room");
    let report = pipeline.flush(MINUTE).await;
    assert_eq!(report.ledger.providers[0].rejected.total(), 1, "{report}");
    assert!(pipeline.dead_letters().is_empty());
    assert_eq!(
        pipeline.dead_letter_stats(),
        productgraph_actors::DeadLetterStats::default()
    );
    assert_eq!(pipeline.redrive(|_| true).map(|it| it.moved), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_engine_lets_its_letters_go_even_while_a_sender_remains() {
    let event = Arc::new(());
    let script = Script::new("refusing", |_: &[Arc<()>], _| Step::Final);
    let pipeline = Pipeline::builder(|_: &Arc<()>| 8)
        .runtime(Handle::current())
        .dead_letters(DeadLetterLimits::default())
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    let sender = pipeline.sender();
    sender.try_send(Arc::clone(&event)).expect("room");
    assert!(pipeline.flush(MINUTE).await.is_settled());
    assert_eq!(pipeline.dead_letters().len(), 1);
    // this one, the script's record of it, and the letter
    assert_eq!(Arc::strong_count(&event), 3);
    drop(pipeline);
    assert_eq!(Arc::strong_count(&event), 2);
    drop(sender);
}
