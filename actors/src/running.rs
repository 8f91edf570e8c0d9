//! The attempts that run now, and whether one of them should have ended long ago.
//!
//! An attempt ends itself at its deadline, unless its provider blocks the thread whose timer would tell
//! it so. From outside it cannot be ended then, only noticed.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::FOREVER;

/// How long an attempt may be late before its provider is to blame.
const GRACE: Duration = Duration::from_secs(1);

/// Attempts by the key of their task; short.
#[derive(Debug)]
pub(crate) struct Running<K> {
    attempts: Vec<(K, u64, Instant)>,
    /// How long an attempt may take before it counts as overdue.
    limit: Duration,
    /// Whether it was said that one is overdue.
    told: bool,
}

impl<K: PartialEq> Running<K> {
    pub(crate) fn new(attempt_timeout: Duration) -> Self {
        Self {
            attempts: Vec::new(),
            limit: attempt_timeout.min(FOREVER) + GRACE,
            told: false,
        }
    }

    /// Attempt `id` runs as task `key` from `now` on.
    pub(crate) fn started(&mut self, key: K, id: u64, now: Instant) {
        self.attempts.push((key, id, now));
    }

    /// Which attempt it was that ran as task `key`.
    pub(crate) fn ended(&mut self, key: &K) -> Option<u64> {
        let at = self.attempts.iter().position(|(task, ..)| task == key)?;
        let (_, id, _) = self.attempts.swap_remove(at);
        Some(id)
    }

    /// When to look for overdue attempts, if that is not known already.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        let oldest = self.attempts.iter().map(|(.., since)| *since).min()?;
        (!self.told).then(|| oldest + self.limit)
    }

    /// Whether this changed, and to what: true once when an attempt is overdue, false once when none
    /// is any more.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<bool> {
        let late = |since: Instant| now.saturating_duration_since(since) >= self.limit;
        let overdue = self.attempts.iter().any(|(.., since)| late(*since));
        let changed = overdue != self.told;
        self.told = overdue;
        changed.then_some(overdue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn an_overdue_attempt_is_told_of_once_and_so_is_its_end() {
        let start = Instant::now();
        let mut running = Running::new(TIMEOUT);
        assert_eq!(running.look_at(), None, "nothing runs");
        running.started('a', 7, start);
        running.started('b', 8, start + TIMEOUT);
        let late = start + TIMEOUT + GRACE;
        assert_eq!(running.look_at(), Some(late));
        assert_eq!(
            running.overdue(start + TIMEOUT),
            None,
            "it may be on its way"
        );
        assert_eq!(running.overdue(late), Some(true));
        assert_eq!(running.look_at(), None, "it was told of");
        assert_eq!(running.overdue(late), None);
        assert_eq!(running.ended(&'a'), Some(7));
        assert_eq!(running.overdue(late), Some(false));
        assert_eq!(running.overdue(late), None);
        assert_eq!(running.look_at(), Some(late + TIMEOUT), "the other one");
        assert_eq!((running.ended(&'b'), running.ended(&'b')), (Some(8), None));
        assert_eq!(running.look_at(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_timeout_there_is_overflows_nothing() {
        let mut running = Running::new(Duration::MAX);
        running.started((), 1, Instant::now());
        assert!(running.look_at().is_some());
        assert_eq!(running.overdue(Instant::now()), None);
    }
}
