//! Each fault does what it says, to the requests it is meant for.

mod common;

use std::time::Duration;

use common::{Client, Reply, batch, event_with, get, ids, post};
use productgraph_collector::{
    Answer, Collector, Ending, Fault, FaultPlan, RetryAfter, StartError, When,
};
use serde_json::json;
use tokio::io::AsyncReadExt;

const POST: &str = "POST /v1/events HTTP/1.1";

async fn with(plan: FaultPlan) -> Collector {
    Collector::builder().faults(plan).start().await.unwrap()
}

async fn send(collector: &Collector, id: &str) -> std::io::Result<Reply> {
    post(collector, ids(&[id])).await
}

async fn statuses(collector: &Collector, n: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..n {
        statuses.push(send(collector, "a").await.unwrap().status);
    }
    statuses
}

fn is_reset<T: std::fmt::Debug>(result: &std::io::Result<T>) -> bool {
    // While a body is being written, the same event may show as a broken pipe.
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    result
        .as_ref()
        .is_err_and(|error| matches!(error.kind(), ConnectionReset | BrokenPipe))
}

#[tokio::test]
async fn queued_faults_strike_one_request_each_and_pass_is_a_gap() {
    let plan = FaultPlan::new()
        .next(Fault::status(503))
        .next(Fault::Pass)
        .next(Fault::status(429));
    let collector = with(plan).await;
    assert_eq!(statuses(&collector, 4).await, [503, 202, 429, 202]);
    assert_eq!(collector.stats().accepted, 2);
    assert_eq!(collector.stats().faults, 2);
    collector.faults().push_times(2, Fault::status(500));
    assert_eq!(statuses(&collector, 3).await, [500, 500, 202]);
}

#[tokio::test]
async fn standing_faults_keep_to_their_turn() {
    let collector = with(FaultPlan::new().standing(Fault::status(500), When::Every(3))).await;
    assert_eq!(
        statuses(&collector, 6).await,
        [202, 202, 500, 202, 202, 500]
    );
    collector
        .faults()
        .set_standing(Fault::status(501), When::First(2));
    assert_eq!(statuses(&collector, 3).await, [501, 501, 202]);
    collector
        .faults()
        .set_standing(Fault::status(502), When::Always);
    assert_eq!(statuses(&collector, 2).await, [502, 502]);
    collector.faults().clear_standing();
    assert_eq!(statuses(&collector, 1).await, [202]);
}

#[tokio::test]
async fn the_first_standing_fault_whose_turn_it_is_strikes() {
    let plan = FaultPlan::new()
        .standing(Fault::status(500), When::Every(2))
        .standing(Fault::status(503), When::Every(3));
    assert_eq!(
        statuses(&with(plan).await, 6).await,
        [202, 500, 503, 500, 202, 500]
    );
}

#[tokio::test]
async fn probability_with_the_same_seed_gives_the_same_requests() {
    let plan =
        |seed| FaultPlan::new().standing(Fault::status(500), When::Probability { p: 0.5, seed });
    let first = statuses(&with(plan(7)).await, 40).await;
    assert_eq!(first, statuses(&with(plan(7)).await, 40).await);
    assert_ne!(first, statuses(&with(plan(8)).await, 40).await);
    let struck = first.iter().filter(|status| **status == 500).count();
    assert!((8..=32).contains(&struck), "{struck}");
}

#[tokio::test]
async fn an_answer_carries_what_was_asked_for() {
    let answer = Answer::new(429)
        .retry_after(RetryAfter::Seconds(2))
        .body("slow down");
    let collector = with(FaultPlan::new().next(answer).next(Fault::html(502))).await;
    let reply = send(&collector, "a").await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (429, "slow down"));
    assert_eq!(reply.header("retry-after"), Some("2"));
    let reply = send(&collector, "a").await.unwrap();
    assert_eq!(
        reply.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(reply.body.starts_with("<!DOCTYPE html>"));
    assert!(collector.events().is_empty());
}

