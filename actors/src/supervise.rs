//! Restarts and proofs of life, shared by every supervised actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use kameo::actor::Actor;
use kameo::mailbox::{MailboxReceiver, Signal};
use tokio::time::Instant;

use crate::pulse::Pulse;

/// Restarts within [`RESTART_WINDOW`] after which a child stays dead. The pause before work keeps a
/// crash loop far below it; only an actor that cannot even start gets there.
pub(crate) const RESTART_LIMIT: u32 = 1_000;
/// See [`RESTART_LIMIT`].
pub(crate) const RESTART_WINDOW: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A life of this length clears an actor's record.
const GOOD_LIFE: Duration = Duration::from_secs(60);

/// What is known of one actor's lives; outlives each of them.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    started: AtomicU32,
    /// Restarts since the last long life; decides the next pause.
    recent: AtomicU32,
    /// Of the last restart.
    at: Pulse,
    dead: AtomicBool,
}

impl Lives {
    /// Begins a life. The first has no pause.
    pub(crate) fn begin(self: &Arc<Self>) -> Life {
        let earlier = self.started.fetch_add(1, Ordering::Relaxed);
        let pause = if earlier == 0 {
            Duration::ZERO
        } else {
            let recent = self.recent.fetch_add(1, Ordering::Relaxed);
            self.at.beat(Instant::now());
            FIRST_PAUSE
                .saturating_mul(1 << recent.min(10))
                .min(LONGEST_PAUSE)
        };
        Life {
            lives: Arc::clone(self),
            resume_at: Instant::now() + pause,
            pausing: earlier > 0,
        }
    }

    /// How often the actor was restarted.
    pub(crate) fn restarts(&self) -> u32 {
        self.started.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// How often without a long life in between; none once this one is long.
    pub(crate) fn restarts_lately(&self, now: Instant) -> u32 {
        match self.at.owed_for(now) {
            Some(age) if age < GOOD_LIFE => self.recent.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    /// Notes that there will be no further life.
    pub(crate) fn end(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }
}

/// One incarnation of an actor.
#[derive(Debug)]
pub(crate) struct Life {
    lives: Arc<Lives>,
    resume_at: Instant,
    pausing: bool,
}

impl Life {
    /// Until when a restarted actor has to wait before it works; `None` once it may.
    fn pause(&mut self, now: Instant) -> Option<Instant> {
        if self.pausing && now >= self.resume_at {
            self.pausing = false;
        }
        self.pausing.then_some(self.resume_at)
    }

    /// Waits until a restarted actor may work. A signal that comes before that is for the caller to
    /// return from its `next`; what follows waits as long as is left.
    pub(crate) async fn wait_out<A: Actor>(
        &mut self,
        mailbox: &mut MailboxReceiver<A>,
    ) -> Option<Option<Signal<A>>> {
        while let Some(resume_at) = self.pause(Instant::now()) {
            tokio::select! { biased;
                signal = mailbox.recv() => return Some(signal),
                () = tokio::time::sleep_until(resume_at) => {}
            }
        }
        None
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if Instant::now().saturating_duration_since(self.resume_at) >= GOOD_LIFE {
            self.lives.recent.store(0, Ordering::Relaxed);
        }
    }
}

/// Sleeps until `at`. An `async fn`, so that a disabled branch of a `select!` evaluates nothing.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_life_starts_at_once_and_the_next_ones_wait_longer_and_longer() {
        let lives = Arc::new(Lives::default());
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let now = Instant::now();
            let mut life = lives.begin();
            pauses.push(life.pause(now).map_or(Duration::ZERO, |at| at - now));
        }
        assert_eq!(pauses[0], Duration::ZERO);
        assert_eq!(pauses[1], FIRST_PAUSE);
        assert!(pauses.windows(2).all(|w| w[0] <= w[1]));
        assert_eq!(pauses[11], LONGEST_PAUSE);
        assert_eq!(lives.restarts(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_life_clears_the_record() {
        let lives = Arc::new(Lives::default());
        for _ in 0..8 {
            drop(lives.begin());
        }
        let life = lives.begin();
        tokio::time::advance(GOOD_LIFE * 2).await;
        drop(life);
        let now = Instant::now();
        assert_eq!(lives.begin().pause(now), Some(now + FIRST_PAUSE));
    }
}
