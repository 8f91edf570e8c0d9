//! A service as anybody might write it, with telemetry added.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use http_body::Frame;
use productgraph::correlation::UserId;
use productgraph::middleware::TelemetryLayer;
use productgraph::{Correlation, Event, Handle};
use serde_json::json;
use tokio::time::{Instant, Interval, interval};

use crate::checkout;
use crate::latency::Latency;
use crate::receivers::{POISON, UNREADABLE};

pub(crate) struct Shop {
    handle: Handle,
    pub(crate) track_latency: Latency,
}

pub(crate) fn router(shop: Arc<Shop>, telemetry: TelemetryLayer) -> Router {
    Router::new()
        .route("/products/{id}", get(product))
        .route("/cart/{product}", post(add_to_cart))
        .route("/coupons/{code}", post(redeem))
        .route("/checkout/address", post(checkout::address))
        .route("/checkout/payment", post(checkout::payment))
        .route("/checkout/confirm", post(checkout::confirm))
        .route("/orders/{id}/live", get(live))
        .layer(from_fn(authenticate))
        // added last, so outermost: it sees every request and every answer
        .layer(telemetry)
        .with_state(shop)
}

impl Shop {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            track_latency: Latency::default(),
        }
    }

    /// `handle.track(event)`, timed for the show.
    pub(crate) fn track(&self, event: Event) {
        let start = Instant::now();
        self.handle.track(event);
        self.track_latency.record(start.elapsed());
    }
}

/// Says who it is once that is known; events before and after in this request then carry the user.
async fn authenticate(correlation: Correlation, request: Request, next: Next) -> Response {
    let token = request.headers().get(header::AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if let Some(Ok(user)) = token.map(UserId::parse) {
        correlation.set_user(user);
    }
    next.run(request).await
}

async fn product(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
) -> Result<String, StatusCode> {
    let number: u32 = id.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    shop.track(Event::page_view("/products/{id}").title("Product"));
    Ok(format!("product {number}\n"))
}

async fn add_to_cart(State(shop): State<Arc<Shop>>, Path(product): Path<u32>) -> &'static str {
    let change = Event::state_change("cart")
        .before(json!({"items": 0}))
        .after(json!({"items": 1}))
        .with("product", product);
    shop.track(change);
    shop.track(Event::journey_step(
        checkout::JOURNEY,
        "cart",
        "Cart filled",
    ));
    "added\n"
}

/// Some coupons make events that the rough receiver cannot digest.
async fn redeem(State(shop): State<Arc<Shop>>, Path(code): Path<String>) -> StatusCode {
    let name = match code.as_str() {
        "SKULL" => POISON,
        "SMUDGE" => UNREADABLE,
        _ => "coupon.redeemed",
    };
    shop.track(Event::custom(name));
    StatusCode::NO_CONTENT
}

/// News of an order as they come in. The request's event is tracked at the end of the stream.
async fn live(Path(_order): Path<u32>) -> Body {
    Body::new(News {
        stations: ["packed", "shipped", "at the door"].iter(),
        clock: interval(Duration::from_millis(20)),
    })
}

struct News {
    stations: std::slice::Iter<'static, &'static str>,
    clock: Interval,
}

impl http_body::Body for News {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        ready!(self.clock.poll_tick(cx));
        let station = self.stations.next();
        Poll::Ready(station.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}
