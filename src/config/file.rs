//! Values in a configuration file: text as in the environment, or a plain number.

use std::fmt;
use std::time::Duration;

use productgraph_actors::Overflow;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::values::{self, Read};
use super::variables::accepts;
use crate::correlation::{SessionMinting, TraceTrust};
use crate::event::wire::TenantKeys;
use crate::{ConsentPolicy, RedactionMode};

/// Text or a number, as the text that the readers of `values` take.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl Visitor<'_> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.trim().to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}

fn read<'de, D, T>(
    deserializer: D,
    reader: fn(&str) -> Read<T>,
    expected: &str,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    let Scalar(text) = Scalar::deserialize(deserializer)?;
    reader(&text)
        .map_err(|problem| D::Error::custom(format_args!("value {problem}; expected {expected}")))
}

macro_rules! readers {
    ($($name:ident: $type:ty, $reader:path, $expected:expr;)+) => {
        $(
            pub(super) fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                read(deserializer, $reader, $expected)
            }
        )+
    };
}

readers! {
    duration: Duration, values::duration, "a duration such as \"5s\" or \"500ms\", or seconds";
    size: usize, values::size, "a size such as \"8MiB\", or bytes";
    overflow: Overflow, values::overflow, accepts("PRODUCTGRAPH_OVERFLOW");
    tenant_keys: TenantKeys, values::tenant_keys, accepts("PRODUCTGRAPH_TENANT_KEYS");
    session: SessionMinting, values::session, accepts("PRODUCTGRAPH_SESSION");
    trace_trust: TraceTrust, values::trace_trust, accepts("PRODUCTGRAPH_TRACE_TRUST");
    redaction: RedactionMode, values::redaction, accepts("PRODUCTGRAPH_REDACTION");
    rate: f64, values::rate, accepts("PRODUCTGRAPH_SAMPLE_RATE");
    consent: ConsentPolicy, values::consent, accepts("PRODUCTGRAPH_CONSENT");
}

/// A duration that need not be there.
pub(super) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    struct Given(Duration);

    impl<'de> Deserialize<'de> for Given {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            duration(deserializer).map(Self)
        }
    }

    let given = Option::<Given>::deserialize(deserializer)?;
    Ok(given.map(|Given(duration)| duration))
}

/// Text without the space around it; empty text is none.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty()))
}
