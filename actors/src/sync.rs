//! The synchronisation primitives of the ingress, switched so that loom checks the code that ships.
//!
//! Under `--cfg pg_loom` atomics and fences are loom's, and the ring and the wake-up signal are models
//! (`sync/model.rs`), because neither crossbeam's queue nor tokio's `Notify` can be run by loom. The
//! cfg has a name of its own: `--cfg loom` would reach every dependency and break some.

use std::ops::Deref;

#[cfg(pg_loom)]
mod model;

#[cfg(pg_loom)]
pub(crate) use self::model::{Notify, Ring};
#[cfg(pg_loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(not(pg_loom))]
pub(crate) use crossbeam_queue::ArrayQueue as Ring;
#[cfg(not(pg_loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(not(pg_loom))]
pub(crate) use tokio::sync::Notify;

/// Keeps a value on cache lines of its own. 128 bytes, because processors prefetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
