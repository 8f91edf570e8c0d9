//! The `tracestate` header: checked, bounded and handed on as it came.
//!
//! The rules are those of the W3C trace context recommendation, level 2, section "tracestate header".

use http::HeaderValue;
use http::header::GetAll;

use crate::text::Text;

/// What must be propagated at least, and what is kept at most, in characters.
const MAX_LEN: usize = 512;
const MAX_MEMBERS: usize = 32;
/// Members longer than this go first when something has to go.
const LONG_MEMBER: usize = 128;
/// Longest input that is looked at, over all headers.
const MAX_HEADER_LEN: usize = 8 * 1024;

/// Joins and checks all `tracestate` headers of a request; `None` when any of it is invalid.
pub(super) fn read(values: &GetAll<'_, HeaderValue>) -> Option<Text> {
    if values.iter().map(HeaderValue::len).sum::<usize>() > MAX_HEADER_LEN {
        return None;
    }
    let mut members = Vec::new();
    for value in values {
        let value = std::str::from_utf8(value.as_bytes()).ok()?;
        for member in value
            .split(',')
            .map(|member| member.trim_matches([' ', '\t']))
        {
            if member.is_empty() {
                continue;
            }
            if members.len() == MAX_MEMBERS || !is_member(member) {
                return None;
            }
            members.push(member);
        }
    }
    shorten(&mut members);
    (!members.is_empty()).then(|| Text::from(members.join(",")))
}

/// Drops whole members, the long ones first and then from the right, until the rest fits.
fn shorten(members: &mut Vec<&str>) {
    let joined = |members: &[&str]| {
        members
            .iter()
            .map(|member| member.len() + 1)
            .sum::<usize>()
            .saturating_sub(1)
    };
    while joined(members) > MAX_LEN {
        let long = members
            .iter()
            .rposition(|member| member.len() > LONG_MEMBER);
        members.remove(long.unwrap_or(members.len() - 1));
    }
}

fn is_member(member: &str) -> bool {
    member
        .split_once('=')
        .is_some_and(|(key, value)| is_key(key) && is_value(value))
}

fn is_key(key: &str) -> bool {
    key.len() <= 256
        && key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && key.bytes().all(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
        })
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
        && !value.ends_with(' ')
}
