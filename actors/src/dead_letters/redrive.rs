//! Putting dead letters back into the lane that they come from.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::letter::DeadLetter;
use super::store::Store;
use crate::budget::{Budget, Charge};
use crate::hooks::let_go;
use crate::ingress::Priority;
use crate::lane::Lane;
use crate::request::{Batch, Sealed, Slice};
use crate::stages::Stages;

/// What a redrive did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redriven {
    /// Dead letters that are on their way again.
    pub moved: u64,
    /// Dead letters that were meant and stayed: there was no room, or copying the event panicked.
    pub left: u64,
}

/// Why nothing was redriven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedriveError {
    /// The engine was shut down, is about to end, or stayed in another process. Its dead letters stay where they are.
    #[error("the engine is closed")]
    Closed,
}

/// Copies that are charged and ready to travel together.
struct Load<E> {
    letters: Vec<DeadLetter<E>>,
    events: Vec<(E, Priority)>,
    weight: usize,
}

/// Events of one priority on their way back.
struct Part<E> {
    events: Vec<E>,
    attempts: Vec<u32>,
    /// Where each of them stands among all.
    places: Vec<u32>,
    weight: usize,
}

impl<E> Default for Part<E> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            attempts: Vec::new(),
            places: Vec::new(),
            weight: 0,
        }
    }
}

impl<E> Part<E> {
    fn push(&mut self, event: E, letter: &DeadLetter<E>, place: usize) {
        self.events.push(event);
        self.attempts.push(letter.attempts());
        self.weight += letter.weight();
        // it fits: a batch holds fewer
        self.places.push(u32::try_from(place).unwrap_or(u32::MAX));
    }

    /// A batch of its own, so that giving it up frees its memory; one slice for each run of events that
    /// were tried equally often.
    fn slices(self, number: u64, now: Instant, budget: &Arc<Budget>) -> Vec<Slice<E>> {
        if self.events.is_empty() {
            return Vec::new();
        }
        let charge = Charge::adopt(budget, self.weight);
        let batch = Batch::new(number, self.events, now, charge).placed(self.places);
        slices(&Arc::new(batch.for_one_lane()), &self.attempts)
    }
}

impl<E: Send + Sync + 'static> Stages<E> {
    /// Puts back what `wanted` chooses, each into its own provider's lane.
    ///
    /// Neither `wanted` nor copying an event runs under a lock.
    pub(crate) fn redrive(
        &self,
        mut wanted: impl FnMut(&DeadLetter<E>) -> bool,
    ) -> Result<Redriven, RedriveError> {
        let mut result = Redriven::default();
        let Some(dead) = &self.dead else {
            return Ok(result);
        };
        // a child process must not even look: a thread that is gone may have held a lock
        if self.is_forked() || self.ingress.is_closed() {
            return Err(RedriveError::Closed);
        }
        let mut closed = false;
        let chosen: Vec<Vec<_>> = dead
            .stores
            .iter()
            .map(|store| store.list().into_iter().filter(&mut wanted).collect())
            .collect();
        for ((index, store), chosen) in dead.stores.iter().enumerate().zip(chosen) {
            let Some(lane) = self.lanes.get(index) else {
                continue;
            };
            let all = chosen.len() as u64;
            let (mut gone, mut letters) = (0, chosen.into_iter().peekable());
            while !closed && letters.peek().is_some() {
                let load = self.load(store, lane, &mut letters);
                if load.letters.is_empty() {
                    break;
                }
                let loaded = load.letters.len() as u64;
                match self.put_back(index, store, lane, load) {
                    Some(moved) => {
                        result.moved += moved;
                        // what somebody else took out meanwhile is neither moved nor left
                        gone += loaded;
                    }
                    None => closed = true,
                }
            }
            result.left += all - gone;
        }
        if closed && result.moved == 0 {
            return Err(RedriveError::Closed);
        }
        Ok(result)
    }

    /// Copies and charges as much as one batch may hold and the lane has room for. Empty: no room.
    fn load(
        &self,
        store: &Store<E>,
        lane: &Lane<E>,
        letters: &mut std::iter::Peekable<impl Iterator<Item = DeadLetter<E>>>,
    ) -> Load<E> {
        let limits = self.batch_limits();
        let budget = self.ingress.budget();
        // an eighth of the ceiling is the intake's: old events must not keep new ones out
        let most = budget.ceiling() - budget.ceiling() / 8;
        let mut load = Load {
            letters: Vec::new(),
            events: Vec::new(),
            weight: 0,
        };
        while load.events.len() < limits.max_events {
            let Some(letter) = letters.peek() else {
                break;
            };
            let weight = letter.weight();
            let fits = load.events.is_empty() || load.weight + weight <= limits.max_bytes;
            if !fits
                || !lane.has_room(load.weight, weight)
                || !budget.try_charge_within(weight, most)
            {
                break;
            }
            match (store.copy_of(letter), letters.next()) {
                (Some(event), Some(letter)) => {
                    load.weight += weight;
                    // the application's code: nothing is locked here
                    let priority = self.ingress.priority_of(&event);
                    load.events.push((event, priority));
                    load.letters.push(letter);
                }
                _ => budget.release(weight),
            }
        }
        load
    }

    /// Moves a load from the store to the outbox at one instant. None: the engine is closed.
    fn put_back(
        &self,
        index: usize,
        store: &Store<E>,
        lane: &Lane<E>,
        load: Load<E>,
    ) -> Option<u64> {
        let Load {
            letters,
            events,
            weight,
        } = load;
        let budget = Arc::clone(self.ingress.budget());
        let numbers: HashSet<u64> = letters.iter().map(DeadLetter::number).collect();
        let (mut removed, mut unused, mut moved, mut moving) = (Vec::new(), Vec::new(), 0, 0);
        let mut events = Some(events);
        let admitted = self.readmit(|number| {
            removed = store.claim(&numbers);
            let claimed: HashSet<u64> = removed.iter().map(DeadLetter::number).collect();
            let (mut normal, mut high) = (Part::default(), Part::default());
            let events = events.take().into_iter().flatten();
            for (place, (letter, (event, priority))) in letters.iter().zip(events).enumerate() {
                if !claimed.contains(&letter.number()) {
                    unused.push(event);
                    continue;
                }
                moved += 1;
                moving += letter.weight();
                match priority {
                    Priority::Normal => normal.push(event, letter, place),
                    Priority::High => high.push(event, letter, place),
                }
            }
            if moved == 0 {
                return None;
            }
            lane.expect_back(moved, moving);
            let now = Instant::now();
            let mut slices = normal.slices(number, now, &budget);
            let urgent = high.slices(number, now, &budget).into_iter();
            slices.extend(urgent.map(Slice::urgent));
            Some(Sealed {
                number,
                slices: slices.into(),
                only: Some(index),
            })
        });
        if weight > moving {
            budget.release(weight - moving);
        }
        let_go((removed, unused, events, letters));
        admitted.then_some(moved)
    }
}

/// One slice for each run of events that were tried equally often.
fn slices<E>(batch: &Arc<Batch<E>>, attempts: &[u32]) -> Vec<Slice<E>> {
    let mut start = 0;
    attempts
        .chunk_by(|a, b| a == b)
        .map(|run| {
            let mut slice = Slice::whole(Arc::clone(batch));
            slice.range = start..start + run.len();
            slice.attempts = run[0];
            start += run.len();
            slice
        })
        .collect()
}
