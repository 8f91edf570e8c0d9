//! The Shutdown actor: supervises the others, coordinates flush and drain under one deadline.
//!
//! Coordination runs as tasks next to the actor, so that a restart of a child is never delayed by it.
//! Progress is read from shared state; messages to children are pokes that are sent again when lost.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kameo::actor::{Actor, ActorId, ActorRef, Spawn, WeakActorRef};
use kameo::error::ActorStopReason;
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::message::{Context, Message};
use kameo::supervision::{RestartPolicy, SupervisionStrategy};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::backoff::FOREVER;
use crate::buffer::{Buffer, Seal};
use crate::fanout::FanOut;
use crate::finale::Finale;
use crate::flusher::Flusher;
use crate::ledger::DropReason;
use crate::pulse::Pulse;
use crate::report::{Completion, Report};
use crate::sentinel::Sentinel;
use crate::stages::Stages;
use crate::supervise::{Lives, RESTART_LIMIT, RESTART_WINDOW};
use crate::vitals::Subject;

/// How long to leave a restarting child alone before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// The lives of every supervised actor.
#[derive(Debug)]
pub(crate) struct AllLives {
    pub(crate) buffer: Arc<Lives>,
    pub(crate) fan_out: Arc<Lives>,
    pub(crate) flushers: Vec<Arc<Lives>>,
    /// What the supervisor owes.
    pub(crate) supervisor: Pulse,
    pub(crate) started: Instant,
    /// Actors that used up their restarts.
    pub(crate) dead: AtomicU32,
}

impl AllLives {
    pub(crate) fn new(lanes: usize) -> Self {
        Self {
            buffer: Arc::default(),
            fan_out: Arc::default(),
            flushers: (0..lanes).map(|_| Arc::default()).collect(),
            supervisor: Pulse::default(),
            started: Instant::now(),
            dead: AtomicU32::new(0),
        }
    }
}

/// What the Shutdown actor is made of. Dropping it ends the engine, if nobody did before: its runtime
/// was dropped under it, perhaps before the actor ran at all.
pub(crate) struct Engine<E: Send + Sync + 'static> {
    pub(crate) stages: Arc<Stages<E>>,
    pub(crate) lives: Arc<AllLives>,
    pub(crate) finale: Arc<Finale>,
    /// Where the attempts of each lane run.
    pub(crate) attempts: Vec<Handle>,
}

pub(crate) struct Shutdown<E: Send + Sync + 'static> {
    engine: Engine<E>,
    children: Arc<Children<E>>,
    /// Flushes and the drain that are under way.
    under_way: JoinSet<()>,
    draining: bool,
    sentinel: Sentinel,
}

impl<E: Send + Sync + 'static> Drop for Engine<E> {
    fn drop(&mut self) {
        self.finale.end(Completion::Abandoned, || {
            self.stages.close(DropReason::Abandoned);
            self.stages.ledger()
        });
    }
}

impl<E: Send + Sync + 'static> Engine<E> {
    fn subject(&self) -> Subject<'_, E> {
        Subject {
            stages: &self.stages,
            lives: &self.lives,
            finale: &self.finale,
            supervised: true,
        }
    }
}

pub(crate) struct Children<E: Send + Sync + 'static> {
    pub(crate) buffer: ActorRef<Buffer<E>>,
    pub(crate) fan_out: ActorRef<FanOut<E>>,
    pub(crate) flushers: Vec<ActorRef<Flusher<E>>>,
}

impl<E: Send + Sync + 'static> Children<E> {
    /// The lives of the child with this id.
    fn lives<'a>(&self, id: ActorId, all: &'a AllLives) -> Option<&'a Lives> {
        if self.buffer.id() == id {
            return Some(&all.buffer);
        }
        if self.fan_out.id() == id {
            return Some(&all.fan_out);
        }
        let flusher = self.flushers.iter().position(|child| child.id() == id)?;
        all.flushers.get(flusher).map(Arc::as_ref)
    }
}

/// Settles everything accepted so far, or as much as the time allows. The clock is the engine's: a
/// caller's may be another one.
pub(crate) struct Flush {
    pub(crate) timeout: Duration,
    pub(crate) reply: oneshot::Sender<Report>,
}

