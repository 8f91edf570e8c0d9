//! The one place that says which fields an event has on the wire, and in which order.

use std::time::Duration;

use serde_json::Value as Json;

use super::keys::{self, Key, own};
use crate::Text;
use crate::compact_id::CompactId;
use crate::correlation::{Correlation, SessionSource};
use crate::event::context::Millis;
use crate::event::edit::Edit;
use crate::event::value::{JsonText, Value};
use crate::event::{Elapsed, Event, EventKind, Timestamp, time};

/// A value of a top-level field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValue<'a> {
    Text(&'a str),
    /// Text that is valid as it is: every byte stands for itself in JSON, and the key allows the length.
    Plain(&'a str),
    /// The same as bytes of a UUID.
    Uuid(&'a [u8; 16]),
    Time(Timestamp),
    Int(i64),
    /// Finite.
    Float(f64),
}

impl<'a> FieldValue<'a> {
    /// An id of an alphabet in which every byte stands for itself.
    pub(crate) fn of_token(id: &'a CompactId) -> Self {
        match id {
            CompactId::Uuid(bytes) => Self::Uuid(bytes),
            CompactId::Given(text) => Self::Plain(text),
        }
    }

    /// An id of any text.
    pub(crate) fn of_id(id: &'a CompactId) -> Self {
        match id {
            CompactId::Uuid(bytes) => Self::Uuid(bytes),
            CompactId::Given(text) => Self::Text(text),
        }
    }
}

/// Who is shown the fields of an event.
///
/// A closure is one. A type of one's own can ask to be inlined where it is called, and there the kind of
/// value is known.
pub(crate) trait Visitor {
    fn field(&mut self, key: &'static Key, value: FieldValue<'_>);
}

impl<F: FnMut(&'static Key, FieldValue<'_>)> Visitor for F {
    fn field(&mut self, key: &'static Key, value: FieldValue<'_>) {
        self(key, value);
    }
}

/// An entry of the metadata.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    /// What the event says.
    Given(&'a str, &'a Value),
    /// What we know.
    Own(&'static Key, FieldValue<'a>),
}

/// What a field of a context can be.
pub(crate) trait FieldType: Sized {
    /// What a reader was told to expect when [`read`](Self::read) fails.
    const EXPECTED: &'static str;

    /// The value for the wire, if the wire can say it.
    fn as_field(&self) -> Option<FieldValue<'_>>;

    fn heap_bytes(&self) -> usize {
        0
    }

    /// What takes its place, where it is something that can be edited.
    fn edited(&self, _edit: &impl Edit) -> Option<Self> {
        None
    }

    fn read(json: Json) -> Option<Self>;
}

impl FieldType for Text {
    const EXPECTED: &'static str = "a string";

    fn as_field(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Text(self))
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes()
    }

    fn edited(&self, edit: &impl Edit) -> Option<Self> {
        edit.shared(self)
    }

    fn read(json: Json) -> Option<Self> {
        match json {
            Json::String(text) => Some(text.into()),
            _ => None,
        }
    }
}

impl FieldType for JsonText {
    const EXPECTED: &'static str = "a string that holds a JSON document";

    fn as_field(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Text(self.as_str()))
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes()
    }

    fn edited(&self, edit: &impl Edit) -> Option<Self> {
        edit.document(self.as_str())
    }

    fn read(json: Json) -> Option<Self> {
        Text::read(json).map(Self::raw)
    }
}

impl FieldType for f64 {
    const EXPECTED: &'static str = "a number";

    fn as_field(&self) -> Option<FieldValue<'_>> {
        self.is_finite().then_some(FieldValue::Float(*self))
    }

    fn read(json: Json) -> Option<Self> {
        json.as_f64()
    }
}

impl FieldType for Millis {
    const EXPECTED: &'static str = "a number";

    fn as_field(&self) -> Option<FieldValue<'_>> {
        self.get()
            .is_finite()
            .then_some(FieldValue::Float(self.get()))
    }

    fn read(json: Json) -> Option<Self> {
        json.as_f64().map(Self::from)
    }
}

impl FieldType for u16 {
    const EXPECTED: &'static str = "a number from 0 to 65535";

    fn as_field(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Int((*self).into()))
    }

    fn read(json: Json) -> Option<Self> {
        integer(&json)?.try_into().ok()
    }
}

impl FieldType for u64 {
    const EXPECTED: &'static str = "a number from 0 to 9223372036854775807";

    fn as_field(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Int(i64::try_from(*self).unwrap_or(i64::MAX)))
    }

    fn read(json: Json) -> Option<Self> {
        integer(&json)?.try_into().ok()
    }
}

impl FieldType for Elapsed {
    const EXPECTED: &'static str = Duration::EXPECTED;

    fn as_field(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Int(time::whole_millis(self.get())))
    }

    fn read(json: Json) -> Option<Self> {
        Duration::read(json).map(Self::from)
    }
}

