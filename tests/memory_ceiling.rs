//! What the whole process allocates at most while every destination is stuck and ten times the ceiling
//! is offered.
//!
//! The allocator counts all threads, so these tests take turns, and what they send to allocates nothing
//! for what it gets.

mod engine_support;
mod sink;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use engine_support::{account, assert_final, millis};
use peak_alloc::PeakAlloc;
use productgraph::providers::ProductGraph;
use productgraph::{
    BoxFuture, Cause, Encoded, Engine, EngineBuilder, Event, Events, Limits, Outcome, Overflow,
    Provider, RefuseReason, RejectReason, RetryBudget,
};
use sink::{Manner, Sink};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

const NAMES: [&str; 3] = ["one", "two", "three"];
/// Dead letters that are kept, without being told to.
const LETTERS: usize = 1 << 20;
/// Batch bookkeeping, tasks, clients and their connections.
const FIXED: usize = 1 << 20;

/// The heap before there was an engine.
static EMPTY: OnceLock<usize> = OnceLock::new();
/// What is made once for a process, by the first engine.
const ONCE: usize = 512 << 10;

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an engine is told about its memory.
#[derive(Clone, Copy)]
struct Memory {
    lanes: usize,
    overflow: Overflow,
    ceiling: usize,
    places: usize,
    body: usize,
    concurrency: usize,
    shared: bool,
    /// The longest text of a click.
    text: usize,
    /// Dead letters are told to a hook, which keeps the first one for as long as it is measured.
    told: bool,
}

/// What an engine and its providers do when nobody tells them anything.
const DEFAULTS: Memory = Memory {
    lanes: 3,
    overflow: Overflow::DropNewest,
    ceiling: 8 << 20,
    places: 8192,
    body: 1_000_000,
    concurrency: 1,
    shared: false,
    text: 1_500,
    told: false,
};

/// Less of everything, so that each part shows.
const SMALL: Memory = Memory {
    ceiling: 2 << 20,
    places: 1024,
    body: 200_000,
    ..DEFAULTS
};

impl Memory {
    /// The rings' slots.
    fn rings(self) -> usize {
        let rings = if self.overflow == Overflow::ByPriority {
            2
        } else {
            1
        };
        rings * self.places * (size_of::<Event>() + 16)
    }

    /// Copies of what died: in the stores, on the way to the hook, and in it.
    fn letters(self) -> usize {
        let in_the_hook = self.text + 2 * size_of::<Event>();
        LETTERS + if self.told { LETTERS + in_the_hook } else { 0 }
    }

    /// Written events, for lanes of the same format to copy.
    fn fragments(self) -> usize {
        if self.lanes > 1 { self.ceiling / 8 } else { 0 }
    }

    /// What ARCHITECTURE.md says the engine allocates at most.
    fn bound(self) -> usize {
        let bodies = self.lanes * self.concurrency * self.body;
        let copies = bodies + self.fragments() + self.letters();
        self.ceiling + self.rings() + copies + FIXED
    }

    fn builder(self) -> EngineBuilder {
        Engine::builder()
            .overflow(self.overflow)
            .max_buffered_bytes(self.ceiling)
            .queue_capacity(self.places)
            .concurrency(self.concurrency)
            .shared_budget(self.shared)
            .retry(millis(5), millis(20), Duration::from_secs(600))
            .expect("a policy that works")
            .retry_budget(RetryBudget::unlimited())
    }
}

/// Mostly clicks with some text, and now and then an error; none owns more than it is weighed for.
fn event(n: usize, longest: usize) -> Event {
    if n % 10 == 9 {
        return Event::error("CardError", "declined").stack("s".repeat(n % 3_000));
    }
    Event::custom("numbered").with("text", "x".repeat(n * 707 % longest))
}

/// What was measured.
struct Measured {
    memory: Memory,
    /// The most that was allocated at one time, beyond what was before the engine was built.
    peak: usize,
    engine: Engine,
    accepted: u64,
}

