//! The real ring and the real signal under many threads: the accounts are exact in every round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier as AsyncBarrier;

use super::{Ingress, IngressOptions, Overflow, Park, Priority};
use crate::ledger::DropReason;

/// Long enough for any loaded machine; a lost wake-up would wait for ever.
const GUARD: Duration = Duration::from_secs(60);

/// A number that weighs between 1 and 4, every eighth one high.
fn ingress(capacity: usize, max_bytes: usize, overflow: Overflow) -> Arc<Ingress<u64>> {
    Arc::new(Ingress::new(&IngressOptions {
        capacity,
        max_bytes,
        overflow,
        weigh: |number| (number % 4) as usize + 1,
        priority: Some(|number| {
            if number % 8 == 0 {
                Priority::High
            } else {
                Priority::Normal
            }
        }),
        trusted: false,
    }))
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

/// Drains until the ingress is closed and empty: after work lingers for a tick, then idles untimed.
async fn consume(ingress: Arc<Ingress<u64>>, threshold: usize) -> Vec<u64> {
    const TICK: Duration = Duration::from_millis(1);
    let mut events = Vec::new();
    let mut worked = false;
    while !ingress.try_finish() {
        let mut bytes = 0;
        let drained = ingress.drain(64, |event, weight, _| {
            events.push(event);
            bytes += weight;
        });
        ingress.budget().release(bytes);
        if drained > 0 {
            worked = true;
            tokio::task::yield_now().await;
        } else if std::mem::take(&mut worked) {
            if ingress.park(Park::Linger { threshold }) {
                let _: Result<(), _> = tokio::time::timeout(TICK, ingress.wake()).await;
                ingress.unpark();
            }
        } else if ingress.park(Park::Idle) {
            ingress.wake().await;
            ingress.unpark();
        }
    }
    events
}

/// Every accepted event was drained once or dropped, and nothing is held.
#[track_caller]
fn assert_settled(ingress: &Ingress<u64>, calls: u64, told_accepted: u64, mut taken: Vec<u64>) {
    assert_eq!(
        ingress.accepted(),
        told_accepted,
        "what the producers were told"
    );
    assert_eq!(
        calls,
        ingress.accepted() + ingress.refused().total(),
        "calls"
    );
    assert_eq!(ingress.drained(), taken.len() as u64, "drained");
    assert_eq!(
        ingress.accepted(),
        ingress.drained() + ingress.dropped().total(),
        "ends"
    );
    assert_eq!(
        (ingress.len(), ingress.budget().used()),
        (0, 0),
        "leftovers"
    );
    taken.sort_unstable();
    assert!(
        taken.windows(2).all(|pair| pair[0] < pair[1]),
        "an event came twice"
    );
}

/// `threads` push `each`, at full speed but for every sixteenth yield; how many were taken in.
fn push_all(ingress: &Ingress<u64>, threads: u64, each: u64) -> u64 {
    let accepted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let accepted = &accepted;
            scope.spawn(move || {
                for n in 0..each {
                    if ingress.try_push(thread * each + n).is_ok() {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                    if n % 16 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    accepted.into_inner()
}

#[test]
fn under_every_policy_each_call_ends_in_one_count_and_closing_loses_nothing() {
    let runtime = runtime();
    for round in 0..20 {
        for overflow in [
            Overflow::DropNewest,
            Overflow::DropOldest,
            Overflow::ByPriority,
        ] {
            let ingress = ingress(64, 120, overflow);
            let consumer = runtime.spawn(consume(Arc::clone(&ingress), 8));
            let accepted = push_all(&ingress, 4, 500);
            ingress.close();
            let guarded = async { tokio::time::timeout(GUARD, consumer).await };
            let taken = runtime
                .block_on(guarded)
                .expect("the consumer hangs")
                .unwrap();
            assert_settled(&ingress, 2_000, accepted, taken);
            let abandoned = ingress.dropped().get(DropReason::Abandoned);
            assert_eq!(
                abandoned, 0,
                "round {round}: all pushes had returned before the close"
            );
            if overflow == Overflow::DropNewest {
                assert_eq!(ingress.dropped().total(), 0);
            }
        }
    }
}

#[test]
fn a_close_in_the_middle_of_the_pushes_keeps_the_accounts_exact() {
    let runtime = runtime();
    for _ in 0..200 {
        let ingress = ingress(64, 1_000, Overflow::DropNewest);
        let consumer = runtime.spawn(consume(Arc::clone(&ingress), 4));
        let accepted = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| push_all(&ingress, 3, 100));
            while ingress.accepted() < 50 && !pushing.is_finished() {
                std::thread::yield_now();
            }
            ingress.close();
            pushing.join().unwrap()
        });
        let guarded = async { tokio::time::timeout(GUARD, consumer).await };
        let taken = runtime
            .block_on(guarded)
            .expect("the consumer hangs")
            .unwrap();
        assert_settled(&ingress, 300, accepted, taken);
    }
}

#[test]
fn a_finish_in_the_middle_of_the_pushes_drops_and_counts_what_is_left() {
    for _ in 0..300 {
        let ingress = ingress(32, 1_000, Overflow::DropOldest);
        let accepted = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| push_all(&ingress, 3, 60));
            while ingress.accepted() < 40 && !pushing.is_finished() {
                std::thread::yield_now();
            }
            ingress.finish(DropReason::Deadline);
            pushing.join().unwrap()
        });
        assert_settled(&ingress, 180, accepted, Vec::new());
    }
}

