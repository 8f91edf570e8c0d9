//! Deadlines kept in real time, for when the engine's runtime cannot keep them itself.
//!
//! Code of the application on the engine's runtime may block its timers, and an attached runtime that
//! nobody drives has none. A plain thread keeps the deadline then.

use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use crate::alarm::{Alarms, Armed};
use crate::backoff::FOREVER;
use crate::pulse::here;

/// By how much an engine may miss its own deadline before somebody else acts.
const GRACE: Duration = Duration::from_millis(25);
/// The same where the engine's clock may be paused, so that real time means little.
const PAUSABLE_GRACE: Duration = Duration::from_secs(1);

/// Who acts when an engine's own timers do not.
#[derive(Debug)]
pub(crate) struct Watch {
    pausable: bool,
    alarms: Alarms,
}

impl Watch {
    /// For an engine that runs on `runtime`. Only the clock of a current-thread runtime can be paused.
    pub(crate) fn of(runtime: &Handle) -> Self {
        Self {
            pausable: is_current_thread(runtime),
            alarms: Alarms::new(),
        }
    }

    /// Lets go of the alarms where their thread is not: in a child process.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(std::mem::replace(&mut self.alarms, Alarms::new()));
    }

    /// The time on the engine's clock, on whichever thread. Only a clock that may be paused is asked for:
    /// that of the caller's own runtime may be as well, and is another one.
    pub(crate) fn now(&self) -> tokio::time::Instant {
        if self.pausable {
            here()
        } else {
            tokio::time::Instant::from_std(real_now())
        }
    }

    /// When to act for an engine that should have ended at `deadline`.
    pub(crate) fn overdue(&self, deadline: Instant) -> Instant {
        deadline + if self.pausable { PAUSABLE_GRACE } else { GRACE }
    }

    /// Something to await that resolves when an answer due within `timeout` is overdue; never if no
    /// thread can be had.
    pub(crate) fn alarm(&self, timeout: Duration) -> (Armed, oneshot::Receiver<()>) {
        let (ring, rings) = oneshot::channel();
        let caller_drives = || Handle::try_current().is_ok_and(|here| is_current_thread(&here));
        if self.pausable && caller_drives() {
            return (Armed::never(), rings);
        }
        let at = self.overdue(real_now() + timeout.min(FOREVER));
        let armed = self.alarms.set(at, move || {
            // the caller may have gone
            let _ = ring.send(());
        });
        (armed, rings)
    }

    /// Does `action` when an engine that should have ended at `deadline` did not.
    pub(crate) fn when_overdue(
        &self,
        deadline: Instant,
        action: impl FnOnce() + Send + 'static,
    ) -> Armed {
        self.alarms.set(self.overdue(deadline), action)
    }
}

/// The time that goes on whatever the engine's clock does.
#[expect(
    clippy::disallowed_methods,
    reason = "keeping real time is what this file is for"
)]
pub(crate) fn real_now() -> Instant {
    Instant::now()
}

/// Runs `work` on a thread of its own, if one can be had.
pub(crate) fn on_thread(work: impl FnOnce() + Send + 'static) -> bool {
    let name = "productgraph-deadline".to_owned();
    std::thread::Builder::new().name(name).spawn(work).is_ok()
}

fn is_current_thread(runtime: &Handle) -> bool {
    matches!(runtime.runtime_flavor(), RuntimeFlavor::CurrentThread)
}
