//! The program: its arguments, what it prints, and how it ends.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_productgraph-collector"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Ends the process even if the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_wrong_flag_is_named_and_ends_with_2() {
    for args in [
        &["--port", "no"][..],
        &["--frobnicate"],
        &["--fault", "explode"],
        &["--key"],
    ] {
        let output = program(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains(&format!("{}: ", args[0])), "{complaint}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_and_version_are_printed() {
    let output = program(&["--help"]).output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("--fault FAULT[@WHEN]")
    );
    let output = program(&["--version"]).output().unwrap();
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn an_address_outside_loopback_is_refused() {
    let output = program(&["--port=0", "--host", "0.0.0.0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("0.0.0.0")
    );
}

#[test]
fn it_receives_until_a_signal_and_prints_its_counters() {
    for signal in ["TERM", "INT"] {
        let args = [
            "--port=0",
            "--generation=v0.2",
            "--fault=status:503@first:1",
        ];
        let mut running = Running(program(&args).spawn().unwrap());
        let mut out = BufReader::new(running.0.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let addr = line
            .trim()
            .strip_prefix("listening on ")
            .expect("the address comes first");

        let event = r#"{"event_id":"a","project_id":"p","session.id":"s","event.type":"custom"}"#;
        for expected in ["HTTP/1.1 503", "HTTP/1.1 202"] {
            let mut socket = TcpStream::connect(addr).unwrap();
            let body = format!("{{\"events\":[{event}]}}");
            write!(
                socket,
                "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            let mut reply = String::new();
            socket.read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with(expected), "{reply}");
        }

        let kill = format!("kill -{signal} {}", running.0.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(running.0.wait().unwrap().code(), Some(0), "{rest}");
        let last = rest
            .lines()
            .last()
            .unwrap()
            .strip_prefix("stopped ")
            .expect("the counters");
        let stats: Value = serde_json::from_str(last).unwrap();
        assert_eq!(
            (&stats["accepted"], &stats["faults"]),
            (&1.into(), &1.into())
        );
        assert!(rest.contains(&format!("http://{addr}/v1/events")));
        assert!(rest.contains(&format!("http://{addr}/_collector/stats")));
    }
}
