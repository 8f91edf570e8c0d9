//! Whatever is sent, the collector answers as the service would and goes on.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;

use common::{Client, event, ids, post};
use productgraph_collector::Collector;
use proptest::prelude::*;

static COLLECTOR: LazyLock<Collector> =
    LazyLock::new(|| Collector::builder().start_blocking().expect("a free port"));

fn status_of(body: &[u8]) -> u16 {
    let mut socket = TcpStream::connect(COLLECTOR.addr()).unwrap();
    let mut request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    socket.write_all(&request).unwrap();
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    reader.read_to_end(&mut Vec::new()).unwrap();
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status line")
}

/// A complete batch with bytes replaced, removed and inserted.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        prop::collection::vec(any::<u8>(), 0..4),
        0..4usize,
    );
    prop::collection::vec(edit, 0..6).prop_map(|edits| {
        let mut body = ids(&["a", "b"]).into_bytes();
        for (at, insert, remove) in edits {
            let at = at.index(body.len());
            let end = (at + remove).min(body.len());
            body.splice(at..end, insert);
            if body.is_empty() {
                body.push(b'{');
            }
        }
        body
    })
}

/// JSON that resembles a batch, with values of any type anywhere.
fn resembling() -> impl Strategy<Value = Vec<u8>> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        "[0-9]{1,30}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
        ".{0,12}".prop_map(|s| serde_json::to_string(&s).expect("a string")),
        "\"(\\\\u[0-9a-f]{4}){0,3}\"",
    ];
    let keys = prop::sample::select(
        event("a")
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .chain(
                [
                    "api.duration_ms",
                    "performance.cls",
                    "metadata",
                    "user.id",
                    "x",
                ]
                .map(str::to_owned),
            )
            .collect::<Vec<_>>(),
    );
    let event = prop::collection::vec((keys, scalar), 0..10).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
        format!("{{{}}}", pairs.join(","))
    });
    prop::collection::vec(event, 0..4)
        .prop_map(|events| format!("{{\"events\":[{}]}}", events.join(",")).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_bytes_are_answered_with_202_or_400(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!([202, 400].contains(&status_of(&body)));
    }

    #[test]
    fn any_damaged_batch_is_answered_with_202_or_400(body in damaged()) {
        prop_assert!([202, 400].contains(&status_of(&body)));
    }

    #[test]
    fn anything_like_a_batch_is_answered_with_202_or_400_and_counted(body in resembling()) {
        prop_assert!([202, 400].contains(&status_of(&body)));
        // What was stored can be read again.
        prop_assert!(COLLECTOR.events().iter().all(|event| event.is_object() || event.is_string()));
        COLLECTOR.reset();
    }
}

#[tokio::test]
async fn broken_requests_do_not_disturb_the_next_one() {
    let collector = Collector::builder().start().await.unwrap();
    for garbage in [
        &b"\0\0\0\0"[..],
        b"GET\r\n\r\n",
        b"POST /v1/events HTTP/9.9\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /_collector/%zz HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut client = Client::connect(&collector).await;
        // It may be closed on us while we write or read; only what comes after matters.
        let _ = client.write(garbage).await;
        drop(client);
        let reply = post(&collector, ids(&["a"])).await.unwrap();
        assert_eq!(reply.status, 202);
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let collector = Collector::builder().start().await.unwrap();
    let mut client = Client::connect(&collector).await;
    let line = format!("x-filler: {}\r\n", "x".repeat(1000));
    let mut ended = client.write(b"POST /v1/events HTTP/1.1\r\n").await.is_err();
    for _ in 0..2000 {
        ended = ended || client.write(line.as_bytes()).await.is_err();
    }
    let refused = client
        .receive()
        .await
        .is_ok_and(|reply| reply.status == 431);
    assert!(ended || refused);
    assert_eq!(post(&collector, ids(&["a"])).await.unwrap().status, 202);
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413_and_not_kept() {
    let collector = Collector::builder()
        .max_body_bytes(1000)
        .keep_bodies(9)
        .start()
        .await
        .unwrap();
    for length in [1001, 3000, 200_000] {
        let reply = post(&collector, vec![b' '; length]).await;
        // Far over the limit the rest is not read, and the answer may be lost in the reset.
        assert!(
            reply
                .as_ref()
                .map_or(length > 4000, |reply| reply.status == 413),
            "{reply:?}"
        );
    }
    assert_eq!(
        collector
            .requests()
            .iter()
            .filter(|r| r.status == Some(413))
            .count(),
        3
    );
    assert!(collector.requests().iter().all(|r| r.body.is_none()));
    assert_eq!(post(&collector, ids(&["a"])).await.unwrap().status, 202);
}
