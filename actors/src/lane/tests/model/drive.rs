//! Plays a schedule on a lane and its reference, and compares them.

use std::collections::VecDeque;

use super::super::*;
use super::reference::{Fate, Phase, Reference, Rules};
use super::{Answer, Fit, Step};
use crate::hooks::HookPanics;
use crate::ledger::{DropReason, FilterReason, Reason};

/// What the filter of the lane says of an event; `Err` if it panics.
fn look(id: u64) -> Result<Option<FilterReason>, ()> {
    match id {
        id if id % 17 == 3 => Err(()),
        id if id % 5 == 2 => Ok(Some(FilterReason::Consent)),
        id if id % 7 == 4 => Ok(Some(FilterReason::Sampled)),
        _ => Ok(None),
    }
}

pub(super) struct Drive {
    rig: Rig,
    reference: Reference,
    /// Redriven batches that have not come in.
    on_the_way: VecDeque<Sealed<u64>>,
    /// Attempts in flight, and whether they were encoded.
    open: Vec<(u64, bool)>,
    /// Attempts that are over.
    over: Vec<u64>,
    bodies: u8,
    largest: usize,
    pub(super) chance: f64,
}

impl Drive {
    pub(super) fn new(rules: Rules, filters: bool) -> Self {
        let mut rig = Rig::new(rules.max_events, rules.options);
        if filters {
            let filter: Filter<u64> = Box::new(|id| look(*id).expect("a filter that panics"));
            rig.lane = rig.lane.with_filter(Some(filter));
        }
        let reference = Reference::new(rules, rig.now);
        Self {
            rig,
            reference,
            on_the_way: VecDeque::new(),
            open: Vec::new(),
            over: Vec::new(),
            bodies: 0,
            largest: 0,
            chance: 0.0,
        }
    }

    pub(super) fn play(&mut self, step: &Step) {
        match step {
            Step::Offer(priorities) => self.offer(priorities),
            Step::Redrive(events) => self.redrive(*events),
            Step::Arrive => self.arrive(),
            Step::Lose(reason) => self.lose(*reason),
            Step::Start => drop(self.start()),
            Step::Encode(which, fit) => {
                if let Some(id) = self.one_of(*which) {
                    self.encode(id, fit);
                }
            }
            Step::End(which, fit, answer) => {
                if let Some(id) = self.one_of(*which) {
                    self.end(id, fit, answer);
                }
            }
            Step::Spell(attempts, fit, answer) => self.spell(*attempts, fit, answer),
            Step::Late(which, fit, answer) => self.late(*which, fit, answer),
            Step::Crash => {
                self.rig.lane.recover();
                self.reference.recovers();
                self.over.extend(self.open.drain(..).map(|(id, _)| id));
            }
            Step::Wait(ms) => self.later(Duration::from_millis(*ms)),
            Step::Due => self.go_on(),
            Step::Pause(paused) => {
                self.rig.lane.set_paused(*paused);
                self.reference.paused = *paused;
            }
            Step::SkipWaits => {
                self.rig.lane.skip_waits(self.rig.now);
                self.reference.skips_waits();
            }
            Step::Drain(ms) => {
                let deadline = self.rig.now + Duration::from_millis(*ms);
                self.rig.lane.drain(deadline, self.rig.now);
                self.reference.drains(deadline);
            }
            Step::Close(reason) => {
                self.rig.lane.close(*reason);
                self.reference.closes_for(*reason);
                self.over.extend(self.open.drain(..).map(|(id, _)| id));
            }
        }
        self.agree();
    }

    fn later(&mut self, wait: Duration) {
        self.rig.later(wait);
        self.reference.now = self.rig.now;
    }

    fn seal(&mut self, priorities: &[Priority], redriven: bool) -> Sealed<u64> {
        let sealed = self.rig.mixed(priorities);
        for slice in &sealed.slices {
            self.largest = self.largest.max(slice.batch.weight);
            let (number, ids) = (slice.number(), slice.events());
            self.reference.sealed(number, slice.urgent, ids, redriven);
        }
        sealed
    }

    fn offer(&mut self, priorities: &[Priority]) {
        // in the order of their numbers
        while !self.on_the_way.is_empty() {
            self.arrive();
        }
        let sealed = if self.reference.rules.options.overflow == Overflow::ByPriority {
            self.seal(priorities, false)
        } else {
            self.seal(&vec![priorities[0]; priorities.len()], false)
        };
        let panics = HookPanics::new();
        let sifted = self.rig.lane.sift(sealed.number, &sealed.slices, &panics);
        let filters = self.rig.lane.has_filter();
        let ids = sealed.slices.iter().flat_map(crate::request::Slice::events);
        let mut kept = Vec::new();
        for &id in ids {
            match look(id) {
                Err(()) if filters => {
                    let fate = Fate::Dropped(DropReason::HookPanicked);
                    self.reference.set(&[id], fate);
                }
                Ok(Some(reason)) if filters => {
                    self.reference.set(&[id], Fate::Filtered(reason));
                }
                _ => kept.push(id),
            }
        }
        match sifted {
            Some(sifted) => drop(self.rig.lane.offer_sifted(&sifted)),
            None => drop(self.rig.lane.offer(&sealed)),
        }
        self.reference.takes_in(&kept);
        self.reference.makes_room(sealed.number);
    }

