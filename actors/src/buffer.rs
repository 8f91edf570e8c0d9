//! The Buffer actor: drains the ring into batches. A thin shell over [`Stages`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use tokio::time::Instant;

use crate::ingress::Park;
use crate::stages::{Stages, Turn};
use crate::supervise::{Life, Lives, sleep_until};

/// Events taken off the ring between two looks at the mailbox.
const EVENTS_PER_TURN: usize = 1024;
/// For how long turns may follow each other before others on the thread have theirs. A turn with a hook takes
/// few events, and letting others go first costs a look at the timers and the I/O of the thread.
const TURNS_AT_ONCE: Duration = Duration::from_micros(200);
/// First wait after work while lingering; callers push without waking anyone meanwhile.
const FIRST_TICK: Duration = Duration::from_millis(10);
/// Longest wait while a batch is being built and nothing arrives.
const LONGEST_TICK: Duration = Duration::from_millis(160);

pub(crate) struct Buffer<E: Send + Sync + 'static> {
    stages: Arc<Stages<E>>,
    life: Life,
    tick: Duration,
    run: Run,
    /// Seals that wait until everything before them was handed over.
    seals: Vec<Sealing>,
}

/// Turns in a row, without a pause for others.
#[derive(Default)]
struct Run {
    drained: usize,
    since: Option<Instant>,
}

impl Run {
    /// Whether the next turn may follow this one, which ended at `now`, at once.
    fn goes_on(&mut self, turn: Turn, began: Instant, now: Instant) -> bool {
        self.drained += turn.drained;
        let since = *self.since.get_or_insert(began);
        let goes_on = turn.more
            && turn.drained > 0
            && self.drained < EVENTS_PER_TURN
            && now.saturating_duration_since(since) < TURNS_AT_ONCE;
        if !goes_on {
            *self = Self::default();
        }
        goes_on
    }
}

struct Sealing {
    /// Everything is drained once this many events have been, or the ring was found empty.
    drained: u64,
    reply: Option<ReplySender<u64>>,
}

/// Seals everything accepted so far; answers with the number of the last batch once it was handed
/// over.
pub(crate) struct Seal;

/// Panics in the handler, as a bug would.
#[cfg(any(test, feature = "testing"))]
pub(crate) struct Crash;

impl<E: Send + Sync + 'static> Actor for Buffer<E> {
    type Args = (Arc<Stages<E>>, Arc<Lives>);
    type Error = Infallible;

    fn name() -> &'static str {
        "buffer"
    }

    async fn on_start((stages, lives): Self::Args, _: ActorRef<Self>) -> Result<Self, Self::Error> {
        Ok(Self {
            stages,
            life: lives.begin(),
            tick: FIRST_TICK,
            run: Run::default(),
            seals: Vec::new(),
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
            self.stages.ingress.unpark();
            let now = Instant::now();
            let pulses = self.stages.ingress.pulses();
            pulses.begin(now);
            let turn = self.stages.turn(EVENTS_PER_TURN, now);
            if turn.drained > 0 {
                self.stages.ingress.alert().work();
            }
            // asked for again: a turn may take long
            let ended = Instant::now();
            pulses.buffer.beat(ended);
            let goes_on = self.run.goes_on(turn, now, ended);
            self.answer_seals(turn);
            if turn.blocked {
                let pulses = self.stages.ingress.pulses();
                pulses.block();
                if self.stages.sealed.has_room() {
                    pulses.begin(Instant::now());
                }
                tokio::select! { biased;
                    signal = mailbox.recv() => return Ok(signal),
                    () = self.stages.sealed.room.notified() => {}
                }
                continue;
            }
            let more = turn.more || !self.seals.is_empty();
            if more || !self.rest(turn, now) {
                tokio::select! { biased;
                    signal = mailbox.recv() => return Ok(signal),
                    () = std::future::ready(()), if goes_on => {}
                    () = tokio::task::yield_now() => {}
                }
                continue;
            }
            let timer = self.timer(turn, now);
            tokio::select! { biased;
                signal = mailbox.recv() => return Ok(signal),
                () = self.stages.ingress.wake() => {}
                () = sleep_until(timer) => {}
            }
        }
    }
}

