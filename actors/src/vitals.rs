//! Whether the engine moves: everything that health is made of, at one instant.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::finale::Finale;
use crate::lane::{Lane, LaneStatus};
use crate::ledger::Ledger;
use crate::report::Completion;
use crate::shutdown::AllLives;
use crate::stages::Stages;
use crate::supervise::Lives;

/// A part of the engine that has to move for events to move.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Drains the ring into batches.
    Buffer,
    /// Offers batches to lanes.
    FanOut,
    /// Starts the requests to this provider.
    Flusher(String),
    /// A request to this provider that should have ended: the provider blocks its thread.
    Attempt(String),
    /// Restarts the others, flushes and drains.
    Supervisor,
}

impl Stage {
    /// The stable word for it, without the provider: `buffer`, `fan_out`, `flusher`, `attempt`,
    /// `supervisor`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Buffer => "buffer",
            Self::FanOut => "fan_out",
            Self::Flusher(_) => "flusher",
            Self::Attempt(_) => "attempt",
            Self::Supervisor => "supervisor",
        }
    }

    /// The provider that it works for, if it works for one.
    pub fn provider(&self) -> Option<&str> {
        match self {
            Self::Flusher(name) | Self::Attempt(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self.provider() {
            Some(provider) => write!(f, " of {provider}"),
            None => Ok(()),
        }
    }
}

/// A part that has work it could do, and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stalled {
    /// Which part.
    pub stage: Stage,
    /// For how long; more than [`STALLED_AFTER`](crate::STALLED_AFTER).
    pub since: Duration,
}

/// The lives of one actor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorStatus {
    /// What it does.
    pub stage: Stage,
    /// How often it was restarted.
    pub restarts: u32,
    /// How often of late: none once it has lived for a minute.
    pub restarts_lately: u32,
    /// Its restarts are used up: what it did is no longer done.
    pub dead: bool,
}

/// Where the engine is between its start and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It takes events.
    Running,
    /// It was asked to shut down and has not ended yet.
    Draining,
    /// It has ended.
    Ended(Completion),
}

/// Whether the engine moves, and what it holds, at one instant.
///
/// Read without any lock that a provider, a hook or another piece of the application's code may hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Vitals {
    /// Where it is between its start and its end.
    pub phase: Phase,
    /// Time since its start, on its own clock.
    pub uptime: Duration,
    /// Parts that have work and do not move. Empty for an idle engine, however long it is idle.
    pub stalled: Vec<Stalled>,
    /// The actors, in the order of the path of an event.
    pub actors: Vec<ActorStatus>,
    /// Whether events were turned away for lack of room within the last minute or so.
    pub turning_away: bool,
    /// How often a hook panicked: the screen, a filter, or what shares their count.
    pub hook_panics: u64,
    /// Whether one panicked within the last minute or two.
    pub hooks_panic: bool,
    /// Events in the ring.
    pub queued: usize,
    /// Events that the ring can hold.
    pub queue_capacity: usize,
    /// Bytes charged against the ceiling.
    pub bytes_held: usize,
    /// The ceiling.
    pub max_bytes: usize,
    /// The age that closes a batch.
    pub batch_age: Duration,
    /// What every lane is doing.
    pub lanes: Vec<LaneStatus>,
    /// The accounts.
    pub ledger: Ledger,
}

/// Everything that vitals are read from.
pub(crate) struct Subject<'a, E> {
    pub(crate) stages: &'a Stages<E>,
    pub(crate) lives: &'a AllLives,
    pub(crate) finale: &'a Finale,
    pub(crate) supervised: bool,
}

impl<E: Send + Sync + 'static> Subject<'_, E> {
    pub(crate) fn vitals(&self, now: Instant) -> Vitals {
        let ingress = &self.stages.ingress;
        let lanes = self.lanes(now);
        let phase = if self.stages.is_forked() {
            // whoever would have ended it is in the parent
            Phase::Ended(Completion::Forked)
        } else {
            self.finale.phase()
        };
        let stalled = match phase {
            Phase::Ended(_) => Vec::new(),
            _ => self.stalled(&lanes, now),
        };
        Vitals {
            phase,
            uptime: now.saturating_duration_since(self.lives.started),
            stalled,
            actors: self.actors(now),
            turning_away: ingress.alert().is_losing(),
            hook_panics: self.stages.hook_panics.count(),
            // its lock may be held by a thread that stayed in the parent
            hooks_panic: !self.stages.is_forked() && self.stages.hook_panics.lately(now),
            queued: ingress.len(),
            queue_capacity: ingress.capacity(),
            bytes_held: ingress.budget().used(),
            max_bytes: ingress.budget().ceiling(),
            batch_age: self.stages.batch_age,
            lanes,
            ledger: self.stages.ledger(),
        }
    }

    pub(crate) fn lanes(&self, now: Instant) -> Vec<LaneStatus> {
        let forked = self.stages.is_forked();
        let status = |lane: &Lane<E>| {
            if forked {
                lane.status_after_fork(now)
            } else {
                Some(lane.status(now))
            }
        };
        let lanes = self.stages.lanes.iter().zip(&self.lives.flushers);
        lanes
            .filter_map(|(lane, lives)| {
                Some(LaneStatus {
                    restarts: lives.restarts(),
                    ..status(lane)?
                })
            })
            .collect()
    }

    /// What does not move although it could.
    fn stalled(&self, lanes: &[LaneStatus], now: Instant) -> Vec<Stalled> {
        let pulses = self.stages.ingress.pulses();
        let supervisor = if self.supervised {
            self.lives.supervisor.stalled_for(now)
        } else {
            Some(now.saturating_duration_since(self.lives.started))
        };
        let mut stalled = Vec::new();
        let mut add = |stage: Stage, since: Option<Duration>| {
            stalled.extend(since.map(|since| Stalled { stage, since }));
        };
        add(Stage::Buffer, pulses.buffer.stalled_for(now));
        add(Stage::FanOut, pulses.fan_out.stalled_for(now));
        for (lane, status) in self.stages.lanes.iter().zip(lanes) {
            let name = || lane.name().to_owned();
            add(Stage::Flusher(name()), lane.stalled_for(now));
            let overdue = status.in_flight_for.and_then(|age| lane.overdue_for(age));
            add(Stage::Attempt(name()), overdue);
        }
        add(Stage::Supervisor, supervisor);
        stalled
    }

    fn actors(&self, now: Instant) -> Vec<ActorStatus> {
        let status = |stage: Stage, lives: &Lives| ActorStatus {
            stage,
            restarts: lives.restarts(),
            restarts_lately: lives.restarts_lately(now),
            dead: lives.is_dead(),
        };
        let flushers = self.stages.lanes.iter().zip(&self.lives.flushers);
        let flushers =
            flushers.map(|(lane, lives)| status(Stage::Flusher(lane.name().to_owned()), lives));
        [
            status(Stage::Buffer, &self.lives.buffer),
            status(Stage::FanOut, &self.lives.fan_out),
        ]
        .into_iter()
        .chain(flushers)
        .collect()
    }
}
