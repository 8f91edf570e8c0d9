//! The process an engine was started in.
//!
//! After a fork only the thread that forked exists in the child. The engine's threads are gone there,
//! and a lock that one of them held stays held for ever. So the child's copy of an engine can only be
//! told to refuse, by means that need no lock.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where an engine belongs.
#[derive(Debug)]
pub(crate) struct Origin {
    process: u32,
    /// What the current process is.
    current: fn() -> u32,
    /// It is known that this is a copy of the engine in a child process.
    forked: AtomicBool,
}

impl Origin {
    /// The process that this is.
    pub(crate) fn here() -> Self {
        Self::told_by(process::id)
    }

    /// The process that `current` says this is.
    pub(crate) fn told_by(current: fn() -> u32) -> Self {
        Self {
            process: current(),
            current,
            forked: AtomicBool::new(false),
        }
    }

    /// Whether this is another process. Costs a system call until it is.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_known_to_be_elsewhere() || (self.current)() != self.process
    }

    /// Whether that was found out before.
    pub(crate) fn is_known_to_be_elsewhere(&self) -> bool {
        self.forked.load(Ordering::Acquire)
    }

    /// Notes that this is another process; true for the first to do so.
    pub(crate) fn note(&self) -> bool {
        !self.forked.swap(true, Ordering::AcqRel)
    }
}
