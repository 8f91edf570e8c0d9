//! Whole attempts: what a lane has in a body it needs no more.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;
use crate::attempt;
use crate::lane::{Lane, LaneOptions, Next};
use crate::provider::{BoxFuture, Encoded, Limits, Outcome, Provider};
use crate::request::Sealed;

/// Takes so many events at once, and counts what it writes.
struct Taking(usize, Arc<AtomicUsize>);

impl Provider<u64> for Taking {
    fn name(&self) -> &'static str {
        "taking"
    }

    fn limits(&self) -> Limits {
        Limits::new(1000, 1 << 20)
    }

    fn encode(&self, events: &Events<'_, u64>, _: usize) -> Encoded {
        let mut writer = events.writer(|event: &u64, out: &mut Vec<u8>| {
            self.1.fetch_add(1, Ordering::Relaxed);
            write(*event, out)
        });
        let (mut body, mut encoded) = (Vec::new(), Encoded::default());
        while let Some(written) = writer.write_next(&mut body) {
            // the one that does not fit has been written, too
            if encoded.consumed == self.0 {
                break;
            }
            encoded
                .refused
                .extend(written.err().map(|why| (encoded.consumed, why)));
            encoded.consumed += 1;
        }
        encoded.body = body.into();
        encoded
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, u64>) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}

async fn run_one(lane: &Arc<Lane<u64>>) {
    let Next::Start(attempt) = lane.next(Instant::now()) else {
        panic!("there is something to send");
    };
    let id = attempt.id;
    let ended = attempt::run(Arc::clone(lane), attempt).await;
    lane.finish(id, ended, Instant::now(), 0.5);
}

#[tokio::test(start_paused = true)]
async fn what_every_lane_has_in_a_body_is_kept_no_longer_and_what_did_not_fit_is() {
    let written = Arc::new(AtomicUsize::new(0));
    let make = |(sharing, events)| {
        let provider = Box::new(Taking(events, Arc::clone(&written)));
        let lane = Lane::new(provider, LaneOptions::default(), 1 << 20);
        Arc::new(lane.with_sharing(Some(sharing)))
    };
    let sharing = lanes(2, ROOMY);
    let shelf = Arc::clone(&sharing[0].shelf);
    // the second one's body ends before the last event of the second chunk
    let lanes: Vec<_> = sharing.into_iter().zip([1000, 63]).map(make).collect();
    let charge = Charge::adopt(&Arc::new(Budget::new(0)), 0);
    let batch = Batch::new(1, (0..96).collect(), Instant::now(), charge);
    let sealed = Sealed::whole(batch);
    for lane in &lanes {
        drop(lane.offer(&sealed));
    }
    run_one(&lanes[0]).await;
    let all = shelf.used();
    run_one(&lanes[1]).await;
    let left = shelf.used();
    assert!(left < all && left > 0, "{left} of {all}");
    run_one(&lanes[1]).await;
    assert_eq!(shelf.used(), 0, "though the batch is still held");
    assert_eq!((written.load(Ordering::Relaxed), sealed.len()), (96, 96));
}
