//! The end of the process around the engine: real signals, real threads, this binary again as a child.
#![cfg(target_os = "linux")]

mod engine_support;

use std::process::Stdio;
use std::time::Duration;

use engine_support::endings::{Destination, EVENTS, Flavour, SLACK, track_all};
use engine_support::{
    assert_holds_once, collector, current_thread, ids_of, in_time, millis, numbered,
};
use productgraph::{Engine, Handle, Report};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

const ROLE: &str = "PG_TEST_ENGINE_CHILD";

/// Runs `test` of this binary again, with `role` and `environment`.
fn child(test: &str, role: &str, environment: &[(&str, &str)]) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["--exact", "--nocapture", test])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    for (name, value) in environment {
        command.env(name, value);
    }
    command.spawn().expect("a process")
}

async fn line_that_starts(
    lines: &mut tokio::io::Lines<BufReader<ChildStdout>>,
    start: &str,
) -> String {
    loop {
        let line = lines.next_line().await.expect("text");
        let line = line.unwrap_or_else(|| panic!("ended without a line {start:?}"));
        if let Some(rest) = line.strip_prefix(start) {
            return rest.to_owned();
        }
    }
}

/// Whether a handler for SIGTERM is in place.
fn catches_sigterm() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .expect("a mask");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("a number");
    caught & (1 << (15 - 1)) != 0
}

async fn drain_when_told(engine: Engine) -> Report {
    track_all(&engine.handle());
    let ready = async {
        while !catches_sigterm() {
            tokio::task::yield_now().await;
        }
        println!("\nready");
    };
    let (report, ()) = tokio::join!(engine.drain_on(productgraph::shutdown_signal()), ready);
    report
}

/// The role of the child: tracks, says that it is ready, drains on SIGTERM and prints the sums.
fn be_the_service(role: &str) -> ! {
    let mut parts = role.split(' ');
    let mut number = || -> usize {
        let part = parts.next().expect("a part of the role");
        part.parse().expect("a number")
    };
    let (flavour, destination) = (Flavour::ALL[number()], Destination::ALL[number()]);
    let endpoint = parts.next().expect("an address").to_owned();
    let job = move || async move { drain_when_told(destination.engine(&endpoint)).await };
    let report = match flavour {
        Flavour::NoRuntime => current_thread().block_on(job()),
        _ => flavour.run(job),
    };
    let account = &report.ledger.providers[0];
    println!(
        "\nsums {} {} {} {} {} {}",
        report.ledger.accepted,
        account.delivered,
        account.rejected.total(),
        account.dropped.total(),
        account.pending,
        report.is_settled(),
    );
    println!("{report}");
    std::process::exit(0)
}

