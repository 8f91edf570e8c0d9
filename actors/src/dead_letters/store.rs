//! Where dead letters are kept: one bounded store for each provider.
//!
//! No code of others runs under a store's lock: events are copied and weighed before, and dropped
//! after it.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::hook::Queue;
use super::letter::{DeadLetter, Letter};
use super::{Dead, DeadLetterLimits, DeadLetterStats, Options};
use crate::hooks::let_go;

/// The stores of all providers, in the order of the lanes, and the hook's queue.
pub(crate) struct DeadLetters<E> {
    pub(crate) stores: Vec<Arc<Store<E>>>,
    hook: Option<Arc<Queue<E>>>,
}

impl<E: Send + Sync + 'static> DeadLetters<E> {
    /// Starts the hook's thread, if there is a hook.
    pub(crate) fn start(
        options: Options<E>,
        weigh: fn(&E) -> usize,
        providers: &[&str],
    ) -> io::Result<Self> {
        let Options { limits, copy, hook } = options;
        let hook = hook.map(|hook| Queue::start(hook, limits.max_bytes));
        let hook = hook.transpose()?;
        let numbers = Arc::new(AtomicU64::new(1));
        let store = |name: &&str| {
            Arc::new(Store {
                provider: Arc::from(*name),
                limits: limits.share(providers.len()),
                copy,
                weigh,
                numbers: Arc::clone(&numbers),
                hook: hook.clone(),
                kept: Mutex::default(),
            })
        };
        Ok(Self {
            stores: providers.iter().map(store).collect(),
            hook,
        })
    }

    /// Everything that is kept, newest last.
    pub(crate) fn list(&self) -> Vec<DeadLetter<E>> {
        let mut all: Vec<_> = self.stores.iter().flat_map(|store| store.list()).collect();
        all.sort_by_key(DeadLetter::number);
        all
    }

    pub(crate) fn stats(&self) -> DeadLetterStats {
        let mut stats = DeadLetterStats::default();
        for store in &self.stores {
            let kept = store.lock();
            stats.kept += kept.letters.len() as u64;
            stats.bytes += kept.bytes;
            stats.evicted += kept.evicted;
            stats.not_kept += kept.unkept;
            stats.taken += kept.taken;
            stats.redriven += kept.redriven;
        }
        if let Some(hook) = &self.hook {
            (stats.hook_missed, stats.hook_panics) = hook.counts();
        }
        stats
    }

    /// Nothing dies any more: the hook is told of what waits, and its thread ends.
    pub(crate) fn end_hook(&self) {
        if let Some(hook) = &self.hook {
            hook.close();
        }
    }

    /// Lets everything go and keeps nothing more.
    pub(crate) fn clear(&self) {
        for store in &self.stores {
            let mut kept = store.lock();
            kept.gone = true;
            kept.bytes = 0;
            let letters = std::mem::take(&mut kept.letters);
            drop(kept);
            let_go(letters);
        }
    }
}

/// What one provider's dead letters are kept in.
pub(crate) struct Store<E> {
    provider: Arc<str>,
    limits: DeadLetterLimits,
    copy: fn(&E) -> E,
    weigh: fn(&E) -> usize,
    /// Shared by all stores of an engine.
    numbers: Arc<AtomicU64>,
    hook: Option<Arc<Queue<E>>>,
    kept: Mutex<Kept<E>>,
}

struct Kept<E> {
    /// Oldest first; numbers grow.
    letters: VecDeque<DeadLetter<E>>,
    bytes: usize,
    evicted: u64,
    unkept: u64,
    taken: u64,
    redriven: u64,
    /// The engine was dropped.
    gone: bool,
}

impl<E> Default for Kept<E> {
    fn default() -> Self {
        Self {
            letters: VecDeque::new(),
            bytes: 0,
            evicted: 0,
            unkept: 0,
            taken: 0,
            redriven: 0,
            gone: false,
        }
    }
}

impl<E> Kept<E> {
    /// Makes room for `size` bytes; what had to go.
    fn make_room(&mut self, size: usize, limits: DeadLetterLimits) -> Vec<DeadLetter<E>> {
        let mut evicted = Vec::new();
        while self.letters.len() >= limits.max_events || self.bytes + size > limits.max_bytes {
            let Some(oldest) = self.letters.pop_front() else {
                break;
            };
            self.bytes -= oldest.size();
            self.evicted += 1;
            evicted.push(oldest);
        }
        evicted
    }

    /// Takes out the letters with these numbers, in order.
    fn remove(&mut self, numbers: &HashSet<u64>) -> Vec<DeadLetter<E>> {
        let letters = std::mem::take(&mut self.letters);
        let (removed, rest): (Vec<_>, Vec<_>) = letters
            .into_iter()
            .partition(|letter| numbers.contains(&letter.number()));
        self.letters = rest.into();
        self.bytes -= removed.iter().map(DeadLetter::size).sum::<usize>();
        removed
    }
}

impl<E> Store<E> {
    /// Copies and keeps what died. Runs code of others: call it without any lock.
    pub(crate) fn add(&self, dead: &[Dead<E>]) {
        for dead in dead {
            for event in dead.slice.events() {
                match self.copied(event) {
                    Some((event, weight)) => self.keep(event, weight, dead),
                    None => self.lock().unkept += 1,
                }
            }
        }
    }

    /// A copy of `event` and its weight; none if making either panicked.
    fn copied(&self, event: &E) -> Option<(E, usize)> {
        guarded(|| ((self.copy)(event), (self.weigh)(event).max(1)))
    }

    /// A copy of the event of `letter`; none if making it panicked.
    pub(super) fn copy_of(&self, letter: &DeadLetter<E>) -> Option<E> {
        guarded(|| (self.copy)(letter.event()))
    }

    fn keep(&self, event: E, weight: usize, dead: &Dead<E>) {
        let mut kept = self.lock();
        // numbered under the lock, so that they grow within a store
        let letter = DeadLetter::new(Letter {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            provider: Arc::clone(&self.provider),
            event,
            weight,
            reason: dead.reason,
            cause: dead.cause.clone(),
            at: SystemTime::now(),
            attempts: dead.slice.attempts,
        });
        let size = letter.size();
        let mut evicted = Vec::new();
        if kept.gone || size > self.limits.max_bytes {
            kept.unkept += 1;
        } else {
            evicted = kept.make_room(size, self.limits);
            kept.bytes += size;
            kept.letters.push_back(letter.clone());
        }
        drop(kept);
        if let Some(hook) = &self.hook {
            hook.offer(&letter);
        }
        let_go((letter, evicted));
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> u64 {
        self.lock().letters.len() as u64
    }

    /// Everything that is kept, newest last.
    pub(crate) fn list(&self) -> Vec<DeadLetter<E>> {
        self.lock().letters.iter().cloned().collect()
    }

    /// Takes out those with these numbers that are still here, for the application.
    pub(super) fn take(&self, numbers: &HashSet<u64>) -> Vec<DeadLetter<E>> {
        let mut kept = self.lock();
        let taken = kept.remove(numbers);
        kept.taken += taken.len() as u64;
        taken
    }

    /// Takes out those with these numbers that are still here, to be redriven.
    pub(super) fn claim(&self, numbers: &HashSet<u64>) -> Vec<DeadLetter<E>> {
        let mut kept = self.lock();
        let claimed = kept.remove(numbers);
        kept.redriven += claimed.len() as u64;
        claimed
    }

    fn lock(&self) -> MutexGuard<'_, Kept<E>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `work` gives; none if it panicked.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => Some(value),
        Err(payload) => {
            let_go(payload);
            None
        }
    }
}
