//! loom models: the code that ships, and broken siblings that must fail.
//!
//! `RUSTFLAGS="--cfg pg_loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p productgraph-actors --release --lib models::`
//!
//! The ring and the signal are stand-ins (`sync/model.rs`); the gate, the ingress, the budget and its
//! waiting room are the real files. A lost wake-up shows as a deadlock, a lost event as a wrong sum. A
//! model that cannot fail proves nothing, so each has siblings with one defect each. Shared state sits
//! in std's `Arc`: loom's cannot be dropped while a found deadlock unwinds.

mod gate;
mod ingress;
mod priority;
mod room;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};

/// Runs a future on a loom thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let parker = Arc::new(Parker::default());
    let waker = Waker::from(Arc::clone(&parker));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => parker.park(),
        }
    }
}

#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    fn park(&self) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !std::mem::take(&mut *woken) {
            woken = self
                .changed
                .wait(woken)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}