async fn end_by_signal(test: &str, flavour: usize, destination: usize) {
    let collector = collector();
    let kind = Destination::ALL[destination];
    kind.prepare(&collector);
    let role = format!("{flavour} {destination} {}", collector.endpoint());
    let mut child = child(test, &role, &[]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    line_that_starts(&mut lines, "ready").await;
    let pid = child.id().expect("it still runs").to_string();
    let start = Instant::now();
    let killed = Command::new("sh")
        .args(["-c", &format!("kill -TERM {pid}")])
        .status()
        .await;
    assert!(killed.expect("it runs").success());

    let sums = line_that_starts(&mut lines, "sums ").await;
    let sums: Vec<&str> = sums.split(' ').collect();
    let [accepted, delivered, rejected, dropped, pending] =
        [0, 1, 2, 3, 4].map(|i| sums[i].parse::<u64>().expect("a number"));
    let shown = lines.next_line().await.expect("text").expect("the report");
    assert_eq!(child.wait().await.expect("it ends").code(), Some(0));
    let took = start.elapsed();

    assert_eq!(accepted, EVENTS as u64);
    assert_eq!(delivered + rejected + dropped, accepted, "{sums:?}");
    assert_eq!(pending, 0);
    assert_eq!(delivered, collector.stats().accepted);
    assert!(shown.contains("accepted 60"), "{shown}");
    let limit = kind.deadline().min(Duration::from_secs(10)) + SLACK;
    assert!(took <= limit, "{kind:?}: {took:?}");
    if kind.takes() {
        assert_eq!(sums[5], "true", "{shown}");
        assert_holds_once(&collector, &ids_of(0..EVENTS));
    } else {
        assert_eq!(delivered, 0);
    }
}

async fn on_every_destination(test: &str, flavour: usize) {
    if let Ok(role) = std::env::var(ROLE) {
        // the harness has a runtime here already; the role brings its own
        std::thread::spawn(move || be_the_service(&role))
            .join()
            .expect("it exits");
    }
    for destination in 0..Destination::ALL.len() {
        in_time(end_by_signal(test, flavour, destination)).await;
    }
}

#[tokio::test]
async fn sigterm_drains_on_a_current_thread_runtime() {
    on_every_destination("sigterm_drains_on_a_current_thread_runtime", 0).await;
}

#[tokio::test]
async fn sigterm_drains_on_one_worker() {
    on_every_destination("sigterm_drains_on_one_worker", 1).await;
}

#[tokio::test]
async fn sigterm_drains_on_four_workers() {
    on_every_destination("sigterm_drains_on_four_workers", 2).await;
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .expect("it is there")
        .count()
}

#[tokio::test]
async fn an_engine_that_is_switched_off_starts_no_thread() {
    if std::env::var_os(ROLE).is_some() {
        let before = threads();
        let engine = Engine::from_env().expect("it starts");
        let handle = engine.handle();
        track_all_unheard(&handle);
        let after = threads();
        let report = engine.shutdown_blocking(Duration::ZERO);
        println!("\nenabled {} {}", engine.is_enabled(), after - before);
        println!("{report}");
        return;
    }
    let test = "an_engine_that_is_switched_off_starts_no_thread";
    for environment in [
        &[
            ("PRODUCTGRAPH_ENABLED", "false"),
            ("PRODUCTGRAPH_PROJECT_ID", "shop"),
        ][..],
        &[],
    ] {
        let mut child = child(test, "off", environment);
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert_eq!(
            in_time(line_that_starts(&mut lines, "enabled ")).await,
            "false 0"
        );
        assert!(in_time(child.wait()).await.expect("it ends").success());
    }
}

fn track_all_unheard(handle: &Handle) {
    for n in 0..EVENTS {
        handle.track(numbered(n));
    }
}

#[tokio::test]
async fn an_engine_that_is_dropped_or_has_ended_leaves_no_thread_behind() {
    if std::env::var_os(ROLE).is_some() {
        let before = threads();
        let collector = "http://127.0.0.1:1";
        for _ in 0..5 {
            let engine = Destination::Healthy.engine(collector);
            track_all(&engine.handle());
            engine.shutdown_blocking(millis(50));
            drop(engine);
            let engine = Destination::Healthy.engine(collector);
            track_all(&engine.handle());
            drop(engine);
        }
        // threads end in the background
        while threads() > before {
            tokio::task::yield_now().await;
        }
        println!("\nthreads gone");
        return;
    }
    let test = "an_engine_that_is_dropped_or_has_ended_leaves_no_thread_behind";
    let mut child = child(test, "gone", &[]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    in_time(line_that_starts(&mut lines, "threads gone")).await;
}

#[tokio::test]
async fn a_process_that_just_returns_from_main_is_not_kept_by_the_engine() {
    if std::env::var_os(ROLE).is_some() {
        let engine = Destination::Healthy.engine("http://127.0.0.1:1");
        track_all(&engine.handle());
        std::mem::forget(engine);
        println!("\nreturns");
        return;
    }
    let test = "a_process_that_just_returns_from_main_is_not_kept_by_the_engine";
    let mut child = child(test, "leak", &[]);
    assert!(in_time(child.wait()).await.expect("it ends").success());
}
