//! Paths without what identifies somebody or something.

/// What stands for a folded segment.
const PLACEHOLDER: &str = "{id}";
/// Longest path that is recorded, in bytes.
pub(super) const MAX_PATH: usize = 1024;
/// A longer segment is data, whatever it is made of.
const MAX_SEGMENT: usize = 64;

/// Appends `path` to `out` with every segment folded that looks like an identifier, as many
/// whole segments as [`MAX_PATH`] bytes hold. `path` carries no query.
pub(super) fn fold_path(path: &str, out: &mut String) {
    let start = out.len();
    for (index, segment) in path.split('/').enumerate() {
        let segment = if is_identifier(segment) {
            PLACEHOLDER
        } else {
            segment
        };
        let slash = usize::from(index > 0);
        if out.len() - start + slash + segment.len() > MAX_PATH {
            return;
        }
        if index > 0 {
            out.push('/');
        }
        out.push_str(segment);
    }
}

/// The longest prefix of at most `max` bytes that ends on a character boundary.
pub(super) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a segment names one thing or person rather than a kind of thing.
///
/// When in doubt it does: a folded word costs a little detail, an id that is not folded costs a
/// new route for each value, and perhaps somebody's name.
fn is_identifier(segment: &str) -> bool {
    let length = segment.len();
    if length == 0 {
        return false;
    }
    if length > MAX_SEGMENT {
        return true;
    }
    let mut digits = 0_usize;
    let mut run = 0_usize;
    let mut longest_run = 0_usize;
    let mut hex = true;
    let mut token = true;
    for byte in segment.bytes() {
        if byte.is_ascii_digit() {
            digits += 1;
            run += 1;
            longest_run = longest_run.max(run);
        } else {
            run = 0;
        }
        hex &= byte.is_ascii_hexdigit();
        token &= byte.is_ascii_alphanumeric() || b"-_=.~+".contains(&byte);
        // mail addresses, escaped text and path parameters are somebody's data
        if matches!(byte, b'@' | b'%' | b';') {
            return true;
        }
    }
    digits == length
        // order-12345, telephone numbers, time stamps
        || longest_run >= 5
        || (hex && length >= 16)
        // base64 and its kin, JSON web tokens, nano ids, ULIDs
        || (token && digits > 0 && length >= 20)
        || is_uuid(segment)
}

/// 8-4-4-4-12 hexadecimal digits; one without any decimal digit is caught here only.
fn is_uuid(segment: &str) -> bool {
    segment.len() == 36
        && segment
            .bytes()
            .enumerate()
            .all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(path: &str) -> String {
        let mut out = String::new();
        fold_path(path, &mut out);
        out
    }

    #[test]
    fn words_and_versions_stay() {
        for path in [
            "/",
            "",
            "/api/v1/products",
            "/checkout/",
            "//double",
            "/shop.v1.Catalog/GetItem",
            "/favicon.ico",
            "/a-rather-long-name-without-any-digit",
            "/oauth2/token",
            "/facade",
        ] {
            assert_eq!(folded(path), path);
        }
    }

    #[test]
    fn identifiers_are_folded() {
        for id in [
            "7",
            "0",
            "184467440737095516150",
            "3fa85f64-5717-4562-b3fc-2c963f66afa6",
            "3FA85F64-5717-4562-B3FC-2C963F66AFA6",
            "abcdefab-cdef-abcd-efab-cdefabcdefab",
            "0123456789abcdef",
            "deadbeefdeadbeef",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "V1StGXR8_Z5jdHi6B-myT",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "order-12345",
            "bob@example.com",
            "bob%40example.com",
            "cart;jsessionid=1",
        ] {
            assert_eq!(
                folded(&format!("/users/{id}/items")),
                "/users/{id}/items",
                "{id}"
            );
        }
        assert_eq!(folded(&format!("/s/{}", "x".repeat(65))), "/s/{id}");
    }

    #[test]
    fn a_long_path_keeps_the_whole_segments_that_fit() {
        let path = "/é".repeat(600);
        let folded = folded(&path);
        assert!(folded.len() <= MAX_PATH && folded.len() > MAX_PATH - 3);
        assert!(path.starts_with(&folded));
    }

    #[test]
    fn a_placeholder_longer_than_its_segment_counts_in_full() {
        assert_eq!(folded(&"/1".repeat(512)), "/{id}".repeat(MAX_PATH / 5));
    }

    #[test]
    fn text_is_cut_on_a_character_boundary() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 0), "");
    }

    proptest! {
        #[test]
        fn any_path_folds_to_a_bounded_path_that_folds_to_itself(path in ".{0,1500}") {
            let once = folded(&path);
            prop_assert!(once.len() <= MAX_PATH);
            prop_assert_eq!(folded(&once), once);
        }

        #[test]
        fn no_long_number_survives(number in 10_000_u64.., word in "[a-z]{1,8}") {
            let folded = folded(&format!("/{word}/{number}"));
            prop_assert_eq!(folded, format!("/{word}/{{id}}"));
        }
    }
}
