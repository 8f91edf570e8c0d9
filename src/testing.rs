//! Doubles for a service's own tests. Feature `testing`.
//!
//! ```
//! use productgraph::testing::recorder;
//! use productgraph::Event;
//!
//! let (handle, recorder) = recorder();
//! handle.track(Event::custom("cart.abandoned"));
//! assert_eq!(recorder.events()[0].name(), Some("cart.abandoned"));
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Event, Handle};

pub use crate::providers::{Memory, Received};
pub use productgraph_actors::Pipeline;
pub use productgraph_actors::testing::Victim;

/// What a recording handle was given, stamped as the engine would have got it.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Event>>>);

/// A handle without an engine that records every event, and the record.
#[must_use]
pub fn recorder() -> (Handle, Recorder) {
    let recorder = Recorder::default();
    (Handle::of_recorder(recorder.clone()), recorder)
}

impl Recorder {
    /// Everything tracked so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes room, so that a test that counts allocations does not count the record's.
    pub fn reserve(&self, events: usize) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reserve(events);
    }

    pub(crate) fn record(&self, event: Event) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("events", &self.events().len())
            .finish()
    }
}
