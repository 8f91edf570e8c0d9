//! How many requests brought a usable session, live.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::SessionSource;
use super::headers::{Extracted, Refusal, Verdict};

/// Counters over everything that [`extract`](super::extract) answered; shared behind an `Arc`.
///
/// ```
/// use http::HeaderMap;
/// use productgraph::correlation::{ExtractOptions, ExtractStats, extract};
///
/// let stats = ExtractStats::default();
/// stats.record(&extract(&HeaderMap::new(), &ExtractOptions::new()));
/// assert_eq!(stats.snapshot().sessions_minted, 1);
/// assert_eq!(stats.snapshot().correlation_ratio(), Some(0.0));
/// ```
#[derive(Debug, Default)]
pub struct ExtractStats {
    sessions_adopted: AtomicU64,
    sessions_minted: AtomicU64,
    requests_adopted: AtomicU64,
    requests_minted: AtomicU64,
    sessions_refused: ByReason,
    requests_refused: ByReason,
    traces_refused: ByReason,
    others_refused: ByReason,
}

#[derive(Debug, Default)]
struct ByReason([AtomicU64; Refusal::ALL.len()]);

impl ByReason {
    fn record(&self, verdict: Verdict) {
        if let Verdict::Refused { reason, .. } = verdict {
            self.0[reason as usize].fetch_add(1, Relaxed);
        }
    }

    fn snapshot(&self) -> RefusalCounts {
        RefusalCounts(self.0.each_ref().map(|count| count.load(Relaxed)))
    }
}

impl ExtractStats {
    /// Counts one request.
    pub fn record(&self, extracted: &Extracted) {
        let session = match extracted.correlation.session_source() {
            SessionSource::Adopted => &self.sessions_adopted,
            SessionSource::Request | SessionSource::Process => &self.sessions_minted,
        };
        session.fetch_add(1, Relaxed);
        let request = match extracted.request_id {
            Verdict::Accepted => &self.requests_adopted,
            Verdict::Absent | Verdict::Refused { .. } => &self.requests_minted,
        };
        request.fetch_add(1, Relaxed);
        self.sessions_refused.record(extracted.session);
        self.requests_refused.record(extracted.request_id);
        self.traces_refused.record(extracted.trace);
        self.others_refused.record(extracted.claimed_user);
        self.others_refused.record(extracted.anonymous_id);
    }

    /// The counters as they are now; requests in between may be in some of them only.
    pub fn snapshot(&self) -> ExtractCounts {
        ExtractCounts {
            sessions_adopted: self.sessions_adopted.load(Relaxed),
            sessions_minted: self.sessions_minted.load(Relaxed),
            requests_adopted: self.requests_adopted.load(Relaxed),
            requests_minted: self.requests_minted.load(Relaxed),
            sessions_refused: self.sessions_refused.snapshot(),
            requests_refused: self.requests_refused.snapshot(),
            traces_refused: self.traces_refused.snapshot(),
            others_refused: self.others_refused.snapshot(),
        }
    }
}

/// The state of [`ExtractStats`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtractCounts {
    /// Requests whose session the client sent.
    pub sessions_adopted: u64,
    /// Requests whose session was minted, for the request or for the process.
    pub sessions_minted: u64,
    /// Requests that brought a request id.
    pub requests_adopted: u64,
    /// Requests whose id was minted.
    pub requests_minted: u64,
    /// Why session headers were not taken.
    pub sessions_refused: RefusalCounts,
    /// Why request id headers were not taken.
    pub requests_refused: RefusalCounts,
    /// Why `traceparent` headers were not taken.
    pub traces_refused: RefusalCounts,
    /// Why claimed users and anonymous ids were not taken.
    pub others_refused: RefusalCounts,
}

impl ExtractCounts {
    /// Requests seen: each has a session, adopted or minted.
    pub fn requests(&self) -> u64 {
        self.sessions_adopted + self.sessions_minted
    }

    /// Share of requests that brought a valid session, 0 to 1; `None` before the first request.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio needs no more than 53 bits"
    )]
    pub fn correlation_ratio(&self) -> Option<f64> {
        let requests = self.requests();
        (requests > 0).then(|| self.sessions_adopted as f64 / requests as f64)
    }
}

/// Refused headers by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefusalCounts([u64; Refusal::ALL.len()]);

impl RefusalCounts {
    /// How many were refused for this reason.
    pub fn get(&self, reason: Refusal) -> u64 {
        self.0[reason as usize]
    }

    /// How many were refused.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason and its count, those that never happened included.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.0)
    }
}
