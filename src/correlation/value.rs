//! [`Correlation`]: the ids that all events of one request share.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::ids::{AnonymousId, RequestId, SessionId, UserId};
use super::trace::{TraceIds, TraceParent};
use crate::text::Text;

/// The ids that all events of one request or job share.
///
/// A clone is one reference count. Everything is fixed when it is built, except the user, who often
/// becomes known only after authentication: [`set_user`](Self::set_user) is seen by every holder of
/// the same correlation, those outside the handler included.
///
/// There is always a session: a destination refuses events without one.
///
/// ```
/// use productgraph::correlation::{Correlation, SessionId, SessionSource, UserId, UserSource};
///
/// let request = Correlation::builder()
///     .session(SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f")?, SessionSource::Adopted)
///     .build();
/// let seen_by_the_tracker = request.clone();
/// request.set_user(UserId::parse("u_1")?);
/// assert_eq!(seen_by_the_tracker.user_source(), Some(UserSource::Authenticated));
/// # Ok::<(), productgraph::correlation::IdError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Correlation(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    session: SessionId,
    request: Option<RequestId>,
    user: OnceLock<UserId>,
    seldom: Option<Box<Seldom>>,
    /// Bytes that all of this takes, the user's heap not included.
    weight: u32,
    parent: Option<TraceParent>,
    session_source: SessionSource,
    privacy_control: bool,
}

/// What most requests come without.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seldom {
    claimed_user: Option<UserId>,
    anonymous: Option<AnonymousId>,
    trace_state: Option<Text>,
    linked: Option<TraceIds>,
}

const _: () = assert!(
    size_of::<Inner>() <= 120,
    "a correlation must stay small: it is kept for as long as an event of its request is"
);

/// Where a session id came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionSource {
    /// The client sent it.
    Adopted,
    /// Made for this request because the client sent none that is valid.
    Request,
    /// That of this process ([`SessionId::of_process`]).
    Process,
}

impl SessionSource {
    /// `adopted`, `request` or `process`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::Request => "request",
            Self::Process => "process",
        }
    }
}

/// Who says who the user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserSource {
    /// The application, after authentication.
    Authenticated,
    /// The client, in a header that anybody can write.
    Claimed,
}

impl UserSource {
    /// `authenticated` or `claimed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Claimed => "claimed",
        }
    }
}

impl Correlation {
    /// Starts a correlation with nothing in it; without a session, one is minted.
    pub fn builder() -> CorrelationBuilder {
        CorrelationBuilder::default()
    }

    /// Bytes that the last holder of this keeps alive. That of the process is everybody's: none.
    pub(crate) fn weight(&self) -> usize {
        if self.0.session_source == SessionSource::Process {
            return 0;
        }
        let user = self.0.user.get().map_or(0, UserId::heap_bytes);
        self.0.weight as usize + user
    }

    fn claimed_user(&self) -> Option<&UserId> {
        self.0.seldom.as_ref()?.claimed_user.as_ref()
    }

    /// The session, never empty.
    pub fn session_id(&self) -> &SessionId {
        &self.0.session
    }

    /// Where the session id came from.
    pub fn session_source(&self) -> SessionSource {
        self.0.session_source
    }

