//! The engine where a service least expects to call it: without a runtime, on somebody else's, in the
//! last moments of a thread or a process, inside its own provider.

#[path = "../engine_support/mod.rs"]
mod engine_support;

mod clients;
mod endings;
mod executors;
mod lifetimes;
mod many;

use std::future::Future;
use std::process::{Command, Output};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use engine_support::{BOUND, builder};
use productgraph::providers::Memory;
use productgraph::{Engine, Report};

/// Set in a process that plays a part of a test.
const ROLE: &str = "PG_TEST_RUNTIME_ROLE";

/// An engine on its own runtime that delivers to `memory`.
fn engine(memory: &Memory) -> Engine {
    builder().provider(memory.clone()).spawn().expect("starts")
}

/// An executor with nothing of tokio in it.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Fails unless everything was delivered, `events` of them.
#[track_caller]
fn assert_delivered(report: &Report, events: u64) {
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    assert_eq!(report.ledger.accepted, events, "{report}");
}

/// Shuts down on this thread and checks that `events` events were delivered.
#[track_caller]
fn assert_ends_clean(engine: &Engine, events: u64) {
    assert_delivered(&engine.shutdown_blocking(BOUND), events);
}

/// Runs `test` of this binary in a process of its own, where [`is_child`] is true.
#[track_caller]
fn in_a_process_of_its_own(test: &str) -> String {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "--nocapture", test])
        .env(ROLE, test)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("a process");
    let said = text(&output);
    assert!(output.status.success(), "{:?}: {said}", output.status);
    said
}

fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
