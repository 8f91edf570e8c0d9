//! What surrounded an event: groups of wire fields that any event may carry beside its kind.

use std::time::Duration;

use crate::Text;
use crate::event::Elapsed;
use crate::event::edit::Edit;
use crate::event::value::JsonText;
use crate::event::wire::fields::{FieldType, Visitor};
use crate::event::wire::keys;
use crate::event::wire::{Object, ReadError};

/// One group: a struct of optional fields, its setters, and the walks that the wire form needs.
macro_rules! context {
    (
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:ident,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)*
        }

        impl $name {
            /// Nothing set.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            $(
                $(#[$field_doc])*
                #[must_use]
                pub fn $field(mut self, $field: impl Into<$type>) -> Self {
                    self.$field = Some($field.into());
                    self
                }
            )*

            pub(crate) fn visit(&self, visitor: &mut impl Visitor) {
                $(if let Some(value) = self.$field.as_ref().and_then(FieldType::as_field) {
                    visitor.field(&keys::$key, value);
                })*
            }

            pub(crate) fn is_edited(&self, edit: &impl Edit) -> bool {
                false $(|| self.$field.as_ref().is_some_and(|field| field.edited(edit).is_some()))*
            }

            pub(crate) fn edit(&mut self, edit: &impl Edit) {
                $(if let Some(field) = &mut self.$field
                    && let Some(edited) = field.edited(edit)
                {
                    *field = edited;
                })*
            }

            pub(crate) fn heap_bytes(&self) -> usize {
                0 $(+ self.$field.as_ref().map_or(0, FieldType::heap_bytes))*
            }

            /// Takes this group's fields out of a wire object; none there is `None`.
            pub(crate) fn take(object: &mut Object) -> Result<Option<Self>, ReadError> {
                let mut any = false;
                let read = Self { $($field: {
                    let value = object.field(&keys::$key)?;
                    any |= value.is_some();
                    value
                },)* };
                Ok(any.then_some(read))
            }
        }
    };
}

context! {
    /// The page on which it happened.
    ///
    /// ```
    /// use productgraph::event::{Event, Page};
    ///
    /// let page = Page::new().path("/checkout").title("Checkout");
    /// let event = Event::error("ValidationError", "invalid card number").with_page(page);
    /// ```
    Page {
        /// `page.path`: the path without its query, up to 1024 bytes.
        path: Text = PAGE_PATH,
        /// `page.title`, up to 255 bytes.
        title: Text = PAGE_TITLE,
        /// `page.url`, up to 2048 bytes.
        url: Text = PAGE_URL,
        /// `page.referrer`, up to 2048 bytes.
        referrer: Text = PAGE_REFERRER,
    }
}

context! {
    /// The part of a user interface with which somebody dealt.
    Ui {
        /// `ui.component.name`, up to 255 bytes.
        component: Text = UI_COMPONENT_NAME,
        /// `ui.component.path`: where it sits in the component tree, up to 1024 bytes.
        component_path: Text = UI_COMPONENT_PATH,
        /// `ui.component.type`, up to 100 bytes.
        component_type: Text = UI_COMPONENT_TYPE,
        /// `ui.action`: a word of the application's own, up to 100 bytes.
        action: Text = UI_ACTION,
        /// `ui.element`, up to 255 bytes.
        element: Text = UI_ELEMENT,
        /// `ui.element.text`: what is written on it, up to 500 bytes.
        element_text: Text = UI_ELEMENT_TEXT,
        /// `ui.viewport`, such as `1280x720`, up to 50 bytes.
        viewport: Text = UI_VIEWPORT,
        /// `ui.scroll.position`.
        scroll_position: f64 = UI_SCROLL_POSITION,
    }
}

context! {
    /// A piece of application state and how it changed.
    State {
        /// `ui.state.key`, up to 255 bytes.
        key: Text = UI_STATE_KEY,
        /// `ui.state.before`: the state as a JSON document.
        before: JsonText = UI_STATE_BEFORE,
        /// `ui.state.after`: the state as a JSON document.
        after: JsonText = UI_STATE_AFTER,
        /// `ui.state.change_type`, up to 50 bytes.
        change_type: Text = UI_STATE_CHANGE_TYPE,
    }
}

