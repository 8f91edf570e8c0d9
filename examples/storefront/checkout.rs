//! A journey of four steps (the first, filling the cart, is in `shop.rs`), and a payment that is
//! settled by tasks of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use productgraph::{Event, correlation};
use tokio::time::{Instant, sleep_until};

use crate::shop::Shop;

pub(crate) const JOURNEY: &str = "checkout_flow";
/// The card that every bank turns down.
pub(crate) const BAD_CARD: &str = "4000-0000-0000-0002";

pub(crate) async fn address(State(shop): State<Arc<Shop>>) -> StatusCode {
    shop.track(Event::journey_step(JOURNEY, "address", "Address given"));
    StatusCode::NO_CONTENT
}

pub(crate) async fn payment(State(shop): State<Arc<Shop>>, card: String) -> StatusCode {
    // A bare `tokio::spawn` would lose session, request and user; this keeps them.
    let bank = correlation::spawn(ask_the_bank(Arc::clone(&shop), card));
    match bank.await {
        Ok(true) => {
            shop.track(Event::journey_step(JOURNEY, "payment", "Payment made"));
            StatusCode::NO_CONTENT
        }
        Ok(false) => {
            shop.track(Event::error("PaymentDeclined", "the bank said no").component("checkout"));
            StatusCode::PAYMENT_REQUIRED
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn ask_the_bank(shop: Arc<Shop>, card: String) -> bool {
    let screening = correlation::spawn({
        let shop = Arc::clone(&shop);
        async move { shop.track(Event::custom("payment.screened")) }
    });
    sleep_until(Instant::now() + Duration::from_millis(5)).await;
    let screened = screening.await.is_ok();
    let authorised = screened && card != BAD_CARD;
    shop.track(Event::custom("payment.authorised").with("granted", authorised));
    authorised
}

pub(crate) async fn confirm(State(shop): State<Arc<Shop>>) -> StatusCode {
    shop.track(Event::journey_step(JOURNEY, "confirmed", "Order confirmed"));
    shop.track(Event::journey_conversion(JOURNEY, "completed"));
    StatusCode::NO_CONTENT
}
