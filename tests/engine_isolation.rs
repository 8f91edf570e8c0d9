//! Providers that block their thread beside a healthy one.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use productgraph::providers::Memory;
use productgraph::{BoxFuture, Encoded, Engine, Event, Events, Limits, Outcome, Provider};

#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

struct Blocks(&'static str, Gate);

impl Provider<Event> for Blocks {
    fn name(&self) -> &str {
        self.0
    }
    fn limits(&self) -> Limits {
        Limits::new(100, 100_000)
    }
    fn encode(&self, events: &Events<'_, Event>, _: usize) -> Encoded {
        self.1.pass();
        Encoded {
            body: vec![b'x'; events.len()].into(),
            consumed: events.len(),
            refused: Vec::new(),
        }
    }
    fn send<'a>(&'a self, _: bytes::Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Delivered })
    }
}

fn beside(names: &[&'static str]) {
    let gate = Gate::default();
    let memory = Memory::new();
    let mut builder = Engine::builder().project("shop").batch_size(1);
    for name in names {
        builder = builder.provider(Blocks(name, gate.clone()));
    }
    let engine = builder.provider(memory.clone()).spawn().unwrap();
    let handle = engine.handle();
    for _ in 0..10 {
        handle.track(Event::custom("x"));
    }
    let report = engine.shutdown_blocking(Duration::from_secs(5));
    gate.open();
    assert_eq!(memory.delivered().len(), 10, "{report}");
}

#[test]
fn one_blocking_provider_changes_nothing_for_a_healthy_one() {
    beside(&["a"]);
}

#[test]
fn two_blocking_providers_change_nothing_for_a_healthy_one() {
    beside(&["a", "b"]);
}