context! {
    /// A user's way through several steps.
    Journey {
        /// `gen_ai.journey.id`.
        id: Text = JOURNEY_ID,
        /// `gen_ai.journey.step.id`, up to 255 bytes.
        step_id: Text = JOURNEY_STEP_ID,
        /// `gen_ai.journey.step.name`, up to 255 bytes.
        step_name: Text = JOURNEY_STEP_NAME,
        /// `gen_ai.journey.conversion.status`, up to 50 bytes.
        conversion_status: Text = JOURNEY_STATUS,
    }
}

context! {
    /// A call of an API.
    Api {
        /// `api.method`, up to 10 bytes.
        method: Text = API_METHOD,
        /// `api.path`: the route's template rather than the path itself, up to 1024 bytes.
        path: Text = API_PATH,
        /// `api.status_code`; 0 is kept.
        status: u16 = API_STATUS_CODE,
        /// `api.duration_ms`: rounded to whole milliseconds on the wire; 0 is kept.
        duration: Elapsed = API_DURATION_MS,
    }
}

context! {
    /// What went wrong.
    ErrorInfo {
        /// `error.type`, up to 255 bytes.
        error_type: Text = ERROR_TYPE,
        /// `error.message`.
        message: Text = ERROR_MESSAGE,
        /// `error.stack`.
        stack: Text = ERROR_STACK,
        /// `error.component`, up to 255 bytes.
        component: Text = ERROR_COMPONENT,
    }
}

context! {
    /// How fast a page was for its user: the web vitals.
    Performance {
        /// `performance.lcp_ms`: largest contentful paint.
        lcp: Millis = PERFORMANCE_LCP,
        /// `performance.fid_ms`: first input delay.
        fid: Millis = PERFORMANCE_FID,
        /// `performance.cls`: cumulative layout shift, a number without a unit.
        cls: f64 = PERFORMANCE_CLS,
        /// `performance.ttfb_ms`: time to first byte.
        ttfb: Millis = PERFORMANCE_TTFB,
    }
}

context! {
    /// A captured picture of a page.
    Snapshot {
        /// `snapshot.url`: where the picture lies, up to 1024 bytes.
        url: Text = SNAPSHOT_URL,
        /// `snapshot.viewport`, such as `1280x720`, up to 50 bytes.
        viewport: Text = SNAPSHOT_VIEWPORT,
    }
}

/// Milliseconds with a fraction, from a [`Duration`] or a number.
///
/// ```
/// use productgraph::event::Millis;
/// use std::time::Duration;
///
/// assert_eq!(Millis::from(Duration::from_micros(1500)), Millis::from(1.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Millis(f64);

impl Millis {
    /// The number of milliseconds.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl From<f64> for Millis {
    fn from(millis: f64) -> Self {
        Self(millis)
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self(duration.as_secs_f64() * 1e3)
    }
}

/// The organisation (tenant, account) for which it happened.
///
/// ```
/// use productgraph::event::{Event, Org};
///
/// let event = Event::custom("seat.added").with_org(Org::new("org_7").name("Acme"));
/// let same = Event::custom("seat.added").with_org("org_7");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    id: Text,
    name: Option<Text>,
}

impl Org {
    /// An organisation by its id: `org.id`.
    #[must_use]
    pub fn new(id: impl Into<Text>) -> Self {
        Self {
            id: id.into(),
            name: None,
        }
    }

    /// Its name, which travels as `org_name` in the metadata: the service has no field for it.
    #[must_use]
    pub fn name(mut self, name: impl Into<Text>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name, if there is one.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn name_text(&self) -> Option<&Text> {
        self.name.as_ref()
    }

    pub(crate) fn name_mut(&mut self) -> Option<&mut Text> {
        self.name.as_mut()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.id.heap_bytes() + self.name.as_ref().map_or(0, Text::heap_bytes)
    }
}

impl<T: Into<Text>> From<T> for Org {
    fn from(id: T) -> Self {
        Self::new(id)
    }
}
