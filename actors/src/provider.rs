//! The contract between the engine and a destination.
//!
//! A [`Provider`] does two things: it turns events into a request body ([`Provider::encode`]) and
//! sends a body once ([`Provider::send`]). Everything else (queueing, merging, cutting, retries,
//! waiting, isolation, counting) is the engine's. Both run on a task of their own, so a panic in
//! either is one failed attempt and never takes a lane down, and on a thread of their lane, so that one
//! that blocks, spins or takes seconds to encode keeps nobody else waiting.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::fragments::FormatKey;
use crate::ledger::RejectReason;
use crate::request::Events;

/// A boxed future, as returned by [`Provider::send`]: one allocation per request.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A destination for events of type `E`.
///
/// Implementations are shared between attempts, so they must not keep state about a single request.
/// Only [`format`](Self::format) has a default: a wrapper that forgets another would not compile.
pub trait Provider<E>: Send + Sync + 'static {
    /// A short, stable, lower-case name; the key of this provider in every report.
    fn name(&self) -> &str;

    /// What one request to this destination may hold.
    fn limits(&self) -> Limits;

    /// Names the format in which [`encode`](Self::encode) writes each event, to encode once for several
    /// providers. Default: `None`, which shares nothing.
    ///
    /// Providers of one engine with equal keys promise that each writes the same bytes for the same event,
    /// or refuses it for the same reason; how events are joined to a body is each one's own. They write
    /// events through [`Events::writer`], which then copies what was written for another of them. Asked for
    /// once, when the engine is spawned. A provider that is alone with its key encodes as if it had none.
    fn format(&self) -> Option<FormatKey> {
        None
    }

    /// Encodes a prefix of `events` into one request body of at most `max_bytes` bytes.
    ///
    /// The engine offers at most [`Limits::max_events`] events and a `max_bytes` no larger than
    /// [`Limits::max_bytes`] (smaller after the destination called a body too large). The provider
    /// takes events in order until the next one would not fit, and says how many it consumed. An
    /// event that can never be sent (over the per-event limit, not encodable) is consumed and listed
    /// in [`Encoded::refused`] instead of being written. At least one event must be consumed when
    /// `events` is not empty. The body is kept and sent again unchanged on a retry.
    fn encode(&self, events: &Events<'_, E>, max_bytes: usize) -> Encoded;

    /// Sends one encoded body, once, and says what became of its events.
    ///
    /// `events` are exactly the events in `body`, in the order in which they were written (refused
    /// ones left out), for providers whose answers name events by index or id. Must not retry by
    /// itself. The engine drops the future when its deadline passes.
    ///
    /// Runs on a tokio runtime that belongs to this provider's lane and has one thread, with timers and
    /// I/O; what is spawned there lives as long as the engine. Must not block that thread: no other lane
    /// notices, but this one stands still, its own deadlines included, for as long as the thread is
    /// blocked, because the engine cannot stop what does not await. It is logged and shown in
    /// [`LaneStatus::in_flight_for`](crate::LaneStatus::in_flight_for), and a thread that is still blocked
    /// when the engine ends stays behind. Blocking work belongs into `tokio::task::spawn_blocking`.
    ///
    /// In an engine that is attached to a runtime of the application, attempts run there, and a provider
    /// that blocks holds up whatever else does.
    fn send<'a>(&'a self, body: Bytes, events: Events<'a, E>) -> BoxFuture<'a, Outcome>;
}

/// What one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Events in one request.
    pub max_events: NonZeroUsize,
    /// Bytes of one request body, as sent.
    pub max_bytes: NonZeroUsize,
}

impl Limits {
    /// Limits of `max_events` events and `max_bytes` bytes a request; zero is taken as one.
    #[must_use]
    pub fn new(max_events: usize, max_bytes: usize) -> Self {
        let at_least_one = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            max_events: at_least_one(max_events),
            max_bytes: at_least_one(max_bytes),
        }
    }
}

/// The result of [`Provider::encode`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The body to send. Empty only when every consumed event was refused.
    pub body: Bytes,
    /// How many events, from the first on, were consumed: written to `body` or listed in `refused`.
    pub consumed: usize,
    /// Positions (ascending, each below `consumed`) that will never be sent, and why.
    pub refused: Vec<(usize, RejectReason)>,
}

/// What became of the events of one attempt. Produced by [`Provider::send`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The destination has every event.
    Delivered,
    /// The destination told of each event apart. One verdict per event, in order; a missing one
    /// counts as [`Verdict::Retry`].
    PerEvent(Vec<Verdict>),
    /// Nothing is known to be stored; send the same body again later, not before `not_before` from
    /// now if it is given.
    Retry {
        /// The destination's own lower bound for the wait (`Retry-After`).
        not_before: Option<Duration>,
        /// What happened, for logs and health; never contains secrets.
        cause: Cause,
    },
    /// The body was too large (413): send it in two parts, and learn.
    Split {
        /// What happened.
        cause: Cause,
    },
    /// The request was refused without saying which event is at fault: isolate it by bisection.
    Poisoned {
        /// What happened.
        cause: Cause,
    },
    /// The destination refuses this client (401, 403): keep everything, probe now and then.
    Hold {
        /// What happened.
        cause: Cause,
    },
    /// Every event of the request is refused for good.
    Final {
        /// The reason to count them under.
        reason: RejectReason,
        /// What happened.
        cause: Cause,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::PerEvent(verdicts) => {
                let count =
                    |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|v| wanted(v)).count();
                let delivered = count(|v| matches!(v, Verdict::Delivered));
                let rejected = count(|v| matches!(v, Verdict::Rejected(_)));
                let again = verdicts.len() - delivered - rejected;
                write!(
                    f,
                    "delivered {delivered}, rejected {rejected}, again {again}"
                )
            }
            Self::Retry { cause, .. } => write!(f, "failed ({cause})"),
            Self::Split { cause } => write!(f, "too large ({cause})"),
            Self::Poisoned { cause } => write!(f, "refused as a whole ({cause})"),
            Self::Hold { cause } => write!(f, "held ({cause})"),
            Self::Final { reason, cause } => write!(f, "rejected as {reason} ({cause})"),
        }
    }
}

/// What became of one event at one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Stored by the destination.
    Delivered,
    /// Refused for good.
    Rejected(RejectReason),
    /// Send this one again.
    Retry,
}

/// Why an attempt did not deliver, in a form fit for logs and health: a fixed word, perhaps an HTTP
/// status, perhaps a short detail. Bodies, headers and keys do not belong here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// A fixed word: `"timeout"`, `"connect"`, `"status"`, `"panic"`, ...
    pub kind: &'static str,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// A short detail, bounded by [`Cause::MAX_DETAIL`] bytes.
    pub detail: Option<Box<str>>,
}

impl Cause {
    /// Longest detail that is kept, in bytes; the rest is cut on a character boundary.
    pub const MAX_DETAIL: usize = 256;

    /// A cause without a status or detail.
    #[must_use]
    pub const fn new(kind: &'static str) -> Self {
        Self {
            kind,
            status: None,
            detail: None,
        }
    }

    /// The cause of an HTTP answer.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self {
            kind: "status",
            status: Some(status),
            detail: None,
        }
    }

    /// Adds a detail, cut to [`Cause::MAX_DETAIL`] bytes; control characters become spaces.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        let mut end = detail.len().min(Self::MAX_DETAIL);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        let clean: String = detail[..end]
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        self.detail = (!clean.trim().is_empty()).then(|| clean.trim().into());
        self
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}
