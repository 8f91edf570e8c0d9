//! The cheap, cloneable handle that events are tracked with.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::Method;
use productgraph_actors::{Pipeline, RefuseReason, Report, Sender};

use crate::Text;
#[cfg(feature = "testing")]
use crate::completion::Completion;
use crate::dead_letters;
use crate::event::Event;
use crate::lineage;

/// Tracks events. A clone is one `Arc`; use it from any thread, with or without a runtime.
///
/// Tracking never blocks, never panics and takes no lock. What cannot be taken is refused and
/// counted; [`Handle::try_track`] says so and gives the event back. A disabled engine's handle has
/// the same methods and costs a branch.
///
/// ```
/// use productgraph::{Event, Handle};
///
/// fn checkout(handle: &Handle) {
///     handle.track(Event::custom("cart.checked_out").with("items", 3));
///     handle.track_journey_step("checkout_flow", "payment_confirmed", "Payment confirmed");
/// }
///
/// checkout(&Handle::disabled());
/// ```
#[derive(Clone)]
pub struct Handle(Option<Arc<Inner>>);

struct Inner {
    sink: Sink,
}

enum Sink {
    Engine {
        sender: Sender<Event>,
        pipeline: Weak<Pipeline<Event>>,
        flush_timeout: Duration,
    },
    #[cfg(feature = "testing")]
    Recorder(crate::testing::Recorder, Completion),
}

/// An event that was not taken, given back.
///
/// Counted by the engine under the same reason before it was returned.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackError {
    /// There is no room, by count or by bytes. Later there may be.
    #[error("the engine is full")]
    Full(Box<Event>),
    /// The engine was shut down.
    #[error("the engine is closed")]
    Closed(Box<Event>),
    /// The process forked and this is the child: the engine stayed in the parent. Spawn the engine after
    /// the fork.
    #[error("the engine stayed in the parent process")]
    Forked(Box<Event>),
    /// The event alone is larger than everything the engine may hold.
    #[error("the event is larger than the engine's byte ceiling")]
    TooLarge(Box<Event>),
    /// It was tracked from inside a hook of an engine: the hook would get it as its next event.
    #[error("events are not taken from inside a hook")]
    InHook(Box<Event>),
    /// The engine is disabled; nothing is counted.
    #[error("the engine is disabled")]
    Disabled(Box<Event>),
}

impl TrackError {
    /// The event.
    #[must_use]
    pub fn into_event(self) -> Event {
        match self {
            Self::Full(event)
            | Self::Closed(event)
            | Self::Forked(event)
            | Self::TooLarge(event)
            | Self::InHook(event)
            | Self::Disabled(event) => *event,
        }
    }
}

impl From<productgraph_actors::Refused<Event>> for TrackError {
    fn from(refused: productgraph_actors::Refused<Event>) -> Self {
        let event = Box::new(refused.event);
        match refused.reason {
            RefuseReason::Closed => Self::Closed(event),
            RefuseReason::Forked => Self::Forked(event),
            RefuseReason::TooLarge => Self::TooLarge(event),
            RefuseReason::InHook => Self::InHook(event),
            _ => Self::Full(event),
        }
    }
}

impl Handle {
    /// The handle of an engine that is switched off.
    #[must_use]
    pub const fn disabled() -> Self {
        Self(None)
    }

    pub(crate) fn of_engine(pipeline: &Arc<Pipeline<Event>>, flush_timeout: Duration) -> Self {
        Self::with_sink(Sink::Engine {
            sender: pipeline.sender(),
            pipeline: Arc::downgrade(pipeline),
            flush_timeout,
        })
    }

    #[cfg(feature = "testing")]
    pub(crate) fn of_recorder(recorder: crate::testing::Recorder) -> Self {
        Self::with_sink(Sink::Recorder(recorder, Completion::new()))
    }

    fn with_sink(sink: Sink) -> Self {
        lineage::starts();
        Self(Some(Arc::new(Inner { sink })))
    }

