//! Handlers for axum.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Monitor, prometheus};
use crate::HealthState;

impl Monitor {
    /// `GET /health` and `GET /metrics`, to be merged into a router.
    ///
    /// `/health` answers with [`Health`](crate::Health) as JSON: 200 while it is disabled, healthy or
    /// degraded, 503 while it is unhealthy or stopped. Degraded is 200, because a destination that fails
    /// for a moment is no reason to take a service out of rotation. For the same reason `/health` is
    /// for people, dashboards and alerts: wire it to neither a liveness nor a readiness probe, or an
    /// outage of telemetry becomes one of the service. `/metrics` is Prometheus text.
    ///
    /// Requests to them are tracked like others if the telemetry layer is around them. Merge this router
    /// after `Router::layer`, or exclude the paths with
    /// [`EngineBuilder::excluded_paths`](crate::EngineBuilder::excluded_paths).
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use productgraph::Engine;
    ///
    /// # fn app(engine: &Engine) -> Router {
    /// Router::new()
    ///     .route("/", get(async || "hello"))
    ///     .layer(engine.layer())
    ///     .merge(engine.monitor().router())
    /// # }
    /// ```
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let (health, metrics) = (self.clone(), self.clone());
        Router::new()
            .route("/health", get(async move || health.health_response()))
            .route("/metrics", get(async move || metrics.metrics_response()))
    }

    /// The answer of `/health`, for a handler of the application's own.
    pub fn health_response(&self) -> Response {
        let health = self.health();
        let status = match health.state {
            HealthState::Disabled | HealthState::Healthy | HealthState::Degraded => StatusCode::OK,
            HealthState::Unhealthy | HealthState::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        };
        match serde_json::to_vec(&health) {
            Ok(json) => {
                let headers = [
                    (header::CONTENT_TYPE, "application/json"),
                    (header::CACHE_CONTROL, "no-store"),
                ];
                (status, headers, json).into_response()
            }
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    /// The answer of `/metrics`, for a handler of the application's own.
    pub fn metrics_response(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, prometheus::CONTENT_TYPE),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (headers, self.prometheus()).into_response()
    }
}
