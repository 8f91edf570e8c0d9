//! Proofs of progress: what an actor owes, and since when.
//!
//! An actor that has work owes a turn from the moment at which the work could be done. It pays with a
//! completed turn, and owes nothing while it has nothing to do, however long that lasts. Reading a
//! pulse takes no lock, so health can be asked for whatever an actor, a hook or a provider does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::watch::real_now;

/// For how long a part of the engine may owe a turn before it counts as stalled. Longer than the
/// longest pause before a restarted actor works (5 s) and the longest wait of a buffer that lingers
/// (160 ms), so that neither can be taken for a stall.
pub const STALLED_AFTER: Duration = Duration::from_secs(10);

const NOTHING: u64 = u64::MAX;

/// What one actor owes, on the engine's clock, in milliseconds.
#[derive(Debug)]
pub(crate) struct Pulse {
    epoch: Instant,
    owed_since: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            owed_since: AtomicU64::new(NOTHING),
        }
    }
}

impl Pulse {
    /// There is work: a turn is owed, from now on unless one was owed before.
    pub(crate) fn call(&self, now: Instant) {
        // a change even if it changes nothing: what was given before the call is seen by whoever rests
        // after it
        self.owed_since
            .fetch_min(self.millis(now), Ordering::AcqRel);
    }

    /// A turn was completed, and there is more to do: the next one is owed from now on.
    pub(crate) fn beat(&self, now: Instant) {
        self.owed_since.store(self.millis(now), Ordering::Release);
    }

    /// A turn was completed, and nothing is to be done before `until`, or before the next call. Look for
    /// work once more afterwards, unless the same lock guards the work and this.
    pub(crate) fn rest(&self, until: Option<Instant>) {
        let owed = until.map_or(NOTHING, |at| self.millis(at));
        self.owed_since.swap(owed, Ordering::AcqRel);
    }

    /// For how long a turn has been owed.
    pub(crate) fn owed_for(&self, now: Instant) -> Option<Duration> {
        let since = self.owed_since.load(Ordering::Acquire);
        (since != NOTHING).then(|| Duration::from_millis(self.millis(now).saturating_sub(since)))
    }

    /// [`Pulse::owed_for`] once it is too long.
    pub(crate) fn stalled_for(&self, now: Instant) -> Option<Duration> {
        self.owed_for(now).filter(|owed| *owed > STALLED_AFTER)
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since).map_or(NOTHING - 1, |millis| millis.min(NOTHING - 1))
    }
}

/// The time on the clock of this thread's runtime. Without a panic also on a thread that ends, where tokio
/// cannot look for a runtime.
pub(crate) fn here() -> Instant {
    match Handle::try_current() {
        Err(error) if error.is_thread_local_destroyed() => Instant::from_std(real_now()),
        _ => Instant::now(),
    }
}

/// The pulses of the two that every event passes.
#[derive(Debug, Default)]
pub(crate) struct Pulses {
    pub(crate) buffer: Pulse,
    pub(crate) fan_out: Pulse,
    /// The buffer waits for room in the hand-off: it is the fan-out's turn, not its own.
    blocked: AtomicBool,
}

impl Pulses {
    /// The buffer begins a turn.
    pub(crate) fn begin(&self, now: Instant) {
        self.blocked.store(false, Ordering::Release);
        self.buffer.call(now);
    }

    /// The buffer completed a turn and waits for room. Look for room once more afterwards.
    pub(crate) fn block(&self) {
        self.buffer.rest(None);
        self.blocked.store(true, Ordering::Release);
    }

    /// There is room again.
    pub(crate) fn room(&self) {
        if self.blocked.swap(false, Ordering::AcqRel) {
            self.buffer.call(here());
        }
    }
}

/// Calls the sentinel: once when work comes in, once when an event is turned away, not again before it
/// has stood down.
#[derive(Debug, Default)]
pub(crate) struct Alert {
    work: AtomicBool,
    losing: AtomicBool,
    raised: Notify,
}

