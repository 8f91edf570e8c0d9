//! The slices of what was sealed at one time: nearly always one, which takes no memory of its own.

use std::ops::{Deref, DerefMut};

use crate::request::Slice;

/// A list of slices that is cheap while there is one.
#[derive(Debug)]
pub(crate) enum Slices<E> {
    One([Slice<E>; 1]),
    More(Vec<Slice<E>>),
}

impl<E> Slices<E> {
    pub(crate) fn one(slice: Slice<E>) -> Self {
        Self::One([slice])
    }

    /// A copy of those, as short as it may be.
    pub(crate) fn copied(slices: &[Slice<E>]) -> Self {
        match slices {
            [one] => Self::one(one.clone()),
            more => Self::More(more.to_vec()),
        }
    }

    pub(crate) fn push(&mut self, slice: Slice<E>) {
        match self {
            Self::One(_) => {
                let mut more = std::mem::replace(self, Self::More(Vec::new())).into_vec();
                more.push(slice);
                *self = Self::More(more);
            }
            Self::More(more) if more.is_empty() => *self = Self::one(slice),
            Self::More(more) => more.push(slice),
        }
    }

    fn into_vec(self) -> Vec<Slice<E>> {
        match self {
            Self::One(one) => one.into(),
            Self::More(more) => more,
        }
    }
}

impl<E> Clone for Slices<E> {
    fn clone(&self) -> Self {
        Self::copied(self)
    }
}

impl<E> Deref for Slices<E> {
    type Target = [Slice<E>];

    fn deref(&self) -> &[Slice<E>] {
        match self {
            Self::One(one) => one,
            Self::More(more) => more,
        }
    }
}

impl<E> DerefMut for Slices<E> {
    fn deref_mut(&mut self) -> &mut [Slice<E>] {
        match self {
            Self::One(one) => one,
            Self::More(more) => more,
        }
    }
}

impl<E> From<Vec<Slice<E>>> for Slices<E> {
    fn from(slices: Vec<Slice<E>>) -> Self {
        Self::More(slices)
    }
}

impl<'a, E> IntoIterator for &'a Slices<E> {
    type Item = &'a Slice<E>;
    type IntoIter = std::slice::Iter<'a, Slice<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::budget::{Budget, Charge};
    use crate::request::Batch;

    fn slice(number: u64) -> Slice<u64> {
        let charge = Charge::adopt(&Arc::new(Budget::new(1)), 0);
        let batch = Batch::new(number, vec![number], Instant::now(), charge);
        Slice::whole(Arc::new(batch))
    }

    #[test]
    fn slices_stay_in_order_however_many_there_are() {
        let mut slices = Slices::from(Vec::new());
        for length in 1..5 {
            slices.push(slice(length));
            let numbers: Vec<_> = slices.iter().map(Slice::number).collect();
            assert_eq!(numbers, (1..=length).collect::<Vec<_>>());
            assert_eq!(matches!(slices, Slices::One(_)), length == 1);
            let copied = Slices::copied(&slices);
            assert_eq!(copied.len(), slices.len());
        }
    }
}
