//! Destinations for events.
//!
//! [`ProductGraph`] is the native one. Anything else that implements
//! [`Provider<Event>`](crate::Provider) is a destination too and can be given to the engine as it is.
//!
//! # Adding a provider
//!
//! One file, with one test of its pure parts beside them:
//!
//! 1. A builder with the settings. [`IntoProvider::into_provider`] checks them, all of them, and makes
//!    the provider; nothing is checked later.
//! 2. `encode`: events to bytes, within the limits, refusing what can never be sent. No I/O.
//! 3. `judge`: an [`Answer`](http::Answer) and the number of events to an
//!    [`Outcome`](crate::Outcome). No I/O. [`StatusRules`](http::StatusRules) settle every status that
//!    says it all; what is left is the body of a success. A test is a table of answers and outcomes.
//! 4. `send`: the two lines between, over [`HttpTransport`](http::HttpTransport).
//!
//! ```
//! use bytes::Bytes;
//! use productgraph::providers::http::{Answer, HttpTransport, Request, StatusRules};
//! use productgraph::{BoxFuture, Encoded, Event, Events, Limits, Outcome, Provider};
//!
//! /// One line per event to an endpoint that answers with a status and nothing else.
//! struct Lines {
//!     transport: HttpTransport,
//! }
//!
//! fn judge(answer: &Answer) -> Outcome {
//!     const RULES: StatusRules = StatusRules::new();
//!     RULES.classify(answer.status).outcome(answer).unwrap_or(Outcome::Delivered)
//! }
//!
//! impl Provider<Event> for Lines {
//!     fn name(&self) -> &str {
//!         "lines"
//!     }
//!
//!     fn limits(&self) -> Limits {
//!         Limits::new(100, 65_536)
//!     }
//!
//!     fn encode(&self, events: &Events<'_, Event>, max_bytes: usize) -> Encoded {
//!         let lines = vec![b'\n'; events.len().min(max_bytes)];
//!         Encoded { consumed: events.len(), body: lines.into(), refused: Vec::new() }
//!     }
//!
//!     fn send<'a>(&'a self, body: Bytes, _: Events<'a, Event>) -> BoxFuture<'a, Outcome> {
//!         Box::pin(async move {
//!             match self.transport.send(Request::json(body)).await {
//!                 Ok(answer) => judge(&answer),
//!                 Err(e) => Outcome::Retry { not_before: None, cause: e.into() },
//!             }
//!         })
//!     }
//! }
//!
//! # fn main() {
//! assert_eq!(judge(&Answer::new(204)), Outcome::Delivered);
//! assert!(matches!(judge(&Answer::new(401)), Outcome::Hold { .. }));
//! # }
//! ```

pub mod http;
#[cfg(feature = "testing")]
mod memory;
mod productgraph;

use productgraph_actors::Provider;

#[cfg(feature = "testing")]
pub use self::memory::{Memory, Received};
pub use self::productgraph::ProductGraph;
pub use crate::event::wire::TenantKeys;
use crate::{ConfigError, Event, Text};

/// What the engine tells a provider when it is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// The project (tenant) that events belong to.
    pub project: Text,
}

impl Setup {
    /// For this project.
    pub fn new(project: impl Into<Text>) -> Self {
        Self {
            project: project.into(),
        }
    }
}

/// Settings that make a provider; what the engine's builder takes.
///
/// Every [`Provider<Event>`](Provider) is its own settings.
pub trait IntoProvider {
    /// Checks the settings and makes the provider.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] naming the setting that cannot be worked with.
    fn into_provider(self, setup: &Setup) -> Result<Box<dyn Provider<Event>>, ConfigError>;
}

impl<P: Provider<Event>> IntoProvider for P {
    fn into_provider(self, _: &Setup) -> Result<Box<dyn Provider<Event>>, ConfigError> {
        Ok(Box::new(self))
    }
}
