//! What a lane has to do, said as simply as possible: one state for each event, and short lists that are
//! searched from the front. Nothing here is fast, and nothing is shared with the lane but its settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::*;
use crate::dead_letters::DeadReason;
use crate::ledger::{DropReason, FilterReason, RejectReason};

/// Where one event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// Redriven, and not here yet.
    OnTheWay,
    Pending,
    Delivered,
    Filtered(FilterReason),
    Rejected(RejectReason),
    Dropped(DropReason),
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) fate: Fate,
    pub(super) batch: usize,
    pub(super) redriven: bool,
    /// Requests that it was to travel in.
    pub(super) attempts: u32,
    /// Since when attempts with it fail. Time spent held does not count.
    pub(super) failing_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) events: usize,
    pub(super) urgent: bool,
    pub(super) since: Instant,
}

/// Events that were tried together. Their ids are in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) events: Vec<u64>,
    pub(super) body: Option<Bytes>,
    pub(super) failures: u32,
    pub(super) panics: u32,
    /// It is not sent before this.
    pub(super) not_before: Option<Instant>,
}

impl Request {
    pub(super) fn new(events: Vec<u64>) -> Self {
        Self {
            events,
            ..Self::default()
        }
    }
}

/// The settings, as far as a lane does not tell of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) options: LaneOptions,
    pub(super) share: usize,
    pub(super) max_events: usize,
    /// The shortest wait.
    pub(super) floor: Duration,
    pub(super) retry_after_cap: Duration,
}

impl Rules {
    pub(super) fn concurrency(&self) -> usize {
        self.options.concurrency
    }

    /// Refusals in a row that a few bad events explain.
    pub(super) fn explained(&self) -> u32 {
        2 * self.max_events.next_power_of_two().ilog2() + 8
    }

    fn longest_wait(&self) -> Duration {
        let asked = self.retry_after_cap * 5 / 4 + self.floor;
        let own = self.options.backoff.cap().max(asked);
        let token = self.options.retry_budget.interval;
        own.max(token).max(self.probe())
    }

    pub(super) fn probe(&self) -> Duration {
        self.options.hold_probe.max(Duration::from_millis(1))
    }
}

/// What the breaker lets through; `Open` with the earliest instant of the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open(Instant),
    HalfOpen,
}

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) rules: Rules,
    pub(super) now: Instant,
    pub(super) start: Instant,
    /// By id, which is also the order in which they were sealed.
    pub(super) events: Vec<Event>,
    pub(super) batches: Vec<Batch>,
    pub(super) untried: BTreeSet<u64>,
    /// What goes back goes to the front.
    pub(super) again: Vec<Request>,
    pub(super) flights: Vec<(u64, Request)>,
    pub(super) phase: Phase,
    /// Flights while the breaker is closed.
    pub(super) allowed: usize,
    /// Failed attempts, and refused requests, since the destination last took something.
    pub(super) failures: u32,
    pub(super) refusals: u32,
    /// Since when attempts fail, or the client is refused.
    pub(super) failing_since: Option<Instant>,
    pub(super) held_since: Option<Instant>,
    /// What the retry budget is spent on, and made of.
    pub(super) retries: u32,
    pub(super) successes: u32,
    pub(super) excused: usize,
    pub(super) paused: bool,
    pub(super) drain_by: Option<Instant>,
    /// No wait is longer than this.
    pub(super) longest_wait: Duration,
    pub(super) closed: Option<DropReason>,
}

