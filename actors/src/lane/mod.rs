//! One provider's lane: what waits for it, what is in flight, what became of the rest.
//!
//! A lane belongs to no actor. Its [`Flusher`](crate::flusher) asks it what to do next and tells it
//! what happened; when that actor is restarted it finds everything where it was. All decisions are
//! made here, under one short lock, without I/O and without a clock of their own.

mod attempt;
mod breaker;
mod dead;
mod evidence;
mod filter;
mod fresh;
mod holdings;
mod intake;
mod news;
mod request;
mod retry_budget;
mod schedule;
mod settle;
mod size;
mod state;
mod status;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::dead_letters::{Dead, Store};
use crate::fragments::Sharing;
use crate::hooks::let_go;
use crate::ingress::Overflow;
use crate::ledger::{DropReason, ProviderLedger};
use crate::provider::{Encoded, Limits, Provider};
use crate::pulse::{Pulse, STALLED_AFTER, here};
use crate::request::{Sealed, Slice};
use crate::watch::on_thread;

pub(crate) use attempt::{Attempt, Ended, Next, Ready};
use breaker::Breaker;
pub use breaker::BreakerState;
pub(crate) use filter::{Filter, Sifted};
pub(crate) use news::{Episode, News};
pub use retry_budget::RetryBudget;
use retry_budget::Tokens;
use state::State;
pub use status::{LaneState, LaneStatus};

/// How one provider's lane behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LaneOptions {
    /// Requests in flight at once. Default 1, which keeps order; more gives order up.
    pub concurrency: usize,
    /// Bytes of the batches that this provider may keep alive, as weighed; a batch counts as a whole
    /// while one event of it is left, because it is freed as a whole. Default: the lane's share of the
    /// engine's ceiling, so that a stuck provider can never stop the intake.
    pub max_bytes: Option<usize>,
    /// What a full lane does. Default [`Overflow::DropOldest`]: the newest events say most about now.
    /// With [`Overflow::ByPriority`] high events go only when no other is left to go. What is in flight
    /// never goes, and the request that waits for its retry in front keeps at least one batch.
    pub overflow: Overflow,
    /// When to try again, and when to give up.
    pub backoff: Backoff,
    /// Failed attempts in a row, whichever requests they were of, after which the lane's breaker opens:
    /// then nothing is sent but one request after each wait, however many there are and whatever the
    /// concurrency. Default 5: by then a destination has failed for some seconds, or five requests at
    /// once. Zero is taken as one. A destination that says how long it wants to be left alone
    /// (`Retry-After`) opens it at once.
    pub breaker_threshold: u32,
    /// How many retries there may be beside what is delivered. Default: one for each success and one
    /// more every 500 ms, at most 20 saved up.
    pub retry_budget: RetryBudget,
    /// Longest time one attempt may take, encoding included. Default 30 s. A provider's own timeout is
    /// usually shorter; this one holds for any provider.
    pub attempt_timeout: Duration,
    /// How often a held lane (401, 403) tries again. Default 30 s, at least 1 ms.
    pub hold_probe: Duration,
    /// How long a lane may be held before an event that it still holds is given up as
    /// [`Expired`](DropReason::Expired), at the next probe that is refused. Counted from the start of the
    /// hold or from when the event came, whichever is later. Default `None`: only the byte ceiling ends it.
    pub hold_budget: Option<Duration>,
}

impl Default for LaneOptions {
    fn default() -> Self {
        Self {
            concurrency: 1,
            max_bytes: None,
            overflow: Overflow::DropOldest,
            backoff: Backoff::default(),
            breaker_threshold: 5,
            retry_budget: RetryBudget::default(),
            attempt_timeout: Duration::from_secs(30),
            hold_probe: Duration::from_secs(30),
            hold_budget: None,
        }
    }
}

/// Events that have left a lane and are still to be dropped.
#[must_use = "they hold memory"]
pub(crate) struct Freed<E> {
    #[expect(dead_code, reason = "held for its drop")]
    dead: Vec<Dead<E>>,
    #[expect(dead_code, reason = "held for its drop")]
    garbage: Vec<Slice<E>>,
}

/// One provider's queue, attempts and counters.
pub(crate) struct Lane<E> {
    /// `None` only while the lane is dropped.
    provider: Option<Arc<dyn Provider<E>>>,
    retire: fn(Arc<dyn Provider<E>>),
    /// Asked for once: no code of the provider runs outside an attempt.
    name: String,
    limits: Limits,
    options: LaneOptions,
    max_bytes: usize,
    dead_letters: Option<Arc<Store<E>>>,
    filter: Option<Filter<E>>,
    sharing: Option<Sharing>,
    state: Mutex<State<E>>,
    /// There may be something to do for the flusher.
    pub(crate) wake: Notify,
    /// Something was settled, given up or closed.
    settled: Notify,
    /// What the flusher owes.
    pub(crate) pulse: Pulse,
}

