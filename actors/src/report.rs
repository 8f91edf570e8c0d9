//! What `flush` and `shutdown` return.

use std::fmt;
use std::time::Duration;

use crate::ledger::Ledger;

/// The outcome of a flush or a shutdown. The default is that of an engine with nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The accounts at the end.
    pub ledger: Ledger,
    /// Whether everything in question was settled, or the deadline passed before.
    pub completion: Completion,
    /// How long it took.
    pub elapsed: Duration,
}

/// How a flush or a shutdown ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completion {
    /// Every event accepted before the call has its verdict at every provider.
    #[default]
    Settled,
    /// The deadline passed; these providers still had something.
    DeadlinePassed {
        /// Names of the providers in question.
        unsettled: Vec<String>,
    },
    /// The process forked and this is the child: the engine and its threads stayed in the parent, where
    /// they go on. What had no verdict at the fork, and what was tracked in the child, counts as dropped
    /// here. Spawn an engine after the fork.
    Forked,
    /// The engine's runtime was gone, or the engine was dropped, before the drain could run.
    Abandoned,
}

impl Report {
    /// The report of an engine that is no longer there; what became of its events was reported, or
    /// logged, when it went.
    pub fn abandoned() -> Self {
        Self {
            completion: Completion::Abandoned,
            ..Self::default()
        }
    }

    /// Whether everything in question was settled in time.
    pub fn is_settled(&self) -> bool {
        self.completion == Completion::Settled
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.completion {
            Completion::Settled => write!(f, "settled in {:?}: ", self.elapsed)?,
            Completion::DeadlinePassed { unsettled } => {
                write!(f, "deadline passed after {:?}", self.elapsed)?;
                write!(f, " (unsettled: {}): ", unsettled.join(", "))?;
            }
            Completion::Forked => f.write_str("forked, the engine stayed in the parent: ")?,
            Completion::Abandoned => f.write_str("abandoned: ")?,
        }
        self.ledger.fmt(f)
    }
}
