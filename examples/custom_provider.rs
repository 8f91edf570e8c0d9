//! A destination of one's own, in one file with its test: events as JSON lines on standard output.
//!
//! ```console
//! $ cargo run -q --example custom_provider | jq -c '[.["event.type"], .["event.name"]]'
//! $ cargo test --example custom_provider
//! ```
//!
//! The engine does the rest: batches, retries, limits, counting. The report goes to standard error.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use productgraph::event::wire::WireOptions;
use productgraph::providers::{IntoProvider, Setup};
use productgraph::{
    BoxFuture, Cause, ConfigError, Encoded, Engine, Event, Events, Limits, Outcome, Provider,
    RejectReason,
};

/// The settings: none here. A provider that needs the engine's project has them apart from itself.
struct Lines;

impl IntoProvider for Lines {
    fn into_provider(self, setup: &Setup) -> Result<Box<dyn Provider<Event>>, ConfigError> {
        let options = WireOptions::new(setup.project.clone());
        Ok(Box::new(LinesProvider { options }))
    }
}

struct LinesProvider {
    options: WireOptions,
}

impl Provider<Event> for LinesProvider {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn limits(&self) -> Limits {
        Limits::new(500, 64 * 1024)
    }

    /// As many events as fit; one that never will is refused, so that it holds up no other.
    fn encode(&self, events: &Events<'_, Event>, max_bytes: usize) -> Encoded {
        let mut body = Vec::new();
        let mut refused = Vec::new();
        let mut consumed = 0;
        for event in events.iter() {
            let start = body.len();
            let written = event.write_wire(&self.options, &mut body);
            body.push(b'\n');
            if written.is_err() {
                body.truncate(start);
                refused.push((consumed, RejectReason::Unencodable));
            } else if body.len() - start > max_bytes {
                body.truncate(start);
                refused.push((consumed, RejectReason::TooLarge));
            } else if body.len() > max_bytes {
                body.truncate(start);
                break;
            }
            consumed += 1;
        }
        let body = body.into();
        Encoded {
            body,
            consumed,
            refused,
        }
    }

    /// Once; what fails is sent again by the engine. A pipe may block, a worker of the engine not.
    fn send<'a>(&'a self, body: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let write = move || io::stdout().write_all(&body); // to the end of the last line
            match tokio::task::spawn_blocking(write).await {
                Ok(Ok(())) => Outcome::Delivered,
                Ok(Err(_)) | Err(_) => Outcome::Retry {
                    not_before: None,
                    cause: Cause::new("stdout"),
                },
            }
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder().project("shop").provider(Lines).spawn()?;
    let handle = engine.handle();
    handle.track(Event::page_view("/pricing"));
    handle.track(Event::custom("cart.abandoned").with("items", 3));
    handle.track_error("ValidationError", "invalid card number");
    eprintln!("{}", engine.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_what_fits_and_what_never_will_is_refused() {
        let (handle, recorder) = productgraph::testing::recorder();
        for message in ["first", &"x".repeat(2000), "third", "last"] {
            handle.track_error("Example", message.to_owned());
        }
        let events = recorder.events();
        let provider = Lines.into_provider(&Setup::new("shop")).unwrap();

        let encoded = provider.encode(&Events::from_slice(&events), 1000);
        let lines = encoded.body.split_inclusive(|&byte| byte == b'\n').count();
        assert_eq!(encoded.refused, [(1, RejectReason::TooLarge)]);
        assert_eq!(encoded.consumed - encoded.refused.len(), lines);
        assert!(encoded.body.len() <= 1000);
    }
}
