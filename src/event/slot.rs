//! Optional numbers that take no room for saying that they are absent.

/// A number or nothing; the number that stands for nothing is set as its neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot<T>(T);

macro_rules! slots {
    ($($number:ty: $empty:expr, $nearest:expr;)*) => {
        $(impl Slot<$number> {
            pub(super) const EMPTY: Self = Self($empty);

            pub(super) const fn is_empty(self) -> bool {
                self.0 == $empty
            }

            pub(super) const fn get(self) -> Option<$number> {
                if self.is_empty() { None } else { Some(self.0) }
            }

            pub(super) const fn set(&mut self, value: $number) {
                self.0 = if value == $empty { $nearest } else { value };
            }

            pub(super) const fn get_or_set(&mut self, value: $number) -> $number {
                if self.is_empty() {
                    self.set(value);
                }
                self.0
            }
        })*
    };
}

slots! {
    // a time in the year 1677
    i64: i64::MIN, i64::MIN + 1;
    // no count gets there
    u64: u64::MAX, u64::MAX - 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_nothing_is_kept_as_its_neighbour() {
        let mut slot = Slot::<u64>::EMPTY;
        assert_eq!(slot.get(), None);
        slot.set(u64::MAX);
        assert_eq!(slot.get(), Some(u64::MAX - 1));
        let mut slot = Slot::<i64>::EMPTY;
        slot.set(i64::MIN);
        assert_eq!(slot.get(), Some(i64::MIN + 1));
    }

    #[test]
    fn what_is_there_stays() {
        let mut slot = Slot::<i64>::EMPTY;
        assert_eq!((slot.get_or_set(7), slot.get_or_set(8)), (7, 7));
    }
}
