//! What a client must do to be measured on its caller's side.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::clock::nanos_since;

/// Requests that the calls go round in; a power of two.
pub const POOL: usize = 4096;
/// Places in each client's queue, so that no burst is refused.
pub const QUEUE: usize = 1 << 16;

/// One way of handing over an event.
pub trait Call: Sync {
    /// The row's name.
    fn name(&self) -> &'static str;
    /// Hands over the event of request `index`, below [`POOL`]; false if it was refused.
    fn call(&self, index: usize) -> bool;
    /// Runs `f` as the handler of request `index` would run: for context that is there already.
    #[inline]
    fn within<R>(&self, index: usize, f: impl FnOnce() -> R) -> R {
        let _ = index;
        f()
    }
    /// Waits until everything handed over has been taken off the queue.
    fn drain(&self);
}

/// [`Call`], compiled for each client by itself, behind one type.
pub trait Peer: Sync {
    /// The row's name.
    fn name(&self) -> &'static str;
    /// Waits until everything handed over has been taken off the queue.
    fn drain(&self);
    /// Nanoseconds of `count` calls from request `from` on, and how many were refused.
    fn burst(&self, from: usize, count: usize) -> (u64, u64);
    /// Nanoseconds of each of `count` calls.
    fn each(&self, from: usize, count: usize, out: &mut Vec<u32>);
    /// Hands each of `count` calls to `around`, inside the context it has; what enters that context is
    /// outside.
    fn wrapped(&self, count: usize, around: &mut dyn FnMut(&mut dyn FnMut()));
    /// Like `each`, with one call every `pace`.
    fn paced(&self, count: usize, pace: Duration, out: &mut Vec<u32>);
}

impl<C: Call> Peer for C {
    fn name(&self) -> &'static str {
        Call::name(self)
    }

    fn drain(&self) {
        Call::drain(self);
    }

    fn burst(&self, from: usize, count: usize) -> (u64, u64) {
        let mut refused = 0;
        let start = Instant::now();
        for index in from..from + count {
            let index = index % POOL;
            refused += u64::from(!self.within(index, || self.call(index)));
        }
        (start.elapsed().as_nanos() as u64, refused)
    }

    fn each(&self, from: usize, count: usize, out: &mut Vec<u32>) {
        for index in from..from + count {
            out.push(timed(self, index % POOL));
        }
    }

    fn wrapped(&self, count: usize, around: &mut dyn FnMut(&mut dyn FnMut())) {
        for index in 0..count {
            let index = index % POOL;
            self.within(index, || {
                around(&mut || {
                    black_box(self.call(index));
                });
            });
        }
    }

    fn paced(&self, count: usize, pace: Duration, out: &mut Vec<u32>) {
        let mut due = Instant::now();
        for index in 0..count {
            due += pace;
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            out.push(timed(self, index % POOL));
            // who was kept off the core does not catch up in a burst
            due = due.max(Instant::now().checked_sub(pace).unwrap_or(due));
        }
    }
}

#[inline]
fn timed(call: &impl Call, index: usize) -> u32 {
    call.within(index, || {
        let start = Instant::now();
        black_box(call.call(index));
        nanos_since(start)
    })
}

/// Looks every 200 us until it is done.
///
/// # Panics
///
/// After 60 s.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        std::thread::sleep(Duration::from_micros(200));
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "{what} did not drain within 60 s"
        );
    }
}
