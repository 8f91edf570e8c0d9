//! The one end of an engine: whoever gets there first writes the report, everyone reads it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ledger::Ledger;
use crate::report::{Completion, Report};

#[derive(Debug)]
pub(crate) struct Finale {
    begun: Mutex<Option<Instant>>,
    report: Mutex<Option<Report>>,
    written: Condvar,
    read: Notify,
}

impl Finale {
    pub(crate) fn new() -> Self {
        Self {
            begun: Mutex::new(None),
            report: Mutex::new(None),
            written: Condvar::new(),
            read: Notify::new(),
        }
    }

    /// Notes when the end began.
    pub(crate) fn begin(&self, now: Instant) {
        self.begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(now);
    }

    /// Ends, unless that happened before. `close` closes everything and returns the last accounts.
    pub(crate) fn end(&self, completion: Completion, close: impl FnOnce() -> Ledger) -> Report {
        let mut report = self.lock();
        let report = match &*report {
            Some(report) => report.clone(),
            None => {
                let ledger = close();
                let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                let elapsed = begun.map_or(Duration::ZERO, |at| at.elapsed());
                report
                    .insert(Report {
                        ledger,
                        completion,
                        elapsed,
                    })
                    .clone()
            }
        };
        self.written.notify_all();
        self.read.notify_waiters();
        report
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

    /// Waits on this thread, for at most `limit` of real time.
    pub(crate) fn wait(&self, limit: Duration) -> Option<Report> {
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
