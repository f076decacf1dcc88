//! The table, for people and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::samples::Samples;

/// What a figure counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Nanoseconds,
    Bytes,
}

impl Unit {
    /// With three digits that count, in the unit that fits.
    fn show(self, value: f64) -> String {
        let (step, names): (f64, &[&str]) = match self {
            Self::Nanoseconds => (1e3, &["ns", "µs", "ms", "s"]),
            Self::Bytes => (1e3, &["B", "kB", "MB", "GB"]),
        };
        let (mut value, mut names) = (value, names);
        while value >= step
            && let [_, larger @ ..] = names
            && !larger.is_empty()
        {
            value /= step;
            names = larger;
        }
        let digits = if value < 10.0 {
            2
        } else if value < 100.0 {
            1
        } else {
            0
        };
        format!("{value:.digits$} {}", names.first().unwrap_or(&""))
    }
}

/// What the design says that a figure must be.
pub(crate) struct Budget {
    /// As the design says it.
    must: String,
    kept: bool,
}

/// One line.
pub(crate) struct Row {
    name: String,
    unit: Unit,
    median: f64,
    p95: Option<f64>,
    samples: usize,
    ratios: Vec<(&'static str, f64)>,
    budget: Option<Budget>,
}

impl Row {
    /// Of measured times.
    pub(crate) fn times(name: impl Into<String>, samples: &Samples) -> Self {
        let (median, p95) = (samples.median(), Some(samples.p95()));
        let (unit, samples) = (Unit::Nanoseconds, samples.len());
        Self { name: name.into(), unit, median, p95, samples, ratios: Vec::new(), budget: None }
    }

    /// Of something that was measured once.
    pub(crate) fn once(name: impl Into<String>, unit: Unit, value: f64) -> Self {
        let name = name.into();
        Self { name, unit, median: value, p95: None, samples: 1, ratios: Vec::new(), budget: None }
    }

    /// Beside another figure: how many times as long (medians).
    pub(crate) fn beside(mut self, what: &'static str, other: &Samples) -> Self {
        self.ratios.push((what, self.median / other.median()));
        self
    }

    /// The p95 must not be above this.
    pub(crate) fn p95_within(mut self, most: f64) -> Self {
        let must = format!("p95 ≤ {}", self.unit.show(most));
        self.budget = Some(Budget { must, kept: self.p95.is_some_and(|p95| p95 <= most) });
        self
    }

    /// The median must not be above this.
    pub(crate) fn within(mut self, most: f64) -> Self {
        let must = format!("≤ {}", self.unit.show(most));
        self.budget = Some(Budget { must, kept: self.median <= most });
        self
    }

    /// The median must not be above so many times another's.
    pub(crate) fn within_times(mut self, times: f64, what: &'static str, other: f64) -> Self {
        let must = format!("≤ {times} × {what}");
        self.budget = Some(Budget { must, kept: self.median <= times * other });
        self
    }

    fn json(&self) -> Value {
        let unit = match self.unit {
            Unit::Nanoseconds => "ns",
            Unit::Bytes => "B",
        };
        let ratios: serde_json::Map<_, _> =
            self.ratios.iter().map(|(what, ratio)| ((*what).to_owned(), json!(ratio))).collect();
        let budget = self.budget.as_ref().map(|Budget { must, kept }| json!({ "must": must, "kept": kept }));
        json!({
            "name": self.name, "unit": unit, "median": self.median, "p95": self.p95,
            "samples": self.samples, "ratios": ratios, "budget": budget,
        })
    }

    fn cells(&self) -> [String; 5] {
        let ratios: Vec<_> = self.ratios.iter().map(|(what, ratio)| format!("{ratio:.2} × {what}")).collect();
        let budget = self.budget.as_ref().map(|Budget { must, kept }| {
            let verdict = if *kept { "ok" } else { "MISSED" };
            format!("{must}: {verdict}")
        });
        [
            self.name.clone(),
            self.unit.show(self.median),
            self.p95.map(|p95| self.unit.show(p95)).unwrap_or_default(),
            ratios.join(", "),
            budget.unwrap_or_default(),
        ]
    }
}

/// The whole.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<(String, Vec<Row>)>,
    notes: Vec<String>,
}

const HEAD: [&str; 4] = ["median", "p95", "medians beside", "budget"];

impl Report {
    pub(crate) fn section(&mut self, title: impl Into<String>, rows: Vec<Row>) {
        self.sections.push((title.into(), rows));
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// How many budgets were missed, of how many.
    pub(crate) fn missed(&self) -> (usize, usize) {
        let budgets =
            || self.sections.iter().flat_map(|(_, rows)| rows).filter_map(|row| row.budget.as_ref());
        (budgets().filter(|budget| !budget.kept).count(), budgets().count())
    }

    pub(crate) fn json(&self) -> Value {
        let sections = self.sections.iter().map(
            |(title, rows)| json!({ "title": title, "rows": rows.iter().map(Row::json).collect::<Vec<_>>() }),
        );
        json!({ "sections": sections.collect::<Vec<_>>(), "notes": self.notes })
    }

    pub(crate) fn text(&self) -> String {
        let mut lines: Vec<[String; 5]> = Vec::new();
        for (title, rows) in &self.sections {
            let [median, p95, ratios, budget] = HEAD.map(str::to_owned);
            lines.push([title.clone(), median, p95, ratios, budget]);
            lines.extend(rows.iter().map(|row| {
                let [name, rest @ ..] = row.cells();
                let [median, p95, ratios, budget] = rest;
                [format!("  {name}"), median, p95, ratios, budget]
            }));
        }
        let width = |column: usize| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: [usize; 5] = std::array::from_fn(|column| width(column).unwrap_or(0));
        let mut text = String::new();
        for line in &lines {
            let [first, ..] = line;
            if !first.starts_with(' ') && !text.is_empty() {
                text.push('\n');
            }
            let mut row = String::new();
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                // Names and words to the left, numbers to the right.
                let _ = match column {
                    1 | 2 => write!(row, "{cell:>width$}  "),
                    _ => write!(row, "{cell:<width$}  "),
                };
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        for note in &self.notes {
            let _ = write!(text, "\n- {note}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_in_the_unit_that_fits() {
        for (nanos, shown) in
            [(0.0, "0.00 ns"), (999.0, "999 ns"), (1_234.0, "1.23 µs"), (25e6, "25.0 ms"), (9e12, "9000 s")]
        {
            assert_eq!(Unit::Nanoseconds.show(nanos), shown);
        }
        assert_eq!(Unit::Bytes.show(4_007.0), "4.01 kB");
    }

    #[test]
    fn a_missed_budget_is_said() {
        let mut samples = Samples::default();
        samples.extend([1_000, 9_000]);
        let row = |most| Row::times("get", &samples).p95_within(most);
        let mut report = Report::default();
        report.section("reads", vec![row(9_000.0), row(8_999.0)]);
        let text = report.text();
        assert_eq!((text.matches(": ok").count(), text.matches(": MISSED").count()), (1, 1), "{text}");
        assert_eq!(report.json()["sections"][0]["rows"][1]["budget"]["kept"], false);
        assert_eq!(report.missed(), (1, 2));
    }
}
