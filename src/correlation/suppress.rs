//! Running the engine's own work unobserved: its requests must not become spans, and those spans
//! requests again.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::context;

/// Suppresses OpenTelemetry's telemetry on this thread until what it returns is dropped.
#[cfg(feature = "metrics")]
pub(crate) fn quietly<R>(work: impl FnOnce() -> R) -> R {
    let _quiet = context::suppress();
    work()
}

/// Runs `future` with OpenTelemetry's telemetry suppressed, whichever thread polls it.
///
/// It reaches the future itself and everything awaited there, not the tasks that are spawned inside.
/// Without the feature `opentelemetry` it is the future and nothing else.
pub(crate) fn suppressed<F: Future>(future: F) -> impl Future<Output = F::Output> {
    Suppressed { future }
}

pin_project! {
    struct Suppressed<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Suppressed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _quiet = context::suppress();
        self.project().future.poll(cx)
    }
}
