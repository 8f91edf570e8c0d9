//! The events: a million of all kinds, numbered, some of which nobody can digest.

use std::time::Duration;

use productgraph::event::EventId;
use productgraph::{Event, Handle};
use tokio::time::{Instant, sleep_until};

use crate::bits::Bits;

/// How many receivers there are; each has its own indigestible events.
pub(crate) const RECEIVERS: usize = 3;

/// How often the crowd looks at the clock.
const TICK: Duration = Duration::from_millis(2);

/// An event that a receiver refuses together with the whole request it came in.
fn poisons(n: usize) -> Option<usize> {
    (n % 4999 == 17).then_some(n % RECEIVERS)
}

/// An event that a receiver rejects by its index.
fn rejected_by(n: usize) -> Option<usize> {
    (n % 1009 == 5).then_some(n % RECEIVERS)
}

/// An event that is over the limit of any receiver.
fn is_oversized(n: usize) -> bool {
    n % 100_003 == 99
}

/// Whether receiver `receiver` may refuse event `n` for good.
pub(crate) fn may_be_refused(receiver: usize, n: usize) -> bool {
    poisons(n) == Some(receiver) || rejected_by(n) == Some(receiver) || is_oversized(n)
}

/// What a receiver looks for in a text.
pub(crate) fn poison_marker(receiver: usize) -> String {
    format!("poison-for-{receiver}.")
}

/// See [`poison_marker`].
pub(crate) fn reject_marker(receiver: usize) -> String {
    format!("nonsense-for-{receiver}.")
}

/// The number of an event, from its id on the wire.
pub(crate) fn number_of(id: &str) -> Option<usize> {
    let digits = id.rsplit('-').next()?;
    usize::from_str_radix(digits, 16).ok()
}

fn id_of(n: usize) -> Option<EventId> {
    EventId::parse(&format!("0192f000-0000-7000-8000-{n:012x}")).ok()
}

fn event(n: usize) -> Option<Event> {
    let event = match n % 10 {
        0..6 => Event::api_response(
            http::Method::GET,
            "/products/{id}",
            200,
            Duration::from_millis((n % 90) as u64),
        ),
        6 | 7 => Event::journey_step("checkout", "paid", "Payment confirmed"),
        8 => Event::error("Timeout", "the warehouse did not answer"),
        _ => Event::custom("cart.changed").with("note", "n".repeat(n % 1800)),
    };
    let event = if let Some(receiver) = poisons(n) {
        event.with("mark", poison_marker(receiver))
    } else if let Some(receiver) = rejected_by(n) {
        event.with("mark", reject_marker(receiver))
    } else if is_oversized(n) {
        event.with("blob", "b".repeat(150_000))
    } else {
        event
    };
    Some(event.with_id(id_of(n)?))
}

/// Tracks `events` events evenly over `duration`, and marks those that were accepted.
pub(crate) async fn track(handle: &Handle, events: usize, duration: Duration, accepted: &Bits) {
    let start = Instant::now();
    let mut next = 0;
    while next < events {
        let passed = start.elapsed().as_secs_f64() / duration.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count"
        )]
        let due = ((events as f64 * passed) as usize + 1).min(events);
        for n in next..due {
            if event(n).is_some_and(|event| handle.try_track(event).is_ok()) {
                accepted.set(n);
            }
        }
        next = due;
        sleep_until(Instant::now() + TICK).await;
    }
}