impl<E: Send + Sync + 'static> Lane<E> {
    pub(crate) fn new(provider: Box<dyn Provider<E>>, options: LaneOptions, share: usize) -> Self {
        let limits = provider.limits();
        let breaker = Breaker::new(options.breaker_threshold, limits.max_events.get());
        let tokens = Tokens::new(options.retry_budget);
        let retry_for = options.backoff.budget();
        let state = State::new(limits.max_bytes.get(), breaker, tokens, retry_for);
        Self {
            state: Mutex::new(state),
            name: provider.name().to_owned(),
            limits,
            provider: Some(Arc::from(provider)),
            retire,
            max_bytes: options.max_bytes.unwrap_or(share),
            options,
            dead_letters: None,
            filter: None,
            sharing: None,
            wake: Notify::new(),
            settled: Notify::new(),
            pulse: Pulse::default(),
        }
    }

    /// Shares what it encodes with other lanes.
    pub(crate) fn with_sharing(mut self, sharing: Option<Sharing>) -> Self {
        self.sharing = sharing;
        self
    }

    pub(crate) fn sharing(&self) -> Option<&Sharing> {
        self.sharing.as_ref()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn attempt_timeout(&self) -> Duration {
        self.options.attempt_timeout
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn provider(&self) -> Option<&Arc<dyn Provider<E>>> {
        self.provider.as_ref()
    }

    /// Takes over what was sealed. Never waits: a full lane applies its overflow policy. What it gave
    /// up is returned for the caller to drop where no lock is held.
    pub(crate) fn offer(&self, sealed: &Sealed<E>) -> Vec<Slice<E>> {
        let mut state = self.lock();
        let mut settled = false;
        for slice in &sealed.slices {
            settled |= !state.take_in(slice.clone());
        }
        if sealed.only.is_some() {
            state.came_back(&sealed.slices);
        }
        settled |= state.make_room(self.max_bytes, self.options.overflow, sealed.number);
        if settled {
            let State {
                evidence, counts, ..
            } = &mut *state;
            evidence.note(counts, here());
        }
        let garbage = std::mem::take(&mut state.garbage);
        drop(state);
        if settled {
            self.settled.notify_waiters();
        }
        self.call();
        garbage
    }

    /// What to do now.
    pub(crate) fn next(&self, now: Instant) -> Next<E> {
        let mut state = self.lock();
        let next = state.next(now, self.options.concurrency, self.limits.max_events.get());
        // under the lock: what changes the state calls after it
        match &next {
            Next::Start(_) => self.pulse.beat(now),
            Next::WaitUntil(at) => self.pulse.rest(Some(*at)),
            Next::Idle => self.pulse.rest(None),
        }
        next
    }

    /// Records what was encoded for attempt `id`. `None`: nothing is left to send, or the attempt is
    /// no longer known.
    pub(crate) fn encoded(&self, id: u64, encoded: Encoded) -> Option<Ready<E>> {
        let (ready, settled) = self.change(|state| state.encoded(id, encoded));
        if settled {
            self.settled.notify_waiters();
        }
        if self.options.concurrency > 1 {
            // what did not fit need not wait for this attempt
            self.call();
        }
        ready
    }

    /// Records how attempt `id` ended; `chance` is the jitter's place from 0 to 1. What that freed has to be
    /// [let go](Lane::let_go) of; the next attempt need not wait for that.
    pub(crate) fn conclude(
        &self,
        id: u64,
        ended: Ended,
        now: Instant,
        chance: f64,
    ) -> (News, Freed<E>) {
        self.change_keeping(|state| state.finish(id, ended, now, chance, &self.options))
    }

    /// Drops what an ended attempt freed, which is code of the application and takes a while, and tells
    /// those who wait for its end.
    pub(crate) fn let_go(&self, freed: Freed<E>) {
        let_go(freed);
        self.settled.notify_waiters();
    }

    /// [`Lane::conclude`] and [`Lane::let_go`] at once.
    #[cfg(test)]
    pub(crate) fn finish(&self, id: u64, ended: Ended, now: Instant, chance: f64) -> News {
        let (news, freed) = self.conclude(id, ended, now, chance);
        self.let_go(freed);
        news
    }

    /// Puts what a dead flusher had in flight back to the front.
    pub(crate) fn recover(&self) {
        self.lock().recover();
    }

    /// Forgets the waits that are running now, once.
    pub(crate) fn skip_waits(&self, now: Instant) {
        self.lock().skip_waits(now);
        self.call();
    }

    /// Forgets the waits that are running now, and shortens those that begin before `deadline`.
    pub(crate) fn drain(&self, deadline: Instant, now: Instant) {
        self.lock().drain(deadline, now);
        self.call();
    }

    /// Stops or resumes starting attempts.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
        self.call();
    }

    /// Gives up everything that is left and refuses more. Attempts in flight are aborted.
    pub(crate) fn close(&self, reason: DropReason) {
        let aborted = self.change(|state| state.close(reason));
        for task in aborted {
            task.abort();
        }
        self.settled.notify_waiters();
        self.wake.notify_one();
    }

    /// Remembers the task of attempt `id`, so that [`Lane::close`] can abort it.
    pub(crate) fn started(&self, id: u64, task: tokio::task::AbortHandle) {
        if let Some(task) = self.lock().started(id, task) {
            task.abort();
        }
    }

    /// Waits until no event of batch `number` or an earlier one is without a verdict.
    pub(crate) async fn settled_through(&self, number: u64) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if !self.is_pending_through(number) {
                return;
            }
            settled.await;
        }
    }

    /// Whether an event of batch `number` or an earlier one has no verdict yet.
    pub(crate) fn is_pending_through(&self, number: u64) -> bool {
        let state = self.lock();
        state.deaths.are_being_buried() || state.oldest().is_some_and(|oldest| oldest <= number)
    }

    /// Counters, without what has not reached this lane; and how many events have.
    pub(crate) fn ledger(&self) -> (ProviderLedger, u64) {
        let (mut ledger, offered) = self.ledger_of(&self.lock());
        ledger.dead_letters = self.kept_letters();
        (ledger, offered)
    }

    /// The same without ever waiting: as if nothing had reached this lane, if it is locked.
    pub(crate) fn ledger_unless_locked(&self) -> (ProviderLedger, u64) {
        let unknown = || {
            let name = self.name().to_owned();
            let ledger = ProviderLedger {
                name,
                ..ProviderLedger::default()
            };
            (ledger, 0)
        };
        self.try_lock()
            .map_or_else(unknown, |state| self.ledger_of(&state))
    }

    fn ledger_of(&self, state: &State<E>) -> (ProviderLedger, u64) {
        let counts = &state.counts;
        let ledger = ProviderLedger {
            name: self.name().to_owned(),
            redriven: counts.redriven,
            delivered: counts.delivered,
            filtered: counts.filtered.clone(),
            rejected: counts.rejected.clone(),
            dropped: counts.dropped.clone(),
            pending: counts.pending + state.deaths.on_the_way(),
            dead_letters: 0,
        };
        (ledger, counts.offered)
    }

    pub(crate) fn status(&self, now: Instant) -> LaneStatus {
        self.lock()
            .status(self.name(), now, self.options.concurrency)
    }

    /// What is known in a child process, where the lane is closed whatever it was; `None` if it is locked.
    pub(crate) fn status_after_fork(&self, now: Instant) -> Option<LaneStatus> {
        let concurrency = self.options.concurrency;
        let mut status = self.try_lock()?.status(self.name(), now, concurrency);
        status.state = LaneState::Closed;
        Some(status)
    }

    /// For how long the flusher has not done what there is to do, once that is too long.
    pub(crate) fn stalled_for(&self, now: Instant) -> Option<Duration> {
        self.pulse.stalled_for(now)
    }

    /// Whether anything is here, or anything is owed.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        self.pulse.owed_for(now).is_some() || self.lock().counts.pending > 0
    }

    /// For how long an attempt in flight of this age should have been over, once that is too long: the
    /// provider blocks its thread, or the flusher does not see its end.
    pub(crate) fn overdue_for(&self, in_flight_for: Duration) -> Option<Duration> {
        let limit = self.options.attempt_timeout.saturating_add(STALLED_AFTER);
        (in_flight_for > limit).then(|| in_flight_for.saturating_sub(self.options.attempt_timeout))
    }

    /// There may be something to do for the flusher.
    fn call(&self) {
        self.pulse.call(here());
        self.wake.notify_one();
    }

    /// Counts the events that are really here, by walking everything.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn audit(&self) -> u64 {
        self.lock().audit()
    }

    /// Changes the state, and drops what that freed once the lock is free again.
    fn change<R>(&self, change: impl FnOnce(&mut State<E>) -> R) -> R {
        let (result, freed) = self.change_keeping(change);
        drop(freed);
        result
    }

    /// Changes the state, and returns what that freed.
    fn change_keeping<R>(&self, change: impl FnOnce(&mut State<E>) -> R) -> (R, Freed<E>) {
        let mut state = self.lock();
        let result = change(&mut state);
        let garbage = std::mem::take(&mut state.garbage);
        let dead = state.deaths.take();
        drop(state);
        self.bury(&dead);
        (result, Freed { dead, garbage })
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, State<E>>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Drop for Lane<E> {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            (self.retire)(provider);
        }
    }
}

/// Drops a provider on a thread of its own: its drop may block or panic, and the last to hold it may
/// be whoever drops the engine.
fn retire<E: 'static>(provider: Arc<dyn Provider<E>>) {
    on_thread(move || {
        // a panic was told of by the hook; there is nobody to tell more
        let _ = catch_unwind(AssertUnwindSafe(|| drop(provider)));
    });
}
