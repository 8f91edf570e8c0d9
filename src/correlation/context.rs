//! The one door to the ambient context: which correlation and which trace the running code belongs to.
//!
//! The thread's own slot (`store`) comes first. The OpenTelemetry context holds a copy, for code that
//! moves that context itself (`with_current_context` around a spawned task). It cannot be the primary
//! store: a span created outside the scope brings its own context and hides the copy.
//!
//! No other file names an OpenTelemetry type. Without the feature the same functions see no span and
//! keep no copy.

use super::trace::{TraceIds, TraceParent};
use super::{Correlation, store};

pub(super) use carrier::Carrier;

impl Correlation {
    /// The correlation of the running request or job.
    ///
    /// That of the innermost [`scope`](Self::scope) or [`enter`](Self::enter) around the caller,
    /// else the copy in the current OpenTelemetry context. Never panics, takes no lock and allocates
    /// nothing, but for OpenTelemetry's own stack at the first use on a thread. Works on any thread,
    /// with or without a runtime, also while the thread is torn down.
    pub fn current() -> Option<Self> {
        store::peek(Self::clone).or_else(carrier::correlation)
    }
}

/// The trace that an event tracked here belongs to.
///
/// The ids of the current OpenTelemetry span; without one, the trace that the request brought and
/// that is trusted ([`Correlation::trace`]). As safe to call anywhere as [`Correlation::current`].
pub fn current_trace() -> Option<TraceIds> {
    current_span()
        .map(|span| span.ids())
        .or_else(|| match store::peek(Correlation::trace) {
            Some(trace) => trace,
            None => carrier::correlation()?.trace(),
        })
}

/// Where the running code is: what an event that is tracked here belongs to.
#[derive(Debug, Default)]
pub(crate) struct Here {
    pub(crate) correlation: Option<Correlation>,
    /// The current OpenTelemetry span.
    pub(crate) span: Option<TraceIds>,
}

/// Everything about here at once, since looking costs each tracked event its share.
#[inline]
pub(crate) fn here() -> Here {
    let mut here = Here {
        correlation: store::peek(Correlation::clone),
        span: None,
    };
    carrier::complete(&mut here);
    here
}

/// Suppresses OpenTelemetry's telemetry on this thread until what it returns is dropped.
pub(super) fn suppress() -> carrier::Attached {
    carrier::suppress()
}

/// The current OpenTelemetry span, for callers that know the correlation already.
///
/// `None` without a span, or without the feature `opentelemetry`.
pub fn current_span() -> Option<TraceParent> {
    carrier::span()
}

#[cfg(feature = "opentelemetry")]
mod carrier {
    use std::cell::Cell;
    use std::fmt;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use opentelemetry::baggage::BaggageExt;
    use opentelemetry::trace::TraceContextExt;
    use opentelemetry::{Context, ContextGuard};

    use super::Here;
    use crate::correlation::Correlation;
    use crate::correlation::trace::{TraceIds, TraceParent};

    /// The copy of the correlation in the OpenTelemetry context.
    struct Copy(Correlation);

    impl Copy {
        fn of(context: &Context) -> Option<&Correlation> {
            context.get::<Self>().map(|copy| &copy.0)
        }
    }

    pub(in crate::correlation) fn correlation() -> Option<Correlation> {
        guarded(|| Context::map_current(|cx| Copy::of(cx).cloned())).flatten()
    }

    pub(in crate::correlation) fn span() -> Option<TraceParent> {
        guarded(|| Context::map_current(span_of)).flatten()
    }

    /// The copy, where there is no correlation yet, and the current span.
    pub(in crate::correlation) fn complete(here: &mut Here) {
        // in place: what is handed back through a guard is copied on the way
        let _: Option<()> = guarded(|| {
            Context::map_current(|cx| {
                if here.correlation.is_none() {
                    here.correlation = Copy::of(cx).cloned();
                }
                if let Some(span) = span_of(cx) {
                    here.span = Some(span.ids());
                }
            });
        });
    }

    fn span_of(context: &Context) -> Option<TraceParent> {
        if !context.has_active_span() {
            return None;
        }
        let span = context.span();
        let span = span.span_context();
        let ids = TraceIds::new(span.trace_id().to_bytes(), span.span_id().to_bytes())?;
        Some(TraceParent::new(ids, span.trace_flags().to_u8()))
    }

    pub(in crate::correlation) fn suppress() -> Attached {
        let enter = || {
            let known = Context::is_current_telemetry_suppressed();
            (!known).then(Context::enter_telemetry_suppressed_scope)
        };
        Attached {
            _guard: guarded(enter).flatten(),
        }
    }

    /// An OpenTelemetry context to attach while carried code runs.
    #[derive(Clone)]
    pub(in crate::correlation) enum Carrier {
        /// Whatever is current at each poll plus the copy, so that spans around the scope stay visible.
        Copying(Option<(Base, Context)>),
        /// The context that was captured.
        Captured(Context),
    }

    impl Carrier {
        pub(in crate::correlation) const fn copying() -> Self {
            Self::Copying(None)
        }

        /// The current context, holding `correlation` even where a span hides the copy.
        pub(in crate::correlation) fn capture(correlation: Option<&Correlation>) -> Self {
            let capture = |current: &Context| match correlation {
                Some(known) if !Copy::of(current).is_some_and(|copy| copy.ptr_eq(known)) => {
                    current.with_value(Copy(known.clone()))
                }
                _ => current.clone(),
            };
            Self::Captured(guarded(|| Context::map_current(capture)).unwrap_or_default())
        }