impl<E: Send + Sync + 'static> Buffer<E> {
    /// Whether there is nothing to do until the next wake-up.
    fn rest(&mut self, turn: Turn, now: Instant) -> bool {
        if self.stages.ingress.is_closed() {
            let rests = turn.drained == 0 && self.stages.ingress.try_finish();
            if rests {
                let due = self.timer(turn, now);
                self.stages.ingress.pulses().buffer.rest(due);
            }
            rests
        } else {
            self.park(turn, now)
        }
    }

    /// Lingers after work and while a batch is being built: a caller wakes us only when the ring
    /// fills up. An idle buffer has no timer, and the first event wakes it.
    fn park(&mut self, turn: Turn, now: Instant) -> bool {
        let worked = turn.drained > 0;
        if worked {
            self.tick = FIRST_TICK;
        } else {
            self.tick = (self.tick * 2).min(LONGEST_TICK);
        }
        let mode = if Self::lingers(turn) {
            Park::Linger {
                threshold: (self.stages.ingress.capacity() / 4).max(1),
            }
        } else {
            Park::Idle
        };
        // before it parks: who wakes it from then on calls it
        self.stages
            .ingress
            .pulses()
            .buffer
            .rest(self.timer(turn, now));
        self.stages.ingress.park(mode)
    }

    fn lingers(turn: Turn) -> bool {
        turn.drained > 0 || turn.due.is_some()
    }

    fn timer(&self, turn: Turn, now: Instant) -> Option<Instant> {
        let tick = Self::lingers(turn).then(|| now + self.tick);
        [tick, turn.due].into_iter().flatten().min()
    }

    fn answer_seals(&mut self, turn: Turn) {
        if self.seals.is_empty() {
            return;
        }
        let drained = self.stages.ingress.drained();
        let ring_empty = !turn.more && !turn.blocked;
        if !self
            .seals
            .iter()
            .any(|s| ring_empty || drained >= s.drained)
        {
            return;
        }
        let number = self.stages.seal();
        if !self.stages.is_handed_over() {
            return;
        }
        for mut seal in self
            .seals
            .extract_if(.., |s| ring_empty || drained >= s.drained)
        {
            if let Some(reply) = seal.reply.take() {
                reply.send(number);
            }
        }
    }
}

impl<E: Send + Sync + 'static> Message<Seal> for Buffer<E> {
    type Reply = DelegatedReply<u64>;

    async fn handle(&mut self, _: Seal, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let ingress = &self.stages.ingress;
        let drained = ingress.drained() + ingress.len() as u64;
        self.seals.push(Sealing { drained, reply });
        delegated
    }
}

#[cfg(any(test, feature = "testing"))]
impl<E: Send + Sync + 'static> Message<Crash> for Buffer<E> {
    type Reply = ();

    #[expect(clippy::panic, reason = "crashing is what it is for")]
    async fn handle(&mut self, _: Crash, _: &mut Context<Self, Self::Reply>) {
        panic!("crash injected into the buffer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(drained: usize, more: bool) -> Turn {
        Turn {
            drained,
            more,
            blocked: false,
            due: None,
        }
    }

    #[test]
    fn short_turns_follow_each_other_for_a_while_and_never_without_end() {
        let (mut run, now) = (Run::default(), Instant::now());
        let in_a_row = |run: &mut Run, turn, took: Duration| {
            let ends = (1..).map(|n| now + took * n);
            ends.take_while(|end| run.goes_on(turn, now, *end)).count() + 1
        };
        // also on a clock that stands still
        assert_eq!(in_a_row(&mut run, turn(64, true), Duration::ZERO), 16);
        assert_eq!(in_a_row(&mut run, turn(64, true), TURNS_AT_ONCE / 4), 4);
        assert_eq!(in_a_row(&mut run, turn(64, true), TURNS_AT_ONCE * 9), 1);
        assert_eq!(in_a_row(&mut run, turn(1024, true), Duration::ZERO), 1);
        assert_eq!(in_a_row(&mut run, turn(64, false), Duration::ZERO), 1);
        assert_eq!(in_a_row(&mut run, turn(0, true), Duration::ZERO), 1);
    }
}
