//! Simulated shoppers: real HTTP requests, one visit after the other.

use std::time::Duration;

use fastrand::Rng;
use reqwest::{Client, Method};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::checkout::BAD_CARD;
use crate::manners::Manners;

pub(crate) const COUNT: u64 = 16;

/// What the shoppers saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Answers that did not bear the request id that was sent.
    pub(crate) not_echoed: u64,
}

pub(crate) struct Crowd(JoinSet<Traffic>);

/// Sends in the shoppers; they go when `leave` turns true.
pub(crate) fn arrive(shop: &str, leave: &watch::Receiver<bool>) -> reqwest::Result<Crowd> {
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()?;
    let mut crowd = JoinSet::new();
    for seed in 0..COUNT {
        let shopper = Shopper {
            client: client.clone(),
            shop: shop.to_owned(),
            leave: leave.clone(),
            rng: Rng::with_seed(seed),
            manners: Manners::Silent,
            sent: 0,
            traffic: Traffic::default(),
        };
        crowd.spawn(shopper.shop_around());
    }
    Ok(Crowd(crowd))
}

impl Crowd {
    /// Waits until the last one has left.
    pub(crate) async fn gone(self) -> Traffic {
        let all = self.0.join_all().await;
        all.into_iter()
            .fold(Traffic::default(), |sum, one| Traffic {
                answered: sum.answered + one.answered,
                failed: sum.failed + one.failed,
                not_echoed: sum.not_echoed + one.not_echoed,
            })
    }
}

struct Shopper {
    client: Client,
    shop: String,
    leave: watch::Receiver<bool>,
    rng: Rng,
    manners: Manners,
    /// Requests of this visit.
    sent: u32,
    traffic: Traffic,
}

impl Shopper {
    async fn shop_around(mut self) -> Traffic {
        while !self.is_leaving() {
            self.manners = Manners::draw(&mut self.rng);
            self.sent = 0;
            self.visit().await;
        }
        self.traffic
    }

    async fn visit(&mut self) {
        for _ in 0..self.rng.u8(1..4) {
            // one in ten looks for what is not there
            let product = match self.rng.u16(..500) {
                0..50 => "robots.txt".to_owned(),
                product => product.to_string(),
            };
            self.send(Method::GET, &format!("/products/{product}"), "")
                .await;
        }
        let product = self.rng.u16(..500);
        self.send(Method::POST, &format!("/cart/{product}"), "")
            .await;
        if self.rng.u8(..4) == 0 {
            let coupon = match self.rng.u8(..40) {
                0 => "SKULL",
                1 => "SMUDGE",
                _ => "SAVE10",
            };
            self.send(Method::POST, &format!("/coupons/{coupon}"), "")
                .await;
        }
        self.send(Method::POST, "/checkout/address", "").await;
        let card = match self.rng.u8(..5) {
            0 => BAD_CARD,
            _ => "4000-0000-0000-0077",
        };
        if self.send(Method::POST, "/checkout/payment", card).await {
            self.send(Method::POST, "/checkout/confirm", "").await;
            let order = self.rng.u16(..);
            self.send(Method::GET, &format!("/orders/{order}/live"), "")
                .await;
        }
    }

    /// Sends one request after some thought, and says whether all went well. Nothing once it is time
    /// to leave.
    async fn send(&mut self, method: Method, path: &str, body: &'static str) -> bool {
        let thought = Duration::from_millis(self.rng.u64(5..60));
        let _ = timeout(thought, self.leave.wait_for(|&leave| leave)).await;
        if self.is_leaving() {
            return false;
        }
        self.sent += 1;
        let request = self.client.request(method, format!("{}{path}", self.shop));
        let (request, id) = self.manners.introduce(request, self.sent, &mut self.rng);
        let Ok(response) = request.body(body).send().await else {
            self.traffic.failed += 1;
            return false;
        };
        let echoed = response.headers().get("x-request-id");
        if id.is_some_and(|id| echoed.is_none_or(|echoed| echoed.as_bytes() != id.as_bytes())) {
            self.traffic.not_echoed += 1;
        }
        let fine = response.status().is_success();
        match response.bytes().await {
            Ok(_) => self.traffic.answered += 1,
            Err(_) => self.traffic.failed += 1,
        }
        fine
    }

    fn is_leaving(&self) -> bool {
        *self.leave.borrow()
    }
}
