//! Lanes on threads of their own.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

const LANES: usize = 4;

#[test]
fn lanes_that_encode_at_the_same_time_all_send_the_right_bytes() {
    for round in 0..200 {
        let batches = batches(&[50, 33, 1, 120, 64]);
        let slices = whole(&batches);
        let expected = alone(&slices, usize::MAX);
        // now and then with so little room that what is kept goes while it is wanted
        let is_cramped = round % 4 == 0;
        let room = if is_cramped { 8 * 10_000 } else { ROOMY };
        let (lanes, start) = (lanes(LANES, room), Barrier::new(LANES));
        let calls = AtomicUsize::new(0);
        thread::scope(|scope| {
            for lane in &lanes {
                scope.spawn(|| {
                    let events = Events::from_slices(&slices).shared(Some(lane));
                    start.wait();
                    let body = encode(&events, usize::MAX, |event, out| {
                        calls.fetch_add(1, Ordering::Relaxed);
                        write(*event, out)
                    });
                    lane.encoded(&slices, body.1);
                    assert_eq!(body, expected);
                });
            }
        });
        let calls = calls.into_inner();
        assert!(calls >= 268, "{calls}");
        assert!(is_cramped || calls <= LANES * 268, "{calls}");
        assert_eq!(lanes[0].shelf.used(), 0, "every lane has had everything");
    }
}
