//! The engine: what `spawn` returns and what flush and shutdown are called on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::ActorRef;
use kameo::error::SendError;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::builder::PipelineBuilder;
use crate::finale::Finale;
use crate::lane::LaneStatus;
use crate::ledger::{DropReason, Ledger};
use crate::report::{Completion, Report};
use crate::sender::Sender;
use crate::shutdown::{AllLives, Drain, Flush, Shutdown, Stop};
use crate::stages::Stages;

/// By how much the engine may miss its own deadline before the report is written without it.
const GRACE: Duration = Duration::from_millis(25);

/// A running delivery engine.
///
/// [`Pipeline::shutdown`] delivers what is left and reports. Dropping it instead gives everything
/// that is left up at once, counts it, warns, and never blocks.
#[must_use = "dropping the pipeline gives up whatever it holds"]
pub struct Pipeline<E: Send + Sync + 'static> {
    stages: Arc<Stages<E>>,
    lives: Arc<AllLives>,
    finale: Arc<Finale>,
    root: ActorRef<Shutdown<E>>,
    own: Option<Runtime>,
}

impl<E: Send + Sync + 'static> Pipeline<E> {
    /// Starts to describe a pipeline. `weigh` says how many bytes of memory an event holds.
    #[must_use]
    pub fn builder(weigh: fn(&E) -> usize) -> PipelineBuilder<E> {
        PipelineBuilder::new(weigh)
    }

    pub(crate) fn new(
        stages: Arc<Stages<E>>,
        lives: Arc<AllLives>,
        finale: Arc<Finale>,
        root: ActorRef<Shutdown<E>>,
        own: Option<Runtime>,
    ) -> Self {
        Self {
            stages,
            lives,
            finale,
            root,
            own,
        }
    }

    /// A sender of events; clone it freely.
    pub fn sender(&self) -> Sender<E> {
        Sender::new(Arc::clone(&self.stages))
    }

    /// Settles everything accepted before this call, or as much as `timeout` allows. Waits that are
    /// running are skipped once. Works on any executor.
    pub async fn flush(&self, timeout: Duration) -> Report {
        let (reply, report) = oneshot::channel();
        // a refused message drops the sender, which the receiver sees
        let _ = self.root.tell(Flush { timeout, reply }).await;
        match report.await {
            Ok(report) => report,
            // the end came first
            Err(_) => self.end(Completion::Abandoned, DropReason::Abandoned),
        }
    }

    /// Refuses new events, delivers what is left within `timeout`, counts the rest as dropped, aborts
    /// attempts in flight, and reports. Idempotent: every caller gets the same report, and the first
    /// one's timeout holds. Works on any executor.
    pub async fn shutdown(&self, timeout: Duration) -> Report {
        if let Some(report) = self.finale.report() {
            return report;
        }
        self.stages.ingress.close();
        self.watch_deadline(timeout);
        if self.root.tell(Drain { timeout }).await.is_err() {
            return self.end(Completion::Abandoned, DropReason::Abandoned);
        }
        self.finale.reached().await
    }

    /// [`Pipeline::shutdown`] for threads that cannot await. Blocks this thread for at most `timeout`
    /// and a little; do not call it on a worker of the runtime that the engine was attached to.
    pub fn shutdown_blocking(&self, timeout: Duration) -> Report {
        if let Some(report) = self.finale.report() {
            return report;
        }
        self.stages.ingress.close();
        let mut drain = Drain { timeout };
        loop {
            match self.root.tell(drain).try_send() {
                Ok(()) => break,
                Err(SendError::MailboxFull(back)) => {
                    drain = back;
                    self.finale.wait(Duration::from_millis(1));
                }
                Err(_) => return self.end(Completion::Abandoned, DropReason::Abandoned),
            }
        }
        self.finale
            .wait(timeout.saturating_add(GRACE))
            .unwrap_or_else(|| self.overdue())
    }

    /// The accounts at this instant.
    pub fn ledger(&self) -> Ledger {
        self.stages.ledger()
    }

    /// Bytes charged against the ceiling at this instant.
    pub fn bytes_held(&self) -> usize {
        self.stages.ingress.budget().used()
    }

    /// What every lane is doing.
    pub fn lanes(&self) -> Vec<LaneStatus> {
        let now = Instant::now();
        self.stages
            .lanes
            .iter()
            .map(|lane| lane.status(now))
            .collect()
    }

    /// How often an actor was restarted: buffer, fan-out and flushers together.
    pub fn restarts(&self) -> u32 {
        let AllLives {
            buffer,
            fan_out,
            flushers,
        } = &*self.lives;
        let flushers: u32 = flushers.iter().map(|lives| lives.restarts()).sum();
        buffer.restarts() + fan_out.restarts() + flushers
    }

    /// Stops starting attempts for a provider, or resumes. False if there is no such provider.
    pub fn set_paused(&self, provider: &str, paused: bool) -> bool {
        let lane = self
            .stages
            .lanes
            .iter()
            .find(|lane| lane.name() == provider);
        if let Some(lane) = lane {
            lane.set_paused(paused);
        }
        lane.is_some()
    }

    fn end(&self, completion: Completion, reason: DropReason) -> Report {
        self.finale.end(completion, || {
            self.stages.close(reason);
            self.stages.ledger()
        })
    }

    fn overdue(&self) -> Report {
        overdue(&self.stages, &self.finale)
    }

    /// A provider that blocks every worker of the engine's own runtime also blocks its clock: a plain
    /// thread keeps the deadline then. An attached runtime has a clock that may be paused; there the
    /// runtime's own timer has to do.
    fn watch_deadline(&self, timeout: Duration) {
        if self.own.is_none() {
            return;
        }
        let stages = Arc::clone(&self.stages);
        let finale = Arc::clone(&self.finale);
        let watch = move || {
            if finale.wait(timeout.saturating_add(GRACE)).is_none() {
                overdue(&stages, &finale);
            }
        };
        // without a thread to spare the runtime's timer is all there is
        let _ = std::thread::Builder::new()
            .name("productgraph-deadline".to_owned())
            .spawn(watch);
    }
}

