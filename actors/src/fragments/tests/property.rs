//! Whatever lanes get, in whatever order, they send what they would send alone.

use proptest::prelude::*;

use super::*;

/// One lane encodes the next part of what it has left.
#[derive(Clone, Debug)]
struct Turn {
    lane: usize,
    max_events: usize,
    max_bytes: usize,
    /// It encodes this part once more, as after a refusal.
    again: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (0_usize..4, 1_usize..90, 1_usize..2000, any::<bool>()).prop_map(
        |(lane, max_events, max_bytes, again)| Turn {
            lane,
            max_events,
            max_bytes,
            again,
        },
    )
}

/// What a lane that wants only some events is offered of a batch.
fn sift(batch: &Arc<Batch<u64>>, keep: u64) -> Vec<Slice<u64>> {
    let wants = |at: &usize| keep >> (at * 7 % 64) & 1 == 1;
    let mut slices: Vec<Slice<u64>> = Vec::new();
    for at in (0..batch.len()).filter(wants) {
        match slices.last_mut() {
            Some(last) if last.range.end == at => last.range.end += 1,
            _ => slices.push(part(batch, at..at + 1)),
        }
    }
    slices
}

/// The first `events` events, and the rest.
fn split(mut slices: Vec<Slice<u64>>, events: usize) -> (Vec<Slice<u64>>, Vec<Slice<u64>>) {
    let (mut rest, mut left) = (Vec::new(), events);
    for mut slice in std::mem::take(&mut slices) {
        if left >= slice.len() {
            left -= slice.len();
            slices.push(slice);
        } else if left > 0 {
            rest.push(slice.split_off(left));
            slices.push(slice);
            left = 0;
        } else {
            rest.push(slice);
        }
    }
    (slices, rest)
}

proptest! {
    #[test]
    fn bodies_are_what_each_lane_would_encode_alone(
        sizes in prop::collection::vec(1_usize..100, 1..8),
        keeps in prop::collection::vec(prop_oneof![Just(u64::MAX), any::<u64>()], 4),
        turns in prop::collection::vec(turn(), 1..60),
        max_bytes in prop_oneof![0_usize..200_000, Just(ROOMY)],
    ) {
        let batches = batches(&sizes);
        let lanes = lanes(4, max_bytes);
        let calls = Calls::default();
        let offer = |keep: &u64| batches.iter().flat_map(|batch| sift(batch, *keep)).collect();
        let mut left: Vec<Vec<Slice<u64>>> = keeps.iter().map(offer).collect();
        drop(batches);
        for turn in turns {
            let (request, rest) = split(std::mem::take(&mut left[turn.lane]), turn.max_events);
            let expected = alone(&request, turn.max_bytes);
            for _ in 0..=usize::from(turn.again) {
                let encoded = calls.encode(&lanes[turn.lane], &request, turn.max_bytes);
                prop_assert_eq!(&encoded, &expected);
            }
            // an event over the limit would be refused
            let (_, mut cut) = split(request, expected.1.max(1));
            cut.extend(rest);
            left[turn.lane] = cut;
            prop_assert!(lanes[0].shelf.used() <= max_bytes / 8);
        }
        drop(left);
        prop_assert_eq!(lanes[0].shelf.used(), 0, "it goes with the last batch");
    }
}
