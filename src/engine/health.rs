//! Whether the engine and its providers are well.

use productgraph_actors::{LaneState, LaneStatus};

/// How the engine is at one instant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The worst of the providers' states.
    pub state: HealthState,
    /// Each provider's lane.
    pub providers: Vec<LaneStatus>,
    /// How often an actor of the engine was restarted.
    pub restarts: u32,
    /// Actors that used up their restarts. What such an actor did is no longer done: the service has
    /// to be restarted.
    pub dead_actors: u32,
}

/// A state to act on. The order is from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HealthState {
    /// Switched off.
    Disabled,
    /// Delivering, or idle.
    Healthy,
    /// A provider fails and is retried, is paused, or the engine was shut down.
    Degraded,
    /// A provider refuses this client, or an actor is dead: nothing will be delivered until somebody acts.
    Unhealthy,
}

impl Health {
    pub(crate) fn new(providers: Vec<LaneStatus>, restarts: u32, dead_actors: u32) -> Self {
        let state = providers
            .iter()
            .map(|lane| match lane.state {
                LaneState::Healthy => HealthState::Healthy,
                LaneState::Held => HealthState::Unhealthy,
                _ => HealthState::Degraded,
            })
            .chain((dead_actors > 0).then_some(HealthState::Unhealthy))
            .max()
            .unwrap_or(HealthState::Healthy);
        Self {
            state,
            providers,
            restarts,
            dead_actors,
        }
    }

    pub(crate) fn disabled() -> Self {
        Self {
            state: HealthState::Disabled,
            providers: Vec::new(),
            restarts: 0,
            dead_actors: 0,
        }
    }

    /// Whether there is nothing to act on.
    pub fn is_healthy(&self) -> bool {
        self.state <= HealthState::Healthy
    }
}
