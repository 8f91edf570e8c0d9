//! The running collector, and how it is started.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime;

use crate::builder::CollectorBuilder;
use crate::control::Faults;
use crate::record::RequestRecord;
use crate::server::{self, Port};
use crate::shared::{Shared, State, Stats};

/// Why a collector could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not a loopback one and
    /// [`allow_remote`](CollectorBuilder::allow_remote) was not called.
    #[error("{0} is reachable from other machines; allow it explicitly or use a loopback address")]
    Remote(IpAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// [`start_blocking`](CollectorBuilder::start_blocking) could not make its thread or runtime.
    #[error("cannot start the collector's own thread")]
    Thread(#[source] io::Error),
    /// The fault plan cannot be followed.
    #[error("invalid fault plan: {0}")]
    Faults(String),
}

/// A running collector. Dropping it stops it without waiting: listener and connections are closed
/// as soon as its runtime gets to it.
#[derive(Debug)]
pub struct Collector {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

impl Collector {
    /// A builder with the defaults listed at [`CollectorBuilder`].
    pub fn builder() -> CollectorBuilder {
        CollectorBuilder::default()
    }

    /// The address listened on.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://ADDRESS:PORT`. A collector that listens on all addresses names the loopback one.
    pub fn base_url(&self) -> String {
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{addr}")
    }

    /// Where events are posted: [`base_url`](Self::base_url) and `/v1/events`.
    pub fn endpoint(&self) -> String {
        format!("{}/v1/events", self.base_url())
    }

    /// The stored events in order of arrival, parsed. One that cannot be, because it is nested too
    /// deeply or holds a lone surrogate, is given
    /// as a string with its text.
    pub fn events(&self) -> Vec<Value> {
        let stored = self.shared.read(|state| state.store.to_vec());
        stored
            .iter()
            .map(|event| {
                serde_json::from_slice(&event.raw).unwrap_or_else(|_| {
                    Value::String(String::from_utf8_lossy(&event.raw).into_owned())
                })
            })
            .collect()
    }

    /// The stored events' text in order of arrival, as sent.
    pub fn raw_events(&self) -> Vec<String> {
        let stored = self.shared.read(|state| state.store.to_vec());
        stored
            .iter()
            .map(|event| String::from_utf8_lossy(&event.raw).into_owned())
            .collect()
    }

    /// The stored events' ids in order of arrival, duplicates included.
    pub fn event_ids(&self) -> Vec<String> {
        let ids = self.shared.read(|state| state.store.ids());
        ids.iter()
            .map(|id| String::from_utf8_lossy(id).into_owned())
            .collect()
    }

    /// The last requests to `/v1/events` that ended, in the order in which they did.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.read(|state| state.log.to_vec())
    }

    /// All counters at this moment.
    pub fn stats(&self) -> Stats {
        self.shared.read(State::snapshot)
    }

    /// Control over what goes wrong.
    pub fn faults(&self) -> Faults {
        Faults::new(Arc::clone(&self.shared))
    }

    /// Empties the store and the request log and starts the counters anew; faults stay.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Waits until at least `n` events were stored ([`Stats::accepted`]). Needs no runtime of its
    /// own kind and waits without limit: put a timeout around it.
    pub async fn wait_for_events(&self, n: u64) {
        self.wait_until(|stats| stats.accepted >= n).await;
    }

    /// Waits until at least `n` requests to `/v1/events` ended ([`Stats::requests`]).
    pub async fn wait_for_requests(&self, n: u64) {
        self.wait_until(|stats| stats.requests >= n).await;
    }

    /// Waits until at least `n` requests wait at a gate or in silence ([`Stats::waiting`]).
    pub async fn wait_for_waiting(&self, n: u64) {
        self.wait_until(|stats| stats.waiting >= n).await;
    }

    /// Waits until `done` says so; it is asked after every change and must be quick.
    pub async fn wait_until(&self, mut done: impl FnMut(&Stats) -> bool) {
        self.shared.wait(|state| done(&state.snapshot())).await;
    }

    /// [`wait_until`](Self::wait_until) for threads without a runtime, for at most `timeout`. Says
    /// whether it came to pass.
    #[must_use = "the wait may have timed out"]
    pub fn wait_until_blocking(
        &self,
        timeout: Duration,
        mut done: impl FnMut(&Stats) -> bool,
    ) -> bool {
        self.shared
            .wait_blocking(timeout, |state| done(&state.snapshot()))
    }

    /// Stops accepting, lets answers under way out for at most five seconds, closes everything and
    /// returns the last counters. Waiting and silent requests are cut at once.
    pub async fn shutdown(self) -> Stats {
        self.shared.life.send_modify(|life| life.stopping = true);
        self.shared.wait(|state| state.stopped).await;
        self.stats()
    }

    /// The same for threads without a runtime.
    pub fn shutdown_blocking(self) -> Stats {
        self.shared.life.send_modify(|life| life.stopping = true);
        // The server cuts what is left after five seconds, or is gone with its runtime.
        self.shared
            .wait_blocking(Duration::from_secs(10), |state| state.stopped);
        self.stats()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.life.send_modify(|life| {
            life.stopping = true;
            life.aborting = true;
        });
    }
}

impl CollectorBuilder {
    /// Starts on the present tokio runtime.
    ///
    /// Under a paused clock use [`start_blocking`](Self::start_blocking) instead, or the timeouts
    /// of the collector run off with the test's clock.
    ///
    /// # Errors
    /// When the address may not or cannot be listened on, or the fault plan is invalid.
    // Not awaiting anything yet, but a listener can only be made inside a runtime.
    #[expect(
        clippy::unused_async,
        reason = "asynchronous so that it can only run in a runtime"
    )]
    pub async fn start(self) -> Result<Collector, StartError> {
        let (collector, serving) = self.open()?;
        tokio::spawn(serving);
        Ok(collector)
    }

    /// Starts on a thread and runtime of its own; works with and without a runtime around it, and
    /// keeps real time whatever the caller's clock does.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when the thread or its runtime cannot be made.
    pub fn start_blocking(self) -> Result<Collector, StartError> {
        let (tell, told) = mpsc::sync_channel(1);
        let body = move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    // Nobody listens only if the caller is gone.
                    let _ = tell.send(Err(StartError::Thread(error)));
                    return;
                }
            };
            runtime.block_on(async move {
                match self.open() {
                    Ok((collector, serving)) => {
                        if tell.send(Ok(collector)).is_ok() {
                            serving.await;
                        }
                    }
                    Err(error) => {
                        let _ = tell.send(Err(error));
                    }
                }
            });
        };
        std::thread::Builder::new()
            .name("productgraph-collector".to_owned())
            .spawn(body)
            .map_err(StartError::Thread)?;
        told.recv()
            .unwrap_or_else(|gone| Err(StartError::Thread(io::Error::other(gone))))
    }

    fn open(self) -> Result<(Collector, impl Future<Output = ()> + Send), StartError> {
        let (addr, remote, settings, plan) = self.into_parts();
        if !remote && !addr.ip().is_loopback() {
            return Err(StartError::Remote(addr.ip()));
        }
        plan.check().map_err(StartError::Faults)?;
        let (port, listener) =
            Port::open(addr).map_err(|source| StartError::Listen { addr, source })?;
        let addr = port.addr();
        let shared = Arc::new(Shared::new(settings, plan));
        shared.change(|state| state.stats.listening = true);
        // Subscribed before anyone can give an order.
        let life = shared.life.subscribe();
        let serving = server::run(Arc::clone(&shared), port, listener, life);
        Ok((Collector { shared, addr }, serving))
    }
}
