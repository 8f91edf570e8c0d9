use std::time::Duration;

use proptest::prelude::*;

use super::*;

const DELIVERED: Verdict = Verdict::Delivered;
const REJECTED: Verdict = Verdict::Rejected(RejectReason::Invalid);
const RETRY: Verdict = Verdict::Retry;

fn judged(answer: &Answer, count: usize) -> Outcome {
    judge(answer, count, &StatusRules::new()).outcome
}

fn accepted(body: &'static str, count: usize) -> Outcome {
    judged(&Answer::new(202).with_body(body), count)
}

/// The kind of the cause, with the name of the outcome before it.
fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered => "delivered".into(),
        Outcome::PerEvent(_) => "per event".into(),
        Outcome::Retry { cause, .. } => format!("retry {}", cause.kind),
        Outcome::Split { cause } => format!("split {}", cause.kind),
        Outcome::Poisoned { cause } => format!("poisoned {}", cause.kind),
        Outcome::Hold { cause } => format!("hold {}", cause.kind),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_receipt_without_rejections_delivers_all() {
    for body in [
        r#"{"accepted":3,"rejected":0}"#,
        r#"{"accepted":3,"rejected":0,"errors":[]}"#,
        r#"{"accepted":3,"rejected":0,"errors":null,"took_ms":4}"#,
        " \r\n{\"rejected\":0,\"accepted\":3}\n",
    ] {
        assert_eq!(accepted(body, 3), Outcome::Delivered, "{body}");
        assert_eq!(
            judged(&Answer::new(200).with_body(body), 3),
            Outcome::Delivered,
            "{body}"
        );
    }
}

#[test]
fn events_that_a_receipt_names_are_rejected_and_the_others_delivered() {
    let body =
        r#"{"accepted":2,"rejected":1,"errors":[{"index":1,"error":"session.id: required"}]}"#;
    assert_eq!(
        accepted(body, 3),
        Outcome::PerEvent(vec![DELIVERED, REJECTED, DELIVERED])
    );

    let unordered = r#"{"accepted":1,"rejected":2,"errors":[{"index":2},{"index":0}]}"#;
    assert_eq!(
        accepted(unordered, 3),
        Outcome::PerEvent(vec![REJECTED, DELIVERED, REJECTED])
    );
}

#[test]
fn an_event_named_twice_is_one_rejected_event() {
    let body = r#"{"accepted":2,"rejected":1,"errors":[{"index":0},{"index":0}]}"#;
    assert_eq!(
        accepted(body, 3),
        Outcome::PerEvent(vec![REJECTED, DELIVERED, DELIVERED])
    );
}

#[test]
fn all_events_are_rejected_when_the_receipt_says_so_whatever_it_names() {
    for body in [
        r#"{"accepted":0,"rejected":2}"#,
        r#"{"accepted":0,"rejected":2,"errors":[{"index":0},{"index":1}]}"#,
        r#"{"accepted":0,"rejected":2,"errors":[{"index":7}]}"#,
    ] {
        assert_eq!(
            accepted(body, 2),
            Outcome::PerEvent(vec![REJECTED; 2]),
            "{body}"
        );
    }
}

#[test]
fn fewer_named_than_counted_leaves_the_unnamed_for_another_request() {
    let body = r#"{"accepted":1,"rejected":2,"errors":[{"index":2}]}"#;
    assert_eq!(
        accepted(body, 3),
        Outcome::PerEvent(vec![RETRY, RETRY, REJECTED])
    );
}

#[test]
fn rejections_that_cannot_be_placed_are_bisected() {
    for body in [
        r#"{"accepted":2,"rejected":1}"#,
        r#"{"accepted":2,"rejected":1,"errors":[]}"#,
        r#"{"accepted":2,"rejected":1,"errors":[{"index":3}]}"#,
        r#"{"accepted":2,"rejected":1,"errors":[{"index":-1}]}"#,
        r#"{"accepted":2,"rejected":1,"errors":[{"error":"session.id: required"}]}"#,
        r#"{"accepted":1,"rejected":2,"errors":[{"index":1},{"index":3}]}"#,
    ] {
        assert_eq!(
            word(&accepted(body, 3)),
            "poisoned unnamed_rejection",
            "{body}"
        );
    }
}

#[test]
fn a_receipt_that_contradicts_itself_or_the_request_is_tried_again() {
    for body in [
        r#"{"accepted":0,"rejected":0}"#,
        r#"{"accepted":2,"rejected":0}"#,
        r#"{"accepted":4,"rejected":0}"#,
        r#"{"accepted":3,"rejected":1,"errors":[{"index":0}]}"#,
        r#"{"accepted":18446744073709551615,"rejected":4}"#,
        r#"{"accepted":3,"rejected":0,"errors":[{"index":0}]}"#,
        r#"{"accepted":2,"rejected":1,"errors":[{"index":0},{"index":1}]}"#,
    ] {
        assert_eq!(word(&accepted(body, 3)), "retry miscounted", "{body}");
    }
}

#[test]
fn a_success_without_a_receipt_is_tried_again() {
    for body in [
        "",
        "ok",
        "<html>It works!</html>",
        "[3,0]",
        "[3,0,[]]",
        "{}",
        "null",
        r#"{"status":"ok"}"#,
        r#"{"accepted":3}"#,
        r#"{"rejected":0}"#,
        r#"{"accepted":3,"rejected":null}"#,
        r#"{"accepted":"3","rejected":0}"#,
        r#"{"accepted":3.0,"rejected":0}"#,
        r#"{"accepted":-3,"rejected":0}"#,
        r#"{"accepted":3,"accepted":3,"rejected":0}"#,
        r#"{"accepted":3,"rejected":0"#,
        r#"{"accepted":3,"rejected":0}{"accepted":3,"rejected":0}"#,
        r#"{"accepted":2,"rejected":1,"errors":{"index":0}}"#,
        r#"{"accepted":2,"rejected":1,"errors":[{"index":"0"}]}"#,
    ] {
        for status in [200, 202] {
            let outcome = judged(&Answer::new(status).with_body(body), 3);
            assert_eq!(word(&outcome), "retry bad_body", "{body}");
        }
    }
    assert_eq!(word(&judged(&Answer::new(204), 3)), "retry bad_body");
}

