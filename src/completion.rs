//! What an event gets once it was accepted, away from its caller.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Event;
use crate::correlation::{Correlation, SessionId, SessionSource};

/// Gives events their place in the order of one engine, their id, and a session where they have none.
///
/// One thread at a time does so, in the order in which events were accepted. Done by the callers it
/// would have them meet at one counter.
#[derive(Debug)]
pub(crate) struct Completion {
    next: AtomicU64,
    /// For events outside any request.
    process: Correlation,
}

impl Completion {
    pub(crate) fn new() -> Self {
        let process = Correlation::builder()
            .session(SessionId::of_process(), SessionSource::Process)
            .build();
        Self {
            next: AtomicU64::new(1),
            process,
        }
    }

    /// Fills in what the event does not say itself.
    pub(crate) fn complete(&self, event: &mut Event) {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        event.complete(sequence, &self.process);
    }
}
