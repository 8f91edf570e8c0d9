//! What a lane keeps from its provider on purpose.
//!
//! A filter is the application's code. It runs before a batch is offered and under no lock; the lane
//! gets what is left, cut to runs of what is kept, so that it holds no batch for events that it does
//! not want.

use super::Lane;
use super::request::runs;
use super::state::State;
use crate::hooks::HookPanics;
use crate::ledger::{Counts, DropReason, FilterReason};
use crate::pulse::here;
use crate::request::{Sealed, Slice};

/// Says why an event is to be kept from a provider; `None` lets it through.
pub(crate) type Filter<E> = Box<dyn Fn(&E) -> Option<FilterReason> + Send + Sync>;

/// What a filter leaves of a sealed batch.
pub(crate) struct Sifted<E> {
    kept: Sealed<E>,
    filtered: Counts<FilterReason>,
    /// Events on which the filter panicked.
    panicked: u64,
}

impl<E: Send + Sync + 'static> Lane<E> {
    /// Keeps from the provider what `filter` names a reason for.
    pub(crate) fn with_filter(mut self, filter: Option<Filter<E>>) -> Self {
        self.filter = filter;
        self
    }

    pub(crate) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// What this lane's filter leaves of a batch; `None` if it lets everything through.
    pub(crate) fn sift(
        &self,
        number: u64,
        slices: &[Slice<E>],
        panics: &HookPanics,
    ) -> Option<Sifted<E>> {
        let filter = self.filter.as_ref()?;
        let mut kept = Vec::new();
        let mut filtered = Counts::default();
        let mut panicked = 0;
        for slice in slices {
            let look = |event| match panics.guard(|| filter(event)) {
                Some(None) => true,
                Some(Some(reason)) => {
                    filtered.add(reason, 1);
                    false
                }
                None => {
                    // the filter may be what keeps it from this provider for good reason
                    panicked += 1;
                    false
                }
            };
            let keep: Vec<bool> = slice.events().iter().map(look).collect();
            kept.extend(runs(slice, &keep));
        }
        let kept = Sealed {
            number,
            slices: kept,
            only: None,
        };
        (filtered.total() + panicked > 0).then_some(Sifted {
            kept,
            filtered,
            panicked,
        })
    }

    /// Takes over what the filter left, and counts what it did not: that reached this lane, and ends
    /// here. In between it counts as on its way. Returns the same as [`Lane::offer`].
    pub(crate) fn offer_sifted(&self, sifted: &Sifted<E>) -> Vec<Slice<E>> {
        let mut state = self.lock();
        let counts = &mut state.counts;
        counts.offered += sifted.filtered.total() + sifted.panicked;
        counts.filtered.merge(&sifted.filtered);
        counts
            .dropped
            .add(DropReason::HookPanicked, sifted.panicked);
        let State {
            evidence, counts, ..
        } = &mut *state;
        evidence.note(counts, here());
        drop(state);
        if sifted.kept.slices.is_empty() {
            return Vec::new();
        }
        self.offer(&sifted.kept)
    }
}
