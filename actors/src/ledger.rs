//! The counters that must balance.
//!
//! Per provider and at every instant:
//! `accepted + redriven = delivered + filtered + rejected + dropped + pending`. An event that was never
//! accepted is counted as refused, by reason, and belongs to no provider.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A closed set of reasons: an index for counting and a stable snake-case word for reports.
pub trait Reason: Copy + 'static {
    /// Every reason, in report order; `ALL[r.index()] == r`.
    const ALL: &'static [Self];

    /// Position in [`Reason::ALL`].
    fn index(self) -> usize;

    /// The stable word used in reports, metrics and logs.
    fn as_str(self) -> &'static str;
}

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl Reason for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why an event was never accepted.
    RefuseReason {
        /// The ring or the byte budget was full.
        Full = "full",
        /// The engine had been closed.
        Closed = "closed",
        /// The event alone is larger than the whole byte budget.
        TooLarge = "too_large",
        /// The process forked: the engine's threads did not come along.
        Forked = "forked",
        /// It was sent from inside a hook, which would get it as its next event.
        InHook = "in_hook",
    }
}

reasons! {
    /// Why an accepted event was kept from a provider on purpose. Not a loss.
    FilterReason {
        /// The application's own hook said so.
        BeforeSend = "before_send",
        /// The user did not agree.
        Consent = "consent",
        /// Its session is not in the sample.
        Sampled = "sampled",
    }
}

reasons! {
    /// Why a provider, or its limits, refused an event for good.
    RejectReason {
        /// The destination named this event as invalid.
        Invalid = "invalid",
        /// The destination refused a request and bisection left this event.
        Poison = "poison",
        /// The event alone is over the destination's limit.
        TooLarge = "too_large",
        /// The event could not be encoded.
        Unencodable = "unencodable",
        /// The provider's code panicked on this event alone, repeatedly.
        Panicked = "panicked",
        /// The destination refused the whole request for good.
        Refused = "refused",
    }
}

reasons! {
    /// Why an accepted event was given up without a verdict of the provider.
    DropReason {
        /// A full lane or ring made room by its overflow policy, or a hook made the event larger than
        /// there was room for.
        Overflow = "overflow",
        /// The retry budget ran out, or the hold budget.
        Expired = "expired",
        /// The shutdown deadline passed.
        Deadline = "deadline",
        /// The engine ended without a drain.
        Abandoned = "abandoned",
        /// The process forked: the engine's threads did not come along.
        Forked = "forked",
        /// A hook panicked on it, and the policy is to drop what was not looked at.
        HookPanicked = "hook_panicked",
    }
}

/// Counts by reason. A plain value; the engine counts in atomics and hands this out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts<R: Reason> {
    by_reason: Vec<u64>,
    reason: std::marker::PhantomData<R>,
}

impl<R: Reason> Default for Counts<R> {
    fn default() -> Self {
        Self {
            by_reason: vec![0; R::ALL.len()],
            reason: std::marker::PhantomData,
        }
    }
}

impl<R: Reason> Counts<R> {
    /// Adds `n` under `reason`.
    pub fn add(&mut self, reason: R, n: u64) {
        self.by_reason[reason.index()] += n;
    }

    /// The count under `reason`.
    pub fn get(&self, reason: R) -> u64 {
        self.by_reason[reason.index()]
    }

    /// The sum over all reasons.
    pub fn total(&self) -> u64 {
        self.by_reason.iter().sum()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (R, u64)> + '_ {
        R::ALL
            .iter()
            .map(|&r| (r, self.get(r)))
            .filter(|&(_, n)| n > 0)
    }

    /// Adds another set of counts to this one.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.by_reason.iter_mut().zip(&other.by_reason) {
            *mine += theirs;
        }
    }
}

/// Counts by reason that many threads add to.
#[derive(Debug)]
pub(crate) struct AtomicCounts<R: Reason> {
    by_reason: Vec<AtomicU64>,
    reason: std::marker::PhantomData<R>,
}

