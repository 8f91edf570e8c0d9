//! The rows to compare with: nothing at all, and the yardstick.

use std::hint::black_box;
use std::sync::Arc;

use super::peer::{Call, QUEUE, wait};
use crate::request::Req;
use crate::ring::Ring;

/// The yardstick's row.
pub(super) const YARDSTICK: &str = "ring";

/// What the measurement itself costs.
pub(super) struct Loop;

impl Call for Loop {
    fn name(&self) -> &'static str {
        "(empty loop)"
    }

    #[inline]
    fn call(&self, index: usize) -> bool {
        black_box(index);
        true
    }

    fn drain(&self) {}
}

/// `ArrayQueue`, polled, fixed 256-byte event.
pub(super) struct Yardstick {
    ring: Ring,
    requests: Arc<[Req]>,
}

impl Yardstick {
    pub(super) fn new(requests: Arc<[Req]>) -> Self {
        Self {
            ring: Ring::new(QUEUE),
            requests,
        }
    }
}

impl Call for Yardstick {
    fn name(&self) -> &'static str {
        YARDSTICK
    }

    #[inline]
    fn call(&self, index: usize) -> bool {
        self.ring.push(&self.requests[index])
    }

    fn drain(&self) {
        wait(YARDSTICK, || self.ring.is_empty());
    }
}
