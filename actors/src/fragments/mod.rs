//! Events that are encoded once for all lanes whose providers write one format.
//!
//! Lanes cut and merge batches each in its own way, so bodies can hardly be shared; what can be shared
//! is how each event is written. Where several providers name one [`FormatKey`], a sealed batch has a
//! [`Cell`] for each chunk of its events. The lane that comes first writes the chunk and leaves what it
//! wrote there; the others copy it. A lane alone with its format has none of this.
//!
//! Nobody waits for another lane's encoder: a claimed chunk only sends a lane to the next one, and in
//! the end it writes for itself. No encoder runs under a lock. What is kept has a ceiling for each
//! engine, above which the oldest goes; it goes with its batch at the latest, and as soon as every lane
//! has passed it.

mod cell;
mod chunk;
mod content;
mod format;
mod shelf;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

pub(crate) use cell::Fragments;
pub use format::FormatKey;
use shelf::Shelf;
pub use writer::EventWriter;
pub(crate) use writer::Source;

/// A first guess at what one event takes.
const FIRST_HINT: usize = 512;

/// The part of the engine's ceiling that comes on top for what is kept, as a divisor.
const CEILING_PART: usize = 8;

/// How one lane shares what it encodes.
#[derive(Debug)]
pub(crate) struct Sharing {
    shelf: Arc<Shelf>,
    /// Which of the shared formats.
    format: usize,
    /// How many there are.
    formats: usize,
    place: Place,
    /// What one event took lately; relaxed, since it is only a hint.
    event_bytes: AtomicUsize,
}

/// One lane among those of its format, as a bit of a word.
#[derive(Clone, Copy, Debug)]
struct Place {
    mine: u64,
    everyone: u64,
}

/// For each lane, in order, how it shares: lanes with equal keys do. `max_bytes` is the engine's ceiling.
///
/// At most 64 lanes share one format; others encode for themselves.
pub(crate) fn share(keys: &[Option<FormatKey>], max_bytes: usize) -> Vec<Option<Sharing>> {
    let mut formats: Vec<(&FormatKey, Vec<usize>)> = Vec::new();
    for (lane, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        match formats.iter_mut().find(|(known, _)| *known == key) {
            Some((_, lanes)) if lanes.len() < u64::BITS as usize => lanes.push(lane),
            Some(_) => {}
            None => formats.push((key, vec![lane])),
        }
    }
    formats.retain(|(_, lanes)| lanes.len() > 1);

    let mut sharing: Vec<Option<Sharing>> = keys.iter().map(|_| None).collect();
    let shelf = Arc::new(Shelf::new(max_bytes / CEILING_PART));
    for (format, (_, lanes)) in formats.iter().enumerate() {
        let bits = lanes.iter().enumerate().map(|(place, _)| 1_u64 << place);
        let everyone = bits.clone().sum();
        for (&lane, mine) in lanes.iter().zip(bits) {
            sharing[lane] = Some(Sharing {
                shelf: Arc::clone(&shelf),
                format,
                formats: formats.len(),
                place: Place { mine, everyone },
                event_bytes: AtomicUsize::new(FIRST_HINT),
            });
        }
    }
    sharing
}
