//! Dead letters of an engine: events that a provider refused for good, or could not be given in time.

use std::cell::Cell;

use productgraph_actors::{DeadLetterLimits, DeadLetterStats, Pipeline, RedriveError, Redriven};

use crate::{Engine, EngineBuilder, Event};

/// An event that one provider refused for good, or could not be given in time; see
/// [`Engine::dead_letters`].
pub type DeadLetter = productgraph_actors::DeadLetter<Event>;

/// Called for each dead letter.
pub(crate) type Hook = dyn Fn(&DeadLetter) + Send + Sync;

thread_local! {
    /// Whether this thread calls the dead letter hook. Needs no destructor, so it can be read from
    /// those of others.
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// Whether the caller is in the dead letter hook.
pub(crate) fn in_hook() -> bool {
    IN_HOOK.get()
}

/// A hook that is not called for events that it tracked itself: it could go on for ever.
pub(crate) fn guarded(hook: Box<Hook>) -> impl Fn(&DeadLetter) + Send + Sync + 'static {
    move |letter| {
        if letter.event().is_echo() {
            return;
        }
        let _inside = Inside::enter();
        hook(letter);
    }
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        IN_HOOK.set(true);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IN_HOOK.set(false);
    }
}

/// So many events, within the default bytes.
pub(crate) fn limits(events: usize) -> DeadLetterLimits {
    DeadLetterLimits::new(events, DeadLetterLimits::default().max_bytes)
}

impl EngineBuilder {
    /// How many dead letters are kept. Default 1,000 events and 1 MiB, divided evenly among the providers;
    /// `DeadLetterLimits::off()` keeps none. They come on top of the byte ceiling, once more for those
    /// that wait for the hook.
    pub fn dead_letters(mut self, limits: DeadLetterLimits) -> Self {
        self.dead_letters = limits;
        self
    }

    /// Calls `hook` for each event that a provider refuses for good or that runs out of its retry
    /// budget, on a thread of its own. It may be slow, block or panic: nothing waits for it. Up to 256
    /// dead letters wait for it; those that find no room are kept all the same, and counted as
    /// [`hook_missed`](DeadLetterStats::hook_missed).
    ///
    /// It may track. An event that it tracks on its own thread and that dies as well is kept and listed,
    /// but the hook is not called for it: it would never end. From other threads that is the hook's own
    /// affair.
    pub fn on_dead_letter(mut self, hook: impl Fn(&DeadLetter) + Send + Sync + 'static) -> Self {
        self.on_dead_letter = Some(Box::new(hook));
        self
    }
}

impl Engine {
    /// Copies of the events that a provider refused for good, or that ran out of their retry budget,
    /// newest last. Also after a shutdown, until the engine is dropped.
    ///
    /// The store is bounded and lives in memory; see
    /// [`EngineBuilder::dead_letters`](crate::EngineBuilder::dead_letters). The ledger has counted
    /// these events already.
    ///
    /// ```no_run
    /// # fn example(engine: &productgraph::Engine) {
    /// for letter in engine.dead_letters() {
    ///     println!("{}: {} ({})", letter.provider(), letter.reason(), letter.cause());
    /// }
    /// # }
    /// ```
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.running().map_or_else(Vec::new, Pipeline::dead_letters)
    }

    /// What became of all dead letters so far.
    pub fn dead_letter_stats(&self) -> DeadLetterStats {
        let stats = self.running().map(Pipeline::dead_letter_stats);
        stats.unwrap_or_default()
    }

    /// Takes the dead letters that `wanted` chooses out of the store, newest last: to keep them
    /// elsewhere, or to forget them.
    pub fn take_dead_letters(&self, wanted: impl FnMut(&DeadLetter) -> bool) -> Vec<DeadLetter> {
        self.running()
            .map_or_else(Vec::new, |pipeline| pipeline.take_dead_letters(wanted))
    }

    /// Puts the dead letters that `wanted` chooses back into their own provider's lane, once what made
    /// them die is fixed. No other provider gets them again; id and time stay as they were, and the
    /// retry budget starts anew. [`Engine::flush`] waits for them. One that dies again is a new dead
    /// letter.
    ///
    /// What there is no room for stays. A disabled engine has nothing to move.
    ///
    /// ```no_run
    /// # fn example(engine: &productgraph::Engine) -> Result<(), productgraph::RedriveError> {
    /// let redriven = engine.redrive(|letter| letter.provider() == "productgraph")?;
    /// println!("{} on their way again, {} without room", redriven.moved, redriven.left);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RedriveError::Closed`] once a shutdown was asked for, and in a child process; everything stays
    /// where it is.
    pub fn redrive(
        &self,
        wanted: impl FnMut(&DeadLetter) -> bool,
    ) -> Result<Redriven, RedriveError> {
        match self.running() {
            Some(pipeline) => pipeline.redrive(wanted),
            None => Ok(Redriven::default()),
        }
    }
}
