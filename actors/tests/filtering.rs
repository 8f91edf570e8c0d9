//! Filters for single providers, and screen and filters together on random schedules.

#![expect(
    clippy::disallowed_methods,
    reason = "the clock is virtual: a sleep is a step of the schedule"
)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::{Door, block_on, eventually, expect_panics};
use productgraph_actors::testing::{Script, Step, Victim};
use productgraph_actors::{
    BatchLimits, DropReason, FilterReason, HookPanics, LaneOptions, Pipeline, PipelineBuilder,
    Screened,
};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use tokio::runtime::{Builder, Handle};

const SECOND: Duration = Duration::from_secs(1);
const BOUND: Duration = Duration::from_secs(20);

fn builder() -> PipelineBuilder<u64> {
    Pipeline::builder(|_: &u64| 8).batch(BatchLimits::new(10, 5 * SECOND))
}

/// Under the paused clock of the test.
fn attached() -> PipelineBuilder<u64> {
    builder().runtime(Handle::current())
}

fn send_all(pipeline: &Pipeline<u64>, events: std::ops::Range<u64>) {
    let sender = pipeline.sender();
    for n in events {
        sender.try_send(n).expect("there is room");
    }
}

#[tokio::test(start_paused = true)]
async fn one_provider_gets_everything_and_the_other_what_its_filter_lets_through() {
    let (all, odd) = (Script::delivering("all"), Script::delivering("odd"));
    let filter = |event: &u64| event.is_multiple_of(2).then_some(FilterReason::Consent);
    let pipeline = attached()
        .provider(all.provider())
        .filtered_provider(Box::new(odd.provider()), LaneOptions::default(), filter)
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..999);
    let report = pipeline.shutdown(SECOND).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(all.delivered(), (0..999).collect::<Vec<_>>());
    let expected: Vec<_> = (0..999).filter(|event| event % 2 == 1).collect();
    assert_eq!(odd.delivered(), expected);
    let [all, odd] = &report.ledger.providers[..] else {
        panic!("{report}");
    };
    assert_eq!(
        (
            all.filtered.total(),
            odd.filtered.get(FilterReason::Consent)
        ),
        (0, 500)
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_a_lane_wants_nothing_is_held_by_nobody() {
    let stuck = Script::new("stuck", |_, _| Step::Hang);
    let filter = |event: &u64| (*event >= 10).then_some(FilterReason::Sampled);
    let pipeline = attached()
        .provider(Script::delivering("sink").provider())
        .filtered_provider(Box::new(stuck.provider()), LaneOptions::default(), filter)
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..5000);
    tokio::time::sleep(SECOND).await;
    // the first batch waits for the stuck provider; all others are gone
    assert_eq!(pipeline.bytes_held(), 80);
    let ledger = pipeline.ledger();
    assert_eq!(
        ledger.providers[1].filtered.get(FilterReason::Sampled),
        4990
    );
    assert!(
        ledger.balances() && ledger.providers[1].pending == 10,
        "{ledger}"
    );
    drop(pipeline);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_filter_costs_its_provider_that_event_and_nobody_else_anything() {
    expect_panics();
    let (all, picky) = (Script::delivering("all"), Script::delivering("picky"));
    let panics = HookPanics::new();
    let pipeline = attached()
        .hook_panics(panics.clone())
        .provider(all.provider())
        .filtered_provider(
            Box::new(picky.provider()),
            LaneOptions::default(),
            |event| {
                assert!(event % 5 != 0, "panic of the script");
                None
            },
        )
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..100);
    let report = pipeline.shutdown(SECOND).await;
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(report.ledger.providers[0].delivered, 100);
    let picky = &report.ledger.providers[1];
    assert_eq!(
        (picky.delivered, picky.dropped.get(DropReason::HookPanicked)),
        (80, 20)
    );
    assert_eq!((panics.count(), pipeline.hook_panics()), (20, 20));
    assert_eq!(pipeline.restarts(), 0);
}

