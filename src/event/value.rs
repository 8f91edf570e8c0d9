//! Values of any JSON type.

use std::borrow::Cow;
use std::sync::Arc;

use crate::Text;

/// Deepest nesting of arrays and objects that is kept in a [`Value`].
///
/// Readers of JSON (ours among them) often stop at 128 levels, and the levels around a value are
/// at most four: the body, the list of events, the event, its metadata.
pub const MAX_DEPTH: usize = 120;

/// A metadata value: any JSON value.
///
/// Made by `Into` from booleans, numbers, text, options of these and [`serde_json::Value`].
/// A number that JSON cannot say (not a number, infinite) is written as `null`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer too large for [`Value::Int`].
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Text),
    /// An array or object, at most [`MAX_DEPTH`] deep.
    Json(Arc<serde_json::Value>),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.heap_bytes(),
            Self::Json(json) => json_bytes(json),
            _ => 0,
        }
    }
}

/// What a JSON value takes on the heap, itself included; at most [`MAX_DEPTH`] calls deep.
fn json_bytes(json: &serde_json::Value) -> usize {
    let below = match json {
        serde_json::Value::String(text) => text.capacity(),
        serde_json::Value::Array(items) => {
            let unused = items.capacity() - items.len();
            unused * size_of::<serde_json::Value>() + items.iter().map(json_bytes).sum::<usize>()
        }
        serde_json::Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| {
                // the value itself has its place in a node
                key.capacity() + json_bytes(value) - size_of::<serde_json::Value>()
            });
            map_nodes(map.len()) + entries.sum::<usize>()
        }
        _ => 0,
    };
    size_of::<serde_json::Value>() + below
}

/// What the nodes of a map of that many entries take: room for eleven entries each, of which between
/// half and all is used once there is more than one node.
fn map_nodes(entries: usize) -> usize {
    const ROOM: usize = 11;
    const NODE: usize = ROOM * (size_of::<String>() + size_of::<serde_json::Value>()) + 16;
    match entries {
        0 => 0,
        1..=ROOM => NODE,
        more => NODE * (1 + more.div_ceil(ROOM * 2 / 3)),
    }
}

/// Whether `json` nests deeper than [`MAX_DEPTH`], found without recursion.
pub(crate) fn is_too_deep(json: &serde_json::Value) -> bool {
    let mut open = vec![(json, 1)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH && (value.is_array() || value.is_object()) {
            return true;
        }
        match value {
            serde_json::Value::Array(items) => open.extend(items.iter().map(|v| (v, depth + 1))),
            serde_json::Value::Object(map) => open.extend(map.values().map(|v| (v, depth + 1))),
            _ => {}
        }
    }
    false
}

impl From<serde_json::Value> for Value {
    /// Nesting beyond [`MAX_DEPTH`] becomes the text `[too deep]`.
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::String(text) => Self::Text(text.into()),
            serde_json::Value::Number(number) => {
                if let Some(value) = number.as_i64() {
                    Self::Int(value)
                } else if let Some(value) = number.as_u64() {
                    Self::Uint(value)
                } else {
                    number.as_f64().map_or(Self::Null, Self::Float)
                }
            }
            nested if is_too_deep(&nested) => Self::Text(Text::from_static("[too deep]")),
            nested => Self::Json(Arc::new(nested)),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! from_numbers {
    ($($variant:ident: $($number:ty),*;)*) => {
        $($(impl From<$number> for Value {
            fn from(value: $number) -> Self {
                Self::$variant(value.into())
            }
        })*)*
    };
}

from_numbers! {
    Int: i8, i16, i32, i64, u8, u16, u32;
    Uint: u64;
    Float: f32, f64;
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        // no supported platform has more than 64 bits
        Self::Uint(u64::try_from(value).unwrap_or(u64::MAX))
    }
}

impl From<isize> for Value {
    fn from(value: isize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

macro_rules! from_texts {
    ($($text:ty),*) => {
        $(impl From<$text> for Value {
            fn from(text: $text) -> Self {
                Self::Text(text.into())
            }
        })*
    };
}

from_texts!(Text, &'static str, String, Arc<str>, Cow<'static, str>);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A JSON document kept as text, as the service wants state snapshots.
///
/// ```
/// use productgraph::event::JsonText;
/// use serde_json::json;
///
/// assert_eq!(JsonText::from(json!({"items": 2})).as_str(), r#"{"items":2}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Text);

impl JsonText {
    /// Serialises any value.
    ///
    /// # Errors
    ///
    /// What the value's own `Serialize` reports.
    pub fn of(value: &impl serde::Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(text.into()))
    }

    /// Text that is a JSON document already; sent as it is, unchecked.
    #[must_use]
    pub fn raw(text: impl Into<Text>) -> Self {
        Self(text.into())
    }

    /// The document.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

impl From<serde_json::Value> for JsonText {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<&serde_json::Value> for JsonText {
    fn from(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_of_json_become_plain_values() {
        assert_eq!(Value::from(json!(null)), Value::Null);
        assert_eq!(Value::from(json!(-3)), Value::Int(-3));
        assert_eq!(Value::from(json!(u64::MAX)), Value::Uint(u64::MAX));
        assert_eq!(Value::from(json!(1.5)), Value::Float(1.5));
        assert_eq!(Value::from(json!("x")), Value::from("x"));
        assert_eq!(Value::from(None::<i32>), Value::Null);
    }

    #[test]
    fn nesting_beyond_the_limit_is_replaced() {
        let nested = |depth| (0..depth).fold(json!(0), |inner, _| json!([inner]));
        assert!(matches!(Value::from(nested(MAX_DEPTH)), Value::Json(_)));
        assert_eq!(
            Value::from(nested(MAX_DEPTH + 1)),
            Value::from("[too deep]")
        );
    }
}
