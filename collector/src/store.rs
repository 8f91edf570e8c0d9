//! Accepted events in memory, in order of arrival, under a cap.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::decode::Accepted;

/// How much the store may hold; the oldest events make room for new ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cap {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    /// Whether the events' texts are kept, or only their ids.
    pub(crate) texts: bool,
}

/// A stored event. Cloning shares the text.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: Bytes,
    pub(crate) raw: Bytes,
    /// Position among all events ever stored, from 1.
    pub(crate) arrival: u64,
    /// The number of the request that brought it.
    pub(crate) request: u64,
}

#[derive(Debug)]
pub(crate) struct Store {
    events: VecDeque<Stored>,
    /// How often each id is among `events`. Copies, because an id may outlive the body it came in.
    ids: HashMap<Box<[u8]>, u32>,
    cap: Cap,
    bytes: usize,
    arrivals: u64,
}

/// What adding a batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) duplicates: u64,
    pub(crate) evicted: u64,
}

impl Store {
    pub(crate) fn new(cap: Cap) -> Self {
        Self {
            events: VecDeque::new(),
            ids: HashMap::new(),
            cap,
            bytes: 0,
            arrivals: 0,
        }
    }

    pub(crate) fn add(&mut self, request: u64, events: Vec<Accepted>) -> Added {
        let mut added = Added::default();
        for Accepted { mut id, mut raw } in events {
            if !self.cap.texts {
                // an id alone must not keep the body alive that it came in
                id = Bytes::copy_from_slice(&id);
                raw = Bytes::new();
            }
            self.arrivals += 1;
            self.bytes += raw.len();
            match self.ids.get_mut(&*id) {
                Some(count) => {
                    *count += 1;
                    added.duplicates += 1;
                }
                None => {
                    self.ids.insert(Box::from(&*id), 1);
                }
            }
            self.events.push_back(Stored {
                id,
                raw,
                arrival: self.arrivals,
                request,
            });
            while self.events.len() > self.cap.events || self.bytes > self.cap.bytes {
                self.evict();
                added.evicted += 1;
            }
        }
        added
    }

    fn evict(&mut self) {
        let Some(oldest) = self.events.pop_front() else {
            return;
        };
        self.bytes -= oldest.raw.len();
        if let Some(count) = self.ids.get_mut(&*oldest.id) {
            *count -= 1;
            if *count == 0 {
                self.ids.remove(&*oldest.id);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.cap);
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn to_vec(&self) -> Vec<Stored> {
        self.events.iter().cloned().collect()
    }

    pub(crate) fn ids(&self) -> Vec<Bytes> {
        self.events.iter().map(|stored| stored.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &'static str, raw: &'static str) -> Accepted {
        Accepted {
            id: Bytes::from_static(id.as_bytes()),
            raw: Bytes::from_static(raw.as_bytes()),
        }
    }

    fn ids(store: &Store) -> Vec<Bytes> {
        store.ids()
    }

    #[test]
    fn the_oldest_events_leave_when_there_are_too_many() {
        let mut store = Store::new(Cap {
            events: 2,
            bytes: 100,
            texts: true,
        });
        let added = store.add(
            1,
            vec![event("a", "1"), event("b", "22"), event("c", "333")],
        );
        assert_eq!(
            added,
            Added {
                duplicates: 0,
                evicted: 1
            }
        );
        assert_eq!(ids(&store), ["b", "c"]);
        assert_eq!(store.bytes(), 5);
    }

    #[test]
    fn the_oldest_events_leave_when_they_are_too_long() {
        let mut store = Store::new(Cap {
            events: 10,
            bytes: 4,
            texts: true,
        });
        store.add(1, vec![event("a", "1"), event("b", "22")]);
        let added = store.add(2, vec![event("c", "333")]);
        assert_eq!(
            added,
            Added {
                duplicates: 0,
                evicted: 2
            }
        );
        assert_eq!(ids(&store), ["c"]);
        let added = store.add(3, vec![event("d", "too long to be kept")]);
        assert_eq!(
            added,
            Added {
                duplicates: 0,
                evicted: 2
            }
        );
        assert_eq!((store.len(), store.bytes()), (0, 0));
    }

    #[test]
    fn a_duplicate_is_stored_and_counted_while_its_twin_is_there() {
        let mut store = Store::new(Cap {
            events: 2,
            bytes: 100,
            texts: true,
        });
        assert_eq!(
            store
                .add(1, vec![event("a", "1"), event("a", "1")])
                .duplicates,
            1
        );
        assert_eq!(store.len(), 2);
        assert_eq!(
            store.add(2, vec![event("b", "1"), event("c", "1")]).evicted,
            2
        );
        assert_eq!(store.add(3, vec![event("a", "1")]).duplicates, 0);
    }

    #[test]
    fn arrival_numbers_go_on_across_requests() {
        let mut store = Store::new(Cap {
            events: 9,
            bytes: 100,
            texts: true,
        });
        store.add(1, vec![event("a", "1")]);
        store.add(4, vec![event("b", "1")]);
        let seen: Vec<_> = store
            .to_vec()
            .iter()
            .map(|s| (s.arrival, s.request))
            .collect();
        assert_eq!(seen, [(1, 1), (2, 4)]);
    }
}
