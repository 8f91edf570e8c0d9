//! A destination on plain threads that allocates nothing for what it gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What it does with requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Reads all of them, and never answers.
    Silent,
    /// Answers every one with 503.
    Unavailable,
}

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
    while let Some(()) = read_request(&mut stream) {
        requests.fetch_add(1, Ordering::Relaxed);
        if matches!(manner, Manner::Unavailable) {
            let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

/// Reads one request to its end, through a buffer on the stack.
fn read_request(stream: &mut TcpStream) -> Option<()> {
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
    let mut left = length - (filled - head);
    while left > 0 {
        let room = left.min(buffer.len());
        let n = stream.read(&mut buffer[..room]).ok()?;
        if n == 0 {
            return None;
        }
        left -= n;
    }
    Some(())
}
