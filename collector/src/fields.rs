//! Which keys the service knows, and what type each must have.

/// The two server generations that differ on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Generation {
    /// Servers before v0.3.0: the tenant key is `project_id`; `product_id` is not known.
    V0_2,
    /// Servers from v0.3.0 on: the tenant key is `product_id`; `project_id` is not known.
    #[default]
    V0_3,
}

impl Generation {
    /// The key that must name the tenant in every event.
    ///
    /// ```
    /// # use productgraph_collector::Generation;
    /// assert_eq!(Generation::V0_2.tenant_key(), "project_id");
    /// assert_eq!(Generation::V0_3.tenant_key(), "product_id");
    /// ```
    pub const fn tenant_key(self) -> &'static str {
        match self {
            Self::V0_2 => "project_id",
            Self::V0_3 => "product_id",
        }
    }
}

/// A key of the event schema, grouped by what the decoder has to do with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    EventId,
    Tenant,
    Session,
    EventType,
    Timestamp,
    Text,
    Integer,
    Float,
    Metadata,
    Unknown,
}

/// The longest key of the schema; longer keys are unknown without a look at them.
const LONGEST_KEY: usize = "gen_ai.journey.conversion.status".len();

/// Finds the field for a key as Go's decoder does: exactly, else without regard to case.
pub(crate) fn field(key: &[u8], generation: Generation) -> Field {
    let exact = exact(key, generation);
    if exact != Field::Unknown {
        return exact;
    }
    // U+212A, the longest character that folds into ASCII, takes three bytes for one.
    if key.len() > LONGEST_KEY * 3 || !key.iter().any(|b| b.is_ascii_uppercase() || *b >= 0x80) {
        return Field::Unknown;
    }
    match fold(key) {
        Some(folded) => self::exact(folded.as_bytes(), generation),
        None => Field::Unknown,
    }
}

/// Whether a top-level key is `events`, case aside.
pub(crate) fn is_events(key: &str) -> bool {
    key == "events" || (key.len() <= 18 && fold(key.as_bytes()).as_deref() == Some("events"))
}

/// Lower-cases under the simple folding that can end in ASCII.
fn fold(key: &[u8]) -> Option<String> {
    let key = str::from_utf8(key).ok()?;
    Some(
        key.chars()
            .map(|c| match c {
                '\u{17f}' => 's',
                '\u{212a}' => 'k',
                other => other.to_ascii_lowercase(),
            })
            .collect(),
    )
}

fn exact(key: &[u8], generation: Generation) -> Field {
    match key {
        b"event_id" => Field::EventId,
        b"project_id" if generation == Generation::V0_2 => Field::Tenant,
        b"product_id" if generation == Generation::V0_3 => Field::Tenant,
        b"session.id" => Field::Session,
        b"event.type" => Field::EventType,
        b"event.timestamp" => Field::Timestamp,
        b"event.sequence" | b"api.status_code" | b"api.duration_ms" | b"duration_ms" => {
            Field::Integer
        }
        b"ui.scroll.position"
        | b"performance.lcp_ms"
        | b"performance.fid_ms"
        | b"performance.cls"
        | b"performance.ttfb_ms" => Field::Float,
        b"metadata" => Field::Metadata,
        b"user.id"
        | b"org.id"
        | b"event.name"
        | b"page.path"
        | b"page.title"
        | b"page.url"
        | b"page.referrer"
        | b"ui.component.name"
        | b"ui.component.path"
        | b"ui.component.type"
        | b"ui.action"
        | b"ui.element"
        | b"ui.element.text"
        | b"ui.viewport"
        | b"ui.state.key"
        | b"ui.state.before"
        | b"ui.state.after"
        | b"ui.state.change_type"
        | b"gen_ai.journey.id"
        | b"gen_ai.journey.step.id"
        | b"gen_ai.journey.step.name"
        | b"gen_ai.journey.conversion.status"
        | b"api.method"
        | b"api.path"
        | b"error.type"
        | b"error.message"
        | b"error.stack"
        | b"error.component"
        | b"snapshot.url"
        | b"snapshot.viewport" => Field::Text,
        _ => Field::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_knows_only_its_own_tenant_key() {
        assert_eq!(field(b"project_id", Generation::V0_2), Field::Tenant);
        assert_eq!(field(b"product_id", Generation::V0_2), Field::Unknown);
        assert_eq!(field(b"product_id", Generation::V0_3), Field::Tenant);
        assert_eq!(field(b"project_id", Generation::V0_3), Field::Unknown);
    }

    #[test]
    fn keys_match_without_regard_to_case() {
        assert_eq!(field(b"Event_ID", Generation::V0_3), Field::EventId);
        assert_eq!(
            field("\u{17f}ession.id".as_bytes(), Generation::V0_3),
            Field::Session
        );
        assert_eq!(
            field("ui.\u{17f}tate.\u{212a}ey".as_bytes(), Generation::V0_3),
            Field::Text
        );
        assert_eq!(field(b"EVENT-ID", Generation::V0_3), Field::Unknown);
        assert!(is_events("Events"));
        assert!(is_events("EVENT\u{17f}"));
        assert!(!is_events("event"));
    }
}
