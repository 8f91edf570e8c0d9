//! W3C trace context: the `traceparent` header and the ids in it.
//!
//! The rules are those of the W3C recommendation, level 2, sections "traceparent header" and
//! "versioning of traceparent".

use std::fmt;
use std::ops::Deref;

/// A trace and a span in it, as plain bytes.
///
/// All zeros mean "absent" on the wire, so [`TraceIds::new`] refuses them; a value written as a
/// literal should hold neither.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceIds {
    /// The trace, shown as 32 lower-case hex digits.
    pub trace_id: [u8; 16],
    /// The span that was current, shown as 16 lower-case hex digits.
    pub span_id: [u8; 8],
}

impl TraceIds {
    /// The two ids, or `None` when either is all zero.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8]) -> Option<Self> {
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self { trace_id, span_id })
    }

    /// The trace id as 32 lower-case hex digits, on the stack.
    pub fn trace_id_hex(&self) -> Hex<32> {
        Hex::encode(&self.trace_id)
    }

    /// The span id as 16 lower-case hex digits, on the stack.
    pub fn span_id_hex(&self) -> Hex<16> {
        Hex::encode(&self.span_id)
    }
}

impl fmt::Debug for TraceIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TraceIds({}-{})",
            self.trace_id_hex(),
            self.span_id_hex()
        )
    }
}

/// `N` lower-case hex digits on the stack.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Hex<N> {
    fn encode(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = [b'0'; N];
        for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(out)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // only ASCII is ever written, so the default never shows
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<const N: usize> Deref for Hex<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A valid `traceparent` value.
///
/// ```
/// use productgraph::correlation::TraceParent;
///
/// let parent = TraceParent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
///     .ok_or("not a traceparent")?;
/// assert!(parent.is_sampled());
/// assert_eq!(parent.ids().trace_id_hex().as_str(), "0af7651916cd43dd8448eb211c80319c");
/// assert_eq!(parent.to_string(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    ids: TraceIds,
    flags: u8,
}

const SAMPLED: u8 = 0b01;
const RANDOM: u8 = 0b10;

impl TraceParent {
    /// Length of the header value in version `00`, the one that is sent.
    pub const LEN: usize = 55;

    /// Joins ids and flags; flags other than sampled and random are cleared.
    pub fn new(ids: TraceIds, flags: u8) -> Self {
        Self {
            ids,
            flags: flags & (SAMPLED | RANDOM),
        }
    }

    /// Reads one header value without surrounding white space; `None` when it is not valid.
    ///
    /// Version `00` has exactly 55 characters. A higher version is read at the same positions and
    /// may go on after another `-`. Version `ff`, upper-case digits and all-zero ids are refused.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(Self::LEN)?;
        if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
            return None;
        }
        let [version] = decode(&head[..2])?;
        let end_fits = match version {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        if !end_fits {
            return None;
        }
        let ids = TraceIds::new(decode(&head[3..35])?, decode(&head[36..52])?)?;
        let [flags] = decode(&head[53..])?;
        Some(Self::new(ids, flags))
    }

    /// The ids.
    pub fn ids(&self) -> TraceIds {
        self.ids
    }

    /// Whether the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether the caller says that the last 7 bytes of the trace id are random.
    pub fn has_random_trace_id(&self) -> bool {
        self.flags & RANDOM != 0
    }

    /// The header value, version `00`, on the stack.
    pub(super) fn to_ascii(self) -> [u8; Self::LEN] {
        let mut out = [b'-'; Self::LEN];
        out[..2].copy_from_slice(b"00");
        out[3..35].copy_from_slice(&self.ids.trace_id_hex().0);
        out[36..52].copy_from_slice(&self.ids.span_id_hex().0);
        out[53..].copy_from_slice(&Hex::<2>::encode(&[self.flags]).0);
        out
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{}-{}-{:02x}",
            self.ids.trace_id_hex(),
            self.ids.span_id_hex(),
            self.flags
        )
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

/// Lower-case hex of exactly `2 * N` digits.
fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
