//! Providers that keep their thread. Real threads and gates, and no time in it: the sick ones are held
//! until the others have everything.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Door, block_on, eventually, expect_panics};
use productgraph_actors::testing::Script;
use productgraph_actors::{
    BatchLimits, BoxFuture, Completion, Encoded, Events, LaneOptions, Limits, Outcome, Pipeline,
    Provider, Report,
};

const OTHERS: usize = 9;
const EVENTS: u64 = 500;

/// Does something of its own in the middle of an attempt, and then what is expected of it.
struct Sick<Encode, Send> {
    encode: Encode,
    send: Send,
}

impl<Encode, Send> Provider<u64> for Sick<Encode, Send>
where
    Encode: Fn() + std::marker::Send + Sync + 'static,
    Send: Fn() + std::marker::Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "sick"
    }

    fn limits(&self) -> Limits {
        Limits::new(1000, 1 << 20)
    }

    fn encode(&self, events: &Events<'_, u64>, _: usize) -> Encoded {
        (self.encode)();
        Encoded {
            body: Bytes::from_static(b"body"),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, u64>) -> BoxFuture<'a, Outcome> {
        Box::pin(async {
            (self.send)();
            Outcome::Delivered
        })
    }
}

/// Sends events to a sick provider and nine others, and waits until those have all of them and the
/// sick one has begun.
fn beside(sick: impl Provider<u64>, begun: impl Fn() -> bool) -> Pipeline<u64> {
    let others: Vec<_> = (0..OTHERS)
        .map(|n| Script::delivering(&format!("other-{n}")))
        .collect();
    let mut builder = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(10, Duration::from_secs(3600)))
        .provider(sick);
    for other in &others {
        builder = builder.provider(other.provider());
    }
    let pipeline = builder.spawn().expect("spawns");
    let sender = pipeline.sender();
    // the sick one has its thread before the others get anything
    for n in 0..10 {
        sender.try_send(n).expect("room");
    }
    eventually("the sick one is at work", begun);
    for n in 10..EVENTS {
        sender.try_send(n).expect("room");
    }
    for other in &others {
        eventually("the others have everything", || {
            other.delivered().len() as u64 == EVENTS
        });
        assert_eq!(other.delivered(), (0..EVENTS).collect::<Vec<_>>());
    }
    pipeline
}

/// What has to hold of the accounts whatever the sick one did.
#[track_caller]
fn assert_others_are_clean(report: &Report) {
    assert!(report.ledger.balances(), "{report}");
    for other in &report.ledger.providers[1..] {
        assert_eq!(other.delivered, EVENTS, "{report}");
    }
}

#[test]
fn a_provider_whose_thread_is_parked_for_ever_keeps_nobody_else_from_delivering() {
    for in_encode in [false, true] {
        let (door, begun) = (Door::default(), Arc::new(AtomicBool::new(false)));
        let park = {
            let (door, begun) = (door.clone(), Arc::clone(&begun));
            move |here: bool| {
                if here {
                    begun.store(true, Ordering::SeqCst);
                    door.pass();
                }
            }
        };
        let sick = Sick {
            encode: {
                let park = park.clone();
                move || park(in_encode)
            },
            send: move || park(!in_encode),
        };
        let pipeline = beside(sick, || begun.load(Ordering::SeqCst));

        let lane = &pipeline.lanes()[0];
        assert_eq!((lane.pending, lane.in_flight), (EVENTS, 1), "{lane:?}");
        let report = block_on(pipeline.shutdown(Duration::from_millis(50)));
        assert_others_are_clean(&report);
        let Completion::DeadlinePassed { unsettled } = &report.completion else {
            panic!("{report}");
        };
        assert_eq!(unsettled, &["sick"], "{report}");
        drop(pipeline);
        door.open();
    }
}

