//! Where a correlation is current, where it is lost, and that no two ever mix.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};

use productgraph::correlation::{
    Correlation, RequestId, SessionId, SessionSource, TraceIds, UserId, capture, current_span,
    current_trace, spawn, spawn_blocking,
};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, yield_now};

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

#[test]
fn nothing_is_current_outside_a_scope() {
    assert_eq!(Correlation::current(), None);
    assert_eq!(current_trace(), None);
    assert_eq!(current_span(), None);
    assert_eq!(capture().correlation(), None);
}

#[tokio::test]
async fn it_survives_awaits_and_joins_and_ends_with_the_scope() {
    let request = correlation("a");
    let inner = async {
        assert_eq!(current_session().as_deref(), Some("a"));
        yield_now().await;
        let (left, right) = tokio::join!(
            async {
                yield_now().await;
                current_session()
            },
            async { current_session() },
        );
        assert_eq!((left.as_deref(), right.as_deref()), (Some("a"), Some("a")));
        Correlation::current().is_some_and(|current| current.ptr_eq(&request))
    };
    assert!(request.clone().scope(inner).await);
    assert_eq!(current_session(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bare_spawns_and_threads_lose_it_and_the_helpers_keep_it() {
    let inner = async {
        let lost = tokio::spawn(async { current_session() })
            .await
            .expect("joined");
        assert_eq!(lost, None, "tokio::spawn");
        let lost = tokio::task::spawn_blocking(current_session)
            .await
            .expect("joined");
        assert_eq!(lost, None, "tokio::task::spawn_blocking");
        let lost = std::thread::spawn(current_session).join().expect("joined");
        assert_eq!(lost, None, "std::thread::spawn");

        let a = Some("a".to_owned());
        let nested = spawn(async {
            yield_now().await;
            (
                current_session(),
                spawn(async { current_session() }).await.expect("joined"),
            )
        });
        assert_eq!(nested.await.expect("joined"), (a.clone(), a.clone()));
        assert_eq!(spawn_blocking(current_session).await.expect("joined"), a);
        let captured = capture();
        let thread = std::thread::spawn(move || captured.enter(current_session));
        assert_eq!(thread.join().expect("joined"), a);
        let mut set = JoinSet::new();
        set.spawn(capture().scope(async { current_session() }));
        assert_eq!(set.join_next().await.map(Result::unwrap), Some(a.clone()));
        assert_eq!(tokio::task::block_in_place(current_session), a);
    };
    correlation("a").scope(inner).await;
}

#[test]
fn a_plain_thread_enters_without_a_runtime_and_scopes_nest() {
    let [a, b] = ["a", "b"].map(correlation);
    let answer = a.enter(|| {
        assert_eq!(current_session().as_deref(), Some("a"));
        b.enter(|| assert_eq!(current_session().as_deref(), Some("b")));
        current_session()
    });
    assert_eq!(answer.as_deref(), Some("a"));
    assert_eq!(current_session(), None);
}

#[test]
fn what_was_captured_without_a_correlation_runs_without_one() {
    let nothing = capture();
    correlation("a").enter(|| {
        assert_eq!(nothing.clone().enter(current_session), None);
        assert_eq!(current_session().as_deref(), Some("a"));
    });
}

#[test]
fn a_panic_leaves_the_outer_correlation_in_place() {
    let [a, b] = ["a", "b"].map(correlation);
    a.enter(|| {
        let caught = std::panic::catch_unwind(|| b.enter(|| std::panic::panic_any("gone")));
        assert!(caught.is_err());
        assert_eq!(current_session().as_deref(), Some("a"));

        let mut scoped = pin!(b.clone().scope(async { std::panic::panic_any("gone") }));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Poll<()> = scoped
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
        }));
        assert!(caught.is_err());
        assert_eq!(current_session().as_deref(), Some("a"));
    });
    assert_eq!(current_session(), None);
}

