//! Names under which secrets are kept.
//!
//! A name is cut into words and compared word by word, so that `userPassword`, `X-Api-Key` and
//! `card.number` are found while `tokenizer_version` and `authored_by` are not. A word ends where
//! there is something other than letters and digits, where letters turn into digits or back, and where
//! a capital follows a small letter or begins a small-lettered word (`APIKey` is `API`, `Key`). Letters
//! outside of ASCII count as small ones.

#[cfg(test)]
mod tests;
mod words;

use words::{Class, Words, class, words};

/// The default rules: what each name is made of, in small letters.
const SECRET: &[&str] = &[
    "access key",
    "access token",
    "accesskey",
    "accesstoken",
    "api key",
    "apikey",
    "auth token",
    "authorization",
    "authtoken",
    "card no",
    "card number",
    "cardnumber",
    "client secret",
    "clientsecret",
    "connect sid",
    "cookie",
    "credential",
    "credit card",
    "creditcard",
    "csc",
    "cvc",
    "cvv",
    "db pass",
    "encryption key",
    "id token",
    "jsessionid",
    "jwt",
    "otp",
    "pass code",
    "pass phrase",
    "pass word",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "phpsessid",
    "private key",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretkey",
    "security code",
    "session cookie",
    "signing key",
    "social security",
    "ssn",
    "token",
];

/// Words that, right after a secret's name, make it the name of something about the secret.
const ABOUT: &[&str] = &[
    "age", "banner", "changed", "consent", "count", "enabled", "length", "limit", "notice",
    "policy", "required", "size", "strength", "total", "ttl", "type", "usage",
];

/// What a name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hit {
    /// It is a secret.
    One,
    /// There are several secrets in it: a number is how many, everything else is secret.
    Many,
}

/// Names to look for, and names that are left alone.
#[derive(Clone, Default)]
pub(super) struct KeyRules {
    default: bool,
    /// The user's own, as words with a space between them.
    own: Vec<Box<str>>,
    allowed: Vec<Box<str>>,
}

impl KeyRules {
    pub(super) const fn standard() -> Self {
        Self {
            default: true,
            own: Vec::new(),
            allowed: Vec::new(),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        !self.default && self.own.is_empty()
    }

    pub(super) fn add(&mut self, key: &str) {
        push(&mut self.own, key);
    }

    pub(super) fn allow(&mut self, key: &str) {
        push(&mut self.allowed, key);
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let default = if self.default { SECRET.len() } else { 0 };
        (default + self.own.len(), self.allowed.len())
    }

    /// Whether the value of that name is never looked at.
    pub(super) fn is_allowed(&self, key: &[u8]) -> bool {
        self.allowed
            .iter()
            .any(|allowed| starts(words(key), allowed, false) == Some((Hit::One, Words::END)))
    }

    /// Whether the name is a secret's, alone or together with the name around it: the `number` of a
    /// `card` is a card number.
    pub(super) fn hit(&self, around: &[u8], key: &[u8]) -> Option<Hit> {
        self.find(around, key, false)
    }

    /// Whether the name ends with a secret's. In running text the words before it do not belong to
    /// the name.
    pub(super) fn hit_at_end(&self, key: &[u8]) -> Option<Hit> {
        if self.own.is_empty() && !may_end(key) {
            return None;
        }
        self.find(b"", key, true)
    }

    fn find(&self, around: &[u8], key: &[u8], at_end: bool) -> Option<Hit> {
        let mut rest = Words {
            first: around,
            rest: key,
        };
        let ends = |after: Words<'_>| {
            if at_end {
                only_numbers(after)
            } else {
                // what ends in the name around it was judged there
                after.first.is_empty() && after.rest.len() < key.len()
            }
        };
        let mut best = None;
        while !rest.is_done() {
            if let Some(hit) = self.at(rest, ends) {
                if hit == Hit::One {
                    return Some(hit);
                }
                best = Some(hit);
            }
            rest.next();
        }
        best
    }

    /// The rule that the words from here on begin with.
    fn at(&self, here: Words<'_>, ends: impl Fn(Words<'_>) -> bool) -> Option<Hit> {
        let mut following = here;
        let word = following.next()?;
        let first = word.first()?.to_ascii_lowercase();
        let mut best = None;
        if self.default && may_be(&FIRST, first, word.len()) {
            let candidates = SECRET.iter().filter(|name| name.as_bytes()[0] == first);
            for name in candidates {
                if let Some((hit, after)) = starts(here, name, true)
                    && ends(after)
                    && !is_about(after)
                {
                    best = Some(worse(best, hit));
                }
            }
        }
        for name in &self.own {
            if let Some((hit, after)) = starts(here, name, false)
                && ends(after)
            {
                best = Some(worse(best, hit));
            }
        }
        best
    }
}

