use std::sync::Arc;

use http::HeaderName;
use tower_layer::Layer;

use super::service::Correlate;
use crate::correlation::ExtractRules;

/// stub
#[derive(Clone, Debug)]
pub struct CorrelationLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) rules: ExtractRules,
    pub(super) echo: Option<HeaderName>,
}

impl CorrelationLayer {
    /// stub
    #[must_use]
    pub fn new() -> Self {
        Self {
            settings: Arc::new(Settings {
                rules: ExtractRules::default(),
                echo: Some(HeaderName::from_static("x-request-id")),
            }),
        }
    }
    /// stub
    #[must_use]
    pub fn echo(mut self, echo: bool) -> Self {
        Arc::make_mut(&mut self.settings).echo =
            echo.then(|| HeaderName::from_static("x-request-id"));
        self
    }
}

impl<S> Layer<S> for CorrelationLayer {
    type Service = Correlate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Correlate::new(inner, Arc::clone(&self.settings))
    }
}
