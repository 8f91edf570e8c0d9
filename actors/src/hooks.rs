//! Running the application's hooks: a panic is caught and counted, and what is sent from inside one
//! is refused.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

/// Panics are told of at most this often, with their number since the last time.
const QUIET: Duration = Duration::from_secs(60);

thread_local! {
    /// Whether a hook runs on this thread. Without a destructor, so it can be read at any time.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Counts the panics of an application's hooks. A clone counts into the same number.
///
/// The engine has one of its own for the panics that it catches itself. Whoever catches some before
/// the engine does, to go on in another way than the engine would, shares this with it by
/// [`PipelineBuilder::hook_panics`](crate::PipelineBuilder::hook_panics).
#[derive(Clone, Default)]
pub struct HookPanics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    count: AtomicU64,
    told: Mutex<Told>,
}

/// What the log knows.
#[derive(Default)]
struct Told {
    panics: u64,
    at: Option<Instant>,
}

impl HookPanics {
    /// Starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Panics so far.
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Counts panics that somebody else has caught.
    pub fn add(&self, panics: u64) {
        self.0.count.fetch_add(panics, Ordering::Relaxed);
    }

    /// Runs `hook` and returns what it does; `None`, and one more panic, if it panicked.
    ///
    /// What the hook sends into a pipeline meanwhile, on this thread, is refused as `in_hook`: every
    /// event of a hook would be one more event for the hook.
    pub fn guard<T>(&self, hook: impl FnOnce() -> T) -> Option<T> {
        let running = Running::begin();
        let result = catch_unwind(AssertUnwindSafe(hook));
        drop(running);
        match result {
            Ok(value) => Some(value),
            Err(payload) => {
                self.add(1);
                let_go(payload);
                None
            }
        }
    }

    /// Logs the panics that were not told of yet, unless others were a short while ago. To be called
    /// where no lock is held.
    pub(crate) fn tell(&self, now: Instant) {
        if let Some(panics) = self.untold(now) {
            tracing::warn!(panics, "a hook panicked");
        }
    }

    /// Whether there was a panic within the last minute or two.
    pub(crate) fn lately(&self, now: Instant) -> bool {
        let count = self.count();
        if count == 0 {
            return false;
        }
        let told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |at: Instant| now.saturating_duration_since(at) < QUIET;
        told.panics < count || told.at.is_some_and(lately)
    }

    fn untold(&self, now: Instant) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |at: Instant| now.saturating_duration_since(at) < QUIET;
        if told.panics == count || told.at.is_some_and(lately) {
            return None;
        }
        told.at = Some(now);
        Some(count - std::mem::replace(&mut told.panics, count))
    }
}

impl fmt::Debug for HookPanics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookPanics").field(&self.count()).finish()
    }
}

/// Drops what belongs to the application. Its drop may panic, which the panic hook has told of.
pub(crate) fn let_go<T>(value: T) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // a payload that panics when it is dropped: nobody shall drop it
        std::mem::forget(again);
    }
}

/// Runs code of the application that may block: another thread takes over what else this one has to
/// do for the engine meanwhile, the timers included.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let here = Handle::try_current();
    let flavor = here.map(|here| here.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
        tokio::task::block_in_place(work)
    } else {
        // an attached runtime of one thread has nobody to take over
        work()
    }
}

/// Whether a hook runs on this thread now.
#[inline]
pub(crate) fn is_running() -> bool {
    RUNNING.try_with(Cell::get).unwrap_or(false)
}

/// A hook runs until this is dropped.
struct Running {
    /// One hook inside another: the outer one goes on.
    before: bool,
}

impl Running {
    fn begin() -> Self {
        let before = RUNNING.try_with(|running| running.replace(true));
        Self {
            before: before.unwrap_or(false),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // a thread without the flag never set it
        let _ = RUNNING.try_with(|running| running.set(self.before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_counted_and_leaves_no_hook_running() {
        struct Nested(u8);
        impl Drop for Nested {
            fn drop(&mut self) {
                if self.0 > 0 {
                    std::panic::panic_any(Nested(self.0 - 1));
                }
            }
        }
        let panics = HookPanics::new();
        assert_eq!(panics.guard(is_running), Some(true));
        assert_eq!(panics.guard(|| panic!("a hook that panics")), None::<()>);
        // even one whose payload panics when it is dropped
        let hostile = || std::panic::panic_any(Nested(2));
        assert_eq!(panics.guard(hostile), None::<()>);
        assert!(!is_running());
        assert_eq!((panics.count(), panics.clone().count()), (2, 2));
    }

    #[test]
    fn the_hook_around_another_goes_on_after_it() {
        let panics = HookPanics::new();
        let inner = || {
            assert_eq!(panics.guard(|| panic!("a hook of the script")), None::<()>);
            is_running()
        };
        assert_eq!(panics.guard(inner), Some(true));
        assert!(!is_running());
    }

    #[test]
    fn panics_are_told_of_at_once_and_then_once_a_minute_with_their_number() {
        let panics = HookPanics::new();
        let start = Instant::now();
        let panic = |times: usize| {
            for _ in 0..times {
                assert_eq!(panics.guard(|| panic!("told of")), None::<()>);
            }
        };
        assert_eq!(panics.untold(start), None);
        panic(3);
        assert_eq!(panics.untold(start), Some(3));
        panic(2);
        assert_eq!(panics.untold(start + QUIET / 2), None);
        panic(2);
        assert_eq!(panics.untold(start + QUIET), Some(4));
        assert_eq!(panics.untold(start + 3 * QUIET), None);
    }
}
