//! The constructors: one for each kind of event.

use std::time::Duration;

use crate::Text;
use crate::event::context::{Performance, Snapshot};
use crate::event::extra::TypeForm;
use crate::event::{Event, EventKind, UiAction};

impl Event {
    /// Something of the application's own: type `custom`, told apart by its name.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// let event = Event::custom("cart.abandoned").with("items", 3);
    /// ```
    #[must_use]
    pub fn custom(name: impl Into<Text>) -> Self {
        Self::new(EventKind::Custom {
            name: Some(name.into()),
        })
    }

    /// A page was shown. The path is without its query.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// let event = Event::page_view("/pricing").title("Pricing");
    /// ```
    #[must_use]
    pub fn page_view(path: impl Into<Text>) -> Self {
        Self::new(EventKind::PageView {
            path: Some(path.into()),
        })
    }

    /// A page was left. The path is without its query.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// # use std::time::Duration;
    /// let event = Event::page_leave("/pricing").with_duration(Duration::from_secs(12));
    /// ```
    #[must_use]
    pub fn page_leave(path: impl Into<Text>) -> Self {
        Self::new(EventKind::PageLeave {
            path: Some(path.into()),
        })
    }

    /// Somebody used a component of a user interface.
    ///
    /// ```
    /// # use productgraph::event::{Event, UiAction};
    /// let event = Event::ui(UiAction::Submit, "checkout-form").element("form");
    /// ```
    #[must_use]
    pub fn ui(action: UiAction, component: impl Into<Text>) -> Self {
        Self::new(EventKind::Ui {
            action,
            component: Some(component.into()),
            element: None,
        })
    }

    /// A piece of application state changed.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// # use serde_json::json;
    /// let event = Event::state_change("cart")
    ///     .before(json!({"items": 2}))
    ///     .after(json!({"items": 3}));
    /// ```
    #[must_use]
    pub fn state_change(key: impl Into<Text>) -> Self {
        Self::new(EventKind::StateChange {
            key: Some(key.into()),
        })
    }

    /// An API was called. Give the route's template rather than the path itself.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// let event = Event::api_request("GET", "/v1/plans/{id}");
    /// ```
    #[must_use]
    pub fn api_request(method: impl Into<Text>, path: impl Into<Text>) -> Self {
        Self::new(EventKind::ApiRequest {
            method: Some(method.into()),
            path: Some(path.into()),
        })
    }

    /// An API answered. Give the route's template rather than the path itself; the duration is
    /// rounded to whole milliseconds on the wire.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// # use std::time::Duration;
    /// let took = Duration::from_micros(41_250);
    /// let event = Event::api_response(http::Method::GET, "/v1/plans/{id}", 200, took);
    /// ```
    #[must_use]
    #[inline]
    pub fn api_response(
        method: impl Into<Text>,
        path: impl Into<Text>,
        status: u16,
        duration: Duration,
    ) -> Self {
        Self::new(EventKind::ApiResponse {
            method: Some(method.into()),
            path: Some(path.into()),
            status: Some(status),
            duration: Some(duration.into()),
        })
    }

    /// Somebody reached a step of a journey.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// let event = Event::journey_step("checkout_flow", "payment", "Payment confirmed");
    /// ```
    #[must_use]
    #[inline]
    pub fn journey_step(
        journey: impl Into<Text>,
        step_id: impl Into<Text>,
        step_name: impl Into<Text>,
    ) -> Self {
        Self::new(EventKind::JourneyStep {
            journey: Some(journey.into()),
            step_id: Some(step_id.into()),
            step_name: Some(step_name.into()),
        })
    }

    /// A journey ended: `completed`, `abandoned`, or a word of the application's own.
    ///
    /// Travels as `journey.step` named `journey.conversion`, because the service knows no type of
    /// its own for it; see [`specific_type`](Self::specific_type).
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// let event = Event::journey_conversion("checkout_flow", "completed");
    /// ```
    #[must_use]
    pub fn journey_conversion(journey: impl Into<Text>, status: impl Into<Text>) -> Self {
        Self::new(EventKind::JourneyConversion {
            journey: Some(journey.into()),
            status: Some(status.into()),
        })
    }

    /// Something went wrong. Messages reach every destination: leave personal data out of them.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// let event = Event::error("ValidationError", "invalid card number").component("checkout");
    /// ```
    #[must_use]
    #[inline]
    pub fn error(error_type: impl Into<Text>, message: impl Into<Text>) -> Self {
        Self::new(EventKind::Error {
            error_type: Some(error_type.into()),
            message: Some(message.into()),
        })
    }

    /// How fast a page was; the numbers follow by [`lcp`](Self::lcp), [`fid`](Self::fid),
    /// [`cls`](Self::cls) and [`ttfb`](Self::ttfb).
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// # use std::time::Duration;
    /// let event = Event::performance().lcp(1812.5).ttfb(Duration::from_millis(120)).cls(0.04);
    /// ```
    #[must_use]
    pub fn performance() -> Self {
        Self::new(EventKind::Performance(Performance::new()))
    }

    /// A picture of a page was captured and can be found at `url`.
    ///
    /// Travels as `custom` named `snapshot.captured`, because the service knows no type of its own
    /// for it; see [`specific_type`](Self::specific_type).
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// let event = Event::snapshot("s3://shots/17.png").viewport("1280x720");
    /// ```
    #[must_use]
    pub fn snapshot(url: impl Into<Text>) -> Self {
        Self::new(EventKind::Snapshot(Snapshot::new().url(url)))
    }

    /// An event of any type, for types that this version has no constructor for.
    ///
    /// A type that it knows gives the same kind as the constructor, with nothing set. A deployment
    /// may refuse types that it does not know; [`custom`](Self::custom) is taken everywhere.
    ///
    /// ```
    /// # use productgraph::event::Event;
    /// let event = Event::of_type("feature.flag").with("flag", "new-checkout");
    /// ```
    #[must_use]
    pub fn of_type(event_type: impl Into<Text>) -> Self {
        let mut event = Self::new(EventKind::of_type(event_type.into()));
        if event.kind.is_disguised() {
            event.extra_mut().type_form = Some(TypeForm::Specific);
        }
        event
    }
}
