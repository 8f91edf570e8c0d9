//! SIGTERM in a process whose application has no runtime at all: it waits and drains on plain threads.
#![cfg(target_os = "linux")]

mod engine_support;

use std::io::{BufRead, BufReader};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use engine_support::{BOUND, builder, collector, millis, numbered};
use productgraph::providers::ProductGraph;
use productgraph::{BoxFuture, Encoded, Event, Events, Limits, Outcome, Provider};
use productgraph_collector::{Collector, Fault, When};
use tokio::time::Instant;

const ROLE: &str = "PG_TEST_SIGNAL_CHILD";
const EVENTS: usize = 60;
/// For destinations that never take what they get.
const SHORT: Duration = millis(300);
/// By how much a loaded machine may miss a deadline.
const SLACK: Duration = Duration::from_secs(3);

struct Panics;

impl Provider<Event> for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn limits(&self) -> Limits {
        Limits::new(100, 100_000)
    }

    fn encode(&self, events: &Events<'_, Event>, _: usize) -> Encoded {
        Encoded {
            body: vec![b'x'; events.len()].into(),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: bytes::Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async { panic!("a bug of the provider") })
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn catches_sigterm() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("a number");
    mask & (1 << (15 - 1)) != 0
}

fn deadline_of(kind: &str) -> Duration {
    match kind {
        "healthy" | "slow" => BOUND,
        _ => SHORT,
    }
}

/// The role of the child: `kind endpoint`.
fn be_the_service(role: &str) -> ! {
    let (kind, endpoint) = role.split_once(' ').expect("a kind and an address");
    let builder = builder().batch_size(10);
    let builder = match kind {
        "panicking" => builder.provider(Panics),
        _ => builder.provider(ProductGraph::new(endpoint).max_batch_events(20)),
    };
    let engine = builder.spawn().expect("it starts");
    for n in 0..EVENTS {
        engine
            .handle()
            .try_track(numbered(n))
            .expect("there is room");
    }
    std::thread::spawn(|| {
        while !catches_sigterm() {
            std::thread::yield_now();
        }
        println!("\nready");
    });
    wait_for(productgraph::shutdown_signal());
    let report = engine.shutdown_blocking(deadline_of(kind));
    let account = &report.ledger.providers[0];
    println!(
        "\nsums {} {} {} {} {}",
        report.ledger.accepted,
        account.delivered,
        account.rejected.total(),
        account.dropped.total(),
        account.pending,
    );
    std::process::exit(0)
}

fn prepare(kind: &str, collector: &Collector) {
    let faults = collector.faults();
    match kind {
        "slow" => faults.set_latency(millis(30)),
        "black-hole" => faults.set_standing(Fault::never_answer(), When::Always),
        "unavailable" => faults.set_standing(Fault::status(503), When::Always),
        _ => {}
    }
}

fn end_by_signal(kind: &str) {
    let collector = collector();
    prepare(kind, &collector);
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "--nocapture"])
        .arg("sigterm_drains_without_a_runtime")
        .env(ROLE, format!("{kind} {}", collector.endpoint()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let output = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(output)
        .lines()
        .map(|line| line.expect("text"));
    assert!(lines.any(|line| line == "ready"), "{kind}: not ready");
    let start = Instant::now();
    // the shell's own, since a program of that name need not be installed
    let kill = format!("kill -TERM {}", child.id());
    let killed = Command::new("sh").args(["-c", &kill]).status();
    assert!(killed.expect("a shell").success());

    let sums = lines.find_map(|line| line.strip_prefix("sums ").map(str::to_owned));
    let sums = sums.unwrap_or_else(|| panic!("{kind}: no sums"));
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{kind}");
    let took = start.elapsed();
    assert!(
        took <= deadline_of(kind).min(Duration::from_secs(10)) + SLACK,
        "{kind}: {took:?}"
    );

    let sums: Vec<u64> = sums
        .split(' ')
        .map(|n| n.parse().expect("a number"))
        .collect();
    let [accepted, delivered, rejected, dropped, pending] = sums[..] else {
        panic!("{kind}: {sums:?}");
    };
    assert_eq!(accepted, EVENTS as u64, "{kind}");
    assert_eq!(
        (delivered + rejected + dropped, pending),
        (accepted, 0),
        "{kind}"
    );
    assert_eq!(delivered, collector.stats().accepted, "{kind}");
    let expected = if deadline_of(kind) == BOUND {
        accepted
    } else {
        0
    };
    assert_eq!(delivered, expected, "{kind}");
}

#[test]
fn sigterm_drains_without_a_runtime() {
    if let Ok(role) = std::env::var(ROLE) {
        be_the_service(&role);
    }
    for kind in ["healthy", "slow", "black-hole", "unavailable", "panicking"] {
        end_by_signal(kind);
    }
}
