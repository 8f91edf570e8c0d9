//! Validated identifiers: whoever holds one holds a value that every destination accepts.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::{Builder, Uuid};

use super::rules::{IdError, check_ascii, check_printable, is_request_byte, is_token_byte};
use crate::compact_id::{CompactId, IdText};
use crate::lineage;
use crate::text::Text;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $max:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(CompactId);

        impl $name {
            /// The longest accepted value in bytes.
            pub const MAX_LEN: usize = $max;

            /// Checks and copies an identifier that came from outside.
            ///
            /// # Errors
            ///
            /// [`IdError`] names the rule that was broken; it never holds the value.
            pub fn parse(value: &str) -> Result<Self, IdError> {
                let check: fn(&str, usize) -> Result<&str, IdError> = $check;
                check(value, Self::MAX_LEN).map(|value| Self(CompactId::copied(value)))
            }

            /// The identifier as text. A UUID is kept as its 16 bytes and written here, on the stack.
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

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.text() == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.text() == **other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.text())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.text()).finish()
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::parse(value)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;

            fn try_from(value: &str) -> Result<Self, IdError> {
                Self::parse(value)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(value: String) -> Result<Self, IdError> {
                Self::parse(&value)
            }
        }

        impl From<$name> for Text {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.text())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, value: &str) -> Result<$name, E> {
                        $name::parse(value).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

identifier! {
    /// The frontend session that a request belongs to: 1 to 128 of `[A-Za-z0-9._:-]`.
    ///
    /// UUIDs of any version, 32 hex digits, ULIDs, short tokens and the browser adapter's
    /// `sess-<base36>-<tail>` all fit. It is a label: authorisation must never depend on it.
    SessionId, 128, "a session id", |value, max| check_ascii(value, max, is_token_byte)
}

identifier! {
    /// One request as the log files know it: 1 to 128 of `[A-Za-z0-9._:+/=@-]`.
    ///
    /// An aid for correlating logs; neither secret nor unique by force.
    RequestId, 128, "a request id", |value, max| check_ascii(value, max, is_request_byte)
}

identifier! {
    /// A user as the application knows them: 1 to 255 bytes of printable text of any script,
    /// trimmed.
    ///
    /// `Debug` and `Display` show it. An application whose user ids are personal data (an e-mail
    /// address) should not print them, and better not use them as ids.
    UserId, 255, "a user id", check_printable
}

identifier! {
    /// A browser or device before anyone logged in: 1 to 128 of `[A-Za-z0-9._:-]`.
    AnonymousId, 128, "an anonymous id", |value, max| check_ascii(value, max, is_token_byte)
}

/// The last millisecond whose nanoseconds since 1970 fit an `i64`, in the year 2262.
const LAST_UNIX_MS: u64 = 9_223_372_036_854;

impl SessionId {
    /// A new session id: a UUID v7, which carries its start time and sorts by it.
    pub fn mint() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let mut random = [0; 10];
        random.copy_from_slice(&random_bits().to_le_bytes()[..10]);
        Self(
            Builder::from_unix_timestamp_millis(millis, &random)
                .into_uuid()
                .into(),
        )
    }

    /// The session of this process: minted once, for events that belong to no request. A process that
    /// was forked has one of its own from the start of its first engine on.
    pub fn of_process() -> Self {
        static PROCESS: OnceLock<SessionId> = OnceLock::new();
        static FORKED: Mutex<Option<(u64, SessionId)>> = Mutex::new(None);
        let salt = lineage::salt();
        if salt == 0 {
            return PROCESS.get_or_init(Self::mint).clone();
        }
        // a lock that was held at the fork is never free again
        let Ok(mut forked) = FORKED.try_lock() else {
            return Self::mint();
        };
        match &*forked {
            Some((of, session)) if *of == salt => session.clone(),
            _ => forked.insert((salt, Self::mint())).1.clone(),
        }
    }

    /// When the session began, in milliseconds since 1970, as far as the id tells.
    ///
    /// UUID v7 and `sess-<start in base 36>-<tail>` tell it. The value of an adopted id is the
    /// client's claim. `None` also for a time that nanoseconds in an `i64` cannot express.
    ///
    /// ```
    /// # use productgraph::correlation::SessionId;
    /// let v7 = SessionId::parse("018f3b0e-6a00-7c11-9d2e-6a1b2c3d4e5f")?;
    /// assert_eq!(v7.started_at(), Some(0x018f_3b0e_6a00));
    /// assert_eq!(SessionId::parse("sess-lw3k9x2a-9f1b22c0")?.started_at(), Some(1_715_519_934_370));
    /// assert_eq!(SessionId::parse("cart-42")?.started_at(), None);
    /// # Ok::<(), productgraph::correlation::IdError>(())
    /// ```
    pub fn started_at(&self) -> Option<u64> {
        let text = self.text();
        start_of_browser_session(&text)
            .or_else(|| start_of_uuid_v7(&text))
            .filter(|millis| *millis <= LAST_UNIX_MS)
    }
}

impl RequestId {
    /// A new request id: a UUID v4.
    pub fn mint() -> Self {
        Self(
            Builder::from_random_bytes(random_bits().to_le_bytes())
                .into_uuid()
                .into(),
        )
    }
}

/// `^sess-([0-9a-z]{6,11})-([0-9a-z]{1,8})$`, the start in milliseconds in base 36.
fn start_of_browser_session(id: &str) -> Option<u64> {
    let (start, tail) = id.strip_prefix("sess-")?.split_once('-')?;
    let base_36 = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    };
    ((6..=11).contains(&start.len()) && (1..=8).contains(&tail.len()) && base_36(tail))
        .then_some(start)
        .filter(|start| base_36(start))
        .and_then(|start| u64::from_str_radix(start, 36).ok())
}

fn start_of_uuid_v7(id: &str) -> Option<u64> {
    let uuid = Uuid::try_parse(id).ok()?;
    (uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122)
        .then(|| uuid.as_u64_pair().0 >> 16)
}

/// 128 bits without a system call: the thread's generator, apart from every other process by a salt.
///
/// The generator seeds itself from a clock and a thread number, which two hosts may share. The salt
/// comes from the operating system, once.
fn random_bits() -> u128 {
    static SALT: OnceLock<u128> = OnceLock::new();
    let salt = *SALT.get_or_init(|| {
        lineage::begins();
        let word = || u128::from(RandomState::new().build_hasher().finish());
        word() << 64 | word()
    });
    let lineage = u128::from(lineage::salt());
    fastrand::u128(..) ^ salt ^ (lineage << 64 | lineage.rotate_left(96))
}