impl<R: Reason> Default for AtomicCounts<R> {
    fn default() -> Self {
        Self {
            by_reason: R::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            reason: std::marker::PhantomData,
        }
    }
}

impl<R: Reason> AtomicCounts<R> {
    pub(crate) fn add(&self, reason: R, n: u64) {
        // who sees this count sees also what was counted as accepted before it
        self.by_reason[reason.index()].fetch_add(n, Ordering::Release);
    }

    /// All reasons together.
    pub(crate) fn total(&self) -> u64 {
        self.by_reason
            .iter()
            .map(|c| c.load(Ordering::Acquire))
            .sum()
    }

    pub(crate) fn snapshot(&self) -> Counts<R> {
        Counts {
            by_reason: self
                .by_reason
                .iter()
                .map(|c| c.load(Ordering::Acquire))
                .collect(),
            reason: std::marker::PhantomData,
        }
    }
}

/// What became of every accepted event at one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderLedger {
    /// [`Provider::name`](crate::Provider::name).
    pub name: String,
    /// Dead letters that were put back into this provider's lane; each was counted before.
    pub redriven: u64,
    /// Stored by the destination.
    pub delivered: u64,
    /// Kept from this provider on purpose.
    pub filtered: Counts<FilterReason>,
    /// Refused for good by the destination or its limits.
    pub rejected: Counts<RejectReason>,
    /// Given up by the engine.
    pub dropped: Counts<DropReason>,
    /// Still on its way.
    pub pending: u64,
    /// Dead letters that are kept for this provider now. No part of the sum: they are counted as
    /// rejected or dropped.
    pub dead_letters: u64,
}

impl ProviderLedger {
    /// Whether this provider accounts for exactly `accepted` events, and for what was redriven.
    pub fn balances(&self, accepted: u64) -> bool {
        self.settled() + self.pending == accepted + self.redriven
    }

    /// Events that got where they end, one way or the other.
    pub fn settled(&self) -> u64 {
        self.delivered + self.filtered.total() + self.rejected.total() + self.dropped.total()
    }
}

/// The whole ledger at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// Events taken in.
    pub accepted: u64,
    /// Events never taken in.
    pub refused: Counts<RefuseReason>,
    /// One entry per provider, in the order in which they were added.
    pub providers: Vec<ProviderLedger>,
}

impl Ledger {
    /// Whether every provider accounts for every accepted event.
    pub fn balances(&self) -> bool {
        self.providers.iter().all(|p| p.balances(self.accepted))
    }

    /// Whether nothing was refused, and every accepted event was delivered, or filtered on purpose, in the
    /// end: what was rejected or dropped and arrived once it was redriven counts as delivered.
    pub fn is_clean(&self) -> bool {
        let is_clean = |p: &ProviderLedger| p.delivered + p.filtered.total() == self.accepted;
        self.refused.total() == 0 && self.providers.iter().all(is_clean)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accepted {}", self.accepted)?;
        write_counts(f, ", refused", &self.refused)?;
        for p in &self.providers {
            write!(f, "\n  {}: delivered {}", p.name, p.delivered)?;
            if p.filtered.total() > 0 {
                write_counts(f, ", filtered", &p.filtered)?;
            }
            write_counts(f, ", rejected", &p.rejected)?;
            write_counts(f, ", dropped", &p.dropped)?;
            write!(f, ", pending {}", p.pending)?;
            if p.redriven > 0 {
                write!(f, "; redriven {}", p.redriven)?;
            }
            if p.dead_letters > 0 {
                write!(f, "; dead letters {}", p.dead_letters)?;
            }
        }
        Ok(())
    }
}

fn write_counts<R: Reason>(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    counts: &Counts<R>,
) -> fmt::Result {
    write!(f, "{label} {}", counts.total())?;
    let mut separator = " (";
    for (reason, n) in counts.iter() {
        write!(f, "{separator}{} {n}", reason.as_str())?;
        separator = ", ";
    }
    if counts.total() > 0 {
        f.write_str(")")
    } else {
        Ok(())
    }
}