#[tokio::test]
async fn retry_after_can_be_a_date_or_nonsense() {
    let date = Answer::new(503).retry_after(RetryAfter::Date { date_in: 30 });
    let nonsense = Answer::new(503).retry_after(RetryAfter::Verbatim("soon".to_owned()));
    let collector = with(FaultPlan::new().next(date).next(nonsense)).await;
    let reply = send(&collector, "a").await.unwrap();
    let sent = reply.header("retry-after").unwrap();
    assert!(
        sent.len() == 29 && sent.ends_with(" GMT") && sent.contains(", "),
        "{sent}"
    );
    let reply = send(&collector, "a").await.unwrap();
    assert_eq!(reply.header("retry-after"), Some("soon"));
}

#[tokio::test]
async fn a_redirect_names_its_target() {
    let collector = with(FaultPlan::new().next(Fault::redirect(307, "/elsewhere"))).await;
    let reply = send(&collector, "a").await.unwrap();
    assert_eq!(
        (reply.status, reply.header("location")),
        (307, Some("/elsewhere"))
    );
}

#[tokio::test]
async fn rubbish_is_a_200_that_is_not_json() {
    let collector = with(FaultPlan::new().next(Fault::rubbish())).await;
    let reply = send(&collector, "a").await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&reply.body).is_err());
}

#[tokio::test]
async fn a_reset_before_the_body_does_not_wait_for_it() {
    let collector = with(FaultPlan::new().next(Fault::reset_before_body())).await;
    let mut client = Client::connect(&collector).await;
    client
        .write(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        .await
        .unwrap();
    assert!(is_reset(&client.receive().await));
    let record = &collector.requests()[0];
    assert_eq!(
        (record.ending, record.status, record.body_len),
        (Ending::Reset, None, 0)
    );
}

#[tokio::test]
async fn a_reset_after_the_body_stores_nothing() {
    let collector = with(FaultPlan::new().next(Fault::reset_after_body())).await;
    assert!(is_reset(&send(&collector, "a").await));
    assert_eq!(collector.requests()[0].body_len, ids(&["a"]).len());
    assert!(collector.event_ids().is_empty());
    assert_eq!(collector.stats().resets, 1);
}

#[tokio::test]
async fn store_then_reset_stores_without_an_answer_and_a_retry_is_a_duplicate() {
    let collector = with(FaultPlan::new().next(Fault::store_then_reset())).await;
    assert!(is_reset(&send(&collector, "a").await));
    assert_eq!(collector.event_ids(), ["a"]);
    assert_eq!(send(&collector, "a").await.unwrap().status, 202);
    assert_eq!(collector.event_ids(), ["a", "a"]);
    assert_eq!(collector.stats().duplicates, 1);
}

#[tokio::test]
async fn store_then_500_stores_and_answers_like_a_failed_publisher() {
    let collector = with(FaultPlan::new().next(Fault::store_then_500())).await;
    let reply = send(&collector, "a").await.unwrap();
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (500, "failed to process events\n")
    );
    assert_eq!(collector.event_ids(), ["a"]);
    // What the service would refuse never reaches a publisher.
    collector.faults().push(Fault::store_then_500());
    assert_eq!(post(&collector, "{").await.unwrap().status, 400);
}

#[tokio::test]
async fn a_silent_request_is_abandoned_when_its_client_leaves() {
    let collector = with(FaultPlan::new().next(Fault::never_answer())).await;
    let mut client = Client::connect(&collector).await;
    client.send(POST, ids(&["a"]).as_bytes()).await.unwrap();
    collector.wait_for_waiting(1).await;
    assert_eq!(collector.stats().requests, 0);
    drop(client);
    collector.wait_for_requests(1).await;
    let record = &collector.requests()[0];
    assert_eq!((record.ending, record.status), (Ending::Abandoned, None));
    assert_eq!(collector.stats().abandoned, 1);
    assert!(collector.event_ids().is_empty());
}

#[tokio::test]
async fn a_silent_request_is_answered_once_it_is_released() {
    let plan = FaultPlan::new()
        .next(Fault::never_answer())
        .next(Fault::store_then_never_answer());
    let collector = with(plan).await;
    for (id, stored_before) in [("a", 0), ("b", 2)] {
        let mut client = Client::connect(&collector).await;
        client.send(POST, ids(&[id]).as_bytes()).await.unwrap();
        collector.wait_for_waiting(1).await;
        assert_eq!(collector.stats().accepted, stored_before);
        collector.faults().release();
        assert_eq!(client.receive().await.unwrap().status, 202);
        assert!(collector.event_ids().contains(&id.to_owned()));
    }
}

