//! Whether the engine and its providers are well.

use std::fmt;
use std::time::Duration;

use productgraph_actors::{
    ActorStatus, Completion, LaneState, LaneStatus, Ledger, Phase, Stalled, Vitals,
};

use super::health_json;

/// A provider that has failed for longer than this, and taken nothing meanwhile, is unhealthy.
const FAILING_TOO_LONG: Duration = Duration::from_secs(60);
/// Events refused for good in a row that no bad luck explains.
const REJECTED_IN_A_ROW: u64 = 10;
/// For how long after events were given up a provider counts as losing some.
const LATELY: Duration = Duration::from_secs(60);
/// An event that waits for this much longer than a batch may take to close is late.
const LATE: Duration = Duration::from_secs(60);
/// Restarts without a minute of life in between that no bad luck explains.
const RESTARTS_IN_A_ROW: u32 = 3;

/// How the engine is at one instant.
///
/// The state follows from proofs of progress: an engine that has nothing to do is healthy for any length
/// of time, and one that has something to do and does not move for
/// [`STALLED_AFTER`](crate::STALLED_AFTER) is not. Asking never blocks, whatever a
/// provider or a hook does, and works on any thread, also after the engine's end.
///
/// Serialised with serde it is an object of stable names; durations are seconds as numbers, under names
/// that end in `_seconds`. See `docs/guides/health.md`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The worst of what was found.
    pub state: HealthState,
    /// Why it is not healthy: short sentences that somebody can act on, the worst first. Empty when
    /// healthy.
    pub why: Vec<String>,
    /// The version of this crate.
    pub version: &'static str,
    /// Time since the engine was spawned.
    pub uptime: Duration,
    /// Each provider's lane.
    pub providers: Vec<LaneStatus>,
    /// How often an actor of the engine was restarted.
    pub restarts: u32,
    /// Actors that used up their restarts. What such an actor did is no longer done: the service has
    /// to be restarted.
    pub dead_actors: u32,
    /// The actors, with their restarts.
    pub actors: Vec<ActorStatus>,
    /// How often a hook, a filter or a pattern panicked.
    pub hook_panics: u64,
    /// Parts of the engine that have work and do not move.
    pub stalled: Vec<Stalled>,
    /// What waits between the callers and the engine, and what it may take.
    pub queue: QueueHealth,
    /// The accounts.
    pub ledger: Ledger,
    /// The age that closes a batch: what waits no longer than that is not late.
    batch_age: Duration,
}

/// The engine's intake at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueHealth {
    /// Events that were taken in and not looked at yet.
    pub events: usize,
    /// How many of those there may be.
    pub capacity: usize,
    /// Bytes of events anywhere in the engine.
    pub bytes: usize,
    /// How many of those there may be.
    pub ceiling: usize,
}

/// A state to act on. The order is from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HealthState {
    /// Switched off.
    Disabled,
    /// Delivering, or idle.
    Healthy,
    /// A provider fails and is retried, is late, gives up events or is paused; events are turned away;
    /// an actor crashes; or the engine is shutting down.
    Degraded,
    /// A provider refuses this client or has failed for more than a minute, a part of the engine does
    /// not move, or an actor is dead: somebody has to act.
    Unhealthy,
    /// The engine has ended: shut down, dropped, or its runtime is gone. Events are refused.
    Stopped,
}

impl HealthState {
    /// Every state, from good to bad.
    pub const ALL: &'static [Self] = &[
        Self::Disabled,
        Self::Healthy,
        Self::Degraded,
        Self::Unhealthy,
        Self::Stopped,
    ];

    /// The stable word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that is not as it should be.
type Finding = (HealthState, String);

impl Health {
    pub(crate) fn of(vitals: Vitals) -> Self {
        let mut findings = findings(&vitals);
        // stable: what is alike stays in the order of the path of an event
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.0));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            state: findings
                .first()
                .map_or(HealthState::Healthy, |worst| worst.0),
            why: findings.into_iter().map(|(_, why)| why).collect(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: vitals.uptime,
            providers: vitals.lanes,
            restarts: vitals.actors.iter().map(|actor| actor.restarts).sum(),
            dead_actors: count(vitals.actors.iter().filter(|actor| actor.dead).count()),
            actors: vitals.actors,
            stalled: vitals.stalled,
            queue: QueueHealth {
                events: vitals.queued,
                capacity: vitals.queue_capacity,
                bytes: vitals.bytes_held,
                ceiling: vitals.max_bytes,
            },
            hook_panics: vitals.hook_panics,
            ledger: vitals.ledger,
            batch_age: vitals.batch_age,
        }
    }

    pub(crate) fn disabled() -> Self {
        Self::without_engine(HealthState::Disabled, Vec::new())
    }

    /// The engine was dropped; nothing more is known of it.
    pub(crate) fn gone() -> Self {
        let why = "the engine was dropped: nothing is tracked any more";
        Self::without_engine(HealthState::Stopped, vec![why.to_owned()])
    }

    fn without_engine(state: HealthState, why: Vec<String>) -> Self {
        Self {
            state,
            why,
            version: env!("CARGO_PKG_VERSION"),
            uptime: Duration::ZERO,
            providers: Vec::new(),
            restarts: 0,
            dead_actors: 0,
            hook_panics: 0,
            actors: Vec::new(),
            stalled: Vec::new(),
            queue: QueueHealth::default(),
            ledger: Ledger::default(),
            batch_age: Duration::ZERO,
        }
    }

    /// The state of one of [`Health::providers`], by itself.
    pub fn provider_state(&self, lane: &LaneStatus) -> HealthState {
        if lane.state == LaneState::Closed {
            return HealthState::Stopped;
        }
        let mut found = Vec::new();
        of_lane(lane, self.batch_age, &mut found);
        let worst = found.into_iter().map(|(state, _)| state).max();
        worst.unwrap_or(HealthState::Healthy)
    }

    /// Whether there is nothing to act on.
    pub fn is_healthy(&self) -> bool {
        self.state <= HealthState::Healthy
    }
}

