//! What a lane keeps from its provider on purpose.
//!
//! A filter is the application's code. It runs before a batch is offered and under no lock; the lane
//! gets what is left, cut to runs of what is kept, so that it holds no batch for events that it does
//! not want.

use std::cell::Cell;

use super::Lane;
use super::state::State;
use crate::hooks::HookPanics;
use crate::ledger::{Counts, DropReason, FilterReason};
use crate::pulse::here;
use crate::request::{Sealed, Slice};
use crate::slices::Slices;

/// Says why an event is to be kept from a provider; `None` lets it through.
pub(crate) type Filter<E> = Box<dyn Fn(&E) -> Option<FilterReason> + Send + Sync>;

/// What a filter leaves of a sealed batch.
pub(crate) struct Sifted<E> {
    kept: Sealed<E>,
    filtered: Counts<FilterReason>,
    /// Events on which the filter panicked.
    panicked: u64,
}

/// One event that a filter does not let through: where it stands, and why; a filter that panicked has
/// no reason.
type Loss = (usize, Option<FilterReason>);

/// What a filter does not let through, in order. Usually nothing, which allocates nothing: one guard
/// serves all events, and after a panic another one serves what follows.
fn lost<E>(events: &[E], filter: &Filter<E>, panics: &HookPanics) -> Vec<Loss> {
    let mut lost = Vec::new();
    let at = Cell::new(0);
    while at.get() < events.len() {
        let found = panics.guard(|| {
            for event in &events[at.get()..] {
                let reason = filter(event);
                if reason.is_some() {
                    return reason;
                }
                at.set(at.get() + 1);
            }
            None
        });
        if at.get() < events.len() {
            lost.push((at.get(), found.flatten()));
            at.set(at.get() + 1);
        }
    }
    lost
}

impl<E> Sifted<E> {
    /// All of these.
    fn of(number: u64, slices: &[Slice<E>]) -> Self {
        Self {
            kept: Sealed {
                number,
                slices: Slices::copied(slices),
                only: None,
            },
            filtered: Counts::default(),
            panicked: 0,
        }
    }

    /// And what of `slice` is left between the losses.
    fn add(&mut self, slice: &Slice<E>, lost: &[Loss]) {
        let mut from = 0;
        for (at, reason) in lost.iter().copied().chain([(slice.len(), None)]) {
            if from < at {
                let mut run = slice.clone();
                run.range = slice.range.start + from..slice.range.start + at;
                self.kept.slices.push(run);
            }
            from = at + 1;
            match reason {
                Some(reason) => self.filtered.add(reason, 1),
                // the filter may be what keeps it from this provider for good reason
                None if at < slice.len() => self.panicked += 1,
                None => {}
            }
        }
    }
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
        let mut sifted = None;
        for (done, slice) in slices.iter().enumerate() {
            let lost = lost(slice.events(), filter, panics);
            if lost.is_empty() && sifted.is_none() {
                continue;
            }
            let sifted = sifted.get_or_insert_with(|| Sifted::of(number, &slices[..done]));
            sifted.add(slice, &lost);
        }
        sifted
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
