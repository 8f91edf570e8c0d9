//! Requests over loopback connections that are kept open: one after another for the whole request's
//! time, and many at once for requests a second. Each side is served by a thread of its own; the one
//! that is not asked sleeps.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::{ANSWER, Caller, PATH, Plan, Services, Side, compare};
use crate::clock::nanos_since;
use crate::records::Records;
use crate::stats::quantile;
use crate::usage;

/// Connections at saturation.
const CONNECTIONS: usize = 32;
/// Turns at saturation are so much shorter, and there are as many more: what else runs on the machine
/// then meets both sides alike.
const SHORTER: u32 = 5;

pub(super) fn run(services: &Services, caller: Caller, plan: Plan, records: &mut Records) {
    let servers = Side::BOTH.map(|side| serve(services.of(side)));
    let request = request(caller);

    let mut p50 = [Vec::new(), Vec::new()];
    for turn in 0..=plan.turns {
        let mut each = in_turns(&servers, &request, plan.requests).expect("answers");
        crate::ours::settle(&services.engine);
        for (each, p50) in each.iter_mut().zip(&mut p50) {
            each.sort_unstable();
            if turn > 0 {
                p50.push(f64::from(quantile(each, 0.5)));
            }
        }
    }
    compare(
        records,
        "loopback, one connection, p50",
        "ns",
        &p50[0],
        &p50[1],
        true,
    );

    let mut rates = [Vec::new(), Vec::new()];
    let mut serving = [Vec::new(), Vec::new()];
    for turn in 0..=plan.turns * SHORTER as usize {
        for (side, server) in servers.iter().enumerate() {
            let before = usage::cpu_seconds_of(server.thread);
            let (answers, seconds) = many_at_once(server.address, &request, plan.turn / SHORTER);
            let cpu = usage::cpu_seconds_of(server.thread) - before;
            crate::ours::settle(&services.engine);
            if turn > 0 {
                rates[side].push(answers / seconds);
                serving[side].push(cpu * 1e9 / answers);
            }
        }
    }
    let row = "loopback, 32 connections";
    compare(records, row, "requests/s", &rates[0], &rates[1], true);
    let row = "serving thread at saturation, processor time";
    compare(records, row, "ns", &serving[0], &serving[1], true);
}

/// Where requests are answered.
struct Server {
    address: SocketAddr,
    thread: i32,
}

fn serve(router: Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener
        .set_nonblocking(true)
        .expect("a listener for tokio");
    let address = listener.local_addr().expect("its address");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        tell.send(usage::thread_id())
            .expect("somebody waits for it");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await.expect("it serves");
        });
    });
    Server {
        address,
        thread: told.recv().expect("the thread runs"),
    }
}

fn request(caller: Caller) -> Vec<u8> {
    let mut text = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in caller.headers() {
        text.extend([name, ": ", &value, "\r\n"]);
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Whether all of an answer is there.
fn is_whole(answer: &[u8]) -> bool {
    answer
        .strip_suffix(ANSWER.as_bytes())
        .is_some_and(|head| head.ends_with(b"\r\n\r\n"))
}

/// One request to each server, again and again: a core that falls asleep in between does so to both.
fn in_turns(servers: &[Server; 2], request: &[u8], count: usize) -> io::Result<[Vec<u32>; 2]> {
    let connect = |server: &Server| {
        let stream = TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        io::Result::Ok(stream)
    };
    let [first, second] = servers;
    let mut streams = [connect(first)?, connect(second)?];
    let mut each = [Vec::with_capacity(count), Vec::with_capacity(count)];
    for _ in 0..count {
        for (stream, each) in streams.iter_mut().zip(&mut each) {
            let start = Instant::now();
            ask(stream, request)?;
            each.push(nanos_since(start));
        }
    }
    Ok(each)
}

fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    let mut buffer = [0; 4096];
    stream.write_all(request)?;
    let mut length = 0;
    while !is_whole(&buffer[..length]) {
        let read = stream.read(&mut buffer[length..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
    }
    Ok(())
}

/// Answers, and the seconds they took.
fn many_at_once(address: SocketAddr, request: &[u8], time: Duration) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let start = Instant::now();
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            connections.spawn(connection(address, request.to_vec(), start, time));
        }
        let mut answers = 0u64;
        while let Some(count) = connections.join_next().await {
            answers += count.expect("a connection's task").expect("answers");
        }
        (answers as f64, start.elapsed().as_secs_f64())
    })
}

async fn connection(
    address: SocketAddr,
    request: Vec<u8>,
    start: Instant,
    time: Duration,
) -> io::Result<u64> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    let mut answers = 0;
    while start.elapsed() < time {
        stream.write_all(&request).await?;
        let mut length = 0;
        while !is_whole(&buffer[..length]) {
            let read = stream.read(&mut buffer[length..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += read;
        }
        answers += 1;
    }
    Ok(answers)
}
