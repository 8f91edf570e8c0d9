//! What an ended request held is dropped behind the start of the next one.

mod common;

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use bytes::Bytes;
use common::{Door, block_on, eventually};
use productgraph_actors::{
    BatchLimits, BoxFuture, Encoded, Events, Limits, Outcome, Pipeline, Provider,
};

const BOUND: Duration = Duration::from_secs(10);

/// Cannot be dropped before its door is open, if it has one.
struct Event(Option<Door>);

impl Drop for Event {
    fn drop(&mut self) {
        if let Some(door) = &self.0 {
            door.pass();
        }
    }
}

/// Takes one event in a request, and says so.
struct Single(Sender<()>);

impl Single {
    fn new() -> (Self, Receiver<()>) {
        let (sent, requests) = mpsc::channel();
        (Self(sent), requests)
    }
}

impl Provider<Event> for Single {
    fn name(&self) -> &'static str {
        "single"
    }

    fn limits(&self) -> Limits {
        Limits::new(1, 1024)
    }

    fn encode(&self, _: &Events<'_, Event>, _: usize) -> Encoded {
        Encoded {
            body: Bytes::from_static(b"event"),
            consumed: 1,
            refused: Vec::new(),
        }
    }

    fn send<'a>(&'a self, _: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        // nobody may listen any more
        let _ = self.0.send(());
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}

#[test]
fn an_event_that_takes_its_time_to_be_dropped_does_not_hold_up_the_next_request() {
    let (provider, requests) = Single::new();
    let pipeline = Pipeline::builder(|_: &Event| 8)
        .batch(BatchLimits::new(1, Duration::from_secs(5)))
        .provider(provider)
        .spawn()
        .expect("spawns");
    let (sender, door) = (pipeline.sender(), Door::default());
    assert!(pipeline.set_paused("single", true));
    for event in [Event(Some(door.clone())), Event(None)] {
        assert!(sender.try_send(event).is_ok());
    }
    eventually("both are in the lane", || pipeline.lanes()[0].pending == 2);
    assert!(pipeline.set_paused("single", false));
    requests.recv_timeout(BOUND).expect("the first is sent");
    let second = requests.recv_timeout(BOUND);
    door.open();
    assert!(second.is_ok(), "it waits for a drop");
    let report = block_on(pipeline.shutdown(BOUND));
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
}