    /// Whether events go anywhere.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Tracks an event: fills in time, correlation and trace where it does not say them itself, and
    /// hands it to the engine, which gives it its id and sequence number. What is refused is counted, see
    /// [`Engine::ledger`](crate::Engine::ledger).
    // not inlined: the event is passed by reference to where it was built, and moves once less
    #[inline(never)]
    pub fn track(&self, mut event: Event) {
        if let Some(inner) = &self.0 {
            note_origin(&mut event);
            match &inner.sink {
                Sink::Engine { sender, .. } => match sender.reserve(&event) {
                    Some(place) => place.fill(event),
                    // boxing it for nobody would cost an allocation just when there is no room
                    None => drop(sender.try_send(event)),
                },
                #[cfg(feature = "testing")]
                Sink::Recorder(recorder, completion) => {
                    recorder.record(completed(event, completion));
                }
            }
        }
    }

    /// [`Handle::track`] that says when an event was refused.
    ///
    /// # Errors
    ///
    /// [`TrackError`] with the event, which keeps its time and correlation.
    pub fn try_track(&self, mut event: Event) -> Result<(), TrackError> {
        match &self.0 {
            Some(inner) => {
                note_origin(&mut event);
                inner.put(event)
            }
            None => Err(TrackError::Disabled(Box::new(event))),
        }
    }

    /// [`Handle::track`] that waits for room when the engine is full. For batch jobs and pipes, not
    /// for request handlers. Works on any executor.
    ///
    /// # Errors
    ///
    /// [`TrackError`] when the engine is or gets closed or disabled, or the event can never fit.
    pub async fn track_wait(&self, mut event: Event) -> Result<(), TrackError> {
        match &self.0 {
            Some(inner) => {
                note_origin(&mut event);
                match &inner.sink {
                    Sink::Engine { sender, .. } => Ok(sender.send(event).await?),
                    #[cfg(feature = "testing")]
                    Sink::Recorder(..) => inner.put(event),
                }
            }
            None => Err(TrackError::Disabled(Box::new(event))),
        }
    }

    /// Tracks that an API call was answered: [`Event::api_response`].
    ///
    /// Pass the route's template as `path`, not the raw path: ids in paths are personal data and
    /// defeat aggregation.
    pub fn track_api_call(
        &self,
        method: Method,
        path: impl Into<Text>,
        status: u16,
        duration: Duration,
    ) {
        if self.is_enabled() {
            self.track(Event::api_response(method, path, status, duration));
        }
    }

    /// Tracks an error: [`Event::error`].
    pub fn track_error(&self, error_type: impl Into<Text>, message: impl Into<Text>) {
        if self.is_enabled() {
            self.track(Event::error(error_type, message));
        }
    }

    /// Tracks that a step of a journey was reached: [`Event::journey_step`].
    pub fn track_journey_step(
        &self,
        journey: impl Into<Text>,
        step_id: impl Into<Text>,
        step_name: impl Into<Text>,
    ) {
        if self.is_enabled() {
            self.track(Event::journey_step(journey, step_id, step_name));
        }
    }

    /// Delivers everything accepted before this call, within the engine's shutdown timeout, and
    /// reports. Works on any executor. A disabled engine settles at once.
    pub async fn flush(&self) -> Report {
        match self.0.as_deref() {
            Some(Inner {
                sink:
                    Sink::Engine {
                        pipeline,
                        flush_timeout,
                        ..
                    },
                ..
            }) => match pipeline.upgrade() {
                Some(pipeline) => pipeline.flush(*flush_timeout).await,
                None => Report::abandoned(),
            },
            _ => Report::default(),
        }
    }
}

/// What only the caller knows: when it was, where, and whether the dead letter hook is at work.
#[inline]
fn note_origin(event: &mut Event) {
    event.note_origin();
    if dead_letters::in_hook() {
        event.mark_as_echo();
    }
}

impl Inner {
    fn put(&self, event: Event) -> Result<(), TrackError> {
        match &self.sink {
            Sink::Engine { sender, .. } => Ok(sender.try_send(event)?),
            #[cfg(feature = "testing")]
            Sink::Recorder(recorder, completion) => {
                recorder.record(completed(event, completion));
                Ok(())
            }
        }
    }
}

#[cfg(feature = "testing")]
fn completed(mut event: Event, completion: &Completion) -> Event {
    completion.complete(&mut event);
    event
}

impl Default for Handle {
    fn default() -> Self {
        Self::disabled()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("enabled", &self.is_enabled())
            .finish()
    }
}
