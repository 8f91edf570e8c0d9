//! Something between the engine and a collector that breaks what passes, byte by byte, until it is told
//! to stop.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use productgraph::providers::ProductGraph;
use productgraph_collector::Collector;

/// What happens to a request while the gateway is broken.
#[derive(Clone)]
pub(crate) enum Act {
    /// These bytes, and the end of the connection; the collector hears nothing.
    Say(Vec<u8>),
    /// These bytes, then those again and again for as long as the client listens.
    SayForEver(Vec<u8>, Vec<u8>),
    /// The collector's own answer, changed, and the end of the connection.
    Change(fn(&str) -> String),
    /// The request is read a byte at a time, with a pause after each.
    ReadSlowly(Duration),
}

/// Runs until it is dropped.
pub(crate) struct Gateway {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    act: Act,
    broken: AtomicBool,
    stopped: Mutex<bool>,
    stop: Condvar,
    /// Everything read from clients.
    heads: Mutex<Vec<String>>,
}

/// What a connection is wrapped in, once it is accepted.
type Wrap<S> = Box<dyn Fn(TcpStream) -> io::Result<S> + Send + Sync>;

impl Gateway {
    /// Plain, before `collector`, and broken from the start.
    pub(crate) fn before(collector: &Collector, act: Act) -> Self {
        Self::wrapping(collector, act, Box::new(Ok))
    }

    /// The same, with something around each connection.
    pub(crate) fn wrapping<S>(collector: &Collector, act: Act, wrap: Wrap<S>) -> Self
    where
        S: Read + Write + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            to: collector.addr(),
            act,
            broken: AtomicBool::new(true),
            stopped: Mutex::default(),
            stop: Condvar::new(),
            heads: Mutex::default(),
        });
        let gateway = Arc::clone(&shared);
        let wrap = Arc::new(wrap);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if gateway.is_stopped() {
                    return;
                }
                let (gateway, wrap) = (Arc::clone(&gateway), Arc::clone(&wrap));
                // a connection that breaks is what this is for
                std::thread::spawn(move || gateway.serve(wrap(stream)?));
            }
        });
        Self { addr, shared }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A provider that sends here.
    pub(crate) fn provider(&self) -> ProductGraph {
        ProductGraph::new(format!("http://{}", self.addr))
    }

    /// From now on requests pass.
    pub(crate) fn heal(&self) {
        self.shared.broken.store(false, Ordering::SeqCst);
    }

    /// The heads of all requests so far, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        let heads = self.shared.heads.lock();
        heads.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let stopped = self.shared.stopped.lock();
        *stopped.unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.stop.notify_all();
        // so that the listener looks up
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a moment pass, or less if there is no more time.
    fn pause(&self, moment: Duration) -> io::Result<()> {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .stop
            .wait_timeout_while(stopped, moment, |stopped| !*stopped);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    fn serve(&self, mut client: impl Read + Write) -> io::Result<()> {
        loop {
            let is_broken = self.broken.load(Ordering::SeqCst);
            if let (true, Act::ReadSlowly(moment)) = (is_broken, &self.act) {
                loop {
                    client.read_exact(&mut [0])?;
                    self.pause(*moment)?;
                }
            }
            let request = read_message(&mut client)?;
            let heads = self.heads.lock();
            heads
                .unwrap_or_else(PoisonError::into_inner)
                .push(head_of(&request).to_lowercase());
            if !self.broken.load(Ordering::SeqCst) {
                client.write_all(&self.ask(&request)?)?;
                client.flush()?;
                continue;
            }
            match &self.act {
                Act::Say(bytes) => client.write_all(bytes)?,
                Act::SayForEver(first, bytes) => {
                    client.write_all(first)?;
                    while !self.is_stopped() {
                        client.write_all(bytes)?;
                    }
                }
                Act::Change(change) => {
                    let answer = self.ask(&request)?;
                    let answer = String::from_utf8_lossy(&answer);
                    client.write_all(change(&answer).as_bytes())?;
                }
                Act::ReadSlowly(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
            return client.flush();
        }
    }

    /// The collector's answer.
    fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(self.to)?;
        server.write_all(request)?;
        let answer = read_message(&mut server)?;
        server.shutdown(Shutdown::Both)?;
        Ok(answer)
    }
}

fn head_of(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    text.split_once("\r\n\r\n")
        .map_or("", |(head, _)| head)
        .to_owned()
}

/// Reads a request or an answer whose head says how long it is.
fn read_message(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        message.push(byte[0]);
    }
    let head = head_of(&message).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let start = message.len();
    message.resize(start + length.unwrap_or(0), 0);
    from.read_exact(&mut message[start..])?;
    Ok(message)
}
