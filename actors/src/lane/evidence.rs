//! What a lane's last attempts prove about its destination, for those who judge its health.

use std::time::Duration;

use tokio::time::Instant;

use super::state::LaneCounts;

/// When things went wrong here, and how often in a row. Kept by comparing the counters, so that no place
/// that counts has to know.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    delivered: u64,
    rejected: u64,
    dropped: u64,
    pub(super) last_error: Option<Instant>,
    pub(super) last_dropped: Option<Instant>,
    /// Events refused for good since something was delivered.
    pub(super) rejected_in_a_row: u64,
    rejecting: Option<(Instant, Instant)>,
}

impl Evidence {
    /// Looks at what has changed since the last time.
    pub(super) fn note(&mut self, counts: &LaneCounts, now: Instant) {
        let rejected = counts.rejected.total();
        let dropped = counts.dropped.total();
        if counts.delivered > self.delivered {
            self.rejected_in_a_row = 0;
            self.rejecting = None;
        } else if rejected > self.rejected {
            self.rejected_in_a_row += rejected - self.rejected;
            let first = self.rejecting.map_or(now, |(first, _)| first);
            self.rejecting = Some((first, now));
        }
        if dropped > self.dropped {
            self.last_dropped = Some(now);
        }
        (self.delivered, self.rejected, self.dropped) = (counts.delivered, rejected, dropped);
    }

    /// From the first to the last of the events refused in a row.
    pub(super) fn rejecting_for(&self) -> Option<Duration> {
        let (first, last) = self.rejecting?;
        Some(last.saturating_duration_since(first))
    }
}
