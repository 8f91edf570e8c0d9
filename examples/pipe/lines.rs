//! Cuts a stream of bytes into lines of bounded length.

use std::io::{self, Read};

/// Bytes asked for at a time.
const CHUNK: usize = 16 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Holds what was read and not yet handed out: never more than the longest line and one chunk.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line starts.
    start: usize,
    /// Up to where no line ends.
    searched: usize,
    /// Whether the line being read is over the limit, so that its bytes are thrown away.
    skipping: bool,
    number: u64,
    max_bytes: usize,
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// From 1 on, empty lines included.
    pub(crate) number: u64,
    /// `None` if it is longer than the limit.
    pub(crate) text: Option<&'a [u8]>,
}

impl Lines {
    /// Lines of at most `max_bytes`, their ends not counted.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            skipping: false,
            number: 0,
            max_bytes,
        }
    }

    /// Reads once. `false` at the end of input.
    pub(crate) fn fill(&mut self, input: &mut impl Read) -> io::Result<bool> {
        self.discard_handed_out();
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let result = loop {
            match input.read(&mut self.buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let read = result.as_ref().map_or(0, |&read| read);
        self.buffer.truncate(held + read);
        result.map(|read| read > 0)
    }

    /// The next line whose end has been read.
    pub(crate) fn next(&mut self) -> Option<Line<'_>> {
        let unsearched = &self.buffer[self.searched..];
        if let Some(length) = unsearched.iter().position(|&byte| byte == b'\n') {
            let end = self.searched + length;
            return Some(self.hand_out(end, end + 1));
        }
        self.searched = self.buffer.len();
        // A carriage return may still turn out to belong to the end.
        if self.skipping || self.searched - self.start > self.max_bytes + 1 + BYTE_ORDER_MARK.len()
        {
            self.skipping = true;
            self.start = self.searched;
        }
        None
    }

    /// The last line, if the input did not finish it.
    pub(crate) fn last(&mut self) -> Option<Line<'_>> {
        let end = self.buffer.len();
        (self.skipping || self.start < end).then(|| self.hand_out(end, end))
    }

    fn hand_out(&mut self, end: usize, next: usize) -> Line<'_> {
        self.number += 1;
        let too_long = std::mem::take(&mut self.skipping);
        let mut text = &self.buffer[self.start..end];
        if self.number == 1 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        self.start = next;
        self.searched = next;
        Line {
            number: self.number,
            text: (!too_long && text.len() <= self.max_bytes).then_some(text),
        }
    }

    fn discard_handed_out(&mut self) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
    }
}
