//! What an engine says when it is dropped without a shutdown.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use productgraph::providers::Memory;
use productgraph::{Engine, Event};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged on this thread while an engine with this many waiting events goes.
fn said_while_going(events: usize, shut_down: bool) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let engine = Engine::builder()
            .project("shop")
            .batch_interval(Duration::from_secs(3600))
            .provider(Memory::new())
            .spawn()
            .expect("it starts");
        for _ in 0..events {
            engine.handle().track(Event::custom("left"));
        }
        if shut_down {
            engine.shutdown_blocking(Duration::from_secs(20));
        }
        drop(engine);
    });
    lines.text()
}

#[test]
fn a_dropped_engine_warns_once_with_the_number_left_behind() {
    let said = said_while_going(7, false);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("WARN"), "{said}");
    assert!(said.contains("events=7"), "{said}");
}

#[test]
fn an_engine_with_nothing_left_goes_without_a_word() {
    assert_eq!(said_while_going(0, false), "");
    assert_eq!(said_while_going(7, true), "");
}
