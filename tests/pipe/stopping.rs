//! Signals, with the input still open.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use productgraph_collector::{Fault, When};
use serde_json::json;
use tokio::time::Instant;

use crate::example_support::{FOREVER, Running};
use crate::support::{account, collector, delivered, events, ids, pipe, stored};

/// Room for a slow machine on top of the time that the pipe was given.
const GENEROUS: Duration = Duration::from_secs(8);

#[test]
fn a_signal_while_nothing_comes_in_drains_and_ends_at_once() {
    for signal in ["TERM", "INT"] {
        let collector = collector();
        let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
        pipe.write(events(200).as_bytes());
        let arrived = collector.wait_until_blocking(FOREVER, |stats| stats.accepted == 200);
        assert!(arrived, "{:?}", collector.stats());
        let since = Instant::now();
        pipe.signal(signal);
        let ended = pipe.wait();

        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.report(), delivered(200));
        assert!(since.elapsed() < GENEROUS, "{:?}", since.elapsed());
    }
}

#[test]
fn a_signal_delivers_what_waits_for_its_batch() {
    let collector = collector();
    let mut pipe = pipe(&collector.endpoint());
    pipe.env("PRODUCTGRAPH_BATCH_INTERVAL", "1h");
    let mut pipe = Running::start(&mut pipe);
    let mut errors = BufReader::new(pipe.take_stderr());
    pipe.write(format!("{}bad\n", events(70)).as_bytes());
    let mut error = String::new();
    errors.read_line(&mut error).expect("errors are text");
    assert!(error.starts_with("line 71:"), "{error}"); // so all before it were read
    pipe.signal("TERM");
    let ended = pipe.wait();
    assert_eq!(ended.code, Some(65), "{ended:?}");
    assert_eq!(ended.report(), delivered(70));
    assert_eq!(stored(&collector), ids(70));
}

#[test]
fn a_signal_in_full_flow_delivers_all_that_was_read() {
    let collector = collector();
    let mut pipe = Running::start(&mut pipe(&collector.endpoint()));
    pipe.feed(|input| {
        let block = events(100).replace(r#""event_id":"e-"#, r#""was":"e-"#);
        loop {
            input.write_all(block.as_bytes())?;
        }
    });
    let arrived = collector.wait_until_blocking(FOREVER, |stats| stats.accepted > 2000);
    assert!(arrived, "{:?}", collector.stats());
    pipe.signal("TERM");
    let ended = pipe.finish();

    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = ended.report();
    assert_eq!(report["refused"], json!({}));
    assert_eq!(report["accepted"], stored(&collector).len());
}

#[test]
fn a_receiver_that_never_answers_ends_with_the_time_given() {
    let collector = collector();
    collector
        .faults()
        .set_standing(Fault::never_answer(), When::Always);
    let mut pipe = pipe(&collector.endpoint());
    pipe.env("PRODUCTGRAPH_SHUTDOWN_TIMEOUT", "700ms");
    let mut pipe = Running::start(&mut pipe);
    pipe.write(events(10).as_bytes());
    let stuck = collector.wait_until_blocking(FOREVER, |stats| stats.waiting == 1);
    assert!(stuck, "{:?}", collector.stats());
    let since = Instant::now();
    pipe.signal("TERM");
    let ended = pipe.wait();

    assert!(since.elapsed() < GENEROUS, "{:?}", since.elapsed());
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let dropped = json!({"deadline": 10});
    let expected = account(10, &json!({}), 0, &json!({}), &dropped);
    assert_eq!(ended.report(), expected);
}

#[test]
fn errors_that_nobody_reads_hold_up_nothing() {
    let collector = collector();
    let mut pipe = pipe(&collector.endpoint());
    pipe.env("PRODUCTGRAPH_SHUTDOWN_TIMEOUT", "700ms");
    let mut pipe = Running::start(&mut pipe);
    let unread = pipe.take_stderr();
    pipe.write(events(10).as_bytes());
    let (under_way, wait) = std::sync::mpsc::channel();
    pipe.feed(move |input| {
        // their names are more than a pipe holds, and the input more than the reader does
        let lines = b"bad\n".repeat(50_000);
        input.write_all(&lines)?;
        under_way.send(()).expect("the test waits");
        loop {
            input.write_all(&lines)?;
        }
    });
    let flooded = wait.recv_timeout(Duration::from_millis(500));
    let since = Instant::now();
    pipe.signal("TERM");
    let ended = pipe.finish();
    drop(unread);

    assert!(flooded.is_err(), "nothing was stuck");
    assert!(since.elapsed() < GENEROUS, "{:?}", since.elapsed());
    assert_eq!(ended.code, Some(65), "{ended:?}");
    assert_eq!(ended.report(), delivered(10));
}

#[test]
fn events_behind_complaints_that_nobody_reads_still_get_in() {
    let collector = collector();
    let all = events(6);
    let (first, rest) = all.split_at(all.find('\n').expect("lines") + 1);
    // one read of the pipe's, with more complaints than anybody's buffers hold
    let input = format!("{first}{}{rest}", "bad\n".repeat(3_000));
    assert!(input.len() < 16 * 1024, "{}", input.len());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("behind-complaints");
    std::fs::write(&path, input).unwrap();
    let mut pipe = pipe(&collector.endpoint());
    pipe.stdin(std::fs::File::open(&path).unwrap());
    let mut pipe = Running::start(&mut pipe);
    let unread = pipe.take_stderr();
    let begun = collector.wait_until_blocking(FOREVER, |stats| stats.accepted >= 1);
    assert!(begun, "{:?}", collector.stats());
    pipe.signal("TERM");
    let ended = pipe.finish();
    drop(unread);

    assert_eq!(ended.code, Some(65), "{ended:?}");
    assert_eq!(ended.report(), delivered(6));
}

#[test]
fn a_full_engine_that_nothing_leaves_ends_in_time_and_accounts_for_what_was_read() {
    let collector = collector();
    collector
        .faults()
        .set_standing(Fault::never_answer(), When::Always);
    let mut pipe = pipe(&collector.endpoint());
    pipe.env("PRODUCTGRAPH_SHUTDOWN_TIMEOUT", "700ms")
        .env("PRODUCTGRAPH_MAX_BUFFERED_BYTES", "64KiB");
    let mut pipe = Running::start(&mut pipe);
    pipe.feed(|input| input.write_all(events(20_000).as_bytes()));
    let stuck = collector.wait_until_blocking(FOREVER, |stats| stats.waiting == 1);
    assert!(stuck, "{:?}", collector.stats());
    let since = Instant::now();
    pipe.signal("TERM");
    let ended = pipe.finish();

    assert!(since.elapsed() < GENEROUS, "{:?}", since.elapsed());
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report = ended.report();
    let accepted = report["accepted"].as_u64().unwrap();
    assert!((1..20_000).contains(&accepted), "{report}");
    let expected = account(
        accepted,
        &report["refused"],
        0,
        &json!({}),
        &json!({"deadline": accepted}),
    );
    assert_eq!(report, expected);
}
