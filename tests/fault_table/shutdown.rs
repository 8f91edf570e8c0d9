//! The end in the middle of an outage. How an engine ends on each kind of runtime is in
//! `tests/engine_shutdown.rs`.

use productgraph::LaneState;
use productgraph_collector::{Fault, RetryAfter, When};

use crate::engine_support::faulty::EVENTS;
use crate::engine_support::{BOUND, current_thread, in_time, log};
use crate::stage::{Losses, Stage, Times, cases, lets_go};

/// The destination is as it is until after the deadline.
async fn ends_during(
    name: &'static str,
    fault: impl Into<Fault>,
    lane: LaneState,
    said: &'static str,
) {
    let mut stage = Stage::direct(name);
    stage.store.faults().set_standing(fault, When::Always);
    stage.gets_into_trouble("status", lane).await;
    let engine = stage.ends_at_the_deadline(&[said]).await;
    lets_go(&engine).await;
    let shown = engine.shutdown(BOUND).await.to_string();
    let account = format!("{name}: delivered 0, rejected 0, dropped 20 (deadline 20), pending 0");
    assert!(shown.starts_with("deadline passed after "), "{shown}");
    assert!(shown.contains(&format!("(unsettled: {name})")), "{shown}");
    assert!(shown.contains(&account), "{shown}");
    assert!(
        shown.contains("sound: delivered 20, rejected 0, dropped 0, pending 0"),
        "{shown}"
    );
}

cases! {
    a_shutdown_during_an_outage: ends_during(Fault::status(503), LaneState::Retrying, log::FAILS);
    a_shutdown_while_the_client_is_refused: ends_during(Fault::status(401), LaneState::Held, log::HELD);
}

#[tokio::test]
async fn a_shutdown_that_the_end_of_the_outage_comes_before() {
    let name = "a_shutdown_that_the_end_of_the_outage_comes_before";
    let mut stage = Stage::direct(name);
    let busy = productgraph_collector::Answer::new(503).retry_after(RetryAfter::Seconds(60));
    stage.store.faults().push(busy);
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    crate::engine_support::until(|| stage.lane().failures == 1).await;
    // the drain does not wait for the minute
    let report = in_time(stage.engine.shutdown(BOUND)).await;
    assert!(report.is_settled(), "{report}");
    let ids = crate::engine_support::ids_of(0..EVENTS);
    stage.check(&report, &ids, &Losses::default());
    crate::engine_support::assert_holds_once(&stage.store, &ids);
    log::assert_said(name, &[log::FAILS, log::WORKS_AGAIN]).await;
}

#[test]
fn the_runtime_of_the_application_ends_during_an_outage() {
    let name = "the_runtime_of_the_application_ends_during_an_outage";
    let application = current_thread();
    let stage = application.block_on(async {
        let mut stage = Stage::direct(name);
        let outage = Fault::status(503);
        stage.store.faults().set_standing(outage, When::Always);
        stage.gets_into_trouble("status", LaneState::Retrying).await;
        stage
    });
    drop(application);
    stage.store.faults().clear();
    current_thread().block_on(stage.recovers(Times::Once, &[log::FAILS, log::WORKS_AGAIN]));
}

#[test]
fn an_engine_that_is_dropped_during_an_outage() {
    let name = "an_engine_that_is_dropped_during_an_outage";
    let runtime = current_thread();
    let mut stage = Stage::direct(name);
    let gate = stage.store.faults().hold();
    // a number by which to know the line in the log
    let events = EVENTS + 17;
    runtime.block_on(async {
        stage.track(events);
        stage.sends_to_the_sound_one().await;
        in_time(stage.store.wait_for_waiting(1)).await;
    });
    let handle = stage.engine.handle();
    drop(stage.engine);
    // its request ends with it: nothing is sent by an engine that is gone
    runtime.block_on(in_time(stage.store.wait_for_requests(1)));
    drop(gate);
    assert!(stage.store.event_ids().is_empty());
    let late = crate::engine_support::numbered(events);
    assert!(handle.try_track(late).is_err());
    assert!(log::said_of(name).is_empty());
    let left = log::fields_with(log::LEFT_BEHIND);
    let told = left.iter().filter(|fields| *fields == " events=37");
    assert_eq!(told.count(), 1, "{left:?}");
}

#[cfg(target_os = "linux")]
mod processes {
    use std::process::Stdio;

    use productgraph::providers::ProductGraph;
    use productgraph_collector::{Fault, When};
    use tokio::io::{AsyncBufReadExt, BufReader, Lines};
    use tokio::process::{Child, ChildStdout, Command};

    use crate::engine_support::faulty::{EVENTS, track};
    use crate::engine_support::{assert_holds_once, builder, collector, ids_of, in_time, millis};