    fn redrive(&mut self, events: usize) {
        let mut sealed = self.seal(&vec![Priority::Normal; events], true);
        sealed.only = Some(0);
        self.rig.lane.expect_back(events as u64, events * WEIGHT);
        self.on_the_way.push_back(sealed);
    }

    fn arrive(&mut self) {
        if let Some(sealed) = self.on_the_way.pop_front() {
            drop(self.rig.lane.offer(&sealed));
            self.reference.takes_in(sealed.slices[0].events());
            self.reference.makes_room(sealed.number);
        }
    }

    fn lose(&mut self, reason: DropReason) {
        if let Some(sealed) = self.on_the_way.pop_front() {
            self.rig.lane.lost_on_the_way(&sealed.slices, reason);
            let ids = sealed.slices[0].events();
            self.reference.set(ids, Fate::Dropped(reason));
        }
    }

    fn one_of(&self, which: usize) -> Option<u64> {
        let at = which.checked_rem(self.open.len())?;
        Some(self.open[at].0)
    }

    /// Asks the lane what is due, and does that. What there is to wait for, if nothing is.
    fn start(&mut self) -> Option<Next<u64>> {
        match self.rig.lane.next(self.rig.now) {
            Next::Start(attempt) => {
                let events = Events::from_slices(&attempt.slices);
                let ids: Vec<u64> = events.iter().copied().collect();
                assert!((1024..=1 << 20).contains(&attempt.max_bytes));
                let body = attempt.body.as_ref();
                self.reference.starts(attempt.id, &ids, body);
                self.open.push((attempt.id, body.is_some()));
                None
            }
            next => {
                match &next {
                    Next::WaitUntil(at) => self.reference.waits(*at),
                    _ => self.reference.idles(),
                }
                Some(next)
            }
        }
    }

    /// Starts what is due, or goes on to when it will be.
    fn go_on(&mut self) {
        if let Some(Next::WaitUntil(at)) = self.start() {
            self.later(at - self.rig.now);
        }
    }

    /// Encodes an attempt unless that was done; false if nothing is left to send.
    fn encode(&mut self, id: u64, fit: &Fit) -> bool {
        let Some((_, is_encoded)) = self.open.iter_mut().find(|(open, _)| *open == id) else {
            return false;
        };
        let flights = &self.reference.flights;
        if std::mem::replace(is_encoded, true) {
            return flights
                .iter()
                .any(|(f, r)| *f == id && !r.events.is_empty());
        }
        // no two bodies are the same
        self.bodies = self.bodies.wrapping_add(1);
        let encoded = Encoded {
            body: Bytes::from(vec![self.bodies; 4 * WEIGHT]),
            consumed: fit.events,
            refused: fit.refused.clone(),
        };
        let expected = self.reference.encodes(id, &encoded).expect("in flight");
        let ready = self.rig.lane.encoded(id, encoded);
        let events = |slices: &[Slice<u64>]| Events::from_slices(slices).iter().copied().collect();
        let sent: Vec<u64> = ready.map_or(Vec::new(), |(_, slices)| events(&slices));
        assert_eq!(sent, expected);
        self.agree();
        !sent.is_empty()
    }

    fn end(&mut self, id: u64, fit: &Fit, answer: &Answer) {
        let mut ended = answer.ended();
        let is_encoded = self.open.contains(&(id, true));
        if matches!(ended, Ended::With(_)) || is_encoded {
            // a provider may hang or panic before it has encoded
            if !self.encode(id, fit) {
                ended = Ended::NothingToSend;
            }
        }
        self.reference.ends(id, &ended);
        self.open.retain(|(open, _)| *open != id);
        self.over.push(id);
        drop(self.rig.lane.finish(id, ended, self.rig.now, self.chance));
    }

    fn spell(&mut self, attempts: usize, fit: &Fit, answer: &Answer) {
        for _ in 0..attempts {
            self.go_on();
            self.agree();
            if let Some(id) = self.one_of(0) {
                self.end(id, fit, answer);
                self.agree();
            }
        }
    }

