//! From the current [`Correlation`] to the headers of an outgoing request.
//!
//! Session and request ids lead to people, so they go to the hosts that are listed and to no other,
//! and there is no way around the list. The user id never leaves: it is personal data, and some
//! services take a user header for an authenticated user.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Correlation;
use super::context::current_span;
use super::headers::{TRACEPARENT, TRACESTATE};
use super::options::{REQUEST_HEADER, SESSION_HEADER};

/// Which hosts learn of the correlation, and in which headers.
///
/// ```
/// use http::{HeaderMap, Uri};
/// use productgraph::correlation::{Correlation, Propagation};
///
/// let propagation = Propagation::to_hosts(["api.internal", "*.svc.local"])?;
///
/// Correlation::builder().build().enter(|| {
///     let mut headers = HeaderMap::new();
///     let stock = Uri::from_static("http://stock.svc.local:8080/items");
///     assert!(propagation.inject_for(&stock, &mut headers));
///     assert!(headers.contains_key("x-session-id"));
///
///     let elsewhere = Uri::from_static("https://pay.example/charge");
///     assert!(!propagation.inject_for(&elsewhere, &mut HeaderMap::new()));
/// });
/// # Ok::<(), productgraph::correlation::HostPatternError>(())
/// ```
///
/// A client that follows redirects by itself takes these headers along to the new host; turn that
/// off, or check each hop, for hosts that redirect elsewhere.
#[derive(Debug, Clone)]
pub struct Propagation {
    hosts: Vec<HostPattern>,
    session_header: HeaderName,
    request_header: HeaderName,
}

impl Propagation {
    /// Allows the hosts that one of the patterns names.
    ///
    /// A pattern is a host name (`api.internal`), everything below a name (`*.svc.local`, not
    /// `svc.local` itself) or an address (`10.0.0.7`, `::1`). Case and a final dot do not matter,
    /// ports are not looked at.
    ///
    /// # Errors
    ///
    /// [`HostPatternError`] with the first pattern that is none of these; `*` alone is none, since
    /// identifiers must not go to hosts that nobody chose.
    pub fn to_hosts<I>(patterns: I) -> Result<Self, HostPatternError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let hosts = patterns
            .into_iter()
            .map(|pattern| HostPattern::parse(pattern.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            hosts,
            session_header: SESSION_HEADER.clone(),
            request_header: REQUEST_HEADER.clone(),
        })
    }

    /// The header of the session. Default: `X-Session-ID`.
    #[must_use]
    pub fn session_header(mut self, name: HeaderName) -> Self {
        self.session_header = name;
        self
    }

    /// The header of the request id. Default: `X-Request-ID`.
    #[must_use]
    pub fn request_header(mut self, name: HeaderName) -> Self {
        self.request_header = name;
        self
    }

    /// Whether requests to this address may carry the correlation; never for a relative address.
    pub fn allows(&self, uri: &Uri) -> bool {
        uri.host().is_some_and(|host| {
            let host = Host::of(host);
            self.hosts.iter().any(|pattern| pattern.matches(&host))
        })
    }

    /// Adds the current correlation to a request to `uri`, if that host is listed.
    ///
    /// See [`inject`](Self::inject). `false` when the host is not listed or nothing is current; the
    /// headers are then as they were.
    pub fn inject_for(&self, uri: &Uri, headers: &mut HeaderMap) -> bool {
        self.allows(uri)
            && Correlation::current().is_some_and(|current| self.inject(&current, uri, headers))
    }

    /// Adds a correlation to a request to `uri`, if that host is listed: session, request id,
    /// `traceparent` and `tracestate`.
    ///
    /// A header that is there already stays as it is, and neither trace header is added next to the
    /// other. `traceparent` names the current OpenTelemetry
    /// span, or without one the trusted trace of the incoming request; `tracestate` goes along while
    /// the trace is still that one.
    ///
    /// `Sec-GPC` is not added: a browser sets that header for its user, and a service that set it
    /// would speak for somebody. Another service that has to know is told by the application.
    pub fn inject(&self, correlation: &Correlation, uri: &Uri, headers: &mut HeaderMap) -> bool {
        if !self.allows(uri) {
            return false;
        }
        set_if_absent(
            headers,
            &self.session_header,
            correlation.session_id().text().as_bytes(),
        );
        if let Some(request) = correlation.request_id() {
            set_if_absent(headers, &self.request_header, request.text().as_bytes());
        }
        inject_trace(correlation, headers);
        true
    }
}

fn inject_trace(correlation: &Correlation, headers: &mut HeaderMap) {
    let incoming = correlation.trace_parent();
    let Some(parent) = current_span().or(incoming) else {
        return;
    };
    // the two belong together: half of one context and half of another would be wrong
    if headers.contains_key(&TRACEPARENT) || headers.contains_key(&TRACESTATE) {
        return;
    }
    set_if_absent(headers, &TRACEPARENT, &parent.to_ascii());
    if let (Some(state), Some(incoming)) = (correlation.trace_state(), incoming)
        && incoming.ids().trace_id == parent.ids().trace_id
    {
        set_if_absent(headers, &TRACESTATE, state.as_bytes());
    }
}

/// All values are visible ASCII by construction, so none is lost as an invalid header.
fn set_if_absent(headers: &mut HeaderMap, name: &HeaderName, value: &[u8]) {
    if !headers.contains_key(name)
        && let Ok(value) = HeaderValue::from_bytes(value)
    {
        headers.insert(name, value);
    }
}

/// A host pattern that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "host pattern {pattern:?} is not understood: expected a host name, `*.` and a host name, or an \
     address, without scheme, port or path"
)]
pub struct HostPatternError {
    pattern: String,
}

impl HostPatternError {
    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Name(String),
    /// With the dot in front, so that a match begins at a label.
    Below(String),
    Address(IpAddr),
}

impl HostPattern {
    fn parse(pattern: &str) -> Result<Self, HostPatternError> {
        let refused = || HostPatternError {
            pattern: pattern.to_owned(),
        };
        if let Some(address) = address(pattern).or_else(|| pattern.parse().ok()) {
            return Ok(Self::Address(address));
        }
        let (below, name) = match pattern.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, pattern),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(refused());
        }
        Ok(if below {
            Self::Below(format!(".{name}"))
        } else {
            Self::Name(name)
        })
    }

    fn matches(&self, host: &Host<'_>) -> bool {
        match (self, host) {
            (Self::Address(allowed), Host::Address(address)) => allowed == address,
            (Self::Name(allowed), Host::Name(name)) => allowed.eq_ignore_ascii_case(name),
            (Self::Below(suffix), Host::Name(name)) => name
                .len()
                .checked_sub(suffix.len())
                .and_then(|start| name.split_at_checked(start))
                .is_some_and(|(labels, end)| {
                    end.eq_ignore_ascii_case(suffix) && labels.split('.').all(is_label)
                }),
            _ => false,
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The host of an address that a request goes to.
enum Host<'a> {
    Name(&'a str),
    Address(IpAddr),
}

impl<'a> Host<'a> {
    fn of(host: &'a str) -> Self {
        match address(host) {
            Some(address) => Self::Address(address),
            None => Self::Name(host.strip_suffix('.').unwrap_or(host)),
        }
    }
}

/// An address as it stands in a URI: version 6 in brackets.
fn address(host: &str) -> Option<IpAddr> {
    match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}
