//! No connection, half a connection, a connection that ends when it should not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use productgraph::LaneState;
use productgraph::providers::ProductGraph;
use productgraph_collector::{Collector, Fault, When};

use crate::engine_support::faulty::EVENTS;
use crate::engine_support::{BOUND, assert_holds_once, collector, ids_of, in_time, log, millis};
use crate::gateway::{Act, Gateway};
use crate::stage::{Stage, Times, cases, outage};

const PASSES: &[&str] = &[log::FAILS, log::WORKS_AGAIN];

cases! {
    a_reset_before_the_request_was_read: outage(Fault::reset_before_body(), "reset");
    a_reset_once_the_request_was_read: outage(Fault::reset_after_body(), "reset");
    a_black_hole_that_takes_requests_and_never_answers: outage(Fault::never_answer(), "timeout");
}

#[tokio::test]
async fn a_connection_that_is_refused() {
    let store = collector();
    let down = store.faults().down();
    in_time(store.wait_until(|stats| !stats.listening)).await;
    let faulty = ProductGraph::new(store.endpoint());
    let mut stage = Stage::new("a_connection_that_is_refused", faulty, store);
    stage
        .gets_into_trouble("connect", LaneState::Retrying)
        .await;
    down.up();
    stage.recovers(Times::Once, PASSES).await;
}

const SILENT: u8 = 0;
const NOWHERE: u8 = 1;
const FOUND: u8 = 2;

/// A name service of which the test decides what it knows.
struct Names {
    knows: AtomicU8,
    answer: SocketAddr,
}

impl Names {
    fn of(store: &Collector, knows: u8) -> Arc<Self> {
        Arc::new(Self {
            knows: AtomicU8::new(knows),
            answer: store.addr(),
        })
    }

    /// A provider for a host that only this service knows.
    fn provider(self: &Arc<Self>) -> ProductGraph {
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(millis(50))
            .dns_resolver(Arc::new(Resolver(Arc::clone(self))));
        #[cfg(feature = "rustls")]
        let client = client.tls_backend_preconfigured(crate::tls::trusting_nobody());
        let client = client.build().expect("a client");
        ProductGraph::new(format!("http://pg.example:{}", self.answer.port()))
            .client(client)
            .allow_plain_http(true)
    }

    fn find(&self) {
        self.knows.store(FOUND, Ordering::SeqCst);
    }
}

struct Resolver(Arc<Names>);

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let answer = self.0.answer;
        match self.0.knows.load(Ordering::SeqCst) {
            SILENT => Box::pin(std::future::pending()),
            NOWHERE => Box::pin(std::future::ready(Err("no such host".into()))),
            _ => Box::pin(std::future::ready(Ok(Box::new([answer].into_iter()) as _))),
        }
    }
}

#[tokio::test]
async fn a_host_name_that_does_not_resolve() {
    let store = collector();
    let names = Names::of(&store, NOWHERE);
    let mut stage = Stage::new("a_host_name_that_does_not_resolve", names.provider(), store);
    stage.gets_into_trouble("dns", LaneState::Retrying).await;
    names.find();
    stage.recovers(Times::Once, PASSES).await;
}

#[tokio::test]
async fn a_name_service_that_never_answers() {
    let store = collector();
    let names = Names::of(&store, SILENT);
    let mut stage = Stage::new("a_name_service_that_never_answers", names.provider(), store);
    stage
        .gets_into_trouble("connect_timeout", LaneState::Retrying)
        .await;
    names.find();
    stage.recovers(Times::Once, PASSES).await;
}

#[tokio::test]
async fn a_server_that_reads_the_request_a_byte_at_a_time() {
    let store = collector();
    let gateway = Gateway::before(&store, Act::ReadSlowly(millis(50)));
    let mut stage = Stage::new(
        "a_server_that_reads_the_request_a_byte_at_a_time",
        gateway.provider(),
        store,
    );
    stage
        .gets_into_trouble("timeout", LaneState::Retrying)
        .await;
    gateway.heal();
    stage.recovers(Times::Once, PASSES).await;
}

/// The events are stored, and the answer stops after so many bytes of its body.
async fn cut(name: &'static str, after_bytes: usize, reset: bool) {
    let mut stage = Stage::direct(name);
    let cut = Fault::Cut { after_bytes, reset };
    stage.store.faults().set_standing(cut, When::Always);
    stage
        .gets_into_trouble("bad_body", LaneState::Retrying)
        .await;
    stage.store.faults().clear();
    stage.recovers(Times::AtLeastOnce, PASSES).await;
}

/// All that the true answer says; a line end follows.
const RECEIPT: &str = r#"{"accepted":20,"rejected":0}"#;

cases! {
    an_answer_that_ends_in_the_middle_after_storing: cut(8, false);
    an_answer_that_is_reset_in_the_middle_after_storing: cut(8, true);
    a_receipt_that_is_whole_in_an_answer_that_is_not: cut(RECEIPT.len(), true);
}

/// As a server of the last century would answer: no length, and the end of the connection as the end.
fn in_http_1_0(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let head: Vec<_> = head
        .replacen("HTTP/1.1", "HTTP/1.0", 1)
        .split("\r\n")
        .filter(|line| !line.starts_with("content-length"))
        .map(str::to_owned)
        .collect();
    format!("{}\r\n\r\n{body}", head.join("\r\n"))
}

/// Every answer is like this, and the end of its connection: nothing is lost, nothing is repeated.
async fn one_request_a_connection(name: &'static str, change: fn(&str) -> String) -> Stage {
    let store = collector();
    let gateway = Gateway::before(&store, Act::Change(change));
    let mut stage = Stage::new(name, gateway.provider(), store);
    for round in 1..=5 {
        stage.track(EVENTS);
        let report = in_time(stage.engine.flush(BOUND)).await;
        assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
        assert_holds_once(&stage.store, &ids_of(0..round * EVENTS));
    }
    stage
}

#[tokio::test]
async fn answers_in_http_1_0() {
    let stage = one_request_a_connection("answers_in_http_1_0", in_http_1_0).await;
    stage.recovers(Times::Once, &[]).await;
}

#[tokio::test]
async fn a_connection_that_is_closed_after_each_answer_without_a_word() {
    let name = "a_connection_that_is_closed_after_each_answer_without_a_word";
    let stage = one_request_a_connection(name, str::to_owned).await;
    let report = in_time(stage.engine.shutdown(BOUND)).await;
    assert!(report.is_settled() && report.ledger.is_clean(), "{report}");
    // the close may cross a request that is on its way; that one fails and is sent again
    let said = log::said_of(name);
    assert!(said.chunks(2).all(|pair| pair == PASSES), "{said:?}");
    assert!(said.len() <= 8, "{said:?}");
}

#[tokio::test]
async fn a_reset_after_the_events_were_stored() {
    const TIMES: u64 = 2;
    let mut stage = Stage::direct("a_reset_after_the_events_were_stored");
    let faults = stage.store.faults();
    faults.set_standing(Fault::store_then_reset(), When::First(TIMES));
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    stage.recovers(Times::AtLeastOnce, PASSES).await;
}
