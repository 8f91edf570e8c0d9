//! Credentials in addresses, and addresses of people.

use super::Scan;

/// Longest part before the `@` that is looked at; RFC 5321 allows 64.
const MAX_LOCAL: usize = 64;
/// Longest name after it; RFC 1035 allows 253.
const MAX_DOMAIN: usize = 253;

impl Scan<'_> {
    /// Looks for a user and password in the authority of a URL: RFC 3986, section 3.2.1.
    pub(super) fn userinfo(&mut self, start: usize) {
        let end = self.run_of(start, |byte| {
            !byte.is_ascii_whitespace()
                && !matches!(
                    byte,
                    b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\'
                )
        });
        let authority = &self.bytes[start..end];
        if let Some(length) = authority.iter().rposition(|&byte| byte == b'@') {
            self.found(start..start + length);
        }
    }

    /// Looks for a mail address around an `@`, which takes three bytes where it is escaped.
    pub(super) fn email(&mut self, at: usize, width: usize) {
        if !self.detectors.emails {
            return;
        }
        let mut start = at;
        while start > at.saturating_sub(MAX_LOCAL) && self.before(start).is_some_and(is_local) {
            start -= 1;
        }
        while !self.text.is_char_boundary(start) {
            start += 1;
        }
        let limit = self.bytes.len().min(at + width + MAX_DOMAIN);
        let mut end = at + width;
        while end < limit && is_domain(self.bytes[end]) {
            end += 1;
        }
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        while end > at + width && matches!(self.bytes[end - 1], b'.' | b'-') {
            end -= 1;
        }
        let domain = &self.bytes[at + width..end];
        let has_point = domain.iter().skip(1).any(|&byte| byte == b'.');
        if start < at && has_point {
            self.found(start..end);
        }
    }
}

fn is_local(byte: u8) -> bool {
    // of what RFC 5322 allows, without what separates things in URLs and in code
    byte.is_ascii_alphanumeric() || b".!$*+-^_~'".contains(&byte) || byte >= 0x80
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || byte >= 0x80
}
