//! Lanes of one format over the same batches, driven by hand.

mod attempts;
mod bounds;
mod lanes;
mod property;
mod threads;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::{FormatKey, Sharing, share};
use crate::budget::{Budget, Charge};
use crate::ledger::RejectReason;
use crate::request::{Batch, Events, Slice};

/// As much as a test wants to keep.
const ROOMY: usize = 64 << 20;

/// Lanes that all write one format, in an engine of so many bytes.
fn lanes(count: usize, max_bytes: usize) -> Vec<Sharing> {
    let keys = vec![Some(FormatKey::new("lines")); count];
    let sharing = share(&keys, max_bytes);
    sharing.into_iter().map(|s| s.expect("it shares")).collect()
}

/// Batches of so many events each, counted through from 0.
fn batches(sizes: &[usize]) -> Vec<Arc<Batch<u64>>> {
    let budget = Arc::new(Budget::new(usize::MAX));
    let mut next = 0;
    let mut batch = |(number, size): (usize, &usize)| {
        let events: Vec<u64> = (next..).take(*size).collect();
        next += *size as u64;
        let charge = Charge::adopt(&budget, 0);
        Arc::new(Batch::new(number as u64, events, Instant::now(), charge))
    };
    sizes.iter().enumerate().map(&mut batch).collect()
}

/// The batches as requests get them.
fn whole(batches: &[Arc<Batch<u64>>]) -> Vec<Slice<u64>> {
    batches.iter().cloned().map(Slice::whole).collect()
}

fn part(batch: &Arc<Batch<u64>>, range: Range<usize>) -> Slice<u64> {
    let mut slice = Slice::whole(Arc::clone(batch));
    slice.range = range;
    slice
}

/// How an event is written; some are refused after a part of them was.
fn write(event: u64, out: &mut Vec<u8>) -> Result<(), RejectReason> {
    out.extend_from_slice(event.to_string().as_bytes());
    match event % 13 {
        5 => return Err(RejectReason::Unencodable),
        6 => return Err(RejectReason::TooLarge),
        n => out.resize(out.len() + usize::try_from(n).unwrap_or(0) * 6, b'x'),
    }
    Ok(())
}

/// A body, how many events it took, and which of them were refused.
type Encoded = (String, usize, Vec<(usize, RejectReason)>);

/// A line for each event, as many as fit.
fn encode(
    events: &Events<'_, u64>,
    max_bytes: usize,
    write: impl FnMut(&u64, &mut Vec<u8>) -> Result<(), RejectReason>,
) -> Encoded {
    let mut writer = events.writer(write);
    let (mut body, mut consumed, mut refused) = (Vec::new(), 0, Vec::new());
    loop {
        let before = body.len();
        match writer.write_next(&mut body) {
            None => break,
            Some(Err(reason)) => {
                assert_eq!(body.len(), before, "a refused event leaves nothing");
                refused.push((consumed, reason));
            }
            Some(Ok(())) if body.len() >= max_bytes => {
                body.truncate(before);
                break;
            }
            Some(Ok(())) => body.push(b'\n'),
        }
        consumed += 1;
    }
    (String::from_utf8(body).expect("text"), consumed, refused)
}

/// What a lane that shares nothing makes of it.
fn alone(slices: &[Slice<u64>], max_bytes: usize) -> Encoded {
    let write = |event: &u64, out: &mut Vec<u8>| write(*event, out);
    encode(&Events::from_slices(slices), max_bytes, write)
}

/// How often each event was written.
#[derive(Default)]
struct Calls(RefCell<BTreeMap<u64, usize>>);

impl Calls {
    fn encode(&self, lane: &Sharing, slices: &[Slice<u64>], max_bytes: usize) -> Encoded {
        self.encode_with(lane, slices, max_bytes, |_| {})
    }

    /// Calls `first` before each event is written.
    fn encode_with(
        &self,
        lane: &Sharing,
        slices: &[Slice<u64>],
        max_bytes: usize,
        mut first: impl FnMut(u64),
    ) -> Encoded {
        let events = Events::from_slices(slices).shared(Some(lane));
        let encoded = encode(&events, max_bytes, |event, out| {
            *self.0.borrow_mut().entry(*event).or_default() += 1;
            first(*event);
            write(*event, out)
        });
        lane.encoded(slices, encoded.1);
        encoded
    }

    /// The events that were written, and the most often that one was.
    fn seen(&self) -> (usize, usize) {
        let calls = self.0.borrow();
        (calls.len(), calls.values().copied().max().unwrap_or(0))
    }
}

#[test]
fn lanes_share_where_their_keys_are_equal_and_are_not_alone() {
    #[derive(PartialEq)]
    struct Json(&'static str);
    let json = |tenant| Some(FormatKey::new(Json(tenant)));
    let keys = [
        json("a"),
        None,
        json("b"),
        json("a"),
        json("c"),
        json("b"),
        None,
    ];
    let sharing = share(&keys, ROOMY);
    let shape = |sharing: &Option<Sharing>| {
        let sharing = sharing.as_ref()?;
        Some((sharing.format, sharing.place.mine, sharing.place.everyone))
    };
    let (a, b) = (0, 1);
    assert_eq!(
        sharing.iter().map(shape).collect::<Vec<_>>(),
        [
            Some((a, 1, 3)),
            None,
            Some((b, 1, 3)),
            Some((a, 2, 3)),
            None,
            Some((b, 2, 3)),
            None
        ]
    );
    // the same text as a value of another type is another key
    let other = [json("a"), Some(FormatKey::new("a"))];
    assert!(share(&other, ROOMY).iter().all(Option::is_none));
    assert_eq!(
        format!("{:?}", FormatKey::new("secret")),
        "FormatKey(\"&str\")"
    );
}

#[test]
fn beyond_sixty_four_lanes_each_encodes_for_itself() {
    let keys = vec![Some(FormatKey::new(())); 66];
    let sharing = share(&keys, ROOMY);
    assert_eq!(sharing.iter().flatten().count(), 64);
    let last = sharing[63].as_ref().expect("the last to share");
    assert_eq!((last.place.mine, last.place.everyone), (1 << 63, u64::MAX));
    assert!(sharing[64].is_none() && sharing[65].is_none());
}
