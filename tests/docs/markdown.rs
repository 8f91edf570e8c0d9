//! As much of Markdown as the pages here use.

use std::collections::BTreeSet;

/// The bodies of the fenced blocks of this language, also where more words follow it.
pub(crate) fn code_blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(words)) => {
                let wanted = words.split([',', ' ']).next() == Some(language);
                open = Some((wanted, String::new()));
            }
            (Some(_), Some(_)) => {
                blocks.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, b)| b));
            }
            (Some((_, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The text without its fenced blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The targets of `[text](target)` and of `[text]: target`.
pub(crate) fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    let inline = text.match_indices("](").filter_map(|(at, _)| {
        let target = text[at + 2..].split_once(')')?.0;
        Some(target.to_owned())
    });
    let listed = text.lines().filter_map(|line| {
        let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
        (!name.contains(']')).then(|| target.trim().to_owned())
    });
    inline.chain(listed).collect()
}

/// What stands between single backticks.
pub(crate) fn spans(text: &str) -> Vec<String> {
    prose(text)
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect()
}

/// The anchors of the headings, as the usual renderers make them.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn markdown_is_read_as_far_as_it_is_needed() {
    let text = "# A `b` c\n[x](./y.md#z) and [u](v)\n```rust,no_run\n[no](link)\n```\n[w]: t\n";
    assert_eq!(code_blocks(text, "rust"), ["[no](link)\n"]);
    assert!(code_blocks(text, "no_run").is_empty());
    assert_eq!(links(text), ["./y.md#z", "v", "t"]);
    assert_eq!(spans("a `b` c `d/e.rs`"), ["b", "d/e.rs"]);
    assert!(anchors(text).contains("a-b-c"));
}