/// Offers at least ten times the ceiling, and goes on until `enough`.
fn abuse(memory: Memory, sinks: &[Sink], enough: impl Fn(&Engine) -> bool) -> Measured {
    let before = settled_heap();
    let mut builder = memory.builder();
    for (sink, name) in sinks.iter().zip(NAMES) {
        let provider = ProductGraph::new(sink.endpoint()).name(name);
        builder = builder.provider(provider.max_batch_bytes(memory.body));
    }
    flood(memory, before, builder, enough)
}

/// What is allocated once no engine of before holds anything.
fn settled_heap() -> usize {
    let empty = *EMPTY.get_or_init(|| HEAP.current_usage());
    until(|| HEAP.current_usage() < empty + ONCE);
    HEAP.reset_peak_usage();
    HEAP.current_usage()
}

fn flood(
    memory: Memory,
    before: usize,
    builder: EngineBuilder,
    enough: impl Fn(&Engine) -> bool,
) -> Measured {
    let engine = builder.project("shop").spawn().expect("it starts");
    let handle = engine.handle();
    let (mut offered, mut n, mut accepted) = (0, 0, 0);
    while offered < 10 * memory.ceiling || !enough(&engine) {
        for _ in 0..64 {
            let event = event(n, memory.text);
            offered += event.weight();
            n += 1;
            accepted += u64::from(handle.try_track(event).is_ok());
        }
        assert!(engine.stats().bytes_held <= memory.ceiling);
        std::thread::yield_now();
    }
    Measured {
        memory,
        peak: HEAP.peak_usage() - before,
        engine,
        accepted,
    }
}

fn sinks(memory: Memory, manner: Manner) -> Vec<Sink> {
    (0..memory.lanes).map(|_| Sink::start(manner)).collect()
}

/// Every provider has something in flight.
fn all_in_flight(engine: &Engine) -> bool {
    let lanes = engine.health().providers;
    lanes.iter().all(|lane| lane.in_flight > 0)
}

/// Yields until `done`; only a hang does not end.
fn until(done: impl Fn() -> bool) {
    let runtime = engine_support::current_thread();
    runtime.block_on(engine_support::until(done));
}

#[track_caller]
fn check(what: &str, measured: &Measured) {
    let Measured {
        memory,
        peak,
        engine,
        accepted,
    } = measured;
    let bound = memory.bound();
    println!("{what}: peak {peak} of at most {bound}");
    assert!(*peak <= bound, "{what}: {peak} bytes, at most {bound}");
    // a flood that fills nothing proves nothing
    let filled = memory.rings()
        + if memory.told {
            memory.letters() * 3 / 4
        } else if memory.shared {
            memory.ceiling * 3 / 4
        } else {
            memory.ceiling / 4
        };
    assert!(*peak >= filled, "{what}: only {peak} bytes");
    let share = (memory.ceiling - memory.ceiling / 8) / memory.lanes;
    for lane in engine.health().providers {
        assert!(memory.shared || lane.pinned_bytes <= share, "{lane:?}");
    }
    let report = engine.shutdown_blocking(millis(100));
    assert_final(&report);
    assert_eq!(report.ledger.accepted, *accepted, "{report}");
    let refused = &report.ledger.refused;
    assert_eq!(refused.get(RefuseReason::Full), refused.total());
    for name in &NAMES[..memory.lanes] {
        let account = account(&report.ledger, name);
        assert_eq!(account.delivered, 0, "{report}");
        let rejected = account.rejected.total();
        assert_eq!(account.dropped.total() + rejected, *accepted, "{report}");
        assert_eq!(rejected > 0, memory.told, "{report}");
    }
    // attempts that were just being encoded end a little later
    until(|| engine.stats().bytes_held == 0);
}

fn blocked(memory: Memory) {
    let _turn = turn();
    let measured = measure_blocked(memory);
    check(&format!("blocked, {:?}", memory.overflow), &measured);
}

fn measure_blocked(memory: Memory) -> Measured {
    let sinks = sinks(memory, Manner::Silent);
    abuse(memory, &sinks, all_in_flight)
}

