//! Events: what happened, to whom, when, and how it is written for the wire.
//!
//! An [`Event`] is made by one of its constructors and completed by setters:
//!
//! ```
//! use productgraph::event::{Event, UiAction};
//! use std::time::Duration;
//!
//! let viewed = Event::page_view("/pricing").title("Pricing").referrer("https://example.org/");
//! let failed = Event::error("ValidationError", "invalid card number")
//!     .component("checkout")
//!     .with("order", 17);
//! let clicked = Event::ui(UiAction::Click, "buy-button").element("button");
//! let vitals = Event::performance().lcp(Duration::from_millis(1800)).cls(0.04);
//! ```
//!
//! Words without a prefix set one field of the wire form; `with_*` sets a whole context or a part
//! of the event's identity; [`with`](Event::with) adds metadata. What is left unset (id, time,
//! sequence number, correlation) is filled in when the event is tracked; what is set wins.
//!
//! The event holds no more than it says: an `api.response` made from static, shared or short text
//! allocates nothing.

mod build;
mod context;
mod edit;
mod extra;
mod id;
mod kind;
mod metadata;
mod payload;
mod set;
mod slot;
mod time;
mod value;
pub mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Consent;
use crate::correlation::{self, AnonymousId, Correlation, SessionId, TraceIds, UserId, UserSource};

pub use context::{Api, ErrorInfo, Journey, Millis, Org, Page, Performance, Snapshot, State, Ui};
pub(crate) use edit::{Edit, Names};
pub use extra::Contexts;
use extra::{Extra, Identity, NO_CONTEXTS, TypeForm};
pub use id::{EventId, EventIdError};
pub use kind::{EventKind, UiAction};
pub use metadata::Metadata;
use slot::Slot;
pub use time::{Elapsed, Timestamp, TimestampError};
pub use value::{JsonText, MAX_DEPTH, Value};

/// Something that happened.
///
/// Cheap to move (160 bytes) and to clone (no deep copy). `Debug` shows what kind it is and
/// which ids it has, nothing else that was put into it.
#[derive(Clone)]
pub struct Event {
    id: Option<EventId>,
    timestamp: Slot<i64>,
    sequence: Slot<u64>,
    correlation: Option<Correlation>,
    extra: Option<Arc<Extra>>,
    kind: EventKind,
    trace: Option<TraceIds>,
    /// Tracked by the dead letter hook.
    echo: bool,
    consent: Option<Consent>,
}

const _: () = assert!(
    size_of::<Event>() <= 160,
    "an event must stay small: queues hold it by value"
);

/// What [`Event::stamp`] fills in where the event does not say it itself.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The identity.
    pub id: EventId,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Its place in the order of everything tracked by one engine.
    pub sequence: u64,
    /// Session, request and user.
    pub correlation: Correlation,
    /// The current trace and span, where they are known.
    pub trace: Option<TraceIds>,
}

impl Event {
    #[inline]
    fn new(kind: EventKind) -> Self {
        Self {
            id: None,
            timestamp: Slot::<i64>::EMPTY,
            sequence: Slot::<u64>::EMPTY,
            correlation: None,
            extra: None,
            kind,
            trace: None,
            echo: false,
            consent: None,
        }
    }

    /// Fills in what is unset; what the event says itself wins.
    ///
    /// An engine does as much for every event that is tracked.
    pub fn stamp(&mut self, stamp: Stamp) {
        self.id.get_or_insert(stamp.id);
        self.timestamp.get_or_set(stamp.timestamp.unix_nanos());
        self.sequence.get_or_set(stamp.sequence);
        self.correlation.get_or_insert(stamp.correlation);
        self.trace = self.trace.or(stamp.trace);
    }

    /// Notes when and where it was tracked: the caller's part of [`stamp`](Self::stamp).
    #[inline]
    pub(crate) fn note_origin(&mut self) {
        if self.timestamp.is_empty() {
            self.timestamp.set(Timestamp::now().unix_nanos());
        }
        let here = correlation::here();
        if self.trace.is_none()
            && let Some(span) = here.span
        {
            self.trace = Some(span);
        }
        if self.correlation.is_none() {
            self.correlation = here.correlation;
        } else if self.trace.is_none() {
            self.trace = here.correlation.and_then(|current| current.trace());
        }
    }

    /// The engine's part: what can be said of an event once it has its place among the others.
    pub(crate) fn complete(&mut self, sequence: u64, process: &Correlation) {
        let sequence = self.sequence.get_or_set(sequence);
        if self.id.is_none() {
            let at = self.timestamp.get().map(Timestamp::from_unix_nanos);
            self.id = Some(EventId::v7(at.unwrap_or_else(Timestamp::now), sequence));
        }
        if self.correlation.is_none() {
            self.correlation = Some(process.clone());
        }
    }

    /// It was tracked by the dead letter hook, which will not be called for it.
    pub(crate) fn mark_as_echo(&mut self) {
        self.echo = true;
    }

    /// Whether the dead letter hook tracked it.
    pub(crate) fn is_echo(&self) -> bool {
        self.echo
    }

