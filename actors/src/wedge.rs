//! Wedges: an actor that neither moves nor dies, as if it waited for something that never comes.

use std::fmt;
use std::sync::Arc;

use kameo::actor::Actor;
use kameo::message::{Context, Message};
use tokio::sync::Semaphore;

use crate::buffer::Buffer;
use crate::fanout::FanOut;
use crate::flusher::Flusher;
use crate::shutdown::Shutdown;
use crate::testing::Victim;

/// Keeps an actor wedged until it is dropped.
#[must_use = "dropping it frees the actor"]
pub struct Wedged(pub(crate) Arc<Semaphore>);

impl Drop for Wedged {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Wedged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wedged").finish_non_exhaustive()
    }
}

/// Waits inside the handler until the gate is closed.
pub(crate) struct Wedge(pub(crate) Arc<Semaphore>);

/// Wedges one child, or the supervisor itself.
pub(crate) struct WedgeOne(pub(crate) Victim, pub(crate) Wedge);

impl Wedge {
    async fn wait(self) {
        // never has a permit: closing is what ends the wait
        drop(self.0.acquire().await);
    }
}

macro_rules! can_be_wedged {
    ($($actor:ident),+) => {$(
        impl<E: Send + Sync + 'static> Message<Wedge> for $actor<E>
        where
            Self: Actor,
        {
            type Reply = ();

            async fn handle(&mut self, wedge: Wedge, _: &mut Context<Self, Self::Reply>) {
                wedge.wait().await;
            }
        }
    )+};
}

can_be_wedged!(Buffer, FanOut, Flusher);

impl<E: Send + Sync + 'static> Message<WedgeOne> for Shutdown<E> {
    type Reply = ();

    async fn handle(&mut self, one: WedgeOne, _: &mut Context<Self, Self::Reply>) {
        let WedgeOne(victim, wedge) = one;
        let children = self.children();
        match victim {
            Victim::Buffer => drop(children.buffer.tell(wedge).try_send()),
            Victim::FanOut => drop(children.fan_out.tell(wedge).try_send()),
            Victim::Flusher(i) => {
                if let Some(flusher) = children.flushers.get(i) {
                    drop(flusher.tell(wedge).try_send());
                }
            }
            Victim::Supervisor => wedge.wait().await,
        }
    }
}
