//! How large a body the destination takes, learned from its refusals.

/// Successes before a size that was refused is tried again; doubles each time it is refused again.
const PATIENCE: u32 = 64;
/// How often that doubles: in the end about one request in a thousand is refused.
const MOST_DOUBLINGS: u32 = 4;

/// The largest body worth sending: the provider's limit until the destination says it is too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct LearnedSize {
    limit: usize,
    current: usize,
    /// The smallest body that was refused, until one as large is taken.
    refused: usize,
    /// The largest body that was taken and is smaller than what was refused.
    taken: usize,
    /// How often the way up has ended at a refusal.
    doublings: u32,
    /// Successes right below what was refused.
    waited: u32,
}

impl LearnedSize {
    /// Never learn a limit below this: a single event has to fit.
    const SMALLEST: usize = 1024;

    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            current: limit,
            refused: usize::MAX,
            taken: 0,
            doublings: 0,
            waited: 0,
        }
    }

    pub(super) fn current(self) -> usize {
        self.current
    }

    /// A body of `len` bytes was too large.
    pub(super) fn too_large(&mut self, len: usize) {
        let smallest = Self::SMALLEST.min(self.limit);
        self.refused = len.max(1);
        if self.taken >= len {
            // what was learned holds no longer
            self.taken = 0;
        }
        self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
        self.waited = 0;
        let next = (len / 2).max(self.taken);
        self.current = next.clamp(smallest, self.current.max(smallest));
    }

    /// A body of `len` bytes was taken: feel the way up again, slowly, and stop below what was refused.
    pub(super) fn taken(&mut self, len: usize) {
        if len >= self.refused {
            (self.refused, self.doublings, self.waited) = (usize::MAX, 0, 0);
        }
        self.taken = self.taken.max(len);
        let next = self
            .current
            .saturating_add((self.current / 64).max(1))
            .min(self.limit);
        if next < self.refused {
            self.current = next;
            return;
        }
        self.waited += 1;
        if self.waited >= PATIENCE << self.doublings {
            self.waited = 0;
            self.current = self.limit.min(self.refused.max(self.current));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sends `requests` bodies as large as is worth it to a destination that takes `secret` bytes, and
    /// counts the refusals.
    fn refusals(size: &mut LearnedSize, secret: usize, requests: usize) -> usize {
        let mut refused = 0;
        for _ in 0..requests {
            let len = size.current();
            if len > secret {
                refused += 1;
                size.too_large(len);
            } else {
                size.taken(len);
            }
        }
        refused
    }

    #[test]
    fn a_refusal_halves_and_success_recovers_slowly() {
        let mut size = LearnedSize::new(1_000_000);
        size.too_large(800_000);
        assert_eq!(size.current(), 400_000);
        size.taken(400_000);
        assert_eq!(size.current(), 406_250);
        let soon = refusals(&mut size, usize::MAX, 44);
        assert_eq!(soon, 0);
        assert!(size.current() < 800_000, "not at once: {}", size.current());
        refusals(&mut size, usize::MAX, 200);
        assert_eq!(size.current(), 1_000_000);
    }

    #[test]
    fn it_never_learns_a_size_that_no_event_fits() {
        let mut size = LearnedSize::new(1_000_000);
        for _ in 0..50 {
            size.too_large(size.current());
        }
        assert_eq!(size.current(), LearnedSize::SMALLEST);
        let mut tiny = LearnedSize::new(10);
        tiny.too_large(10);
        assert_eq!(tiny.current(), 10);
    }

    #[test]
    fn a_limit_that_is_raised_is_found_out() {
        let mut size = LearnedSize::new(1_000_000);
        refusals(&mut size, 100_000, 20_000);
        assert!(size.current() <= 100_000);
        assert_eq!(refusals(&mut size, 1_000_000, 2_000), 0);
        assert_eq!(size.current(), 1_000_000);
    }

    proptest! {
        #[test]
        fn in_the_long_run_two_requests_in_a_thousand_are_refused(secret in 2_000usize..1_000_000) {
            let mut size = LearnedSize::new(1_000_000);
            let at_first = refusals(&mut size, secret, 2_000);
            prop_assert!(at_first <= 24, "{} at first", at_first);
            let later = refusals(&mut size, secret, 20_000);
            prop_assert!(later <= 40, "{} of 20,000", later);
            prop_assert!(size.current() >= secret / 64 * 61, "{} of {}", size.current(), secret);
        }

        #[test]
        fn no_answers_lead_out_of_the_range(
            limit in prop_oneof![1usize..1 << 20, any::<usize>().prop_map(|n| n.max(1)), Just(usize::MAX)],
            answers in prop::collection::vec((any::<bool>(), any::<usize>()), 0..300),
        ) {
            let mut size = LearnedSize::new(limit);
            for (taken, len) in answers {
                if taken { size.taken(len) } else { size.too_large(len) }
                let smallest = LearnedSize::SMALLEST.min(limit);
                prop_assert!((smallest..=limit).contains(&size.current()));
            }
        }
    }
}