    /// What happened.
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }

    /// `event.name`, if the event has one of its own.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            EventKind::Custom { name } => name.as_deref(),
            _ => self.extra()?.name.as_deref(),
        }
    }

    /// `event_id`
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// `event.timestamp`
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp.get().map(Timestamp::from_unix_nanos)
    }

    /// `event.sequence`
    pub fn sequence(&self) -> Option<u64> {
        self.sequence.get()
    }

    /// The correlation of the request in which it happened.
    pub fn correlation(&self) -> Option<&Correlation> {
        self.correlation.as_ref()
    }

    /// `session.id`: the event's own, else the correlation's.
    pub fn session_id(&self) -> Option<&SessionId> {
        self.own_session()
            .or_else(|| self.correlation.as_ref().map(Correlation::session_id))
    }

    /// `user.id`: the event's own, else the correlation's.
    ///
    /// The correlation's user belongs to the correlation's session: an event that names another
    /// session does not get it.
    pub fn user_id(&self) -> Option<&UserId> {
        self.own_user()
            .or_else(|| self.visitor_correlation()?.user_id())
    }

    /// Who vouches for [`user_id`](Self::user_id); a user that was set on the event itself counts
    /// as authenticated.
    pub fn user_source(&self) -> Option<UserSource> {
        if self.own_user().is_some() {
            return Some(UserSource::Authenticated);
        }
        self.visitor_correlation()?.user_source()
    }

    /// The anonymous id: the event's own, else the correlation's under the same condition as the
    /// user. Travels as `anonymous_id` in the metadata.
    pub fn anonymous_id(&self) -> Option<&AnonymousId> {
        let own = self
            .identity()
            .and_then(|identity| identity.anonymous.as_ref());
        own.or_else(|| self.visitor_correlation()?.anonymous_id())
    }

    /// `org.id` and the organisation's name.
    pub fn org(&self) -> Option<&Org> {
        self.identity()?.org.as_ref()
    }

    /// The project (product) of this event, where it is not the engine's.
    pub fn project(&self) -> Option<&str> {
        self.identity()?.project.as_deref()
    }

    /// The trace and span: the event's own, else the correlation's.
    pub fn trace(&self) -> Option<TraceIds> {
        self.trace.or_else(|| self.correlation.as_ref()?.trace())
    }

    /// What the user said to this event, if anything: see [`with_consent`](Self::with_consent).
    pub fn consent(&self) -> Option<Consent> {
        self.consent
    }

    /// `duration_ms`, which is not the duration of an API call.
    pub fn duration(&self) -> Option<Duration> {
        self.extra()?.duration
    }

    /// The contexts beside the kind.
    pub fn contexts(&self) -> &Contexts {
        self.extra().map_or(&NO_CONTEXTS, |extra| &extra.contexts)
    }

    /// The metadata, if there is any.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.extra()
            .map(|extra| &extra.metadata)
            .filter(|metadata| !metadata.is_empty())
    }

    /// Whether it outlives other events when there is no room for all: errors and journey steps.
    pub fn is_high_priority(&self) -> bool {
        self.kind.is_high_priority()
    }

    /// Bytes that it takes in memory: its own size and the heap that it refers to, its correlation
    /// included. That is shared by all events of a request, and still counted for each: it may be the
    /// last that holds it.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self.id.as_ref().map_or(0, EventId::heap_bytes)
            + self.kind.heap_bytes()
            + self.extra().map_or(0, Extra::heap_bytes)
            + self.correlation.as_ref().map_or(0, Correlation::weight)
    }

    /// The type on the wire, and the name that goes with it when the event has none.
    fn wire_type(&self, specific: bool) -> (&str, Option<&'static str>) {
        let own = self.extra().and_then(|extra| extra.type_form);
        match own.unwrap_or(if specific {
            TypeForm::Specific
        } else {
            TypeForm::Safe
        }) {
            TypeForm::Specific => (self.kind.event_type(), None),
            TypeForm::Safe => self.kind.safe_type(),
        }
    }

    fn own_session(&self) -> Option<&SessionId> {
        self.identity()?.session.as_ref()
    }

    fn own_user(&self) -> Option<&UserId> {
        self.identity()?.user.as_ref()
    }

    /// The correlation, if its user and visitor may be taken for the event's.
    fn visitor_correlation(&self) -> Option<&Correlation> {
        let correlation = self.correlation.as_ref()?;
        let same = self
            .own_session()
            .is_none_or(|own| own == correlation.session_id());
        same.then_some(correlation)
    }

    fn identity(&self) -> Option<&Identity> {
        self.extra()?.identity.as_deref()
    }

    fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    fn extra_mut(&mut self) -> &mut Extra {
        Arc::make_mut(self.extra.get_or_insert_default())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("Event");
        event.field("kind", &self.kind);
        macro_rules! known {
            ($($name:literal: $value:expr),*) => {
                $(if let Some(value) = $value {
                    event.field($name, &value);
                })*
            };
        }
        known!(
            "name": self.name(),
            "id": self.id(),
            "timestamp": self.timestamp(),
            "sequence": self.sequence(),
            "session": self.session_id().map(SessionId::text)
        );
        event.finish_non_exhaustive()
    }
}
