//! What the service, or a proxy before it, may answer.

use std::time::Duration;

use productgraph::providers::http::{MAX_RETRY_AFTER, StatusClass};
use productgraph::providers::{ProductGraph, TenantKeys};
use productgraph::{Events, Outcome, RejectReason, Verdict};
use productgraph_collector::{Answer, Collector, Fault, Generation, RetryAfter};

use crate::support::{build, deliver, event, events, provider, word};

const REJECTED: Verdict = Verdict::Rejected(RejectReason::Invalid);

async fn collector() -> Collector {
    Collector::builder().start().await.expect("a collector")
}

#[tokio::test]
async fn both_generations_of_the_service_take_events_with_default_settings() {
    for generation in [Generation::V0_2, Generation::V0_3] {
        let collector = Collector::builder()
            .generation(generation)
            .start()
            .await
            .expect("a collector");
        let outcome = deliver(&*provider(collector.base_url()), &events(3)).await;

        assert_eq!(outcome, Outcome::Delivered);
        assert_eq!(collector.event_ids(), ["e0", "e1", "e2"]);
        assert_eq!(collector.events()[0][generation.tenant_key()], "shop");
    }
}

#[tokio::test]
async fn a_request_says_what_it_is_and_who_sends_it() {
    let collector = Collector::builder()
        .require_key("k-51a7")
        .start()
        .await
        .expect("a collector");
    let provider = build(ProductGraph::new(collector.endpoint()).api_key("k-51a7"));
    assert_eq!(deliver(&*provider, &events(1)).await, Outcome::Delivered);

    let request = &collector.requests()[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let agent = concat!("productgraph/", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(agent));
    for absent in ["content-encoding", "referer", "cookie", "accept-encoding"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn a_wrong_or_missing_key_holds_the_events() {
    let collector = Collector::builder()
        .require_key("k-51a7")
        .start()
        .await
        .expect("a collector");
    for provider in [
        ProductGraph::new(collector.base_url()).api_key("k-other"),
        ProductGraph::new(collector.base_url()),
    ] {
        let outcome = deliver(&*build(provider), &events(1)).await;
        assert!(matches!(&outcome, Outcome::Hold { cause } if cause.status == Some(401)));
    }
}

#[tokio::test]
async fn events_that_the_service_names_are_rejected_and_the_others_stored() {
    let collector = collector().await;
    collector.faults().reject("bad", "session.id: required");
    let batch = [
        event("good-1"),
        event("bad-1"),
        event("good-2"),
        event("bad-2"),
    ];
    let outcome = deliver(&*provider(collector.base_url()), &batch).await;

    let stored = Verdict::Delivered;
    assert_eq!(
        outcome,
        Outcome::PerEvent(vec![stored, REJECTED, stored, REJECTED])
    );
    assert_eq!(collector.event_ids(), ["good-1", "good-2"]);
}

#[tokio::test]
async fn a_server_that_wants_the_other_tenant_key_accepts_nothing_and_is_not_believed() {
    let collector = collector().await;
    let provider =
        build(ProductGraph::new(collector.base_url()).tenant_keys(TenantKeys::ProjectId));
    let outcome = deliver(&*provider, &events(2)).await;

    assert_eq!(outcome, Outcome::PerEvent(vec![REJECTED; 2]));
    assert_eq!(collector.requests()[0].status, Some(202));
}

#[tokio::test]
async fn a_poison_event_spoils_its_request_and_no_other() {
    let collector = collector().await;
    collector.faults().poison("bad");
    let provider = provider(collector.base_url());
    let batch = [event("good-1"), event("good-2"), event("bad-1")];

    assert_eq!(word(&deliver(&*provider, &batch).await), "poisoned status");
    assert_eq!(
        word(&deliver(&*provider, &batch[2..]).await),
        "poisoned status"
    );
    assert_eq!(deliver(&*provider, &batch[..2]).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_request_with_too_many_events_is_to_be_split() {
    let collector = Collector::builder()
        .max_events(2)
        .start()
        .await
        .expect("a collector");
    let provider = provider(collector.base_url());
    let batch = events(3);

    assert_eq!(word(&deliver(&*provider, &batch).await), "split status");
    assert_eq!(deliver(&*provider, &batch[..2]).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_body_over_a_limit_nobody_knew_is_to_be_split_and_fits_when_it_is() {
    const LIMIT: usize = 700;
    let collector = collector().await;
    collector.faults().set_secret_body_limit(Some(LIMIT));
    let provider = provider(collector.base_url());
    let batch = events(10);
    assert_eq!(word(&deliver(&*provider, &batch).await), "split status");

    let mut rest = &batch[..];
    while !rest.is_empty() {
        let events = Events::from_slice(rest);
        let encoded = provider.encode(&events, LIMIT);
        assert!(encoded.body.len() <= LIMIT);
        let (sent, left) = rest.split_at(encoded.consumed);
        let outcome = provider.send(encoded.body, Events::from_slice(sent)).await;
        assert_eq!(outcome, Outcome::Delivered);
        rest = left;
    }
    assert_eq!(collector.event_ids().len(), 10);
}

#[tokio::test]
async fn a_busy_service_is_tried_again_no_sooner_than_it_asks() {
    let seconds = |n| Some(Duration::from_secs(n));
    let collector = collector().await;
    let provider = provider(collector.base_url());
    for (status, header, expected) in [
        (503, Some(RetryAfter::Seconds(7)), seconds(7)),
        (
            429,
            Some(RetryAfter::Seconds(u64::MAX)),
            Some(MAX_RETRY_AFTER),
        ),
        (503, Some(RetryAfter::Date { date_in: -60 }), seconds(0)),
        (503, Some(RetryAfter::Verbatim("in a while".into())), None),
        (429, None, None),
        (500, None, None),
        (408, None, None),
    ] {
        let mut answer = Answer::new(status);
        answer.retry_after = header;
        collector.faults().push(answer);
        let outcome = deliver(&*provider, &events(1)).await;
        let Outcome::Retry { not_before, cause } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((not_before, cause.status), (expected, Some(status)));
    }

    let in_a_minute = RetryAfter::Date { date_in: 60 };
    collector
        .faults()
        .push(Answer::new(503).retry_after(in_a_minute));
    let outcome = deliver(&*provider, &events(1)).await;
    let Outcome::Retry {
        not_before: Some(wait),
        ..
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert!((58..=61).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn a_service_that_stored_part_of_it_and_failed_gets_the_same_ids_again() {
    let collector = collector().await;
    collector.faults().push(Fault::store_then_500());
    let provider = provider(collector.base_url());
    let batch = events(2);

    assert_eq!(word(&deliver(&*provider, &batch).await), "retry status");
    assert_eq!(deliver(&*provider, &batch).await, Outcome::Delivered);
    assert_eq!(collector.event_ids(), ["e0", "e1", "e0", "e1"]);
}

#[tokio::test]
async fn a_page_of_a_proxy_is_not_taken_for_a_receipt() {
    let collector = collector().await;
    let provider = provider(collector.base_url());
    for (fault, expected) in [
        (Fault::html(200), "retry bad_body"),
        (Fault::html(202), "retry bad_body"),
        (Fault::rubbish(), "retry bad_body"),
        (Fault::status(204), "retry bad_body"),
        (Fault::html(502), "retry status"),
        (Fault::html(404), "hold status"),
        (Fault::status(405), "hold status"),
        (Fault::html(403), "hold status"),
    ] {
        collector.faults().push(fault);
        assert_eq!(word(&deliver(&*provider, &events(1)).await), expected);
    }
    assert_eq!(collector.event_ids().len(), 0);
}

#[tokio::test]
async fn a_gateway_with_a_mind_of_its_own_can_be_understood() {
    let collector = collector().await;
    let provider = build(
        ProductGraph::new(collector.base_url())
            .on_status(403, StatusClass::Retry)
            .on_status(500, StatusClass::Refused),
    );
    collector.faults().push(Fault::status(403));
    assert_eq!(word(&deliver(&*provider, &events(1)).await), "retry status");
    collector.faults().push(Fault::status(500));
    let outcome = deliver(&*provider, &events(1)).await;
    assert!(matches!(
        outcome,
        Outcome::Final {
            reason: RejectReason::Refused,
            ..
        }
    ));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = collector().await;
    let collector = collector().await;
    let provider = provider(collector.base_url());
    for status in [301, 302, 303, 307, 308] {
        collector
            .faults()
            .push(Fault::redirect(status, target.endpoint()));
        assert_eq!(
            word(&deliver(&*provider, &events(1)).await),
            "hold redirect"
        );
    }
    assert_eq!(target.stats().connections, 0);
}

#[tokio::test]
async fn a_huge_answer_is_read_up_to_a_bound() {
    const HUGE: u64 = 1 << 40;
    let collector = collector().await;
    let provider = provider(collector.base_url());
    for (status, expected) in [
        (500, "retry status"),
        (400, "poisoned status"),
        (202, "retry bad_body"),
    ] {
        collector.faults().push(Fault::Huge {
            status,
            bytes: HUGE,
        });
        assert_eq!(word(&deliver(&*provider, &events(1)).await), expected);
    }
}

#[tokio::test]
async fn a_receipt_with_an_error_for_each_of_a_thousand_events_is_read_whole() {
    let collector = collector().await;
    collector
        .faults()
        .reject("bad", "gen_ai.journey.conversion.status: required");
    let provider = build(ProductGraph::new(collector.base_url()).max_batch_events(1000));
    let mut batch: Vec<_> = (0..999).map(|n| event(&format!("bad-{n}"))).collect();
    batch.push(event("good"));

    // with one accepted, each verdict depends on its own entry
    let Outcome::PerEvent(verdicts) = deliver(&*provider, &batch).await else {
        panic!("no receipt")
    };
    assert_eq!(verdicts.len(), 1000);
    assert_eq!(verdicts.iter().filter(|v| **v == REJECTED).count(), 999);
    assert_eq!(verdicts[999], Verdict::Delivered);
}

#[test]
fn events_that_cannot_be_sent_are_refused_one_by_one() {
    let provider = provider("http://localhost:1");
    let unstamped = productgraph::Event::from_wire(r#"{"event.type":"custom"}"#).expect("valid");
    let batch = [event("e0"), unstamped, event("e2")];
    let encoded = provider.encode(&Events::from_slice(&batch), 100_000);

    assert_eq!(encoded.consumed, 3);
    assert_eq!(encoded.refused, [(1, RejectReason::Unencodable)]);
    let body: serde_json::Value = serde_json::from_slice(&encoded.body).expect("JSON");
    assert_eq!(body["events"][1]["event_id"], "e2");
}
