//! Requests over loopback connections that are kept open: one after another for the whole request's
//! time, and many at once for requests a second. Each side is served by a thread of its own; the one
//! that is not asked sleeps.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::{ANSWER, Caller, PATH, Plan, Services, Side, compare};
use crate::clock::nanos_since;
use crate::records::Records;
use crate::stats::quantile;

/// Connections at saturation.
const CONNECTIONS: usize = 32;

pub(super) fn run(services: &Services, caller: Caller, plan: Plan, records: &mut Records) {
    let addresses = Side::BOTH.map(|side| serve(services.of(side)));
    let request = request(caller);

    let mut p50 = [Vec::new(), Vec::new()];
    for turn in 0..=plan.turns {
        for (address, p50) in addresses.iter().zip(&mut p50) {
            let mut each = one_after_another(*address, &request, plan.requests).expect("answers");
            crate::ours::settle(&services.engine);
            each.sort_unstable();
            if turn > 0 {
                p50.push(f64::from(quantile(&each, 0.5)));
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
    for turn in 0..=plan.turns {
        for (address, rates) in addresses.iter().zip(&mut rates) {
            let rate = many_at_once(*address, &request, plan.turn);
            if turn > 0 {
                rates.push(rate);
            }
        }
    }
    compare(
        records,
        "loopback, 32 connections",
        "requests/s",
        &rates[0],
        &rates[1],
        true,
    );
}

fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener
        .set_nonblocking(true)
        .expect("a listener for tokio");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await.expect("it serves");
        });
    });
    address
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

fn one_after_another(address: SocketAddr, request: &[u8], count: usize) -> io::Result<Vec<u32>> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut each = Vec::with_capacity(count);
    let mut buffer = [0; 4096];
    for _ in 0..count {
        let start = Instant::now();
        stream.write_all(request)?;
        let mut length = 0;
        while !is_whole(&buffer[..length]) {
            let read = stream.read(&mut buffer[length..])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += read;
        }
        each.push(nanos_since(start));
    }
    Ok(each)
}

fn many_at_once(address: SocketAddr, request: &[u8], time: Duration) -> f64 {
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
        let mut answers = 0;
        while let Some(count) = connections.join_next().await {
            answers += count.expect("a connection's task").expect("answers");
        }
        answers as f64 / start.elapsed().as_secs_f64()
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
