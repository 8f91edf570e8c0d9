//! The fault table of `docs/OPERATIONS.md` and the tests that its rows name.

use std::collections::HashSet;

use crate::repository::looks_like_a_path;
use crate::spec::has_test;

/// One fault.
#[derive(Debug, Default)]
pub(crate) struct Row {
    fault: String,
    /// What happens to events, what is logged, what is counted, what to do.
    cells: Vec<String>,
    /// File and function.
    tests: Vec<(String, String)>,
}

/// The head of every table of faults.
const HEAD: &str = "| Fault | Events | Log | Counts and health | What to do | Tests |";
const LOG: usize = 1;
const COUNTS: usize = 2;

/// The rows of all tables of faults. A file named before a table is that of its tests without one.
pub(crate) fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut usual = String::new();
    let mut inside = false;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("Tests are in `") {
            rest.split('`')
                .next()
                .unwrap_or_default()
                .clone_into(&mut usual);
        } else if line == HEAD {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|---") {
            rows.push(row(line, &usual));
        }
    }
    rows
}

fn row(line: &str, usual: &str) -> Row {
    let cells = line.trim_matches('|').split('|');
    let mut cells = cells.map(|cell| cell.trim().to_owned());
    let fault = cells.next().unwrap_or_default();
    let mut cells: Vec<_> = cells.collect();
    let named = cells.pop().unwrap_or_default();
    let mut file = usual.to_owned();
    let mut tests = Vec::new();
    for span in named.split('`').skip(1).step_by(2) {
        if looks_like_a_path(span) {
            span.clone_into(&mut file);
        } else {
            tests.push((file.clone(), span.to_owned()));
        }
    }
    Row {
        fault,
        cells,
        tests,
    }
}

/// What is wrong with the rows, given how to read a file and the engine's own source.
pub(crate) fn problems(rows: &[Row], read: &dyn Fn(&str) -> String, source: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut problems = Vec::new();
    for row in rows {
        let fault = &row.fault;
        if !seen.insert(fault) {
            problems.push(format!("{fault}: there are two"));
        }
        if row.cells.len() != 4 || row.cells.iter().any(String::is_empty) {
            problems.push(format!("{fault}: a cell is empty, or there are too many"));
        }
        // what is logged and counted is quoted, so it must be in the code letter by letter
        for cell in row.cells.iter().skip(LOG).take(COUNTS) {
            for quoted in cell.split('`').skip(1).step_by(2) {
                if !source.contains(quoted) {
                    problems.push(format!("{fault}: nothing says {quoted}"));
                }
            }
        }
        if row.tests.is_empty() {
            problems.push(format!("{fault}: names no test"));
        }
        for (file, name) in &row.tests {
            if !has_test(&with_macros(file, read), name) {
                problems.push(format!("{fault}: no test {name} in {file}"));
            }
        }
    }
    problems
}

/// A file, and the one beside it where macros of its target are: they make tests that it names.
fn with_macros(file: &str, read: &dyn Fn(&str) -> String) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{}\n\n{}", read(file), read(&format!("{folder}/stage.rs")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str = "#[test]\nfn one() {}\n\ncases! {\n    made: outage(1);\n}\n";
    const STAGE: &str = "macro_rules! cases {\n#[tokio::test]\nasync fn $name() {\n";
    const GOOD: &str = "| A | kept | `it fails` | `lost` | wait | `one`, `made` |";

    fn wrong(lines: &str) -> Vec<String> {
        let page =
            format!("Tests are in `tests/t/a.rs`.\n\n{HEAD}\n|---|\n{lines}\n\n| no | row |\n");
        let read = |file: &str| match file {
            "tests/t/a.rs" => TESTS.to_owned(),
            "tests/t/stage.rs" => STAGE.to_owned(),
            "tests/b.rs" => "#[test]\nfn other() {}\n".to_owned(),
            _ => String::new(),
        };
        problems(&rows(&page), &read, "warn!(\"it fails\") Lost = \"lost\"")
    }

    #[test]
    fn a_row_whose_tests_exist_and_whose_words_are_in_the_code_is_fine() {
        assert!(wrong(GOOD).is_empty(), "{:?}", wrong(GOOD));
        let elsewhere = "| A | kept | nothing | nothing | wait | `one`; `tests/b.rs`: `other` |";
        assert!(wrong(elsewhere).is_empty(), "{:?}", wrong(elsewhere));
        assert_eq!(rows(&format!("{HEAD}\n{GOOD}"))[0].tests.len(), 2);
    }

    #[test]
    fn each_thing_that_can_be_wrong_with_a_row_is_told() {
        for (line, problem) in [
            (
                "| A | kept | nothing | nothing | wait | soon |",
                "A: names no test",
            ),
            (
                "| A | kept | nothing | nothing | wait | `two` |",
                "A: no test two in tests/t/a.rs",
            ),
            (
                "| A | kept | nothing | nothing | wait | `tests/b.rs`: `one` |",
                "A: no test one in tests/b.rs",
            ),
            (
                "| A | kept | `it works` | nothing | wait | `one` |",
                "A: nothing says it works",
            ),
            (
                "| A | kept | nothing | `found` | wait | `one` |",
                "A: nothing says found",
            ),
            (
                "| A |  | nothing | nothing | wait | `one` |",
                "A: a cell is empty, or there are too many",
            ),
        ] {
            assert_eq!(wrong(line), [problem]);
        }
        assert_eq!(wrong(&format!("{GOOD}\n{GOOD}")), ["A: there are two"]);
    }
}