#[test]
fn what_a_reader_sees_meanwhile_never_contradicts_itself() {
    let ingress = ingress(64, 200, Overflow::DropOldest);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                let left = ingress.drained() + ingress.dropped().total();
                let accepted = ingress.accepted();
                assert!(left <= accepted, "{left} of {accepted} ended");
                assert!(last <= accepted, "accepted went from {last} to {accepted}");
                assert!(ingress.budget().used() <= 200);
                last = accepted;
            }
        });
        let consumer = scope.spawn(|| {
            while !ingress.try_finish() {
                ingress.drain(16, |_, weight, _| ingress.budget().release(weight));
                std::thread::yield_now();
            }
        });
        let accepted = push_all(&ingress, 3, 20_000);
        ingress.close();
        consumer.join().unwrap();
        done.store(true, Ordering::Release);
        reader.join().unwrap();
        assert_eq!(accepted, ingress.accepted());
    });
}

#[test]
fn a_thousand_waiting_pushes_under_a_small_ceiling_are_all_served() {
    let runtime = runtime();
    let ingress = ingress(8, 9, Overflow::DropOldest);
    let consumer = runtime.spawn(consume(Arc::clone(&ingress), 4));
    let start = Arc::new(AsyncBarrier::new(1_000));
    let pushes: Vec<_> = (0..1_000)
        .map(|number| {
            let (ingress, start) = (Arc::clone(&ingress), Arc::clone(&start));
            runtime.spawn(async move {
                start.wait().await;
                for n in 0..5 {
                    ingress.push_wait(number * 5 + n).await.unwrap();
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for push in pushes {
            tokio::time::timeout(GUARD, push)
                .await
                .expect("a push waits for ever")
                .unwrap();
        }
    });
    ingress.close();
    let guarded = async { tokio::time::timeout(GUARD, consumer).await };
    let taken = runtime
        .block_on(guarded)
        .expect("the consumer hangs")
        .unwrap();
    assert_eq!(taken.len(), 5_000, "waiting never evicts");
    assert_settled(&ingress, 5_000, 5_000, taken);
    assert_eq!(
        (ingress.refused().total(), ingress.budget().room().waiting()),
        (0, 0)
    );
}

#[test]
fn waiting_pushes_that_are_cancelled_or_closed_on_leave_the_accounts_exact() {
    let runtime = runtime();
    for _ in 0..30 {
        let ingress = ingress(4, 9, Overflow::DropNewest);
        let consumer = runtime.spawn(consume(Arc::clone(&ingress), 2));
        let (told, cancelled) = runtime.block_on(async {
            let pushes: Vec<_> = (0..200)
                .map(|number| {
                    let ingress = Arc::clone(&ingress);
                    tokio::spawn(async move { ingress.push_wait(number).await.is_ok() })
                })
                .collect();
            for push in pushes.iter().step_by(5) {
                push.abort();
            }
            while ingress.accepted() < 100 {
                tokio::task::yield_now().await;
            }
            ingress.close();
            let (mut told, mut cancelled) = (0, 0);
            for push in pushes {
                match tokio::time::timeout(GUARD, push)
                    .await
                    .expect("a push waits for ever")
                {
                    Ok(accepted) => told += u64::from(accepted),
                    Err(_) => cancelled += 1,
                }
            }
            (told, cancelled)
        });
        let guarded = async { tokio::time::timeout(GUARD, consumer).await };
        let taken = runtime
            .block_on(guarded)
            .expect("the consumer hangs")
            .unwrap();
        assert_settled(&ingress, 200 - cancelled, told, taken);
        assert_eq!(ingress.budget().room().waiting(), 0);
    }
}

#[test]
fn by_priority_the_events_of_each_thread_come_out_in_its_order() {
    const EACH: u64 = 20_000;
    let ingress = ingress(256, 100_000, Overflow::ByPriority);
    std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let (mut taken, mut last) = (Vec::new(), [None; 3]);
            while !ingress.try_finish() {
                ingress.drain(7, |event, weight, _| {
                    ingress.budget().release(weight);
                    let thread = usize::try_from(event / EACH).expect("few");
                    assert!(last[thread] < Some(event), "{last:?} then {event}");
                    last[thread] = Some(event);
                    taken.push(event);
                });
            }
            taken
        });
        let accepted = push_all(&ingress, 3, EACH);
        ingress.close();
        let taken = consumer.join().unwrap();
        assert_settled(&ingress, 3 * EACH, accepted, taken);
    });
}

#[test]
fn a_finish_in_the_middle_of_a_drain_by_priority_strands_nothing() {
    for _ in 0..300 {
        let ingress = ingress(32, 1_000, Overflow::ByPriority);
        let (accepted, taken) = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| push_all(&ingress, 2, 60));
            let draining = scope.spawn(|| {
                let mut taken = Vec::new();
                while !ingress.is_closed() {
                    ingress.drain(1, |event, weight, _| {
                        ingress.budget().release(weight);
                        taken.push(event);
                    });
                }
                taken
            });
            while ingress.accepted() < 30 && !pushing.is_finished() {
                std::thread::yield_now();
            }
            ingress.finish(DropReason::Deadline);
            (pushing.join().unwrap(), draining.join().unwrap())
        });
        assert_settled(&ingress, 120, accepted, taken);
    }
}
