//! The end: on every kind of runtime, with every kind of destination, by call, drop and signal.

mod engine_support;

use std::collections::BTreeSet;
use std::time::Duration;

use engine_support::{
    BOUND, account, assert_final, assert_holds_once, builder, collector, current_thread, held,
    ids_of, in_time, millis, numbered, provider,
};
use productgraph::providers::ProductGraph;
use productgraph::{
    BoxFuture, Completion, DropReason, Encoded, Engine, EngineBuilder, Event, Events, Handle,
    Limits, Outcome, Provider, Report, TrackError,
};
use productgraph_collector::{Collector, Fault, When};
use tokio::runtime::Runtime;
use tokio::time::Instant;

const EVENTS: usize = 60;
/// For destinations that never take what they get.
const SHORT: Duration = millis(300);
/// By how much a loaded machine may miss a deadline.
const SLACK: Duration = Duration::from_secs(5);

/// What runs the application; the engine has a runtime of its own.
#[derive(Clone, Copy, Debug)]
enum Flavour {
    CurrentThread,
    OneWorker,
    FourWorkers,
    NoRuntime,
}

impl Flavour {
    const ALL: [Self; 4] = [
        Self::CurrentThread,
        Self::OneWorker,
        Self::FourWorkers,
        Self::NoRuntime,
    ];

    fn runtime(self) -> Option<Runtime> {
        let workers = match self {
            Self::CurrentThread => return Some(current_thread()),
            Self::OneWorker => 1,
            Self::FourWorkers => 4,
            Self::NoRuntime => return None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build();
        Some(runtime.expect("a runtime"))
    }

    /// Runs `job` on a worker of this kind of runtime, where there is one.
    fn run<T: Send + 'static>(self, job: impl AsyncFnOnceSend<T>) -> T {
        let runtime = self.runtime().expect("a runtime");
        let task = job.call();
        match self {
            Self::CurrentThread => runtime.block_on(task),
            _ => runtime
                .block_on(runtime.spawn(task))
                .expect("it does not panic"),
        }
    }
}

/// An async job that can be sent to a worker.
trait AsyncFnOnceSend<T> {
    fn call(self) -> BoxFuture<'static, T>;
}

