//! What a pair of clock reads costs, to be taken off what is measured between them.
//!
//! The clock is `std::time::Instant`. Its reads are ordered: what was started before a read is over by
//! then. The cycle counter of safe crates (`quanta`, `minstant`) is cheaper and not ordered, so that a
//! call of some 100 ns partly runs outside its own measurement.

use std::time::Instant;

/// Nanoseconds since `start`, at most `u32::MAX`.
#[inline]
pub fn nanos_since(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
}

/// What [`nanos_since`] tells when nothing happens in between: the median of 20,000.
pub fn overhead() -> u32 {
    let mut pairs: Vec<u32> = (0..20_000).map(|_| nanos_since(Instant::now())).collect();
    pairs.sort_unstable();
    pairs[pairs.len() / 2]
}
