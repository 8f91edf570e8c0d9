//! How a pipeline is put together.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use kameo::actor::Spawn;
use tokio::runtime::Handle;

use crate::batch::BatchLimits;
use crate::dead_letters::{self, DeadLetters};
use crate::finale::Finale;
use crate::fragments;
use crate::hooks::HookPanics;
use crate::ingress::{Ingress, IngressOptions, Overflow, Priority};
use crate::lane::{Filter, Lane, LaneOptions};
use crate::ledger::FilterReason;
use crate::pipeline::Pipeline;
use crate::provider::Provider;
use crate::runtimes::Runtimes;
use crate::screen::{Hook, Screen, Screened};
use crate::shutdown::{AllLives, Engine, Shutdown};
use crate::stages::Stages;
use crate::watch::Watch;

/// Collects what a [`Pipeline`] is made of.
pub struct PipelineBuilder<E> {
    weigh: fn(&E) -> usize,
    priority: fn(&E) -> Priority,
    max_bytes: usize,
    queue_capacity: usize,
    overflow: Overflow,
    batch: BatchLimits,
    lanes: Vec<Destination<E>>,
    screen: Option<Hook<E>>,
    hook_panics: HookPanics,
    trusted_hooks: bool,
    trusted_weigher: bool,
    runtime: Option<Handle>,
    pub(crate) dead_letters: Option<dead_letters::Options<E>>,
}

/// A provider, how its lane behaves, and what is kept from it.
type Destination<E> = (Box<dyn Provider<E>>, LaneOptions, Option<Filter<E>>);

