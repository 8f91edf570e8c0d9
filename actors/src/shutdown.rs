//! The Shutdown actor: supervises the others, coordinates flush and drain under one deadline.
//!
//! Coordination runs as tasks next to the actor, so that a restart of a child is never delayed by it.
//! Progress is read from shared state; messages to children are pokes that are sent again when lost.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::{Actor, ActorId, ActorRef, Spawn, WeakActorRef};
use kameo::error::ActorStopReason;
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::message::{Context, Message};
use kameo::supervision::{RestartPolicy, SupervisionStrategy};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::buffer::{Buffer, Seal};
use crate::fanout::FanOut;
use crate::finale::Finale;
use crate::flusher::Flusher;
use crate::ledger::DropReason;
use crate::report::{Completion, Report};
use crate::stages::Stages;
use crate::supervise::{Lives, RESTART_LIMIT, RESTART_WINDOW};

/// How long to leave a restarting child alone before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// The lives of every supervised actor.
#[derive(Debug)]
pub(crate) struct AllLives {
    pub(crate) buffer: Arc<Lives>,
    pub(crate) fan_out: Arc<Lives>,
    pub(crate) flushers: Vec<Arc<Lives>>,
}

impl AllLives {
    pub(crate) fn new(lanes: usize) -> Self {
        Self {
            buffer: Arc::default(),
            fan_out: Arc::default(),
            flushers: (0..lanes).map(|_| Arc::default()).collect(),
        }
    }
}

/// What the Shutdown actor is made of.
pub(crate) struct Setup<E: Send + Sync + 'static> {
    pub(crate) stages: Arc<Stages<E>>,
    pub(crate) lives: Arc<AllLives>,
    pub(crate) finale: Arc<Finale>,
}

pub(crate) struct Shutdown<E: Send + Sync + 'static> {
    setup: LastResort<E>,
    children: Arc<Children<E>>,
    /// Flushes and the drain that are under way. The drain answers `true`: it is time to stop.
    under_way: JoinSet<bool>,
    draining: bool,
}

/// Ends the engine when its runtime is dropped under it: nobody else would.
struct LastResort<E: Send + Sync + 'static>(Setup<E>);

impl<E: Send + Sync + 'static> Drop for LastResort<E> {
    fn drop(&mut self) {
        let stages = &self.0.stages;
        self.0.finale.end(Completion::Abandoned, || {
            stages.close(DropReason::Abandoned);
            stages.ledger()
        });
    }
}

struct Children<E: Send + Sync + 'static> {
    buffer: ActorRef<Buffer<E>>,
    /// Kept for what it keeps alive; only tests talk to it.
    #[cfg_attr(
        not(any(test, feature = "testing")),
        expect(dead_code, reason = "kept alive")
    )]
    fan_out: ActorRef<FanOut<E>>,
    #[cfg_attr(
        not(any(test, feature = "testing")),
        expect(dead_code, reason = "kept alive")
    )]
    flushers: Vec<ActorRef<Flusher<E>>>,
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

/// Stops the actors; nothing is drained.
pub(crate) struct Stop;

