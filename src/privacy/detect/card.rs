//! Numbers that may be those of payment cards.

use std::ops::Range;

use super::Scan;

/// Digits of the numbers of cards, ISO/IEC 7812-1.
const LENGTHS: Range<usize> = 13..20;
/// Characters that may stand between two groups of digits.
const SEPARATORS: usize = 3;

impl Scan<'_> {
    /// Looks at the digits from `at` on, groups and what separates them; returns their end.
    pub(super) fn card(&mut self, at: usize) -> usize {
        let mut end = run_of_digits(self.text, at);
        if end == at {
            return at + 1;
        }
        if !self.cards {
            return end;
        }
        let mut start = at;
        loop {
            if self.opens(start) {
                self.card_from(start);
            }
            match after_separator(self.text, end) {
                Some(next) => start = next,
                None => return end,
            }
            end = run_of_digits(self.text, start);
        }
    }

    /// Looks at all numbers that begin here and end with a group. All that could be one go: of two
    /// that overlap only one may be real, and there is no telling which.
    fn card_from(&mut self, start: usize) {
        let mut luhn = Luhn::default();
        let mut at = start;
        while luhn.digits + 1 < LENGTHS.end {
            let Some((value, width)) = digit(self.text, at) else {
                return;
            };
            luhn.push(value);
            at += width;
            if digit(self.text, at).is_some() {
                continue;
            }
            if luhn.is_card() && self.closes(at) && !self.is_uuid(start, at) {
                self.found(start..at);
            }
            match after_separator(self.text, at) {
                Some(next) => at = next,
                None => return,
            }
        }
    }

    /// Whether no letter and no point of a decimal fraction is in front.
    fn opens(&self, start: usize) -> bool {
        match self.before(start) {
            Some(b'.') => start < 2 || !self.bytes[start - 2].is_ascii_digit(),
            before => !before.is_some_and(|byte| byte.is_ascii_alphabetic()),
        }
    }

    fn closes(&self, end: usize) -> bool {
        !self.bytes.get(end).is_some_and(u8::is_ascii_alphabetic)
    }

    /// Whether the digits are a part of a UUID, about one in thirty of which has some that pass.
    fn is_uuid(&self, start: usize, end: usize) -> bool {
        const LENGTH: usize = 36;
        if end - start > LENGTH || self.bytes[start..end].contains(&b' ') {
            return false;
        }
        let boundary = |at: Option<&u8>| at.is_none_or(|byte| !byte.is_ascii_alphanumeric());
        (end.saturating_sub(LENGTH)..=start).any(|from| {
            self.bytes.get(from..from + LENGTH).is_some_and(is_uuid)
                && boundary(from.checked_sub(1).map(|at| &self.bytes[at]))
                && boundary(self.bytes.get(from + LENGTH))
        })
    }
}

/// Whether there may be the number of a card: counted without a branch for each byte. A full-width digit
/// counts by its first byte.
pub(super) fn has_digits_enough(text: &str) -> bool {
    let digits = text
        .as_bytes()
        .iter()
        .map(|byte| usize::from(matches!(byte, b'0'..=b'9' | 0xef)));
    digits.sum::<usize>() >= LENGTHS.start
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// Whether a number in figures may be that of a card.
pub(in crate::privacy) fn is_card(number: u64) -> bool {
    let mut divisor = 10_u64.pow(19);
    let mut luhn = Luhn::default();
    while divisor > 0 {
        let value = number / divisor % 10;
        if value > 0 || luhn.digits > 0 {
            luhn.push(u8::try_from(value).unwrap_or(0));
        }
        divisor /= 10;
    }
    luhn.is_card()
}

/// The check digit of a growing number: which digits count twice depends on how many there will be.
#[derive(Default)]
struct Luhn {
    digits: usize,
    first: u8,
    /// The sums for an even and an odd number of digits.
    sums: [u32; 2],
}

impl Luhn {
    fn push(&mut self, digit: u8) {
        if self.digits == 0 {
            self.first = digit;
        }
        let twice = if digit > 4 { digit * 2 - 9 } else { digit * 2 };
        let even_place = self.digits.is_multiple_of(2);
        let [even, odd] = &mut self.sums;
        *(if even_place { &mut *odd } else { &mut *even }) += u32::from(digit);
        *(if even_place { even } else { odd }) += u32::from(twice);
        self.digits += 1;
    }

    /// Numbers that begin with 0, 1 or 7 are given out to no network of payment cards but the air
    /// lines' own, and times in milliseconds begin with 1.
    fn is_card(&self) -> bool {
        LENGTHS.contains(&self.digits)
            && !matches!(self.first, 0 | 1 | 7)
            && self.sums[self.digits % 2].is_multiple_of(10)
    }
}

/// The digit at a place, ASCII or full-width, and its bytes.
fn digit(text: &str, at: usize) -> Option<(u8, usize)> {
    match text.as_bytes().get(at..)? {
        [digit @ b'0'..=b'9', ..] => Some((digit - b'0', 1)),
        [0xef, 0xbc, digit @ 0x90..=0x99, ..] => Some((digit - 0x90, 3)),
        _ => None,
    }
}

/// The end of a run of digits.
fn run_of_digits(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some((_, width)) = digit(text, at) {
        at += width;
    }
    at
}

/// Where the next group begins, if only spaces and dashes are before it.
fn after_separator(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    for _ in 0..SEPARATORS {
        at += separator(text, at)?;
        if digit(text, at).is_some() {
            return Some(at);
        }
    }
    None
}

/// The bytes of a space or dash, those of typography included.
fn separator(text: &str, at: usize) -> Option<usize> {
    match text.as_bytes().get(at..)? {
        [b' ' | b'-', ..] => Some(1),
        // no-break space
        [0xc2, 0xa0, ..] => Some(2),
        // spaces U+2000 to U+200B, dashes U+2010 to U+2015, U+202F, U+2212, U+3000, U+FF0D
        [0xe2, 0x80, 0x80..=0x8b | 0x90..=0x95 | 0xaf, ..]
        | [0xe2, 0x88, 0x92, ..]
        | [0xe3, 0x80, 0x80, ..]
        | [0xef, 0xbc, 0x8d, ..] => Some(3),
        _ => None,
    }
}