impl serde::Serialize for Health {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        health_json::serialize(self, serializer)
    }
}

fn findings(vitals: &Vitals) -> Vec<Finding> {
    match &vitals.phase {
        Phase::Ended(Completion::Forked) => {
            let why = "the process forked: spawn the engine after the fork";
            return vec![(HealthState::Unhealthy, why.to_owned())];
        }
        Phase::Ended(completion) => return vec![(HealthState::Stopped, ended(completion))],
        _ => {}
    }
    let mut found = Vec::new();
    if vitals.phase == Phase::Draining {
        found.push((HealthState::Degraded, "shutting down".to_owned()));
    }
    for stalled in &vitals.stalled {
        let (stage, since) = (&stalled.stage, seconds(stalled.since));
        let why = format!("{stage} has work and has not moved for {since}");
        found.push((HealthState::Unhealthy, why));
    }
    for actor in &vitals.actors {
        let (stage, lately) = (&actor.stage, actor.restarts_lately);
        if actor.dead {
            let why = format!("{stage} is dead: restart the service");
            found.push((HealthState::Unhealthy, why));
        } else if lately >= RESTARTS_IN_A_ROW {
            let why = format!("{stage} keeps crashing: {lately} times lately");
            found.push((HealthState::Degraded, why));
        }
    }
    if vitals.turning_away {
        let why = "the engine is full, or was within the last minute: events are turned away";
        found.push((HealthState::Degraded, why.to_owned()));
    }
    if vitals.hooks_panic {
        let panics = vitals.hook_panics;
        let why = format!("hooks panic, {panics} times so far: mend them, events may be given up");
        found.push((HealthState::Degraded, why));
    }
    for lane in &vitals.lanes {
        of_lane(lane, vitals.batch_age, &mut found);
    }
    found
}

fn ended(completion: &Completion) -> String {
    match completion {
        Completion::DeadlinePassed { unsettled } => {
            let unsettled = unsettled.join(", ");
            format!("shut down; the deadline passed with events left for {unsettled}")
        }
        Completion::Abandoned => "ended without a shutdown: its runtime or the engine itself was \
             dropped, and events that were left are given up"
            .to_owned(),
        _ => "shut down".to_owned(),
    }
}

fn of_lane(lane: &LaneStatus, batch_age: Duration, found: &mut Vec<Finding>) {
    let name = &lane.name;
    let cause = lane.last_error.as_ref().map(|cause| format!(" ({cause})"));
    let cause = cause.unwrap_or_default();
    match lane.state {
        LaneState::Held => {
            let why =
                format!("{name} refuses this client{cause}: check its key, project and address");
            // with nothing to send nobody asks it again, and it may be well by now
            let idle = lane.pending == 0 && lane.in_flight == 0;
            let state = if idle {
                HealthState::Degraded
            } else {
                HealthState::Unhealthy
            };
            found.push((state, why));
        }
        LaneState::Retrying => {
            let failing = lane.failing_for.unwrap_or_default();
            let why = format!(
                "{name} has failed for {}{cause}; it is tried again",
                seconds(failing)
            );
            found.push((bad_for(Some(failing)), why));
        }
        LaneState::Paused => found.push((HealthState::Degraded, format!("{name} is paused"))),
        _ => {
            let overdue = lane
                .oldest_pending
                .filter(|age| *age > batch_age.saturating_add(LATE));
            if let Some(age) = overdue {
                let why = format!("{name} is late: its oldest event is {} old", seconds(age));
                found.push((HealthState::Degraded, why));
            }
        }
    }
    if lane.rejected_in_a_row >= REJECTED_IN_A_ROW {
        let events = lane.rejected_in_a_row;
        let why = format!("{name} refused the last {events} events for good{cause}");
        found.push((bad_for(lane.rejecting_for), why));
    }
    if let Some(ago) = lane.last_dropped.filter(|ago| *ago < LATELY) {
        let why = format!(
            "{name} lost events {} ago: they were given up",
            seconds(ago)
        );
        found.push((HealthState::Degraded, why));
    }
}

/// The state of something that has been bad for so long.
fn bad_for(time: Option<Duration>) -> HealthState {
    if time > Some(FAILING_TOO_LONG) {
        HealthState::Unhealthy
    } else {
        HealthState::Degraded
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}