/// Drains within `timeout`; the [`Finale`] holds the report.
pub(crate) struct Drain {
    pub(crate) timeout: Duration,
}

impl<E: Send + Sync + 'static> Actor for Shutdown<E> {
    type Args = Engine<E>;
    type Error = Infallible;

    fn name() -> &'static str {
        "shutdown"
    }

    fn supervision_strategy() -> SupervisionStrategy {
        SupervisionStrategy::OneForOne
    }

    async fn on_start(engine: Self::Args, me: ActorRef<Self>) -> Result<Self, Self::Error> {
        let mut flushers = Vec::with_capacity(engine.stages.lanes.len());
        let lanes = engine.stages.lanes.iter().zip(&engine.lives.flushers);
        for ((lane, lives), attempts) in lanes.zip(&engine.attempts) {
            let args = (
                Arc::clone(&engine.stages),
                Arc::clone(lane),
                Arc::clone(lives),
                attempts.clone(),
            );
            flushers.push(supervised::<E, Flusher<E>>(&me, args).await);
        }
        let args = (
            Arc::clone(&engine.stages),
            Arc::clone(&engine.lives.fan_out),
        );
        let fan_out = supervised::<E, FanOut<E>>(&me, args).await;
        let args = (Arc::clone(&engine.stages), Arc::clone(&engine.lives.buffer));
        let buffer = supervised::<E, Buffer<E>>(&me, args).await;
        let children = Arc::new(Children {
            buffer,
            fan_out,
            flushers,
        });
        Ok(Self {
            engine,
            children,
            under_way: JoinSet::new(),
            draining: false,
            sentinel: Sentinel::default(),
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, Self::Error> {
        loop {
            self.engine.lives.supervisor.rest(self.sentinel.next());
            let alert = self.engine.stages.ingress.alert();
            tokio::select! { biased;
                // whoever wrote the report: the actors are no longer needed
                _ = self.engine.finale.reached() => return Ok(None),
                Some(_) = self.under_way.join_next(), if !self.under_way.is_empty() => {}
                signal = mailbox.recv() => return Ok(signal),
                () = self.sentinel.due(alert) => {
                    self.sentinel.look(&self.engine.subject(), Instant::now());
                }
            }
        }
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        id: ActorId,
        reason: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Self::Error> {
        // its siblings go on; its lane keeps what it has until the drain counts it
        self.engine.lives.dead.fetch_add(1, Ordering::Relaxed);
        if let Some(lives) = self.children.lives(id, &self.engine.lives) {
            lives.end();
        }
        tracing::error!(?reason, "an engine actor died for good");
        Ok(ControlFlow::Continue(()))
    }

    async fn on_panic(
        &mut self,
        _: WeakActorRef<Self>,
        error: kameo::error::PanicError,
    ) -> Result<ControlFlow<ActorStopReason>, Self::Error> {
        tracing::error!(?error, "the engine's supervisor panicked; it goes on");
        Ok(ControlFlow::Continue(()))
    }
}

async fn supervised<E, C>(me: &ActorRef<Shutdown<E>>, args: C::Args) -> ActorRef<C>
where
    E: Send + Sync + 'static,
    C: Actor,
    C::Args: Clone + Sync,
{
    C::supervise(me, args)
        .restart_policy(RestartPolicy::Transient)
        .restart_limit(RESTART_LIMIT, RESTART_WINDOW)
        .spawn()
        .await
}

impl<E: Send + Sync + 'static> Message<Flush> for Shutdown<E> {
    type Reply = ();

    async fn handle(&mut self, flush: Flush, _: &mut Context<Self, Self::Reply>) {
        let stages = Arc::clone(&self.engine.stages);
        let children = Arc::clone(&self.children);
        let finale = Arc::clone(&self.engine.finale);
        self.under_way.spawn(async move {
            let start = Instant::now();
            let completion = settle(&stages, &children.buffer, after(flush.timeout)).await;
            // an end meanwhile settled everything in its own way
            let report = finale.report().unwrap_or_else(|| Report {
                ledger: stages.ledger(),
                completion,
                elapsed: start.elapsed(),
            });
            // the caller may have gone; the flush happened all the same
            let _ = flush.reply.send(report);
        });
    }
}

impl<E: Send + Sync + 'static> Message<Drain> for Shutdown<E> {
    type Reply = ();

    async fn handle(&mut self, drain: Drain, _: &mut Context<Self, Self::Reply>) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        let stages = Arc::clone(&self.engine.stages);
        let children = Arc::clone(&self.children);
        let finale = Arc::clone(&self.engine.finale);
        let deadline = after(drain.timeout);
        finale.begin(Instant::now());
        self.under_way.spawn(async move {
            stages.ingress.close();
            for lane in &stages.lanes {
                lane.drain(deadline, Instant::now());
            }
            let completion = settle(&stages, &children.buffer, deadline).await;
            finale.end(completion, || {
                stages.close(DropReason::Deadline);
                stages.ledger()
            });
        });
    }
}

