//! The Flusher actor, one per provider: runs the attempts that its [`Lane`] asks for.
//!
//! Provider code runs on tasks of a `JoinSet`, never on the actor's own: a panic is one failed
//! attempt. What is in flight is recorded in the lane, so a restarted flusher takes it up again.

use std::convert::Infallible;
use std::sync::Arc;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::mailbox::{MailboxReceiver, Signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::lane::{Attempt, Ended, Episode, Lane, Next};
use crate::request::Events;
use crate::supervise::{Life, Lives, sleep_until};

pub(crate) struct Flusher<E: Send + Sync + 'static> {
    lane: Arc<Lane<E>>,
    life: Life,
    attempts: JoinSet<Ended>,
    /// Which attempt runs on which task; short.
    running: Vec<(Id, u64)>,
    jitter: fastrand::Rng,
}

impl<E: Send + Sync + 'static> Actor for Flusher<E> {
    type Args = (Arc<Lane<E>>, Arc<Lives>);
    type Error = Infallible;

    fn name() -> &'static str {
        "flusher"
    }

    async fn on_start((lane, lives): Self::Args, _: ActorRef<Self>) -> Result<Self, Self::Error> {
        lane.recover();
        Ok(Self {
            lane,
            life: lives.begin(),
            attempts: JoinSet::new(),
            running: Vec::new(),
            jitter: fastrand::Rng::new(),
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, Self::Error> {
        while let Some(resume_at) = self.life.pause(Instant::now()) {
            tokio::select! { biased;
                signal = mailbox.recv() => return Ok(signal),
                () = tokio::time::sleep_until(resume_at) => {}
            }
        }
        loop {
            let wait = self.start_what_is_due();
            tokio::select! { biased;
                signal = mailbox.recv() => return Ok(signal),
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => {
                    self.finish(ended);
                }
                () = sleep_until(wait), if wait.is_some() => {}
                () = self.lane.wake.notified() => {}
            }
        }
    }
}

impl<E: Send + Sync + 'static> Flusher<E> {
    fn start_what_is_due(&mut self) -> Option<Instant> {
        loop {
            match self.lane.next(Instant::now()) {
                Next::Start(attempt) => {
                    let id = attempt.id;
                    let task = self.attempts.spawn(run(Arc::clone(&self.lane), attempt));
                    self.running.push((task.id(), id));
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
            Err(error) if error.is_panic() => (error.id(), Ended::Panicked),
            Err(error) => (error.id(), Ended::Aborted),
        };
        let Some(at) = self.running.iter().position(|(id, _)| *id == task) else {
            return;
        };
        let (_, id) = self.running.swap_remove(at);
        let episode = self
            .lane
            .finish(id, ended, Instant::now(), self.jitter.f64());
        log(self.lane.name(), &episode);
    }
}

/// One attempt: encode unless that was done before, then send once.
async fn run<E: Send + Sync + 'static>(lane: Arc<Lane<E>>, attempt: Attempt<E>) -> Ended {
    let work = async {
        let provider = lane.provider();
        let (body, slices) = match attempt.body {
            Some(body) => (body, attempt.slices),
            None => {
                let events = Events::from_slices(&attempt.slices);
                let encoded = provider.encode(&events, attempt.max_bytes);
                match lane.encoded(attempt.id, encoded) {
                    Some(ready) => ready,
                    None => return Ended::NothingToSend,
                }
            }
        };
        Ended::With(provider.send(body, Events::from_slices(&slices)).await)
    };
    tokio::time::timeout(lane.attempt_timeout(), work)
        .await
        .unwrap_or(Ended::TimedOut)
}

/// One line at the start and end of an episode, never one per event.
fn log(provider: &str, episode: &Episode) {
    match episode {
        Episode::Quiet => {}
        Episode::Failing(cause) => {
            tracing::warn!(provider, %cause, "delivery fails; retrying");
        }
        Episode::Held(cause) => {
            tracing::error!(provider, %cause, "destination refuses this client; holding events");
        }
        Episode::Recovered { attempts } => {
            tracing::info!(provider, failed_attempts = attempts, "delivery works again");
        }
        Episode::Expired { events, cause } => {
            tracing::error!(provider, events, %cause, "retry budget spent; events dropped");
        }
        Episode::Rejected { events, cause } => {
            let cause = cause.as_ref().map(ToString::to_string);
            tracing::debug!(provider, events, cause, "events rejected");
        }
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
