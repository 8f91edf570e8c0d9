//! The one end of an engine: whoever gets there first writes the report, everyone reads it.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::FOREVER;
use crate::ledger::Ledger;
use crate::report::{Completion, Report};
use crate::vitals::Phase;
use crate::watch::real_now;

#[derive(Debug)]
pub(crate) struct Finale {
    asked: OnceLock<Asked>,
    begun: OnceLock<Instant>,
    /// How it ends, known before the report: closing may take a while.
    ending: OnceLock<Completion>,
    report: Mutex<Option<Report>>,
    written: Condvar,
    read: Notify,
}

/// The first request to end, in real time. Later ones change nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    at: std::time::Instant,
    pub(crate) timeout: Duration,
}

impl Asked {
    pub(crate) fn deadline(&self) -> std::time::Instant {
        self.at + self.timeout
    }
}

impl Finale {
    pub(crate) fn new() -> Self {
        Self {
            asked: OnceLock::new(),
            begun: OnceLock::new(),
            ending: OnceLock::new(),
            report: Mutex::new(None),
            written: Condvar::new(),
            read: Notify::new(),
        }
    }

    /// Notes that somebody wants the end within `timeout`; what the first one wanted, and whether
    /// this is the first.
    pub(crate) fn ask(&self, timeout: Duration) -> (Asked, bool) {
        let mut first = false;
        let asked = self.asked.get_or_init(|| {
            first = true;
            Asked {
                at: real_now(),
                timeout: timeout.min(FOREVER),
            }
        });
        (*asked, first)
    }

    /// Notes when the engine began to end, on its own clock.
    pub(crate) fn begin(&self, now: Instant) {
        self.begun.get_or_init(|| now);
    }

    fn elapsed(&self) -> Duration {
        match (self.begun.get(), self.asked.get()) {
            (Some(begun), _) => begun.elapsed(),
            (None, Some(asked)) => asked.at.elapsed(),
            (None, None) => Duration::ZERO,
        }
    }

    /// Ends, unless that happened before. `close` closes everything and returns the last accounts.
    pub(crate) fn end(&self, completion: Completion, close: impl FnOnce() -> Ledger) -> Report {
        let mut report = self.lock();
        let report = match &*report {
            Some(report) => report.clone(),
            None => {
                self.ending.get_or_init(|| completion.clone());
                let ledger = close();
                report
                    .insert(Report {
                        ledger,
                        completion,
                        elapsed: self.elapsed(),
                    })
                    .clone()
            }
        };
        self.written.notify_all();
        self.read.notify_waiters();
        report
    }

    /// Where the engine is. Takes no lock.
    pub(crate) fn phase(&self) -> Phase {
        match (self.ending.get(), self.asked.get()) {
            (Some(completion), _) => Phase::Ended(completion.clone()),
            (None, Some(_)) => Phase::Draining,
            (None, None) => Phase::Running,
        }
    }

    pub(crate) fn report(&self) -> Option<Report> {
        self.lock().clone()
    }

    /// Waits on any executor.
    pub(crate) async fn reached(&self) -> Report {
        loop {
            let read = self.read.notified();
            tokio::pin!(read);
            read.as_mut().enable();
            if let Some(report) = self.report() {
                return report;
            }
            read.await;
        }
    }

    /// Waits on this thread until `end` at the latest.
    pub(crate) fn wait_until(&self, end: std::time::Instant) -> Option<Report> {
        let limit = end.saturating_duration_since(real_now());
        let report = self.lock();
        let (report, _) = self
            .written
            .wait_timeout_while(report, limit, |report| report.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        report.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Report>> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