impl Reference {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            now,
            start: now,
            events: Vec::new(),
            batches: Vec::new(),
            untried: BTreeSet::new(),
            again: Vec::new(),
            flights: Vec::new(),
            phase: Phase::Closed,
            allowed: usize::MAX,
            failures: 0,
            refusals: 0,
            failing_since: None,
            held_since: None,
            retries: 0,
            successes: 0,
            excused: 0,
            paused: false,
            drain_by: None,
            longest_wait: rules.longest_wait(),
            closed: None,
        }
    }

    pub(super) fn event(&mut self, id: u64) -> &mut Event {
        &mut self.events[usize::try_from(id).expect("few")]
    }

    pub(super) fn batch_of(&self, id: u64) -> usize {
        self.events[usize::try_from(id).expect("few")].batch
    }

    pub(super) fn set(&mut self, ids: &[u64], fate: Fate) {
        for &id in ids {
            self.event(id).fate = fate;
        }
    }

    /// One sealed batch, which goes to no queue yet. Its ids follow those of the batches before it,
    /// or lie between those of the batch that was sealed with it.
    pub(super) fn sealed(&mut self, number: u64, urgent: bool, ids: &[u64], redriven: bool) {
        let batch = self.batches.len();
        self.batches.push(Batch {
            number,
            events: ids.len(),
            urgent,
            since: self.now,
        });
        let fate = if redriven {
            Fate::OnTheWay
        } else {
            Fate::Pending
        };
        for &id in ids {
            let at = usize::try_from(id).expect("few");
            let event = |batch| Event {
                fate,
                batch,
                redriven,
                attempts: 0,
                failing_since: None,
            };
            if at >= self.events.len() {
                self.events.resize_with(at + 1, || event(batch));
            }
            self.events[at] = event(batch);
        }
    }

    /// The lane gets these.
    pub(super) fn takes_in(&mut self, ids: &[u64]) {
        if let Some(reason) = self.closed {
            self.set(ids, Fate::Dropped(reason));
        } else {
            self.set(ids, Fate::Pending);
            self.untried.extend(ids);
        }
    }

    /// How many events there are of each fate.
    pub(super) fn fates(&self) -> HashMap<Fate, u64> {
        let mut fates = HashMap::new();
        for event in &self.events {
            *fates.entry(event.fate).or_default() += 1;
        }
        fates
    }

    /// The events that a provider refused or did not get in time: each with its reason and attempts.
    pub(super) fn dead(&self) -> Vec<(u64, DeadReason, u32)> {
        let dead = (0..).zip(&self.events).filter_map(|(id, event)| {
            let reason = match event.fate {
                Fate::Rejected(reason) => DeadReason::Rejected(reason),
                Fate::Dropped(DropReason::Expired) => DeadReason::Expired,
                _ => return None,
            };
            Some((id, reason, event.attempts))
        });
        dead.collect()
    }

    /// Every event that is in the lane, in order.
    pub(super) fn present(&self) -> Vec<u64> {
        let requests = self.again.iter().chain(self.flights.iter().map(|(_, r)| r));
        let tried = requests.flat_map(|request| &request.events);
        let mut ids: Vec<_> = tried.chain(&self.untried).copied().collect();
        ids.sort_unstable();
        ids
    }

    /// The batches of which something is here, oldest first, and how much of each.
    pub(super) fn held(&self) -> BTreeMap<usize, usize> {
        let mut held = BTreeMap::new();
        for id in self.present() {
            *held.entry(self.batch_of(id)).or_default() += 1;
        }
        held
    }

    pub(super) fn pinned(&self) -> usize {
        let weight = |batch: &usize| self.batches[*batch].events * WEIGHT;
        self.held().keys().map(weight).sum()
    }

    /// Gives batches up until the lane is within its share, or only one is left.
    pub(super) fn makes_room(&mut self, newest: u64) {
        while self.pinned() > self.rules.share && self.held().len() > 1 {
            let Some(victim) = self.least_wanted(newest) else {
                return;
            };
            for id in self.present() {
                if self.batch_of(id) == victim {
                    self.set(&[id], Fate::Dropped(DropReason::Overflow));
                    self.untried.remove(&id);
                    for request in &mut self.again {
                        let before = request.events.len();
                        request.events.retain(|&other| other != id);
                        if request.events.len() < before {
                            request.body = None;
                        }
                    }
                }
            }
            self.again.retain(|request| !request.events.is_empty());
        }
    }

    fn least_wanted(&self, newest: u64) -> Option<usize> {
        match self.rules.options.overflow {
            Overflow::DropNewest => {
                let mut untried = self.untried.iter().rev().map(|&id| self.batch_of(id));
                untried.find(|&batch| self.may_go(batch))
            }
            Overflow::DropOldest => self.oldest(newest, &[false, true]),
            Overflow::ByPriority => self
                .oldest(newest, &[false])
                .or_else(|| self.oldest(newest, &[true])),
        }
    }

    /// Thin batches; the oldest that was never tried; the oldest that was; what came in just now.
    fn oldest(&self, newest: u64, urgency: &[bool]) -> Option<usize> {
        let held = self.held();
        let goes =
            |batch: &usize| urgency.contains(&self.batches[*batch].urgent) && self.may_go(*batch);
        let is_new = |batch: &usize| self.batches[*batch].number == newest;
        let is_thin = |batch: &usize| held[batch] * 2 < self.batches[*batch].events;
        let untried: BTreeSet<_> = self.untried.iter().map(|&id| self.batch_of(id)).collect();
        let all = || held.keys().copied().filter(goes);
        all()
            .find(is_thin)
            .or_else(|| all().find(|batch| untried.contains(batch) && !is_new(batch)))
            .or_else(|| all().find(|batch| !untried.contains(batch)))
            .or_else(|| all().next())
    }

    /// What is in flight stays, and one batch of the request that waits in front.
    fn may_go(&self, batch: usize) -> bool {
        let is_of = |request: &Request| request.events.iter().any(|&id| self.batch_of(id) == batch);
        let is_all_of =
            |request: &Request| request.events.iter().all(|&id| self.batch_of(id) == batch);
        let is_flying = self.flights.iter().any(|(_, request)| is_of(request));
        let is_head = self.flights.is_empty() && self.again.first().is_some_and(is_all_of);
        !is_flying && !is_head
    }

    /// Counts one failure for each event, and drops those whose time is spent since then.
    pub(super) fn expire(
        &mut self,
        request: &mut Request,
        budget: Option<Duration>,
        since: impl Fn(&mut Event) -> Instant,
    ) {
        let ids = std::mem::take(&mut request.events);
        for id in ids.iter().copied() {
            let came = self.batches[self.batch_of(id)].since;
            let since = since(self.event(id)).max(came);
            if budget.is_some_and(|budget| self.now >= since + budget) {
                self.event(id).fate = Fate::Dropped(DropReason::Expired);
                request.body = None;
            } else {
                request.events.push(id);
            }
        }
    }

    /// An attempt with these failed in a run of failures since `run`.
    pub(super) fn spend(&mut self, request: &mut Request, run: Instant) {
        let budget = self.rules.options.backoff.budget();
        self.expire(request, Some(budget), |event| {
            *event.failing_since.get_or_insert(run)
        });
    }

    /// The same without a look at the time that is left.
    pub(super) fn mark(&mut self, request: &Request, run: Instant) {
        for &id in &request.events {
            self.event(id).failing_since.get_or_insert(run);
        }
    }

    pub(super) fn was_marked(&self, ids: &[u64]) -> bool {
        let since = |&id: &u64| self.events[usize::try_from(id).expect("few")].failing_since;
        ids.iter().any(|id| since(id).is_some())
    }

    /// No run of failures goes on.
    pub(super) fn unmark_all(&mut self) {
        for event in &mut self.events {
            event.failing_since = None;
        }
    }
}