impl Alert {
    /// Events came in.
    pub(crate) fn work(&self) {
        self.raise(&self.work);
    }

    /// An event was turned away for lack of room.
    pub(crate) fn losing(&self) {
        self.raise(&self.losing);
    }

    fn raise(&self, flag: &AtomicBool) {
        // looking first: a load of a line that nobody writes costs a caller next to nothing
        if !flag.load(Ordering::SeqCst) && !flag.swap(true, Ordering::SeqCst) {
            self.raised.notify_one();
        }
    }

    /// Whether events were turned away lately.
    pub(crate) fn is_losing(&self) -> bool {
        self.losing.load(Ordering::Acquire)
    }

    /// Wants to be told of work again. Look for work once more afterwards.
    pub(crate) fn rest_from_work(&self) {
        self.work.swap(false, Ordering::SeqCst);
    }

    /// Wants to be told of losses again. Look for losses once more afterwards.
    pub(crate) fn rest_from_losses(&self) {
        self.losing.swap(false, Ordering::SeqCst);
    }

    pub(crate) async fn raised(&self) {
        self.raised.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn who_has_nothing_to_do_owes_nothing_for_ever() {
        let pulse = Pulse::default();
        let now = Instant::now();
        assert_eq!(pulse.owed_for(now + 1000 * MINUTE), None);
        pulse.beat(now);
        pulse.rest(None);
        assert_eq!(pulse.stalled_for(now + 1000 * MINUTE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_owed_from_the_first_call_until_it_is_completed() {
        let pulse = Pulse::default();
        let now = Instant::now();
        pulse.call(now + MINUTE);
        pulse.call(now + 2 * MINUTE);
        assert_eq!(pulse.owed_for(now + 3 * MINUTE), Some(2 * MINUTE));
        pulse.beat(now + 3 * MINUTE);
        assert_eq!(pulse.owed_for(now + 3 * MINUTE), Some(Duration::ZERO));
        assert_eq!(pulse.stalled_for(now + 3 * MINUTE + STALLED_AFTER), None);
        let late = STALLED_AFTER + Duration::from_millis(1);
        assert_eq!(pulse.stalled_for(now + 3 * MINUTE + late), Some(late));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_timer_owes_a_turn_once_it_is_over() {
        let pulse = Pulse::default();
        let now = Instant::now();
        pulse.rest(Some(now + MINUTE));
        assert_eq!(pulse.owed_for(now), Some(Duration::ZERO));
        assert_eq!(pulse.stalled_for(now + MINUTE + STALLED_AFTER), None);
        assert_eq!(pulse.stalled_for(now + 2 * MINUTE), Some(MINUTE));
        // work may come earlier
        pulse.call(now);
        assert_eq!(pulse.owed_for(now + MINUTE), Some(MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_buffer_that_waits_for_room_owes_nothing_until_there_is_some() {
        let pulses = Pulses::default();
        let now = Instant::now();
        pulses.begin(now);
        pulses.room();
        pulses.block();
        assert_eq!(pulses.buffer.owed_for(now + MINUTE), None);
        tokio::time::advance(MINUTE).await;
        pulses.room();
        assert_eq!(pulses.buffer.owed_for(now + 3 * MINUTE), Some(2 * MINUTE));
        pulses.begin(now + 3 * MINUTE);
        pulses.buffer.rest(None);
        pulses.room();
        assert_eq!(pulses.buffer.owed_for(now + 4 * MINUTE), None);
    }

    #[tokio::test]
    async fn an_alert_is_raised_once_until_its_reader_rests() {
        let alert = Alert::default();
        alert.losing();
        alert.losing();
        alert.raised().await;
        assert!(alert.is_losing());
        let again = tokio::time::timeout(Duration::ZERO, alert.raised()).await;
        assert!(again.is_err());
        alert.rest_from_losses();
        assert!(!alert.is_losing());
        alert.losing();
        alert.raised().await;
    }
}
