//! Alone in its process, because it counts the process's threads.
#![cfg(target_os = "linux")]

mod common;

use std::time::Duration;

use common::{block_on, eventually};
use productgraph_actors::Pipeline;
use productgraph_actors::testing::Script;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("linux").count()
}

#[test]
fn two_hundred_engines_come_and_go_and_no_thread_stays() {
    let before = threads();
    for n in 0..200 {
        let script = Script::delivering("sink");
        let pipeline = Pipeline::builder(|_: &u64| 8)
            .provider(script.provider())
            .spawn()
            .expect("spawns");
        pipeline.sender().try_send(n).expect("room");
        if n % 2 == 0 {
            let report = block_on(pipeline.shutdown(Duration::from_secs(10)));
            assert!(report.is_settled(), "{report}");
        }
        drop(pipeline);
    }
    eventually("no more threads than before", || threads() <= before);
}
