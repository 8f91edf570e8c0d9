//! Which paths a rule is about.

use crate::Text;

/// A path to the letter, or everything that begins with a prefix (`/health*`).
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: Text,
    prefix: bool,
}

impl Pattern {
    pub(super) fn new(text: Text) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self {
                text: Text::copied(prefix),
                prefix: true,
            },
            None => Self {
                text,
                prefix: false,
            },
        }
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        if self.prefix {
            path.starts_with(&*self.text)
        } else {
            path == &*self.text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &'static str, path: &str) -> bool {
        Pattern::new(pattern.into()).matches(path)
    }

    #[test]
    fn an_exact_pattern_matches_only_itself() {
        assert!(matches("/health", "/health"));
        assert!(!matches("/health", "/healthz"));
        assert!(!matches("/health", "/"));
    }

    #[test]
    fn a_star_at_the_end_matches_every_path_with_that_prefix() {
        assert!(matches("/health*", "/health"));
        assert!(matches("/health*", "/healthz/live"));
        assert!(!matches("/health*", "/api/health"));
        assert!(matches("*", "/anything"));
    }

    #[test]
    fn a_star_elsewhere_is_an_ordinary_character() {
        assert!(matches("/a*/b", "/a*/b"));
        assert!(!matches("/a*/b", "/ax/b"));
    }
}