impl FieldType for Duration {
    const EXPECTED: &'static str = "a number of milliseconds";

    fn as_field(&self) -> Option<FieldValue<'_>> {
        Some(FieldValue::Int(time::whole_millis(*self)))
    }

    /// A negative one is a clock that was set back; the nearest truth is zero.
    fn read(json: Json) -> Option<Self> {
        integer(&json).map(|millis| Self::from_millis(millis.max(0).unsigned_abs()))
    }
}

/// An integer, or any other number rounded half away from zero: the web adapter sends fractions.
fn integer(json: &Json) -> Option<i64> {
    // the first number above i64::MAX; exact
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if let Some(integer) = json.as_i64() {
        return Some(integer);
    }
    let rounded = json.as_f64()?.round();
    #[expect(clippy::cast_possible_truncation, reason = "the bounds were checked")]
    (-BOUND..BOUND).contains(&rounded).then_some(rounded as i64)
}

impl Event {
    /// Walks over the top-level fields, each key once, without the tenant keys and the metadata.
    ///
    /// Whatever the event lacks is left out. `specific_types` is the option of
    /// [`WireOptions`](super::WireOptions).
    pub(crate) fn fields(&self, specific_types: bool, visitor: &mut impl Visitor) {
        if let Some(id) = self.id() {
            visitor.field(&keys::EVENT_ID, FieldValue::of_token(id.compact()));
        }
        if let Some(session) = self.session_id() {
            visitor.field(&keys::SESSION_ID, FieldValue::of_token(session.compact()));
        }
        if let Some(user) = self.user_id() {
            visitor.field(&keys::USER_ID, FieldValue::of_id(user.compact()));
        }
        if let Some(org) = self.org().filter(|org| !org.id().is_empty()) {
            visitor.field(&keys::ORG_ID, FieldValue::Text(org.id()));
        }
        let (event_type, default_name) = self.wire_type(specific_types);
        match self.kind() {
            EventKind::Other { .. } => {
                visitor.field(&keys::EVENT_TYPE, FieldValue::Text(event_type));
            }
            _ => visitor.field(&keys::EVENT_TYPE, FieldValue::Plain(event_type)),
        }
        if let Some(name) = self.name().or(default_name) {
            visitor.field(&keys::EVENT_NAME, FieldValue::Text(name));
        }
        if let Some(at) = self.timestamp() {
            visitor.field(&keys::EVENT_TIMESTAMP, FieldValue::Time(at));
        }
        if let Some(value) = self.sequence().as_ref().and_then(FieldType::as_field) {
            visitor.field(&keys::EVENT_SEQUENCE, value);
        }
        self.kind().visit(visitor);
        if let Some(extra) = self.extra() {
            extra.contexts.visit(visitor);
            if let Some(value) = extra.duration.as_ref().and_then(FieldType::as_field) {
                visitor.field(&keys::DURATION_MS, value);
            }
        }
    }

    /// Walks over the metadata: the event's own entries, then ours, each key once.
    ///
    /// `claimed` says whether the user is a mere claim, as found before the user was read.
    pub(crate) fn entries(&self, claimed: bool, mut visit: impl FnMut(Entry<'_>)) {
        let metadata = self.metadata();
        if let Some(metadata) = metadata {
            for (key, value) in metadata.iter() {
                visit(Entry::Given(key, value));
            }
        }
        let mut ours = |key: &'static Key, value: FieldValue<'_>| {
            if metadata.is_none_or(|given| given.get(key.name).is_none()) {
                visit(Entry::Own(key, value));
            }
        };
        if let Some(correlation) = self.correlation() {
            if let Some(request) = correlation.request_id() {
                ours(&own::REQUEST_ID, FieldValue::of_token(request.compact()));
            }
            if let Some(source) = self.minted_session(correlation) {
                ours(&own::SESSION_SOURCE, FieldValue::Plain(source));
            }
        }
        if let Some(trace) = self.trace() {
            let (trace_id, span_id) = (trace.trace_id_hex(), trace.span_id_hex());
            ours(&own::TRACE_ID, FieldValue::Plain(&trace_id));
            ours(&own::SPAN_ID, FieldValue::Plain(&span_id));
        }
        if claimed {
            ours(&own::USER_SOURCE, FieldValue::Plain("claimed"));
        }
        if let Some(anonymous) = self.anonymous_id() {
            ours(
                &own::ANONYMOUS_ID,
                FieldValue::of_token(anonymous.compact()),
            );
        }
        if let Some(name) = self.org().and_then(|org| org.display_name()) {
            ours(&own::ORG_NAME, FieldValue::Text(name));
        }
    }

    /// How the session id came about, when it is the correlation's and nobody sent it.
    fn minted_session(&self, correlation: &Correlation) -> Option<&'static str> {
        if self.own_session().is_some() {
            return None;
        }
        match correlation.session_source() {
            SessionSource::Adopted => None,
            minted => Some(minted.as_str()),
        }
    }
}
