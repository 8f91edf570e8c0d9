//! How many events a second the collector takes on this machine, in batches of 1,000 events of
//! about 300 bytes.
//!
//! `cargo run --release -p productgraph-collector --example throughput -- [SECONDS] [CONNECTIONS]`

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use productgraph_collector::Collector;
use tokio::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u32>());
    let seconds = args.next().transpose()?.unwrap_or(3);
    let connections = args.next().transpose()?.unwrap_or(1);

    let collector = Collector::builder()
        .max_stored_events(200_000)
        .start_blocking()?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds.into());
    std::thread::scope(|scope| {
        let feeders: Vec<_> = (0..connections)
            .map(|feeder| {
                let addr = collector.addr();
                scope.spawn(move || feed(addr, feeder, end))
            })
            .collect();
        feeders.into_iter().try_for_each(|feeder| {
            feeder
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a feeder panicked")))
        })
    })?;
    let elapsed = start.elapsed();
    let stats = collector.shutdown_blocking();
    let rate = u128::from(stats.accepted) * 1000 / elapsed.as_millis().max(1);
    println!(
        "{rate} events/s over {connections} connection(s), {} evicted",
        stats.evicted
    );
    Ok(())
}

/// Posts batches over one connection until `end`.
fn feed(addr: SocketAddr, feeder: u32, end: Instant) -> io::Result<()> {
    let mut socket = TcpStream::connect(addr)?;
    let mut answer = [0; 4096];
    let mut batch = 0;
    while Instant::now() < end {
        let body = body(feeder, batch);
        batch += 1;
        write!(
            socket,
            "POST /v1/events HTTP/1.1\r\nhost: {addr}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        socket.write_all(body.as_bytes())?;
        let length = socket.read(&mut answer)?;
        if !answer[..length].starts_with(b"HTTP/1.1 202") {
            return Err(io::Error::other("the batch was not accepted"));
        }
    }
    Ok(())
}

fn body(feeder: u32, batch: u32) -> String {
    let mut body = String::from("{\"events\":[");
    for i in 0..1000 {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "{comma}{{\"event_id\":\"{feeder:08x}-{batch:08x}-{i:04x}\",\"product_id\":\"shop\",\
             \"project_id\":\"shop\",\"session.id\":\"018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f\",\
             \"event.type\":\"api.response\",\"event.timestamp\":\"2026-01-01T00:00:01.250Z\",\
             \"event.sequence\":{i},\"api.method\":\"GET\",\"api.path\":\"/v1/plans/{{id}}\",\
             \"api.status_code\":200,\"api.duration_ms\":41}}"
        );
    }
    body.push_str("]}");
    body
}
