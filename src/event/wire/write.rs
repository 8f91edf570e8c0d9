//! Writing an event as one flat JSON object.

use super::clock::Clock;
use super::fields::{Entry, FieldValue, Visitor};
use super::keys::{self, Key};
use super::limits::cut;
use super::{TenantKeys, WireError, WireOptions, json};
use crate::correlation::UserSource;
use crate::event::{Event, Timestamp};

impl Event {
    /// Appends the event to `out` as one flat JSON object.
    ///
    /// ```
    /// use productgraph::correlation::SessionId;
    /// use productgraph::event::wire::WireOptions;
    /// use productgraph::event::{Event, EventId, Timestamp};
    ///
    /// let event = Event::page_view("/pricing")
    ///     .with_id(EventId::parse("e-1")?)
    ///     .with_timestamp(Timestamp::parse("2026-01-01T00:00:00Z")?)
    ///     .with_session(SessionId::parse("s-1")?);
    /// let mut out = Vec::new();
    /// event.write_wire(&WireOptions::new("shop"), &mut out)?;
    /// assert_eq!(
    ///     String::from_utf8(out)?,
    ///     r#"{"product_id":"shop","project_id":"shop","event_id":"e-1","session.id":"s-1","#
    ///         .to_owned()
    ///         + r#""event.type":"page.view","event.timestamp":"2026-01-01T00:00:00.000Z","#
    ///         + r#""page.path":"/pricing"}"#,
    /// );
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`WireError`] names what the event lacks; nothing is appended then. An event that the
    /// handle has stamped lacks nothing.
    pub fn write_wire(&self, options: &WireOptions, out: &mut Vec<u8>) -> Result<(), WireError> {
        let head = Head::default();
        self.write_after(&head, &mut Clock::new(), options, out)
    }

    /// The same with what it has in common with others: what they begin with, and the time.
    pub(crate) fn write_after(
        &self,
        head: &Head,
        clock: &mut Clock,
        options: &WireOptions,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let own = self.project();
        self.check_required(own.unwrap_or(&options.project))?;
        // before the user is read: if he is set meanwhile, he is called claimed rather than the
        // claim authenticated
        let claimed = self.user_source() == Some(UserSource::Claimed);

        match own {
            None if !head.0.is_empty() => out.extend_from_slice(&head.0),
            _ => tenant(own.unwrap_or(&options.project), options.tenant_keys, out),
        }
        self.fields(options.specific_types, &mut Writer { out, clock });
        self.write_metadata(claimed, clock, out);
        out.push(b'}');
        Ok(())
    }

    fn check_required(&self, project: &str) -> Result<(), WireError> {
        if self.id().is_none() {
            return Err(WireError::NoId);
        }
        if project.is_empty() {
            return Err(WireError::NoProject);
        }
        if self.session_id().is_none() {
            return Err(WireError::NoSession);
        }
        if self.kind().event_type().is_empty() {
            return Err(WireError::NoType);
        }
        if self.timestamp().is_none() {
            return Err(WireError::NoTimestamp);
        }
        Ok(())
    }

    /// The nested object, unless it would be empty.
    fn write_metadata(&self, claimed: bool, clock: &mut Clock, out: &mut Vec<u8>) {
        let mut first = true;
        self.entries(claimed, |entry| {
            if first {
                out.extend_from_slice(b",\"metadata\":");
            }
            let start = out.len();
            match entry {
                Entry::Given(key, value) => {
                    out.push(b',');
                    json::text(out, key);
                    out.push(b':');
                    json::value(out, value);
                }
                Entry::Own(key, value) => Writer { out, clock }.field(key, value),
            }
            if first {
                // in place of the comma
                out[start] = b'{';
                first = false;
            }
        });
        if !first {
            out.push(b'}');
        }
    }
}

/// What all events of a project begin with.
#[derive(Debug, Default)]
pub(crate) struct Head(Vec<u8>);

impl Head {
    pub(crate) fn new(options: &WireOptions) -> Self {
        let mut head = Vec::new();
        tenant(&options.project, options.tenant_keys, &mut head);
        Self(head)
    }
}

/// Appends the brace and the tenant keys.
fn tenant(project: &str, keys: TenantKeys, out: &mut Vec<u8>) {
    let start = out.len();
    match keys {
        TenantKeys::Both => {
            text_field(out, &keys::PRODUCT_ID, project);
            text_field(out, &keys::PROJECT_ID, project);
        }
        TenantKeys::ProductId => text_field(out, &keys::PRODUCT_ID, project),
        TenantKeys::ProjectId => text_field(out, &keys::PROJECT_ID, project),
    }
    // in place of the comma in front of the first field
    out[start] = b'{';
}

/// Appends fields.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    clock: &'a mut Clock,
}

impl Visitor for Writer<'_> {
    #[expect(
        clippy::inline_always,
        reason = "so that where the kind of value is known only the call of one writer is left"
    )]
    #[inline(always)]
    fn field(&mut self, key: &'static Key, value: FieldValue<'_>) {
        let out = &mut *self.out;
        match value {
            FieldValue::Text(text) => text_field(out, key, text),
            FieldValue::Plain(text) => plain_field(out, key, text),
            FieldValue::Uuid(bytes) => uuid_field(out, key, bytes),
            FieldValue::Time(at) => time_field(out, self.clock, key, at),
            FieldValue::Int(number) => int_field(out, key, number),
            FieldValue::Float(number) => float_field(out, key, number),
        }
    }
}

fn text_field(out: &mut Vec<u8>, key: &Key, text: &str) {
    prefix(out, key, key.length);
    json::rest_of_text(out, cut(text, key.max));
}

fn plain_field(out: &mut Vec<u8>, key: &Key, text: &str) {
    prefix(out, key, key.length);
    json::plain_text(out, text);
}

fn uuid_field(out: &mut Vec<u8>, key: &Key, bytes: &[u8; 16]) {
    prefix(out, key, key.length);
    json::uuid(out, bytes);
}

fn time_field(out: &mut Vec<u8>, clock: &mut Clock, key: &Key, at: Timestamp) {
    prefix(out, key, key.length);
    clock.write(at, out);
}

fn int_field(out: &mut Vec<u8>, key: &Key, number: i64) {
    prefix(out, key, key.length - 1);
    json::int(out, number);
}

fn float_field(out: &mut Vec<u8>, key: &Key, number: f64) {
    prefix(out, key, key.length - 1);
    json::float(out, number);
}

#[inline]
fn prefix(out: &mut Vec<u8>, key: &Key, length: usize) {
    let end = out.len() + length;
    out.extend_from_slice(&key.prefix);
    out.truncate(end);
}
