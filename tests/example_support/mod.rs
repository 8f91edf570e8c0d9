//! Runs examples as child processes.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

/// Nothing here takes as long; a test that waits this long has failed.
pub(crate) const FOREVER: Duration = Duration::from_secs(180);

/// The program of an example. `cargo test` builds them all; a run of one test binary alone may have
/// to do it here.
pub(crate) fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let deps = std::env::current_exe().expect("a test has a path");
    let profile = deps.parent().and_then(|deps| deps.parent());
    let profile = profile.expect("a test is in target/PROFILE/deps");
    let program = profile.join("examples").join(name);
    if !program.exists() {
        BUILT.get_or_init(|| {
            let release = profile.ends_with("release").then_some("--release");
            let status = Command::new(env!("CARGO"))
                .args([
                    "build",
                    "--quiet",
                    "--package",
                    "productgraph",
                    "--examples",
                ])
                .args(release)
                .status()
                .expect("cargo runs");
            assert!(status.success(), "the examples do not build");
        });
    }
    assert!(program.exists(), "no {}", program.display());
    program
}

/// A command that inherits nothing from the environment of the test.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    command
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The last line on standard output.
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }
}

/// A running example whose standard input stays open until it is [finished](Running::finish).
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    feeder: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the example runs");
        Self {
            input: child.stdin.take(),
            child,
            feeder: None,
        }
    }

    /// Writes to its standard input, which stays open.
    pub(crate) fn write(&mut self, text: &[u8]) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(text).expect("the example reads");
        input.flush().expect("the example reads");
    }

    /// Writes on another thread, as much as is read, and closes.
    pub(crate) fn feed(
        &mut self,
        write: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send + 'static,
    ) {
        let mut input = self.input.take().expect("the input is open");
        self.feeder = Some(std::thread::spawn(move || write(&mut input)));
    }

    /// Its standard output, to be read while it runs.
    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("the output is open")
    }

    /// Its standard error, which then nobody reads.
    pub(crate) fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("the errors are open")
    }

    /// Closes its standard output, as `head` does.
    pub(crate) fn close_stdout(&mut self) {
        self.child.stdout = None;
    }

    /// Closes its standard error.
    pub(crate) fn close_stderr(&mut self) {
        self.child.stderr = None;
    }

    /// Sends a signal, by its name without `SIG`, once the program listens for it.
    pub(crate) fn signal(&self, name: &str) {
        let number = match name {
            "INT" => 2,
            "TERM" => 15,
            _ => panic!("unknown signal"),
        };
        let since = Instant::now();
        while !self.catches(number) {
            assert!(since.elapsed() < FOREVER, "it never listens for SIG{name}");
            std::thread::yield_now();
        }
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .expect("there is a kill command");
        assert!(sent.success());
    }

    /// Whether the program has a handler for the signal. Without a `/proc` to look it up in, it is
    /// taken for granted.
    fn catches(&self, number: u32) -> bool {
        let status = self.status("SigCgt");
        let mask =
            status.map(|mask| u64::from_str_radix(&mask, 16).expect("a mask is hexadecimal"));
        mask.is_none_or(|mask| mask & (1 << (number - 1)) != 0)
    }

    /// The most memory that it has held so far, where that can be looked up.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let peak = self.status("VmHWM")?;
        let number = peak.split_whitespace().next()?;
        Some(number.parse().expect("a size is a number"))
    }

    fn status(&self, key: &str) -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.trim().to_owned())
    }

    /// Waits for its end with the input still open.
    pub(crate) fn wait(mut self) -> Ended {
        let input = self.input.take();
        let ended = self.collect();
        drop(input);
        ended
    }

    /// Closes the input and waits for the end.
    pub(crate) fn finish(mut self) -> Ended {
        self.input = None;
        self.collect()
    }

    fn collect(self) -> Ended {
        let Output {
            status,
            stdout,
            stderr,
        } = self.child.wait_with_output().expect("the example ends");
        if let Some(feeder) = self.feeder {
            // whoever is stopped does not read to the end
            let _ = feeder.join().expect("writing does not panic");
        }
        Ended {
            code: status.code(),
            stdout: String::from_utf8(stdout).expect("output is text"),
            stderr: String::from_utf8(stderr).expect("errors are text"),
        }
    }
}
