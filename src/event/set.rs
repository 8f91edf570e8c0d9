//! The setters.

use std::sync::Arc;
use std::time::Duration;

use crate::Consent;
use crate::Text;
use crate::correlation::{AnonymousId, Correlation, SessionId, TraceIds, UserId};
use crate::event::context::{
    Api, ErrorInfo, Journey, Millis, Org, Page, Performance, Snapshot, State, Ui,
};
use crate::event::extra::TypeForm;
use crate::event::value::{JsonText, Value};
use crate::event::{Event, EventId, EventKind, Timestamp};

/// Identity: what the handle fills in when it is not set here.
impl Event {
    /// Sets the identity, for events that have one from elsewhere.
    #[must_use]
    pub fn with_id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets when it happened.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: impl Into<Timestamp>) -> Self {
        self.timestamp.set(timestamp.into().unix_nanos());
        self
    }

    /// Sets `event.sequence`; beyond `i64::MAX` it is written as that.
    #[must_use]
    pub fn with_sequence(mut self, sequence: u64) -> Self {
        self.sequence.set(sequence);
        self
    }

    /// Sets the correlation, in place of the current one.
    #[must_use]
    pub fn with_correlation(mut self, correlation: Correlation) -> Self {
        self.correlation = Some(correlation);
        self
    }

    /// Sets the session, in place of the correlation's.
    ///
    /// If it is another one than the correlation's, the correlation's user and anonymous id are not
    /// taken either.
    #[must_use]
    pub fn with_session(mut self, session: SessionId) -> Self {
        self.extra_mut().identity_mut().session = Some(session);
        self
    }

    /// Sets the user, in place of the correlation's.
    #[must_use]
    pub fn with_user(mut self, user: UserId) -> Self {
        self.extra_mut().identity_mut().user = Some(user);
        self
    }

    /// Sets the id of a visitor who is not signed in; travels as `anonymous_id` in the metadata.
    ///
    /// In place of the correlation's.
    #[must_use]
    pub fn with_anonymous_id(mut self, id: AnonymousId) -> Self {
        self.extra_mut().identity_mut().anonymous = Some(id);
        self
    }

    /// Sets the organisation: an id, or an [`Org`] with a name.
    #[must_use]
    pub fn with_org(mut self, org: impl Into<Org>) -> Self {
        self.extra_mut().identity_mut().org = Some(org.into());
        self
    }

    /// Sets the project (product), in place of the engine's. Empty text is no project.
    #[must_use]
    pub fn with_project(mut self, project: impl Into<Text>) -> Self {
        let project = project.into();
        self.extra_mut().identity_mut().project = (!project.is_empty()).then_some(project);
        self
    }

    /// Sets the trace and span, in place of the current ones.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceIds) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Says that the user agreed to this event, or did not; wins over what the request said.
    ///
    /// A provider's [`ConsentPolicy`](crate::ConsentPolicy) decides what follows from it. It stays
    /// in the process: nothing of it is written to the wire, and a clone says the same.
    ///
    /// ```
    /// use productgraph::{Consent, ConsentPolicy, Event};
    ///
    /// let event = Event::custom("ad.shown").with_consent(Consent::Denied);
    /// assert!(!ConsentPolicy::Explicit.allows(&event));
    /// ```
    #[must_use]
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = Some(consent);
        self
    }

    /// Sets `event.name`, up to 255 bytes.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Text>) -> Self {
        let name = Some(name.into());
        match &mut self.kind {
            EventKind::Custom { name: own } => *own = name,
            _ => self.extra_mut().name = name,
        }
        self
    }

    /// Sets `duration_ms`: how long it lasted. An API call has a duration of its own.
    #[must_use]
    pub fn with_duration(mut self, duration: Duration) -> Self {
        self.extra_mut().duration = Some(duration);
        self
    }

    /// Adds metadata: any JSON value under any name; the last one given under a name stays.
    ///
    /// The names `request_id`, `trace_id`, `span_id`, `session_source`, `user_source`,
    /// `anonymous_id` and `org_name` are filled in by the engine unless they are set here.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// # use serde_json::json;
    /// let event = Event::custom("search")
    ///     .with("term", "shoes")
    ///     .with("results", 31)
    ///     .with("filters", json!({"size": [42, 43]}));
    /// ```
    #[must_use]
    pub fn with(mut self, key: impl Into<Text>, value: impl Into<Value>) -> Self {
        self.extra_mut().metadata.insert(key, value);
        self
    }

    /// Sends this event under its specific type (`journey.conversion`, `snapshot.captured`) even
    /// where the options prefer a type that every server knows. Others always have theirs.
    #[must_use]
    pub fn specific_type(mut self) -> Self {
        self.extra_mut().type_form = Some(TypeForm::Specific);
        self
    }
}

