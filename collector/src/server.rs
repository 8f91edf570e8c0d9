//! Listening, accepting, and ceasing to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::clock::after;
use crate::conn;
use crate::shared::{Life, Shared};

/// Connections the operating system may hold before they are accepted.
const BACKLOG: u32 = 1024;
/// How long an orderly stop waits for answers under way.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Pause after a failure to accept or to listen, so that a lasting one does not spin.
const PAUSE: Duration = Duration::from_millis(20);

/// An address that stays ours while nobody listens on it.
#[derive(Debug)]
pub(crate) struct Port {
    addr: SocketAddr,
    /// Bound but never listening: connections to it are refused, and no other process is given
    /// the port. Not every platform allows a second socket beside it; there it is left out.
    _reservation: Option<TcpSocket>,
}

impl Port {
    /// Binds and listens; port 0 picks a free one.
    pub(crate) fn open(addr: SocketAddr) -> io::Result<(Self, TcpListener)> {
        let first = bind(addr)?;
        let addr = first.local_addr()?;
        match bind(addr).and_then(|second| second.listen(BACKLOG)) {
            Ok(listener) => Ok((
                Self {
                    addr,
                    _reservation: Some(first),
                },
                listener,
            )),
            Err(_) => Ok((
                Self {
                    addr,
                    _reservation: None,
                },
                first.listen(BACKLOG)?,
            )),
        }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn listen(&self) -> io::Result<TcpListener> {
        bind(self.addr)?.listen(BACKLOG)
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // On Windows the option means something else: stealing a port in use.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Serves until it is told to stop. Dropping the future cuts all connections.
pub(crate) async fn run(
    shared: Arc<Shared>,
    port: Port,
    listener: TcpListener,
    mut life: watch::Receiver<Life>,
) {
    let _last = Stopped(Arc::clone(&shared));
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let now = *life.borrow_and_update();
        if now.stopping {
            drop(listener);
            if !now.aborting {
                // Those that do not end by then are cut; their requests count as abandoned.
                let _ = timeout(STOP_GRACE, drain(&mut connections, &mut life)).await;
            }
            return;
        }
        if now.downs > 0 {
            listener = None;
        } else if listener.is_none() {
            listener = port.listen().ok();
        }
        set_listening(&shared, listener.is_some());
        tokio::select! {
            changed = life.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
            accepted = accept(listener.as_ref(), now.downs > 0) => {
                if let Some(stream) = accepted {
                    admit(&shared, stream, &mut connections, &life);
                }
            }
        }
    }
}

/// The next connection; `None` after a pause when there cannot be one at present.
async fn accept(listener: Option<&TcpListener>, down: bool) -> Option<TcpStream> {
    match listener {
        Some(listener) => {
            if let Ok((stream, _)) = listener.accept().await {
                return Some(stream);
            }
        }
        None if down => std::future::pending().await,
        None => {}
    }
    sleep_until(after(PAUSE)).await;
    None
}

fn admit(
    shared: &Arc<Shared>,
    stream: TcpStream,
    connections: &mut JoinSet<()>,
    life: &watch::Receiver<Life>,
) {
    if connections.len() >= shared.settings.max_connections {
        // Closed at once, so that the client learns it by a reset and not by waiting.
        let _ = stream.set_zero_linger();
        shared.change(|state| state.stats.connections_refused += 1);
        return;
    }
    let open = Open::new(Arc::clone(shared));
    let serving = conn::serve(stream, Arc::clone(shared), life.clone());
    connections.spawn(async move {
        let _open = open;
        serving.await;
    });
}

/// Waits for the open connections, unless told not to.
async fn drain(connections: &mut JoinSet<()>, life: &mut watch::Receiver<Life>) {
    tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => {}
        _ = life.wait_for(|life| life.aborting) => {}
    }
}

fn set_listening(shared: &Shared, listening: bool) {
    if shared.read(|state| state.stats.listening) != listening {
        shared.change(|state| state.stats.listening = listening);
    }
}

/// Counts a connection as open until it is dropped.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.change(|state| {
            state.stats.connections += 1;
            state.stats.open_connections += 1;
        });
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(|state| state.stats.open_connections -= 1);
    }
}

/// Tells those who wait for the end, also when the runtime drops the task.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.stats.listening = false;
            state.stopped = true;
        });
    }
}