        pub(in crate::correlation) fn attach(
            &mut self,
            correlation: Option<&Correlation>,
        ) -> Attached {
            Attached {
                _guard: guarded(|| Some(self.context(correlation)?.attach())).flatten(),
            }
        }

        fn context(&mut self, correlation: Option<&Correlation>) -> Option<Context> {
            match self {
                Self::Captured(context) => Some(context.clone()),
                Self::Copying(derived) => {
                    let renewed = Context::map_current(|current| {
                        let base = Base::of(current);
                        match derived {
                            Some((last, _)) if *last == base => None,
                            _ => Some((base, current.with_value(Copy(correlation?.clone())))),
                        }
                    });
                    // outside the closure: what it replaces may end a span, which uses the context
                    if renewed.is_some() {
                        *derived = renewed;
                    }
                    derived.as_ref().map(|(_, context)| context.clone())
                }
            }
        }
    }

    impl fmt::Debug for Carrier {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Carrier")
        }
    }

    /// What a derived context was derived from, by address: the derived context keeps the span and
    /// the baggage alive, so an address cannot be taken over by another one.
    ///
    /// Values of other types cannot be told apart cheaply; they stay those of the first poll, as with
    /// OpenTelemetry's own `with_context`.
    #[derive(Clone, PartialEq)]
    pub(in crate::correlation) struct Base {
        span: usize,
        baggage: usize,
        suppressed: bool,
    }

    impl Base {
        fn of(context: &Context) -> Self {
            Self {
                span: std::ptr::from_ref(context.span().span_context()).addr(),
                baggage: std::ptr::from_ref(context.baggage()).addr(),
                suppressed: context.is_telemetry_suppressed(),
            }
        }
    }

    /// Keeps a context current until dropped; stays on its thread.
    pub(in crate::correlation) struct Attached {
        _guard: Option<ContextGuard>,
    }

    /// Whether the thread's OpenTelemetry context may be touched.
    #[derive(Clone, std::marker::Copy, PartialEq)]
    enum Phase {
        Untouched,
        Usable,
        Gone,
    }

    /// Marks the context as gone when the thread begins to destroy its thread-locals.
    struct Farewell;

    impl Drop for Farewell {
        fn drop(&mut self) {
            let _ = PHASE.try_with(|phase| phase.set(Phase::Gone));
        }
    }

    thread_local! {
        // has no destructor and so can be read to the very end of the thread
        static PHASE: Cell<Phase> = const { Cell::new(Phase::Untouched) };
        // One is registered before the context's own destructor and one after it: whichever way
        // round a platform runs destructors, one of the two runs before the context is gone.
        static BEFORE: Farewell = const { Farewell };
        static AFTER: Farewell = const { Farewell };
    }

    /// Touches the OpenTelemetry context unless that could hurt.
    ///
    /// It panics once it is destroyed, and when it is used while it reports a misuse of itself. The
    /// first is avoided, the second caught: neither may reach the application. What remains: a
    /// destructor of a thread-local is the first to come here on a thread whose context is gone
    /// already. That panic is caught too, but aborts under `panic = "abort"`.
    fn guarded<R>(touch: impl FnOnce() -> R) -> Option<R> {
        match PHASE.try_with(Cell::get).unwrap_or(Phase::Gone) {
            Phase::Usable => {}
            Phase::Gone => return None,
            Phase::Untouched => prepare()?,
        }
        catch_unwind(AssertUnwindSafe(touch)).ok()
    }

    #[cold]
    fn prepare() -> Option<()> {
        let _ = BEFORE.try_with(|_| ());
        let alive = catch_unwind(|| Context::map_current(|_| ())).is_ok();
        let _ = AFTER.try_with(|_| ());
        PHASE.set(if alive { Phase::Usable } else { Phase::Gone });
        alive.then_some(())
    }
}

#[cfg(not(feature = "opentelemetry"))]
mod carrier {
    use super::Here;
    use crate::correlation::Correlation;
    use crate::correlation::trace::TraceParent;

    pub(in crate::correlation) fn correlation() -> Option<Correlation> {
        None
    }

    pub(in crate::correlation) fn span() -> Option<TraceParent> {
        None
    }

    pub(in crate::correlation) const fn complete(_: &mut Here) {}

    pub(in crate::correlation) const fn suppress() -> Attached {
        Attached
    }

    #[derive(Clone, Debug)]
    pub(in crate::correlation) struct Carrier;

    impl Carrier {
        pub(in crate::correlation) const fn copying() -> Self {
            Self
        }

        pub(in crate::correlation) const fn capture(_correlation: Option<&Correlation>) -> Self {
            Self
        }

        #[expect(
            clippy::unused_self,
            reason = "the same signature with and without the feature"
        )]
        pub(in crate::correlation) const fn attach(
            &mut self,
            _correlation: Option<&Correlation>,
        ) -> Attached {
            Attached
        }
    }

    pub(in crate::correlation) struct Attached;
}

#[cfg(all(test, feature = "opentelemetry"))]
mod suppression {
    use std::future::{poll_fn, ready};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use opentelemetry::Context as OtelContext;

    use super::super::suppress::suppressed;

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
