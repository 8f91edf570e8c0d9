//! A histogram of short times that many threads add to without waiting.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets to a doubling; quantiles are right to an eighth.
const STEPS: u64 = 8;
const BUCKETS: usize = 512;

pub(crate) struct Latency([AtomicU64; BUCKETS]);

impl Default for Latency {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0[bucket(nanos)].fetch_add(1, Relaxed);
    }

    /// The time that `percent` of all recorded ones do not exceed.
    pub(crate) fn percentile(&self, percent: u64) -> Duration {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut passed = 0;
        let reached = counts.iter().position(|count| {
            passed += count;
            passed >= wanted
        });
        Duration::from_nanos(reached.map_or(0, upper_end))
    }
}

/// Below [`STEPS`] one bucket each, then [`STEPS`] to every doubling.
fn bucket(nanos: u64) -> usize {
    let doubling = nanos.max(STEPS).ilog2() - STEPS.ilog2();
    let index = u64::from(doubling) * STEPS + (nanos >> doubling);
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let doubling = (bucket / STEPS).saturating_sub(1);
    let step = bucket - doubling * STEPS;
    ((step + 1) << doubling).wrapping_sub(1)
}
