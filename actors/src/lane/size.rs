//! How large a body the destination takes, learned from its refusals.

/// The largest body worth sending: the provider's limit until the destination says it is too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct LearnedSize {
    limit: usize,
    current: usize,
}

impl LearnedSize {
    /// Never learn a limit below this: a single event has to fit.
    const SMALLEST: usize = 1024;

    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            current: limit,
        }
    }

    pub(super) fn current(self) -> usize {
        self.current
    }

    /// A body of `len` bytes was too large.
    pub(super) fn too_large(&mut self, len: usize) {
        let smallest = Self::SMALLEST.min(self.limit);
        self.current = (len / 2).clamp(smallest, self.current.max(smallest));
    }

    /// A body was taken: feel the way up again, slowly, so that the limit is met rarely.
    pub(super) fn taken(&mut self) {
        if self.current < self.limit {
            self.current = self.limit.min(self.current + (self.current / 64).max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_halves_and_success_recovers_slowly() {
        let mut size = LearnedSize::new(1_000_000);
        size.too_large(800_000);
        assert_eq!(size.current(), 400_000);
        size.taken();
        assert_eq!(size.current(), 406_250);
        for _ in 0..200 {
            size.taken();
        }
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
}
