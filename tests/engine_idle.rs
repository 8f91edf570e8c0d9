//! An engine with nothing to do does nothing: not one of its threads is given the processor. Alone in its
//! process, because it looks at the threads of the process.
#![cfg(target_os = "linux")]

mod engine_support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use engine_support::{collector, current_thread, delivered, millis, numbered, provider};
use productgraph::{Engine, EngineBuilder};
use productgraph_collector::{Collector, Fault};

/// How long nothing may happen.
const IDLE: Duration = Duration::from_secs(5);
/// How long an engine may go on after its last event: it looks once, 5 s later, whether anything is stuck, and
/// a thread that took over from one with a hook leaves 10 s after it was needed.
const SETTLED: Duration = Duration::from_secs(13);

/// How often each thread of an engine was given the processor, by its number and name.
fn scheduled() -> BTreeMap<(String, String), u64> {
    let tasks = fs::read_dir("/proc/self/task").expect("linux");
    let tasks = tasks.map(|task| task.expect("readable").path());
    tasks
        .filter_map(|task| {
            let name = fs::read_to_string(task.join("comm")).ok()?;
            let times = switches(&fs::read_to_string(task.join("status")).ok()?)?;
            let number = task.file_name()?.to_string_lossy().into_owned();
            Some(((number, name.trim().to_owned()), times))
        })
        .filter(|((_, name), _)| is_the_engines(name))
        .collect()
}

/// Names are cut after 15 bytes; the collector's threads are its own affair.
fn is_the_engines(name: &str) -> bool {
    name.starts_with("productgraph") && !name.starts_with("productgraph-co")
}

/// Switches of both kinds: given up by the thread itself, and taken from it.
fn switches(status: &str) -> Option<u64> {
    let counts = status.lines().filter_map(|line| {
        let (key, count) = line.split_once(':')?;
        key.ends_with("ctxt_switches")
            .then(|| count.trim().parse::<u64>().ok())?
    });
    counts.map(Some).reduce(|a, b| Some(a? + b?))?
}

/// Lets real time pass. What is measured here is what happens by itself in that time, so there is no event to
/// wait for and no clock to move: the channel stays silent.
fn let_pass(time: Duration) {
    let (_silent, nothing) = mpsc::channel::<()>();
    assert!(nothing.recv_timeout(time).is_err());
}

/// As it comes, but with short waits between retries.
fn hasty() -> EngineBuilder {
    Engine::builder()
        .project("shop")
        .retry(millis(20), millis(100), Duration::from_secs(600))
        .expect("a policy that works")
}

/// Sends a few events by size of a batch, a few by a flush, and waits for their end.
async fn work(engine: &Engine, names: &[&str]) {
    let handle = engine.handle();
    for n in 0..60 {
        handle.track(numbered(n));
    }
    let report = engine.flush(Duration::from_secs(20)).await;
    assert!(report.is_settled(), "{report}");
    for name in names {
        delivered(engine, name, 60).await;
    }
}

#[test]
fn an_engine_with_nothing_to_do_is_not_scheduled_once_in_five_seconds() {
    let runtime = current_thread();
    let collectors: [Collector; 4] = std::array::from_fn(|_| collector());
    let [own, first, second, flaky] = &collectors;
    let one = hasty().provider(provider(own, "own")).spawn();
    let two = hasty()
        .provider(provider(first, "first"))
        .provider(provider(second, "second"))
        .spawn();
    flaky.faults().push(Fault::status(503));
    flaky.faults().push(Fault::store_then_reset());
    let recovered = hasty().provider(provider(flaky, "flaky")).spawn();
    let hooked = hasty()
        .provider(provider(own, "hooked"))
        .before_send(Some)
        .on_dead_letter(|_| {})
        .spawn();
    let unused = hasty().provider(provider(own, "unused")).spawn();
    let engines = [one, two, recovered, hooked, unused].map(|engine| engine.expect("it starts"));
    let [one, two, recovered, hooked, _unused] = &engines;
    runtime.block_on(async {
        work(one, &["own"]).await;
        work(two, &["first", "second"]).await;
        work(recovered, &["flaky"]).await;
        work(hooked, &["hooked"]).await;
    });
    assert!(recovered.health().providers[0].retries >= 2, "it failed");

    let_pass(SETTLED);
    let before = scheduled();
    // a thread of the actors for each engine, and one for each provider
    assert!(before.len() >= 5 + 6, "{before:?}");
    let_pass(IDLE);
    assert_eq!(scheduled(), before, "woken with nothing to do");

    // they sleep, and are not dead
    let report = runtime.block_on(async {
        one.handle().track(numbered(60));
        one.flush(Duration::from_secs(20)).await
    });
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_ne!(scheduled(), before);
}
