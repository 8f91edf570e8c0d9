//! Running the engine's own work unobserved: its requests must not become spans, and those spans
//! requests again.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::context;

/// Runs `future` with OpenTelemetry's telemetry suppressed, whichever thread polls it.
///
/// It reaches the future itself and everything awaited there, not the tasks that are spawned inside.
/// Without the feature `opentelemetry` it is the future and nothing else.
pub(crate) fn suppressed<F: Future>(future: F) -> impl Future<Output = F::Output> {
    Suppressed { future }
}

/// Runs `work` with OpenTelemetry's telemetry suppressed on this thread.
pub(crate) fn while_suppressed<T>(work: impl FnOnce() -> T) -> T {
    let _quiet = context::suppress();
    work()
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
