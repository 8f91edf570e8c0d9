//! One connection: its clocks, and the means to reset it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::after;
use crate::route;
use crate::shared::{Life, Shared};

/// Room for a request's head; the service allows more, no client needs it.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// What one connection may buffer on its way in.
const MAX_BUFFER_BYTES: usize = 256 * 1024;

/// What a connection is busy with, and until when it may be.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Between two requests.
    Idle(Instant),
    /// Reading a request, from its first byte to the end of its body.
    Reading(Instant),
    /// Making up an answer; faults may take as long as they like.
    Answering,
    /// Sending the answer.
    Writing(Instant),
}

/// Shared by the socket, the service and the task of one connection.
#[derive(Debug)]
pub(crate) struct Control {
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    reset: bool,
    /// The request under way orders faults, so the fault it orders must not cut its answer.
    spared: bool,
}

impl Control {
    fn new(shared: Arc<Shared>) -> Self {
        let phase = Phase::Reading(after(shared.settings.read_timeout));
        Self {
            shared,
            inner: Mutex::new(Inner {
                phase,
                reset: false,
                spared: false,
            }),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the end of this connection an abrupt one.
    pub(crate) fn reset(&self) {
        self.with(|inner| inner.reset = true);
    }

    /// Lets the answer under way out even if the server goes down.
    pub(crate) fn spare(&self) {
        self.with(|inner| inner.spared = true);
    }

    /// The instant by which the body must have arrived; the clock is stopped until the answer.
    pub(crate) fn start_answering(&self) -> Instant {
        self.with(|inner| {
            let until = match inner.phase {
                Phase::Reading(until) => until,
                _ => after(self.shared.settings.read_timeout),
            };
            inner.phase = Phase::Answering;
            until
        })
    }

    /// Starts the clock for sending.
    pub(crate) fn start_writing(&self) {
        let until = after(self.shared.settings.write_timeout);
        self.with(|inner| inner.phase = Phase::Writing(until));
    }

    /// The answer has left.
    pub(crate) fn finish(&self) {
        let until = after(self.shared.settings.idle_timeout);
        self.with(|inner| {
            inner.phase = Phase::Idle(until);
            inner.spared = false;
        });
    }

    fn bytes_came(&self) {
        self.with(|inner| {
            if matches!(inner.phase, Phase::Idle(_)) {
                let until = after(self.shared.settings.read_timeout);
                inner.phase = Phase::Reading(until);
            }
        });
    }

    fn deadline(&self) -> Option<Instant> {
        self.with(|inner| match inner.phase {
            Phase::Idle(until) | Phase::Reading(until) | Phase::Writing(until) => Some(until),
            Phase::Answering => None,
        })
    }
}

/// Serves a connection to its end. Dropping the future closes it.
pub(crate) async fn serve(stream: TcpStream, shared: Arc<Shared>, mut life: watch::Receiver<Life>) {
    // Nagle's algorithm would only delay answers; a socket that cannot be set works all the same.
    let _ = stream.set_nodelay(true);
    let control = Arc::new(Control::new(Arc::clone(&shared)));
    let io = TokioIo::new(Socket {
        stream,
        control: Arc::clone(&control),
    });
    let service =
        service_fn(|request| route::handle(Arc::clone(&shared), Arc::clone(&control), request));
    let mut connection = pin!(
        http1::Builder::new()
            // The clocks are kept here, because they cover the body and the idle time too.
            .header_read_timeout(None)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(io, service)
    );
    let mut clock = pin!(sleep_until(Instant::now()));
    loop {
        tokio::select! {
            biased;
            order = life.changed() => {
                let (stopping, down) = {
                    let life = life.borrow_and_update();
                    (life.stopping, life.downs > 0)
                };
                if order.is_err() {
                    return;
                }
                if stopping {
                    connection.as_mut().graceful_shutdown();
                } else if down && !control.with(|inner| inner.spared) {
                    control.reset();
                    return;
                }
            }
            // An error is the client's fault or one of ours on purpose; both are in the log.
            _ = connection.as_mut() => return,
            () = poll_fn(|cx| poll_clock(&control, clock.as_mut(), cx)) => return,
        }
    }
}

/// Checks the deadline of the present phase; to be polled after everything that may change it.
fn poll_clock(control: &Control, mut clock: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    let Some(deadline) = control.deadline() else {
        return Poll::Pending;
    };
    if clock.deadline() != deadline {
        clock.as_mut().reset(deadline);
    }
    clock.poll(cx)
}

/// A socket that tells when bytes come, and can be closed with `RST`.
struct Socket {
    stream: TcpStream,
    control: Arc<Control>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.control.bytes_came();
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.control.with(|inner| inner.reset) {
            // A FIN must not precede the RST.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.control.with(|inner| inner.reset) {
            // Where it cannot be set the connection ends with a FIN: less harsh, still no answer.
            let _ = self.stream.set_zero_linger();
        }
    }
}
