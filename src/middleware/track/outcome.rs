//! How a request ended.

/// How a request ended, as far as its HTTP status does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The response was handed over to its end, whatever its status.
    Completed,
    /// The response future or its body was dropped before its end.
    Cancelled,
    /// The handler or the body panicked.
    Panicked,
    /// The response body ended with an error.
    BodyError,
    /// The inner service returned an error instead of a response.
    Error,
}

impl Outcome {
    /// The value of metadata `outcome`; none for the normal end.
    pub(super) fn label(self) -> Option<&'static str> {
        match self {
            Self::Completed => None,
            Self::Cancelled => Some("cancelled"),
            Self::Panicked => Some("panicked"),
            Self::BodyError => Some("body_error"),
            Self::Error => Some("error"),
        }
    }

    /// The status to report when no response was seen.
    pub(super) fn status_without_response(self) -> u16 {
        match self {
            Self::Cancelled => 499,
            Self::Completed | Self::Panicked | Self::BodyError | Self::Error => 500,
        }
    }

    /// Whether the service is to blame: such events are never sampled away.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Panicked | Self::BodyError | Self::Error)
    }
}
