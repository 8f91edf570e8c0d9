//! Which sessions are kept when not all of them are.

use crate::event::EventKind;
use crate::{ConfigError, Event};

/// The share of sessions of which a provider gets the events. Default: all.
///
/// A session is kept or left out as a whole, by a hash of its id: every process, version and platform
/// decides the same, and a session that is kept at one rate is kept at every higher one. Errors are
/// always kept: events of kind `error`, events with an error's details, and API responses with a
/// status of 500 or more.
///
/// # Sessions that no client sent
///
/// A session that was minted for one request (the default) is a session of one request, so a share
/// of requests is kept, each whole. The session of a process stands for everything in that process
/// that belongs to no other session: all of it is kept or none.
///
/// # The hash
///
/// 64-bit FNV-1a over the bytes of the id, followed by the finaliser of `MurmurHash3`
/// (`x ^= x >> 33; x *= 0xff51afd7ed558ccd; x ^= x >> 33; x *= 0xc4ceb9fe1a85ec53; x ^= x >> 33`).
/// Kept is what hashes below `rate * 2^64`. It never changes, so that a frontend may do the same;
/// `docs/guides/privacy.md` shows it in JavaScript.
///
/// ```
/// use productgraph::correlation::SessionId;
/// use productgraph::{Event, Sampling};
///
/// let tenth = Sampling::sessions(0.1)?;
/// let session = SessionId::parse("sess-lx2k9-0a1b2c3d")?;
/// assert!(!tenth.keeps(&Event::custom("viewed").with_session(session.clone())));
/// assert!(tenth.keeps(&Event::error("Timeout", "no answer").with_session(session)));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    threshold: Threshold,
    journeys: bool,
}

/// Which hashes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threshold {
    All,
    Below(u64),
}

impl Sampling {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            threshold: Threshold::All,
            journeys: false,
        }
    }

    /// A share of the sessions, from 0 (none, but for errors) to 1 (all).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] about `sample_rate` for a number outside that range or none at all.
    pub fn sessions(rate: f64) -> Result<Self, ConfigError> {
        if !(0.0..=1.0).contains(&rate) {
            return Err(ConfigError::new(
                "sample_rate",
                "is out of range",
                "a number from 0 to 1",
            ));
        }
        Ok(Self {
            threshold: threshold(rate),
            journeys: false,
        })
    }

    /// Whether journey steps and conversions are kept like errors are. Default: no, since a funnel of
    /// whole sessions has the right proportions and one with all steps and a share of the rest has not.
    #[must_use]
    pub const fn keep_journeys(mut self, keep: bool) -> Self {
        self.journeys = keep;
        self
    }

    /// Whether a provider with this sampling gets the event. Allocates nothing.
    ///
    /// An event without any session, which the engine never has, is kept unless the rate is 0.
    #[must_use]
    pub fn keeps(&self, event: &Event) -> bool {
        match self.threshold {
            Threshold::All => true,
            Threshold::Below(limit) => {
                event
                    .session_id()
                    .map_or(limit > 0, |session| hash(&session.text()) < limit)
                    || is_failure(event)
                    || (self.journeys && is_journey(event.kind()))
            }
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self::all()
    }
}

fn is_failure(event: &Event) -> bool {
    match event.kind() {
        EventKind::Error { .. }
        | EventKind::ApiResponse {
            status: Some(500..),
            ..
        } => true,
        _ => event.contexts().error.is_some(),
    }
}

fn is_journey(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::JourneyStep { .. } | EventKind::JourneyConversion { .. }
    )
}

/// The threshold of a share. What lies outside 0 to 1 is moved to the nearer end; a number that is
/// none keeps everything.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value lies in 0..2^64"
)]
pub(crate) fn threshold(share: f64) -> Threshold {
    if share.is_nan() || share >= 1.0 {
        return Threshold::All;
    }
    Threshold::Below((share.max(0.0) * 2.0_f64.powi(64)) as u64)
}

/// FNV-1a with a final mix, fixed for good: services written at different times must agree.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // FNV alone leaves the high bits of short texts poorly mixed
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash(""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash("sess-lx2k9-0a1b2c3d"), 0x2e68_dce0_a416_bdb2);
    }
}
