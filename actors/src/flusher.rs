//! The Flusher actor, one per provider: runs the attempts that its [`Lane`] asks for.
//!
//! Provider code runs on tasks of a `JoinSet`, on the runtime of its lane, never on the actor's own: a
//! panic is one failed attempt, and a thread that is blocked is the lane's. What is in flight is recorded
//! in the lane, so a restarted flusher takes it up again.

use std::convert::Infallible;
use std::sync::Arc;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::mailbox::{MailboxReceiver, Signal};
use tokio::runtime::Handle;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::attempt;
use crate::hooks::let_go;
use crate::lane::{Ended, Episode, Lane, News, Next};
use crate::running::Running;
use crate::stages::Stages;
use crate::supervise::{Life, Lives, sleep_until};

pub(crate) struct Flusher<E: Send + Sync + 'static> {
    lane: Arc<Lane<E>>,
    stages: Arc<Stages<E>>,
    life: Life,
    attempts: JoinSet<Ended>,
    /// Where they run.
    runtime: Handle,
    running: Running<Id>,
    jitter: fastrand::Rng,
}

impl<E: Send + Sync + 'static> Actor for Flusher<E> {
    type Args = (Arc<Stages<E>>, Arc<Lane<E>>, Arc<Lives>, Handle);
    type Error = Infallible;

    fn name() -> &'static str {
        "flusher"
    }

    async fn on_start(
        (stages, lane, lives, runtime): Self::Args,
        _: ActorRef<Self>,
    ) -> Result<Self, Self::Error> {
        lane.recover();
        Ok(Self {
            running: Running::new(lane.attempt_timeout()),
            lane,
            stages,
            life: lives.begin(),
            attempts: JoinSet::new(),
            runtime,
            jitter: fastrand::Rng::new(),
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, Self::Error> {
        if let Some(signal) = self.life.wait_out(mailbox).await {
            return Ok(signal);
        }
        loop {
            let wait = self.start_what_is_due();
            let late = self.running.look_at();
            tokio::select! { biased;
                signal = mailbox.recv() => return Ok(signal),
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => {
                    self.finish(ended);
                }
                () = sleep_until(wait), if wait.is_some() => {}
                () = sleep_until(late), if late.is_some() => self.tell_of_overdue(),
                () = self.lane.wake.notified() => {}
            }
        }
    }
}

impl<E: Send + Sync + 'static> Flusher<E> {
    fn start_what_is_due(&mut self) -> Option<Instant> {
        if self.stages.is_forked() {
            // an attached runtime may go on in a child; its events are the parent's to send
            return None;
        }
        loop {
            let now = Instant::now();
            match self.lane.next(now) {
                Next::Start(attempt) => {
                    let id = attempt.id;
                    let work = attempt::run(Arc::clone(&self.lane), attempt);
                    let task = self.attempts.spawn_on(work, &self.runtime);
                    self.running.started(task.id(), id, now);
                    self.lane.started(id, task);
                }
                Next::WaitUntil(at) => return Some(at),
                Next::Idle => return None,
            }
        }
    }

    fn finish(&mut self, joined: Result<(Id, Ended), JoinError>) {
        let (task, ended) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                let ended = if error.is_panic() {
                    Ended::Panicked
                } else {
                    Ended::Aborted
                };
                let task = error.id();
                // what a provider panicked with is the provider's code as well: it may panic again
                let_go(error);
                (task, ended)
            }
        };
        let Some(id) = self.running.ended(&task) else {
            return;
        };
        self.tell_of_overdue();
        let now = Instant::now();
        let (news, freed) = self.lane.conclude(id, ended, now, self.jitter.f64());
        // what comes next is on its way while what is over is dropped
        self.start_what_is_due();
        self.lane.let_go(freed);
        log(self.lane.name(), &news);
    }

    /// A provider that blocks its thread stops its lane, and nobody can stop the provider.
    fn tell_of_overdue(&mut self) {
        let provider = self.lane.name();
        match self.running.overdue(Instant::now()) {
            Some(true) => tracing::error!(
                provider,
                "an attempt is overdue: the provider blocks its thread; nothing is sent to it"
            ),
            Some(false) => tracing::info!(provider, "no attempt is overdue any more"),
            None => {}
        }
    }
}

/// One line at the start, at a turn for the worse and at the end of an episode, never one per event.
fn log(provider: &str, news: &News) {
    let cause = news.cause.as_ref().map(tracing::field::display);
    let waiting = news.pending;
    match news.episode {
        Episode::Quiet => {}
        Episode::Failing => tracing::warn!(provider, waiting, cause, "delivery fails; retrying"),
        Episode::Opened { attempts, wait } => tracing::warn!(
            provider,
            failed_attempts = attempts,
            waiting,
            next_attempt_in = ?wait,
            cause,
            "delivery fails; breaker open, one attempt at a time"
        ),
        Episode::Refusing { refusals, wait } => tracing::error!(
            provider,
            refusals,
            waiting,
            next_attempt_in = ?wait,
            cause,
            "destination refuses every request; breaker open, one attempt at a time"
        ),
        Episode::Held => {
            tracing::error!(
                provider,
                waiting,
                cause,
                "destination refuses this client; holding events"
            );
        }
        Episode::Recovered {
            attempts,
            lasted,
            dropped,
        } => {
            tracing::info!(
                provider,
                failed_attempts = attempts,
                failed_for = ?lasted,
                waiting,
                dropped,
                "delivery works again"
            );
        }
    }
    if let Some(events) = news.rejected {
        tracing::warn!(provider, events, cause, "events rejected for good");
    }
    if let Some(events) = news.expired {
        tracing::error!(
            provider,
            events,
            cause,
            "retry budget spent; events dropped"
        );
    }
    if let Some(events) = news.evicted {
        tracing::warn!(provider, events, "lane full; events dropped");
    }
}

#[cfg(any(test, feature = "testing"))]
impl<E: Send + Sync + 'static> kameo::message::Message<crate::buffer::Crash> for Flusher<E> {
    type Reply = ();

    #[expect(clippy::panic, reason = "crashing is what it is for")]
    async fn handle(
        &mut self,
        _: crate::buffer::Crash,
        _: &mut kameo::message::Context<Self, Self::Reply>,
    ) {
        panic!("crash injected into a flusher");
    }
}
