//! The fields that each kind holds itself: owning, writing and weighing them.

use crate::Text;
use crate::event::EventKind;
use crate::event::extra::Contexts;
use crate::event::wire::fields::{FieldType, Visitor};
use crate::event::wire::keys::{self, Key};

impl EventKind {
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
    pub(crate) fn visit(&self, visitor: &mut impl Visitor) {
        #[expect(
            clippy::inline_always,
            reason = "the kind of value is known here, and not inside"
        )]
        #[inline(always)]
        fn field<T: FieldType>(visitor: &mut impl Visitor, key: &'static Key, value: Option<&T>) {
            if let Some(value) = value.and_then(FieldType::as_field) {
                visitor.field(key, value);
            }
        }
        match self {
            Self::PageView { path } | Self::PageLeave { path } => {
                field(visitor, &keys::PAGE_PATH, path.as_ref());
            }
            Self::Ui {
                action: _,
                component,
                element,
            } => {
                field(visitor, &keys::UI_COMPONENT_NAME, component.as_ref());
                field(visitor, &keys::UI_ELEMENT, element.as_ref());
            }
            Self::StateChange { key } => field(visitor, &keys::UI_STATE_KEY, key.as_ref()),
            Self::ApiRequest { method, path } => {
                field(visitor, &keys::API_METHOD, method.as_ref());
                field(visitor, &keys::API_PATH, path.as_ref());
            }
            Self::ApiResponse {
                method,
                path,
                status,
                duration,
            } => {
                field(visitor, &keys::API_METHOD, method.as_ref());
                field(visitor, &keys::API_PATH, path.as_ref());
                field(visitor, &keys::API_STATUS_CODE, status.as_ref());
                field(visitor, &keys::API_DURATION_MS, duration.as_ref());
            }
            Self::JourneyStep {
                journey,
                step_id,
                step_name,
            } => {
                field(visitor, &keys::JOURNEY_ID, journey.as_ref());
                field(visitor, &keys::JOURNEY_STEP_ID, step_id.as_ref());
                field(visitor, &keys::JOURNEY_STEP_NAME, step_name.as_ref());
            }
            Self::JourneyConversion { journey, status } => {
                field(visitor, &keys::JOURNEY_ID, journey.as_ref());
                field(visitor, &keys::JOURNEY_STATUS, status.as_ref());
            }
            Self::Error {
                error_type,
                message,
            } => {
                field(visitor, &keys::ERROR_TYPE, error_type.as_ref());
                field(visitor, &keys::ERROR_MESSAGE, message.as_ref());
            }
            Self::Performance(own) => own.visit(visitor),
            Self::Snapshot(own) => own.visit(visitor),
            Self::Custom { .. } | Self::Other { .. } => {}
        }
    }

    /// Calls `each` for every text that this kind holds.
    pub(crate) fn texts_mut(&mut self, mut each: impl FnMut(&mut Text)) {
        let none = &mut None;
        let texts: [&mut Option<Text>; 3] = match self {
            Self::PageView { path: one }
            | Self::PageLeave { path: one }
            | Self::StateChange { key: one }
            | Self::Custom { name: one } => return one.iter_mut().for_each(each),
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
            } => [one, two, none],
            Self::JourneyStep {
                journey,
                step_id,
                step_name,
            } => [journey, step_id, step_name],
            Self::Snapshot(own) => [&mut own.url, &mut own.viewport, none],
            Self::Performance(_) => return,
            Self::Other { event_type } => return each(event_type),
        };
        texts.into_iter().flatten().for_each(each);
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let text = |text: &Option<Text>| text.as_ref().map_or(0, Text::heap_bytes);
        match self {
            Self::PageView { path: one }
            | Self::PageLeave { path: one }
            | Self::StateChange { key: one }
            | Self::Custom { name: one } => text(one),
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
