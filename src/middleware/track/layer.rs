use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use super::pattern::Pattern;
use super::route::RouteFn;
use super::sampling::Rate;
use super::service::TrackRequests;
use crate::{Handle, Text};

/// Sends one `api.response` event for each request: method, route, status and the time from the
/// request's arrival to the end of the response body.
///
/// The route is axum's template (`/users/{id}`) where this layer sits in `Router::layer` and the
/// feature `axum` is on, the method's full name for a gRPC call, else the path without its query
/// and with what looks like an identifier replaced by `{id}`, at most 1024 bytes. A request that
/// no route matched is recorded by its folded path too.
///
/// The bodies of requests and responses are never read. What is sent for requests that do not
/// end well is told in the [module](crate::middleware); how it gets at the correlation too.
///
/// ```
/// use productgraph::Handle;
/// use productgraph::middleware::TrackRequestsLayer;
///
/// # fn layer(handle: Handle) -> TrackRequestsLayer {
/// TrackRequestsLayer::new(handle)
///     .exclude("/health*")
///     .exclude("/metrics")
///     .sample("/feed", 0.05)
///     .sample("*", 0.5)
/// # }
/// ```
#[derive(Clone)]
pub struct TrackRequestsLayer {
    handle: Handle,
    settings: Arc<Settings>,
}

/// What the application has chosen; shared by all services of one layer.
#[derive(Clone, Default)]
pub(super) struct Settings {
    exclude: Vec<Pattern>,
    sample: Vec<(Pattern, Rate)>,
    pub(super) route_with: Option<RouteFn>,
}

impl Settings {
    pub(super) fn excludes(&self, path: &str) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(path))
    }

    pub(super) fn rate(&self, route: &str) -> Rate {
        self.sample
            .iter()
            .find(|(pattern, _)| pattern.matches(route))
            .map_or(Rate::ALL, |(_, rate)| *rate)
    }
}

impl TrackRequestsLayer {
    /// Tracks every request and sends the events to `handle`.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self {
            handle,
            settings: Arc::default(),
        }
    }

    /// Sends no event for a path, or with a star at the end (`/health*`) for every path that
    /// begins so. Compared with the request's path as it came and with the route's template.
    /// Default: nothing is excluded.
    #[must_use]
    pub fn exclude(mut self, pattern: impl Into<Text>) -> Self {
        self.change().exclude.push(Pattern::new(pattern.into()));
        self
    }

    /// Keeps only a `share` of the responses of a route, from 0 (none) to 1 (all, the default).
    /// The route is compared as it is recorded; a star at the end stands for any rest, and of
    /// several rules the first that matches counts.
    ///
    /// The session decides, by a fixed hash, so a session's responses are kept or left out
    /// together, in every service with the same share. Failures are always kept: a status of 500
    /// and above, a panic, a failed body, a gRPC code that means the server's fault. A share out
    /// of range is moved to the nearer end.
    #[must_use]
    pub fn sample(mut self, pattern: impl Into<Text>, share: f64) -> Self {
        self.change()
            .sample
            .push((Pattern::new(pattern.into()), Rate::new(share)));
        self
    }

    /// Asks `name` for the route first. It sees the head of the request and answers `None` to
    /// leave the matter to the layer. Its answer is recorded as it is, so its values must be few;
    /// static text costs nothing. If it panics, that is an answer of `None`.
    #[must_use]
    pub fn route_with(
        mut self,
        name: impl Fn(&Parts) -> Option<Text> + Send + Sync + 'static,
    ) -> Self {
        self.change().route_with = Some(Arc::new(name));
        self
    }

    fn change(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

impl<S> Layer<S> for TrackRequestsLayer {
    type Service = TrackRequests<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TrackRequests::new(inner, self.handle.clone(), Arc::clone(&self.settings))
    }
}

impl fmt::Debug for TrackRequestsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackRequestsLayer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("exclude", &self.exclude)
            .field("sample", &self.sample)
            .field("route_with", &self.route_with.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_sets_the_rate() {
        let settings = Settings {
            sample: vec![
                (Pattern::new("/feed".into()), Rate::new(0.1)),
                (Pattern::new("/*".into()), Rate::new(0.5)),
            ],
            ..Settings::default()
        };
        assert_eq!(settings.rate("/feed"), Rate::new(0.1));
        assert_eq!(settings.rate("/cart"), Rate::new(0.5));
        assert_eq!(settings.rate("*"), Rate::ALL);
    }
}
