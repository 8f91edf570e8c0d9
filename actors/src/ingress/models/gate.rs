//! The gate by itself: no wake-up is lost, no event is left behind.

use std::sync::Arc;

use loom::thread;

use super::block_on;
use crate::ingress::gate::{Duty, Gate, Seen};
use crate::sync::{AtomicU64, Notify, Ordering, Ring};

/// What the models need of a gate.
trait Protocol: Default + Send + Sync + 'static {
    fn announce(&self) -> Duty;
    fn park(&self, threshold: usize, look: impl FnOnce() -> Seen) -> bool;
    fn unpark(&self);
    fn close(&self);
    fn leave_if(&self, look: impl FnOnce() -> Seen) -> bool;
    fn is_gone(&self) -> bool;
}

impl Protocol for Gate {
    fn announce(&self) -> Duty {
        self.announce()
    }

    fn park(&self, threshold: usize, look: impl FnOnce() -> Seen) -> bool {
        self.park(threshold, look)
    }

    fn unpark(&self) {
        self.unpark();
    }

    fn close(&self) {
        self.close();
    }

    fn leave_if(&self, look: impl FnOnce() -> Seen) -> bool {
        self.leave_if(look)
    }

    fn is_gone(&self) -> bool {
        self.seems_gone()
    }
}

struct Shared<P> {
    gate: P,
    ring: Ring<()>,
    wake: Notify,
}

impl<P: Protocol> Shared<P> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: P::default(),
            ring: Ring::new(8),
            wake: Notify::new(),
        })
    }

    fn push(&self) -> Duty {
        let duty = self.gate.announce();
        self.ring.push(()).unwrap();
        if duty == Duty::Wake {
            self.wake.notify_one();
        }
        duty
    }

    /// Pops until all of `total` is popped, parked for `threshold` events (or the rest) in between.
    fn consume(&self, total: usize, threshold: usize) {
        let mut taken = 0;
        loop {
            taken += self.pop_all();
            if taken == total {
                return;
            }
            let look = || Seen {
                taken: taken as u64,
                waiting: self.ring.len(),
            };
            if self.gate.park(threshold.min(total - taken), look) {
                block_on(self.wake.notified());
                self.gate.unpark();
            } else {
                // somebody is in the middle of a push
                thread::yield_now();
            }
        }
    }

    fn pop_all(&self) -> usize {
        std::iter::from_fn(|| self.ring.pop()).count()
    }
}

/// One producer; the consumer lingers for many events, its timer fires, and it goes idle.
fn going_idle_after_lingering<P: Protocol>() {
    loom::model(|| {
        let shared = Shared::<P>::new();
        let producer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || _ = shared.push())
        };
        let look = || Seen {
            taken: 0,
            waiting: shared.ring.len(),
        };
        if shared.gate.park(5, look) {
            shared.gate.unpark();
        }
        shared.consume(1, 1);
        producer.join().unwrap();
    });
}

/// `producers` push `each`; the consumer parks for `threshold` events (at most what is left) in between.
fn every_event_reaches_the_consumer<P: Protocol>(producers: usize, each: usize, threshold: usize) {
    loom::model(move || {
        let shared = Shared::<P>::new();
        let producer = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || (0..each).for_each(|_| _ = shared.push()))
        };
        let threads: Vec<_> = (0..producers).map(producer).collect();
        shared.consume(producers * each, threshold);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

/// The consumer leaves of itself while `producers` push one event each: whoever pops them, all are
/// popped.
fn every_event_is_drained_or_swept<P: Protocol>(producers: usize) {
    loom::model(move || {
        let shared = Shared::<P>::new();
        let producer = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.push();
                if shared.gate.is_gone() {
                    shared.pop_all()
                } else {
                    0
                }
            })
        };
        let threads: Vec<_> = (0..producers).map(producer).collect();
        shared.gate.close();
        let mut drained = 0;
        loop {
            drained += shared.pop_all();
            let look = || Seen {
                taken: drained as u64,
                waiting: shared.ring.len(),
            };
            if shared.gate.leave_if(look) {
                break;
            }
            thread::yield_now();
        }
        let by_producers: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(drained + by_producers, producers);
    });
}

#[test]
fn an_idle_consumer_gets_every_event_of_one_producer() {
    every_event_reaches_the_consumer::<Gate>(1, 3, 1);
}

#[test]
fn an_idle_consumer_gets_every_event_of_two_producers() {
    every_event_reaches_the_consumer::<Gate>(2, 1, 1);
}

#[test]
fn a_lingering_consumer_is_woken_at_its_threshold_by_one_producer() {
    every_event_reaches_the_consumer::<Gate>(1, 3, 2);
}

#[test]
fn a_lingering_consumer_is_woken_at_its_threshold_by_two_producers() {
    every_event_reaches_the_consumer::<Gate>(2, 1, 2);
}

#[test]
fn a_consumer_that_lingered_before_it_went_idle_is_woken_by_the_first_event() {
    going_idle_after_lingering::<Gate>();
}

#[test]
fn no_event_is_left_when_the_consumer_leaves_one_producer() {
    every_event_is_drained_or_swept::<Gate>(1);
}

#[test]
fn no_event_is_left_when_the_consumer_leaves_two_producers() {
    every_event_is_drained_or_swept::<Gate>(2);
}

