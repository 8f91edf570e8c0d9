//! Things to do at points in real time, whatever the runtimes of the engine do: one thread for all
//! that an engine waits for, there only while something is.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::watch::{on_thread, real_now};

/// How long the thread stays when there is nothing to wait for, so that flushes in a row share it.
const LINGER: Duration = Duration::from_secs(1);

type Action = Box<dyn FnOnce() + Send>;
/// When, and which of those that are due at the same time.
type Key = (Instant, u64);

/// The alarms of one engine. Dropping it calls all of them off and ends the thread.
#[derive(Debug)]
pub(crate) struct Alarms(Arc<Shared>);

/// Keeps one alarm alive; dropping it calls the alarm off.
#[derive(Debug)]
pub(crate) struct Armed {
    set: Option<(Arc<Shared>, Key)>,
}

#[derive(Debug, Default)]
struct Shared {
    clock: Mutex<Clock>,
    changed: Condvar,
}

#[derive(Default)]
struct Clock {
    waiting: BTreeMap<Key, Action>,
    last: u64,
    has_thread: bool,
    ended: bool,
}

impl Alarms {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Does `action` at `at`, on the thread that all alarms share, unless it is called off before. Never,
    /// if no thread can be had.
    pub(crate) fn set(&self, at: Instant, action: impl FnOnce() + Send + 'static) -> Armed {
        let mut clock = self.0.lock();
        if clock.ended {
            return Armed::never();
        }
        if !clock.has_thread {
            let shared = Arc::clone(&self.0);
            if !on_thread(move || shared.run()) {
                return Armed::never();
            }
            clock.has_thread = true;
        }
        clock.last += 1;
        let key = (at, clock.last);
        let is_next = clock.waiting.keys().next().is_none_or(|next| key < *next);
        clock.waiting.insert(key, Box::new(action));
        drop(clock);
        if is_next {
            self.0.changed.notify_one();
        }
        Armed {
            set: Some((Arc::clone(&self.0), key)),
        }
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        let mut clock = self.0.lock();
        clock.ended = true;
        let called_off = std::mem::take(&mut clock.waiting);
        drop(clock);
        self.0.changed.notify_one();
        drop(called_off);
    }
}

impl Armed {
    /// Nothing is set.
    pub(crate) fn never() -> Self {
        Self { set: None }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        if let Some((shared, key)) = self.set.take() {
            // what it holds goes when the lock is free again
            let called_off = shared.lock().waiting.remove(&key);
            drop(called_off);
        }
    }
}

impl Shared {
    /// The thread: does what is due, and leaves when it had nothing to wait for a while.
    fn run(&self) {
        let mut clock = self.lock();
        let mut idle_since = None;
        loop {
            let now = real_now();
            if clock.ended {
                return;
            }
            let next = clock.waiting.first_entry();
            let wait = match next {
                Some(next) if next.key().0 <= now => {
                    let action = next.remove();
                    drop(clock);
                    // a panic was told of by the hook, and the others still want their alarms
                    let _ = catch_unwind(AssertUnwindSafe(action));
                    clock = self.lock();
                    continue;
                }
                Some(next) => {
                    idle_since = None;
                    next.key().0 - now
                }
                None => {
                    let idle = now.saturating_duration_since(*idle_since.get_or_insert(now));
                    if idle >= LINGER {
                        clock.has_thread = false;
                        return;
                    }
                    LINGER.saturating_sub(idle)
                }
            };
            // no longer than that, because nobody tells when the last alarm is called off
            let (again, _) = self
                .changed
                .wait_timeout(clock, wait.min(LINGER))
                .unwrap_or_else(PoisonError::into_inner);
            clock = again;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn soon() -> Instant {
        real_now() + Duration::from_millis(5)
    }

    #[test]
    fn alarms_ring_in_the_order_of_their_times_however_they_were_set() {
        let (alarms, (ring, rings)) = (Alarms::new(), mpsc::channel());
        let start = soon();
        let armed: Vec<_> = [3_u32, 1, 2, 0]
            .into_iter()
            .map(|n| {
                let ring = ring.clone();
                let at = start + Duration::from_millis(5) * n;
                alarms.set(at, move || ring.send((n, real_now() >= at)).expect("heard"))
            })
            .collect();
        let heard: Vec<_> = (0..4).map(|_| rings.recv().expect("it rings")).collect();
        assert_eq!(heard, [(0, true), (1, true), (2, true), (3, true)]);
        drop(armed);
    }

    #[test]
    fn an_alarm_that_is_called_off_lets_go_of_what_it_holds_and_never_rings() {
        let (alarms, (ring, rings)) = (Alarms::new(), mpsc::channel());
        let held = Arc::new(());
        let (token, unheard) = (Arc::clone(&held), ring.clone());
        let at = soon();
        let armed = alarms.set(at, move || {
            drop(token);
            unheard.send("called off").expect("heard");
        });
        drop(armed);
        assert_eq!(Arc::strong_count(&held), 1);
        let _later = alarms.set(at, move || ring.send("kept").expect("heard"));
        assert_eq!(rings.recv(), Ok("kept"));
    }

    #[test]
    fn an_alarm_that_panics_leaves_the_others_alone() {
        let (alarms, (ring, rings)) = (Alarms::new(), mpsc::channel());
        let at = soon();
        let _panics = alarms.set(at, || std::panic::resume_unwind(Box::new(())));
        let _rings = alarms.set(at, move || ring.send(()).expect("heard"));
        assert_eq!(rings.recv(), Ok(()));
    }

    #[test]
    fn the_thread_leaves_when_there_is_nothing_to_wait_for_and_comes_again() {
        let (alarms, (ring, rings)) = (Alarms::new(), mpsc::channel());
        for _ in 0..2 {
            assert!(!alarms.0.lock().has_thread);
            drop(alarms.set(real_now() + LONG, || {}));
            assert!(alarms.0.lock().has_thread);
            let at = soon();
            let ring = ring.clone();
            let _armed = alarms.set(at, move || ring.send(()).expect("heard"));
            assert_eq!(rings.recv(), Ok(()));
            while alarms.0.lock().has_thread {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn the_end_calls_everything_off() {
        let alarms = Alarms::new();
        let held = Arc::new(());
        let token = Arc::clone(&held);
        let armed = alarms.set(real_now() + LONG, move || drop(token));
        let thread = Arc::downgrade(&alarms.0);
        drop(alarms);
        assert_eq!(Arc::strong_count(&held), 1);
        drop(armed);
        while thread.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
