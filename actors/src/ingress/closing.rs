//! Why the ingress was made to end: what is found in it later is given up for the same reason.

use std::sync::OnceLock;

use crate::ledger::DropReason;

/// The first reason that is set.
#[derive(Debug, Default)]
pub(super) struct Closing(OnceLock<DropReason>);

impl Closing {
    pub(super) fn set(&self, reason: DropReason) {
        // who ends it first says why
        let _ = self.0.set(reason);
    }

    /// Abandoned, where the consumer left of itself.
    pub(super) fn reason(&self) -> DropReason {
        self.0.get().copied().unwrap_or(DropReason::Abandoned)
    }
}