/// For each small letter the lengths of the words that are looked for, as bits.
type Lengths = [u32; 26];

/// By their first letters the words that rules begin with; of rules of one word also the plural. Few
/// words of other names pass.
const FIRST: Lengths = lengths(false);
/// By their last letters the words that rules end with, and their plurals.
const LAST: Lengths = lengths(true);

const fn lengths(last: bool) -> Lengths {
    let mut lengths = [0; 26];
    let mut at = 0;
    while at < SECRET.len() {
        let name = SECRET[at].as_bytes();
        let mut length = 0;
        while length < name.len()
            && name[if last {
                name.len() - 1 - length
            } else {
                length
            }] != b' '
        {
            length += 1;
        }
        let letter = if last { name[name.len() - 1] } else { name[0] };
        lengths[(letter - b'a') as usize] |= 1 << length;
        if last {
            lengths[(b's' - b'a') as usize] |= 1 << (length + 1);
        } else if length == name.len() {
            lengths[(letter - b'a') as usize] |= 1 << (length + 1);
        }
        at += 1;
    }
    lengths
}

/// Whether a word of that letter and length may be one of those.
fn may_be(lengths: &Lengths, letter: u8, length: usize) -> bool {
    let letter = letter.to_ascii_lowercase().wrapping_sub(b'a');
    let lengths = lengths.get(usize::from(letter));
    lengths.is_some_and(|lengths| length < 32 && lengths >> length & 1 == 1)
}

/// Whether the last word that is no number may be the last one of a default rule.
fn may_end(key: &[u8]) -> bool {
    let before = |end: usize, class_of: Class| {
        let start = key[..end].iter().rposition(|&byte| class(byte) != class_of);
        start.map_or(0, |start| start + 1)
    };
    let letter = |byte: &u8| matches!(class(*byte), Class::Small | Class::Capital);
    let Some(last) = key.iter().rposition(letter) else {
        return false;
    };
    let end = last + 1;
    let small = before(end, Class::Small);
    let start = match small.checked_sub(1).map(|at| class(key[at])) {
        _ if small == end => before(end, Class::Capital),
        Some(Class::Capital) => small - 1,
        _ => small,
    };
    may_be(&LAST, key[last], end - start)
}

fn push(names: &mut Vec<Box<str>>, key: &str) {
    let mut name = Vec::with_capacity(key.len());
    let mut words = words(key.as_bytes());
    while let Some(word) = words.next() {
        if !name.is_empty() {
            name.push(b' ');
        }
        name.extend(word.iter().map(u8::to_ascii_lowercase));
    }
    // whole words of UTF-8 are UTF-8: they are cut at ASCII only
    if let Ok(name) = String::from_utf8(name)
        && !name.is_empty()
    {
        names.push(name.into());
    }
}

fn worse(one: Option<Hit>, other: Hit) -> Hit {
    match (one, other) {
        (Some(Hit::One), _) | (_, Hit::One) => Hit::One,
        _ => Hit::Many,
    }
}

/// `password2` is a password.
fn only_numbers(mut after: Words<'_>) -> bool {
    std::iter::from_fn(|| after.next()).all(|word| word[0].is_ascii_digit())
}

fn is_about(mut after: Words<'_>) -> bool {
    after
        .next()
        .is_some_and(|word| ABOUT.iter().any(|about| same(word, about.as_bytes())))
}

fn same(word: &[u8], name: &[u8]) -> bool {
    word.eq_ignore_ascii_case(name)
}

/// Whether the words begin with those of `name`, the last of them in the plural where that is
/// `plural`; and what comes after.
fn starts<'a>(words: Words<'a>, name: &str, plural: bool) -> Option<(Hit, Words<'a>)> {
    let mut words = words;
    let mut parts = name.as_bytes().split(|&byte| byte == b' ').peekable();
    while let Some(part) = parts.next() {
        let word = words.next()?;
        if same(word, part) {
            continue;
        }
        let (last, stem) = word.split_last()?;
        if plural && parts.peek().is_none() && matches!(last, b's' | b'S') && same(stem, part) {
            return Some((Hit::Many, words));
        }
        return None;
    }
    Some((Hit::One, words))
}
