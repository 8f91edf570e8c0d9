//! Cutting a name into words.

pub(super) fn words(key: &[u8]) -> Words<'_> {
    Words {
        first: b"",
        rest: key,
    }
}

/// The words of one name and of another one after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Words<'a> {
    pub(super) first: &'a [u8],
    pub(super) rest: &'a [u8],
}

impl<'a> Words<'a> {
    pub(super) const END: Words<'static> = Words {
        first: b"",
        rest: b"",
    };

    pub(super) const fn is_done(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        take_word(&mut self.first).or_else(|| take_word(&mut self.rest))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Small,
    Capital,
    Digit,
    Other,
}

pub(super) fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | 0x80.. => Class::Small,
        b'A'..=b'Z' => Class::Capital,
        b'0'..=b'9' => Class::Digit,
        _ => Class::Other,
    }
}

/// Takes the first word off; afterwards the name begins with a word or is empty.
fn take_word<'a>(name: &mut &'a [u8]) -> Option<&'a [u8]> {
    let skip = |bytes: &'a [u8]| -> &'a [u8] {
        let start = bytes.iter().position(|&byte| class(byte) != Class::Other);
        &bytes[start.unwrap_or(bytes.len())..]
    };
    let bytes = skip(name);
    let run = |class_of: Class, from: usize| {
        bytes[from..]
            .iter()
            .position(|&byte| class(byte) != class_of)
            .map_or(bytes.len(), |length| from + length)
    };
    *name = bytes;
    let end = match class(*bytes.first()?) {
        Class::Digit => run(Class::Digit, 0),
        Class::Small | Class::Other => run(Class::Small, 0),
        Class::Capital => {
            let capitals = run(Class::Capital, 0);
            let small = run(Class::Small, capitals);
            if small > capitals && capitals > 1 {
                capitals - 1
            } else {
                small
            }
        }
    };
    let (word, rest) = bytes.split_at(end);
    *name = skip(rest);
    Some(word)
}
