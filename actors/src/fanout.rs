//! The `FanOut` actor: offers every sealed batch to every lane. It waits for none of them.

use std::convert::Infallible;
use std::sync::Arc;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::mailbox::{MailboxReceiver, Signal};
use tokio::time::Instant;

use crate::stages::Stages;
use crate::supervise::{Life, Lives};

/// Batches routed between two looks at the mailbox.
const BATCHES_PER_TURN: usize = 16;

pub(crate) struct FanOut<E: Send + Sync + 'static> {
    stages: Arc<Stages<E>>,
    life: Life,
}

impl<E: Send + Sync + 'static> Actor for FanOut<E> {
    type Args = (Arc<Stages<E>>, Arc<Lives>);
    type Error = Infallible;

    fn name() -> &'static str {
        "fan-out"
    }

    async fn on_start((stages, lives): Self::Args, _: ActorRef<Self>) -> Result<Self, Self::Error> {
        Ok(Self {
            stages,
            life: lives.begin(),
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
            let mut routed = 0;
            while routed < BATCHES_PER_TURN && self.stages.route_one() {
                routed += 1;
            }
            let mut more = routed == BATCHES_PER_TURN;
            let pulse = &self.stages.ingress.pulses().fan_out;
            if !more {
                pulse.rest(None);
                // what came before the rest was called for before it
                more = self.stages.route_one();
            }
            if more {
                pulse.beat(Instant::now());
            }
            tokio::select! { biased;
                signal = mailbox.recv() => return Ok(signal),
                () = tokio::task::yield_now(), if more => {}
                () = self.stages.sealed.ready.notified(), if !more => {}
            }
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl<E: Send + Sync + 'static> kameo::message::Message<crate::buffer::Crash> for FanOut<E> {
    type Reply = ();

    #[expect(clippy::panic, reason = "crashing is what it is for")]
    async fn handle(
        &mut self,
        _: crate::buffer::Crash,
        _: &mut kameo::message::Context<Self, Self::Reply>,
    ) {
        panic!("crash injected into the fan-out");
    }
}