#[test]
fn a_receipt_that_was_cut_short_proves_nothing() {
    let mut answer = Answer::new(202).with_body(r#"{"accepted":3,"rejected":0}"#);
    answer.incomplete = Some(crate::providers::http::TransportError::too_long());
    assert_eq!(word(&judged(&answer, 3)), "retry bad_body");
}

#[test]
fn a_status_that_says_it_all_needs_no_body() {
    for (status, body, expected) in [
        (400, "invalid request body\n", "poisoned status"),
        (400, "", "poisoned status"),
        (400, "batch too large\n", "split status"),
        (413, "", "split status"),
        (422, "", "poisoned status"),
        (401, "", "hold status"),
        (403, r#"{"accepted":1,"rejected":0}"#, "hold status"),
        (404, "", "hold status"),
        (405, "", "hold status"),
        (302, "", "hold redirect"),
        (408, "", "retry status"),
        (429, "", "retry status"),
        (500, "failed to process events\n", "retry status"),
        (501, "", "retry status"),
        (503, r#"{"accepted":1,"rejected":0}"#, "retry status"),
    ] {
        let outcome = judged(&Answer::new(status).with_body(body), 1);
        assert_eq!(word(&outcome), expected, "{status} {body}");
    }
}

#[test]
fn the_wait_that_was_asked_for_is_passed_on() {
    let wait = Duration::from_secs(7);
    for answer in [
        Answer::new(429),
        Answer::new(503),
        Answer::new(202).with_body("busy"),
    ] {
        let outcome = judged(&answer.with_retry_after(wait), 1);
        assert!(
            matches!(outcome, Outcome::Retry { not_before: Some(w), .. } if w == wait),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_missing_tenant_key_is_told_apart_from_bad_events() {
    let state = |body: &'static str, count| {
        judge(
            &Answer::new(202).with_body(body),
            count,
            &StatusRules::new(),
        )
        .tenant_key
    };
    let both = r#"{"accepted":0,"rejected":2,"errors":[
        {"index":0,"error":"product_id: required"},{"index":1,"error":"product_id: required"}]}"#;
    assert_eq!(
        state(both, 2),
        TenantKeyState::Missing(TenantKey::ProductId)
    );
    let old =
        r#"{"accepted":0,"rejected":1,"errors":[{"index":0,"error":"project_id: required"}]}"#;
    assert_eq!(state(old, 1), TenantKeyState::Missing(TenantKey::ProjectId));

    let mixed = r#"{"accepted":0,"rejected":2,"errors":[
        {"index":0,"error":"product_id: required"},{"index":1,"error":"event_id: required"}]}"#;
    assert_eq!(state(mixed, 2), TenantKeyState::Unknown);
    assert_eq!(
        state(r#"{"accepted":0,"rejected":1}"#, 1),
        TenantKeyState::Unknown
    );
    assert_eq!(state("rubbish", 1), TenantKeyState::Unknown);
    let some =
        r#"{"accepted":1,"rejected":1,"errors":[{"index":0,"error":"product_id: required"}]}"#;
    assert_eq!(state(some, 2), TenantKeyState::Accepted);
}

/// Bodies that look like receipts more often than not.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let entry = prop_oneof![
        (-2i64..8).prop_map(|index| format!(r#"{{"index":{index},"error":"e: required"}}"#)),
        Just("{}".to_owned()),
        Just("null".to_owned()),
    ];
    let receipt = (
        0u64..8,
        0u64..8,
        prop::option::of(prop::collection::vec(entry, 0..6)),
    )
        .prop_map(|(accepted, rejected, errors)| {
            let errors = errors
                .map(|e| format!(r#","errors":[{}]"#, e.join(",")))
                .unwrap_or_default();
            format!(r#"{{"accepted":{accepted},"rejected":{rejected}{errors}}}"#).into_bytes()
        });
    prop_oneof![
        4 => receipt,
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => "[\\{\\}\\[\\]\",:a-z0-9]{0,60}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn verdicts_match_the_request_and_never_claim_more_than_the_receipt(
        body in body(),
        status in prop_oneof![3 => Just(202u16), 1 => any::<u16>()],
        count in 1usize..7,
    ) {
        let answer = Answer::new(status).with_body(body.clone());
        let receipt = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        let said = |key: &str| receipt[key].as_u64();

        let delivered = match judged(&answer, count) {
            Outcome::Delivered => {
                prop_assert_eq!(said("rejected"), Some(0));
                count
            }
            Outcome::PerEvent(verdicts) => {
                prop_assert_eq!(verdicts.len(), count);
                let rejected = verdicts.iter().filter(|v| **v == REJECTED).count();
                prop_assert!(rejected > 0, "a verdict per event must settle at least one");
                prop_assert!(Some(rejected as u64) <= said("rejected"));
                verdicts.iter().filter(|v| **v == DELIVERED).count()
            }
            _ => 0,
        };
        if delivered > 0 {
            prop_assert!((200..300).contains(&status));
            prop_assert_eq!(said("accepted"), Some(delivered as u64));
        }
    }
}
