//! Handing over events: as many as fit, or a number of them.

use std::time::{Duration, Instant};

use super::Client;
use super::clients::Spec;
use crate::request::Req;
use crate::sink::{Board, Counters};

/// Reads of a counting allocator since the program began: allocations, and bytes that are held.
pub type HeapUse = fn() -> (u64, i64);

/// After so long without an arrival, what is outstanding counts as lost.
const LOST_AFTER: Duration = Duration::from_millis(1500);
/// Events handed over between two looks at the window.
const CHUNK: u64 = 64;

/// A client that is handed events, and the sink's counters.
pub(super) struct Producer<'a> {
    pub(super) client: &'a mut dyn Client,
    pub(super) board: &'a Board,
    pub(super) spec: &'a Spec,
    request: Req,
    pub(super) made: u64,
    pub(super) refused: u64,
    lost: u64,
}

impl<'a> Producer<'a> {
    pub(super) fn new(client: &'a mut dyn Client, board: &'a Board, spec: &'a Spec) -> Self {
        Self {
            client,
            board,
            spec,
            request: Req::new(1),
            made: 0,
            refused: 0,
            lost: 0,
        }
    }

    /// Events that have arrived, each once.
    pub(super) fn arrived(&self) -> u64 {
        let Counters { events, unique, .. } = self.board.read();
        if self.spec.copies == 1 {
            unique
        } else {
            events / self.spec.copies
        }
    }

    pub(super) fn send(&mut self, count: u64) {
        for _ in 0..count {
            self.request.set_number(self.made);
            self.refused += u64::from(!self.client.track(&self.request, self.made));
            self.made += 1;
        }
    }

    /// Waits until everything has arrived, or nothing has for a while.
    pub(super) fn settle(&self) {
        let (mut moved, mut last) = (Instant::now(), self.arrived());
        while last + self.lost < self.made && moved.elapsed() < LOST_AFTER {
            std::thread::sleep(Duration::from_millis(1));
            let arrived = self.arrived();
            if arrived != last {
                (moved, last) = (Instant::now(), arrived);
            }
        }
    }

    /// Only what surrounds so many calls.
    pub(super) fn contexts(&mut self, count: u64) {
        for number in 0..count {
            self.request.set_number(number);
            self.client.context(&self.request, number);
        }
    }

    /// Keeps the window full for a time.
    pub(super) fn closed_loop(&mut self, time: Duration) {
        let start = Instant::now();
        let (mut moved, mut last) = (start, 0);
        while start.elapsed() < time {
            let arrived = self.arrived();
            if arrived != last {
                (moved, last) = (Instant::now(), arrived);
            }
            let outstanding = self.made.saturating_sub(arrived + self.lost);
            if outstanding + CHUNK <= self.spec.window {
                self.send(CHUNK);
                continue;
            }
            if moved.elapsed() > LOST_AFTER {
                self.lost = self.made - arrived;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}
