//! What the documentation says about the repository, held against the repository.

mod markdown;
mod operations;
mod repository;
mod spec;

use std::collections::BTreeSet;

use markdown::{code_blocks, links, spans};
use repository::{exists, named, pages, read};

/// Fails with everything that is wrong at once.
#[track_caller]
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_rule_of_the_spec_names_tests_that_exist() {
    let rules = spec::rules(&read("docs/SPEC.md"));
    assert!(rules.len() > 40, "{} rules found", rules.len());
    none(&spec::problems(&rules, &read));
}

#[test]
fn every_row_of_the_fault_table_names_tests_that_exist_and_words_that_are_said() {
    let rows = operations::rows(&read("docs/OPERATIONS.md"));
    assert!(rows.len() > 60, "{} rows found", rows.len());
    let source = repository::source(&["src", "actors/src"]);
    none(&operations::problems(&rows, &read, &source));
}

#[test]
fn the_start_in_the_readme_is_the_example_of_the_crate_documentation() {
    let documentation: Vec<String> = read("src/lib.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
        .collect();
    let documentation = documentation.join("\n");
    let readme = read("README.md");
    let example = code_blocks(&documentation, "no_run");
    let start = code_blocks(&readme, "rust");
    let example = example
        .first()
        .expect("an example in the crate documentation");
    let start = start.first().expect("an example in the readme");
    // what rustdoc hides has to be visible to somebody who copies it
    let visible = |line: &&str| !line.trim().is_empty();
    let shown: Vec<_> = start.lines().filter(visible).collect();
    let whole: Vec<_> = example
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .filter(visible)
        .collect();
    assert_eq!(shown, whole);
    assert!((15..=30).contains(&shown.len()), "{} lines", shown.len());
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut found = 0;
    let mut problems = Vec::new();
    for page in pages() {
        let text = read(&page);
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            found += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                page.clone()
            } else {
                repository::join(folder, path)
            };
            if !exists(&target) {
                problems.push(format!("{page}: {link} leads nowhere"));
            } else if !anchor.is_empty() && !markdown::anchors(&read(&target)).contains(anchor) {
                problems.push(format!("{page}: {target} has no heading #{anchor}"));
            }
        }
    }
    assert!(found > 40, "{found} links found");
    none(&problems);
}

#[test]
fn every_file_that_a_page_names_exists() {
    let mut found = 0;
    let mut problems = Vec::new();
    for page in pages() {
        for span in spans(&read(&page)) {
            if repository::looks_like_a_path(&span) {
                found += 1;
                if !exists(span.trim_end_matches('/')) {
                    problems.push(format!("{page}: there is no {span}"));
                }
            }
        }
    }
    assert!(found > 40, "{found} paths found");
    none(&problems);
}

#[test]
fn every_example_that_a_page_names_exists_and_every_example_is_listed() {
    let mut problems = Vec::new();
    let all: BTreeSet<String> = repository::examples();
    for page in pages() {
        for name in named(&read(&page), "--example ") {
            // `--example NAME` stands for any of them
            if name != "NAME" && !all.contains(&name) {
                problems.push(format!("{page}: there is no example {name}"));
            }
        }
    }
    let list = read("examples/README.md");
    for name in &all {
        if !list.contains(&format!("[`{name}`](./{name}")) {
            problems.push(format!("examples/README.md: {name} is not listed"));
        }
    }
    assert!(!all.is_empty());
    none(&problems);
}

#[test]
fn the_readme_lists_every_feature_with_its_default() {
    let manifest = read("Cargo.toml");
    let section = manifest
        .split("[features]")
        .nth(1)
        .expect("features")
        .split("\n[")
        .next()
        .expect("a section");
    let entries: Vec<(&str, &str)> = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .collect();
    let default = entries
        .iter()
        .find(|(name, _)| *name == "default")
        .expect("defaults")
        .1;
    let readme = read("README.md");
    let problems: Vec<_> = entries
        .iter()
        .filter(|(name, _)| *name != "default")
        .map(|(name, _)| {
            let yes = default.contains(&format!("\"{name}\""));
            format!("| `{name}` | {} |", if yes { "yes" } else { "no" })
        })
        .filter(|row| !readme.contains(row.as_str()))
        .map(|row| format!("README.md: the table of features lacks {row}"))
        .collect();
    assert!(entries.len() > 3);
    none(&problems);
}

#[test]
fn every_variable_that_a_page_names_is_a_setting() {
    let settings = read("docs/configuration.md");
    let mut found = 0;
    let mut problems = Vec::new();
    for page in pages() {
        for name in named(&read(&page), "PRODUCTGRAPH_") {
            found += 1;
            if !name.is_empty() && !settings.contains(&format!("| `PRODUCTGRAPH_{name}` |")) {
                problems.push(format!("{page}: PRODUCTGRAPH_{name} is no setting"));
            }
        }
    }
    assert!(found > 20, "{found} variables found");
    none(&problems);
}

#[test]
fn every_guide_is_in_the_index() {
    let index = read("docs/README.md");
    let mut guides = pages();
    guides.retain(|page| page.starts_with("docs/guides/"));
    assert!(guides.len() > 5, "{} guides found", guides.len());
    guides.retain(|page| !index.contains(&format!("(./{})", &page["docs/".len()..])));
    assert!(guides.is_empty(), "docs/README.md does not list {guides:?}");
}

#[test]
fn every_decision_is_in_the_index_and_has_its_number_once() {
    let index = read("docs/adr/README.md");
    let mut numbers = BTreeSet::new();
    let mut problems = Vec::new();
    for page in pages() {
        let Some(file) = page.strip_prefix("docs/adr/") else {
            continue;
        };
        if file == "README.md" {
            continue;
        }
        let number: String = file.chars().take(4).collect();
        if !numbers.insert(number.clone()) {
            problems.push(format!("{page}: the number {number} is taken"));
        }
        if !index.contains(&format!("(./{file})")) {
            problems.push(format!("docs/adr/README.md: {file} is not listed"));
        }
        if !read(&page).starts_with(&format!("# {number}. ")) {
            problems.push(format!("{page}: the title does not begin with {number}"));
        }
    }
    assert!(numbers.len() > 10, "{} decisions found", numbers.len());
    none(&problems);
}
