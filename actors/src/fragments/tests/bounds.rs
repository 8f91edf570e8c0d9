//! What is kept for other lanes, and for how long.

use super::*;

/// What a chunk takes at most here, with everything around it.
const CHUNK_BYTES: usize = 2_400;

#[test]
fn a_lane_that_gets_nothing_done_does_not_make_what_is_kept_pile_up() {
    let batches = batches(&[32; 500]);
    let ceiling = 20 * CHUNK_BYTES;
    let lanes = lanes(2, 8 * ceiling);
    let shelf = &lanes[0].shelf;
    let calls = Calls::default();
    let mut most = 0;
    // the second lane holds every batch and encodes none
    for slice in whole(&batches) {
        calls.encode(&lanes[0], &[slice], usize::MAX);
        most = most.max(shelf.used());
    }
    assert!(most <= ceiling, "{most} of {ceiling}");
    assert!(most >= ceiling / 2, "or nothing would be shared: {most}");
    assert!(shelf.entries() <= 2 * 40 + 33, "{}", shelf.entries());
    let kept = batches.iter().filter(|batch| !batch.fragments.is_empty());
    let kept: Vec<_> = kept.map(|batch| batch.number).collect();
    let newest: Vec<_> = (500 - kept.len() as u64..500).collect();
    assert_eq!(kept, newest, "the oldest went first");

    // what it finds is right, and what went it writes itself
    let slices = whole(&batches);
    let late = Calls::default();
    let body = late.encode(&lanes[1], &slices, usize::MAX);
    assert_eq!(body, alone(&slices, usize::MAX));
    assert_eq!(late.seen(), ((500 - kept.len()) * 32, 1));
    assert_eq!((shelf.used(), calls.seen()), (0, (16_000, 1)));
}

#[test]
fn lanes_that_keep_up_go_on_sharing_beside_one_that_does_not() {
    let batches = batches(&[32; 500]);
    let lanes = lanes(3, 8 * 20 * CHUNK_BYTES);
    let calls = Calls::default();
    for slices in whole(&batches).chunks(5) {
        for lane in &lanes[..2] {
            let expected = alone(slices, usize::MAX);
            assert_eq!(calls.encode(lane, slices, usize::MAX), expected);
        }
    }
    assert_eq!(calls.seen(), (16_000, 1));
}

#[test]
fn nothing_is_kept_once_every_lane_has_had_it() {
    let batches = batches(&[50; 40]);
    let lanes = lanes(3, ROOMY);
    let shelf = &lanes[0].shelf;
    let calls = Calls::default();
    for slice in whole(&batches) {
        let slices = [slice];
        calls.encode(&lanes[0], &slices, usize::MAX);
        calls.encode(&lanes[1], &slices, usize::MAX);
        assert!(shelf.used() > 0);
        calls.encode(&lanes[2], &slices, usize::MAX);
        assert_eq!(shelf.used(), 0);
    }
    assert!(shelf.entries() <= 33, "{}", shelf.entries());
    assert_eq!(calls.seen(), (2000, 1));
}

#[test]
fn what_is_kept_goes_with_its_batch() {
    let lanes = lanes(2, ROOMY);
    let calls = Calls::default();
    for _ in 0..100 {
        let batches = batches(&[50, 50]);
        calls.encode(&lanes[0], &whole(&batches), usize::MAX);
        assert!(lanes[0].shelf.used() > 0);
        // the other lane filtered it, or gave it up
        drop(batches);
        assert_eq!(lanes[0].shelf.used(), 0);
    }
    let entries = lanes[0].shelf.entries();
    assert!(entries <= 37, "{entries}");
}

#[test]
fn events_too_large_to_be_kept_are_written_by_each_lane() {
    let batches = batches(&[100]);
    let slices = whole(&batches);
    // a ceiling that fits no chunk
    let lanes = lanes(2, 8 * 400);
    let expected = alone(&slices, usize::MAX);
    for lane in &lanes {
        let calls = Calls::default();
        assert_eq!(calls.encode(lane, &slices, usize::MAX), expected);
        assert_eq!((calls.seen(), lane.shelf.used()), ((100, 1), 0));
    }
}

#[test]
fn a_chunk_that_grows_too_large_is_kept_as_far_as_it_was_written() {
    let batches = batches(&[32]);
    let slices = whole(&batches);
    // chunks end at a quarter of the ceiling
    let lanes = lanes(2, 8 * 4 * 520);
    let expected = alone(&slices, usize::MAX);
    let first = Calls::default();
    assert_eq!(first.encode(&lanes[0], &slices, usize::MAX), expected);
    assert_eq!(first.seen(), (32, 1));
    assert!(lanes[0].shelf.used() > 0);
    let second = Calls::default();
    assert_eq!(second.encode(&lanes[1], &slices, usize::MAX), expected);
    let (written, most) = second.seen();
    assert!((8..20).contains(&written) && most == 1, "{written}");
}

#[test]
fn without_any_room_everybody_still_encodes() {
    let batches = batches(&[100]);
    let slices = whole(&batches);
    for lane in &lanes(2, 0) {
        let calls = Calls::default();
        let body = calls.encode(lane, &slices, usize::MAX);
        assert_eq!(body, alone(&slices, usize::MAX));
        assert_eq!(calls.seen(), (100, 1));
    }
}
