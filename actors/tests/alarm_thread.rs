//! Alone in its process, because it counts the process's threads.
#![cfg(target_os = "linux")]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{block_on, eventually};
use productgraph_actors::testing::{Script, Step};
use productgraph_actors::{Completion, Pipeline, Report};

/// As the system counts them, for which it has no other list.
fn threads() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("linux");
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    threads.expect("a count").trim().parse().expect("a number")
}

#[test]
fn a_thousand_flushes_at_the_same_time_take_one_thread_and_give_it_back() {
    let outside = threads();
    let script = Script::new("black-hole", |_: &[u64], _| Step::Hang);
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .provider(script.provider())
        .spawn()
        .expect("spawns");
    pipeline.sender().try_send(1).expect("room");
    let engine = threads();
    assert_eq!(engine - outside, 2, "one for the actors, one for the lane");

    let mut flushes: Vec<Pin<Box<dyn Future<Output = Report>>>> = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    for n in 0..1000 {
        let timeout = Duration::from_secs(if n == 0 { 0 } else { 3600 });
        let mut flush: Pin<Box<dyn Future<Output = Report>>> = Box::pin(pipeline.flush(timeout));
        assert!(flush.as_mut().poll(&mut context).is_pending());
        flushes.push(flush);
    }
    assert_eq!(threads() - engine, 1, "one that keeps all the deadlines");
    let first = flushes.swap_remove(0);
    let report = block_on(first);
    assert!(
        matches!(report.completion, Completion::DeadlinePassed { .. }),
        "{report}"
    );
    for flush in &mut flushes {
        assert!(matches!(flush.as_mut().poll(&mut context), Poll::Pending));
    }
    drop(flushes);
    eventually("the thread is given back", || threads() <= engine);

    // an hour that nobody needs
    let report = block_on(pipeline.shutdown(Duration::ZERO));
    assert!(report.ledger.balances(), "{report}");
    drop(pipeline);
    eventually("all threads are given back", || threads() <= outside);
}
