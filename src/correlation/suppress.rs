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

#[cfg(all(test, feature = "opentelemetry"))]
mod tests {
    use std::future::{poll_fn, ready};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::task::Waker;

    use opentelemetry::Context as OtelContext;

    use super::*;

    fn is_suppressed() -> bool {
        OtelContext::is_current_telemetry_suppressed()
    }

    #[test]
    fn each_poll_is_suppressed_and_nothing_in_between() {
        let mut polls = 0;
        let mut future = pin!(suppressed(poll_fn(|_| {
            polls += 1;
            assert!(is_suppressed());
            if polls == 3 {
                Poll::Ready(polls)
            } else {
                Poll::Pending
            }
        })));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert_eq!(future.as_mut().poll(&mut cx), Poll::Pending);
            assert!(!is_suppressed());
        }
        assert_eq!(future.as_mut().poll(&mut cx), Poll::Ready(3));
        assert!(!is_suppressed());
    }

    #[test]
    fn what_is_suppressed_already_stays_so_afterwards() {
        let _outer = OtelContext::enter_telemetry_suppressed_scope();
        let mut cx = Context::from_waker(Waker::noop());
        let future = pin!(suppressed(ready(is_suppressed())));
        assert_eq!(future.poll(&mut cx), Poll::Ready(true));
        assert!(is_suppressed());
    }

    #[test]
    fn a_panic_leaves_nothing_suppressed() {
        let mut future = Box::pin(suppressed(poll_fn(|_| -> Poll<()> {
            panic!("in the poll")
        })));
        let mut cx = Context::from_waker(Waker::noop());
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
        assert!(poll.is_err());
        assert!(!is_suppressed());
    }

    #[test]
    fn the_values_of_the_context_stay_visible() {
        #[derive(Debug, PartialEq)]
        struct Baggage(u8);
        let _outer = OtelContext::current_with_value(Baggage(7)).attach();
        let mut cx = Context::from_waker(Waker::noop());
        let read = poll_fn(|_| {
            Poll::Ready(OtelContext::map_current(|cx| {
                cx.get::<Baggage>().map(|b| b.0)
            }))
        });
        assert_eq!(pin!(suppressed(read)).poll(&mut cx), Poll::Ready(Some(7)));
    }
}
