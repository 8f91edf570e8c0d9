//! The keys of the wire form, each with the length that a stored deployment accepts.
//!
//! Names: the service's event schema. Lengths: its database schema.

/// One key of the flat wire form.
#[derive(Debug)]
pub(crate) struct Key {
    /// The key as it appears on the wire.
    pub(crate) name: &'static str,
    /// Comma, quoted key, colon and an opening quote: what the writer puts before text. Filled up, since
    /// a copy of a fixed length is cheaper than one of the right length.
    pub(super) prefix: [u8; PREFIX],
    /// How much of it comes before text; before a number it is one byte less.
    pub(super) length: usize,
    /// Longest text in bytes; longer text is cut on a character boundary.
    pub(crate) max: usize,
}

/// Room for the longest prefix.
pub(super) const PREFIX: usize = 40;

/// No limit of its own; the limit on the whole event applies.
const ANY: usize = usize::MAX;

impl Key {
    const fn new(name: &'static str, prefix: &'static str, max: usize) -> Self {
        let (text, mut filled, mut at) = (prefix.as_bytes(), [0; PREFIX], 0);
        while at < text.len() {
            filled[at] = text[at];
            at += 1;
        }
        Self {
            name,
            prefix: filled,
            length: text.len(),
            max,
        }
    }
}

macro_rules! keys {
    ($($constant:ident = $name:literal, $max:expr;)*) => {
        $(pub(crate) static $constant: Key =
            Key::new($name, concat!(",\"", $name, "\":\""), $max);)*
    };
}

keys! {
    EVENT_ID = "event_id", 255;
    PRODUCT_ID = "product_id", 255;
    PROJECT_ID = "project_id", 255;
    SESSION_ID = "session.id", 255;
    USER_ID = "user.id", 255;
    ORG_ID = "org.id", 255;
    EVENT_TYPE = "event.type", 255;
    EVENT_NAME = "event.name", 255;
    EVENT_TIMESTAMP = "event.timestamp", 35;
    EVENT_SEQUENCE = "event.sequence", ANY;
    PAGE_PATH = "page.path", 1024;
    PAGE_TITLE = "page.title", 255;
    PAGE_URL = "page.url", 2048;
    PAGE_REFERRER = "page.referrer", 2048;
    UI_COMPONENT_NAME = "ui.component.name", 255;
    UI_COMPONENT_PATH = "ui.component.path", 1024;
    UI_COMPONENT_TYPE = "ui.component.type", 100;
    UI_ACTION = "ui.action", 100;
    UI_ELEMENT = "ui.element", 255;
    UI_ELEMENT_TEXT = "ui.element.text", 500;
    UI_VIEWPORT = "ui.viewport", 50;
    UI_SCROLL_POSITION = "ui.scroll.position", ANY;
    UI_STATE_KEY = "ui.state.key", 255;
    UI_STATE_BEFORE = "ui.state.before", ANY;
    UI_STATE_AFTER = "ui.state.after", ANY;
    UI_STATE_CHANGE_TYPE = "ui.state.change_type", 50;
    JOURNEY_ID = "gen_ai.journey.id", 255;
    JOURNEY_STEP_ID = "gen_ai.journey.step.id", 255;
    JOURNEY_STEP_NAME = "gen_ai.journey.step.name", 255;
    JOURNEY_STATUS = "gen_ai.journey.conversion.status", 50;
    API_METHOD = "api.method", 10;
    API_PATH = "api.path", 1024;
    API_STATUS_CODE = "api.status_code", ANY;
    API_DURATION_MS = "api.duration_ms", ANY;
    ERROR_TYPE = "error.type", 255;
    ERROR_MESSAGE = "error.message", ANY;
    ERROR_STACK = "error.stack", ANY;
    ERROR_COMPONENT = "error.component", 255;
    PERFORMANCE_LCP = "performance.lcp_ms", ANY;
    PERFORMANCE_FID = "performance.fid_ms", ANY;
    PERFORMANCE_CLS = "performance.cls", ANY;
    PERFORMANCE_TTFB = "performance.ttfb_ms", ANY;
    SNAPSHOT_URL = "snapshot.url", 1024;
    SNAPSHOT_VIEWPORT = "snapshot.viewport", 50;
    DURATION_MS = "duration_ms", ANY;
}

/// The one nested object of the wire form.
pub(crate) const METADATA: &str = "metadata";
/// Sent by the web adapter at the top level, where the service drops it.
pub(crate) const ANONYMOUS_ID: &str = "user.anonymous_id";

/// Metadata keys that this crate writes itself, unless the event has its own of the same name.
pub(crate) mod own {
    use super::{ANY, Key};

    keys! {
        REQUEST_ID = "request_id", ANY;
        TRACE_ID = "trace_id", ANY;
        SPAN_ID = "span_id", ANY;
        SESSION_SOURCE = "session_source", ANY;
        USER_SOURCE = "user_source", ANY;
        ANONYMOUS_ID = "anonymous_id", ANY;
        ORG_NAME = "org_name", ANY;
        // Only read: where the web adapter puts the user.
        USER_ID = "user_id", ANY;
        // Only read: where the web adapter puts the organisation.
        ORG_ID = "org_id", ANY;
    }
}
