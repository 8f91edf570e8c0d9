//! The identity of an event: generated UUID v7, or what the sender gave.

use std::cell::RefCell;
use std::fmt;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::compact_id::{CompactId, IdText};
use crate::event::Timestamp;
use crate::lineage;

/// The identity of an event, fixed when it is tracked and the same in every retry.
///
/// Destinations that recognise duplicates do so by it. A generated one is a UUID v7 and takes no
/// allocation; a given one may be any text of at most 255 bytes of `[A-Za-z0-9._:-]`.
///
/// ```
/// use productgraph::event::{EventId, Timestamp};
///
/// let id = EventId::v7(Timestamp::from_unix_millis(1_767_225_600_000), 1);
/// assert!(id.to_string().starts_with("019b76da-a800-7001-"));
/// assert_eq!(EventId::parse("evt-1767225600000-k3j9")?, "evt-1767225600000-k3j9");
/// # Ok::<_, productgraph::event::EventIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventId(CompactId);

/// The text is no event id: empty, longer than 255 bytes, or not only of `[A-Za-z0-9._:-]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 255 characters of [A-Za-z0-9._:-]")]
pub struct EventIdError;

impl EventId {
    /// Longest given id, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// A new UUID v7 of the given time, without a system call.
    ///
    /// The 12 bits after the version are the low bits of `sequence`, so ids of one engine and
    /// millisecond sort in the order of their sequence numbers. The rest is random, with the
    /// sequence number mixed in: even without a random generator (in the last moments of a
    /// thread) two ids of one process differ while their sequence numbers do. Times before 1970
    /// count as 1970.
    #[must_use]
    pub fn v7(timestamp: Timestamp, sequence: u64) -> Self {
        assemble(timestamp, sequence, random())
    }

    /// Takes an id given by somebody else.
    ///
    /// # Errors
    ///
    /// [`EventIdError`] when it is empty, too long, or has a character outside
    /// `[A-Za-z0-9._:-]`.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.bytes().all(is_id_byte) {
            return Err(EventIdError);
        }
        Ok(Self(CompactId::copied(text)))
    }

    /// The id as a UUID, where it is one in its usual lower-case form.
    #[must_use]
    pub fn as_uuid_bytes(&self) -> Option<&[u8; 16]> {
        match &self.0 {
            CompactId::Uuid(bytes) => Some(bytes),
            CompactId::Given(_) => None,
        }
    }

    /// The id as text, written on the stack where it is a UUID.
    #[must_use]
    pub fn text(&self) -> IdText<'_> {
        self.0.text()
    }

    pub(crate) fn compact(&self) -> &CompactId {
        &self.0
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

/// A UUID v7: time, the low bits of the sequence number, and 62 bits in which it is mixed with what
/// is random.
fn assemble(timestamp: Timestamp, sequence: u64, random: u64) -> EventId {
    let millis = u64::try_from(timestamp.unix_millis()).unwrap_or(0);
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&sequence.to_be_bytes()[6..]);
    bytes[2..].copy_from_slice(&(random ^ process_salt() ^ scatter(sequence)).to_be_bytes());
    // sets the version and the variant over six of these bits
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    EventId(id.into())
}

/// The alphabet of event ids.
fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

/// Spreads a sequence number over 62 bits: multiplying by an odd number is one-to-one.
fn scatter(sequence: u64) -> u64 {
    sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The thread's generator, seeded by the system once; 0 where the thread's storage is gone.
fn random() -> u64 {
    thread_local! {
        static GENERATOR: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::new());
    }
    GENERATOR
        .try_with(|rng| rng.try_borrow_mut().map_or(0, |mut rng| rng.u64(..)))
        .unwrap_or(0)
}

/// Tells processes apart where the random generator cannot.
fn process_salt() -> u64 {
    static SALT: OnceLock<u64> = OnceLock::new();
    let salt = *SALT.get_or_init(|| {
        lineage::begins();
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // the address of a static differs where address spaces are randomised
        let address = (&raw const SALT).addr() as u64;
        let nanos = since_epoch.as_secs().wrapping_mul(1_000_000_000)
            ^ u64::from(since_epoch.subsec_nanos());
        scatter(nanos ^ address.rotate_left(32))
            ^ scatter(std::process::id().into()).rotate_left(17)
    });
    salt ^ lineage::salt()
}

impl PartialEq<&str> for EventId {
    fn eq(&self, other: &&str) -> bool {
        self.text() == **other
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_767_225_600_123);

    #[test]
    fn a_generated_id_is_a_uuid_v7_of_its_time() {
        let id = EventId::v7(NOW, u64::MAX);
        let uuid = uuid::Uuid::from_bytes(*id.as_uuid_bytes().unwrap());
        assert_eq!(uuid.get_version(), Some(uuid::Version::SortRand));
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(
            uuid.get_timestamp().unwrap().to_unix(),
            (1_767_225_600, 123_000_000)
        );
    }

    #[test]
    fn ids_of_one_millisecond_differ_and_sort_by_sequence() {
        let ids: Vec<_> = (0..4096).map(|n| EventId::v7(NOW, n).to_string()).collect();
        assert!(ids.is_sorted());
        let distinct: HashSet<_> = (0..100_000).map(|n| EventId::v7(NOW, n % 2)).collect();
        assert_eq!(
            distinct.len(),
            100_000,
            "the same sequence number gives different ids"
        );
    }

    #[test]
    fn without_a_random_generator_ids_still_differ() {
        let distinct: HashSet<_> = (0..100_000).map(|n| assemble(NOW, n, 0)).collect();
        assert_eq!(distinct.len(), 100_000);
        // what the low bits of the sequence number do not tell apart
        let distinct: HashSet<_> = (0..10_000).map(|n| assemble(NOW, n << 16, 0)).collect();
        assert_eq!(distinct.len(), 10_000);
    }

    #[test]
    fn ids_made_while_a_thread_ends_differ() {
        use std::sync::mpsc;

        struct AtTheEnd(mpsc::Sender<EventId>);
        impl Drop for AtTheEnd {
            fn drop(&mut self) {
                for n in 0..1000 {
                    self.0.send(EventId::v7(NOW, n)).unwrap();
                }
            }
        }
        thread_local! {
            static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
        }
        let (sender, ids) = mpsc::channel();
        std::thread::spawn(move || {
            LAST.with_borrow_mut(|last| *last = Some(AtTheEnd(sender)));
            // so that this thread's generator goes first
            drop(EventId::v7(NOW, 0));
        })
        .join()
        .unwrap();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 1000);
    }

    #[test]
    fn a_given_id_is_kept_letter_by_letter() {
        for given in [
            "01890a5d-ac96-774b-bcce-b302099a8057",
            "01890A5D-AC96-774B-BCCE-B302099A8057",
            "01890a5dac96774bbcceb302099a8057",
            "evt-1767225600000-k3j9",
            "a:b._-C",
        ] {
            assert_eq!(EventId::parse(given).unwrap().to_string(), given);
        }
        let canonical = EventId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        assert!(canonical.as_uuid_bytes().is_some());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in ["", "a b", "a\n", "ä", "{x}", &"x".repeat(256)] {
            assert_eq!(EventId::parse(bad), Err(EventIdError), "{bad}");
        }
        assert!(EventId::parse(&"x".repeat(255)).is_ok());
    }

    proptest! {
        #[test]
        fn any_time_and_sequence_number_gives_an_id(nanos: i64, sequence: u64) {
            let id = EventId::v7(Timestamp::from_unix_nanos(nanos), sequence);
            prop_assert_eq!(EventId::parse(&id.to_string()), Ok(id));
        }
    }
}
