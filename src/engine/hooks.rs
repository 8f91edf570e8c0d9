//! What the application does with every event before it goes anywhere.

use std::fmt;
use std::sync::Arc;

use productgraph_actors::{FilterReason, HookPanics, PipelineBuilder, Screened};

use super::EngineBuilder;
use super::options::Keeps;
use crate::completion::Completion;
use crate::correlation::while_suppressed;
use crate::event::Stamp;
use crate::privacy::Known;
use crate::{Consent, Event, Redaction};

/// What becomes of an event on which a hook panicked. The panic is counted either way, see
/// [`Stats::hook_panics`](crate::Stats::hook_panics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnHookPanic {
    /// It is given up, as `hook_panicked`: the hook may be what protects somebody's privacy.
    #[default]
    Drop,
    /// It goes on as it was before that hook, through the remaining hooks and the redaction. Each
    /// hook then works on a clone.
    Keep,
}

type BeforeSend = dyn Fn(Event) -> Option<Event> + Send + Sync;

/// The hooks in the order in which they run, and the redaction behind them.
#[derive(Default)]
pub(super) struct Hooks {
    before_send: Vec<Box<BeforeSend>>,
    redaction: Redaction,
    on_panic: OnHookPanic,
    panics: HookPanics,
}

impl EngineBuilder {
    /// Shows every tracked event to `hook` once, before it goes to any provider. It returns the event,
    /// changed if it likes, or `None` to keep it from all providers, which is counted as filtered by
    /// `before_send` and is no loss. Several hooks run in the order in which they were added.
    ///
    /// It runs on a thread of the engine, one event at a time, never on the caller's. So it may take its
    /// time, but not for ever: while it runs, events behind it wait in the queue, and callers are refused
    /// once that is full. What has passed it is delivered meanwhile. It must not count on an async runtime. What it logs or sends is not observed by
    /// OpenTelemetry, and what it tracks is refused as [`InHook`](crate::TrackError::InHook): it would
    /// be the hook's own next event. For a panic see [`on_hook_panic`](Self::on_hook_panic).
    ///
    /// A hook that returns another event than it was given need not care for its identity: id, time,
    /// sequence number, correlation, trace and consent are taken over where the new one does not say
    /// them.
    ///
    /// ```
    /// # use productgraph::Engine;
    /// let engine = Engine::builder()
    ///     .before_send(|event| (event.name() != Some("heartbeat")).then_some(event))
    ///     .before_send(|event| Some(event.with("region", "eu-west")));
    /// ```
    pub fn before_send(
        mut self,
        hook: impl Fn(Event) -> Option<Event> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.before_send.push(Box::new(hook));
        self
    }

    /// What becomes of an event on which a hook panicked. Default [`OnHookPanic::Drop`]. It also decides
    /// about a provider's filter that panics: the event is given up for that provider, or let through.
    /// A pattern of the redaction that panics costs the text it was looking at in any case.
    pub fn on_hook_panic(mut self, policy: OnHookPanic) -> Self {
        self.hooks.on_panic = policy;
        self
    }

    /// What is blotted out in every event. It runs after the hooks, so that nothing leaves without it.
    /// Default: [`Redaction::default`], the sensible set; [`Redaction::none`] switches it off.
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.hooks.redaction = redaction;
        self
    }
}

impl Hooks {
    /// Whether nothing of the application's runs here: redaction and its patterns do not block.
    pub(super) fn are_ours(&self) -> bool {
        self.before_send.is_empty()
    }

    /// Makes `pipeline` run them.
    pub(super) fn attach(self, pipeline: PipelineBuilder<Event>) -> PipelineBuilder<Event> {
        let pipeline = pipeline.hook_panics(self.panics.clone());
        let completion = Completion::new();
        if self.before_send.is_empty() {
            let mut known = Known::default();
            let redacts = !self.redaction.is_none();
            return pipeline.edit(move |event| {
                // which takes no more room
                completion.complete(event);
                redacts && self.counted(|redaction| redaction.apply_knowing(event, &mut known))
            });
        }
        pipeline.screen(move |mut event| {
            completion.complete(&mut event);
            self.screen(event)
        })
    }

    /// A panic in here that is not caught gives the event up.
    fn screen(&self, event: Event) -> Screened<Event> {
        match while_suppressed(|| self.run(event)) {
            Some(mut event) => {
                self.counted(|redaction| redaction.apply(&mut event));
                Screened::Keep(event)
            }
            None => Screened::Filter(FilterReason::BeforeSend),
        }
    }

    /// What a pattern panics on is blotted out whole, and told of like any other panic of a hook. Says
    /// whether there was anything to blot out.
    fn counted(&self, redact: impl FnOnce(&Redaction) -> bool) -> bool {
        let before = self.redaction.panics();
        let changed = redact(&self.redaction);
        let panics = self.redaction.panics().saturating_sub(before);
        if panics > 0 {
            self.panics.add(panics);
        }
        changed
    }

    fn run(&self, mut event: Event) -> Option<Event> {
        let identity = Identity::of(&event);
        for hook in &self.before_send {
            event = match self.on_panic {
                OnHookPanic::Drop => hook(event)?,
                OnHookPanic::Keep => {
                    let before = event.clone();
                    match self.panics.guard(|| hook(event)) {
                        Some(result) => result?,
                        None => before,
                    }
                }
            };
        }
        Some(identity.complete(event))
    }

    /// Makes the panics of a check follow the policy.
    pub(super) fn keeping(
        &self,
        keeps: Arc<Keeps>,
    ) -> impl Fn(&Event) -> bool + Send + Sync + use<> {
        let panics = self.panics.clone();
        let on_panic = self.on_panic;
        move |event| {
            while_suppressed(|| match on_panic {
                OnHookPanic::Drop => keeps(event),
                OnHookPanic::Keep => panics.guard(|| keeps(event)).unwrap_or(true),
            })
        }
    }
}

/// What an event is known by, and what must not get lost when a hook returns another one.
struct Identity {
    stamp: Option<Stamp>,
    consent: Option<Consent>,
}

impl Identity {
    fn of(event: &Event) -> Self {
        let stamp = || {
            Some(Stamp {
                id: event.id()?.clone(),
                timestamp: event.timestamp()?,
                sequence: event.sequence()?,
                correlation: event.correlation()?.clone(),
                trace: event.trace(),
            })
        };
        Self {
            stamp: stamp(),
            consent: event.consent(),
        }
    }

    fn complete(self, mut event: Event) -> Event {
        if let Some(stamp) = self.stamp {
            event.stamp(stamp);
        }
        match self.consent {
            Some(consent) if event.consent().is_none() => event.with_consent(consent),
            _ => event,
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("before_send", &self.before_send.len())
            .field("redaction", &self.redaction)
            .field("on_panic", &self.on_panic)
            .finish_non_exhaustive()
    }
}
