//! The cutting of lines, apart from the process.

use std::io::{self, Read};

use proptest::prelude::*;

#[path = "../../examples/pipe/lines.rs"]
mod subject;

use subject::Lines;

const LIMIT: usize = 8;

/// Gives its bytes in pieces of given sizes.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = *self.sizes.next().unwrap();
        if size == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = size.min(buffer.len());
        self.bytes.read(&mut buffer[..size])
    }
}

fn read(bytes: &[u8], sizes: &[usize]) -> Vec<(u64, Option<Vec<u8>>)> {
    let mut input = Pieces {
        bytes,
        sizes: sizes.iter().cycle(),
    };
    let mut lines = Lines::new(LIMIT);
    let mut read = Vec::new();
    let mut more = true;
    while more {
        more = lines.fill(&mut input).unwrap();
        while let Some(line) = lines.next() {
            read.push((line.number, line.text.map(<[u8]>::to_vec)));
        }
    }
    read.extend(
        lines
            .last()
            .map(|line| (line.number, line.text.map(<[u8]>::to_vec))),
    );
    read
}

/// What the lines are by the rules, from the whole text at once.
fn expected(bytes: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let mark = "\u{feff}".as_bytes();
    let lines = lines.into_iter().zip(1..).map(|(line, number)| {
        let line = match number {
            1 => line.strip_prefix(mark).unwrap_or(line),
            _ => line,
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (number, (line.len() <= LIMIT).then(|| line.to_vec()))
    });
    lines.collect()
}

#[test]
fn a_line_of_the_longest_length_may_have_any_end_and_a_mark() {
    for text in [
        "12345678",
        "12345678\n",
        "12345678\r\n",
        "\u{feff}12345678\r\n",
    ] {
        let line = (1, Some(b"12345678".to_vec()));
        assert_eq!(read(text.as_bytes(), &[1]), [line], "{text:?}");
    }
    assert_eq!(
        read(b"123456789\nok", &[3]),
        [(1, None), (2, Some(b"ok".to_vec()))]
    );
}

proptest! {
    #[test]
    fn however_the_bytes_arrive_the_lines_are_the_same(
        text in "\u{feff}?([a-c\u{feff}]{0,12}(\r|\n|\r\n|)){0,12}",
        sizes in proptest::collection::vec(0_usize..6, 0..6),
    ) {
        let sizes: Vec<usize> = sizes.into_iter().chain([4]).collect();
        prop_assert_eq!(read(text.as_bytes(), &sizes), expected(text.as_bytes()));
    }
}
