//! Alone in its process, because it counts the process's threads.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Door, block_on, eventually};
use productgraph_actors::testing::{Script, Step};
use productgraph_actors::{BatchLimits, Pipeline};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("linux").count()
}

#[test]
fn a_provider_that_is_stuck_when_its_engine_goes_keeps_one_thread_and_only_until_it_returns() {
    let before = threads();
    for shut_down in [false, true] {
        let (door, stuck, token) = (
            Door::default(),
            Arc::new(AtomicBool::new(false)),
            Arc::new(()),
        );
        let script = {
            let (door, stuck, held) = (door.clone(), Arc::clone(&stuck), Arc::clone(&token));
            Script::new("stuck", move |_: &[u64], _| {
                assert!(Arc::strong_count(&held) > 0);
                stuck.store(true, Ordering::SeqCst);
                door.pass();
                Step::Deliver
            })
        };
        let mut builder = Pipeline::builder(|_: &u64| 8)
            .batch(BatchLimits::new(1, Duration::from_secs(3600)))
            .provider(script.provider());
        drop(script);
        for n in 0..3 {
            builder = builder.provider(Script::delivering(&format!("other-{n}")).provider());
        }
        let pipeline = builder.spawn().expect("spawns");
        pipeline.sender().try_send(1).expect("room");
        eventually("it is stuck", || stuck.load(Ordering::SeqCst));
        if shut_down {
            let report = block_on(pipeline.shutdown(Duration::from_millis(20)));
            assert!(report.ledger.balances(), "{report}");
        }
        // returns, although the door is closed
        drop(pipeline);
        // the other providers are let go on threads of their own, which come and go meanwhile
        eventually("all but one are gone", || {
            Arc::strong_count(&token) == 2 && threads() == before + 1
        });
        assert_eq!(Arc::strong_count(&token), 2, "the provider is in use");
        door.open();
        eventually("the last one is gone", || threads() <= before);
        eventually("the provider is let go", || Arc::strong_count(&token) == 1);
    }
}
