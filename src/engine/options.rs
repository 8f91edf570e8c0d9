//! How one provider differs from the others.

use std::fmt;
use std::sync::Arc;

use productgraph_actors::{FilterReason, LaneOptions};

use super::EngineBuilder;
use super::hooks::Hooks;
use crate::{ConsentPolicy, Event, Sampling};

pub(super) type Keeps = dyn Fn(&Event) -> bool + Send + Sync;

/// How a provider's lane behaves, and which events it gets. What is not set here is as the engine has
/// it.
///
/// What a provider does not get is counted as `filtered` in its account, by reason, and is no loss.
/// Whether an event passes is asked in this order: consent, sampling, filter.
///
/// ```
/// use productgraph::providers::Memory;
/// use productgraph::{ConsentPolicy, Engine, ProviderOptions, Sampling};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let marketing = ProviderOptions::new()
///     .consent(ConsentPolicy::OptIn)
///     .sampling(Sampling::sessions(0.1)?)
///     .filter(|event| event.name() != Some("internal.audit"));
/// let engine = Engine::builder()
///     .project("shop")
///     .provider(Memory::new().name("own"))
///     .provider_with(Memory::new().name("marketing"), marketing);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct ProviderOptions {
    lane: Option<LaneOptions>,
    consent: Option<ConsentPolicy>,
    sampling: Option<Sampling>,
    filter: Option<Arc<Keeps>>,
}

impl ProviderOptions {
    /// Everything as the engine has it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How the lane behaves. Default: as set on the engine.
    #[must_use]
    pub fn lane(mut self, lane: LaneOptions) -> Self {
        self.lane = Some(lane);
        self
    }

    /// Whose agreement an event needs to go to this provider. Default: as set on the engine.
    #[must_use]
    pub fn consent(mut self, policy: ConsentPolicy) -> Self {
        self.consent = Some(policy);
        self
    }

    /// The share of sessions that this provider gets. Default: as set on the engine.
    #[must_use]
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = Some(sampling);
        self
    }

    /// Sends only what `keeps` says true to; counted as filtered by `before_send`. A second filter
    /// replaces the first. Default: everything.
    ///
    /// It sees events after the engine's hooks and its redaction, on a thread of the engine. Be quick
    /// and do not block: while it runs, no later batch goes to any provider; those that went before are
    /// delivered meanwhile. If it panics,
    /// [`on_hook_panic`](EngineBuilder::on_hook_panic) decides; what it tracks is refused.
    #[must_use]
    pub fn filter(mut self, keeps: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(keeps));
        self
    }

    /// Whether code of the application decides what this provider gets.
    pub(super) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    pub(super) fn lane_or(&self, default: LaneOptions) -> LaneOptions {
        self.lane.unwrap_or(default)
    }

    /// Why an event is kept from this provider. `None` if there is nothing to ask.
    pub(super) fn into_filter(
        self,
        defaults: &Self,
        hooks: &Hooks,
    ) -> Option<impl Fn(&Event) -> Option<FilterReason> + Send + Sync + use<>> {
        let consent = self.consent.or(defaults.consent).unwrap_or_default();
        let sampling = self.sampling.or(defaults.sampling);
        let custom = self.filter.map(|keeps| hooks.keeping(keeps));
        if consent == ConsentPolicy::Ignore && sampling.is_none() && custom.is_none() {
            return None;
        }
        Some(move |event: &Event| {
            if !consent.allows(event) {
                Some(FilterReason::Consent)
            } else if sampling.is_some_and(|sampling| !sampling.keeps(event)) {
                Some(FilterReason::Sampled)
            } else if custom.as_ref().is_some_and(|keeps| !keeps(event)) {
                Some(FilterReason::BeforeSend)
            } else {
                None
            }
        })
    }
}

impl From<LaneOptions> for ProviderOptions {
    fn from(lane: LaneOptions) -> Self {
        Self::new().lane(lane)
    }
}

impl EngineBuilder {
    /// Whose agreement an event needs to go to a provider that has no
    /// [policy of its own](ProviderOptions::consent). Default [`ConsentPolicy::Explicit`].
    pub fn consent(mut self, policy: ConsentPolicy) -> Self {
        self.defaults.consent = Some(policy);
        self
    }

    /// The share of sessions that a provider gets that has no
    /// [sampling of its own](ProviderOptions::sampling). Default: all.
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.defaults.sampling = Some(sampling);
        self
    }
}

impl fmt::Debug for ProviderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderOptions")
            .field("lane", &self.lane)
            .field("consent", &self.consent)
            .field("sampling", &self.sampling)
            .field("filter", &self.filter.is_some())
            .finish()
    }
}