fn overdue<E: Send + Sync + 'static>(stages: &Stages<E>, finale: &Finale) -> Report {
    let pending = stages
        .ledger()
        .providers
        .into_iter()
        .filter(|p| p.pending > 0);
    let unsettled = pending.map(|p| p.name).collect();
    finale.end(Completion::DeadlinePassed { unsettled }, || {
        stages.close(DropReason::Deadline);
        stages.ledger()
    })
}

#[cfg(any(test, feature = "testing"))]
impl<E: Send + Sync + 'static> Pipeline<E> {
    /// Crashes one of the engine's actors, as a bug would.
    pub fn crash(&self, victim: crate::testing::Victim) {
        drop(
            self.root
                .tell(crate::shutdown::CrashChild(victim))
                .try_send(),
        );
    }

    /// Events without a verdict at the provider at `index`, counted one by one where they are instead
    /// of by subtraction. Only meaningful while nothing moves.
    pub fn audit(&self, index: usize) -> u64 {
        self.stages.audit(index)
    }
}

impl<E: Send + Sync + 'static> Drop for Pipeline<E> {
    fn drop(&mut self) {
        if self.finale.report().is_none() {
            let left: u64 = self
                .ledger()
                .providers
                .iter()
                .map(|p| p.pending)
                .max()
                .unwrap_or(0);
            self.end(Completion::Abandoned, DropReason::Abandoned);
            if left > 0 {
                tracing::warn!(
                    events = left,
                    "engine dropped without shutdown; events given up"
                );
            }
        }
        // the actors' strong references keep them alive: tell them
        let _ = self.root.tell(Stop).try_send();
        if let Some(own) = self.own.take() {
            own.shutdown_background();
        }
    }
}

impl<E: Send + Sync + 'static> fmt::Debug for Pipeline<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("ledger", &self.ledger())
            .finish_non_exhaustive()
    }
}
