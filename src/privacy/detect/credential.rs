//! Credentials that are known by how they begin.

use super::Scan;

/// Longest line of dashes and words around a private key.
const PEM_LINE: usize = 64;

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

impl Scan<'_> {
    /// Looks at a token whose beginning ends at `at`.
    pub(super) fn prefix(&mut self, at: usize) {
        if !self.detectors.credentials {
            return;
        }
        let head = &self.bytes[..at];
        match (self.bytes[at], self.before(at)) {
            // JSON web tokens: `{"` in base64
            (b'J', Some(b'y')) if head.ends_with(b"ey") => self.web_token(at - 2),
            // Stripe, GitHub, npm
            (b'_', Some(b'e')) => self.secret_after(at, &["sk_live", "rk_live"], 10),
            (b'_', Some(b't')) => self.secret_after(at, &["sk_test", "rk_test", "github_pat"], 10),
            (b'_', Some(b'c')) => self.secret_after(at, &["whsec"], 10),
            (b'_', Some(b'p' | b'o' | b'u' | b's' | b'r')) => {
                self.secret_after(at, &["ghp", "gho", "ghu", "ghs", "ghr"], 10);
            }
            (b'_', Some(b'm')) => self.secret_after(at, &["npm"], 30),
            // Slack, GitLab, OpenAI and others
            (b'-', Some(b'b' | b'p' | b'a' | b'r' | b's')) => {
                self.secret_after(at, &["xoxb", "xoxp", "xoxa", "xoxr", "xoxs", "xapp"], 10);
            }
            (b'-', Some(b't')) => self.secret_after(at, &["glpat"], 10),
            (b'-', Some(b'k')) => self.secret_after(at, &["sk"], 20),
            (b'-', before) if before != Some(b'-') => self.private_key(at),
            // AWS, Google
            (b'A', _) => self.access_key(at),
            _ => {}
        }
    }

    /// A token that begins with one of the prefixes, which end before `at`, and has at least that many
    /// bytes behind them. Every real one has a digit.
    fn secret_after(&mut self, at: usize, prefixes: &[&str], least: usize) {
        let head = &self.bytes[..at];
        let Some(&[second, _]) = head.last_chunk::<2>() else {
            return;
        };
        // the last byte is known to fit; the one before tells names in snake case from nearly all
        let likely = |prefix: &&&str| prefix.as_bytes()[prefix.len() - 2] == second;
        let Some(prefix) = prefixes
            .iter()
            .filter(likely)
            .find(|prefix| head.ends_with(prefix.as_bytes()))
        else {
            return;
        };
        let start = at - prefix.len();
        if self.before(start).is_some_and(is_token) {
            return;
        }
        let end = self.run_of(at + 1, is_token);
        if end - at > least && self.bytes[at..end].iter().any(u8::is_ascii_digit) {
            self.found(start..end);
        }
    }

    fn access_key(&mut self, at: usize) {
        if self.before(at).is_some_and(|b| b.is_ascii_alphanumeric()) {
            return;
        }
        let (least, end) = match self.bytes.get(at..at + 4) {
            Some(b"AKIA" | b"ASIA") => {
                let upper = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
                (16, self.run_of(at + 4, upper))
            }
            Some(b"AIza") => (30, self.run_of(at + 4, is_token)),
            _ => return,
        };
        if end - at - 4 >= least {
            self.found(at..end);
        }
    }

    /// Parts of base64 with points between them: RFC 7519 and RFC 7516.
    fn web_token(&mut self, start: usize) {
        let inside = self
            .before(start)
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if inside || start < self.covered || start < self.no_dot {
            return;
        }
        let head = self.run_of(start, is_token);
        if self.bytes.get(head) != Some(&b'.') {
            self.no_dot = head;
            return;
        }
        let mut end = self.run_of(head + 1, is_token);
        if head - start < 10 || end - head < 5 {
            return;
        }
        for _ in 0..3 {
            if self.bytes.get(end) != Some(&b'.') {
                break;
            }
            end = self.run_of(end + 1, is_token);
        }
        self.found(start..end);
    }

    /// `-----BEGIN PRIVATE KEY-----` and what follows up to the end line, or to the end.
    fn private_key(&mut self, start: usize) {
        let rest = &self.bytes[start..];
        if start < self.covered || !rest.starts_with(b"-----BEGIN ") {
            return;
        }
        let line = &rest[..rest.len().min(PEM_LINE)];
        let named = |what: &[u8]| line.windows(what.len()).any(|part| part == what);
        if named(b"PRIVATE KEY-----") {
            let end = self.text[start..]
                .find("-----END ")
                .map_or(self.bytes.len(), |found| start + found);
            self.found(start..end);
        }
    }

    /// What follows `Bearer` and `Basic`: RFC 6750 and RFC 7617.
    pub(super) fn scheme(&mut self, at: usize) {
        let word = |word: &[u8]| {
            self.bytes
                .get(at..at + word.len())
                .is_some_and(|given| given.eq_ignore_ascii_case(word))
        };
        let length = match self.bytes.get(at + 1) {
            Some(b'e' | b'E') if word(b"bearer") => 6,
            Some(b'a' | b'A') if word(b"basic") => 5,
            _ => return,
        };
        if !self.detectors.credentials || self.before(at).is_some_and(|b| b.is_ascii_alphanumeric())
        {
            return;
        }
        let after = at + length;
        let start = match self.bytes.get(after..) {
            Some([b'%', b'2', b'0', ..]) => after + 3,
            _ => self.run_of(after, |byte| matches!(byte, b' ' | b'\t' | b'+' | b':')),
        };
        if start == after {
            return;
        }
        let end = self.run_of(start, |byte| {
            is_token(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=' | b'%')
        });
        if is_random(&self.bytes[start..end]) {
            self.found(start..end);
        }
    }
}

/// Whether this is a credential and no word of a sentence, as after "a basic": `plan`,
/// `Authentication`.
fn is_random(token: &[u8]) -> bool {
    if token.len() < 6 {
        return false;
    }
    let odd = |byte: &u8| !byte.is_ascii_alphabetic() && !matches!(byte, b'-' | b'.' | b'/');
    token.len() >= 24
        || token.iter().any(odd)
        || token
            .windows(2)
            .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}
