//! Texts that come back with every request, allocated once for each thread.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::fold::{MAX_PATH, fold_path};
use crate::Text;

/// Short enough to live inside a [`Text`].
const INLINE: usize = 23;
/// Route templates kept by a thread; there are as many as the application has routes.
const MAX_TEMPLATES: usize = 1024;
/// Paths without a template kept by a thread. Callers choose them, so there are few, they are
/// short, and they never displace templates: at most 64 KiB a thread.
const MAX_PATHS: usize = 256;
const MAX_KEPT_PATH: usize = 256;

thread_local! {
    static TEMPLATES: RefCell<Interner> = RefCell::default();
    static PATHS: RefCell<(Interner, String)> = RefCell::default();
}

/// The text of a route template.
#[cfg_attr(
    not(feature = "axum"),
    expect(dead_code, reason = "only axum tells templates")
)]
pub(super) fn template(template: &str) -> Text {
    if template.len() <= INLINE {
        return Text::copied(template);
    }
    // a thread that is going away has no cache any more
    TEMPLATES
        .try_with(|cache| Some(cache.try_borrow_mut().ok()?.get(template, MAX_TEMPLATES)))
        .ok()
        .flatten()
        .unwrap_or_else(|| Text::copied(template))
}

/// The text of a path as it is, cut to its limit.
pub(super) fn path(path: &str) -> Text {
    let path = super::fold::cut(path, MAX_PATH);
    if path.len() <= INLINE {
        return Text::copied(path);
    }
    PATHS
        .try_with(|cache| Some(cache.try_borrow_mut().ok()?.0.get_short(path)))
        .ok()
        .flatten()
        .unwrap_or_else(|| Text::copied(path))
}

/// The text of a path with its identifiers folded.
pub(super) fn folded(path: &str) -> Text {
    let kept = PATHS.try_with(|cache| {
        let mut cache = cache.try_borrow_mut().ok()?;
        let (interner, scratch) = &mut *cache;
        scratch.clear();
        fold_path(path, scratch);
        Some(interner.get_short(scratch))
    });
    kept.ok().flatten().unwrap_or_else(|| {
        let mut folded = String::new();
        fold_path(path, &mut folded);
        folded.into()
    })
}

#[derive(Default)]
struct Interner(HashSet<Arc<str>>);

impl Interner {
    /// The one shared copy of `text`; when the cache is full it starts anew.
    fn get(&mut self, text: &str, max: usize) -> Text {
        if let Some(kept) = self.0.get(text) {
            return Arc::clone(kept).into();
        }
        if self.0.len() >= max {
            self.0.clear();
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        text.into()
    }

    /// The same for paths: what is inline anyway or unusually long is copied.
    fn get_short(&mut self, text: &str) -> Text {
        if text.len() <= INLINE || text.len() > MAX_KEPT_PATH {
            return Text::copied(text);
        }
        self.get(text, MAX_PATHS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shared_between_requests() {
        let long = "/organisations/{organisation}/invoices/{invoice}";
        assert_eq!(template(long).as_ptr(), template(long).as_ptr());
        assert_eq!(path(long).as_ptr(), path(long).as_ptr());
        let long = "/organisations/12345/invoices/67890/reminders";
        assert_eq!(folded(long), "/organisations/{id}/invoices/{id}/reminders");
        assert_eq!(folded(long).as_ptr(), folded(long).as_ptr());
    }

    #[test]
    fn short_texts_take_no_place_in_the_cache() {
        assert_eq!(template("/checkout"), "/checkout");
        assert_eq!(folded("/users/7"), "/users/{id}");
        TEMPLATES.with_borrow(|cache| assert!(cache.0.is_empty()));
        PATHS.with_borrow(|cache| assert!(cache.0.0.is_empty()));
    }

    #[test]
    fn the_caches_stay_within_their_bounds() {
        for n in 0..5_000 {
            template(&format!("/a/template/that/is/long/enough/{{p{n}}}"));
            folded(&format!("/a/path/that/is/long/enough/p{n}x"));
            path(&format!(
                "/a/path/that/is/long/enough/p{n}x{}",
                "y".repeat(n)
            ));
        }
        TEMPLATES.with_borrow(|cache| assert!(cache.0.len() <= MAX_TEMPLATES));
        PATHS.with_borrow(|(cache, _)| {
            assert!(cache.0.len() <= MAX_PATHS);
            assert!(cache.0.iter().all(|path| path.len() <= MAX_KEPT_PATH));
        });
    }

    #[test]
    fn a_path_is_bounded_even_when_it_is_not_folded() {
        assert_eq!(path(&"/x".repeat(4_000)).len(), MAX_PATH);
    }
}
