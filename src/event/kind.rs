//! What happened: one variant for each type of event, with the fields that make it up.

use std::fmt;

use crate::Text;
use crate::event::Elapsed;
use crate::event::context::{Performance, Snapshot};

/// What somebody did in a user interface; the second half of the type `ui.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UiAction {
    /// `ui.click`
    Click,
    /// `ui.input`
    Input,
    /// `ui.scroll`
    Scroll,
    /// `ui.focus`
    Focus,
    /// `ui.blur`
    Blur,
    /// `ui.submit`
    Submit,
}

/// What happened.
///
/// Made by the constructors of [`Event`](crate::event::Event). A field is `None` where an event
/// that was read from the wire did not have it. What a kind holds wins over the same field in a
/// context.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// `page.view`
    #[non_exhaustive]
    PageView {
        /// `page.path`
        path: Option<Text>,
    },
    /// `page.leave`
    #[non_exhaustive]
    PageLeave {
        /// `page.path`
        path: Option<Text>,
    },
    /// `ui.click`, `ui.input`, `ui.scroll`, `ui.focus`, `ui.blur` or `ui.submit`
    #[non_exhaustive]
    Ui {
        /// Which of them.
        action: UiAction,
        /// `ui.component.name`
        component: Option<Text>,
        /// `ui.element`
        element: Option<Text>,
    },
    /// `state.change`
    #[non_exhaustive]
    StateChange {
        /// `ui.state.key`
        key: Option<Text>,
    },
    /// `api.request`
    #[non_exhaustive]
    ApiRequest {
        /// `api.method`
        method: Option<Text>,
        /// `api.path`
        path: Option<Text>,
    },
    /// `api.response`
    #[non_exhaustive]
    ApiResponse {
        /// `api.method`
        method: Option<Text>,
        /// `api.path`
        path: Option<Text>,
        /// `api.status_code`
        status: Option<u16>,
        /// `api.duration_ms`
        duration: Option<Elapsed>,
    },
    /// `journey.step`
    #[non_exhaustive]
    JourneyStep {
        /// `gen_ai.journey.id`
        journey: Option<Text>,
        /// `gen_ai.journey.step.id`
        step_id: Option<Text>,
        /// `gen_ai.journey.step.name`
        step_name: Option<Text>,
    },
    /// The end of a journey. The service has no type for it, so it travels as `journey.step` named
    /// `journey.conversion`, unless the specific type is asked for.
    #[non_exhaustive]
    JourneyConversion {
        /// `gen_ai.journey.id`
        journey: Option<Text>,
        /// `gen_ai.journey.conversion.status`
        status: Option<Text>,
    },
    /// `error`
    #[non_exhaustive]
    Error {
        /// `error.type`
        error_type: Option<Text>,
        /// `error.message`
        message: Option<Text>,
    },
    /// `performance`
    Performance(Performance),
    /// A captured picture. The service has no type for it, so it travels as `custom` named
    /// `snapshot.captured`, unless the specific type is asked for.
    Snapshot(Snapshot),
    /// `custom`
    #[non_exhaustive]
    Custom {
        /// `event.name`
        name: Option<Text>,
    },
    /// A type that this version has no variant for; travels as given.
    #[non_exhaustive]
    Other {
        /// `event.type`
        event_type: Text,
    },
}

const JOURNEY_STEP: &str = "journey.step";
const JOURNEY_CONVERSION: &str = "journey.conversion";
const SNAPSHOT_CAPTURED: &str = "snapshot.captured";
const CUSTOM: &str = "custom";

impl UiAction {
    const fn event_type(self) -> &'static str {
        match self {
            Self::Click => "ui.click",
            Self::Input => "ui.input",
            Self::Scroll => "ui.scroll",
            Self::Focus => "ui.focus",
            Self::Blur => "ui.blur",
            Self::Submit => "ui.submit",
        }
    }
}

impl EventKind {
    /// The specific type, such as `page.view`; on the wire two kinds go under another one.
    #[must_use]
    pub fn event_type(&self) -> &str {
        match self {
            Self::PageView { .. } => "page.view",
            Self::PageLeave { .. } => "page.leave",
            Self::Ui { action, .. } => action.event_type(),
            Self::StateChange { .. } => "state.change",
            Self::ApiRequest { .. } => "api.request",
            Self::ApiResponse { .. } => "api.response",
            Self::JourneyStep { .. } => JOURNEY_STEP,
            Self::JourneyConversion { .. } => JOURNEY_CONVERSION,
            Self::Error { .. } => "error",
            Self::Performance(_) => "performance",
            Self::Snapshot(_) => SNAPSHOT_CAPTURED,
            Self::Custom { .. } => CUSTOM,
            Self::Other { event_type } => event_type,
        }
    }

    /// The type which every server knows, and the name that then tells the two kinds without a
    /// type of their own.
    pub(crate) fn safe_type(&self) -> (&str, Option<&'static str>) {
        match self {
            Self::JourneyConversion { .. } => (JOURNEY_STEP, Some(JOURNEY_CONVERSION)),
            Self::Snapshot(_) => (CUSTOM, Some(SNAPSHOT_CAPTURED)),
            other => (other.event_type(), None),
        }
    }

    /// Whether the type is sent by way of a name: the two kinds of [`safe_type`](Self::safe_type).
    pub(crate) fn is_disguised(&self) -> bool {
        self.safe_type().1.is_some()
    }

    /// The kind of a type, nothing set.
    pub(crate) fn of_type(event_type: Text) -> Self {
        let ui = |action| Self::Ui {
            action,
            component: None,
            element: None,
        };
        match event_type.as_str() {
            "page.view" => Self::PageView { path: None },
            "page.leave" => Self::PageLeave { path: None },
            "ui.click" => ui(UiAction::Click),
            "ui.input" => ui(UiAction::Input),
            "ui.scroll" => ui(UiAction::Scroll),
            "ui.focus" => ui(UiAction::Focus),
            "ui.blur" => ui(UiAction::Blur),
            "ui.submit" => ui(UiAction::Submit),
            "state.change" => Self::StateChange { key: None },
            "api.request" => Self::ApiRequest {
                method: None,
                path: None,
            },
            "api.response" => Self::ApiResponse {
                method: None,
                path: None,
                status: None,
                duration: None,
            },
            JOURNEY_STEP => Self::JourneyStep {
                journey: None,
                step_id: None,
                step_name: None,
            },
            JOURNEY_CONVERSION => Self::JourneyConversion {
                journey: None,
                status: None,
            },
            "error" => Self::Error {
                error_type: None,
                message: None,
            },
            "performance" => Self::Performance(Performance::default()),
            SNAPSHOT_CAPTURED => Self::Snapshot(Snapshot::default()),
            CUSTOM => Self::Custom { name: None },
            _ => Self::Other { event_type },
        }
    }

    /// The kind which [`safe_type`](Self::safe_type) wrote as this type and name.
    pub(crate) fn of_disguise(event_type: &str, name: &str) -> Option<Self> {
        match (event_type, name) {
            (JOURNEY_STEP, JOURNEY_CONVERSION) | (CUSTOM, SNAPSHOT_CAPTURED) => {
                Some(Self::of_type(Text::copied(name)))
            }
            _ => None,
        }
    }

    /// Errors and journey steps outlive clicks when there is no room for both.
    pub(crate) fn is_high_priority(&self) -> bool {
        matches!(
            self,
            Self::Error { .. } | Self::JourneyStep { .. } | Self::JourneyConversion { .. }
        )
    }
}

/// The type only: what the fields hold may be personal.
impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.event_type())
    }
}