#[test]
fn an_attempt_that_cannot_end_at_its_deadline_is_seen_to_be_overdue() {
    let (door, begun) = (Door::default(), Arc::new(AtomicBool::new(false)));
    let sick = Sick {
        encode: || {},
        send: {
            let (door, begun) = (door.clone(), Arc::clone(&begun));
            move || {
                begun.store(true, Ordering::SeqCst);
                door.pass();
            }
        },
    };
    let mut options = LaneOptions::default();
    options.attempt_timeout = Duration::from_millis(5);
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(1, Duration::from_secs(3600)))
        .boxed_provider(Box::new(sick), options)
        .spawn()
        .expect("spawns");
    assert_eq!(pipeline.lanes()[0].in_flight_for, None);
    pipeline.sender().try_send(1).expect("room");
    eventually("it is at work", || begun.load(Ordering::SeqCst));
    eventually("it is overdue", || {
        let lane = &pipeline.lanes()[0];
        lane.in_flight_for > Some(options.attempt_timeout)
    });
    door.open();
    eventually("it goes on", || {
        pipeline.ledger().providers[0].delivered == 1
    });
    assert_eq!(pipeline.lanes()[0].in_flight_for, None);
}

#[test]
fn a_provider_that_spins_without_end_keeps_nobody_else_from_delivering() {
    let (stop, turns) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let spin = {
        let (stop, turns) = (Arc::clone(&stop), Arc::clone(&turns));
        move || {
            while !stop.load(Ordering::SeqCst) {
                turns.fetch_add(1, Ordering::SeqCst);
                std::hint::spin_loop();
            }
        }
    };
    let sick = Sick {
        encode: spin,
        send: || {},
    };
    let pipeline = beside(sick, || turns.load(Ordering::SeqCst) > 0);
    let seen = turns.load(Ordering::SeqCst);
    eventually("it still spins", || turns.load(Ordering::SeqCst) > seen);
    stop.store(true, Ordering::SeqCst);
    let report = block_on(pipeline.shutdown(Duration::from_secs(10)));
    assert!(report.is_settled(), "{report}");
    assert_others_are_clean(&report);
    assert_eq!(report.ledger.providers[0].delivered, EVENTS, "{report}");
}

#[test]
fn a_provider_that_panics_in_a_loop_keeps_nobody_else_from_delivering() {
    expect_panics();
    let panics = Arc::new(AtomicU64::new(0));
    let sick = Sick {
        encode: {
            let panics = Arc::clone(&panics);
            move || {
                panics.fetch_add(1, Ordering::SeqCst);
                panic!("panic of the script");
            }
        },
        send: || {},
    };
    let pipeline = beside(sick, || panics.load(Ordering::SeqCst) > 0);
    let report = block_on(pipeline.shutdown(Duration::from_millis(50)));
    assert_others_are_clean(&report);
    assert_eq!(report.ledger.providers[0].delivered, 0, "{report}");
}

#[test]
fn a_provider_may_leave_its_thread_to_others_while_it_blocks() {
    let blocked = Arc::new(AtomicU64::new(0));
    let sick = Sick {
        encode: || {},
        send: {
            let blocked = Arc::clone(&blocked);
            move || {
                tokio::task::block_in_place(|| blocked.fetch_add(1, Ordering::SeqCst));
            }
        },
    };
    let pipeline = beside(sick, || blocked.load(Ordering::SeqCst) > 0);
    let report = block_on(pipeline.shutdown(Duration::from_secs(10)));
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
}

/// Runs the tests above once more where there is one core for everybody.
#[cfg(target_os = "linux")]
#[test]
fn one_core_is_enough_for_all_of_it() {
    const INSIDE: &str = "PG_TEST_ON_ONE_CORE";
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let cores = std::fs::read_to_string("/proc/self/status").expect("linux");
    let allowed = cores
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("a list");
    let first: String = allowed
        .trim()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let this = std::env::current_exe().expect("this binary");
    let run = std::process::Command::new("taskset")
        .args(["-c", &first])
        .arg(this)
        .env(INSIDE, "1")
        .output();
    match run {
        Ok(run) => assert!(run.status.success(), "{run:?}"),
        Err(error) => println!("skipped: taskset cannot be run ({error})"),
    }
}
