//! Why there is no answer.

use std::error::Error;
use std::fmt;
use std::io;

use productgraph_actors::Cause;

/// No answer, or not all of it.
///
/// | `cause().kind` | Meaning |
/// |---|---|
/// | `dns` | the host name could not be resolved |
/// | `connect` | no connection: refused, unreachable, a proxy that would not |
/// | `connect_timeout` | no connection in time |
/// | `tls` | the TLS handshake failed: certificate, name, protocol, or no TLS there at all |
/// | `timeout` | the time limit of the request passed |
/// | `reset` | the connection ended before the answer did |
/// | `protocol` | what came was not HTTP, or a head that does not end |
/// | `answer_too_long` | the answer is longer than the transport reads |
/// | `request` | the request could not be made, or anything else |
///
/// All of them are worth another try: nothing says that the destination has the events, and nothing
/// says that it has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportError(Cause);

impl TransportError {
    /// What happened; never contains the path or query of the endpoint, a header or a body. A
    /// certificate for another host names both hosts.
    pub fn cause(&self) -> &Cause {
        &self.0
    }

    pub(crate) fn too_long() -> Self {
        Self(Cause::new("answer_too_long"))
    }

    pub(super) fn of(error: &reqwest::Error) -> Self {
        let chain: Vec<&(dyn Error + 'static)> = chain(error).collect();
        // the innermost error tells most, and only the outermost one prints the address
        let detail = chain
            .iter()
            .skip(1)
            .last()
            .map(ToString::to_string)
            .unwrap_or_default();
        Self(Cause::new(kind(error, &chain)).with_detail(&detail))
    }
}

impl From<TransportError> for Cause {
    fn from(error: TransportError) -> Self {
        error.0
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for TransportError {}

fn kind(error: &reqwest::Error, chain: &[&(dyn Error + 'static)]) -> &'static str {
    if error.is_dns() || chain.iter().any(|e| e.to_string() == "dns error") {
        return "dns";
    }
    if chain.iter().any(|e| is_tls(*e)) {
        return "tls";
    }
    if error.is_connect() {
        return if error.is_timeout() {
            "connect_timeout"
        } else {
            "connect"
        };
    }
    if error.is_timeout() {
        return "timeout";
    }
    if error.is_builder() {
        return "request";
    }
    if chain.iter().any(|e| is_reset(*e)) {
        return "reset";
    }
    // hyper's errors cannot be named here; these are its words
    let said = |words: &str| chain.iter().any(|e| e.to_string().contains(words));
    if said("connection closed") || said("end of file") || said("channel closed") {
        "reset"
    } else if said("invalid") || said("head is too large") {
        "protocol"
    } else {
        "request"
    }
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "rustls")]
    if error.is::<rustls::Error>() {
        return true;
    }
    // a handed-in client may use another TLS library
    error.to_string().contains("certificate")
}

fn is_reset(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    error.downcast_ref::<io::Error>().is_some_and(|e| {
        matches!(
            e.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        )
    })
}

/// An error and all behind it. An [`io::Error`] hides the error it wraps from `source`, so that one
/// is looked into by hand.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    /// No chain is that long; a cycle would be.
    const MAX_DEPTH: usize = 32;
    let next = |error: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let error: &'a (dyn Error + 'static) = *error;
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), next).take(MAX_DEPTH)
}
