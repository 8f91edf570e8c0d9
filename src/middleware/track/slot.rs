//! How a tracker learns a correlation that is made further in.

use std::sync::{Arc, OnceLock};

use crate::Correlation;

/// A place that the tracker leaves in the request's extensions when nobody has made a
/// correlation yet, and that the correlation layer fills.
///
/// It is shared and not part of the response because there may never be a response.
#[derive(Clone, Debug, Default)]
pub(in crate::middleware) struct CorrelationSlot(Arc<OnceLock<Correlation>>);

impl CorrelationSlot {
    /// Fills the slot; the first correlation stays.
    pub(in crate::middleware) fn fill(&self, correlation: &Correlation) {
        // already filled means an outer correlation layer was first
        let _ = self.0.set(correlation.clone());
    }

    pub(super) fn get(&self) -> Option<&Correlation> {
        self.0.get()
    }
}
