//! Settings of a collector and their defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::decode::Rules;
use crate::fields::Generation;
use crate::plan::FaultPlan;
use crate::shared::Settings;
use crate::store::Cap;

/// Settings of a collector.
///
/// | Setting | Default |
/// |---|---|
/// | [`generation`](Self::generation) | [`Generation::V0_3`] |
/// | [`addr`](Self::addr) | `127.0.0.1`, any free port |
/// | [`require_key`](Self::require_key) | no check, like the service |
/// | [`strict`](Self::strict) | true |
/// | [`max_events`](Self::max_events) | 1,000 per request |
/// | [`max_body_bytes`](Self::max_body_bytes) | 10,000,000 |
/// | [`max_stored_events`](Self::max_stored_events) | 1,000,000 |
/// | [`max_stored_bytes`](Self::max_stored_bytes) | 512 MiB of JSON text |
/// | [`ids_only`](Self::ids_only) | false |
/// | [`max_records`](Self::max_records) | 10,000 requests |
/// | [`keep_bodies`](Self::keep_bodies) | 0 |
/// | [`max_connections`](Self::max_connections) | 1,024 |
/// | [`read_timeout`](Self::read_timeout) | 10 s |
/// | [`write_timeout`](Self::write_timeout) | 30 s |
/// | [`idle_timeout`](Self::idle_timeout) | 60 s |
/// | [`faults`](Self::faults) | none |
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct CollectorBuilder {
    addr: SocketAddr,
    remote: bool,
    settings: Settings,
    plan: FaultPlan,
}

impl Default for CollectorBuilder {
    fn default() -> Self {
        Self {
            addr: (Ipv4Addr::LOCALHOST, 0).into(),
            remote: false,
            settings: Settings {
                rules: Rules {
                    generation: Generation::V0_3,
                    strict: true,
                    max_events: 1000,
                },
                key: None,
                max_body_bytes: 10_000_000,
                cap: Cap {
                    events: 1_000_000,
                    bytes: 512 << 20,
                    texts: true,
                },
                max_records: 10_000,
                keep_bodies: 0,
                max_connections: 1024,
                read_timeout: Duration::from_secs(10),
                write_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(60),
            },
            plan: FaultPlan::new(),
        }
    }
}

impl CollectorBuilder {
    /// Which server generation to behave like.
    pub const fn generation(mut self, generation: Generation) -> Self {
        self.settings.rules.generation = generation;
        self
    }

    /// The address to listen on; port 0 takes a free one.
    pub const fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// The port to listen on, at the address set so far.
    pub fn port(mut self, port: u16) -> Self {
        self.addr.set_port(port);
        self
    }

    /// Permits addresses other than loopback ones. Everybody who reaches the port can then read
    /// the stored events and command faults: there is no access control on `/_collector`.
    pub const fn allow_remote(mut self) -> Self {
        self.remote = true;
        self
    }

    /// Answers 401 unless `X-PG-API-Key` is exactly this. The service itself checks nothing.
    pub fn require_key(mut self, key: impl Into<String>) -> Self {
        self.settings.key = Some(key.into());
        self
    }

    /// Whether fractional numbers in integer fields refuse the batch, as they do in the service.
    /// If not, they are rounded half away from zero and stored so.
    pub const fn strict(mut self, strict: bool) -> Self {
        self.settings.rules.strict = strict;
        self
    }

    /// The same as `strict(false)`.
    pub const fn lenient(self) -> Self {
        self.strict(false)
    }

    /// Events allowed in one request; more are answered 400 `batch too large`.
    pub const fn max_events(mut self, events: usize) -> Self {
        self.settings.rules.max_events = events;
        self
    }

    /// Bytes allowed in one body; more are answered 413. The service enforces nothing of the kind,
    /// its documentation says 10 MB.
    pub const fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_body_bytes = bytes;
        self
    }

    /// Events kept; beyond, the oldest are evicted and counted.
    pub const fn max_stored_events(mut self, events: usize) -> Self {
        self.settings.cap.events = events;
        self
    }

    /// Bytes of JSON text kept; beyond, the oldest events are evicted and counted. The memory used
    /// may be up to three times as much, and about 200 bytes for each event.
    pub const fn max_stored_bytes(mut self, bytes: usize) -> Self {
        self.settings.cap.bytes = bytes;
        self
    }

    /// Keeps the ids of the events and not their texts, for runs of millions: about 200 bytes each.
    /// What asks for the events themselves is given empty texts.
    pub const fn ids_only(mut self) -> Self {
        self.settings.cap.texts = false;
        self
    }

    /// Requests remembered for [`Collector::requests`](crate::Collector::requests).
    pub const fn max_records(mut self, records: usize) -> Self {
        self.settings.max_records = records;
        self
    }

    /// Keeps the bodies of the last `requests` requests in their records.
    pub const fn keep_bodies(mut self, requests: usize) -> Self {
        self.settings.keep_bodies = requests;
        self
    }

    /// Connections open at a time; further ones are reset at once and counted.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// How long a request may take to arrive: from its first byte (from the connection's start for
    /// the first one) to the end of its body.
    pub const fn read_timeout(mut self, timeout: Duration) -> Self {
        self.settings.read_timeout = timeout;
        self
    }

    /// How long an answer may take to be sent, once it is made up.
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.settings.write_timeout = timeout;
        self
    }

    /// How long a connection may stay unused between two requests.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_timeout = timeout;
        self
    }

    /// Faults in force from the first request on.
    pub fn faults(mut self, plan: FaultPlan) -> Self {
        self.plan = plan;
        self
    }

    pub(crate) fn into_parts(self) -> (SocketAddr, bool, Settings, FaultPlan) {
        (self.addr, self.remote, self.settings, self.plan)
    }
}
