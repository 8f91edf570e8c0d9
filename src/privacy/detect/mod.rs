//! Secrets in running text, found in one pass.
//!
//! Every byte is looked up in a table; few bytes begin or end anything. What is found there is looked
//! at by one of the detectors, and the places that they name are merged and replaced afterwards, so
//! that a secret which two of them see in part goes as a whole. Each detector does work in proportion to
//! what it then covers, or to the distance from the last place of its kind: long texts made to
//! be expensive are not.

mod address;
mod card;
mod credential;
mod pair;

use std::ops::Range;

use super::keys::KeyRules;

pub(super) use card::is_card;

/// What takes a secret's place, whatever its length.
pub(super) const MARK: &str = "[redacted]";

/// Shorter text holds no secret: `cvv=1`, `a@b.c`.
pub(super) const SHORTEST: usize = 5;

/// What to look for.
#[derive(Clone)]
pub(super) struct Detectors {
    pub(super) keys: KeyRules,
    pub(super) cards: bool,
    pub(super) credentials: bool,
    pub(super) emails: bool,
}

/// The state of one pass.
struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    detectors: &'a Detectors,
    found: Vec<Range<usize>>,
    /// Up to where something was found.
    covered: usize,
    /// The end of the last separator of a name and a value: names do not reach back over it.
    separator: usize,
    /// Up to where there is no end of the first part of a JSON web token.
    no_dot: usize,
    /// Whether there are digits enough for the number of a card.
    cards: bool,
}

/// What the byte at hand may be part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clue {
    None,
    /// A digit, or the first byte of a full-width one.
    Digit,
    /// `=`, `:`, and `%` which may begin an escaped `=` or `@`.
    Separator,
    /// The end of what a token is known by.
    Prefix,
    /// The first letter of `Bearer` or `Basic`.
    Scheme,
    /// `@`
    At,
}

const CLUES: [Clue; 256] = {
    let mut clues = [Clue::None; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        clues[digit as usize] = Clue::Digit;
        digit += 1;
    }
    clues[0xef] = Clue::Digit;
    clues[b'=' as usize] = Clue::Separator;
    clues[b':' as usize] = Clue::Separator;
    clues[b'%' as usize] = Clue::Separator;
    clues[b'_' as usize] = Clue::Prefix;
    clues[b'-' as usize] = Clue::Prefix;
    clues[b'A' as usize] = Clue::Prefix;
    clues[b'J' as usize] = Clue::Prefix;
    clues[b'B' as usize] = Clue::Scheme;
    clues[b'b' as usize] = Clue::Scheme;
    clues[b'@' as usize] = Clue::At;
    clues
};

/// The places of all secrets in `text`, in order and apart from each other. Allocates only if there
/// are some.
pub(super) fn find(text: &str, detectors: &Detectors) -> Vec<Range<usize>> {
    if text.len() < SHORTEST {
        return Vec::new();
    }
    let mut scan = Scan {
        text,
        bytes: text.as_bytes(),
        detectors,
        found: Vec::new(),
        covered: 0,
        separator: 0,
        no_dot: 0,
        cards: detectors.cards && card::has_digits_enough(text),
    };
    scan.run();
    merge(scan.found)
}

/// `text` with each of the places replaced.
pub(super) fn replace(text: &str, places: &[Range<usize>]) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut from = 0;
    for place in places {
        // places are on character boundaries; a mistake hides too much rather than too little
        replaced.push_str(text.get(from..place.start).unwrap_or_default());
        replaced.push_str(MARK);
        from = place.end;
    }
    replaced.push_str(text.get(from..).unwrap_or_default());
    replaced
}

/// Sorts places and joins those that overlap or touch.
pub(super) fn merge(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    if places.len() < 2 {
        return places;
    }
    places.sort_unstable_by_key(|place| place.start);
    places.dedup_by(|next, last| {
        let joined = next.start <= last.end;
        if joined {
            last.end = last.end.max(next.end);
        }
        joined
    });
    places
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut at = 0;
        loop {
            at = self.run_of(at, |byte| CLUES[usize::from(byte)] == Clue::None);
            let Some(&byte) = self.bytes.get(at) else {
                return;
            };
            at = match CLUES[usize::from(byte)] {
                Clue::None => at + 1,
                Clue::Digit => self.card(at),
                Clue::Separator => {
                    self.separator(at);
                    at + 1
                }
                Clue::Prefix => {
                    self.prefix(at);
                    at + 1
                }
                Clue::Scheme => {
                    self.scheme(at);
                    at + 1
                }
                Clue::At => {
                    self.email(at, 1);
                    at + 1
                }
            };
        }
    }

    fn found(&mut self, place: Range<usize>) {
        if place.is_empty() {
            return;
        }
        self.covered = self.covered.max(place.end);
        // what was replaced before stays as it is
        if &self.bytes[place.clone()] != MARK.as_bytes() {
            self.found.push(place);
        }
    }

    fn separator(&mut self, at: usize) {
        let length = match self.bytes[at] {
            b'%' => match self.bytes.get(at + 1..at + 3) {
                Some([b'3', b'd' | b'D']) => 3,
                Some(b"40") => return self.email(at, 3),
                _ => return,
            },
            b':' if self.bytes[at..].starts_with(b"://") => {
                if self.detectors.credentials {
                    self.userinfo(at + 3);
                }
                self.separator = at + 3;
                return;
            }
            _ => 1,
        };
        if !self.detectors.keys.is_empty() {
            self.pair(at, length);
        }
        self.separator = at + length;
    }

    /// Where a run of bytes ends.
    fn run_of(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        self.bytes[from..]
            .iter()
            .position(|&byte| !belongs(byte))
            .map_or(self.bytes.len(), |length| from + length)
    }

    fn before(&self, at: usize) -> Option<u8> {
        Some(self.bytes[at.checked_sub(1)?])
    }
}
