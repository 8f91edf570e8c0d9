//! The events of the golden files.

use std::time::Duration;

use productgraph::correlation::{
    AnonymousId, Correlation, RequestId, SessionId, SessionSource, TraceIds, UserId,
};
use productgraph::event::{
    Api, ErrorInfo, Event, EventId, Journey, Org, Page, Performance, Snapshot, Stamp, State,
    Timestamp, Ui, UiAction,
};
use serde_json::json;

/// Identity as the handle would give it.
pub(crate) fn stamped(event: Event) -> Event {
    event
        .with_id(EventId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap())
        .with_timestamp(Timestamp::parse("2026-01-01T00:00:01.25Z").unwrap())
        .with_sequence(7)
        .with_session(SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f").unwrap())
}

/// Every field of the protocol, on one event.
pub(crate) fn everything() -> Event {
    stamped(Event::custom("everything"))
        .with_user(UserId::parse("u_1").unwrap())
        .with_anonymous_id(AnonymousId::parse("anon-1").unwrap())
        .with_org(Org::new("org_7").name("Acme"))
        .with_trace(TraceIds {
            trace_id: [0x0a; 16],
            span_id: [0xb0; 8],
        })
        .with_page(
            Page::new()
                .path("/checkout")
                .url("https://shop.example/checkout"),
        )
        .title("Checkout")
        .referrer("https://shop.example/cart")
        .with_ui(Ui::new().component("buy").component_path("app/cart/buy"))
        .component_type("button")
        .action("buy")
        .element("button#buy")
        .element_text("Buy \"now\"")
        .viewport("1280x720")
        .scroll_position(12.5)
        .with_state(State::new().key("cart").change_type("update"))
        .before(json!({"items": 2}))
        .after(json!({"items": 3}))
        .with_journey(
            Journey::new()
                .id("j_1")
                .step_id("s_1")
                .step_name("Pay")
                .conversion_status("open"),
        )
        .with_api(
            Api::new()
                .method("POST")
                .path("/v1/orders")
                .status(502_u16)
                .duration(Duration::from_micros(41_500)),
        )
        .with_error(
            ErrorInfo::new()
                .error_type("Timeout")
                .message("upstream")
                .component("pay"),
        )
        .stack("at pay\n\tat cart")
        .with_performance(Performance::new().lcp(1812.5).fid(8.0).cls(0.04))
        .ttfb(Duration::from_millis(120))
        .with_snapshot(Snapshot::new().url("s3://shots/1.png").viewport("800x600"))
        .with_duration(Duration::from_millis(90))
        .with("order", 17)
        .with("nested", json!({"deep": [1, 2.5, null, true]}))
}

/// Stamped with a correlation as a request without any header gets one.
pub(crate) fn minted() -> Event {
    let correlation = Correlation::builder()
        .session(
            SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e60").unwrap(),
            SessionSource::Request,
        )
        .request_id(RequestId::parse("req-1").unwrap())
        .claimed_user(UserId::parse("u_2").unwrap())
        .trace(TraceIds {
            trace_id: [0x1b; 16],
            span_id: [0x2c; 8],
        })
        .build();
    let mut event = Event::api_response("GET", "/v1/plans/{id}", 200, Duration::from_millis(41));
    event.stamp(Stamp {
        id: EventId::parse("01890a5d-ac96-774b-bcce-b302099a8058").unwrap(),
        timestamp: Timestamp::parse("2026-01-01T00:00:01.250001Z").unwrap(),
        sequence: 8,
        correlation,
        trace: None,
    });
    event
}

/// Every event that has a golden file, under the file's name.
pub(crate) fn all() -> Vec<(&'static str, Event)> {
    let ui = |action| stamped(Event::ui(action, "checkout-form"));
    let error = Event::error("ValidationError", "invalid card number")
        .component("checkout")
        .with_page(Page::new().path("/checkout"))
        .with_api(Api::new().method("POST").path("/v1/orders").status(422_u16))
        .with("order", 17);
    vec![
        (
            "page_view",
            stamped(Event::page_view("/pricing").title("Pricing")),
        ),
        ("page_leave", {
            stamped(Event::page_leave("/pricing").with_duration(Duration::from_secs(12)))
        }),
        (
            "ui_click",
            ui(UiAction::Click)
                .element("button")
                .element_text("Weiter →"),
        ),
        ("ui_input", ui(UiAction::Input)),
        ("ui_scroll", ui(UiAction::Scroll).scroll_position(0)),
        ("ui_focus", ui(UiAction::Focus)),
        ("ui_blur", ui(UiAction::Blur)),
        ("ui_submit", ui(UiAction::Submit)),
        ("state_change", {
            let event = Event::state_change("cart").change_type("add");
            stamped(
                event
                    .before(json!({"items": [1]}))
                    .after(json!({"items": [1, 2]})),
            )
        }),
        (
            "api_request",
            stamped(Event::api_request("POST", "/v1/orders")),
        ),
        ("api_response", {
            let took = Duration::from_micros(41_499);
            stamped(Event::api_response("GET", "/v1/plans/{id}", 200, took))
        }),
        ("api_response_of_zeros", {
            stamped(Event::api_response("GET", "/", 0, Duration::ZERO))
                .with_sequence(0)
                .with_duration(Duration::ZERO)
        }),
        ("journey_step", {
            stamped(Event::journey_step(
                "checkout_flow",
                "payment",
                "Payment confirmed",
            ))
        }),
        (
            "journey_conversion",
            stamped(Event::journey_conversion("checkout_flow", "completed")),
        ),
        ("error", stamped(error)),
        ("performance", {
            let event = Event::performance().lcp(Duration::from_micros(1_812_500));
            stamped(event.fid(8.0).cls(0.04).ttfb(120.0))
        }),
        (
            "snapshot",
            stamped(Event::snapshot("s3://shots/17.png").viewport("1280x720")),
        ),
        (
            "custom",
            stamped(Event::custom("cart.abandoned").with("items", 3)),
        ),
        (
            "other",
            stamped(Event::of_type("feature.flag").with_name("new-checkout")),
        ),
        ("everything", everything()),
        ("minted_session", minted()),
    ]
}
