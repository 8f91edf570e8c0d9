//! From the hand-off to the lanes.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Stages;
use crate::lane::Sifted;
use crate::request::Sealed;

/// What the lanes' filters left of one batch.
struct Sifting<E> {
    number: u64,
    /// By lane; empty if every lane gets everything.
    lanes: Vec<Option<Sifted<E>>>,
}

impl<E: Send + Sync + 'static> Stages<E> {
    /// Offers the next sealed batch to every lane.
    pub(crate) fn route_one(&self) -> bool {
        if !self.lanes.iter().any(|lane| lane.has_filter()) {
            return self.route(|_| true, Vec::new());
        }
        let Some(sifted) = self.sift() else {
            return false;
        };
        self.hook_panics.tell(Instant::now());
        // a close that came meanwhile has routed it, and then there is nothing left to route
        self.route(|next| next.number == sifted.number, sifted.lanes)
    }

    /// What the lanes' filters leave of the next batch. They are the application's code: they run while
    /// the batch is still in the hand-off, and nothing is locked.
    fn sift(&self) -> Option<Sifting<E>> {
        let copy = |sealed: &Sealed<E>| (sealed.number, sealed.slices.clone(), sealed.only);
        let (number, slices, only) = self.sealed.next(copy)?;
        let mut lanes = Vec::new();
        // what was put back into one lane has passed that lane's filter before
        if only.is_none() {
            self.aside(|| {
                for (i, lane) in self.lanes.iter().enumerate() {
                    if let Some(sifted) = lane.sift(number, &slices, &self.hook_panics) {
                        lanes.resize_with(self.lanes.len(), || None);
                        lanes[i] = Some(sifted);
                    }
                }
            });
        }
        Some(Sifting { number, lanes })
    }

    /// Takes the next batch, if it is `wanted`, and offers it to every lane that it is for. Each gets
    /// what its filter left, or everything; `sifted` is empty if all of them get everything.
    pub(super) fn route(
        &self,
        wanted: impl FnOnce(&Sealed<E>) -> bool,
        mut sifted: Vec<Option<Sifted<E>>>,
    ) -> bool {
        let routed = self.sealed.route_one_if(wanted, |sealed| {
            let mut garbage = Vec::new();
            for (i, lane) in self.lanes.iter().enumerate() {
                if sealed.only.is_some_and(|only| only != i) {
                    continue;
                }
                garbage.extend(match sifted.get_mut(i).and_then(Option::take) {
                    Some(sifted) => lane.offer_sifted(&sifted),
                    None => lane.offer(&sealed),
                });
            }
            (sealed, garbage)
        });
        if let Some((sealed, _)) = &routed {
            self.routed.advance(sealed.number);
        }
        routed.is_some()
    }
}

/// A number that only grows, and a notice for those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    reached: AtomicU64,
    changed: Notify,
}

impl Progress {
    fn advance(&self, to: u64) {
        self.reached.fetch_max(to, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits until `number` was reached.
    pub(crate) async fn reached(&self, number: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.reached.load(Ordering::Acquire) >= number {
                return;
            }
            changed.await;
        }
    }
}