/// Settles everything accepted before the call, or waits until the deadline.
async fn settle<E: Send + Sync + 'static>(
    stages: &Stages<E>,
    buffer: &ActorRef<Buffer<E>>,
    deadline: Instant,
) -> Completion {
    let hand_over = async {
        let sealed = seal(buffer).await;
        stages.routed.reached(sealed).await;
        sealed
    };
    let Ok(sealed) = timeout_at(deadline, hand_over).await else {
        // what did not even reach the lanes is missing at all of them
        let pending = stages.ledger().providers.into_iter();
        let unsettled = pending.filter(|p| p.pending > 0).map(|p| p.name).collect();
        return Completion::DeadlinePassed { unsettled };
    };
    for lane in &stages.lanes {
        lane.skip_waits(Instant::now());
    }
    let lanes = async {
        for lane in &stages.lanes {
            lane.settled_through(sealed).await;
        }
    };
    if timeout_at(deadline, lanes).await.is_ok() {
        return Completion::Settled;
    }
    // not those that are only busy with what came later
    let unsettled = stages
        .lanes
        .iter()
        .filter(|lane| lane.is_pending_through(sealed));
    Completion::DeadlinePassed {
        unsettled: unsettled.map(|lane| lane.name().to_owned()).collect(),
    }
}

/// An instant that far away, or as far as the clock goes.
fn after(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(FOREVER)
}

/// Asks until it is answered: a buffer that is restarted loses the question, not the events.
async fn seal<E: Send + Sync + 'static>(buffer: &ActorRef<Buffer<E>>) -> u64 {
    loop {
        if let Ok(number) = buffer.ask(Seal).await {
            return number;
        }
        tokio::time::sleep_until(Instant::now() + ASK_AGAIN).await;
    }
}

#[cfg(any(test, feature = "testing"))]
mod crash {
    use super::{Arc, Children, Context, Message, Shutdown};
    use crate::buffer::Crash;

    impl<E: Send + Sync + 'static> Shutdown<E> {
        pub(crate) fn children(&self) -> Arc<Children<E>> {
            Arc::clone(&self.children)
        }
    }

    /// Crashes one child.
    pub(crate) struct CrashChild(pub(crate) crate::testing::Victim);

    impl<E: Send + Sync + 'static> Message<CrashChild> for Shutdown<E> {
        type Reply = ();

        #[expect(clippy::panic, reason = "crashing is what it is for")]
        async fn handle(&mut self, victim: CrashChild, _: &mut Context<Self, Self::Reply>) {
            use crate::testing::Victim;
            let Children {
                buffer,
                fan_out,
                flushers,
            } = &*self.children;
            match victim.0 {
                Victim::Buffer => drop(buffer.tell(Crash).try_send()),
                Victim::FanOut => drop(fan_out.tell(Crash).try_send()),
                Victim::Flusher(i) => {
                    if let Some(flusher) = flushers.get(i) {
                        drop(flusher.tell(Crash).try_send());
                    }
                }
                Victim::Supervisor => panic!("crash injected into the supervisor"),
            }
        }
    }
}

#[cfg(any(test, feature = "testing"))]
pub(crate) use crash::CrashChild;
