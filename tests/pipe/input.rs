//! Whatever comes in.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::example_support::{FOREVER, Running, program};
use crate::support::{collector, delivered, event, events, ids, pipe, stored};

/// Each is one line that is no event.
fn bad_lines() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 18] = [
        b"no event",
        b"{",
        b"}",
        b"null",
        b"42",
        b"[]",
        br#"[{"event.type":"custom"}]"#,
        b"{}",
        br#"{"event.type":""}"#,
        br#"{"event.type":7}"#,
        br#"{"event.type":"custom"} {"event.type":"custom"}"#,
        br#"{"event.type":"custom","event_id":"with space"}"#,
        br#"{"event.type":"custom","event.timestamp":"yesterday"}"#,
        br#"{"event.type":"custom","session.id":"a b"}"#,
        br#"{"event.type":"custom","metadata":[]}"#,
        br#"{"event.type":"api.response","api.status_code":"200"}"#,
        b"{\"event.type\":\"cus\xFFtom\"}",
        b"{\"event.type\":\"cus\0tom\"}",
    ];
    let mut lines: Vec<Vec<u8>> = texts.iter().map(|text| text.to_vec()).collect();
    lines.push(vec![b'['; 100_000]);
    lines.push(vec![0; 1000]);
    lines.push(vec![b'x'; 3 << 20]);
    lines
}

#[test]
fn each_bad_line_is_named_and_the_rest_is_sent() {
    let collector = collector();
    let bad = bad_lines();
    let mut text = Vec::new();
    for (number, bad) in bad.iter().enumerate() {
        writeln!(text, "{}", event(&format!("e-{number}"))).unwrap();
        text.extend_from_slice(bad);
        text.push(b'\n');
    }
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    pipe.feed(move |input| input.write_all(&text));
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(65), "{ended:?}");
    let even: Vec<u64> = (1..=bad.len() as u64).map(|n| 2 * n).collect();
    assert_eq!(ended.bad_lines(), even);
    assert_eq!(ended.report(), delivered(bad.len() as u64));
    assert_eq!(stored(&collector), ids(bad.len()));
    assert!(
        !ended.stderr.contains("yesterday"),
        "values are not shown: {ended:?}"
    );
}

#[test]
fn marks_line_ends_and_empty_lines_of_any_system_are_fine() {
    let collector = collector();
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    let text = format!(
        "\u{feff}{}\r\n\n\r\n   \t\n{}\n{}",
        event("e-0"),
        event("e-1"),
        event("e-2")
    );
    pipe.write(text.as_bytes());
    let ended = pipe.finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(stored(&collector), ids(3));
}

#[test]
fn a_line_of_a_hundred_megabytes_is_one_bad_line_and_is_not_kept() {
    let collector = collector();
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    let megabyte = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        pipe.write(&megabyte);
    }
    pipe.write(b"\n");
    pipe.write(events(1).as_bytes());
    let arrived = collector.wait_until_blocking(FOREVER, |stats| stats.accepted == 1);
    assert!(arrived, "{:?}", collector.stats());
    let peak = pipe.peak_kib();
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(65), "{ended:?}");
    assert_eq!(ended.bad_lines(), [1]);
    assert_eq!(ended.report(), delivered(1));
    assert!(peak.is_none_or(|peak| peak < 48 * 1024), "{peak:?} KiB");
}

#[test]
fn an_endless_last_line_is_named_too() {
    let collector = collector();
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    pipe.write(events(1).as_bytes());
    pipe.write(&vec![b'{'; 2 << 20]);
    let ended = pipe.finish();
    assert_eq!(
        (ended.code, ended.bad_lines()),
        (Some(65), vec![2]),
        "{ended:?}"
    );
    assert_eq!(ended.report(), delivered(1));
}

#[test]
fn no_input_at_all_is_nothing_to_deliver() {
    let collector = collector();
    let none = Running::start(pipe(&collector.endpoint()).stdin(Stdio::null())).finish();
    assert_eq!(
        (none.code, none.report()),
        (Some(0), delivered(0)),
        "{none:?}"
    );

    // not even a file descriptor
    let mut closed = Command::new("/bin/sh");
    closed
        .env_clear()
        .args(["-c", r#""$0" <&-"#])
        .arg(program("pipe"))
        .env("PRODUCTGRAPH_PROJECT_ID", "shop")
        .env("PRODUCTGRAPH_ENDPOINT", collector.endpoint())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let closed = Running::start(&mut closed).finish();
    assert_eq!(
        (closed.code, closed.report()),
        (Some(0), delivered(0)),
        "{closed:?}"
    );
}

#[test]
fn an_input_that_cannot_be_read_is_no_success() {
    let collector = collector();
    let directory = std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
    let ended = Running::start(pipe(&collector.endpoint()).stdin(directory)).finish();
    assert_eq!(ended.code, Some(65), "{ended:?}");
    assert_eq!(ended.report(), delivered(0));
    assert!(
        ended.stderr.contains("the input cannot be read"),
        "{ended:?}"
    );
}

#[test]
fn nobody_has_to_listen() {
    let collector = collector();
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    pipe.close_stdout();
    pipe.close_stderr();
    pipe.write(format!("no event\n{}", events(10)).as_bytes());
    let ended = pipe.finish();
    assert_eq!(ended.code, Some(65));
    assert_eq!(stored(&collector), ids(10));
}
