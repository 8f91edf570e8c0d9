//! Alone in its process, because it counts the process's threads.
#![cfg(target_os = "linux")]

mod common;

use std::time::Duration;

use common::{block_on, eventually};
use productgraph_actors::testing::Script;
use productgraph_actors::{DeadLetterLimits, Pipeline, PipelineBuilder};

fn hook_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("linux");
    let name = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).unwrap_or_default()
    };
    // names are cut to 15 bytes there
    let names = tasks.filter_map(Result::ok).map(name);
    names
        .filter(|name| name.trim() == "productgraph-le")
        .count()
}

fn builder() -> PipelineBuilder<u64> {
    Pipeline::builder(|_: &u64| 8)
        .dead_letters(DeadLetterLimits::default())
        .provider(Script::delivering("sink").provider())
}

#[test]
fn there_is_a_thread_for_the_hook_only_while_there_is_a_hook_and_an_engine() {
    let without = builder().spawn().expect("spawns");
    let off = builder()
        .dead_letters(DeadLetterLimits::off())
        .on_dead_letter(|_| {})
        .spawn()
        .expect("spawns");
    // a thread has its name from the start, but starts when it starts
    assert!(block_on(without.flush(Duration::from_secs(10))).is_settled());
    assert_eq!(hook_threads(), 0);
    for n in 0..50 {
        let pipeline = builder().on_dead_letter(|_| {}).spawn().expect("spawns");
        if n == 0 {
            eventually("the hook's thread runs", || hook_threads() == 1);
        }
        if n % 2 == 0 {
            assert!(block_on(pipeline.shutdown(Duration::from_secs(10))).is_settled());
            eventually("the thread ends with the engine", || hook_threads() == 0);
        }
        drop(pipeline);
        eventually("the thread ends with the engine", || hook_threads() == 0);
    }
    drop((without, off));
}
