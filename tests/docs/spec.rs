//! The rules of `docs/SPEC.md` and the tests that they name.

use std::collections::HashSet;

/// One numbered rule.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    id: String,
    text: String,
    /// File and function.
    tests: Vec<(String, String)>,
}

/// A rule begins with `### T1. Title`. Its tests are the items of a list, ``- `file`: `name`, …``.
pub(crate) fn rules(spec: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut inside = false;
    let mut file = String::new();
    for line in spec.lines() {
        if line.starts_with('#') {
            let id = line
                .strip_prefix("### ")
                .and_then(|title| title.split_once(". "));
            inside = id.is_some();
            file.clear();
            if let Some((id, _)) = id {
                rules.push(Rule {
                    id: id.to_owned(),
                    ..Rule::default()
                });
            }
            continue;
        }
        let Some(rule) = rules.last_mut().filter(|_| inside) else {
            continue;
        };
        let names = if let Some(item) = line.strip_prefix("- `") {
            let (path, names) = item.split_once("`:").unwrap_or((item, ""));
            path.clone_into(&mut file);
            names
        } else if !file.is_empty() && line.starts_with("  ") {
            line
        } else {
            file.clear();
            rule.text.push_str(line);
            rule.text.push('\n');
            continue;
        };
        let names = names.split('`').skip(1).step_by(2);
        rule.tests
            .extend(names.map(|name| (file.clone(), name.to_owned())));
    }
    rules
}

/// What is wrong with the rules, given how to read a file.
pub(crate) fn problems(rules: &[Rule], read: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut problems = Vec::new();
    for rule in rules {
        let id = &rule.id;
        if !is_id(id) {
            problems.push(format!("{id}: not an id like T1"));
        }
        if !seen.insert(id) {
            problems.push(format!("{id}: there are two"));
        }
        if !rule.text.contains("MUST") {
            problems.push(format!("{id}: says nothing that must hold"));
        }
        if rule.tests.is_empty() {
            problems.push(format!("{id}: names no test"));
        }
        for (file, name) in &rule.tests {
            if !has_test(&read(file), name) {
                problems.push(format!("{id}: no test {name} in {file}"));
            }
        }
    }
    problems
}

fn is_id(id: &str) -> bool {
    let digits = id.trim_start_matches(|c: char| c.is_ascii_uppercase());
    digits.len() < id.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the source has a test of this name: a function with a test's attribute on it, or a name
/// given to a macro that makes one.
pub(crate) fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let is_test = |wanted: &dyn Fn(&str) -> bool| {
        lines
            .iter()
            .enumerate()
            .any(|(at, line)| function(line).is_some_and(wanted) && has_attribute(&lines[..at]))
    };
    is_test(&|found| found == name)
        || is_test(&|found| found.starts_with('$')) && lines.iter().any(|line| gives(line, name))
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line);
    rest.strip_prefix("fn ").map(signature)
}

/// Whether what follows is a test that runs: one that is ignored proves nothing.
fn has_attribute(before: &[&str]) -> bool {
    let attributes: Vec<_> = before
        .iter()
        .rev()
        .take_while(|line| !line.is_empty() && !line.starts_with('}'))
        .take(12)
        .filter(|line| line.starts_with("#["))
        .collect();
    attributes.iter().any(|line| line.contains("test"))
        && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}

/// Whether a line hands this name to a macro: as a word of its own that is not called.
fn gives(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        !before.ends_with(is_word) && after.starts_with([',', ';', ':'])
    })
}

fn signature(rest: &str) -> &str {
    rest.split_once('(').map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
#[tokio::test(start_paused = true)]
async fn it_holds() {
}

fn helper() {
}

#[test]
#[ignore = \"not yet\"]
fn ignored() {
}

    #[test]
    fn inside_a_macro(n in 0..3) {

        #[test]
        fn $name() {

made! { one_made: 1, another_made; }
// not_made;
";

    fn wrong(spec: &str) -> Vec<String> {
        problems(&rules(spec), &|file| {
            if file == "a.rs" {
                SOURCE.to_owned()
            } else {
                String::new()
            }
        })
    }

    #[test]
    fn a_rule_with_tests_that_exist_is_fine() {
        let spec = "### T1. Title\nIt MUST hold.\n- `a.rs`: `it_holds`,\n  `inside_a_macro`, `one_made`, `another_made`\n";
        assert!(wrong(spec).is_empty(), "{:?}", wrong(spec));
        assert_eq!(rules(spec)[0].tests.len(), 4);
    }

    #[test]
    fn each_thing_that_can_be_wrong_with_a_rule_is_told() {
        for (spec, problem) in [
            ("### T1. x\nMUST\n", "T1: names no test"),
            (
                "### T1. x\nMUST\n- `a.rs`: `missing`\n",
                "T1: no test missing in a.rs",
            ),
            (
                "### T1. x\nMUST\n- `a.rs`: `ignored`\n",
                "T1: no test ignored in a.rs",
            ),
            (
                "### T1. x\nMUST\n- `a.rs`: `not_made`\n",
                "T1: no test not_made in a.rs",
            ),
            (
                "### T1. x\nMUST\n- `a.rs`: `helper`\n",
                "T1: no test helper in a.rs",
            ),
            (
                "### T1. x\nMUST\n- `b.rs`: `it_holds`\n",
                "T1: no test it_holds in b.rs",
            ),
            (
                "### T1. x\nmay\n- `a.rs`: `it_holds`\n",
                "T1: says nothing that must hold",
            ),
            (
                "### t. x\nMUST\n- `a.rs`: `it_holds`\n",
                "t: not an id like T1",
            ),
        ] {
            assert_eq!(wrong(spec), [problem]);
        }
        let twice = "### T1. x\nMUST\n- `a.rs`: `it_holds`\n".repeat(2);
        assert_eq!(wrong(&twice), ["T1: there are two"]);
    }
}
