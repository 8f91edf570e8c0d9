//! The copy in the OpenTelemetry context, and the ids of the current span.
#![cfg(feature = "opentelemetry")]

use std::pin::pin;
use std::task::{Context as Task, Poll, Waker};

use http::{HeaderMap, HeaderValue, Uri};
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use productgraph::correlation::{
    Correlation, ExtractOptions, Propagation, SessionId, SessionSource, TraceIds, capture,
    current_span, current_trace, extract, spawn, spawn_blocking,
};
use tokio::task::yield_now;

fn correlation(session: &str) -> Correlation {
    Correlation::builder()
        .session(
            SessionId::parse(session).expect("valid"),
            SessionSource::Adopted,
        )
        .build()
}

fn current_session() -> Option<String> {
    Correlation::current().map(|current| current.session_id().to_string())
}

/// The context as it is here, inside a span of the given number.
fn in_span(n: u8) -> Context {
    Context::current().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes([n; 16]),
        SpanId::from_bytes([n; 8]),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    ))
}

fn ids(n: u8) -> Option<TraceIds> {
    TraceIds::new([n; 16], [n; 8])
}

#[test]
fn the_current_span_gives_the_trace_and_wins_over_that_of_the_request() {
    let request = Correlation::builder()
        .trace(ids(9).expect("not zero"))
        .build();
    assert_eq!(current_trace(), None);
    let _attached = in_span(1).attach();
    assert_eq!(current_trace(), ids(1));
    assert!(current_span().is_some_and(|span| span.is_sampled()));
    request.enter(|| {
        assert_eq!(current_trace(), ids(1));
        let _attached = in_span(2).attach();
        assert_eq!(current_trace(), ids(2));
    });
}

#[test]
fn a_context_without_a_valid_span_gives_the_trace_of_the_request() {
    let request = Correlation::builder()
        .trace(ids(9).expect("not zero"))
        .build();
    let invalid = Context::current().with_remote_span_context(SpanContext::empty_context());
    let _attached = invalid.attach();
    assert_eq!(current_span(), None);
    assert_eq!(request.enter(current_trace), ids(9));
}

#[tokio::test]
async fn code_that_moves_the_opentelemetry_context_itself_keeps_the_correlation() {
    let request = Correlation::builder()
        .trace(ids(9).expect("not zero"))
        .build();
    let expected = (Some(request.clone()), ids(9));
    let moved = request
        .scope(async {
            let bare = tokio::spawn(async { Correlation::current() })
                .await
                .expect("joined");
            assert_eq!(bare, None);
            let task = async {
                yield_now().await;
                (Correlation::current(), current_trace())
            };
            tokio::spawn(task.with_current_context())
                .await
                .expect("joined")
        })
        .await;
    assert_eq!(moved, expected);

    let on_a_thread = correlation("a").enter(|| {
        let context = Context::current();
        std::thread::spawn(move || {
            let _attached = context.attach();
            current_session()
        })
    });
    assert_eq!(on_a_thread.join().expect("joined").as_deref(), Some("a"));
}

#[tokio::test]
async fn a_span_created_outside_the_scope_hides_the_copy_but_not_the_correlation() {
    let span_from_outside = in_span(1);
    correlation("a")
        .scope(async move {
            async {
                assert_eq!(current_session().as_deref(), Some("a"));
                assert_eq!(current_trace(), ids(1));
                // only the copy could tell, and it is hidden: documented as lost
                let bare = tokio::spawn(async { current_session() }.with_current_context());
                assert_eq!(bare.await.expect("joined"), None);
                // the helpers put it back
                let kept = spawn(async {
                    let again = tokio::spawn(async { current_session() }.with_current_context());
                    (
                        current_session(),
                        again.await.expect("joined"),
                        current_trace(),
                    )
                });
                let a = Some("a".to_owned());
                assert_eq!(kept.await.expect("joined"), (a.clone(), a, ids(1)));
            }
            .with_context(span_from_outside)
            .await;
        })
        .await;
}

#[tokio::test]
async fn a_hidden_copy_of_an_outer_scope_is_not_taken_for_the_inner_one() {
    let outer = correlation("outer");
    outer
        .scope(async {
            let span_of_outer = in_span(1);
            let inner = async {
                async {
                    let kept = spawn(async {
                        let bare = tokio::spawn(async { current_session() }.with_current_context());
                        (current_session(), bare.await.expect("joined"))
                    });
                    let inner = Some("inner".to_owned());
                    assert_eq!(kept.await.expect("joined"), (inner.clone(), inner));
                }
                .with_context(span_of_outer)
                .await;
            };
            correlation("inner").scope(inner).await;
        })
        .await;
}

