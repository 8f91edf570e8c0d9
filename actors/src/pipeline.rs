//! The engine: what `spawn` returns and what flush and shutdown are called on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kameo::actor::ActorRef;
use kameo::error::SendError;
use tokio::sync::oneshot;

use crate::alarm::Armed;
use crate::builder::PipelineBuilder;
use crate::finale::{Asked, Finale};
use crate::lane::LaneStatus;
use crate::ledger::{DropReason, Ledger};
use crate::report::{Completion, Report};
use crate::runtimes::Runtimes;
use crate::sender::Sender;
use crate::shutdown::{AllLives, Drain, Flush, Shutdown};
use crate::stages::Stages;
use crate::vitals::{Subject, Vitals};
use crate::watch::{Watch, real_now};

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
    /// Keeps the deadline of the shutdown.
    last_alarm: Mutex<Option<Armed>>,
    /// Ends their threads when it is dropped.
    runtimes: Runtimes,
}

impl<E: Send + Sync + 'static> Pipeline<E> {
    /// Starts to describe a pipeline. `weigh` says how many bytes of memory an event holds.
    ///
    /// Zero is taken as one byte when an event is taken in. An event on which `weigh` panics cannot be
    /// bounded: it is refused as too large.
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
        runtimes: Runtimes,
    ) -> Self {
        Self {
            stages,
            lives,
            finale,
            root,
            watch,
            last_alarm: Mutex::new(None),
            runtimes,
        }
    }

    pub(crate) fn stages(&self) -> &Stages<E> {
        &self.stages
    }

    /// A sender of events; clone it freely.
    pub fn sender(&self) -> Sender<E> {
        Sender::new(Arc::clone(&self.stages))
    }

    /// Settles everything accepted before this call, or as much as `timeout` allows. Waits that are
    /// running are skipped once. Works on any executor.
    pub async fn flush(&self, timeout: Duration) -> Report {
        if self.is_forked() {
            return self.forked();
        }
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
        if self.is_forked() {
            return self.forked();
        }
        if let Some(report) = self.finale.report() {
            return report;
        }
        let Asked { timeout, .. } = self.ask_to_end(timeout);
        self.lives.supervisor.call(self.watch.now());
        let report = tokio::select! { biased;
            told = self.root.tell(Drain { timeout }) => match told {
                Ok(()) => self.finale.reached().await,
                Err(_) => self.end(Completion::Abandoned, DropReason::Abandoned),
            },
            report = self.finale.reached() => report,
        };
        self.call_off();
        report
    }

    /// [`Pipeline::shutdown`] for threads that cannot await. Blocks this thread for at most `timeout`
    /// and a little; do not call it on a worker of the runtime that the engine was attached to.
    pub fn shutdown_blocking(&self, timeout: Duration) -> Report {
        if self.is_forked() {
            return self.forked();
        }
        if let Some(report) = self.finale.report() {
            return report;
        }
        let report = self.end_blocking(timeout);
        self.call_off();
        report
    }

    fn end_blocking(&self, timeout: Duration) -> Report {
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

    /// How often a hook panicked: the screen, a filter, or what shares their count.
    pub fn hook_panics(&self) -> u64 {
        self.stages.hook_panics.count()
    }

    /// Whether this is the copy of the engine in a child process, which can only refuse: the engine's
    /// threads stayed in the parent. Costs a system call.
    pub fn is_forked(&self) -> bool {
        self.stages.is_forked()
    }

    /// What every lane is doing. In a child process every lane is closed, and one whose lock a thread of
    /// the parent held at the fork is left out.
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

    /// Actors that used up their restarts: what they did is no longer done. In a child process all of
    /// them.
    pub fn dead_actors(&self) -> u32 {
        if self.is_forked() {
            let actors = self.stages.lanes.len() + 2;
            return u32::try_from(actors).unwrap_or(u32::MAX);
        }
        self.lives.dead.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Stops starting attempts for a provider, or resumes. False if there is no such provider.
    pub fn set_paused(&self, provider: &str, paused: bool) -> bool {
        let lane = self
            .stages
            .lanes
            .iter()
            .find(|lane| lane.name() == provider);
        if let Some(lane) = lane.filter(|_| !self.is_forked()) {
            lane.set_paused(paused);
        }
        lane.is_some()
    }

    /// What can be said in a child process.
    fn forked(&self) -> Report {
        Report {
            ledger: self.ledger(),
            completion: Completion::Forked,
            elapsed: Duration::ZERO,
        }
    }

    /// Drops nothing that a lost thread may have locked: what this process got of the engine stays where
    /// it is.
    fn leave(&mut self) {
        std::mem::forget((
            Arc::clone(&self.stages),
            Arc::clone(&self.finale),
            self.root.clone(),
            std::mem::take(&mut self.last_alarm),
        ));
        self.watch.forget();
        self.runtimes.forget();
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
            let (stages, finale) = (Arc::clone(&self.stages), Arc::clone(&self.finale));
            // without a thread to spare the runtime's timer is all there is
            let armed = self.watch.when_overdue(asked.deadline(), move || {
                overdue(&stages, &finale);
            });
            *self
                .last_alarm
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(armed);
        }
        asked
    }

    /// The deadline needs no keeper any more.
    fn call_off(&self) {
        let alarm = self
            .last_alarm
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(alarm);
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
        if self.is_forked() {
            return self.leave();
        }
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
        if let Some(dead) = &self.stages.dead {
            // senders that outlive the engine keep the stages
            dead.clear();
        }
        // the actors see the report and stop
    }
}

impl<E: Send + Sync + 'static> fmt::Debug for Pipeline<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("ledger", &self.ledger())
            .finish_non_exhaustive()
    }
}
