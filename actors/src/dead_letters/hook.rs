//! The application's hook: a bounded queue and one thread that calls it.
//!
//! Whatever the hook does, it does it there. The thread alone owns it: what the hook holds (a sender
//! of its own engine, say) is let go when the engine ends.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::HookFn;
use super::letter::DeadLetter;
use super::store::guarded;
use crate::hooks::let_go;

/// Letters that may wait for the hook.
const LONGEST: usize = 256;

/// Letters that wait for the hook, and how its calls went.
pub(super) struct Queue<E> {
    waiting: Mutex<Waiting<E>>,
    changed: Condvar,
    /// Bytes that may wait. Most of them are in the store as well, and counted twice.
    max_bytes: usize,
    missed: AtomicU64,
    panics: AtomicU64,
}

struct Waiting<E> {
    letters: VecDeque<DeadLetter<E>>,
    bytes: usize,
    closed: bool,
}

impl<E: Send + Sync + 'static> Queue<E> {
    /// Starts the thread that calls `hook`.
    pub(super) fn start(hook: Box<HookFn<E>>, max_bytes: usize) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            waiting: Mutex::new(Waiting {
                letters: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            max_bytes,
            missed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        });
        let calls = Arc::clone(&queue);
        // detached: nobody waits for code of others
        std::thread::Builder::new()
            .name("productgraph-letters".to_owned())
            .spawn(move || {
                calls.call(&*hook);
                let_go(hook);
            })?;
        Ok(queue)
    }
}

impl<E> Queue<E> {
    /// Puts a letter in if there is room, else counts it as missed. Never waits for the hook.
    pub(super) fn offer(&self, letter: &DeadLetter<E>) {
        let mut waiting = self.lock();
        let bytes = waiting.bytes + letter.size();
        let fits = waiting.letters.len() < LONGEST && bytes <= self.max_bytes;
        if waiting.closed || !fits {
            drop(waiting);
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes = bytes;
        waiting.letters.push_back(letter.clone());
        drop(waiting);
        self.changed.notify_one();
    }

    /// No more letters: the thread ends when the hook has seen those that wait.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// How many the hook missed, and how often it panicked.
    pub(super) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.missed), read(&self.panics))
    }

    fn call(&self, hook: &HookFn<E>) {
        while let Some(letter) = self.next() {
            if guarded(|| hook(&letter)).is_none()
                && self.panics.fetch_add(1, Ordering::Relaxed) == 0
            {
                // once for the engine: the count is in the stats
                tracing::error!(
                    "the dead letter hook panicked; it is called again for the next one"
                );
            }
            let_go(letter);
        }
    }

    /// The next letter; none once closed and empty.
    fn next(&self) -> Option<DeadLetter<E>> {
        let waiting = self.lock();
        let empty = |waiting: &mut Waiting<E>| waiting.letters.is_empty() && !waiting.closed;
        let mut waiting = self
            .changed
            .wait_while(waiting, empty)
            .unwrap_or_else(PoisonError::into_inner);
        let letter = waiting.letters.pop_front()?;
        waiting.bytes -= letter.size();
        Some(letter)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<E>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