impl<E: Send + Sync + 'static> Actor for Shutdown<E> {
    type Args = Setup<E>;
    type Error = Infallible;

    fn name() -> &'static str {
        "shutdown"
    }

    fn supervision_strategy() -> SupervisionStrategy {
        SupervisionStrategy::OneForOne
    }

    async fn on_start(setup: Self::Args, me: ActorRef<Self>) -> Result<Self, Self::Error> {
        let mut flushers = Vec::with_capacity(setup.stages.lanes.len());
        for (lane, lives) in setup.stages.lanes.iter().zip(&setup.lives.flushers) {
            let args = (Arc::clone(lane), Arc::clone(lives));
            flushers.push(supervised::<E, Flusher<E>>(&me, args).await);
        }
        let args = (Arc::clone(&setup.stages), Arc::clone(&setup.lives.fan_out));
        let fan_out = supervised::<E, FanOut<E>>(&me, args).await;
        let args = (Arc::clone(&setup.stages), Arc::clone(&setup.lives.buffer));
        let buffer = supervised::<E, Buffer<E>>(&me, args).await;
        let children = Arc::new(Children {
            buffer,
            fan_out,
            flushers,
        });
        Ok(Self {
            setup: LastResort(setup),
            children,
            under_way: JoinSet::new(),
            draining: false,
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, Self::Error> {
        loop {
            tokio::select! { biased;
                Some(ended) = self.under_way.join_next(), if !self.under_way.is_empty() => {
                    if matches!(ended, Ok(true)) {
                        return Ok(None);
                    }
                }
                signal = mailbox.recv() => return Ok(signal),
            }
        }
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorId,
        reason: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Self::Error> {
        // its siblings go on; its lane keeps what it has until the drain counts it
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
        let stages = Arc::clone(&self.setup.0.stages);
        let children = Arc::clone(&self.children);
        self.under_way.spawn(async move {
            let start = Instant::now();
            let completion = settle(&stages, &children.buffer, after(flush.timeout)).await;
            let elapsed = start.elapsed();
            // the caller may have gone; the flush happened all the same
            let _ = flush.reply.send(Report {
                ledger: stages.ledger(),
                completion,
                elapsed,
            });
            false
        });
    }
}

impl<E: Send + Sync + 'static> Message<Drain> for Shutdown<E> {
    type Reply = ();

    async fn handle(&mut self, drain: Drain, _: &mut Context<Self, Self::Reply>) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        let stages = Arc::clone(&self.setup.0.stages);
        let children = Arc::clone(&self.children);
        let finale = Arc::clone(&self.setup.0.finale);
        let deadline = after(drain.timeout);
        finale.begin(Instant::now());
        self.under_way.spawn(async move {
            stages.ingress.close();
            let completion = settle(&stages, &children.buffer, deadline).await;
            finale.end(completion, || {
                stages.close(DropReason::Deadline);
                stages.ledger()
            });
            true
        });
    }
}

impl<E: Send + Sync + 'static> Message<Stop> for Shutdown<E> {
    type Reply = ();

    async fn handle(&mut self, _: Stop, ctx: &mut Context<Self, Self::Reply>) {
        ctx.stop();
    }
}

/// Settles everything accepted before the call, or waits until the deadline.
async fn settle<E: Send + Sync + 'static>(
    stages: &Stages<E>,
    buffer: &ActorRef<Buffer<E>>,
    deadline: Instant,
) -> Completion {
    let work = async {
        let sealed = seal(buffer).await;
        stages.routed.reached(sealed).await;
        for lane in &stages.lanes {
            lane.skip_waits(Instant::now());
        }
        for lane in &stages.lanes {
            loop {
                let settled = lane.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if !lane.is_pending_through(sealed) {
                    break;
                }
                settled.await;
            }
        }
    };
    match tokio::time::timeout_at(deadline, work).await {
        Ok(()) => Completion::Settled,
        Err(_) => {
            let ledger = stages.ledger();
            let unsettled = ledger
                .providers
                .into_iter()
                .filter(|p| p.pending > 0)
                .map(|p| p.name)
                .collect();
            Completion::DeadlinePassed { unsettled }
        }
    }
}

/// An instant that far away, or as far as the clock goes.
fn after(timeout: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    Instant::now() + timeout.min(FAR)
}

/// Asks until it is answered: a buffer that is restarted loses the question, not the events.
async fn seal<E: Send + Sync + 'static>(buffer: &ActorRef<Buffer<E>>) -> u64 {
    loop {
        if let Ok(number) = buffer.ask(Seal).await {
            return number;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

#[cfg(any(test, feature = "testing"))]
mod crash {
    use super::{Children, Context, Message, Shutdown};
    use crate::buffer::Crash;

    /// Crashes one child.
    pub(crate) struct CrashChild(pub(crate) crate::testing::Victim);

    impl<E: Send + Sync + 'static> Message<CrashChild> for Shutdown<E> {
        type Reply = ();

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
            }
        }
    }
}

#[cfg(any(test, feature = "testing"))]
pub(crate) use crash::CrashChild;
