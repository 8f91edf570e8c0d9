//! Lengths: cutting text to what a stored deployment accepts.

/// Longest line that [`Event::from_wire`](crate::event::Event::from_wire) reads, in bytes: 1 MiB.
///
/// Ten times what the service takes for one event.
pub const MAX_WIRE_BYTES: usize = 1 << 20;

/// The longest prefix of `text` that has at most `max` bytes and ends on a character boundary.
///
/// Bytes, not characters: whichever of the two a deployment counts, the result fits.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn text_that_fits_is_untouched() {
        assert_eq!(cut("grüße", 7), "grüße");
    }

    #[test]
    fn a_character_is_never_cut_in_two() {
        assert_eq!(cut("grüße", 3), "gr");
        assert_eq!(cut("🦀🦀", 7), "🦀");
        assert_eq!(cut("🦀", 3), "");
    }
}