macro_rules! context_setters {
    ($($(#[$doc:meta])* $setter:ident: $type:ty => $field:ident;)*) => {
        /// Contexts. Each replaces what was set of its group; what the kind says itself stays.
        impl Event {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $setter(mut self, $field: $type) -> Self {
                    self.extra_mut().contexts.$field = Some(Box::new($field));
                    self.normalise();
                    self
                }
            )*
        }
    };
}

context_setters! {
    /// Adds the page on which it happened.
    with_page: Page => page;
    /// Adds the part of a user interface.
    with_ui: Ui => ui;
    /// Adds application state.
    with_state: State => state;
    /// Adds the journey in which it happened.
    with_journey: Journey => journey;
    /// Adds the API call in which it happened.
    with_api: Api => api;
    /// Adds what went wrong.
    with_error: ErrorInfo => error;
    /// Adds web vitals.
    with_performance: Performance => performance;
    /// Adds a captured picture.
    with_snapshot: Snapshot => snapshot;
}

macro_rules! field_setters {
    ($($(#[$doc:meta])* $setter:ident: $type:ty => $context:ident;)*) => {
        /// Single fields.
        impl Event {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $setter(mut self, $setter: impl Into<$type>) -> Self {
                    self.extra_mut().contexts.$context.get_or_insert_default().$setter =
                        Some($setter.into());
                    self
                }
            )*
        }
    };
}

field_setters! {
    /// Sets `page.title`, up to 255 bytes.
    title: Text => page;
    /// Sets `page.url`, up to 2048 bytes.
    url: Text => page;
    /// Sets `page.referrer`, up to 2048 bytes.
    referrer: Text => page;
    /// Sets `ui.component.path`: where it sits in the component tree, up to 1024 bytes.
    component_path: Text => ui;
    /// Sets `ui.component.type`, up to 100 bytes.
    component_type: Text => ui;
    /// Sets `ui.action`: a word of the application's own, up to 100 bytes.
    action: Text => ui;
    /// Sets `ui.element.text`: what is written on the element, up to 500 bytes.
    element_text: Text => ui;
    /// Sets `ui.scroll.position`.
    scroll_position: f64 => ui;
    /// Sets `ui.state.before`: the state as a JSON document.
    before: JsonText => state;
    /// Sets `ui.state.after`: the state as a JSON document.
    after: JsonText => state;
    /// Sets `ui.state.change_type`, up to 50 bytes.
    change_type: Text => state;
    /// Sets `error.stack`.
    stack: Text => error;
}

/// Single fields that depend on the kind.
impl Event {
    /// Sets the component: `error.component` of an error, `ui.component.name` of anything else.
    #[must_use]
    pub fn component(mut self, component: impl Into<Text>) -> Self {
        let component = Some(component.into());
        match &mut self.kind {
            EventKind::Error { .. } => {
                self.extra_mut()
                    .contexts
                    .error
                    .get_or_insert_default()
                    .component = component;
            }
            EventKind::Ui { component: own, .. } => *own = component,
            _ => self.ui_mut().component = component,
        }
        self
    }

    /// Sets `ui.element`, up to 255 bytes.
    #[must_use]
    pub fn element(mut self, element: impl Into<Text>) -> Self {
        let element = Some(element.into());
        match &mut self.kind {
            EventKind::Ui { element: own, .. } => *own = element,
            _ => self.ui_mut().element = element,
        }
        self
    }

    /// Sets the viewport, such as `1280x720`: `snapshot.viewport` of a snapshot, `ui.viewport` of
    /// anything else; up to 50 bytes.
    #[must_use]
    pub fn viewport(mut self, viewport: impl Into<Text>) -> Self {
        let viewport = Some(viewport.into());
        match &mut self.kind {
            EventKind::Snapshot(own) => own.viewport = viewport,
            _ => self.ui_mut().viewport = viewport,
        }
        self
    }

    /// Sets `performance.lcp_ms`, largest contentful paint: a duration or milliseconds.
    #[must_use]
    pub fn lcp(mut self, lcp: impl Into<Millis>) -> Self {
        self.vitals_mut().lcp = Some(lcp.into());
        self
    }

    /// Sets `performance.fid_ms`, first input delay: a duration or milliseconds.
    #[must_use]
    pub fn fid(mut self, fid: impl Into<Millis>) -> Self {
        self.vitals_mut().fid = Some(fid.into());
        self
    }

    /// Sets `performance.cls`, cumulative layout shift: a number without a unit.
    #[must_use]
    pub fn cls(mut self, cls: f64) -> Self {
        self.vitals_mut().cls = Some(cls);
        self
    }

    /// Sets `performance.ttfb_ms`, time to first byte: a duration or milliseconds.
    #[must_use]
    pub fn ttfb(mut self, ttfb: impl Into<Millis>) -> Self {
        self.vitals_mut().ttfb = Some(ttfb.into());
        self
    }

    fn vitals_mut(&mut self) -> &mut Performance {
        if let EventKind::Performance(own) = &mut self.kind {
            return own;
        }
        let extra = Arc::make_mut(self.extra.get_or_insert_default());
        extra.contexts.performance.get_or_insert_default()
    }

    fn ui_mut(&mut self) -> &mut Ui {
        self.extra_mut().contexts.ui.get_or_insert_default()
    }

    /// Moves what the kind owns out of the contexts, so that no field is in both.
    pub(crate) fn normalise(&mut self) {
        if let Some(extra) = &mut self.extra {
            self.kind.absorb(&mut Arc::make_mut(extra).contexts);
        }
    }
}
