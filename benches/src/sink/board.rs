//! Counters in a file in memory, written by the sink and read by whoever watches: looking costs the
//! client one read of 80 bytes and no request.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What a sink has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub requests: u64,
    pub events: u64,
    pub bytes: u64,
    /// Events by their number, each once.
    pub unique: u64,
    pub duplicates: u64,
    /// Bodies that could not be read to their end.
    pub errors: u64,
    pub connections: u64,
    pub largest_body: u64,
    /// The most requests that were being answered at one time.
    pub most_at_once: u64,
    /// Events that came after a later one of their session.
    pub disordered: u64,
}

const COUNT: usize = 10;

impl Counters {
    fn to_array(self) -> [u64; COUNT] {
        let Self {
            requests,
            events,
            bytes,
            unique,
            duplicates,
            errors,
            ..
        } = self;
        let Self {
            connections,
            largest_body,
            most_at_once,
            disordered,
            ..
        } = self;
        [
            requests,
            events,
            bytes,
            unique,
            duplicates,
            errors,
            connections,
            largest_body,
            most_at_once,
            disordered,
        ]
    }

    fn from_array(numbers: [u64; COUNT]) -> Self {
        let [
            requests,
            events,
            bytes,
            unique,
            duplicates,
            errors,
            connections,
            largest_body,
            most_at_once,
            disordered,
        ] = numbers;
        Self {
            requests,
            events,
            bytes,
            unique,
            duplicates,
            errors,
            connections,
            largest_body,
            most_at_once,
            disordered,
        }
    }
}

/// The file.
#[derive(Debug)]
pub struct Board(File);

impl Board {
    /// Opens it, empty if there was none.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.open(path)?))
    }

    /// Writes the counters.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn publish(&self, counters: Counters) -> io::Result<()> {
        let mut page = [0; COUNT * 8];
        for (place, number) in page.chunks_exact_mut(8).zip(counters.to_array()) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        self.0.write_all_at(&page, 0)
    }

    /// What was published last; zeros before that.
    pub fn read(&self) -> Counters {
        let mut page = [0; COUNT * 8];
        if self.0.read_exact_at(&mut page, 0).is_err() {
            return Counters::default();
        }
        let mut numbers = [0; COUNT];
        for (number, place) in numbers.iter_mut().zip(page.chunks_exact(8)) {
            *number = place
                .iter()
                .rev()
                .fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        }
        Counters::from_array(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_back() {
        let path = std::env::temp_dir().join(format!("board-{}", std::process::id()));
        let board = Board::open(&path).unwrap();
        assert_eq!(board.read().to_array(), [0; COUNT]);
        let numbers = [1, 2, 3, 1 << 40, 5, 6, 7, 8, 9, u64::MAX];
        board.publish(Counters::from_array(numbers)).unwrap();
        assert_eq!(Board::open(&path).unwrap().read().to_array(), numbers);
        std::fs::remove_file(path).unwrap();
    }
}