impl<T, F, Fut> AsyncFnOnceSend<T> for F
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T> + Send + 'static,
{
    fn call(self) -> BoxFuture<'static, T> {
        Box::pin(self())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Destination {
    Healthy,
    Slow,
    BlackHole,
    Unavailable,
    Panicking,
}

impl Destination {
    const ALL: [Self; 5] = [
        Self::Healthy,
        Self::Slow,
        Self::BlackHole,
        Self::Unavailable,
        Self::Panicking,
    ];

    fn prepare(self, collector: &Collector) {
        let faults = collector.faults();
        match self {
            Self::Healthy | Self::Panicking => {}
            Self::Slow => faults.set_latency(millis(30)),
            Self::BlackHole => faults.set_standing(Fault::never_answer(), When::Always),
            Self::Unavailable => faults.set_standing(Fault::status(503), When::Always),
        }
    }

    /// An engine with this destination alone.
    fn engine(self, endpoint: &str) -> Engine {
        let builder = builder().batch_size(10);
        let builder = match self {
            Self::Panicking => builder.provider(Panics),
            _ => builder.provider(ProductGraph::new(endpoint).max_batch_events(20)),
        };
        builder.spawn().expect("it starts")
    }

    fn takes(self) -> bool {
        matches!(self, Self::Healthy | Self::Slow)
    }

    fn deadline(self) -> Duration {
        if self.takes() { BOUND } else { SHORT }
    }

    /// Checks the report and what has arrived against each other.
    fn check(self, report: &Report, took: Duration, collector: &Collector) {
        assert_final(report);
        assert_eq!(report.ledger.accepted, EVENTS as u64, "{report}");
        assert!(
            took <= self.deadline().min(Duration::from_secs(10)) + SLACK,
            "{self:?}: {took:?}"
        );
        let account = &report.ledger.providers[0];
        assert_eq!(account.delivered, collector.stats().accepted, "{report}");
        if self.takes() {
            assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
            assert_holds_once(collector, &ids_of(0..EVENTS));
        } else {
            assert_eq!(account.delivered, 0, "{report}");
            let (rejected, dropped) = (account.rejected.total(), account.dropped.total());
            assert_eq!(rejected + dropped, EVENTS as u64, "{report}");
            assert_eq!(
                dropped,
                account.dropped.get(DropReason::Deadline),
                "{report}"
            );
        }
        let shown = report.to_string();
        assert!(shown.contains("accepted 60"), "{shown}");
    }
}

/// A provider with a bug.
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

fn track_all(handle: &Handle) {
    for n in 0..EVENTS {
        handle.try_track(numbered(n)).expect("there is room");
    }
}

fn end_by_call(flavour: Flavour, destination: Destination) {
    let collector = collector();
    destination.prepare(&collector);
    let endpoint = collector.endpoint();
    let deadline = destination.deadline();
    let start = Instant::now();
    let report = match flavour {
        Flavour::NoRuntime => {
            let engine = destination.engine(&endpoint);
            track_all(&engine.handle());
            engine.shutdown_blocking(deadline)
        }
        _ => flavour.run(move || async move {
            let engine = destination.engine(&endpoint);
            track_all(&engine.handle());
            let report = engine.shutdown(deadline).await;
            // whoever asks again gets the same
            assert_eq!(engine.shutdown(Duration::ZERO).await, report);
            report
        }),
    };
    destination.check(&report, start.elapsed(), &collector);
}

fn end_by_drop(flavour: Flavour, destination: Destination) {
    let collector = collector();
    destination.prepare(&collector);
    let endpoint = collector.endpoint();
    let start = Instant::now();
    let drop_it = move || {
        let engine = destination.engine(&endpoint);
        let handle = engine.handle();
        track_all(&handle);
        drop(engine);
        handle
    };
    let handle = match flavour {
        Flavour::NoRuntime => drop_it(),
        _ => flavour.run(move || async move { drop_it() }),
    };
    assert!(
        start.elapsed() <= SLACK,
        "{destination:?}: {:?}",
        start.elapsed()
    );
    assert!(matches!(
        handle.try_track(numbered(EVENTS)),
        Err(TrackError::Closed(_))
    ));
    handle.track(numbered(EVENTS));
    let flushed = current_thread().block_on(in_time(handle.flush()));
    assert_eq!(flushed.completion, Completion::Abandoned);
    let tracked: BTreeSet<_> = ids_of(0..EVENTS).into_iter().collect();
    assert!(held(&collector).keys().all(|id| tracked.contains(id)));
}

macro_rules! for_each_flavour {
    ($($end:ident: $current:ident, $one:ident, $four:ident, $none:ident;)+) => {
        $(
            for_each_flavour!(@ $end $current CurrentThread);
            for_each_flavour!(@ $end $one OneWorker);
            for_each_flavour!(@ $end $four FourWorkers);
            for_each_flavour!(@ $end $none NoRuntime);
        )+
    };
    (@ $end:ident $name:ident $flavour:ident) => {
        #[test]
        fn $name() {
            for destination in Destination::ALL {
                $end(Flavour::$flavour, destination);
            }
        }
    };
}

for_each_flavour! {
    end_by_call:
        a_call_ends_it_on_a_current_thread_runtime,
        a_call_ends_it_on_one_worker,
        a_call_ends_it_on_four_workers,
        a_call_ends_it_without_a_runtime;
    end_by_drop:
        a_drop_ends_it_on_a_current_thread_runtime,
        a_drop_ends_it_on_one_worker,
        a_drop_ends_it_on_four_workers,
        a_drop_ends_it_without_a_runtime;
}

#[test]
fn a_call_from_inside_a_future_on_the_only_worker_may_block() {
    for flavour in [Flavour::CurrentThread, Flavour::OneWorker] {
        let collector = collector();
        let endpoint = collector.endpoint();
        let report = flavour.run(move || async move {
            let engine = Destination::Healthy.engine(&endpoint);
            track_all(&engine.handle());
            // ill-mannered, but no reason to hang: nothing of the engine runs here
            engine.shutdown_blocking(BOUND)
        });
        assert!(report.is_settled(), "{report}");
        assert_holds_once(&collector, &ids_of(0..EVENTS));
    }
}

#[test]
fn an_engine_outlives_the_runtime_it_was_started_on() {
    let collector = collector();
    let runtime = current_thread();
    let engine = runtime.block_on(async { Destination::Healthy.engine(&collector.endpoint()) });
    track_all(&engine.handle());
    drop(runtime);
    let report = engine.shutdown_blocking(BOUND);
    assert!(report.is_settled(), "{report}");
    assert_holds_once(&collector, &ids_of(0..EVENTS));
}

#[test]
fn an_attached_runtime_that_goes_away_ends_the_engine_with_a_report() {
    let collector = collector();
    let gate = collector.faults().hold();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let engine = builder()
        .batch_size(10)
        .runtime(runtime.handle().clone())
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    track_all(&engine.handle());
    current_thread().block_on(in_time(collector.wait_for_waiting(1)));
    drop(runtime);
    let report = engine.shutdown_blocking(millis(500));
    assert_final(&report);
    assert!(!report.is_settled(), "{report}");
    assert_eq!(account(&report.ledger, "a").dropped.total(), EVENTS as u64);
    assert!(matches!(
        engine.handle().try_track(numbered(EVENTS)),
        Err(TrackError::Closed(_))
    ));
    drop(gate);
}

#[tokio::test]
async fn two_engines_in_one_process_know_nothing_of_each_other() {
    let (left, right) = (collector(), collector());
    let one = builder()
        .provider(provider(&left, "a"))
        .spawn()
        .expect("it starts");
    let other = builder()
        .provider(provider(&right, "a"))
        .spawn()
        .expect("it starts");
    track_all(&one.handle());
    other.handle().track(numbered(EVENTS));
    let report = in_time(one.shutdown(BOUND)).await;
    assert!(report.ledger.is_clean(), "{report}");
    other.handle().track(numbered(EVENTS + 1));
    let report = in_time(other.shutdown(BOUND)).await;
    assert!(report.ledger.is_clean(), "{report}");
    assert_holds_once(&left, &ids_of(0..EVENTS));
    assert_holds_once(&right, &ids_of(EVENTS..EVENTS + 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_of_shutdown_gets_the_same_report() {
    let collector = collector();
    let gate = collector.faults().hold();
    let engine = std::sync::Arc::new(Destination::Healthy.engine(&collector.endpoint()));
    track_all(&engine.handle());
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let engine = std::sync::Arc::clone(&engine);
            tokio::spawn(async move { engine.shutdown(BOUND).await })
        })
        .collect();
    in_time(collector.wait_for_waiting(1)).await;
    gate.release();
    let mut reports = Vec::new();
    for caller in callers {
        reports.push(in_time(caller).await.expect("it does not panic"));
    }
    assert!(reports[0].is_settled(), "{}", reports[0]);
    assert!(reports.iter().all(|report| *report == reports[0]));
    assert_holds_once(&collector, &ids_of(0..EVENTS));
}

#[tokio::test]
async fn a_shutdown_that_nobody_waits_for_any_more_goes_on() {
    let collector = collector();
    let gate = collector.faults().hold();
    let engine = Destination::Healthy.engine(&collector.endpoint());
    track_all(&engine.handle());
    {
        let shutdown = engine.shutdown(BOUND);
        tokio::select! {
            report = shutdown => panic!("held, yet {report}"),
            () = in_time(collector.wait_for_waiting(1)) => {}
        }
    }
    gate.release();
    let report = in_time(engine.shutdown(BOUND)).await;
    assert!(report.is_settled(), "{report}");
    assert_holds_once(&collector, &ids_of(0..EVENTS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_tracked_while_the_engine_ends_are_delivered_or_refused_and_never_lost() {
    let collector = collector();
    let engine = builder()
        .batch_size(10)
        .provider(provider(&collector, "a"))
        .spawn()
        .expect("it starts");
    let trackers: Vec<_> = (0..4)
        .map(|thread| {
            let handle = engine.handle();
            std::thread::spawn(move || {
                let mut taken = Vec::new();
                for n in thread * 100_000.. {
                    match handle.try_track(numbered(n)) {
                        Ok(()) => taken.push(engine_support::id_of(n)),
                        Err(TrackError::Closed(_)) => return taken,
                        // a queue that is full for now
                        Err(_) => std::thread::yield_now(),
                    }
                }
                unreachable!("it is closed before")
            })
        })
        .collect();
    in_time(collector.wait_for_events(1000)).await;
    let report = in_time(engine.shutdown(BOUND)).await;
    let mut taken = BTreeSet::new();
    for tracker in trackers {
        let own = tracker.join().expect("it does not panic");
        taken.extend(own);
    }
    assert_final(&report);
    let ledger = engine.ledger();
    assert!(ledger.balances(), "{ledger}");
    assert_eq!(ledger.accepted, taken.len() as u64, "{ledger}");
    let account = account(&ledger, "a");
    assert_eq!(
        account.delivered + account.dropped.total(),
        ledger.accepted,
        "{ledger}"
    );
    let held = held(&collector);
    assert_eq!(held.len() as u64, account.delivered);
    assert!(held.iter().all(|(id, n)| *n == 1 && taken.contains(id)));
    // an event may be caught between its push and the close, and no more than one for each thread
    let abandoned = account.dropped.get(DropReason::Abandoned);
    assert!(abandoned <= 4, "{ledger}");
}

/// Child processes: this binary again, in another role.
#[cfg(target_os = "linux")]
mod processes {
    use std::process::Stdio;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::{Child, ChildStdout, Command};

    use super::*;

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
        let job = move || async move {
            let builder =
                EngineBuilder::shutdown_timeout(builder().batch_size(10), destination.deadline());
            let builder = match destination {
                Destination::Panicking => builder.provider(Panics),
                _ => builder.provider(ProductGraph::new(endpoint).max_batch_events(20)),
            };
            drain_when_told(builder.spawn().expect("it starts")).await
        };
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
        let killed = Command::new("kill").args(["-TERM", &pid]).status().await;
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
        on_every_destination("processes::sigterm_drains_on_a_current_thread_runtime", 0).await;
    }

    #[tokio::test]
    async fn sigterm_drains_on_one_worker() {
        on_every_destination("processes::sigterm_drains_on_one_worker", 1).await;
    }

    #[tokio::test]
    async fn sigterm_drains_on_four_workers() {
        on_every_destination("processes::sigterm_drains_on_four_workers", 2).await;
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
        let test = "processes::an_engine_that_is_switched_off_starts_no_thread";
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
        let test = "processes::an_engine_that_is_dropped_or_has_ended_leaves_no_thread_behind";
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
        let test = "processes::a_process_that_just_returns_from_main_is_not_kept_by_the_engine";
        let mut child = child(test, "leak", &[]);
        assert!(in_time(child.wait()).await.expect("it ends").success());
    }
}