#[tokio::test]
async fn held_requests_wait_for_the_last_guard() {
    let collector = with(FaultPlan::new()).await;
    let (first, second) = (collector.faults().hold(), collector.faults().hold());
    let mut client = Client::connect(&collector).await;
    client.send(POST, ids(&["a"]).as_bytes()).await.unwrap();
    collector.wait_for_waiting(1).await;
    first.release();
    let mut other = Client::connect(&collector).await;
    other.send(POST, ids(&["b"]).as_bytes()).await.unwrap();
    collector.wait_for_waiting(2).await;
    assert!(collector.event_ids().is_empty());
    drop(second);
    assert_eq!(client.receive().await.unwrap().status, 202);
    assert_eq!(other.receive().await.unwrap().status, 202);
    collector.wait_for_events(2).await;
    assert_eq!(collector.stats().waiting, 0);
}

#[tokio::test]
async fn a_huge_body_has_the_size_asked_for() {
    let collector = with(FaultPlan::new().next(Fault::Huge {
        status: 500,
        bytes: 3_000_000,
    }))
    .await;
    let reply = send(&collector, "a").await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (500, 3_000_000));
}

#[tokio::test]
async fn a_trickling_answer_is_the_true_one() {
    let step = Duration::from_millis(1);
    let collector = with(FaultPlan::new().next(Fault::Trickle {
        step,
        step_bytes: 3,
    }))
    .await;
    let mut client = Client::connect(&collector).await;
    let reply = client.call(POST, ids(&["a"]).as_bytes()).await.unwrap();
    assert_eq!(
        (reply.status, reply.json()["accepted"].as_u64()),
        (202, Some(1))
    );
    // The connection is still good.
    assert_eq!(
        client
            .call(POST, ids(&["b"]).as_bytes())
            .await
            .unwrap()
            .status,
        202
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_is_the_true_one_as_far_as_it_goes() {
    for reset in [false, true] {
        let after_bytes = 8;
        let cut = Fault::Cut { after_bytes, reset };
        let collector = with(FaultPlan::new().next(cut)).await;
        let mut client = Client::connect(&collector).await;
        client.send(POST, ids(&["a"]).as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        let end = client.0.read_to_end(&mut seen).await;
        assert_eq!(is_reset(&end), reset, "{end:?}");
        let seen = String::from_utf8(seen).unwrap();
        assert!(seen.starts_with("HTTP/1.1 202 "), "{seen}");
        assert!(seen.ends_with("\r\n\r\n{\"accept"), "{seen}");
        // stored all the same, and only this one is cut
        assert_eq!(collector.event_ids(), ["a"]);
        assert_eq!(send(&collector, "b").await.unwrap().status, 202);
    }
}

#[tokio::test]
async fn an_answer_that_is_shorter_is_not_cut() {
    let after_bytes = 10_000;
    let collector = with(FaultPlan::new().next(Fault::Cut {
        after_bytes,
        reset: true,
    }))
    .await;
    assert_eq!(send(&collector, "a").await.unwrap().status, 202);
}

#[tokio::test(start_paused = true)]
async fn latency_comes_before_the_answer() {
    let collector = with(FaultPlan::new().latency(Duration::from_secs(3))).await;
    let start = tokio::time::Instant::now();
    assert_eq!(send(&collector, "a").await.unwrap().status, 202);
    assert!(start.elapsed() >= Duration::from_secs(3));
    collector.faults().set_latency(Duration::ZERO);
    assert_eq!(collector.faults().plan(), FaultPlan::new());
}

#[tokio::test]
async fn a_secret_limit_answers_413_above_it() {
    let body = ids(&["a"]);
    let collector = with(FaultPlan::new().secret_body_limit(body.len())).await;
    assert_eq!(post(&collector, &body).await.unwrap().status, 202);
    assert_eq!(
        post(&collector, format!("{body} ")).await.unwrap().status,
        413
    );
    assert_eq!(collector.requests()[1].fault, Some("secret_body_limit"));
    collector.faults().set_secret_body_limit(None);
    assert_eq!(
        post(&collector, format!("{body} ")).await.unwrap().status,
        202
    );
}

#[tokio::test]
async fn a_poisoned_event_refuses_its_batch_without_an_index() {
    let collector = with(FaultPlan::new().poison("bad-1")).await;
    collector.faults().poison("bad-2");
    for (id, status) in [("bad-1", 400), ("bad-2", 400), ("good", 202)] {
        let reply = post(&collector, ids(&["a", id, "c"])).await.unwrap();
        assert_eq!(reply.status, status, "{id}");
        assert!(status == 202 || reply.body == "invalid request body\n");
    }
    assert_eq!(collector.event_ids(), ["a", "good", "c"]);
}

#[tokio::test]
async fn a_marked_event_is_rejected_by_its_index() {
    let collector = with(FaultPlan::new().reject("bad-1")).await;
    collector.faults().reject("bad-2", "event.type: required");
    let marked = event_with("metadata", json!({"why": "bad-2"}));
    let body = batch(&[common::event("a"), common::event("bad-1"), marked]);
    let reply = post(&collector, body).await.unwrap();
    assert_eq!(reply.status, 202);
    assert_eq!(
        reply.json(),
        json!({"accepted": 1, "rejected": 2, "errors": [
            {"index": 1, "error": "session.id: required"},
            {"index": 2, "error": "event.type: required"},
        ]})
    );
}

#[tokio::test]
async fn only_posts_to_the_endpoint_use_up_faults() {
    let collector = with(FaultPlan::new().next(Fault::status(503))).await;
    assert_eq!(get(&collector, "/health").await.status, 200);
    assert_eq!(get(&collector, "/v1/events").await.status, 405);
    assert_eq!(statuses(&collector, 2).await, [503, 202]);
}

#[tokio::test]
async fn a_plan_survives_json_and_can_be_read_back() {
    let plan = FaultPlan::new()
        .next(
            Answer::new(429)
                .retry_after(RetryAfter::Date { date_in: -5 })
                .location("/x"),
        )
        .next(
            Answer::new(500)
                .retry_after(RetryAfter::Verbatim("x".to_owned()))
                .after_storing(),
        )
        .next(Fault::Pass)
        .next(Fault::store_then_reset())
        .next(Fault::store_then_never_answer())
        .next(Fault::Huge {
            status: 500,
            bytes: 5,
        })
        .next(Fault::Trickle {
            step: Duration::from_millis(5),
            step_bytes: 1,
        })
        .next(Fault::Cut {
            after_bytes: 3,
            reset: true,
        })
        .standing(Fault::rubbish(), When::Probability { p: 0.25, seed: 1 })
        .standing(Fault::html(502), When::Every(2))
        .latency(Duration::from_millis(7))
        .secret_body_limit(9)
        .poison("p")
        .reject("r");
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<FaultPlan>(&json).unwrap(), plan);
    let collector = with(plan.clone()).await;
    assert_eq!(collector.faults().plan(), plan);
    collector.faults().clear();
    assert_eq!(collector.faults().plan(), FaultPlan::new());
}

#[tokio::test]
async fn a_plan_that_cannot_be_followed_is_refused_at_the_start() {
    for plan in [
        FaultPlan::new().next(Fault::status(100)),
        FaultPlan::new().standing(Fault::rubbish(), When::Every(0)),
        FaultPlan::new().standing(Fault::rubbish(), When::Probability { p: 1.5, seed: 0 }),
        FaultPlan::new().poison(""),
    ] {
        let refused = Collector::builder().faults(plan).start().await;
        assert!(matches!(refused, Err(StartError::Faults(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn the_plan_shown_in_the_readme_can_be_followed() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```json\n").unwrap();
    let (plan, _) = rest.split_once("```").unwrap();
    let plan: FaultPlan = serde_json::from_str(plan).unwrap();
    assert_eq!((plan.next.len(), plan.standing.len()), (8, 2));
    let collector = with(plan.clone()).await;
    assert_eq!(collector.faults().plan(), plan);
}
