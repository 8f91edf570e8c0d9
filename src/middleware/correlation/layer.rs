use std::sync::Arc;

use tower_layer::Layer;

use super::service::Correlate;
use crate::correlation::{ExtractOptions, ExtractStats};

/// Gives every request its [`Correlation`](crate::Correlation).
///
/// It is made from the request's headers ([`ExtractOptions`]; what is missing or refused is minted)
/// and put where everything further in finds it: into the request's extensions, and around the
/// call, the response future and the response body as `Correlation::current()`. A correlation that
/// a layer further out has put into the extensions is taken over as it is.
///
/// The request's headers stay as they came. The response gets the request id under the name of the
/// request id header, `x-request-id` by default, unless it has that header already. A browser shows
/// it to scripts of another origin only with `Access-Control-Expose-Headers: X-Request-ID`.
///
/// ```
/// use http::HeaderName;
/// use productgraph::correlation::ExtractOptions;
/// use productgraph::middleware::CorrelationLayer;
///
/// let layer = CorrelationLayer::new()
///     .extract(ExtractOptions::new().session_header(HeaderName::from_static("x-visit-id")))
///     .echo(false);
/// ```
#[derive(Clone, Debug)]
pub struct CorrelationLayer {
    settings: Arc<Settings>,
}

/// What the application has chosen; shared by all services of one layer.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) extract: ExtractOptions,
    pub(super) echo: bool,
    pub(super) stats: Option<Arc<ExtractStats>>,
}

impl CorrelationLayer {
    /// Reads what [`ExtractOptions::new`] reads, and echoes the request id.
    #[must_use]
    pub fn new() -> Self {
        let settings = Settings {
            extract: ExtractOptions::new(),
            echo: true,
            stats: None,
        };
        Self {
            settings: Arc::new(settings),
        }
    }

    /// Which headers to read and what to believe of them: names, a claimed user, the caller's
    /// trace, the session of a request that brings none.
    #[must_use]
    pub fn extract(mut self, options: ExtractOptions) -> Self {
        Arc::make_mut(&mut self.settings).extract = options;
        self
    }

    /// Whether responses tell the request id. Default: `true`.
    #[must_use]
    pub fn echo(mut self, echo: bool) -> Self {
        Arc::make_mut(&mut self.settings).echo = echo;
        self
    }

    /// Counts what requests brought: how many a usable session, how many an invalid one. Default:
    /// not counted.
    #[must_use]
    pub fn stats(mut self, stats: Arc<ExtractStats>) -> Self {
        Arc::make_mut(&mut self.settings).stats = Some(stats);
        self
    }
}

impl Default for CorrelationLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CorrelationLayer {
    type Service = Correlate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Correlate::new(inner, Arc::clone(&self.settings))
    }
}
