//! What the engine logs, told apart by the provider that a line is about: tests of one process run at
//! the same time, and the engine logs from threads of its own.

use std::fmt::{Debug, Write};
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::until;

/// At the start and the end of a run of failures.
pub(crate) const FAILS: &str = "WARN delivery fails; retrying";
pub(crate) const HELD: &str = "ERROR destination refuses this client; holding events";
pub(crate) const WORKS_AGAIN: &str = "INFO delivery works again";
/// A turn for the worse within a run of failures. Whether a run lasts long enough for it depends on the
/// pace of a test, so it is told apart from nothing; where a run begins with it, it is the start.
const WORSE: &str = "WARN delivery fails; breaker open, one attempt at a time";
/// Losses, with their number.
pub(crate) const REJECTED: &str = "WARN events rejected for good";
pub(crate) const EXPIRED: &str = "ERROR retry budget spent; events dropped";
pub(crate) const EVICTED: &str = "WARN lane full; events dropped";
/// About no provider: an actor used up its restarts, an engine went without a shutdown.
pub(crate) const DIED: &str = "ERROR an engine actor died for good";
pub(crate) const LEFT_BEHIND: &str = "WARN engine dropped without shutdown; events given up";

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// One line about a provider.
#[derive(Clone, Debug, Default)]
struct Line {
    provider: String,
    message: String,
    fields: String,
}

/// Keeps what is logged from now on, in the whole process.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(Log).expect("no other subscriber");
    });
}

/// Level and message of every line about this provider, in order, without the first turn for the worse
/// in each run of failures.
pub(crate) fn said_of(provider: &str) -> Vec<String> {
    let mut said = Vec::new();
    let (mut fails, mut is_worse) = (false, false);
    for mut message in lines(provider, |line| line.message.clone()) {
        match message.as_str() {
            FAILS | HELD => fails = true,
            WORKS_AGAIN => (fails, is_worse) = (false, false),
            WORSE if !is_worse => {
                is_worse = true;
                if fails {
                    continue;
                }
                fails = true;
                FAILS.clone_into(&mut message);
            }
            _ => {}
        }
        said.push(message);
    }
    said
}

/// The fields of every line about this provider.
pub(crate) fn fields_of(provider: &str) -> Vec<String> {
    lines(provider, |line| line.fields.clone())
}

/// The fields of every line with this level and message, whatever it is about.
pub(crate) fn fields_with(message: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = lines.iter().filter(|line| line.message == message);
    wanted.map(|line| line.fields.clone()).collect()
}

fn lines(provider: &str, what: impl Fn(&Line) -> String) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = lines.iter().filter(|line| line.provider == provider);
    wanted.map(what).collect()
}

/// Fails unless exactly these lines are logged about this provider. A line follows what it tells of,
/// so it may still be on its way.
pub(crate) async fn assert_said(provider: &str, expected: &[&str]) {
    until(|| said_of(provider).len() >= expected.len()).await;
    assert_eq!(said_of(provider), expected, "{:?}", fields_of(provider));
}

struct Log;

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("productgraph")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line {
            message: event.metadata().level().to_string(),
            ..Line::default()
        };
        event.record(&mut line);
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "provider" {
            value.clone_into(&mut self.provider);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = match field.name() {
            "message" => &mut self.message,
            name => {
                write!(self.fields, " {name}=").expect("a string takes all");
                write!(self.fields, "{value:?}").expect("a string takes all");
                return;
            }
        };
        write!(text, " {value:?}").expect("a string takes all");
    }
}
