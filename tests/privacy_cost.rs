//! What looking for secrets costs where there are none.

use std::time::Duration;

use allocation_counter::measure;
use productgraph::correlation::{Correlation, SessionId, SessionSource};
use productgraph::event::{JsonText, Page};
use productgraph::{Consent, ConsentPolicy, Event, Redaction, Sampling, Text};

fn clean() -> Vec<(&'static str, Event)> {
    let stack = "at checkout (src/checkout.rs:17:5)\n".repeat(60);
    vec![
        (
            "api.response",
            Event::api_response("GET", "/v1/plans/{id}", 200, Duration::from_millis(3)),
        ),
        (
            "journey.step",
            Event::journey_step("checkout_flow", "payment_confirmed", "Payment confirmed"),
        ),
        (
            "error",
            Event::error(
                "Timeout",
                "no answer from 10.0.0.7:8080 since 2026-01-02 03:04:05",
            )
            .stack(stack),
        ),
        (
            "page",
            Event::page_view("/plans")
                .with_page(Page::new().url("https://shop.example/plans?page=2")),
        ),
        (
            "metadata",
            Event::custom("cart.abandoned")
                .with("items", 3)
                .with("plan", "a name that is longer than what fits inline")
                .with(
                    "nested",
                    serde_json::json!({"a": [1, 2.5, "b", null, {"c": true}]}),
                ),
        ),
    ]
}

#[test]
fn an_event_without_secrets_is_not_allocated_for_and_not_copied() {
    let redaction = Redaction::default().emails(true);
    for (name, mut event) in clean() {
        let shared = event.clone();
        let counted = measure(|| assert!(!redaction.apply(&mut event)));
        assert_eq!(counted.count_total, 0, "{name}");
        drop(shared);
    }
    // that it is counted at all
    let mut secret = Event::error("E", "password=hunter2");
    let counted = measure(|| assert!(redaction.apply(&mut secret)));
    assert!(counted.count_total > 0);
}

#[test]
fn text_that_is_static_or_shared_stays_so() {
    let text: &'static str = "a text that is longer than what fits inline";
    let mut event = Event::error(text, text)
        .with("clean", text)
        .with("secret", Text::from_static(text));
    assert!(Redaction::default().apply(&mut event));
    let kept = event.metadata().and_then(|all| all.get("clean")?.as_str());
    assert!(std::ptr::eq(kept.unwrap(), text));
    let hidden = event.metadata().and_then(|all| all.get("secret")?.as_str());
    assert_eq!(hidden, Some("[redacted]"));
}

#[test]
fn documents_without_escapes_are_read_without_allocating_for_their_texts() {
    let mut event = Event::state_change("cart")
        .before(serde_json::json!({"items": [{"sku": "a-1", "n": 2}], "total": 17.5}))
        .after(JsonText::raw(r#"["two", null, true, {"plan": "pro"}]"#));
    let redaction = Redaction::default();
    let counted = measure(|| assert!(!redaction.apply(&mut event)));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn consent_and_sampling_allocate_nothing() {
    let session = SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f").unwrap();
    let correlation = Correlation::builder()
        .session(session, SessionSource::Adopted)
        .build();
    let sampling = Sampling::sessions(0.5).unwrap();
    let counted = measure(|| {
        let event = Event::api_response("GET", "/", 200, Duration::ZERO)
            .with_correlation(correlation.clone())
            .with_consent(Consent::Granted);
        assert!(ConsentPolicy::OptIn.allows(&event));
        let _ = sampling.keeps(&event);
    });
    assert_eq!(counted.count_total, 0);
}
