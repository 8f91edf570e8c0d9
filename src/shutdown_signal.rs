//! The signals by which a service is asked to stop.

use std::future::pending;
use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

/// Completes when the process is asked to stop: SIGTERM or Ctrl-C, elsewhere than on Unix Ctrl-C.
///
/// Made for `axum::serve(..).with_graceful_shutdown(productgraph::shutdown_signal())`. Listens from this
/// call on, not only once it is awaited: start what a signal must not interrupt after it. Listens on a
/// small thread of its own, so it works on any runtime, busy or without I/O enabled, and ends with
/// the future. From the first use on the signals no longer end the process by themselves: a second
/// Ctrl-C does nothing, which is why a drain has a deadline.
///
/// Where SIGTERM cannot be listened for, Ctrl-C still counts; where neither can, this says so in the
/// log and never completes, as stopping at once would be worse.
///
/// ```no_run
/// # async fn example() {
/// productgraph::shutdown_signal().await;
/// println!("stopping");
/// # }
/// ```
#[must_use = "it listens for as long as it is kept"]
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    let signal = listen();
    async move {
        match signal.await {
            Ok(name) => tracing::info!(signal = name, "asked to stop"),
            // The listener has said why it gave up.
            Err(_) => pending().await,
        }
    }
}

/// Listens on a thread, which ends when this is dropped. Returns once the handlers are in place; that
/// takes as long as to start the thread.
fn listen() -> oneshot::Receiver<&'static str> {
    let (installed, when_installed) = mpsc::channel();
    let (signal, when_signalled) = oneshot::channel();
    let thread = thread::Builder::new().name("productgraph-signal".to_owned());
    match thread.spawn(move || run(installed, signal)) {
        // An error means that the thread gave up and has said why.
        Ok(_) => drop(when_installed.recv()),
        Err(error) => give_up(&error),
    }
    when_signalled
}

fn run(installed: mpsc::Sender<()>, mut signal: oneshot::Sender<&'static str>) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return give_up(&error),
    };
    runtime.block_on(async {
        let name = tokio::select! {
            name = first_signal(installed) => name,
            () = signal.closed() => None,
        };
        if let Some(name) = name {
            // The future may be gone by now; nobody is left to tell.
            let _ = signal.send(name);
        }
    });
}

/// The name of the first signal, or `None` when none can be listened for.
#[cfg(unix)]
async fn first_signal(installed: mpsc::Sender<()>) -> Option<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Err(error), Err(_)) => {
            give_up(&error);
            return None;
        }
        (terminate, interrupt) => (heard(terminate, "SIGTERM"), heard(interrupt, "SIGINT")),
    };
    let _ = installed.send(());
    tokio::select! {
        () = received(terminate.as_mut()) => Some("SIGTERM"),
        () = received(interrupt.as_mut()) => Some("SIGINT"),
    }
}

#[cfg(unix)]
fn heard(
    signal: io::Result<tokio::signal::unix::Signal>,
    name: &'static str,
) -> Option<tokio::signal::unix::Signal> {
    signal
        .inspect_err(|error| tracing::warn!(%error, signal = name, "cannot listen for a signal"))
        .ok()
}

#[cfg(unix)]
async fn received(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            if signal.recv().await.is_none() {
                pending::<()>().await;
            }
        }
        None => pending().await,
    }
}

/// As on Unix; there is no SIGTERM.
#[cfg(not(unix))]
async fn first_signal(installed: mpsc::Sender<()>) -> Option<&'static str> {
    let ctrl_c = tokio::signal::ctrl_c();
    let _ = installed.send(());
    match ctrl_c.await {
        Ok(()) => Some("Ctrl-C"),
        Err(error) => {
            give_up(&error);
            None
        }
    }
}

fn give_up(error: &io::Error) {
    tracing::warn!(%error, "cannot listen for any signal to stop, only an explicit shutdown will drain");
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Stdio;
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::Command;

    use super::*;

    const CHILD: &str = "PG_TEST_SIGNAL_CHILD";
    const ENDED_BY_SIGNAL: i32 = 42;

    /// The role of the child: says when it listens, then ends with its own code on the first signal.
    async fn wait_as_child() -> ! {
        let signal = listen();
        println!("\nready");
        let name = signal.await.expect("a signal");
        println!("{name}");
        std::process::exit(ENDED_BY_SIGNAL)
    }

    /// Runs `test` of this binary again as a child, sends it `signal` once it listens, and returns
    /// what it printed after that and its exit code.
    async fn child_after(test: &str, signal: &str) -> (String, Option<i32>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", test])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while lines
            .next_line()
            .await
            .unwrap()
            .expect("the child is ready before it ends")
            != "ready"
        {}

        let pid = child.id().expect("it still runs").to_string();
        let sent = Command::new("kill")
            .args([signal, &pid])
            .status()
            .await
            .unwrap();
        assert!(sent.success());

        let name = lines.next_line().await.unwrap().unwrap_or_default();
        (name, child.wait().await.unwrap().code())
    }

    async fn signalled(test: &str, signal: &str, name: &str) {
        if std::env::var_os(CHILD).is_some() {
            wait_as_child().await;
        }
        let bound = Duration::from_secs(60);
        let ended = tokio::time::timeout(bound, child_after(test, signal))
            .await
            .unwrap();
        assert_eq!(ended, (name.to_owned(), Some(ENDED_BY_SIGNAL)));
    }

    #[tokio::test]
    async fn sigterm_completes_it_in_a_real_process() {
        let test = "shutdown_signal::tests::sigterm_completes_it_in_a_real_process";
        signalled(test, "-TERM", "SIGTERM").await;
    }

    #[tokio::test]
    async fn ctrl_c_completes_it_in_a_real_process() {
        let test = "shutdown_signal::tests::ctrl_c_completes_it_in_a_real_process";
        signalled(test, "-INT", "SIGINT").await;
    }

    #[test]
    fn a_runtime_without_io_is_no_obstacle_and_dropping_it_ends_the_thread() {
        let bare = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (installed, when_installed) = mpsc::channel();
        let (signal, when_signalled) = oneshot::channel();
        let thread = thread::spawn(move || run(installed, signal));

        bare.block_on(async { when_installed.recv() })
            .expect("handlers are in place");
        drop(when_signalled);
        thread.join().expect("the thread ends by itself");
    }
}
