//! One bit for each event, set from any thread.

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Bits(Box<[AtomicU64]>);

impl Bits {
    pub(crate) fn new(len: usize) -> Self {
        Self((0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn set(&self, n: usize) {
        if let Some(word) = self.0.get(n / 64) {
            word.fetch_or(1 << (n % 64), Ordering::Relaxed);
        }
    }

    /// How many numbers satisfy `which`, a function of the words at the same place in all of `others`.
    pub(crate) fn count(&self, others: &[&Self], mut which: impl FnMut(u64, &[u64]) -> u64) -> u64 {
        let mut words = Vec::with_capacity(others.len());
        let mut count = 0;
        for (i, word) in self.0.iter().enumerate() {
            words.clear();
            words.extend(others.iter().map(|bits| bits.0[i].load(Ordering::Relaxed)));
            count += u64::from(which(word.load(Ordering::Relaxed), &words).count_ones());
        }
        count
    }

    pub(crate) fn total(&self) -> u64 {
        self.count(&[], |mine, _| mine)
    }
}