/// The product's own figure for the whole engine is 10 MB.
#[test]
fn by_default_a_blocked_destination_costs_less_than_ten_megabytes_beside_the_ring() {
    let _turn = turn();
    let alone = Memory {
        lanes: 1,
        ..DEFAULTS
    };
    let measured = measure_blocked(alone);
    assert!(measured.peak - alone.rings() < 10_000_000);
    check("blocked, all defaults, one provider", &measured);
}

#[test]
fn by_default_three_blocked_destinations_cost_no_more_than_is_stated() {
    let _turn = turn();
    check("blocked, all defaults, three", &measure_blocked(DEFAULTS));
}

#[test]
fn blocked_destinations_cost_no_more_than_is_stated_when_the_newest_are_refused() {
    blocked(SMALL);
}

#[test]
fn blocked_destinations_cost_no_more_than_is_stated_when_the_oldest_give_way() {
    blocked(Memory {
        overflow: Overflow::DropOldest,
        ..SMALL
    });
}

#[test]
fn blocked_destinations_cost_no_more_than_is_stated_when_priorities_decide() {
    blocked(Memory {
        overflow: Overflow::ByPriority,
        ..SMALL
    });
}

#[test]
fn blocked_destinations_that_share_the_ceiling_fill_it_and_no_more() {
    blocked(Memory {
        shared: true,
        ..SMALL
    });
}

fn refusing(memory: Memory) {
    let _turn = turn();
    let sinks = sinks(memory, Manner::Unavailable);
    let enough = |_: &Engine| sinks.iter().all(|sink| sink.requests() >= 20);
    let measured = abuse(memory, &sinks, enough);
    let Memory {
        overflow,
        concurrency,
        ..
    } = memory;
    let what = format!("retried, {concurrency} at a time, {overflow:?}");
    check(&what, &measured);
}

#[test]
fn bodies_that_are_retried_cost_no_more_than_is_stated() {
    for overflow in [
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::ByPriority,
    ] {
        refusing(Memory { overflow, ..SMALL });
    }
}

#[test]
fn bodies_of_several_requests_at_a_time_cost_no_more_than_is_stated() {
    refusing(Memory {
        concurrency: 4,
        shared: true,
        ..SMALL
    });
}

/// Refuses everything for good.
struct Refuses(&'static str);

impl Provider<Event> for Refuses {
    fn name(&self) -> &'static str {
        self.0
    }

    fn limits(&self) -> Limits {
        Limits::new(50, 1 << 20)
    }

    fn encode(&self, events: &Events<'_, Event>, _: usize) -> Encoded {
        Encoded {
            body: Bytes::from_static(b"body"),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready(Outcome::Final {
            reason: RejectReason::Invalid,
            cause: Cause::new("refused"),
        }))
    }
}

#[test]
fn dead_letters_cost_no_more_than_is_stated_while_their_hook_is_stuck() {
    let _turn = turn();
    let memory = Memory {
        // copies of one event share its texts
        lanes: 1,
        told: true,
        text: 16_000,
        // little beside the dead letters, and bodies that are no memory
        ceiling: 512 << 10,
        body: 0,
        ..SMALL
    };
    let before = settled_heap();
    // ends when the test does
    let (stuck, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let builder = memory.builder().on_dead_letter(move |_| {
        let wait = wait.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = wait.recv();
    });
    let builder = builder.provider(Refuses(NAMES[0]));
    let measured = flood(memory, before, builder, |engine| {
        let letters = engine.dead_letter_stats();
        letters.evicted > letters.kept && letters.hook_missed > letters.kept
    });
    check("refused, with a stuck hook", &measured);
    drop(stuck);
}

#[test]
fn an_engine_that_has_ended_gives_its_memory_back() {
    let _turn = turn();
    let sinks = sinks(SMALL, Manner::Unavailable);
    let mut before = 0;
    for round in 0..4 {
        if round == 1 {
            // what is made once for a process was made in the first round
            before = HEAP.current_usage();
        }
        let measured = abuse(SMALL, &sinks, |_| true);
        drop(measured.engine.shutdown_blocking(millis(50)));
        drop(measured);
        until(|| round == 0 || HEAP.current_usage() < before + (64 << 10));
    }
}
