//! What most events do not have: kept behind one pointer.

use std::time::Duration;

use crate::Text;
use crate::correlation::{AnonymousId, SessionId, UserId};
use crate::event::context::{Api, ErrorInfo, Journey, Org, Page, Performance, Snapshot, State, Ui};
use crate::event::metadata::Metadata;
use crate::event::wire::fields::Visitor;

/// Everything beside the kind; shared by the clones of an event until one of them changes.
#[derive(Clone, Default)]
pub(crate) struct Extra {
    /// `event.name`, but for custom events, which have it in their kind.
    pub(crate) name: Option<Text>,
    pub(crate) duration: Option<Duration>,
    pub(crate) metadata: Metadata,
    pub(crate) identity: Option<Box<Identity>>,
    pub(crate) contexts: Contexts,
    /// How the type is written, whatever the options say.
    pub(crate) type_form: Option<TypeForm>,
}

/// The two ways in which the kinds without a type of their own travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeForm {
    /// Under their specific type.
    Specific,
    /// Under a type that every server knows, told apart by the name.
    Safe,
}

/// Who and for whom, where the event itself says it.
#[derive(Clone, Default)]
pub(crate) struct Identity {
    pub(crate) session: Option<SessionId>,
    pub(crate) user: Option<UserId>,
    pub(crate) anonymous: Option<AnonymousId>,
    pub(crate) org: Option<Org>,
    pub(crate) project: Option<Text>,
}

/// The contexts that an event carries beside its kind.
///
/// Fields that the kind holds itself are not repeated here.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Contexts {
    /// The page.
    pub page: Option<Box<Page>>,
    /// The part of the user interface.
    pub ui: Option<Box<Ui>>,
    /// The application state.
    pub state: Option<Box<State>>,
    /// The journey.
    pub journey: Option<Box<Journey>>,
    /// The API call.
    pub api: Option<Box<Api>>,
    /// What went wrong.
    pub error: Option<Box<ErrorInfo>>,
    /// The web vitals.
    pub performance: Option<Box<Performance>>,
    /// The captured picture.
    pub snapshot: Option<Box<Snapshot>>,
}

/// The contexts of an event that has none.
pub(crate) static NO_CONTEXTS: Contexts = Contexts {
    page: None,
    ui: None,
    state: None,
    journey: None,
    api: None,
    error: None,
    performance: None,
    snapshot: None,
};

impl Contexts {
    pub(crate) fn visit(&self, visitor: &mut impl Visitor) {
        macro_rules! each {
            ($($context:ident)*) => {
                $(if let Some(context) = &self.$context {
                    context.visit(visitor);
                })*
            };
        }
        each!(page ui state journey api error performance snapshot);
    }

    fn heap_bytes(&self) -> usize {
        macro_rules! sum {
            ($($context:ident)*) => {
                0 $(+ self.$context.as_deref().map_or(0, |c| size_of_val(c) + c.heap_bytes()))*
            };
        }
        sum!(page ui state journey api error performance snapshot)
    }
}

impl Extra {
    /// What it takes on the heap, itself included.
    pub(crate) fn heap_bytes(&self) -> usize {
        // the two counters of the shared allocation
        const COUNTERS: usize = 16;
        COUNTERS
            + size_of::<Self>()
            + self.name.as_ref().map_or(0, Text::heap_bytes)
            + self.metadata.heap_bytes()
            + self
                .identity
                .as_ref()
                .map_or(0, |identity| identity.heap_bytes())
            + self.contexts.heap_bytes()
    }

    pub(crate) fn identity_mut(&mut self) -> &mut Identity {
        self.identity.get_or_insert_default()
    }
}

impl Identity {
    fn heap_bytes(&self) -> usize {
        let text = |text: &Option<Text>| text.as_ref().map_or(0, Text::heap_bytes);
        size_of::<Self>()
            + self.session.as_ref().map_or(0, SessionId::heap_bytes)
            + self.user.as_ref().map_or(0, UserId::heap_bytes)
            + self.anonymous.as_ref().map_or(0, AnonymousId::heap_bytes)
            + self.org.as_ref().map_or(0, Org::heap_bytes)
            + text(&self.project)
    }
}
