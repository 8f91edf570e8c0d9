//! Other clients, each in a module of its own. Without the feature `peers` there are none.

#[cfg(feature = "peers")]
mod otel;
#[cfg(feature = "peers")]
mod posthog;
#[cfg(feature = "peers")]
mod sentry;

use std::sync::Arc;

use crate::e2e::Client;
use crate::hotpath::peer::Peer;
use crate::request::Req;

/// Whether this program was built with the peers.
pub const BUILT: bool = cfg!(feature = "peers");

/// The rows of the hot path.
#[cfg(feature = "peers")]
pub fn callers(requests: &Arc<[Req]>) -> Vec<Box<dyn Peer>> {
    let mut all: Vec<Box<dyn Peer>> = vec![
        otel::caller(Arc::clone(requests)),
        posthog::caller(Arc::clone(requests)),
    ];
    all.extend(sentry::callers(requests));
    all
}

/// The rows of the hot path: none.
#[cfg(not(feature = "peers"))]
pub fn callers(_: &Arc<[Req]>) -> Vec<Box<dyn Peer>> {
    Vec::new()
}

/// The client called `name` for a sink at `url`, if there is one.
#[cfg(feature = "peers")]
pub fn client(name: &str, url: &str) -> Option<Box<dyn Client>> {
    Some(match name {
        "otel" => otel::client(url, Some((65_536, 4096))),
        "otel_default" => otel::client(url, None),
        "posthog" => posthog::client(url, true),
        "posthog_default" => posthog::client(url, false),
        "sentry_log" => sentry::client(url, Some(1000)),
        "sentry_log_default" => sentry::client(url, None),
        _ => return None,
    })
}

/// The client called `name`: none.
#[cfg(not(feature = "peers"))]
pub fn client(_: &str, _: &str) -> Option<Box<dyn Client>> {
    None
}
