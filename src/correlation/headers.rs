//! From the headers of a request to its [`Correlation`].
//!
//! Headers are hostile. Their length is checked before anything else, a value that breaks a rule
//! counts as absent, and nothing of it is kept but the reason and the length.
//!
//! A header that is there twice counts as absent too: two parties disagree, and taking the first or
//! the last lets whichever of them the proxy does not check win.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::ids::{AnonymousId, RequestId, SessionId, UserId};
use super::options::{ExtractOptions, SessionMinting, TraceTrust};
use super::trace::TraceParent;
use super::{Correlation, IdError, SessionSource, tracestate};

pub(super) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Longest header value that is looked at, in bytes.
const MAX_HEADER_LEN: usize = 8 * 1024;

/// Why the value of a header was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing but white space.
    Empty,
    /// Longer than the identifier, or any header, may be.
    TooLong,
    /// A character outside the identifier's alphabet, or outside visible ASCII.
    BadCharacter,
    /// A word that stands for a missing value.
    Reserved,
    /// The header is there more than once.
    Repeated,
    /// Sent from another site, and the options say to ignore that.
    CrossSite,
    /// Not a `traceparent`.
    Malformed,
}

impl Refusal {
    /// Every reason, in the order of their counters.
    pub(super) const ALL: [Self; 7] = [
        Self::Empty,
        Self::TooLong,
        Self::BadCharacter,
        Self::Reserved,
        Self::Repeated,
        Self::CrossSite,
        Self::Malformed,
    ];

    /// The reason in one word, as a label for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::BadCharacter => "bad_character",
            Self::Reserved => "reserved",
            Self::Repeated => "repeated",
            Self::CrossSite => "cross_site",
            Self::Malformed => "malformed",
        }
    }
}

impl From<IdError> for Refusal {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Empty => Self::Empty,
            IdError::TooLong { .. } => Self::TooLong,
            IdError::BadCharacter => Self::BadCharacter,
            IdError::Reserved => Self::Reserved,
        }
    }
}

/// What became of one header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Not sent, or not read.
    #[default]
    Absent,
    /// Valid and used.
    Accepted,
    /// Sent and not used.
    Refused {
        /// The rule it broke.
        reason: Refusal,
        /// Length of the value in bytes, of the first one if there are several.
        len: usize,
    },
}

/// The outcome of [`extract`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Extracted {
    /// The ids of the request; session and request id are always there.
    pub correlation: Correlation,
    /// The session header; unless accepted, a session was minted.
    pub session: Verdict,
    /// The request id header; unless accepted, a request id was minted.
    pub request_id: Verdict,
    /// The header of the claimed user.
    pub claimed_user: Verdict,
    /// The header of the browser or device.
    pub anonymous_id: Verdict,
    /// The `traceparent` header.
    pub trace: Verdict,
}

/// Reads the correlation of a request from its headers.
///
/// Never fails: what is missing or refused is minted (session, request id) or left out (the rest).
///
/// ```
/// use http::HeaderMap;
/// use productgraph::correlation::{ExtractOptions, SessionSource, Verdict, extract};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("x-session-id", "018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f".parse()?);
/// headers.insert("x-request-id", "null".parse()?);
///
/// let extracted = extract(&headers, &ExtractOptions::new());
/// assert_eq!(extracted.correlation.session_source(), SessionSource::Adopted);
/// assert!(matches!(extracted.request_id, Verdict::Refused { len: 4, .. }));
/// assert!(extracted.correlation.request_id().is_some());
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn extract(headers: &HeaderMap, options: &ExtractOptions) -> Extracted {
    let (session, session_verdict) = session(headers, options);
    let (request, request_verdict) = first_valid(
        headers,
        options.request_headers(),
        RequestId::MAX_LEN,
        RequestId::parse,
    );
    let (user, claimed_user) = first_valid(
        headers,
        options.claimed_user.iter(),
        UserId::MAX_LEN,
        UserId::parse,
    );
    let (anonymous, anonymous_id) = first_valid(
        headers,
        options.anonymous.iter(),
        AnonymousId::MAX_LEN,
        AnonymousId::parse,
    );

    let mut builder = Correlation::builder()
        .request_id(request.unwrap_or_else(RequestId::mint))
        .privacy_control(headers.get_all(&SEC_GPC).iter().any(|value| value == "1"));
    builder = match (session, options.minting) {
        (Some(session), _) => builder.session(session, SessionSource::Adopted),
        (None, SessionMinting::PerRequest) => builder,
        (None, SessionMinting::PerProcess) => {
            builder.session(SessionId::of_process(), SessionSource::Process)
        }
    };
    if let Some(user) = user {
        builder = builder.claimed_user(user);
    }
    if let Some(anonymous) = anonymous {
        builder = builder.anonymous_id(anonymous);
    }
    let (parent, trace) = trace_parent(headers, options.trace_trust);
    builder = match (parent, options.trace_trust) {
        (Some(parent), TraceTrust::Trust) => builder
            .trace_parent(parent)
            .trace_state(tracestate::read(&headers.get_all(&TRACESTATE))),
        (Some(parent), TraceTrust::Link) => builder.linked_trace(parent.ids()),
        _ => builder,
    };
    Extracted {
        correlation: builder.build(),
        session: session_verdict,
        request_id: request_verdict,
        claimed_user,
        anonymous_id,
        trace,
    }
}

