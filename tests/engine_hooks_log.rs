//! What an engine says when a hook panics. Alone in its process: what is logged on other threads at the
//! same time would decide whether a line is written at all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use productgraph::providers::Memory;
use productgraph::{Engine, Event};
use tokio::runtime::Handle;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_thousand_panics_of_a_hook_are_one_line_in_the_log_and_another_a_minute_later() {
    // a line for each panic is the panic hook's doing, and no part of this
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"a hook that panics") {
            usual(panic);
        }
    }));
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // the engine's work runs on this thread, where the subscriber is
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let engine = Engine::builder()
                .project("shop")
                .runtime(Handle::current())
                .before_send(|_| panic!("a hook that panics"))
                .provider(Memory::new())
                .spawn()
                .expect("it starts");
            let track = |events: usize| {
                for _ in 0..events {
                    engine.handle().track(Event::custom("told of"));
                }
            };
            track(1000);
            let report = engine.flush(SECOND).await;
            assert!(report.is_settled(), "{report}");
            tokio::time::advance(61 * SECOND).await;
            track(5);
            let report = engine.shutdown(SECOND).await;
            assert!(report.is_settled(), "{report}");
        });
    });
    let text = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("text");
    let said: Vec<_> = text
        .lines()
        .filter(|line| line.contains("hook panicked"))
        .collect();
    assert_eq!(said.len(), 2, "{text}");
    assert!(said.iter().all(|line| line.contains("WARN")), "{text}");
    let count = |line: &str| -> usize {
        let (_, rest) = line.split_once("panics=").expect("a count");
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits
            .and_then(|digits| digits.parse().ok())
            .expect("a number")
    };
    assert_eq!(
        said.iter().map(|line| count(line)).sum::<usize>(),
        1005,
        "{text}"
    );
}
