//! Which of the ordinary responses of a route are kept.

use crate::correlation::SessionId;
use crate::privacy::{Threshold, hash, threshold};

/// The share of sessions whose responses are kept, as a threshold over their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(Threshold);

impl Rate {
    /// Everything.
    pub(super) const ALL: Self = Self(Threshold::All);

    /// A share from 0 (none) to 1 (all). What lies outside is moved to the nearer end; a number
    /// that is none keeps everything.
    pub(super) fn new(share: f64) -> Self {
        Self(threshold(share))
    }

    /// Whether a session is kept: the same answer for the same session in every process, so that
    /// journeys stay whole. Without a session the dice decide.
    pub(super) fn keeps(self, session: Option<&SessionId>) -> bool {
        match self.0 {
            Threshold::All => true,
            Threshold::Below(limit) => {
                let chance = session.map_or_else(|| fastrand::u64(..), |id| hash(&id.text()));
                chance < limit
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: usize) -> SessionId {
        SessionId::parse(&format!("sess-lx2k9-{number}")).expect("a token")
    }

    fn kept(share: f64) -> usize {
        let rate = Rate::new(share);
        (0..10_000)
            .filter(|n| rate.keeps(Some(&session(*n))))
            .count()
    }

    #[test]
    fn the_share_kept_is_the_share_asked_for() {
        assert_eq!(kept(0.0), 0);
        assert_eq!(kept(1.0), 10_000);
        for (share, expected) in [(0.01, 100), (0.25, 2_500), (0.5, 5_000)] {
            let kept = kept(share);
            assert!(kept.abs_diff(expected) < 200, "{share} kept {kept}");
        }
    }

    #[test]
    fn a_session_kept_at_a_low_rate_is_kept_at_every_higher_one() {
        for n in 0..1_000 {
            let session = session(n);
            if Rate::new(0.1).keeps(Some(&session)) {
                assert!(Rate::new(0.3).keeps(Some(&session)));
            }
        }
    }

    #[test]
    fn shares_out_of_range_are_moved_to_the_nearer_end() {
        assert_eq!(Rate::new(7.0), Rate::ALL);
        assert_eq!(Rate::new(f64::NAN), Rate::ALL);
        assert_eq!(Rate::new(-1.0), Rate::new(0.0));
        assert!(!Rate::new(0.0).keeps(None));
        assert!(Rate::new(1.0).keeps(None));
    }
}
