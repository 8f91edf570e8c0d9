//! Results: one number each, with the row and the column it belongs to.
//!
//! A program prints them as a markdown table, and with `--records` also as lines that `report` and the
//! programs that start others read back.

use std::fmt::Write as _;

use crate::args;
use crate::stats::{median, quantile};

/// The column of what could not be measured.
pub const FAILED: &str = "failed";

const PREFIX: &str = "record\t";

/// Numbers by row and column, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Records(Vec<(String, String, Vec<f64>)>);

impl Records {
    /// Adds a number. Of several in one place the median counts.
    pub fn add(&mut self, row: &str, column: &str, number: f64) {
        match self.0.iter_mut().find(|(r, c, _)| r == row && c == column) {
            Some((_, _, numbers)) => numbers.push(number),
            None => self
                .0
                .push((row.to_owned(), column.to_owned(), vec![number])),
        }
    }

    /// Adds all of another's.
    pub fn extend(&mut self, other: Self) {
        for (row, column, numbers) in other.0 {
            for number in numbers {
                self.add(&row, &column, number);
            }
        }
    }

    /// The median of what is in one place.
    pub fn get(&self, row: &str, column: &str) -> Option<f64> {
        let (_, _, numbers) = self.0.iter().find(|(r, c, _)| r == row && c == column)?;
        Some(median(&mut numbers.clone()))
    }

    /// Half of the middle half of what is in one place: how far the median may be off. None of fewer
    /// than four numbers.
    pub fn spread(&self, row: &str, column: &str) -> Option<f64> {
        let (_, _, numbers) = self.0.iter().find(|(r, c, _)| r == row && c == column)?;
        let mut numbers = numbers.clone();
        numbers.sort_by(f64::total_cmp);
        (numbers.len() >= 4).then(|| (quantile(&numbers, 0.75) - quantile(&numbers, 0.25)) / 2.0)
    }

    /// The rows, in order.
    pub fn rows(&self) -> Vec<&str> {
        distinct(self.0.iter().map(|(row, _, _)| row.as_str()))
    }

    /// What could not be measured.
    pub fn failures(&self) -> Vec<&str> {
        let failed = self.0.iter().filter(|(_, column, _)| column == FAILED);
        failed.map(|(row, _, _)| row.as_str()).collect()
    }

    /// What is in `row` under the name of each column, for the rows and columns there are.
    fn table(&self) -> String {
        let columns = distinct(self.0.iter().map(|(_, column, _)| column.as_str()));
        let mut text = format!(
            "| | {} |\n|---|{}\n",
            columns.join(" | "),
            "--:|".repeat(columns.len())
        );
        for row in self.rows() {
            let cells: Vec<String> = columns
                .iter()
                .map(|column| self.get(row, column).map_or(String::new(), number))
                .collect();
            let _ = writeln!(text, "| {row} | {} |", cells.join(" | "));
        }
        text
    }

    /// Prints the table under a heading, and with `--records` the lines as of `group`.
    pub fn print(&self, group: &str, heading: &str) {
        println!("\n## {group}: {heading}\n\n{}", self.table());
        if args::given("records") {
            print!("{}", self.lines(group));
        }
    }

    /// The lines, under a group's name.
    pub fn lines(&self, group: &str) -> String {
        let mut text = String::new();
        for (row, column, numbers) in &self.0 {
            for number in numbers {
                let _ = writeln!(text, "{PREFIX}{group}\t{row}\t{column}\t{number}");
            }
        }
        text
    }

    /// Reads lines back from a program's output. A row is then called `group/row`.
    pub fn parse(output: &str) -> Self {
        Self::read(output, |group, row| format!("{group}/{row}"))
    }

    /// Reads lines back, all as of one row.
    pub fn parse_as(row: &str, output: &str) -> Self {
        Self::read(output, |_, _| row.to_owned())
    }

    fn read(output: &str, name: impl Fn(&str, &str) -> String) -> Self {
        let mut records = Self::default();
        for line in output.lines().filter_map(|line| line.strip_prefix(PREFIX)) {
            let mut parts = line.split('\t');
            let (Some(group), Some(row), Some(column), Some(Ok(number))) = (
                parts.next(),
                parts.next(),
                parts.next(),
                parts.next().map(str::parse),
            ) else {
                continue;
            };
            records.add(&name(group, row), column, number);
        }
        records
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// Three significant digits or so.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "n/a".to_owned(),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
