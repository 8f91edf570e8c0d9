//! Stand-ins for the ring and the signal, made of loom's parts.
//!
//! Both promise no more than the real ones do. The ring orders nothing but a push before the pop that
//! gets its item: what a look at it sees may be stale, so the protocol around it has to bring the order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex as StdMutex, PoisonError};
use std::task::{Context, Poll, Waker};

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};

/// A bounded queue with `crossbeam_queue::ArrayQueue`'s methods.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    capacity: usize,
    /// Invisible to loom: it changes in the same step as `head` or `tail`, and orders nothing.
    items: StdMutex<VecDeque<T>>,
}

impl<T> Ring<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            capacity,
            items: StdMutex::default(),
        }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            let head = self.head.load(Ordering::Relaxed);
            if tail.saturating_sub(head) >= self.capacity {
                return Err(item);
            }
            match self
                .tail
                .compare_exchange(tail, tail + 1, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => {
                    self.with_items(|items| items.push_back(item));
                    return Ok(());
                }
                Err(now) => tail = now,
            }
        }
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if self.tail.load(Ordering::Acquire) <= head {
                return None;
            }
            match self
                .head
                .compare_exchange(head, head + 1, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return self.with_items(VecDeque::pop_front),
                Err(now) => head = now,
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        let tail = self.tail.load(Ordering::Acquire);
        tail.saturating_sub(self.head.load(Ordering::Acquire))
    }

    fn with_items<R>(&self, f: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        f(&mut self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A signal with `tokio::sync::Notify`'s methods: one stored permit, waiters served in order, and a
/// wake-up that is dropped unused goes to the next.
#[derive(Debug, Default)]
pub(crate) struct Notify(Mutex<Signals>);

#[derive(Debug, Default)]
struct Signals {
    permit: bool,
    /// Calls of `notify_waiters`.
    broadcasts: u64,
    last_id: u64,
    waiters: VecDeque<(u64, Waker)>,
    /// Those that were woken and have not noticed; true: by `notify_one`.
    woken: Vec<(u64, bool)>,
}

impl Signals {
    fn one(&mut self) -> Option<Waker> {
        let Some((id, waker)) = self.waiters.pop_front() else {
            self.permit = true;
            return None;
        };
        self.woken.push((id, true));
        Some(waker)
    }
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        let waker = self.signals(Signals::one);
        waker.iter().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn notify_waiters(&self) {
        let wakers: Vec<Waker> = self.signals(|signals| {
            signals.broadcasts += 1;
            let Signals { waiters, woken, .. } = signals;
            let all = waiters.drain(..);
            all.map(|(id, waker)| {
                woken.push((id, false));
                waker
            })
            .collect()
        });
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        let broadcasts = self.signals(|signals| signals.broadcasts);
        Notified {
            notify: self,
            broadcasts,
            id: None,
            done: false,
        }
    }

    fn signals<R>(&self, f: impl FnOnce(&mut Signals) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Resolves when notified.
#[derive(Debug)]
pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    broadcasts: u64,
    id: Option<u64>,
    done: bool,
}

impl Notified<'_> {
    pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Ready(());
        }
        let (id, broadcasts) = (self.id, self.broadcasts);
        let (id, done) = self.notify.signals(|signals| {
            let Some(id) = id else {
                if signals.broadcasts != broadcasts || std::mem::take(&mut signals.permit) {
                    return (None, true);
                }
                signals.last_id += 1;
                let id = signals.last_id;
                signals.waiters.push_back((id, context.waker().clone()));
                return (Some(id), false);
            };
            if let Some(at) = signals.woken.iter().position(|&(woken, _)| woken == id) {
                signals.woken.swap_remove(at);
                return (None, true);
            }
            for (waiting, waker) in &mut signals.waiters {
                if *waiting == id {
                    waker.clone_from(context.waker());
                }
            }
            (Some(id), false)
        });
        (self.id, self.done) = (id, done);
        if done { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        // A model that found a deadlock unwinds, and may not use loom any more.
        let (Some(id), false) = (self.id, std::thread::panicking()) else {
            return;
        };
        let next = self.notify.signals(|signals| {
            signals.waiters.retain(|&(waiting, _)| waiting != id);
            let at = signals.woken.iter().position(|&(woken, _)| woken == id)?;
            let (_, by_one) = signals.woken.swap_remove(at);
            if by_one { signals.one() } else { None }
        });
        next.iter().for_each(Waker::wake_by_ref);
    }
}
