//! Thread-local destructors may ask for the correlation: no panic, no abort.
//!
//! A panic in such a destructor aborts the process, so each case runs in a process of its own.
#![cfg(all(feature = "opentelemetry", unix))]

use std::cell::Cell;
use std::process::{Command, Output};

use opentelemetry::Context;
use productgraph::correlation::{Correlation, capture, current_span, current_trace};

/// Which case a child process runs.
const CASE: &str = "PRODUCTGRAPH_TEARDOWN_CASE";

/// Runs one case of [`child`] in its own process.
fn run(case: &str) -> Output {
    Command::new(std::env::current_exe().expect("the test itself"))
        .args([
            "child",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CASE, case)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("started")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

thread_local! {
    static LAST: Cell<Option<AtExit>> = const { Cell::new(None) };
}

/// Runs a closure in the destructor of a thread-local.
struct AtExit(fn());

impl Drop for AtExit {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Everything that may be called there.
fn ask_for_everything() {
    let request = Correlation::builder().build();
    let entered = request.enter(|| Correlation::current().is_some());
    let captured = capture().enter(|| 7);
    let scoped = request.scope(async { current_trace().is_some() });
    let mut scoped = std::pin::pin!(scoped);
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let polled = scoped.as_mut().poll(cx).is_ready();
    println!(
        "current {:?}, span {:?}, entered {entered}, captured {captured}, polled {polled}",
        Correlation::current(),
        current_span()
    );
}

#[test]
#[ignore = "one case of the other tests, in a process of its own"]
fn child() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    let thread = std::thread::spawn(move || match case.as_str() {
        // destructors run last in, first out: ours and the context's before that of LAST
        "ours-and-context-first" => {
            LAST.set(Some(AtExit(ask_for_everything)));
            ask_for_everything();
        }
        // the destructor of LAST runs between ours and the context's
        "ours-first" => {
            Context::map_current(|_| ());
            LAST.set(Some(AtExit(ask_for_everything)));
            ask_for_everything();
        }
        "last-first" => {
            ask_for_everything();
            LAST.set(Some(AtExit(ask_for_everything)));
        }
        "never-used-before" => LAST.set(Some(AtExit(ask_for_everything))),
        // ours is first used when the context is gone: caught, once
        "only-the-context-before" => {
            LAST.set(Some(AtExit(|| {
                ask_for_everything();
                ask_for_everything();
            })));
            Context::map_current(|_| ());
        }
        // what all this is for
        "bare-opentelemetry" => {
            LAST.set(Some(AtExit(|| Context::map_current(|_| ()))));
            Context::map_current(|_| ());
        }
        other => println!("no such case: {other}"),
    });
    thread.join().expect("the thread itself ended well");
    println!("alive");
}

#[test]
fn a_destructor_may_ask_for_everything_in_whatever_order_destructors_run() {
    for (case, answers) in [
        ("ours-and-context-first", 2),
        ("ours-first", 2),
        ("last-first", 2),
        ("never-used-before", 1),
    ] {
        let output = run(case);
        let text = text(&output);
        assert!(
            output.status.success() && text.contains("alive"),
            "{case}: {text}"
        );
        assert_eq!(
            text.matches("captured 7, polled true").count(),
            answers,
            "{case}: {text}"
        );
        assert!(!text.contains("panicked"), "{case}: {text}");
    }
}

#[test]
fn the_one_panic_that_cannot_be_foreseen_is_caught_and_happens_once() {
    let output = run("only-the-context-before");
    let text = text(&output);
    assert!(output.status.success() && text.contains("alive"), "{text}");
    assert_eq!(text.matches("captured 7, polled true").count(), 2, "{text}");
    assert_eq!(text.matches("panicked at").count(), 1, "{text}");
}

#[test]
fn reading_the_opentelemetry_context_there_directly_would_abort() {
    let output = run("bare-opentelemetry");
    assert!(
        !output.status.success(),
        "the hazard is gone: {}",
        text(&output)
    );
}
