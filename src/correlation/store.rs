//! The correlation of whatever this thread runs right now.
//!
//! A thread-local slot, swapped in and out around each poll and each `enter`: what a task-local is.
//! It is our own because tokio's `scope` panics once a thread is being torn down, and a panic there
//! aborts the process; here a slot that is gone just reads as empty.

use std::cell::Cell;

use super::Correlation;

thread_local! {
    static CURRENT: Cell<Option<Correlation>> = const { Cell::new(None) };
}

/// Lends the current correlation to `read`.
///
/// The slot is empty meanwhile, so `read` must not ask for the current correlation itself.
pub(super) fn peek<R>(read: impl FnOnce(&Correlation) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| {
            let correlation = current.take();
            let answer = correlation.as_ref().map(read);
            current.set(correlation);
            answer
        })
        .ok()
        .flatten()
}

/// Runs `f` with `slot` as the current correlation, and puts both back whatever `f` does.
///
/// While a thread is torn down there may be no slot left; `f` then runs without.
pub(super) fn swapped<R>(slot: &mut Option<Correlation>, f: impl FnOnce() -> R) -> R {
    struct PutBack<'a>(&'a mut Option<Correlation>);

    impl Drop for PutBack<'_> {
        fn drop(&mut self) {
            swap(self.0);
        }
    }

    if !swap(slot) {
        return f();
    }
    let _put_back = PutBack(slot);
    f()
}

fn swap(slot: &mut Option<Correlation>) -> bool {
    CURRENT
        .try_with(|current| *slot = current.replace(slot.take()))
        .is_ok()
}
