//! A destination on plain threads that allocates nothing for what it gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What it does with requests.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "each test binary uses its own part")]
pub(crate) enum Manner {
    /// Reads all of them, and never answers.
    Silent,
    /// Answers every one with 503.
    Unavailable,
    /// Answers every one with 202 and a receipt for all events in it.
    Taking,
}

/// What every event in a body has once.
const MARKER: &[u8] = b"\"event_id\":";

/// A listener whose threads end with the process.
pub(crate) struct Sink {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Sink {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                // the connection ends when its client does
                std::thread::spawn(move || serve(stream, manner, &count));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/v1/events", self.address)
    }

    /// Requests read to their end.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, manner: Manner, requests: &AtomicUsize) {
    while let Some(events) = read_request(&mut stream) {
        requests.fetch_add(1, Ordering::Relaxed);
        let mut answer = [0; 128];
        let mut rest = &mut answer[..];
        let written = match manner {
            Manner::Silent => Ok(()),
            Manner::Unavailable => {
                let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
                write!(rest, "{answer}")
            }
            // the number takes six places, so that the length is known
            Manner::Taking => write!(
                rest,
                "HTTP/1.1 202 Accepted\r\ncontent-length: 32\r\n\r\n\
                 {{\"accepted\":{events:>6},\"rejected\":0}}"
            ),
        };
        let left = rest.len();
        let length = answer.len() - left;
        if written.is_err() || stream.write_all(&answer[..length]).is_err() {
            return;
        }
    }
}

/// How often the marker is in what was read, a piece at a time.
#[derive(Default)]
struct Count {
    events: usize,
    /// How much of a marker was seen at the end of the last piece.
    seen: usize,
}

impl Count {
    fn look_at(&mut self, piece: &[u8]) {
        for byte in piece {
            // only the first byte of the marker can begin another one
            self.seen = if *byte == MARKER[self.seen] {
                self.seen + 1
            } else {
                usize::from(*byte == MARKER[0])
            };
            if self.seen == MARKER.len() {
                self.events += 1;
                self.seen = 0;
            }
        }
    }
}

/// Reads one request to its end, through a buffer on the stack; how many events there were.
fn read_request(stream: &mut TcpStream) -> Option<usize> {
    let mut buffer = [0; 16 << 10];
    let mut filled = 0;
    let (head, length) = loop {
        let n = stream.read(buffer.get_mut(filled..)?).ok()?;
        if n == 0 {
            return None;
        }
        filled += n;
        if let Some(at) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..at]).ok()?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            })?;
            break (at + 4, length);
        }
    };
    let mut count = Count::default();
    count.look_at(&buffer[head..filled]);
    let mut left = length - (filled - head);
    while left > 0 {
        let room = left.min(buffer.len());
        let n = stream.read(&mut buffer[..room]).ok()?;
        if n == 0 {
            return None;
        }
        count.look_at(&buffer[..n]);
        left -= n;
    }
    Some(count.events)
}
