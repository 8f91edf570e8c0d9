//! Values that follow the name of a secret: `password=...`, `"token": "..."`, `Cookie: ...`.

use super::Scan;
use crate::privacy::keys::Hit;

/// Words in front of a name in running text that may belong to it, as in `api key: ...`.
const WORDS_BEFORE: usize = 2;
/// Headers whose value goes on to the end of the line.
const WHOLE_LINE: [&[u8]; 2] = [b"authorization", b"cookie"];
/// Values that are none.
const NOTHING: [&[u8]; 6] = [b"null", b"nil", b"none", b"undefined", b"true", b"false"];

/// A name in front of a separator.
struct Name {
    start: usize,
    end: usize,
    quoted: bool,
}

impl Scan<'_> {
    /// Looks at what is before and after a separator.
    pub(super) fn pair(&mut self, at: usize, length: usize) {
        let Some(after) = self.after_separator(at, length) else {
            return;
        };
        let Some(name) = self.name(at) else { return };
        let assigned = self.bytes[at] != b':';
        let Some(hit) = self.names_a_secret(&name, assigned) else {
            return;
        };
        let start = self.run_of(after, |byte| match byte {
            b' ' | b'\t' => true,
            b'\r' | b'\n' => name.quoted,
            _ => false,
        });
        if start < self.covered {
            return;
        }
        let escapes = self.bytes[start..]
            .iter()
            .take_while(|&&byte| byte == b'\\')
            .count();
        let quote = self.bytes.get(start + escapes).copied();
        if let Some(quote @ (b'"' | b'\'' | b'`')) = quote {
            self.quoted_value(start + escapes + 1, quote, escapes);
            return;
        }
        let text = &self.bytes[name.start..name.end];
        let ends_with = |header: &&[u8]| {
            text.len() >= header.len()
                && text[text.len() - header.len()..].eq_ignore_ascii_case(header)
        };
        let end = if !name.quoted && WHOLE_LINE.iter().any(ends_with) {
            let line = self.run_of(start, |byte| {
                !matches!((byte, assigned), (b'\r' | b'\n', _) | (b'&', true))
            });
            start + self.bytes[start..line].trim_ascii_end().len()
        } else {
            self.plain_value(start)
        };
        let value = &self.bytes[start..end];
        let is_count = hit == Hit::Many && value.iter().all(u8::is_ascii_digit);
        let says_something = value
            .iter()
            .any(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
        let is_nothing = NOTHING.iter().any(|word| value.eq_ignore_ascii_case(word));
        if says_something && !is_count && !is_nothing {
            self.found(start..end);
        }
    }

    /// What follows the separator: `=`, `==`, `=>`, `:` or `:=`; `::` and the last byte of an operator
    /// are none.
    fn after_separator(&self, at: usize, length: usize) -> Option<usize> {
        let after = at + length;
        let next = self.bytes.get(after).copied();
        match (self.bytes[at], self.before(at)) {
            (b':', before) if before == Some(b':') || next == Some(b':') => None,
            (b'=', Some(b'=' | b':')) => None,
            (b'=', _) if matches!(next, Some(b'=' | b'>')) => {
                Some(self.run_of(after, |byte| matches!(byte, b'=' | b'>')))
            }
            (b':', _) if next == Some(b'=') => Some(after + 1),
            _ => Some(after),
        }
    }

    /// The name that ends in front of a separator, as far back as the separator before.
    fn name(&self, at: usize) -> Option<Name> {
        let mut end = self.back(at, |byte| matches!(byte, b' ' | b'\t'));
        let unquoted = self.back(end, |byte| matches!(byte, b'"' | b'\'' | b'`'));
        let quoted = unquoted < end;
        end = unquoted;
        if quoted {
            end = self.back(end, |byte| byte == b'\\');
        }
        let start = self.back(end, |byte| is_name(byte) || (quoted && byte == b' '));
        (start < end).then_some(Name { start, end, quoted })
    }

    /// Where a run of bytes in front of `from` begins, at the separator before at the latest.
    fn back(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let floor = self.separator.min(from);
        self.bytes[floor..from]
            .iter()
            .rposition(|&byte| !belongs(byte))
            .map_or(floor, |before| floor + before + 1)
    }

    fn names_a_secret(&self, name: &Name, assigned: bool) -> Option<Hit> {
        let keys = &self.detectors.keys;
        let Name { start, end, quoted } = *name;
        let own = &self.bytes[start..end];
        if keys.is_allowed(own) {
            return None;
        }
        if own.contains(&b'%') {
            return keys.hit(b"", &unescaped(own));
        }
        if assigned || quoted {
            let hit = keys.hit(b"", own);
            if hit.is_some() || quoted {
                return hit;
            }
        }
        let mut from = start;
        for _ in 0..WORDS_BEFORE {
            if from <= self.separator || self.before(from) != Some(b' ') {
                break;
            }
            from = self.back(from - 1, is_name);
        }
        keys.hit_at_end(&self.bytes[from..end])
    }

    /// A value in quotes that are escaped so many times, as they are in a document inside of another.
    fn quoted_value(&mut self, start: usize, quote: u8, escapes: usize) {
        let mut at = start;
        let mut backslashes = 0;
        while let Some(&byte) = self.bytes.get(at) {
            if byte == quote && (backslashes == escapes || (escapes == 0 && backslashes % 2 == 0)) {
                break;
            }
            backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
            at += 1;
        }
        // the backslashes in front of the closing quote belong to it
        let end = if at < self.bytes.len() {
            at - escapes
        } else {
            at
        };
        self.found(start..end.max(start));
    }

    /// The end of a value without quotes around it. Brackets hold it together, as in `Some("...")`.
    fn plain_value(&self, start: usize) -> usize {
        let mut at = start;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'(' | b'[' | b'{' => at = self.closing(at),
                b',' | b';' | b'&' | b')' | b']' | b'}' | b'<' | b'>' | b'"' | b'\'' | b'`' => {
                    break;
                }
                b'%' if self.bytes[at..].starts_with(b"%26") => break,
                byte if byte.is_ascii_whitespace() => break,
                _ => at += 1,
            }
        }
        at
    }

    /// The end of a bracket with everything in it; that of the text if it is never closed.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        let mut at = open;
        while let Some(&byte) = self.bytes.get(at) {
            at += 1;
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return at;
                    }
                }
                b'"' => at = self.after_string(at),
                _ => {}
            }
        }
        at
    }

    fn after_string(&self, start: usize) -> usize {
        let mut at = start;
        while let Some(&byte) = self.bytes.get(at) {
            at += 1;
            match byte {
                b'"' => return at,
                b'\\' => at += 1,
                _ => {}
            }
        }
        self.bytes.len()
    }
}

/// What names of settings, headers, parameters and fields consist of.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%')
        || byte >= 0x80
}

/// With the escapes of URLs read.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|v| u8::try_from(v).ok())
    };
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        rest = match escaped {
            Some((high, low)) => {
                plain.push(high << 4 | low);
                &after[2..]
            }
            None => {
                plain.push(byte);
                after
            }
        };
    }
    plain
}
