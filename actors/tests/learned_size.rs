//! A limit that was learned from refusals must never cost an event the destination would take.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use productgraph_actors::{
    BatchLimits, BoxFuture, Cause, Encoded, Events, Limits, Outcome, Pipeline, Provider,
    RejectReason,
};

/// Takes bodies up to a size that it does not tell. An event is as large as its number says.
struct Secretive {
    takes: usize,
    taken: Arc<Mutex<Vec<u64>>>,
}

impl Provider<u64> for Secretive {
    fn name(&self) -> &'static str {
        "secretive"
    }

    fn limits(&self) -> Limits {
        Limits::new(1000, 10_000)
    }

    fn encode(&self, events: &Events<'_, u64>, max_bytes: usize) -> Encoded {
        let mut encoded = Encoded::default();
        let mut len = 0;
        for (position, &event) in events.iter().enumerate() {
            let size = usize::try_from(event).expect("a size");
            if size > max_bytes {
                encoded.refused.push((position, RejectReason::TooLarge));
            } else if len + size > max_bytes {
                break;
            } else {
                len += size;
            }
            encoded.consumed += 1;
        }
        encoded.body = Bytes::from(vec![b'x'; len]);
        encoded
    }

    fn send<'a>(&'a self, body: Bytes, events: Events<'a, u64>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if body.len() > self.takes {
                return Outcome::Split {
                    cause: Cause::status(413),
                };
            }
            self.taken.lock().expect("no panic").extend(events.iter());
            Outcome::Delivered
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_over_the_learned_size_is_sent_alone_and_only_its_own_refusal_rejects_it() {
    let taken = Arc::new(Mutex::default());
    let provider = Secretive {
        takes: 3000,
        taken: Arc::clone(&taken),
    };
    let pipeline = Pipeline::builder(|_: &u64| 8)
        .batch(BatchLimits::new(50, Duration::from_secs(5)))
        .runtime(tokio::runtime::Handle::current())
        .provider(provider)
        .spawn()
        .expect("spawns");
    let sender = pipeline.sender();
    // five thousand bytes: refused, and half of it is learned
    for _ in 0..50 {
        sender.try_send(100).expect("there is room");
    }
    assert!(pipeline.flush(Duration::from_secs(60)).await.is_settled());
    // over what was learned and under what is taken; over what is taken; over the provider's limit
    for event in [100, 2900, 100, 3100, 20_000, 100] {
        sender.try_send(event).expect("there is room");
    }
    let report = pipeline.shutdown(Duration::from_secs(60)).await;
    let ledger = &report.ledger.providers[0];
    assert!(report.is_settled() && report.ledger.balances(), "{report}");
    assert_eq!(ledger.delivered, 54, "{report}");
    assert_eq!(ledger.rejected.get(RejectReason::TooLarge), 2, "{report}");
    assert!(taken.lock().expect("no panic").contains(&2900));
}
