//! Answers that say something else than they should.

use productgraph::{LaneState, RejectReason};
use productgraph_collector::{Answer, Fault};

use crate::engine_support::faulty::EVENTS;
use crate::engine_support::{collector, ids_of, in_time, log};
use crate::gateway::{Act, Gateway};
use crate::stage::{Losses, Stage, Times, cases, hold, outage};

const PASSES: &[&str] = &[log::FAILS, log::WORKS_AGAIN];

fn receipt(body: &str) -> Answer {
    Answer::new(202).body(body).content_type("application/json")
}

cases! {
    a_page_of_a_proxy_with_200: outage(Fault::html(200), "bad_body");
    a_page_of_a_proxy_with_502: outage(Fault::html(502), "status");
    a_page_of_a_proxy_with_407: hold(Fault::html(407), "status");
    an_empty_200: outage(Answer::new(200).body(""), "bad_body");
    an_empty_202: outage(receipt(""), "bad_body");
    a_200_with_json_cut_short: outage(Fault::rubbish(), "bad_body");
    a_202_with_bytes_that_are_no_text: outage(receipt("\u{0}\u{1}\u{fffd}"), "bad_body");
    a_202_with_json_of_another_kind: outage(receipt("[20, 0]"), "bad_body");
    a_202_without_counts: outage(receipt("{}"), "bad_body");
    a_202_nested_without_end: outage(receipt(&"{\"accepted\":".repeat(50_000)), "bad_body");
    a_202_that_counts_other_events: outage(receipt(r#"{"accepted":7,"rejected":0}"#), "miscounted");
    a_202_whose_counts_overflow: outage(
        receipt(r#"{"accepted":18446744073709551615,"rejected":21}"#), "miscounted");
    a_202_with_errors_that_it_does_not_count: outage(
        receipt(r#"{"accepted":20,"rejected":0,"errors":[{"index":1,"error":"x"}]}"#), "miscounted");
    a_204: outage(Answer::new(204).body(""), "bad_body");
    a_205: outage(Answer::new(205).body(""), "bad_body");
    a_300: hold(Fault::status(300), "redirect");
    a_304: hold(Answer::new(304).body(""), "redirect");
    a_418: hold(Fault::status(418), "status");
    a_500: outage(Fault::status(500), "status");
    a_501: outage(Fault::status(501), "status");
    a_504: outage(Fault::status(504), "status");
    a_511_of_a_captive_network: hold(Fault::html(511), "status");
    a_599: outage(Fault::status(599), "status");
    a_600: outage(Fault::status(600), "status");
    a_999: outage(Fault::status(999), "status");
    a_huge_200: outage(Fault::Huge { status: 200, bytes: 1 << 40 }, "bad_body");
    a_huge_500: outage(Fault::Huge { status: 500, bytes: 1 << 40 }, "status");
    a_huge_401: hold(Fault::Huge { status: 401, bytes: 1 << 40 }, "status");
}

/// Bytes that a gateway says until it is put right.
async fn raw(name: &'static str, act: Act, kind: &str, shown: LaneState) {
    let store = collector();
    let gateway = Gateway::before(&store, act);
    let mut stage = Stage::new(name, gateway.provider(), store);
    stage.gets_into_trouble(kind, shown).await;
    for head in gateway.heads() {
        assert!(!head.contains("accept-encoding"), "{head}");
    }
    gateway.heal();
    let first = if shown == LaneState::Held {
        log::HELD
    } else {
        log::FAILS
    };
    stage
        .recovers(Times::Once, &[first, log::WORKS_AGAIN])
        .await;
}

fn say(text: &str) -> Act {
    Act::Say(text.as_bytes().to_vec())
}

/// Chunks without a last one.
fn endless(status: &str) -> Act {
    let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    Act::SayForEver(head.into_bytes(), chunk.into_bytes())
}

fn endless_head() -> Act {
    let head = "HTTP/1.1 202 Accepted\r\n";
    let header = format!("x-filler: {}\r\n", "x".repeat(0x1000));
    Act::SayForEver(head.as_bytes().to_vec(), header.into_bytes())
}

/// A receipt for everything, packed. Nobody asked for that, so nobody unpacks it: it is no receipt, and a
/// small answer stays as small as it came.
fn packed() -> Act {
    const RECEIPT: &[u8] = &[
        0x1f, 0x8b, 0x8, 0x0, 0x0, 0x0, 0x0, 0x0, 0x2, 0x3, 0xab, 0x56, 0x4a, 0x4c, 0x4e, 0x4e,
        0x2d, 0x28, 0x49, 0x4d, 0x51, 0xb2, 0x32, 0x32, 0xd0, 0x51, 0x2a, 0x4a, 0xcd, 0x4a, 0x4d,
        0x6, 0xf3, 0xc, 0x6a, 0x1, 0x13, 0x3a, 0x21, 0x33, 0x1c, 0x0, 0x0, 0x0,
    ];
    let head = "HTTP/1.1 202 Accepted\r\ncontent-encoding: gzip\r\n";
    let mut answer = format!("{head}content-length: {}\r\n\r\n", RECEIPT.len()).into_bytes();
    answer.extend(RECEIPT);
    Act::Say(answer)
}

cases! {
    an_answer_that_is_not_http: raw(say("220 mail.example ESMTP\r\n"), "protocol", LaneState::Retrying);
    an_answer_of_no_bytes: raw(say(""), "reset", LaneState::Retrying);
    a_head_that_ends_in_the_middle: raw(say("HTTP/1.1 202 Acc"), "reset", LaneState::Retrying);
    a_content_length_that_is_no_number: raw(
        say("HTTP/1.1 202 Accepted\r\ncontent-length: -5\r\n\r\n"), "protocol", LaneState::Retrying);
    a_head_without_end: raw(endless_head(), "protocol", LaneState::Retrying);
    a_200_without_end: raw(endless("200 OK"), "bad_body", LaneState::Retrying);
    a_500_without_end: raw(endless("500 Oops"), "status", LaneState::Retrying);
    a_403_without_end: raw(endless("403 Forbidden"), "status", LaneState::Held);
    an_answer_that_is_packed: raw(packed(), "bad_body", LaneState::Retrying);
    a_switch_to_another_protocol: raw(
        say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n"),
        "status", LaneState::Retrying);
    nothing_but_interim_answers: raw(
        say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"), "reset", LaneState::Retrying);
}

/// Interim answers before the true one, which ends the connection.
fn after_interim_answers(answer: &str) -> String {
    format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n{}",
        answer.replacen("\r\n", "\r\nconnection: close\r\n", 1)
    )
}

#[tokio::test]
async fn interim_answers_before_the_true_one() {
    let store = collector();
    let gateway = Gateway::before(&store, Act::Change(after_interim_answers));
    let name = "interim_answers_before_the_true_one";
    let mut stage = Stage::new(name, gateway.provider(), store);
    stage.track(EVENTS);
    stage.recovers(Times::Once, &[]).await;
}

#[tokio::test]
async fn a_redirect_leads_nowhere_and_its_target_hears_nothing() {
    let name = "a_redirect_leads_nowhere_and_its_target_hears_nothing";
    let (store, target) = (collector(), collector());
    let faulty = productgraph::providers::ProductGraph::new(store.endpoint()).api_key("k-51a7");
    let mut stage = Stage::new(name, faulty, store);
    for status in [301, 302, 303, 307, 308] {
        let redirect = Fault::redirect(status, target.endpoint());
        stage.store.faults().push(redirect);
    }
    let last = Fault::redirect(308, target.endpoint());
    let always = productgraph_collector::When::Always;
    stage.store.faults().set_standing(last, always);
    stage.gets_into_trouble("redirect", LaneState::Held).await;
    in_time(stage.store.wait_for_requests(6)).await;
    stage.store.faults().clear();
    assert_eq!(target.stats().connections, 0);
    stage
        .recovers(Times::Once, &[log::HELD, log::WORKS_AGAIN])
        .await;
    assert_eq!(target.stats().connections, 0);
}

#[tokio::test]
async fn a_storm_of_server_errors_and_then_calm() {
    let mut stage = Stage::direct("a_storm_of_server_errors_and_then_calm");
    for _ in 0..3 {
        for status in [500, 502, 503, 504] {
            stage.store.faults().push(Fault::status(status));
        }
    }
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    in_time(stage.store.wait_for_events(EVENTS as u64)).await;
    assert_eq!(stage.store.stats().received, 13);
    stage.recovers(Times::Once, PASSES).await;
}

#[tokio::test]
async fn a_202_that_names_one_event_and_counts_two() {
    let mut stage = Stage::direct("a_202_that_names_one_event_and_counts_two");
    // the same index twice; what it does not name goes again, apart from what it does
    stage.store.faults().push(receipt(
        r#"{"accepted":18,"rejected":2,"errors":[{"index":3,"error":"x"},{"index":3,"error":"y"}]}"#,
    ));
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    let mut ids = ids_of(0..EVENTS);
    ids.remove(3);
    let losses = Losses {
        rejected: &[(RejectReason::Invalid, 1)],
        ..Losses::default()
    };
    let said = [log::FAILS, log::REJECTED, log::WORKS_AGAIN];
    stage.settles(&ids, Times::Once, &losses, &said).await;
}

#[tokio::test]
async fn a_202_with_an_index_that_does_not_exist() {
    let mut stage = Stage::direct("a_202_with_an_index_that_does_not_exist");
    stage.store.faults().push(receipt(
        r#"{"accepted":19,"rejected":1,"errors":[{"index":20,"error":"x"}]}"#,
    ));
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    // nobody is believed to be the one: halves tell that all are sound
    in_time(stage.store.wait_for_events(EVENTS as u64)).await;
    assert_eq!(stage.store.stats().received, 3);
    stage.recovers(Times::Once, &[]).await;
}

#[tokio::test]
async fn a_202_with_an_index_that_is_no_number() {
    let mut stage = Stage::direct("a_202_with_an_index_that_is_no_number");
    for index in ["9223372036854775808", "1.5", "\"3\""] {
        stage.store.faults().push(receipt(&format!(
            r#"{{"accepted":19,"rejected":1,"errors":[{{"index":{index},"error":"x"}}]}}"#
        )));
    }
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    stage.recovers(Times::Once, PASSES).await;
}

#[tokio::test]
async fn a_202_that_rejects_some_by_index() {
    let mut stage = Stage::direct("a_202_that_rejects_some_by_index");
    for n in [4, 5, 19] {
        let id = crate::engine_support::id_of(n);
        stage.store.faults().reject(id, "session.id: required");
    }
    stage.track(EVENTS);
    stage.sends_to_the_sound_one().await;
    let mut ids = ids_of(0..EVENTS);
    for n in [19, 5, 4] {
        ids.remove(n);
    }
    let losses = Losses {
        rejected: &[(RejectReason::Invalid, 3)],
        ..Losses::default()
    };
    stage
        .settles(&ids, Times::Once, &losses, &[log::REJECTED])
        .await;
}
