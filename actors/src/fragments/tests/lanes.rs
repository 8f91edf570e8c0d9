//! Who writes what when several lanes come to the same batches.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn each_event_is_written_once_for_all_lanes() {
    let batches = batches(&[50, 1, 32, 33, 64, 200, 7]);
    let slices = whole(&batches);
    let calls = Calls::default();
    let expected = alone(&slices, usize::MAX);
    for lane in &lanes(10, ROOMY) {
        assert_eq!(calls.encode(lane, &slices, usize::MAX), expected);
    }
    assert_eq!(calls.seen(), (387, 1));
}

#[test]
fn lanes_that_cut_and_merge_differently_still_write_once() {
    let batches = batches(&[50, 20, 300, 9]);
    let calls = Calls::default();
    for (lane, request) in lanes(4, ROOMY).iter().zip([7, 50, 64, 1000]) {
        let mut rest = whole(&batches);
        while !rest.is_empty() {
            let (mut taken, mut left) = (Vec::new(), request);
            while left > 0 && !rest.is_empty() {
                let mut slice = rest.remove(0);
                if slice.len() > left {
                    rest.insert(0, slice.split_off(left));
                }
                left -= slice.len();
                taken.push(slice);
            }
            let expected = alone(&taken, usize::MAX);
            assert_eq!(calls.encode(lane, &taken, usize::MAX), expected);
        }
    }
    assert_eq!(calls.seen(), (379, 1));
}

#[test]
fn what_a_lane_does_not_get_is_not_written_for_it() {
    let batches = batches(&[64]);
    let calls = Calls::default();
    let lanes = lanes(3, ROOMY);
    let odd: Vec<_> = (0..32)
        .map(|n| part(&batches[0], 2 * n + 1..2 * n + 2))
        .collect();
    assert_eq!(
        calls.encode(&lanes[0], &odd, usize::MAX),
        alone(&odd, usize::MAX)
    );
    assert_eq!(calls.seen(), (32, 1), "half of the batch");
    for lane in &lanes[1..] {
        let all = whole(&batches);
        assert_eq!(
            calls.encode(lane, &all, usize::MAX),
            alone(&all, usize::MAX)
        );
    }
    assert_eq!(calls.seen(), (64, 1));
}

#[test]
fn events_of_two_priorities_that_alternate_are_written_once() {
    let batches = batches(&[40, 40]);
    let number = batches[0].number;
    let second = (40..80).collect();
    let charge = Charge::adopt(&Arc::new(Budget::new(1)), 0);
    let batches = [
        Arc::clone(&batches[0]),
        Arc::new(Batch::new(number, second, Instant::now(), charge)),
    ];
    let turns = (0..80).map(|n| part(&batches[n % 2], n / 2..n / 2 + 1));
    let slices: Vec<_> = turns.collect();
    let calls = Calls::default();
    for lane in &lanes(2, ROOMY) {
        let expected = alone(&slices, usize::MAX);
        assert_eq!(calls.encode(lane, &slices, usize::MAX), expected);
    }
    assert_eq!(calls.seen(), (80, 1));
}

#[test]
fn a_lane_that_meets_another_at_work_writes_the_rest_first_and_waits_for_nobody() {
    let batches = batches(&[50, 50, 50]);
    let slices = whole(&batches);
    let expected = alone(&slices, usize::MAX);
    let lanes = lanes(3, ROOMY);
    let (outer, inner) = (Calls::default(), Calls::default());
    let order = RefCell::new(Vec::new());
    // at its tenth event the first lane does not go on until the second has its whole body
    let body = outer.encode_with(&lanes[0], &slices, usize::MAX, |event| {
        if event == 10 {
            let note = |event| order.borrow_mut().push(event);
            let body = inner.encode_with(&lanes[1], &slices, usize::MAX, note);
            assert_eq!(body, expected);
        }
    });
    assert_eq!(body, expected);
    assert_eq!(inner.seen(), (150, 1));
    let expected_order: Vec<_> = (32..150).chain(0..32).collect();
    assert_eq!(order.into_inner(), expected_order);
    assert_eq!(outer.seen(), (32, 1), "only what it was at");
    let third = Calls::default();
    assert_eq!(third.encode(&lanes[2], &slices, usize::MAX), expected);
    assert_eq!(third.seen(), (0, 0));
}

#[test]
fn a_panic_leaves_nothing_of_its_chunk_behind_and_claims_nothing() {
    let batches = batches(&[96]);
    let slices = whole(&batches);
    let lanes = lanes(2, ROOMY);
    let calls = Calls::default();
    let panicking = AssertUnwindSafe(|| {
        calls.encode_with(&lanes[0], &slices, usize::MAX, |event| {
            if event == 40 {
                std::panic::resume_unwind(Box::new("in the encoder"));
            }
        })
    });
    assert!(catch_unwind(panicking).is_err());
    assert_eq!(calls.seen(), (41, 1));
    let (calls, order) = (Calls::default(), RefCell::new(Vec::new()));
    let expected = alone(&slices, usize::MAX);
    let note = |event| order.borrow_mut().push(event);
    let body = calls.encode_with(&lanes[1], &slices, usize::MAX, note);
    assert_eq!(body, expected);
    // had it met a claim, it would have written the last chunk first
    assert_eq!(order.into_inner(), (32..96).collect::<Vec<_>>());
    let calls = Calls::default();
    assert_eq!(calls.encode(&lanes[0], &slices, usize::MAX), expected);
    assert_eq!(calls.seen(), (0, 0));
}

#[test]
fn a_writer_that_removes_what_was_there_spoils_nobody_elses_events() {
    let batches = batches(&[32]);
    let slices = whole(&batches);
    let lanes = lanes(2, ROOMY);
    let events = Events::from_slices(&slices).shared(Some(&lanes[0]));
    let mut hostile = events.writer(|event: &u64, out: &mut Vec<u8>| {
        if event % 3 == 2 {
            out.clear();
        }
        write(*event, out)
    });
    let mut body = Vec::new();
    while hostile.write_next(&mut body).is_some() {}
    let calls = Calls::default();
    let expected = alone(&slices, usize::MAX);
    assert_eq!(calls.encode(&lanes[1], &slices, usize::MAX), expected);
    assert_eq!(calls.seen(), (32, 1), "nothing was left by the first");
}

#[test]
fn a_batch_for_one_lane_is_written_for_it_alone() {
    let budget = Arc::new(Budget::new(1));
    let charge = Charge::adopt(&budget, 0);
    let batch = Batch::new(1, (0..40).collect(), Instant::now(), charge).for_one_lane();
    let slices = [Slice::whole(Arc::new(batch))];
    let lanes = lanes(2, ROOMY);
    let calls = Calls::default();
    let expected = alone(&slices, usize::MAX);
    assert_eq!(calls.encode(&lanes[0], &slices, usize::MAX), expected);
    assert_eq!((calls.seen(), lanes[0].shelf.used()), ((40, 1), 0));
}