#[tokio::test]
async fn the_helpers_carry_the_span_too() {
    correlation("a")
        .scope(async {
            async {
                let here = || (current_session(), current_trace());
                let expected = (Some("a".to_owned()), ids(3));
                assert_eq!(
                    spawn(async move { here() }).await.expect("joined"),
                    expected
                );
                assert_eq!(spawn_blocking(here).await.expect("joined"), expected);
                let captured = capture();
                let thread = std::thread::spawn(move || captured.enter(here));
                assert_eq!(thread.join().expect("joined"), expected);
            }
            .with_context(in_span(3))
            .await;
        })
        .await;
    assert_eq!((current_session(), current_trace()), (None, None));
}

#[test]
fn a_scope_follows_the_span_and_baggage_around_it_from_poll_to_poll() {
    fn here() -> (Option<TraceIds>, usize) {
        (
            current_trace(),
            Context::map_current(|cx| cx.baggage().len()),
        )
    }

    let cx = &mut Task::from_waker(Waker::noop());
    let mut seen = Vec::new();
    {
        let mut scoped = pin!(correlation("a").scope(async {
            loop {
                seen.push(here());
                let copy = std::thread::scope(|threads| {
                    let context = Context::current();
                    threads
                        .spawn(move || {
                            let _attached = context.attach();
                            current_session()
                        })
                        .join()
                        .expect("joined")
                });
                assert_eq!(copy.as_deref(), Some("a"), "the copy is there in each poll");
                let mut yielded = false;
                std::future::poll_fn(|_| {
                    if std::mem::replace(&mut yielded, true) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            }
        }));
        let mut poll = || {
            let _: Poll<()> = scoped.as_mut().poll(cx);
        };
        poll();
        {
            let _attached = in_span(1).attach();
            poll();
            poll();
            let with_baggage = Context::current().with_baggage([KeyValue::new("k", "v")]);
            let _attached = with_baggage.attach();
            poll();
        }
        {
            let _attached = in_span(2).attach();
            poll();
        }
        poll();
    }
    assert_eq!(
        seen,
        [
            (None, 0),
            (ids(1), 0),
            (ids(1), 0),
            (ids(1), 1),
            (ids(2), 0),
            (None, 0)
        ]
    );
    assert_eq!(current_trace(), None, "nothing stays attached");
}

#[test]
fn the_suppression_of_telemetry_is_left_as_it_is() {
    let request = correlation("a");
    let _suppressed = Context::enter_telemetry_suppressed_scope();
    assert!(request.enter(Context::is_current_telemetry_suppressed));
    assert!(capture().enter(Context::is_current_telemetry_suppressed));
}

#[test]
fn use_inside_of_the_contexts_own_calls_neither_panics_nor_loses_the_correlation() {
    // attaching is impossible in here; the correlation itself does not depend on it
    let seen =
        Context::map_current(|_| correlation("a").enter(|| (current_session(), current_trace())));
    assert_eq!(seen, (Some("a".to_owned()), None));
    assert_eq!(current_session(), None);
}

#[test]
fn an_outgoing_request_names_the_current_span() {
    let mut incoming = HeaderMap::new();
    let parent = "00-07070707070707070707070707070707-b7ad6b7169203331-00";
    incoming.insert("traceparent", HeaderValue::from_static(parent));
    incoming.insert("tracestate", HeaderValue::from_static("vendor=1"));
    let request = extract(&incoming, &ExtractOptions::new()).correlation;
    let propagation = Propagation::to_hosts(["api.internal"]).expect("valid");
    let sent = || {
        let mut headers = HeaderMap::new();
        let uri = Uri::from_static("http://api.internal/");
        assert!(request.enter(|| propagation.inject_for(&uri, &mut headers)));
        let text = |name: &str| {
            headers
                .get(name)
                .map(|value| value.to_str().expect("ASCII").to_owned())
        };
        (text("traceparent"), text("tracestate"))
    };
    assert_eq!(
        sent(),
        (Some(parent.into()), Some("vendor=1".into())),
        "no span of our own"
    );

    let same_trace = in_span(7).attach();
    let own = "00-07070707070707070707070707070707-0707070707070707-01";
    assert_eq!(
        sent(),
        (Some(own.into()), Some("vendor=1".into())),
        "a span in that trace"
    );
    drop(same_trace);

    let _other_trace = in_span(8).attach();
    let own = "00-08080808080808080808080808080808-0808080808080808-01";
    assert_eq!(
        sent(),
        (Some(own.into()), None),
        "the tracestate is not that of this trace"
    );
}