/// A gate with the defects of `D`; it knows no close, and one flag for parked and one for gone.
#[derive(Default)]
struct Broken<D> {
    word: AtomicU64,
    wake_at: AtomicU64,
    /// The count of `SPLIT`.
    count: AtomicU64,
    defect: std::marker::PhantomData<D>,
}

const PARKED: u64 = 1;
const GONE: u64 = 2;
const CLOSED: u64 = 4;
const SHIFT: u32 = 3;

/// One deviation from the gate that ships.
trait Defect: Default + Send + Sync + 'static {
    const ANNOUNCE: Ordering = Ordering::AcqRel;
    /// Counts in one word and keeps the state in another, without a fence between.
    const SPLIT: bool = false;
    const THRESHOLD_LATE: bool = false;
    /// Parks and leaves without regard to pushes under way.
    const FORGETS: bool = false;
    const SWEEPS: bool = true;
}

impl<D: Defect> Protocol for Broken<D> {
    fn announce(&self) -> Duty {
        let before = if D::SPLIT {
            self.count.fetch_add(1, D::ANNOUNCE);
            self.word.load(Ordering::Acquire)
        } else {
            self.word.fetch_add(1 << SHIFT, D::ANNOUNCE)
        };
        let wakes = before & PARKED != 0
            && (D::SPLIT || (before >> SHIFT) + 1 >= self.wake_at.load(Ordering::Relaxed))
            && self.word.fetch_and(!PARKED, Ordering::AcqRel) & PARKED != 0;
        if wakes { Duty::Wake } else { Duty::Nothing }
    }

    fn park(&self, threshold: usize, look: impl FnOnce() -> Seen) -> bool {
        let word = self.word.load(Ordering::Acquire);
        let Seen { taken, waiting } = look();
        let count = if D::SPLIT {
            self.count.load(Ordering::Acquire)
        } else {
            word >> SHIFT
        };
        let missing = threshold.saturating_sub(waiting) as u64;
        let wake_at = count + missing;
        if !D::THRESHOLD_LATE {
            self.wake_at.store(wake_at, Ordering::Relaxed);
        }
        let all = D::FORGETS || taken + waiting as u64 >= count;
        let parked = missing > 0
            && all
            && self
                .word
                .compare_exchange(word, word | PARKED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if D::THRESHOLD_LATE {
            self.wake_at.store(wake_at, Ordering::Relaxed);
        }
        parked
    }

    fn unpark(&self) {
        self.word.fetch_and(!PARKED, Ordering::AcqRel);
    }

    fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    fn leave_if(&self, look: impl FnOnce() -> Seen) -> bool {
        let word = self.word.load(Ordering::Acquire);
        let Seen { taken, waiting } = look();
        let count = if D::SPLIT {
            self.count.load(Ordering::Acquire)
        } else {
            word >> SHIFT
        };
        let all = D::FORGETS || taken >= count;
        waiting == 0
            && all
            && self
                .word
                .compare_exchange(word, word | GONE, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    fn is_gone(&self) -> bool {
        D::SWEEPS && self.word.load(Ordering::Acquire) & GONE != 0
    }
}

/// Defines a defect and the tests that must find it.
macro_rules! defects {
    ($($name:ident { $($body:tt)* } => [$($test:ident: $model:ident $arguments:tt, $message:literal;)+])+) => {$(
        #[derive(Default)]
        struct $name;

        impl Defect for $name {
            $($body)*
        }

        $(
            #[test]
            #[should_panic(expected = $message)]
            fn $test() {
                $model::<Broken<$name>> $arguments;
            }
        )+
    )+};
}

/// The broken gate without a defect: the siblings fail for their defect, not for being a copy.
#[derive(Default)]
struct NoDefect;

impl Defect for NoDefect {}

#[test]
fn the_copy_without_a_defect_passes() {
    every_event_reaches_the_consumer::<Broken<NoDefect>>(2, 1, 2);
    going_idle_after_lingering::<Broken<NoDefect>>();
    every_event_is_drained_or_swept::<Broken<NoDefect>>(2);
}

defects! {
    Forgets { const FORGETS: bool = true; } => [
        parking_in_the_middle_of_a_push_loses_a_wake_up:
            every_event_reaches_the_consumer(1, 1, 1), "deadlock";
        leaving_in_the_middle_of_a_push_loses_an_event:
            every_event_is_drained_or_swept(1), "left == right";
    ]
    AnnounceWithoutAcquire { const ANNOUNCE: Ordering = Ordering::Release; } => [
        an_announcement_that_does_not_acquire_misses_the_threshold:
            going_idle_after_lingering(), "deadlock";
    ]
    Split { const SPLIT: bool = true; } => [
        a_count_and_a_state_in_two_words_lose_a_wake_up:
            every_event_reaches_the_consumer(1, 1, 1), "deadlock";
        a_count_and_a_state_in_two_words_lose_an_event:
            every_event_is_drained_or_swept(1), "left == right";
    ]
    ThresholdLate { const THRESHOLD_LATE: bool = true; } => [
        a_threshold_written_after_parking_loses_a_wake_up:
            going_idle_after_lingering(), "deadlock";
    ]
    NoSweep { const SWEEPS: bool = false; } => [
        a_producer_that_does_not_sweep_loses_an_event:
            every_event_is_drained_or_swept(1), "left == right";
    ]
}