#[test]
fn futures_that_take_turns_on_one_thread_do_not_mix() {
    let steps = |session: &'static str| async move {
        for _ in 0..100 {
            assert_eq!(current_session().as_deref(), Some(session));
            yield_once().await;
        }
    };
    let cx = &mut Context::from_waker(Waker::noop());
    let mut ada = pin!(correlation("ada").scope(steps("ada")));
    let mut bob = pin!(correlation("bob").scope(steps("bob")));
    for _ in 0..100 {
        assert_eq!(ada.as_mut().poll(cx), Poll::Pending);
        assert_eq!(current_session(), None);
        assert_eq!(bob.as_mut().poll(cx), Poll::Pending);
    }
    assert_eq!(ada.as_mut().poll(cx), Poll::Ready(()));
    assert_eq!(bob.as_mut().poll(cx), Poll::Ready(()));
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|_| {
        if std::mem::replace(&mut yielded, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_future_is_dropped_with_its_correlation() {
    struct OnDrop(Option<oneshot::Sender<Option<String>>>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            if let Some(seen) = self.0.take() {
                let _ = seen.send(current_session());
            }
        }
    }

    let (seen, dropped) = oneshot::channel();
    let (started, running) = oneshot::channel();
    let task = tokio::spawn(correlation("a").scope(async move {
        let _on_drop = OnDrop(Some(seen));
        let _ = started.send(());
        std::future::pending::<()>().await;
    }));
    running.await.expect("started");
    task.abort();
    assert_eq!(dropped.await.expect("dropped").as_deref(), Some("a"));
}

#[tokio::test]
async fn a_user_set_inside_is_seen_outside() {
    let request = correlation("a");
    let handler = async {
        let user = UserId::parse("u_1").expect("valid");
        spawn(async { Correlation::current().is_some_and(|current| current.set_user(user)) }).await
    };
    assert!(request.clone().scope(handler).await.expect("joined"));
    assert_eq!(
        request.user_id().map(ToString::to_string).as_deref(),
        Some("u_1")
    );
}

#[test]
fn racing_logins_agree_on_one_user() {
    for _ in 0..200 {
        let request = correlation("a");
        let gate = Arc::new(Barrier::new(2));
        let threads = ["ada", "bob"].map(|name| {
            let (request, gate) = (request.clone(), gate.clone());
            std::thread::spawn(move || {
                gate.wait();
                request.set_user(UserId::parse(name).expect("valid"))
            })
        });
        let won = threads.map(|thread| thread.join().expect("joined"));
        let user = request.user_id().map(ToString::to_string);
        let user = user.as_deref();
        assert_eq!(
            (won, user),
            if won[0] {
                ([true, false], Some("ada"))
            } else {
                ([false, true], Some("bob"))
            }
        );
    }
}

#[test]
fn the_trace_of_a_correlation_is_current_when_there_is_no_span() {
    let ids = TraceIds::new([1; 16], [2; 8]).expect("not zero");
    let request = Correlation::builder().trace(ids).build();
    assert_eq!(request.enter(current_trace), Some(ids));
    assert_eq!(request.enter(current_span), None);
    assert_eq!(correlation("a").enter(current_trace), None);
}

const REQUESTS: usize = 100_000;
const AT_ONCE: usize = 1_000;

/// Ids that say which request they belong to.
fn request(n: usize) -> Correlation {
    Correlation::builder()
        .session(
            SessionId::parse(&format!("s-{n}")).expect("valid"),
            SessionSource::Adopted,
        )
        .request_id(RequestId::parse(&format!("r-{n}")).expect("valid"))
        .claimed_user(UserId::parse(["ada", "bob"][n % 2]).expect("valid"))
        .build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_interleaved_requests_of_two_users_never_mix() {
    static MIXED: AtomicUsize = AtomicUsize::new(0);
    static CHECKED: AtomicUsize = AtomicUsize::new(0);

    fn check(n: usize) {
        let own = Correlation::current().is_some_and(|current| current == request(n));
        MIXED.fetch_add(usize::from(!own), SeqCst);
        CHECKED.fetch_add(1, SeqCst);
    }

    async fn handle(n: usize) {
        check(n);
        yield_now().await;
        check(n);
        let nested = spawn(async move {
            check(n);
            yield_now().await;
            let deeper = spawn(async move { check(n) });
            check(n);
            deeper.await.expect("joined");
        });
        if n.is_multiple_of(10) {
            spawn_blocking(move || check(n)).await.expect("joined");
        }
        tokio::join!(async { check(n) }, async {
            yield_now().await;
            check(n);
        });
        nested.await.expect("joined");
        check(n);
    }

    let mut running = JoinSet::new();
    for n in 0..REQUESTS {
        if running.len() == AT_ONCE {
            running
                .join_next()
                .await
                .expect("not empty")
                .expect("joined");
        }
        running.spawn(request(n).scope(handle(n)));
    }
    while let Some(done) = running.join_next().await {
        done.expect("joined");
    }
    assert_eq!(MIXED.load(SeqCst), 0);
    assert_eq!(CHECKED.load(SeqCst), REQUESTS * 8 + REQUESTS / 10);
    assert_eq!(Correlation::current(), None);
}

#[test]
fn a_correlation_and_what_carries_it_may_move_between_threads() {
    fn check<T: Send + Sync>(_: &T) {}
    check(&correlation("a"));
    check(&correlation("a").scope(async {}));
    check(&capture());

    let polled = AtomicBool::new(false);
    let mut scoped = Box::pin(correlation("a").scope(async {
        yield_once().await;
        polled.store(current_session().as_deref() == Some("a"), SeqCst);
    }));
    let cx = &mut Context::from_waker(Waker::noop());
    assert_eq!(scoped.as_mut().poll(cx), Poll::Pending);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            scoped
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        });
    });
    assert!(polled.load(SeqCst));
}
