//! What happened: one variant for each type of event, with the fields that make it up.

use std::fmt;
use std::time::Duration;

use crate::Text;
use crate::event::context::{Performance, Snapshot};
use crate::event::extra::Contexts;
use crate::event::wire::fields::{FieldType, FieldValue};
use crate::event::wire::keys::{self, Key};

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
        duration: Option<Duration>,
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

    /// Moves the fields that this kind owns out of the contexts; its own stay where it has them.
    ///
    /// After this no field is both here and there, so no key can be written twice.
    pub(crate) fn absorb(&mut self, contexts: &mut Contexts) {
        fn claim<T>(own: &mut Option<T>, given: Option<&mut Option<T>>) {
            let given = given.and_then(Option::take);
            if own.is_none() {
                *own = given;
            }
        }
        match self {
            Self::PageView { path } | Self::PageLeave { path } => {
                claim(path, contexts.page.as_mut().map(|c| &mut c.path));
            }
            Self::Ui {
                component, element, ..
            } => {
                claim(component, contexts.ui.as_mut().map(|c| &mut c.component));
                claim(element, contexts.ui.as_mut().map(|c| &mut c.element));
            }
            Self::StateChange { key } => {
                claim(key, contexts.state.as_mut().map(|c| &mut c.key));
            }
            Self::ApiRequest { method, path } => {
                claim(method, contexts.api.as_mut().map(|c| &mut c.method));
                claim(path, contexts.api.as_mut().map(|c| &mut c.path));
            }
            Self::ApiResponse {
                method,
                path,
                status,
                duration,
            } => {
                claim(method, contexts.api.as_mut().map(|c| &mut c.method));
                claim(path, contexts.api.as_mut().map(|c| &mut c.path));
                claim(status, contexts.api.as_mut().map(|c| &mut c.status));
                claim(duration, contexts.api.as_mut().map(|c| &mut c.duration));
            }
            Self::JourneyStep {
                journey,
                step_id,
                step_name,
            } => {
                claim(journey, contexts.journey.as_mut().map(|c| &mut c.id));
                claim(step_id, contexts.journey.as_mut().map(|c| &mut c.step_id));
                claim(
                    step_name,
                    contexts.journey.as_mut().map(|c| &mut c.step_name),
                );
            }
            Self::JourneyConversion { journey, status } => {
                claim(journey, contexts.journey.as_mut().map(|c| &mut c.id));
                claim(
                    status,
                    contexts.journey.as_mut().map(|c| &mut c.conversion_status),
                );
            }
            Self::Error {
                error_type,
                message,
            } => {
                claim(
                    error_type,
                    contexts.error.as_mut().map(|c| &mut c.error_type),
                );
                claim(message, contexts.error.as_mut().map(|c| &mut c.message));
            }
            Self::Performance(own) => {
                if let Some(mut given) = contexts.performance.take() {
                    claim(&mut own.lcp, Some(&mut given.lcp));
                    claim(&mut own.fid, Some(&mut given.fid));
                    claim(&mut own.cls, Some(&mut given.cls));
                    claim(&mut own.ttfb, Some(&mut given.ttfb));
                }
            }
            Self::Snapshot(own) => {
                if let Some(mut given) = contexts.snapshot.take() {
                    claim(&mut own.url, Some(&mut given.url));
                    claim(&mut own.viewport, Some(&mut given.viewport));
                }
            }
            Self::Custom { .. } | Self::Other { .. } => {}
        }
    }

    /// Walks over the fields of this kind, but for the type and the name.
    pub(crate) fn visit(&self, visit: &mut impl FnMut(&'static Key, FieldValue<'_>)) {
        fn field<T: FieldType>(
            visit: &mut impl FnMut(&'static Key, FieldValue<'_>),
            key: &'static Key,
            value: Option<&T>,
        ) {
            if let Some(value) = value.and_then(FieldType::as_field) {
                visit(key, value);
            }
        }
        match self {
            Self::PageView { path } | Self::PageLeave { path } => {
                field(visit, &keys::PAGE_PATH, path.as_ref());
            }
            Self::Ui {
                action: _,
                component,
                element,
            } => {
                field(visit, &keys::UI_COMPONENT_NAME, component.as_ref());
                field(visit, &keys::UI_ELEMENT, element.as_ref());
            }
            Self::StateChange { key } => field(visit, &keys::UI_STATE_KEY, key.as_ref()),
            Self::ApiRequest { method, path } => {
                field(visit, &keys::API_METHOD, method.as_ref());
                field(visit, &keys::API_PATH, path.as_ref());
            }
            Self::ApiResponse {
                method,
                path,
                status,
                duration,
            } => {
                field(visit, &keys::API_METHOD, method.as_ref());
                field(visit, &keys::API_PATH, path.as_ref());
                field(visit, &keys::API_STATUS_CODE, status.as_ref());
                field(visit, &keys::API_DURATION_MS, duration.as_ref());
            }
            Self::JourneyStep {
                journey,
                step_id,
                step_name,
            } => {
                field(visit, &keys::JOURNEY_ID, journey.as_ref());
                field(visit, &keys::JOURNEY_STEP_ID, step_id.as_ref());
                field(visit, &keys::JOURNEY_STEP_NAME, step_name.as_ref());
            }
            Self::JourneyConversion { journey, status } => {
                field(visit, &keys::JOURNEY_ID, journey.as_ref());
                field(visit, &keys::JOURNEY_STATUS, status.as_ref());
            }
            Self::Error {
                error_type,
                message,
            } => {
                field(visit, &keys::ERROR_TYPE, error_type.as_ref());
                field(visit, &keys::ERROR_MESSAGE, message.as_ref());
            }
            Self::Performance(own) => own.visit(visit),
            Self::Snapshot(own) => own.visit(visit),
            Self::Custom { .. } | Self::Other { .. } => {}
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let text = |text: &Option<Text>| text.as_ref().map_or(0, Text::heap_bytes);
        match self {
            Self::PageView { path: one } | Self::PageLeave { path: one } => text(one),
            Self::StateChange { key: one } | Self::Custom { name: one } => text(one),
            Self::Ui {
                component: one,
                element: two,
                ..
            }
            | Self::ApiRequest {
                method: one,
                path: two,
            }
            | Self::ApiResponse {
                method: one,
                path: two,
                ..
            }
            | Self::JourneyConversion {
                journey: one,
                status: two,
            }
            | Self::Error {
                error_type: one,
                message: two,
            } => text(one) + text(two),
            Self::JourneyStep {
                journey,
                step_id,
                step_name,
            } => text(journey) + text(step_id) + text(step_name),
            Self::Performance(own) => own.heap_bytes(),
            Self::Snapshot(own) => own.heap_bytes(),
            Self::Other { event_type } => event_type.heap_bytes(),
        }
    }
}

/// The type only: what the fields hold may be personal.
impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.event_type())
    }
}