    const ROLE: &str = "PG_TEST_FAULT_TABLE_CHILD";

    /// Whether a handler for SIGTERM is in place.
    fn catches_sigterm() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.expect("a mask").trim(), 16).expect("a number");
        caught & (1 << (15 - 1)) != 0
    }

    /// A service with a destination that never answers and a sound one; ends on SIGTERM.
    async fn be_the_service(endpoints: &str) -> ! {
        let (faulty, sound) = endpoints.split_once(' ').expect("two endpoints");
        let engine = builder()
            .provider(ProductGraph::new(faulty).name("faulty"))
            .provider(ProductGraph::new(sound).name("sound"))
            .shutdown_timeout(millis(1000))
            .spawn()
            .expect("it starts");
        track(&engine, 0..EVENTS);
        let _ = engine.flush(millis(1)).await;
        let signal = async {
            productgraph::shutdown_signal().await;
            println!("\ndraining");
        };
        let ready = async {
            while !catches_sigterm() {
                tokio::task::yield_now().await;
            }
            println!("\nready");
        };
        let (report, ()) = tokio::join!(engine.drain_on(signal), ready);
        println!("\nreport {}", report.to_string().replace('\n', ";"));
        std::process::exit(0)
    }

    struct Service(Child, Lines<BufReader<ChildStdout>>);

    impl Service {
        fn start(test: &str, endpoints: &str) -> Self {
            let mut child = Command::new(std::env::current_exe().expect("this binary"))
                .args(["--exact", "--nocapture", test])
                .env(ROLE, endpoints)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("a process");
            let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
            Self(child, lines)
        }

        async fn says(&mut self, start: &str) -> String {
            loop {
                let line = in_time(self.1.next_line()).await.expect("text");
                let line = line.unwrap_or_else(|| panic!("ended without a line {start:?}"));
                if let Some(rest) = line.strip_prefix(start) {
                    return rest.to_owned();
                }
            }
        }

        async fn signal(&self, name: &str) {
            let pid = self.0.id().expect("it still runs");
            let killed = Command::new("sh")
                .args(["-c", &format!("kill -{name} {pid}")])
                .status()
                .await;
            assert!(killed.expect("it runs").success());
        }
    }

    #[tokio::test]
    async fn a_second_sigterm_does_not_cut_the_drain_short() {
        if let Ok(endpoints) = std::env::var(ROLE) {
            be_the_service(&endpoints).await;
        }
        let test = "shutdown::processes::a_second_sigterm_does_not_cut_the_drain_short";
        let (faulty, sound) = (collector(), collector());
        let silence = Fault::never_answer();
        faulty.faults().set_standing(silence, When::Always);
        let endpoints = format!("{} {}", faulty.endpoint(), sound.endpoint());
        let mut service = Service::start(test, &endpoints);
        service.says("ready").await;
        service.signal("TERM").await;
        service.says("draining").await;
        service.signal("TERM").await;
        let report = service.says("report ").await;
        let ended = in_time(service.0.wait()).await.expect("it ends");
        assert_eq!(ended.code(), Some(0));
        assert!(report.starts_with("deadline passed after 1."), "{report}");
        assert!(
            report.contains("dropped 20 (deadline 20), pending 0"),
            "{report}"
        );
        assert!(report.contains("sound: delivered 20,"), "{report}");
        assert_holds_once(&sound, &ids_of(0..EVENTS));
        assert_eq!(faulty.stats().accepted, 0);
    }

    #[tokio::test]
    async fn a_killed_process_takes_what_was_not_delivered_with_it() {
        use std::os::unix::process::ExitStatusExt;

        if let Ok(endpoints) = std::env::var(ROLE) {
            be_the_service(&endpoints).await;
        }
        let test = "shutdown::processes::a_killed_process_takes_what_was_not_delivered_with_it";
        let (faulty, sound) = (collector(), collector());
        let silence = Fault::never_answer();
        faulty.faults().set_standing(silence, When::Always);
        let endpoints = format!("{} {}", faulty.endpoint(), sound.endpoint());
        let mut service = Service::start(test, &endpoints);
        service.says("ready").await;
        in_time(sound.wait_for_events(EVENTS as u64)).await;
        service.signal("KILL").await;
        let ended = in_time(service.0.wait()).await.expect("it ends");
        assert_eq!(ended.signal(), Some(9));
        // the connection went with it; the collector gives its request up
        in_time(faulty.wait_until(|stats| stats.open_connections == 0)).await;
        assert_eq!(faulty.stats().accepted, 0);
        assert_holds_once(&sound, &ids_of(0..EVENTS));
    }
}