fn session(headers: &HeaderMap, options: &ExtractOptions) -> (Option<SessionId>, Verdict) {
    let found = first_valid(
        headers,
        options.session_headers(),
        SessionId::MAX_LEN,
        SessionId::parse,
    );
    let cross_site = options.ignore_cross_site_sessions
        && headers
            .get_all(&SEC_FETCH_SITE)
            .iter()
            .any(|site| site == "cross-site");
    match found {
        (Some(id), _) if cross_site => (
            None,
            Verdict::Refused {
                reason: Refusal::CrossSite,
                len: id.text().len(),
            },
        ),
        found => found,
    }
}

fn trace_parent(headers: &HeaderMap, trust: TraceTrust) -> (Option<TraceParent>, Verdict) {
    if trust == TraceTrust::Ignore {
        return (None, Verdict::Absent);
    }
    read(headers, &TRACEPARENT, MAX_HEADER_LEN, |value| {
        TraceParent::parse(value.as_bytes()).ok_or(Refusal::Malformed)
    })
}

/// The first valid value of several headers; the verdict is that of the first one that was sent.
fn first_valid<'n, T>(
    headers: &HeaderMap,
    names: impl Iterator<Item = &'n HeaderName>,
    max_len: usize,
    parse: fn(&str) -> Result<T, IdError>,
) -> (Option<T>, Verdict) {
    let mut verdict = Verdict::Absent;
    for name in names {
        match read(headers, name, max_len, |value| {
            parse(value).map_err(Refusal::from)
        }) {
            (Some(id), accepted) => return (Some(id), accepted),
            (None, refused) if verdict == Verdict::Absent => verdict = refused,
            _ => {}
        }
    }
    (None, verdict)
}

/// Reads a header that may be there once.
fn read<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    max_len: usize,
    parse: impl FnOnce(&str) -> Result<T, Refusal>,
) -> (Option<T>, Verdict) {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return (None, Verdict::Absent);
    };
    let outcome = if values.next().is_some() {
        Err(Refusal::Repeated)
    } else {
        visible(value, max_len).and_then(parse)
    };
    match outcome {
        Ok(parsed) => (Some(parsed), Verdict::Accepted),
        Err(reason) => (
            None,
            Verdict::Refused {
                reason,
                len: value.len(),
            },
        ),
    }
}

/// The value without the white space around it, if it is short enough and visible ASCII.
fn visible(value: &HeaderValue, max_len: usize) -> Result<&str, Refusal> {
    if value.len() > MAX_HEADER_LEN {
        return Err(Refusal::TooLong);
    }
    let value = value.as_bytes().trim_ascii();
    if value.len() > max_len {
        return Err(Refusal::TooLong);
    }
    if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Refusal::BadCharacter);
    }
    std::str::from_utf8(value).map_err(|_| Refusal::BadCharacter)
}
