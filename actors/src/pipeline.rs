//! The engine: what `spawn` returns and what flush and shutdown are called on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::ActorRef;
use kameo::error::SendError;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::builder::PipelineBuilder;
use crate::finale::{Asked, Finale};
use crate::lane::LaneStatus;
use crate::ledger::{DropReason, Ledger};
use crate::report::{Completion, Report};
use crate::sender::Sender;
use crate::shutdown::{AllLives, Drain, Flush, Shutdown};
use crate::stages::Stages;
use crate::vitals::{Subject, Vitals};
use crate::watch::{Watch, on_thread, real_now};

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
    watch: Watch,
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
        watch: Watch,
        own: Option<Runtime>,
    ) -> Self {
        Self {
            stages,
            lives,
            finale,
            root,
            watch,
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
        let start = real_now();
        let (reply, report) = oneshot::channel();
        let answer = async {
            self.lives.supervisor.call(self.watch.now());
            // a refused message drops the sender, which the receiver sees
            let _ = self.root.tell(Flush { timeout, reply }).await;
            report.await
        };
        let (_armed, overdue) = self.watch.alarm(timeout);
        let completion = tokio::select! { biased;
            answer = answer => match answer.ok().or_else(|| self.finale.report()) {
                Some(report) => return report,
                None => Completion::Abandoned,
            },
            report = self.finale.reached() => return report,
            Ok(()) = overdue => self.deadline_passed(),
        };
        Report {
            ledger: self.ledger(),
            completion,
            elapsed: start.elapsed(),
        }
    }

    /// Refuses new events, delivers what is left within `timeout`, counts the rest as dropped, aborts
    /// attempts in flight, and reports. Idempotent: every caller gets the same report, and the first
    /// one's timeout holds. Works on any executor.
    pub async fn shutdown(&self, timeout: Duration) -> Report {
        if let Some(report) = self.finale.report() {
            return report;
        }
        let Asked { timeout, .. } = self.ask_to_end(timeout);
        self.lives.supervisor.call(self.watch.now());
        tokio::select! { biased;
            told = self.root.tell(Drain { timeout }) => {
                if told.is_err() {
                    return self.end(Completion::Abandoned, DropReason::Abandoned);
                }
            }
            report = self.finale.reached() => return report,
        }
        self.finale.reached().await
    }

    /// [`Pipeline::shutdown`] for threads that cannot await. Blocks this thread for at most `timeout`
    /// and a little; do not call it on a worker of the runtime that the engine was attached to.
    pub fn shutdown_blocking(&self, timeout: Duration) -> Report {
        if let Some(report) = self.finale.report() {
            return report;
        }
        let asked = self.ask_to_end(timeout);
        let end = self.watch.overdue(asked.deadline());
        let mut drain = Drain {
            timeout: asked.timeout,
        };
        while let Err(error) = self.root.tell(drain).try_send() {
            let SendError::MailboxFull(back) = error else {
                return self.end(Completion::Abandoned, DropReason::Abandoned);
            };
            drain = back;
            let soon = real_now() + Duration::from_millis(1);
            if let Some(report) = self.finale.wait_until(end.min(soon)) {
                return report;
            }
            if soon > end {
                return self.overdue();
            }
        }
        self.finale
            .wait_until(end)
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
        self.subject().lanes(self.watch.now())
    }

    /// Whether the engine moves, and what it holds. Never blocks, works on any thread, also while a
    /// provider or a hook blocks, and after the engine's end.
    pub fn vitals(&self) -> Vitals {
        self.subject().vitals(self.watch.now())
    }

    fn subject(&self) -> Subject<'_, E> {
        Subject {
            stages: &self.stages,
            lives: &self.lives,
            finale: &self.finale,
            supervised: self.root.is_alive(),
        }
    }

    /// How often an actor was restarted: buffer, fan-out and flushers together.
    pub fn restarts(&self) -> u32 {
        let AllLives {
            buffer,
            fan_out,
            flushers,
            ..
        } = &*self.lives;
        let flushers: u32 = flushers.iter().map(|lives| lives.restarts()).sum();
        buffer.restarts() + fan_out.restarts() + flushers
    }

    /// Actors that used up their restarts: what they did is no longer done.
    pub fn dead_actors(&self) -> u32 {
        self.lives.dead.load(std::sync::atomic::Ordering::Relaxed)
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

    /// Closes the intake, and has a plain thread keep the deadline of the first caller.
    fn ask_to_end(&self, timeout: Duration) -> Asked {
        self.stages.ingress.close();
        let (asked, first) = self.finale.ask(timeout);
        if first {
            let end = self.watch.overdue(asked.deadline());
            let (stages, finale) = (Arc::clone(&self.stages), Arc::clone(&self.finale));
            // without a thread to spare the runtime's timer is all there is
            on_thread(move || {
                if finale.wait_until(end).is_none() {
                    overdue(&stages, &finale);
                }
            });
        }
        asked
    }

    fn deadline_passed(&self) -> Completion {
        deadline_passed(&self.stages)
    }
}

fn deadline_passed<E: Send + Sync + 'static>(stages: &Stages<E>) -> Completion {
    let pending = stages.ledger().providers.into_iter();
    let unsettled = pending.filter(|p| p.pending > 0).map(|p| p.name).collect();
    Completion::DeadlinePassed { unsettled }
}

fn overdue<E: Send + Sync + 'static>(stages: &Stages<E>, finale: &Finale) -> Report {
    finale.end(deadline_passed(stages), || {
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

    /// Wedges one of the engine's actors: it neither moves nor dies until the answer is dropped.
    pub fn wedge(&self, victim: crate::testing::Victim) -> crate::testing::Wedged {
        use crate::wedge::{Wedge, WedgeOne};
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let wedge = Wedge(Arc::clone(&gate));
        drop(self.root.tell(WedgeOne(victim, wedge)).try_send());
        crate::testing::Wedged(gate)
    }

    /// [`Pipeline::vitals`] as an observer finds them whose clock says `now`.
    pub fn vitals_at(&self, now: tokio::time::Instant) -> Vitals {
        self.subject().vitals(now)
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
        // the actors see the report and stop
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