    /// An attempt that nobody waits for any longer changes nothing.
    fn late(&mut self, which: usize, fit: &Fit, answer: &Answer) {
        let Some(at) = which.checked_rem(self.over.len()) else {
            return;
        };
        let id = self.over[at];
        let encoded = Encoded {
            body: Bytes::from_static(b"late"),
            consumed: fit.events,
            refused: fit.refused.clone(),
        };
        assert!(self.rig.lane.encoded(id, encoded).is_none());
        let ended = answer.ended();
        drop(self.rig.lane.finish(id, ended, self.rig.now, self.chance));
    }

    /// From now on nothing fails: everything that is left is delivered, in few steps.
    pub(super) fn settle(&mut self) {
        while !self.on_the_way.is_empty() {
            self.play(&Step::Arrive);
        }
        self.play(&Step::Pause(false));
        let left = self.reference.present();
        let fit = Fit {
            events: 3,
            refused: Vec::new(),
        };
        let mut steps = 0;
        while !self.reference.present().is_empty() || !self.open.is_empty() {
            self.spell(1, &fit, &Answer::Delivered);
            steps += 1;
            // at most two waits, for time and for a token, before each attempt, which delivers something
            assert!(steps <= 3 * left.len() + 5, "{:?}", self.reference);
        }
        for id in left {
            assert_eq!(self.reference.event(id).fate, Fate::Delivered, "event {id}");
        }
        assert_eq!((self.rig.lane.audit(), self.rig.budget.used()), (0, 0));
    }

    /// The lane says what the reference says.
    #[track_caller]
    fn agree(&self) {
        let reference = &self.reference;
        let count = |fate: Fate| {
            let events = reference.events.iter();
            events.filter(|event| event.fate == fate).count() as u64
        };
        let (ledger, offered) = self.rig.lane.ledger();
        assert!(ledger.balances(offered), "{ledger:?} of {offered}");
        let redriven = reference.events.iter().filter(|e| e.redriven).count();
        let accepted = reference.events.len() - redriven;
        assert_eq!(
            (ledger.redriven, offered),
            (redriven as u64, accepted as u64)
        );
        assert_eq!(ledger.delivered, count(Fate::Delivered), "delivered");
        for &reason in RejectReason::ALL {
            let rejected = ledger.rejected.get(reason);
            assert_eq!(
                rejected,
                count(Fate::Rejected(reason)),
                "rejected: {reason}"
            );
        }
        for &reason in DropReason::ALL {
            let dropped = ledger.dropped.get(reason);
            assert_eq!(dropped, count(Fate::Dropped(reason)), "dropped: {reason}");
        }
        for &reason in FilterReason::ALL {
            let filtered = ledger.filtered.get(reason);
            assert_eq!(
                filtered,
                count(Fate::Filtered(reason)),
                "filtered: {reason}"
            );
        }
        let on_the_way = count(Fate::OnTheWay);
        let present = reference.present();
        assert_eq!(self.rig.present(), present, "what is in the lane");
        assert_eq!(count(Fate::Pending), present.len() as u64);
        assert_eq!(ledger.pending, present.len() as u64 + on_the_way);
        assert_eq!(self.rig.lane.audit(), present.len() as u64);
        self.agree_on_status(&present);
    }

    #[track_caller]
    fn agree_on_status(&self, present: &[u64]) {
        let reference = &self.reference;
        let status = self.rig.lane.status(self.rig.now);
        assert_eq!(status.pending, present.len() as u64);
        assert_eq!(status.pending_bytes, present.len() * WEIGHT);
        let pinned = reference.pinned();
        assert_eq!(status.pinned_bytes, pinned);
        let most = reference.rules.share.max(self.largest);
        assert!(pinned <= most, "{pinned} of {most} bytes");
        let coming = self.on_the_way.iter().map(Sealed::len).sum::<usize>() * WEIGHT;
        assert_eq!(self.rig.budget.used(), pinned + coming);
        assert_eq!(status.in_flight, reference.flights.len());
        let breaker = match reference.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open(_) => BreakerState::Open,
            Phase::HalfOpen => BreakerState::HalfOpen,
        };
        assert_eq!(status.breaker, breaker);
        let batches = reference.held();
        let oldest = batches.keys().next().map(|&at| reference.batches[at]);
        let since = oldest.map(|oldest| self.rig.now - oldest.since);
        assert_eq!(status.oldest_pending, since);
        if let Some(oldest) = oldest {
            assert!(self.rig.lane.is_pending_through(oldest.number));
        }
        let before = oldest.map_or(u64::MAX, |oldest| oldest.number - 1);
        assert!(!self.rig.lane.is_pending_through(before), "flushed");
        let concurrency = reference.rules.concurrency();
        let requests = reference.again.iter().filter(|r| r.body.is_some()).count();
        let bodies = requests + reference.flights.len();
        assert!(bodies <= concurrency, "{bodies} bodies");
        let waiting = self.rig.lane.lock();
        let encoded = waiting.again.iter().filter(|r| r.body.is_some()).count();
        assert_eq!(encoded, requests, "bodies that are kept");
    }
}
