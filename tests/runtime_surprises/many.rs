//! An engine that comes and goes a thousand times. In a process of its own, whose threads, descriptors
//! and memory are counted.

use productgraph::providers::Memory;

use super::{assert_ends_clean, block_on, engine, in_a_process_of_its_own, is_child};
use crate::engine_support::{BOUND, builder, current_thread, numbered};

const ENGINES: usize = 1000;
/// What a thousand engines may leave behind, which is 8 KiB each. It is the memory of the whole process, so
/// the bound has to be wide: the allocator keeps some for threads that ended.
const SLACK_KIB: u64 = 8 << 10;

fn entries(of: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{of}"))
        .expect("linux")
        .count()
}

/// Memory of this process that is really in use.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("a size").parse().expect("a number")
}

/// One life, of a different kind each time.
fn live(n: usize) {
    let memory = Memory::new();
    match n % 4 {
        // dropped with an event in it
        0 => engine(&memory).handle().track(numbered(n)),
        1 => {
            let engine = engine(&memory);
            engine.handle().track(numbered(n));
            assert_ends_clean(&engine, 1);
        }
        2 => {
            let engine = engine(&memory);
            engine.handle().track(numbered(n));
            assert!(block_on(engine.flush(BOUND)).is_settled());
            // the handle outlives it
            let handle = engine.handle();
            drop(engine);
            handle.track(numbered(n));
        }
        _ => {
            let runtime = current_thread();
            let engine = builder()
                .runtime(runtime.handle().clone())
                .provider(memory)
                .spawn()
                .expect("starts");
            engine.handle().track(numbered(n));
            let report = runtime.block_on(engine.shutdown(BOUND));
            assert!(report.is_settled(), "{report}");
        }
    }
}

/// Lives one after the other; those that were dropped end in the background, which may fall behind.
fn live_many(engines: usize, threads: usize, descriptors: usize) {
    for n in 0..engines {
        live(n);
        if n % 50 == 49 || n + 1 == engines {
            wait_for("task", threads);
            wait_for("fd", descriptors);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds a wait for real threads")]
fn wait_for(of: &str, most: usize) {
    let start = std::time::Instant::now();
    while entries(of) > most {
        assert!(
            start.elapsed() < BOUND,
            "{} of {of} stay",
            entries(of) - most
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_thousand_engines_leave_no_thread_descriptor_or_memory_behind() {
    if !cfg!(target_os = "linux") {
        println!("skipped: there is no /proc to count in");
        return;
    }
    if !is_child() {
        let said = in_a_process_of_its_own(
            "many::a_thousand_engines_leave_no_thread_descriptor_or_memory_behind",
        );
        assert!(said.contains("grew by"), "{said}");
        return;
    }
    let threads = entries("task");
    (0..4).for_each(live);
    wait_for("task", threads);
    // tokio keeps a pair of sockets for signals from its first runtime on
    let descriptors = entries("fd");
    // the allocator keeps arenas for threads
    live_many(100, threads, descriptors);
    let before = resident_kib();
    live_many(ENGINES, threads, descriptors);
    let grown = resident_kib().saturating_sub(before);
    println!("grew by {grown} KiB");
    assert!(grown < SLACK_KIB, "{grown} KiB more than before");
}
