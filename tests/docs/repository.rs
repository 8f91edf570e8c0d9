//! The files of the repository, by paths from its root.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file; empty when there is none, which the caller finds out by what it lacks.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_default()
}

pub(crate) fn exists(path: &str) -> bool {
    at(path).exists()
}

/// Every page of the documentation.
pub(crate) fn pages() -> Vec<String> {
    let mut pages = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
        .map(str::to_owned)
        .to_vec();
    pages.push("collector/README.md".to_owned());
    let mut folders = vec!["docs".to_owned(), "examples".to_owned()];
    while let Some(folder) = folders.pop() {
        for (name, is_folder) in entries(&folder) {
            let path = format!("{folder}/{name}");
            if is_folder {
                folders.push(path);
            } else if Path::new(&name).extension().is_some_and(|end| end == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

fn entries(folder: &str) -> Vec<(String, bool)> {
    fs::read_dir(at(folder))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.path().is_dir())
        })
        .collect()
}

/// The Rust code below these folders, all in one.
pub(crate) fn source(folders: &[&str]) -> String {
    let mut folders: Vec<_> = folders.iter().map(|&folder| folder.to_owned()).collect();
    let mut source = String::new();
    while let Some(folder) = folders.pop() {
        for (name, is_folder) in entries(&folder) {
            let path = format!("{folder}/{name}");
            if is_folder {
                folders.push(path);
            } else if Path::new(&name).extension().is_some_and(|end| end == "rs") {
                source.push_str(&read(&path));
            }
        }
    }
    source
}

/// The names of the root crate's examples.
pub(crate) fn examples() -> BTreeSet<String> {
    entries("examples")
        .into_iter()
        .filter_map(|(name, is_folder)| {
            if is_folder {
                exists(&format!("examples/{name}/main.rs")).then_some(name)
            } else {
                name.strip_suffix(".rs").map(str::to_owned)
            }
        })
        .collect()
}

/// `path` as seen from `folder`.
pub(crate) fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The words that follow each `prefix`: letters, digits and underscores.
pub(crate) fn named(text: &str, prefix: &str) -> Vec<String> {
    let word = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    text.match_indices(prefix)
        .map(|(at, _)| word(&text[at + prefix.len()..]))
        .collect()
}

/// Whether a code span names a file or folder of the repository.
pub(crate) fn looks_like_a_path(span: &str) -> bool {
    const ROOTS: [&str; 7] = [
        "src/",
        "actors/",
        "collector/",
        "tests/",
        "docs/",
        "examples/",
        ".ci/",
    ];
    ROOTS.iter().any(|root| span.starts_with(root))
        && span
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
}

#[test]
fn paths_are_put_together_and_told_from_other_words() {
    assert_eq!(join("docs/guides", "../SPEC.md"), "docs/SPEC.md");
    assert_eq!(join("", "./docs/"), "docs");
    assert!(looks_like_a_path("src/handle.rs") && !looks_like_a_path("src/*.rs"));
    assert!(!looks_like_a_path("base/2"));
    assert_eq!(
        named("--example a_b; --example c`", "--example "),
        ["a_b", "c"]
    );
}