#[test]
fn a_filter_that_does_not_return_holds_up_no_shutdown() {
    let door = Door::default();
    let (entered, inside) = mpsc::channel();
    let (pass, script) = (door.clone(), Script::delivering("sink"));
    let pipeline = builder()
        .filtered_provider(
            Box::new(script.provider()),
            LaneOptions::default(),
            move |_| {
                // the test may be over
                let _ = entered.send(());
                pass.pass();
                None
            },
        )
        .spawn()
        .expect("spawns");
    send_all(&pipeline, 0..35);
    inside.recv_timeout(BOUND).expect("the filter runs");
    let ledger = pipeline.ledger();
    assert!(
        ledger.balances() && ledger.providers[0].pending == 35,
        "{ledger}"
    );
    let report = block_on(pipeline.shutdown(Duration::from_millis(50)));
    assert!(
        report.elapsed < BOUND && report.ledger.balances(),
        "{report}"
    );
    assert_eq!(
        report.ledger.providers[0].dropped.get(DropReason::Deadline),
        35
    );
    door.open();
    eventually("the bytes come back", || pipeline.bytes_held() == 0);
    assert_eq!(pipeline.ledger().providers, report.ledger.providers);
    assert_eq!(script.requests(), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Send(u64),
    Wait(u64),
    Flush,
    Crash(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1u64..150).prop_map(Op::Send),
        2 => (0u64..6000).prop_map(Op::Wait),
        1 => Just(Op::Flush),
        1 => any::<bool>().prop_map(Op::Crash),
    ]
}

/// What hooks do with an event, and what a provider that lets through `modulus` gets of it.
fn screened(event: u64) -> Screened<u64> {
    match event % 11 {
        3 => Screened::Filter(FilterReason::BeforeSend),
        4 => Screened::Drop(DropReason::Expired),
        5 => panic!("panic of the script"),
        _ => Screened::Keep(event),
    }
}

fn filtered(event: u64, modulus: u64) -> Option<FilterReason> {
    match event % modulus {
        1 => Some(FilterReason::Sampled),
        2 => panic!("panic of the script"),
        _ => None,
    }
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::with_cases(150);
    config.rng_seed = RngSeed::Fixed(3);
    let seeds = FileFailurePersistence::Direct("tests/filtering.proptest-regressions");
    config.failure_persistence = Some(Box::new(seeds));
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_hooks_do_every_event_is_in_exactly_one_count_after_every_step(
        ops in prop::collection::vec(op(), 1..20),
        moduli in prop::collection::vec(prop::option::of(3u64..9), 1..4),
        capacity in 1usize..200,
        deadline in 0u64..20_000,
    ) {
        expect_panics();
        fastrand::seed(7);
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let scripts: Vec<_> = (0..moduli.len())
                .map(|n| Script::new(&format!("lane-{n}"), |_: &[u64], n| match n % 3 {
                    1 => Step::Fail(None),
                    _ => Step::After(Duration::from_millis(n % 90), Box::new(Step::Deliver)),
                }))
                .collect();
            let mut builder = attached().queue_capacity(capacity).screen(screened);
            for (script, modulus) in scripts.iter().zip(&moduli) {
                let provider = Box::new(script.provider());
                builder = match *modulus {
                    Some(modulus) => {
                        let filter = move |event: &u64| filtered(*event, modulus);
                        builder.filtered_provider(provider, LaneOptions::default(), filter)
                    }
                    None => builder.boxed_provider(provider, LaneOptions::default()),
                };
            }
            let pipeline = builder.spawn().expect("spawns");
            let sender = pipeline.sender();
            let sent = AtomicU64::new(0);
            let check = || {
                let ledger = pipeline.ledger();
                assert!(ledger.balances(), "{ledger}");
                for (n, provider) in ledger.providers.iter().enumerate() {
                    assert_eq!(pipeline.audit(n), provider.pending, "{ledger}");
                }
            };
            let mut accepted = Vec::new();
            for op in ops {
                match op {
                    Op::Send(events) => for _ in 0..events {
                        let event = sent.fetch_add(1, Ordering::Relaxed);
                        if sender.try_send(event).is_ok() {
                            accepted.push(event);
                        }
                    },
                    Op::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                    Op::Flush => {
                        let report = pipeline.flush(600 * SECOND).await;
                        assert!(report.is_settled(), "{report}");
                    }
                    Op::Crash(true) => pipeline.crash(Victim::Buffer),
                    Op::Crash(false) => pipeline.crash(Victim::FanOut),
                }
                for _ in 0..30 {
                    check();
                    tokio::task::yield_now().await;
                }
            }
            let report = pipeline.shutdown(Duration::from_millis(deadline)).await;
            check();
            assert_eq!(pipeline.bytes_held(), 0);
            if !report.is_settled() {
                return;
            }
            for (script, modulus) in scripts.iter().zip(&moduli) {
                let passes = |event: &u64| !matches!(event % 11, 3..=5)
                    && modulus.is_none_or(|modulus| !matches!(event % modulus, 1 | 2));
                let expected: Vec<_> = accepted.iter().copied().filter(passes).collect();
                assert_eq!(script.delivered(), expected, "in order, and nothing else");
            }
        });
    }
}
