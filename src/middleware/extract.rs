//! `Correlation` as an axum extractor.

use std::convert::Infallible;
use std::fmt;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::Correlation;

fn find(parts: &Parts) -> Option<Correlation> {
    parts
        .extensions
        .get::<Correlation>()
        .cloned()
        .or_else(Correlation::current)
}

/// The correlation of the request, as a handler argument.
///
/// Rejects with [`MissingCorrelation`] where no layer has made one; take an
/// `Option<Correlation>` where that is normal.
impl<S: Send + Sync> FromRequestParts<S> for Correlation {
    type Rejection = MissingCorrelation;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        find(parts).ok_or(MissingCorrelation(()))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Correlation {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(find(parts))
    }
}

/// A handler asked for a `Correlation` but no layer has made one: a mistake in the set-up of the
/// router. Answered with status 500 and a text that names the missing layer.
#[derive(Debug)]
pub struct MissingCorrelation(());

impl fmt::Display for MissingCorrelation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no correlation for this request: add `engine.layer()` or `CorrelationLayer` to the router")
    }
}

impl std::error::Error for MissingCorrelation {}

impl IntoResponse for MissingCorrelation {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
