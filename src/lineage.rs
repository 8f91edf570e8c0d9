//! Keeps what is random apart in processes that were forked from one another.
//!
//! A fork copies the state of every generator, so that parent and child, and the children among each
//! other, would go on with the same numbers. Starting an engine is the moment at which a process says
//! that it is there to stay; from then on its numbers differ.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The process in which a generator was first used or an engine last started; 0 before either.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// 0 unless this process was forked from one in which a generator had been used.
static SALT: AtomicU64 = AtomicU64::new(0);

/// To be mixed into whatever has to differ between processes. One load of a word that hardly changes.
pub(crate) fn salt() -> u64 {
    SALT.load(Ordering::Relaxed)
}

/// Notes that a generator is used for the first time.
pub(crate) fn begins() {
    // somebody was earlier, which is as good
    let _ = PROCESS.compare_exchange(0, std::process::id(), Ordering::AcqRel, Ordering::Relaxed);
}

/// Notes that an engine starts: gives this process a salt of its own if it was forked since.
pub(crate) fn starts() {
    let process = std::process::id();
    let before = PROCESS.swap(process, Ordering::AcqRel);
    if before != 0 && before != process {
        SALT.store(salt_of(process), Ordering::Relaxed);
    }
}

/// The hasher's keys may be the parent's; the process and the time are not.
fn salt_of(process: u32) -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(process);
    hasher.write_u128(now.as_nanos());
    hasher.finish() | 1
}