/// Why a pipeline could not be spawned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No provider was given, so that events would go nowhere.
    #[error("no provider was given")]
    NoProvider,
    /// Two providers have one name, so that their accounts could not be told apart.
    #[error("two providers are named {0:?}")]
    DuplicateProvider(String),
    /// One of the engine's own runtimes could not be started. Also on a thread that is about to end, in
    /// the destructor of a thread-local.
    #[error("the engine's runtime could not be started")]
    Runtime(#[source] std::io::Error),
    /// The thread that calls the dead letter hook could not be started.
    #[error("the thread of the dead letter hook could not be started")]
    DeadLetterHook(#[source] std::io::Error),
}

/// More places would be gigabytes of ring, whatever an event is.
const MOST_PLACES: usize = 1 << 24;

impl<E: Send + Sync + 'static> PipelineBuilder<E> {
    pub(crate) fn new(weigh: fn(&E) -> usize) -> Self {
        Self {
            weigh,
            priority: |_| Priority::Normal,
            max_bytes: 8 << 20,
            queue_capacity: 8192,
            overflow: Overflow::default(),
            batch: BatchLimits::default(),
            lanes: Vec::new(),
            screen: None,
            hook_panics: HookPanics::default(),
            trusted_hooks: false,
            trusted_weigher: false,
            runtime: None,
            dead_letters: None,
        }
    }

    /// Bytes of events held at any time, as weighed; default 8 MiB. Encoded bodies come on top: one
    /// per request in flight.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes.max(1);
        self
    }

    /// Places in the ring between callers and the engine; default 8,192, at least one, and more than
    /// 16,777,216 (2^24) is taken as that. Each takes the size of an event, from the start.
    #[must_use]
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.queue_capacity = events.clamp(1, MOST_PLACES);
        self
    }

    /// What happens to an event for which there is no room. Default [`Overflow::DropNewest`].
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How important an event is, for [`Overflow::ByPriority`], at the engine or at a lane. Called at
    /// most once for an event, on the thread that sends it, and once more each time it is redriven, on
    /// the thread that does; a panic in it counts as normal. Default: all alike.
    #[must_use]
    pub fn priority(mut self, priority: fn(&E) -> Priority) -> Self {
        self.priority = priority;
        self
    }

    /// When a batch closes. A batch is never larger than a quarter of a lane's share.
    #[must_use]
    pub fn batch(mut self, limits: BatchLimits) -> Self {
        self.batch = limits;
        self
    }

    /// Adds a provider with default lane options.
    #[must_use]
    pub fn provider(self, provider: impl Provider<E>) -> Self {
        self.boxed_provider(Box::new(provider), LaneOptions::default())
    }

    /// Adds a provider.
    #[must_use]
    pub fn boxed_provider(mut self, provider: Box<dyn Provider<E>>, options: LaneOptions) -> Self {
        self.lanes.push((provider, options, None));
        self
    }

    /// Adds a provider that gets only what `filter` lets through, by naming no reason against it. What
    /// it does not let through is counted as filtered for this provider, and held for it no longer.
    ///
    /// The filter runs on the engine's fan-out, under no lock, once for each event: while it runs, later
    /// batches reach no provider, so it must be quick and must not block. An event on which it panics
    /// is given up for this provider as [`DropReason::HookPanicked`](crate::DropReason::HookPanicked).
    #[must_use]
    pub fn filtered_provider(
        mut self,
        provider: Box<dyn Provider<E>>,
        options: LaneOptions,
        filter: impl Fn(&E) -> Option<FilterReason> + Send + Sync + 'static,
    ) -> Self {
        self.lanes.push((provider, options, Some(Box::new(filter))));
        self
    }

    /// Shows every accepted event to `screen` once, in order, before it is batched: it may change it,
    /// filter it or give it up. A second screen replaces the first.
    ///
    /// It runs on a thread of the engine, not the caller's, and under no lock. While it runs, nothing
    /// else leaves the ring, and what has left it before goes on: if it is slow, callers are refused once the ring is full; if it never
    /// returns, a shutdown still ends at its deadline. An event on which it panics is given up as
    /// [`DropReason::HookPanicked`](crate::DropReason::HookPanicked). What it sends into a pipeline is
    /// refused. An event that it makes heavier is given up as overflow if there is no room for that.
    #[must_use]
    pub fn screen(mut self, screen: impl Fn(E) -> Screened<E> + Send + Sync + 'static) -> Self {
        self.screen = Some(Hook::Judge(Box::new(screen)));
        self
    }

    /// The same for what only changes events, where they are: `edit` says whether it did. Replaces a
    /// [`screen`](Self::screen), and the other way round. Cheaper, since no event has to be moved, and
    /// those that stay as they are need not be weighed again.
    #[must_use]
    pub fn edit(mut self, edit: impl FnMut(&mut E) -> bool + Send + 'static) -> Self {
        self.screen = Some(Hook::Edit(Mutex::new(Box::new(edit))));
        self
    }

    /// Whether the screen and the filters are known never to block. Default false: while they run,
    /// another thread takes over what else the engine has to do, which costs a hand-over for each chunk of
    /// events and each batch. On an attached runtime of one thread there is nobody to take over.
    #[must_use]
    pub fn trusted_hooks(mut self, trusted: bool) -> Self {
        self.trusted_hooks = trusted;
        self
    }

    /// Whether the functions that weigh events and tell their priority are known never to panic. Default
    /// false: each call is guarded, which costs every sender a few nanoseconds.
    #[must_use]
    pub fn trusted_weigher(mut self, trusted: bool) -> Self {
        self.trusted_weigher = trusted;
        self
    }

    /// Where panics of the screen and of filters are counted. Default: a count of the pipeline's own.
    #[must_use]
    pub fn hook_panics(mut self, panics: HookPanics) -> Self {
        self.hook_panics = panics;
        self
    }

    /// Runs on this runtime, the attempts of every provider included. Default: runtimes of its own, one
    /// thread for the engine and one for each provider, which neither the application's load nor a
    /// provider that blocks its thread can starve and which outlive the application's runtime.
    #[must_use]
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub fn spawn(self) -> Result<Pipeline<E>, SpawnError> {
        if self.lanes.is_empty() {
            return Err(SpawnError::NoProvider);
        }
        let mut names = HashSet::new();
        for (provider, ..) in &self.lanes {
            if !names.insert(provider.name()) {
                return Err(SpawnError::DuplicateProvider(provider.name().to_owned()));
            }
        }
        if Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
            // a runtime can be neither started nor entered here; tokio would panic
            let ending = std::io::Error::other("this thread is about to end");
            return Err(SpawnError::Runtime(ending));
        }
        let runtimes = match &self.runtime {
            Some(attached) => Runtimes::attached(attached, self.lanes.len()),
            None => Runtimes::start(self.lanes.len()).map_err(SpawnError::Runtime)?,
        };

        let names: Vec<_> = self.lanes.iter().map(|(p, ..)| p.name()).collect();
        let dead_letters = self.dead_letters.filter(|dead| !dead.limits.are_off());
        let dead_letters = dead_letters
            .map(|dead| DeadLetters::start(dead, self.weigh, &names))
            .transpose()
            .map_err(SpawnError::DeadLetterHook)?;

        // an eighth for the ring and the batch being built, the rest divided among the lanes
        let share = (self.max_bytes - self.max_bytes / 8) / self.lanes.len();
        let mut batch = self.batch;
        batch.max_events = batch.max_events.max(1);
        batch.max_bytes = batch.max_bytes.min(share / 4).max(1);
        let by_priority = |(_, lane, _): &Destination<E>| lane.overflow == Overflow::ByPriority;
        let prioritise =
            self.overflow == Overflow::ByPriority || self.lanes.iter().any(by_priority);
        let ingress = Ingress::new(&IngressOptions {
            capacity: self.queue_capacity,
            max_bytes: self.max_bytes,
            overflow: self.overflow,
            weigh: self.weigh,
            priority: prioritise.then_some(self.priority),
            trusted: self.trusted_weigher,
        });
        let formats: Vec<_> = self.lanes.iter().map(|(p, ..)| p.format()).collect();
        let mut lanes = self
            .lanes
            .into_iter()
            .zip(fragments::share(&formats, self.max_bytes))
            .map(|((provider, options, filter), sharing)| {
                let lane = Lane::new(provider, options, share).with_filter(filter);
                lane.with_sharing(sharing)
            })
            .collect::<Vec<_>>();
        if let Some(dead) = &dead_letters {
            let stores = dead.stores.iter().cloned();
            let pairs = lanes.into_iter().zip(stores);
            lanes = pairs
                .map(|(lane, store)| lane.with_dead_letters(store))
                .collect();
        }
        let lives = Arc::new(AllLives::new(lanes.len()));
        let panics = self.hook_panics;
        let screen = self
            .screen
            .map(|hook| Screen::new(hook, self.weigh, panics.clone()));
        let mut stages = Stages::new(ingress, batch, lanes).with_hooks(screen, panics);
        stages.dead = dead_letters;
        stages.trusted_hooks = self.trusted_hooks;
        let stages = Arc::new(stages);
        let finale = Arc::new(Finale::new());
        let engine = Engine {
            stages: Arc::clone(&stages),
            lives: Arc::clone(&lives),
            finale: Arc::clone(&finale),
            attempts: runtimes.attempts.clone(),
        };
        let root = {
            let _inside = runtimes.actors.enter();
            Shutdown::spawn(engine)
        };
        let watch = Watch::of(&runtimes.actors);
        Ok(Pipeline::new(stages, lives, finale, root, watch, runtimes))
    }
}

impl<E: 'static> fmt::Debug for PipelineBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let providers: Vec<_> = self.lanes.iter().map(|(p, ..)| p.name()).collect();
        f.debug_struct("PipelineBuilder")
            .field("providers", &providers)
            .field("max_bytes", &self.max_bytes)
            .field("queue_capacity", &self.queue_capacity)
            .field("overflow", &self.overflow)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_has_one_place_at_least_and_no_more_than_can_be_had() {
        let places = |asked| {
            PipelineBuilder::<u64>::new(|_| 8)
                .queue_capacity(asked)
                .queue_capacity
        };
        let asked = [0, 5, 1 << 24, usize::MAX];
        assert_eq!(asked.map(places), [1, 5, 1 << 24, 1 << 24]);
    }
}
