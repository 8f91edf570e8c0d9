//! What [`extract`](super::extract) reads and believes.

use http::HeaderName;

/// `X-Session-ID`, the default header of a frontend session.
pub static SESSION_HEADER: HeaderName = HeaderName::from_static("x-session-id");
/// `X-Request-ID`, the default header of a request id.
pub static REQUEST_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// What to do with the `traceparent` of an incoming request.
///
/// This is about the ids that events carry, not about spans: whether spans join the caller's trace
/// is up to the application's OpenTelemetry propagator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TraceTrust {
    /// Events carry the caller's trace as long as no span of our own is current. The default.
    ///
    /// An event's trace id is a label to search by. Joining front end and back end by it is what it
    /// is for; forging one mislabels the forger's own events and samples nothing. It is also handed
    /// on by [`Propagation`](super::Propagation), to the listed hosts only.
    #[default]
    Trust,
    /// The caller's trace is kept apart, as
    /// [`linked_trace`](super::Correlation::linked_trace), and not handed on.
    ///
    /// For a public entry point whose internal services sample by the caller's flag.
    Link,
    /// The header is not read.
    Ignore,
}

/// Which session an event belongs to when the client sent none that is valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SessionMinting {
    /// A new session for each request: never joins two clients. The default.
    #[default]
    PerRequest,
    /// The session of the process ([`SessionId::of_process`](super::SessionId::of_process)): for
    /// services whose clients have no sessions, where one per request would only inflate counts.
    PerProcess,
}

/// What [`extract`](super::extract) reads and believes.
///
/// ```
/// use http::HeaderName;
/// use productgraph::correlation::{ExtractOptions, TraceTrust};
///
/// let at_the_edge = ExtractOptions::new()
///     .also_session_from(HeaderName::from_static("x-posthog-session-id"))
///     .trace_trust(TraceTrust::Link)
///     .ignore_cross_site_sessions(true);
/// ```
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    session: HeaderName,
    session_aliases: Vec<HeaderName>,
    request: HeaderName,
    request_aliases: Vec<HeaderName>,
    pub(super) claimed_user: Option<HeaderName>,
    pub(super) anonymous: Option<HeaderName>,
    pub(super) trace_trust: TraceTrust,
    pub(super) minting: SessionMinting,
    pub(super) ignore_cross_site_sessions: bool,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self {
            session: SESSION_HEADER.clone(),
            session_aliases: Vec::new(),
            request: REQUEST_HEADER.clone(),
            request_aliases: Vec::new(),
            claimed_user: None,
            anonymous: None,
            trace_trust: TraceTrust::default(),
            minting: SessionMinting::default(),
            ignore_cross_site_sessions: false,
        }
    }
}

impl ExtractOptions {
    /// `X-Session-ID`, `X-Request-ID`, a trusted `traceparent`, a session per request, no user.
    pub fn new() -> Self {
        Self::default()
    }

    /// The header of the session, instead of `X-Session-ID`.
    #[must_use]
    pub fn session_header(mut self, name: HeaderName) -> Self {
        self.session = name;
        self
    }

    /// One more header of the session, read when those before hold no valid one.
    #[must_use]
    pub fn also_session_from(mut self, name: HeaderName) -> Self {
        self.session_aliases.push(name);
        self
    }

    /// The header of the request id, instead of `X-Request-ID`.
    #[must_use]
    pub fn request_header(mut self, name: HeaderName) -> Self {
        self.request = name;
        self
    }

    /// One more header of the request id, read when those before hold no valid one.
    #[must_use]
    pub fn also_request_from(mut self, name: HeaderName) -> Self {
        self.request_aliases.push(name);
        self
    }

    /// The header of the request id, which a response echoes.
    pub fn request_header_name(&self) -> &HeaderName {
        &self.request
    }

    /// Reads a user id that the client claims, for example from `X-User-ID`. Default: not read.
    ///
    /// Anybody can write that header, and some services take it for an authenticated user, so it
    /// should be stripped at the edge. Events carry it marked as claimed. After authentication use
    /// [`Correlation::set_user`](super::Correlation::set_user).
    #[must_use]
    pub fn claimed_user_from(mut self, name: HeaderName) -> Self {
        self.claimed_user = Some(name);
        self
    }

    /// Reads a browser or device id. Default: not read.
    #[must_use]
    pub fn anonymous_id_from(mut self, name: HeaderName) -> Self {
        self.anonymous = Some(name);
        self
    }

    /// What to do with `traceparent`. Default: [`TraceTrust::Trust`].
    #[must_use]
    pub fn trace_trust(mut self, trust: TraceTrust) -> Self {
        self.trace_trust = trust;
        self
    }

    /// The session of requests without a valid one. Default: [`SessionMinting::PerRequest`].
    #[must_use]
    pub fn session_minting(mut self, minting: SessionMinting) -> Self {
        self.minting = minting;
        self
    }

    /// Ignores the session of requests that a browser marks `Sec-Fetch-Site: cross-site`. Default:
    /// `false`, since a front end may well live on another site than its service.
    ///
    /// A signal, not authentication: other clients send what they like.
    #[must_use]
    pub fn ignore_cross_site_sessions(mut self, ignore: bool) -> Self {
        self.ignore_cross_site_sessions = ignore;
        self
    }

    pub(super) fn session_headers(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.session).chain(&self.session_aliases)
    }

    pub(super) fn request_headers(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.request).chain(&self.request_aliases)
    }
}
