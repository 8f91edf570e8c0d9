//! From input to engine: the reader's thread, and what others may know of it.

use std::fmt::Display;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use productgraph::event::wire::{MAX_WIRE_BYTES, ReadError};
use productgraph::{Event, Handle};
use tokio::runtime;
use tokio::sync::watch;

use crate::lines::{Line, Lines};
use crate::narrator::Narrator;

/// Reads events and waits for room in the engine; watched and stopped from elsewhere.
pub(crate) struct Feed {
    stage: watch::Sender<Stage>,
    stopping: watch::Sender<bool>,
    bad_input: AtomicBool,
    narrator: Narrator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In a read, which may never end. Every line that was complete has been dealt with.
    Reading,
    /// Lines are at hand.
    Working,
    /// Nothing more will come.
    Ended,
}

impl Feed {
    /// Complains to `narrator`.
    pub(crate) fn new(narrator: Narrator) -> Self {
        Self {
            stage: watch::Sender::new(Stage::Working),
            stopping: watch::Sender::new(false),
            bad_input: AtomicBool::new(false),
            narrator,
        }
    }

    /// Feeds `handle` until the input ends or [`stop`](Self::stop) is called, waiting for room on
    /// `runtime`.
    pub(crate) fn run(&self, mut input: impl Read, handle: &Handle, runtime: &runtime::Handle) {
        let mut lines = Lines::new(MAX_WIRE_BYTES);
        let mut more = true;
        while more {
            let _ = self.stage.send_replace(Stage::Reading);
            if self.is_stopping() {
                break;
            }
            more = lines.fill(&mut input).unwrap_or_else(|error| {
                self.complain(&format_args!("the input cannot be read: {error}"), runtime);
                false
            });
            // What arrives after the signal counts as not read.
            if self.is_stopping() {
                break;
            }
            let _ = self.stage.send_replace(Stage::Working);
            while let Some(line) = lines.next() {
                self.take(&line, handle, runtime);
            }
        }
        if !self.is_stopping()
            && let Some(line) = lines.last()
        {
            self.take(&line, handle, runtime);
        }
        let _ = self.stage.send_replace(Stage::Ended);
    }

    /// Ends the reading with the lines that have been read.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits for the end of input.
    pub(crate) async fn ended(&self) {
        self.reached(|stage| stage == Stage::Ended).await;
    }

    /// Waits until every line that was read has been taken or refused.
    pub(crate) async fn at_rest(&self) {
        self.reached(|stage| stage != Stage::Working).await;
    }

    /// Whether a line was no event, or the input could not be read.
    pub(crate) fn had_bad_input(&self) -> bool {
        self.bad_input.load(Ordering::SeqCst)
    }

    async fn reached(&self, wanted: impl Fn(Stage) -> bool) {
        // the sender is `self`, so it cannot be gone
        let _ = self
            .stage
            .subscribe()
            .wait_for(|&stage| wanted(stage))
            .await;
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn take(&self, line: &Line<'_>, handle: &Handle, runtime: &runtime::Handle) {
        let number = line.number;
        let Some(text) = line.text else {
            let problem = format_args!("line {number}: longer than {MAX_WIRE_BYTES} bytes");
            return self.complain(&problem, runtime);
        };
        if text.trim_ascii().is_empty() {
            return;
        }
        let event = match Event::from_wire(text) {
            Ok(event) => event,
            Err(ReadError::Json(error)) => {
                let column = error.column();
                let problem = format_args!("line {number}: not valid JSON at column {column}");
                return self.complain(&problem, runtime);
            }
            Err(error) => return self.complain(&format_args!("line {number}: {error}"), runtime),
        };
        // A refusal is in the ledger.
        if let Err(error) = runtime.block_on(handle.track_wait(event)) {
            self.tell(&format_args!("line {number}: {error}"), runtime);
        }
    }

    fn complain(&self, problem: &dyn Display, runtime: &runtime::Handle) {
        self.bad_input.store(true, Ordering::SeqCst);
        self.tell(problem, runtime);
    }

    /// Once stopping, nobody who does not read may hold up what was read.
    fn tell(&self, message: &dyn Display, runtime: &runtime::Handle) {
        let stopped = async {
            // the sender is `self`, so it cannot be gone
            let _ = self
                .stopping
                .subscribe()
                .wait_for(|&stopping| stopping)
                .await;
        };
        runtime.block_on(self.narrator.tell(message.to_string(), stopped));
    }
}
