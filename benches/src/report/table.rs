//! Rows of what was measured beside what it must be.

use std::fmt::Write as _;

use crate::records::number;

/// What a number must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// At most so many times the yardstick.
    TimesAtMost(f64),
    /// At least so many times the yardstick.
    TimesAtLeast(f64),
    AtMost(f64),
    AtLeast(f64),
    /// For information.
    None,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) ours: Option<f64>,
    pub(super) unit: &'static str,
    pub(super) yardstick: Option<(&'static str, f64)>,
    pub(super) limit: Limit,
    pub(super) peers: Vec<(&'static str, f64)>,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let (_, yardstick) = self.yardstick?;
        (yardstick > 0.0).then_some(self.ours? / yardstick)
    }

    /// None where there is no limit or no number.
    fn is_met(&self) -> Option<bool> {
        match self.limit {
            Limit::TimesAtMost(most) => Some(self.ratio()? <= most),
            Limit::TimesAtLeast(least) => Some(self.ratio()? >= least),
            Limit::AtMost(most) => Some(self.ours? <= most),
            Limit::AtLeast(least) => Some(self.ours? >= least),
            Limit::None => None,
        }
    }

    fn limit_text(&self) -> String {
        match self.limit {
            Limit::TimesAtMost(most) => format!("≤ {}×", number(most)),
            Limit::TimesAtLeast(least) => format!("≥ {}×", number(least)),
            Limit::AtMost(most) => format!("≤ {} {}", number(most), self.unit),
            Limit::AtLeast(least) => format!("≥ {} {}", number(least), self.unit),
            Limit::None => String::new(),
        }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(pub(super) Vec<Row>);

impl Table {
    /// Whether no limit that was measured is missed.
    pub(super) fn is_met(&self) -> bool {
        self.0.iter().all(|row| row.is_met() != Some(false))
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = String::from(
            "| what | ours | yardstick | ratio | limit | met | peers |\n|---|--:|--:|--:|--:|---|---|\n",
        );
        for row in &self.0 {
            let ours = row.ours.map_or("not measured".to_owned(), |ours| {
                format!("{} {}", number(ours), row.unit)
            });
            let yardstick = row.yardstick.map_or(String::new(), |(name, value)| {
                format!("{name} {}", number(value))
            });
            let ratio = row
                .ratio()
                .map_or(String::new(), |ratio| format!("{ratio:.2}×"));
            let met = match row.is_met() {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "",
            };
            let peers: Vec<String> = row
                .peers
                .iter()
                .map(|(name, value)| format!("{name} {}", number(*value)))
                .collect();
            let _ = writeln!(
                text,
                "| {} | {ours} | {yardstick} | {ratio} | {} | {met} | {} |",
                row.what,
                row.limit_text(),
                peers.join(", "),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: Option<f64>, limit: Limit) -> Row {
        let yardstick = Some(("ring", 100.0));
        Row {
            what: "p50".into(),
            ours,
            unit: "ns",
            yardstick,
            limit,
            peers: vec![("otel", 1291.0)],
        }
    }

    #[test]
    fn a_limit_is_met_up_to_and_including_it() {
        assert_eq!(
            row(Some(150.0), Limit::TimesAtMost(1.5)).is_met(),
            Some(true)
        );
        assert_eq!(
            row(Some(151.0), Limit::TimesAtMost(1.5)).is_met(),
            Some(false)
        );
        assert_eq!(
            row(Some(65.0), Limit::TimesAtLeast(0.65)).is_met(),
            Some(true)
        );
        assert_eq!(
            row(Some(64.0), Limit::TimesAtLeast(0.65)).is_met(),
            Some(false)
        );
        assert_eq!(row(Some(0.0), Limit::AtMost(0.0)).is_met(), Some(true));
        assert_eq!(row(Some(0.1), Limit::AtMost(0.0)).is_met(), Some(false));
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let table = Table(vec![
            row(None, Limit::AtMost(1.0)),
            row(Some(9.0), Limit::None),
        ]);
        assert!(table.is_met());
        assert!(
            table
                .markdown()
                .contains("| p50 | not measured | ring 100 |  | ≤ 1 ns |  | otel 1291 |")
        );
    }
}