    /// The request, if this is one.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.0.request.as_ref()
    }

    /// The user: the authenticated one, else the claimed one.
    pub fn user_id(&self) -> Option<&UserId> {
        self.0.user.get().or_else(|| self.claimed_user())
    }

    /// Who says who [`user_id`](Self::user_id) is.
    pub fn user_source(&self) -> Option<UserSource> {
        match (self.0.user.get(), self.claimed_user()) {
            (Some(_), _) => Some(UserSource::Authenticated),
            (None, Some(_)) => Some(UserSource::Claimed),
            (None, None) => None,
        }
    }

    /// Names the authenticated user, for this and every other holder of the correlation.
    ///
    /// It replaces a claimed user. The first authenticated user stays: `false` says that another one
    /// is there already. Lock-free for readers.
    pub fn set_user(&self, user: UserId) -> bool {
        match self.0.user.set(user) {
            Ok(()) => true,
            Err(user) => self.0.user.get() == Some(&user),
        }
    }

    /// The browser or device, if the client said.
    pub fn anonymous_id(&self) -> Option<&AnonymousId> {
        self.0.seldom.as_ref()?.anonymous.as_ref()
    }

    /// The trace that the request belongs to when no span of our own is current.
    pub fn trace(&self) -> Option<TraceIds> {
        self.0.parent.map(|parent| parent.ids())
    }

    /// The trusted `traceparent` of the incoming request.
    pub fn trace_parent(&self) -> Option<TraceParent> {
        self.0.parent
    }

    /// The `tracestate` that came with [`trace_parent`](Self::trace_parent), at most 512 characters.
    pub fn trace_state(&self) -> Option<&Text> {
        self.0.seldom.as_ref()?.trace_state.as_ref()
    }

    /// Whether the caller may have recorded the trace; `None` without a trusted trace.
    pub fn is_sampled(&self) -> Option<bool> {
        self.0.parent.map(|parent| parent.is_sampled())
    }

    /// The trace of a caller that is not trusted enough to join it: for an attribute only.
    pub fn linked_trace(&self) -> Option<TraceIds> {
        self.0.seldom.as_ref()?.linked
    }

    /// Whether the browser sent `Sec-GPC: 1`: the user opts out of sale and sharing of their data.
    pub fn privacy_control(&self) -> bool {
        self.0.privacy_control
    }

    /// Whether both are the same correlation, not only equal ones.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Correlation")
            .field("session_id", self.session_id())
            .field("session_source", &self.session_source())
            .field("request_id", &self.request_id())
            .field("user_id", &self.user_id())
            .field("user_source", &self.user_source())
            .field("anonymous_id", &self.anonymous_id())
            .field("trace_parent", &self.trace_parent())
            .field("linked_trace", &self.linked_trace())
            .field("privacy_control", &self.privacy_control())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Correlation`]; every part is optional.
#[derive(Debug, Default, Clone)]
#[must_use = "a builder does nothing until built"]
pub struct CorrelationBuilder {
    session: Option<(SessionId, SessionSource)>,
    request: Option<RequestId>,
    claimed_user: Option<UserId>,
    anonymous: Option<AnonymousId>,
    parent: Option<TraceParent>,
    trace_state: Option<Text>,
    linked: Option<TraceIds>,
    privacy_control: bool,
}

impl CorrelationBuilder {
    /// The session and where it came from. Default: a new one, marked [`SessionSource::Request`].
    pub fn session(mut self, id: SessionId, source: SessionSource) -> Self {
        self.session = Some((id, source));
        self
    }

    /// The request. Default: none.
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request = Some(id);
        self
    }

    /// A user that the client claims to be; [`Correlation::set_user`] names the authenticated one.
    pub fn claimed_user(mut self, id: UserId) -> Self {
        self.claimed_user = Some(id);
        self
    }

    /// The browser or device. Default: none.
    pub fn anonymous_id(mut self, id: AnonymousId) -> Self {
        self.anonymous = Some(id);
        self
    }

    /// The trace that the events belong to, with no flags. Default: none.
    pub fn trace(self, ids: TraceIds) -> Self {
        self.trace_parent(TraceParent::new(ids, 0))
    }

    /// The trace that the events belong to. Default: none.
    pub fn trace_parent(mut self, parent: TraceParent) -> Self {
        self.parent = Some(parent);
        self
    }

    /// The vendors' part of the trace context, forwarded as it is.
    pub(super) fn trace_state(mut self, state: Option<Text>) -> Self {
        self.trace_state = state;
        self
    }

    /// A trace to mention but not to join. Default: none.
    pub fn linked_trace(mut self, ids: TraceIds) -> Self {
        self.linked = Some(ids);
        self
    }

    /// Whether the user opted out of sale and sharing. Default: `false`.
    pub fn privacy_control(mut self, opted_out: bool) -> Self {
        self.privacy_control = opted_out;
        self
    }

    /// The correlation: one allocation, and one for the session if it has to be minted.
    pub fn build(self) -> Correlation {
        let (session, session_source) = self
            .session
            .unwrap_or_else(|| (SessionId::mint(), SessionSource::Request));
        let seldom = Seldom {
            claimed_user: self.claimed_user,
            anonymous: self.anonymous,
            trace_state: self.trace_state,
            linked: self.linked,
        };
        let seldom = (seldom != Seldom::default()).then(|| Box::new(seldom));
        let counts = 2 * size_of::<usize>();
        let weight = counts
            + size_of::<Inner>()
            + session.heap_bytes()
            + self.request.as_ref().map_or(0, RequestId::heap_bytes)
            + seldom.as_deref().map_or(0, Seldom::weight);
        Correlation(Arc::new(Inner {
            session,
            request: self.request,
            user: OnceLock::new(),
            seldom,
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            parent: self.parent,
            session_source,
            privacy_control: self.privacy_control,
        }))
    }
}

impl Seldom {
    fn weight(&self) -> usize {
        size_of::<Self>()
            + self.claimed_user.as_ref().map_or(0, UserId::heap_bytes)
            + self.anonymous.as_ref().map_or(0, AnonymousId::heap_bytes)
            + self.trace_state.as_ref().map_or(0, Text::heap_bytes)
    }
}
