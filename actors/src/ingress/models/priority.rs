//! One ring for each priority: order, and that nothing is lost between them.

use std::sync::Arc;

use loom::thread;

use crate::ingress::{Ingress, IngressOptions, Overflow, Priority};
use crate::ledger::DropReason;
use crate::sync::{AtomicU32, Ordering, Ring};

type Shared = Arc<Ingress<u8>>;

/// Odd numbers are high.
fn ingress(capacity: usize) -> Shared {
    Arc::new(Ingress::new(&IngressOptions {
        capacity,
        max_bytes: 100,
        overflow: Overflow::ByPriority,
        weigh: |_| 1,
        priority: Some(|number| {
            if number % 2 == 1 {
                Priority::High
            } else {
                Priority::Normal
            }
        }),
        trusted: false,
    }))
}

fn drain(ingress: &Shared, max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    ingress.drain(max, |event, _, _| out.push(event));
    out
}

/// One thread pushes these while another one drains, one at a time.
fn in_order(events: &'static [u8]) {
    loom::model(move || {
        let ingress = ingress(4);
        let producer = {
            let ingress = Arc::clone(&ingress);
            thread::spawn(move || {
                for &event in events {
                    ingress.try_push(event).unwrap();
                }
            })
        };
        let mut out = drain(&ingress, 1);
        out.extend(drain(&ingress, 1));
        producer.join().unwrap();
        out.extend(drain(&ingress, usize::MAX));
        assert_eq!(out, events);
    });
}

#[test]
fn a_normal_event_before_a_high_one_stays_before_it() {
    in_order(&[2, 3]);
}

#[test]
fn a_high_event_before_a_normal_one_stays_before_it() {
    in_order(&[3, 4]);
}

#[test]
fn events_of_alternating_priority_stay_in_order() {
    in_order(&[2, 3, 4]);
}

#[test]
fn an_eviction_racing_a_drain_counts_each_event_once() {
    loom::model(|| {
        let ingress = ingress(2);
        ingress.try_push(1).unwrap();
        ingress.try_push(2).unwrap();
        let producer = {
            let ingress = Arc::clone(&ingress);
            thread::spawn(move || ingress.try_push(3).is_ok())
        };
        let mut out = drain(&ingress, 1);
        assert!(producer.join().unwrap(), "the normal one gives way");
        out.extend(drain(&ingress, usize::MAX));
        assert!(out == [1, 3] || out == [1, 2, 3], "{out:?}");
        let dropped = ingress.dropped().get(DropReason::Overflow);
        assert_eq!(out.len() as u64 + dropped, 3);
    });
}

#[test]
fn a_finish_racing_a_drain_strands_nothing() {
    loom::model(|| {
        let ingress = ingress(4);
        for event in [1, 2, 3] {
            ingress.try_push(event).unwrap();
        }
        let finisher = {
            let ingress = Arc::clone(&ingress);
            thread::spawn(move || ingress.finish(DropReason::Deadline))
        };
        let out = drain(&ingress, 1);
        finisher.join().unwrap();
        assert_eq!(ingress.len(), 0, "nobody would look again");
        assert_eq!(out.len() as u64 + ingress.dropped().total(), 3);
        ingress.budget().release(out.len());
        assert_eq!(ingress.budget().used(), 0);
    });
}

/// The merge with its second look in or out; true stamps, nothing put back.
fn a_merge(looks_again: bool) {
    loom::model(move || {
        let stamps = Arc::new(AtomicU32::new(0));
        let rings = Arc::new([Ring::new(4), Ring::new(4)]);
        let producer = {
            let (rings, stamps) = (Arc::clone(&rings), Arc::clone(&stamps));
            thread::spawn(move || {
                for ring in [1, 0] {
                    let stamp = stamps.fetch_add(1, Ordering::Relaxed);
                    rings[ring].push(stamp).unwrap();
                }
            })
        };
        // a look before the one that counts, as the consumer of an ingress has had many
        stamps.load(Ordering::Acquire);
        let mut urgent = rings[1].pop();
        let normal = rings[0].pop();
        if looks_again && normal.is_some() {
            urgent = urgent.or_else(|| rings[1].pop());
        }
        if let Some(normal) = normal {
            assert!(urgent.is_some_and(|urgent| urgent < normal), "overtaken");
        }
        producer.join().unwrap();
    });
}

#[test]
fn the_copy_with_its_second_look_passes() {
    a_merge(true);
}

#[test]
#[should_panic(expected = "overtaken")]
fn without_a_second_look_a_later_event_overtakes() {
    a_merge(false);
}
