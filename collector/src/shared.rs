//! State shared by the connections, the handles and the tests, and the waiting on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::decode::{Batch, Rules};
use crate::ordeal::FaultState;
use crate::plan::FaultPlan;
use crate::record::{Ending, Log, RequestRecord};
use crate::store::{Cap, Store};

/// Counters since the start or the last reset; the last four are about now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Requests to `/v1/events` whose head was read.
    pub received: u64,
    /// Those of them that ended, however they did.
    pub requests: u64,
    /// Answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests that ended with a reset by the collector.
    pub resets: u64,
    /// Requests whose client left before there was an answer.
    pub abandoned: u64,
    /// Requests struck by a fault.
    pub faults: u64,
    /// Body bytes read.
    pub body_bytes: u64,
    /// Events stored, duplicates and those evicted since included.
    pub accepted: u64,
    /// Events rejected by index.
    pub rejected: u64,
    /// Events stored while another one with the same id was in the store.
    pub duplicates: u64,
    /// Events dropped from the store to make room.
    pub evicted: u64,
    /// Connections accepted; not reset.
    pub connections: u64,
    /// Connections turned away because too many were open; not reset.
    pub connections_refused: u64,
    /// Events in the store.
    pub stored: u64,
    /// Bytes of JSON text in the store.
    pub stored_bytes: u64,
    /// Requests that wait at a gate or in silence.
    pub waiting: u64,
    /// Connections open.
    pub open_connections: u64,
    /// Whether new connections are accepted.
    pub listening: bool,
}

/// What is fixed when the collector starts.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) key: Option<String>,
    pub(crate) max_body_bytes: usize,
    pub(crate) cap: Cap,
    pub(crate) max_records: usize,
    pub(crate) keep_bodies: usize,
    pub(crate) max_connections: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("rules", &self.rules)
            .field("key", &self.key.as_ref().map(|_| "<redacted>"))
            .finish_non_exhaustive()
    }
}

/// Orders to the accepting task and the connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Life {
    pub(crate) downs: usize,
    pub(crate) stopping: bool,
    /// Stop without waiting for anything.
    pub(crate) aborting: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) faults: FaultState,
    pub(crate) life: watch::Sender<Life>,
    state: Mutex<State>,
    changed: Condvar,
    /// Bumped after every change of `state` while someone listens.
    version: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) log: Log,
    pub(crate) stats: Stats,
    /// Number of the last request.
    pub(crate) numbered: u64,
    pub(crate) stopped: bool,
}

impl State {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            stored: self.store.len() as u64,
            stored_bytes: self.store.bytes() as u64,
            ..self.stats.clone()
        }
    }
}

impl Shared {
    pub(crate) fn new(settings: Settings, plan: FaultPlan) -> Self {
        let state = State {
            store: Store::new(settings.cap),
            log: Log::new(settings.max_records, settings.keep_bodies),
            stats: Stats::default(),
            numbered: 0,
            stopped: false,
        };
        Self {
            settings,
            faults: FaultState::new(plan),
            life: watch::Sender::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            version: watch::Sender::default(),
        }
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock())
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        // A waiter subscribes before it looks at the state, so a missed bump was not needed.
        if self.version.receiver_count() > 0 {
            self.version
                .send_modify(|version| *version = version.wrapping_add(1));
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done` says so.
    pub(crate) async fn wait(&self, mut done: impl FnMut(&State) -> bool) {
        let mut version = self.version.subscribe();
        // The sender lives as long as `self`, so this never ends by an error.
        while !self.read(&mut done) && version.changed().await.is_ok() {}
    }

    /// The same on this thread, for at most `timeout`; says whether it came to pass.
    pub(crate) fn wait_blocking(
        &self,
        timeout: Duration,
        mut done: impl FnMut(&State) -> bool,
    ) -> bool {
        let (_state, result) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !done(state))
            .unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// Ends when the collector is told to stop.
    pub(crate) async fn stopping(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.life.subscribe().wait_for(|life| life.stopping).await;
    }

    /// Stores a batch and says how many events it rejected.
    pub(crate) fn store(&self, request: u64, batch: Batch) -> Vec<crate::decode::IndexError> {
        let Batch { accepted, errors } = batch;
        self.change(|state| {
            state.stats.accepted += accepted.len() as u64;
            state.stats.rejected += errors.len() as u64;
            let added = state.store.add(request, accepted);
            state.stats.duplicates += added.duplicates;
            state.stats.evicted += added.evicted;
        });
        errors
    }

    /// Empties the store and the log and starts the counters anew.
    pub(crate) fn reset(&self) {
        self.change(|state| {
            state.store.clear();
            state.log.clear();
            let old = std::mem::take(&mut state.stats);
            state.stats = Stats {
                // Those still under way will end, and must not end more often than they came.
                received: old.received - old.requests,
                connections: old.connections,
                connections_refused: old.connections_refused,
                waiting: old.waiting,
                open_connections: old.open_connections,
                listening: old.listening,
                ..Stats::default()
            };
        });
    }
}

/// A request under way; it is recorded when this is dropped, whatever happened to it.
pub(crate) struct Pending {
    shared: Arc<Shared>,
    pub(crate) record: RequestRecord,
}

impl Pending {
    /// Numbers and counts a request that has just arrived.
    pub(crate) fn arrived(shared: &Arc<Shared>, mut record: RequestRecord) -> Self {
        record.number = shared.change(|state| {
            state.stats.received += 1;
            state.numbered += 1;
            state.numbered
        });
        Self {
            shared: Arc::clone(shared),
            record,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let record = std::mem::take(&mut self.record);
        self.shared.change(|state| {
            let stats = &mut state.stats;
            stats.requests += 1;
            stats.body_bytes += record.body_len as u64;
            stats.faults += u64::from(record.fault.is_some());
            match record.ending {
                Ending::Answered => {}
                Ending::Reset => stats.resets += 1,
                Ending::Abandoned => stats.abandoned += 1,
            }
            if let Some(status) = record.status {
                *stats.by_status.entry(status).or_default() += 1;
            }
            state.log.push(record);
        });
    }
}

/// Counts a request as waiting until it is dropped.
pub(crate) struct Waiting(Arc<Shared>);

impl Waiting {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.change(|state| state.stats.waiting += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.change(|state| state.stats.waiting -= 1);
    }
}
