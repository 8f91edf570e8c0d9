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
    /// How far our number may be off, where it is a difference of two that vary.
    pub(super) spread: Option<f64>,
}

/// What a limit says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// The number is nearer to the limit than it varies, or below zero by more than that: then
    /// something else was measured.
    Unclear,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let (_, yardstick) = self.yardstick?;
        (yardstick > 0.0).then_some(self.ours? / yardstick)
    }

    /// None where there is no limit or no number.
    fn verdict(&self) -> Option<Verdict> {
        let met = match self.limit {
            Limit::TimesAtMost(most) => self.ratio()? <= most,
            Limit::TimesAtLeast(least) => self.ratio()? >= least,
            Limit::AtMost(most) => self.ours? <= most,
            Limit::AtLeast(least) => self.ours? >= least,
            Limit::None => return None,
        };
        if let (Some(spread), Limit::AtMost(most), Some(ours)) =
            (self.spread, self.limit, self.ours)
            && (ours + spread < 0.0 || (ours - most).abs() < spread)
        {
            return Some(Verdict::Unclear);
        }
        Some(if met { Verdict::Met } else { Verdict::Missed })
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
    /// Whether every limit that was measured is met; what is unclear is not.
    pub(super) fn is_met(&self) -> bool {
        self.0
            .iter()
            .filter_map(Row::verdict)
            .all(|verdict| verdict == Verdict::Met)
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = String::from(
            "| what | ours | yardstick | ratio | limit | met | peers |\n|---|--:|--:|--:|--:|---|---|\n",
        );
        for row in &self.0 {
            let spread = row
                .spread
                .map_or(String::new(), |by| format!(" ± {}", number(by)));
            let ours = row.ours.map_or("not measured".to_owned(), |ours| {
                format!("{}{spread} {}", number(ours), row.unit)
            });
            let yardstick = row.yardstick.map_or(String::new(), |(name, value)| {
                format!("{name} {}", number(value))
            });
            let ratio = row
                .ratio()
                .map_or(String::new(), |ratio| format!("{ratio:.2}×"));
            let met = match row.verdict() {
                Some(Verdict::Met) => "yes",
                Some(Verdict::Missed) => "**no**",
                Some(Verdict::Unclear) => "unclear",
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
            spread: None,
        }
    }

    #[test]
    fn a_limit_is_met_up_to_and_including_it() {
        assert_eq!(
            row(Some(150.0), Limit::TimesAtMost(1.5)).verdict(),
            Some(Verdict::Met)
        );
        assert_eq!(
            row(Some(151.0), Limit::TimesAtMost(1.5)).verdict(),
            Some(Verdict::Missed)
        );
        assert_eq!(
            row(Some(65.0), Limit::TimesAtLeast(0.65)).verdict(),
            Some(Verdict::Met)
        );
        assert_eq!(
            row(Some(64.0), Limit::TimesAtLeast(0.65)).verdict(),
            Some(Verdict::Missed)
        );
        assert_eq!(
            row(Some(0.0), Limit::AtMost(0.0)).verdict(),
            Some(Verdict::Met)
        );
        assert_eq!(
            row(Some(0.1), Limit::AtMost(0.0)).verdict(),
            Some(Verdict::Missed)
        );
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

    #[test]
    fn a_difference_that_varies_across_its_limit_or_below_zero_is_unclear() {
        let verdict = |ours, spread| {
            Row {
                spread: Some(spread),
                ..row(Some(ours), Limit::AtMost(1500.0))
            }
            .verdict()
        };
        assert_eq!(verdict(-99_749.0, 300.0), Some(Verdict::Unclear));
        assert_eq!(verdict(1400.0, 300.0), Some(Verdict::Unclear));
        assert_eq!(verdict(1900.0, 300.0), Some(Verdict::Missed));
        assert_eq!(verdict(-50.0, 300.0), Some(Verdict::Met));
        let table = Table(vec![Row {
            spread: Some(300.0),
            ..row(Some(1400.0), Limit::AtMost(1500.0))
        }]);
        assert!(!table.is_met());
    }
}
