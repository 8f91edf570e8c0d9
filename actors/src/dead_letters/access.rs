//! Dead letters, seen from the pipeline and its builder.

use std::collections::HashSet;

use super::{
    DeadLetter, DeadLetterLimits, DeadLetterStats, DeadLetters, Options, RedriveError, Redriven,
};
use crate::builder::PipelineBuilder;
use crate::pipeline::Pipeline;

impl<E: Clone + Send + Sync + 'static> PipelineBuilder<E> {
    /// Keeps copies of what a provider refused for good and of what ran out of its retry budget.
    /// Without this call, or with [`DeadLetterLimits::off`], such events are only counted.
    #[must_use]
    pub fn dead_letters(mut self, limits: DeadLetterLimits) -> Self {
        self.dead_letters.get_or_insert_with(Options::new).limits = limits;
        self
    }

    /// Calls `hook` for each dead letter, one after the other, on a thread of its own; keeps dead
    /// letters within the default limits if nothing else was said.
    ///
    /// The hook may be slow, block or panic: nothing waits for it. Up to 256 letters, and as many bytes
    /// as may be kept, wait for it; what comes while there is no room it misses, which is counted and
    /// changes nothing about what is kept. What waits when the engine ends is still told.
    #[must_use]
    pub fn on_dead_letter(mut self, hook: impl Fn(&DeadLetter<E>) + Send + Sync + 'static) -> Self {
        self.dead_letters.get_or_insert_with(Options::new).hook = Some(Box::new(hook));
        self
    }
}

impl<E: Send + Sync + 'static> Pipeline<E> {
    /// The dead letters that are kept now, newest last. Also after the end of the engine, until it is
    /// dropped. None in a child process: they are the parent's.
    pub fn dead_letters(&self) -> Vec<DeadLetter<E>> {
        self.dead().map_or_else(Vec::new, DeadLetters::list)
    }

    /// What became of all dead letters so far. Zeros in a child process.
    pub fn dead_letter_stats(&self) -> DeadLetterStats {
        let dead = self.dead();
        dead.map_or_else(DeadLetterStats::default, DeadLetters::stats)
    }

    /// None in a child process as well: a thread that is gone may have held a store's lock.
    fn dead(&self) -> Option<&DeadLetters<E>> {
        self.stages().dead.as_ref().filter(|_| !self.is_forked())
    }

    /// Takes the dead letters that `wanted` chooses out of the store, newest last. A panic in it takes
    /// nothing and reaches the caller. Takes nothing in a child process.
    pub fn take_dead_letters(
        &self,
        wanted: impl FnMut(&DeadLetter<E>) -> bool,
    ) -> Vec<DeadLetter<E>> {
        let Some(dead) = self.dead() else {
            return Vec::new();
        };
        let chosen = dead.list().into_iter().filter(wanted);
        let numbers: HashSet<u64> = chosen.map(|letter| letter.number()).collect();
        let stores = dead.stores.iter();
        let mut taken: Vec<_> = stores.flat_map(|store| store.take(&numbers)).collect();
        taken.sort_by_key(DeadLetter::number);
        taken
    }

    /// Puts the dead letters that `wanted` chooses back into their own provider's lane, behind what
    /// waits there, with a new retry budget. No other provider gets them again. They keep what the
    /// event says of itself; an event that dies again is a new dead letter that goes on counting its
    /// attempts. A flush afterwards waits for them.
    ///
    /// What the engine's ceiling (but for an eighth, the intake's) or the lane has no room for stays,
    /// the newest first. A panic in `wanted` moves nothing and reaches the caller.
    ///
    /// # Errors
    /// [`RedriveError::Closed`] once a shutdown was asked for, and in a child process; everything stays
    /// as it is.
    pub fn redrive(
        &self,
        wanted: impl FnMut(&DeadLetter<E>) -> bool,
    ) -> Result<Redriven, RedriveError> {
        self.stages().redrive(wanted)
    }
}
