//! What the tests of health and metrics share: an engine under a paused clock, and what it logs.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use productgraph::providers::Memory;
use productgraph::{Cause, Engine, EngineBuilder, Event, Outcome};
use tokio::runtime::Handle;
use tokio::time::{Instant, advance};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// An engine on this runtime that sends to `memory`.
pub(crate) fn attached(memory: &Memory) -> EngineBuilder {
    Engine::builder()
        .project("shop")
        .batch_size(10)
        .batch_interval(SECOND)
        .runtime(Handle::current())
        .provider(memory.clone())
}

pub(crate) fn track(engine: &Engine, events: usize) {
    for n in 0..events {
        engine
            .handle()
            .track(Event::custom("numbered").with("n", n));
    }
}

/// Answers that many requests so.
pub(crate) fn answer(memory: &Memory, times: usize, outcome: &Outcome) {
    for _ in 0..times {
        memory.answer(outcome.clone());
    }
}

pub(crate) fn status(status: u16) -> Outcome {
    Outcome::Retry {
        not_before: None,
        cause: Cause::status(status),
    }
}

/// Lets time pass in steps, and everybody do what is due in each.
pub(crate) async fn pass(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        advance((end - Instant::now()).min(Duration::from_millis(200))).await;
        turns().await;
    }
}

/// Lets everybody do what is to be done now.
pub(crate) async fn turns() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Everything that this thread logs from now on, until the guard is dropped.
    pub(crate) fn collect() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// What was logged since this was asked last.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8(std::mem::take(&mut *bytes)).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
