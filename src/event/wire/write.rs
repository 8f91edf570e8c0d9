//! Writing an event as one flat JSON object.

use super::fields::{EntryValue, FieldValue};
use super::keys::{self, Key};
use super::limits::cut;
use super::{TenantKeys, WireError, WireOptions, json};
use crate::correlation::UserSource;
use crate::event::Event;

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
        let project = self.project().unwrap_or(&options.project);
        self.check_required(project)?;
        // before the user is read: if he is set meanwhile, he is called claimed rather than the
        // claim authenticated
        let claimed = self.user_source() == Some(UserSource::Claimed);

        let start = out.len();
        match options.tenant_keys {
            TenantKeys::Both => {
                text_field(out, &keys::PRODUCT_ID, project);
                text_field(out, &keys::PROJECT_ID, project);
            }
            TenantKeys::ProductId => text_field(out, &keys::PRODUCT_ID, project),
            TenantKeys::ProjectId => text_field(out, &keys::PROJECT_ID, project),
        }
        // in place of the comma in front of the first field
        out[start] = b'{';
        self.fields(options.specific_types, |key, value| match value {
            FieldValue::Text(text) => text_field(out, key, text),
            FieldValue::Int(number) => {
                out.extend_from_slice(key.prefix.as_bytes());
                json::int(out, number);
            }
            FieldValue::Float(number) => {
                out.extend_from_slice(key.prefix.as_bytes());
                json::float(out, number);
            }
        });
        self.write_metadata(claimed, out);
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
    fn write_metadata(&self, claimed: bool, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(b",\"");
        out.extend_from_slice(keys::METADATA.as_bytes());
        out.extend_from_slice(b"\":{");
        let first = out.len();
        self.entries(claimed, |key, value| {
            if out.len() > first {
                out.push(b',');
            }
            json::text(out, key);
            out.push(b':');
            match value {
                EntryValue::Text(text) => json::text(out, text),
                EntryValue::Value(value) => json::value(out, value),
            }
        });
        if out.len() == first {
            out.truncate(start);
        } else {
            out.push(b'}');
        }
    }
}

fn text_field(out: &mut Vec<u8>, key: &Key, text: &str) {
    out.extend_from_slice(key.text_prefix.as_bytes());
    json::rest_of_text(out, cut(text, key.max));
}
