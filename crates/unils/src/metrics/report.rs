//! All scores of an evaluation: per recording, their means with intervals, tables to read and JSON to compute with.
//!
//! A [`Report`] is one system on one set of recordings. Values have short names (`S-LVE`, `blinks/min` ...); a value
//! that a recording does not have is none and is left out of the mean, as in the release. Scores of all recordings
//! together (pooled Fréchet distances, responsiveness) are *overall* values and bring their own interval.
//!
//! ```
//! use unils::metrics::{bootstrap::BootstrapOptions, report::Report};
//! let mut report = Report::new("full", "test");
//! report.add("call_1", [("S-LVE", Some(5.0)), ("L-FDD", None)])?;
//! report.add("call_2", [("S-LVE", Some(7.0)), ("L-FDD", Some(17.0))])?;
//! report.summarise(&BootstrapOptions::default())?;
//! assert_eq!(report.mean("S-LVE"), Some(6.0));
//! assert_eq!(report.mean("L-FDD"), Some(17.0));
//! assert!(report.to_markdown().contains("| S-LVE | 6.000 |"));
//! # Ok::<(), unils::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::bootstrap::{BootstrapOptions, Interval, PairedDifference, mean_interval, paired_difference};
use super::paper;
use super::signal::Moments;
use crate::{Error, Result};

/// One recording's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingScores {
    /// The recording.
    pub name: String,
    /// Scores by name; null where the recording does not have one.
    pub values: BTreeMap<String, Option<f64>>,
}

/// A score over all recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Name of the score.
    pub metric: String,
    /// The mean over recordings, or the value of all of them together.
    pub value: f64,
    /// Confidence interval, if there is one.
    pub interval: Option<Interval>,
    /// Recordings that have it.
    pub recordings: u64,
}

/// One system's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The system: a run, a variant, a checkpoint.
    pub system: String,
    /// The recordings: a split, a folder.
    pub data: String,
    /// Settings that shaped the numbers: name to value.
    pub settings: BTreeMap<String, String>,
    /// Per recording, in the order they were added.
    pub recordings: Vec<RecordingScores>,
    /// Means over recordings; empty before [`Report::summarise`].
    pub means: Vec<Score>,
    /// Values of all recordings together.
    pub overall: Vec<Score>,
    /// The scores' names in the order in which they first came.
    order: Vec<String>,
}

impl Report {
    /// An empty report of a system on some data.
    pub fn new(system: impl Into<String>, data: impl Into<String>) -> Self {
        Self {
            system: system.into(),
            data: data.into(),
            settings: BTreeMap::new(),
            recordings: Vec::new(),
            means: Vec::new(),
            overall: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Adds scores of a recording; more of one that is there already are added to it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value that is not finite or comes twice.
    pub fn add<'a>(
        &mut self,
        recording: &str,
        values: impl IntoIterator<Item = (&'a str, Option<f64>)>,
    ) -> Result<()> {
        let known = self.recordings.iter().position(|scores| scores.name == recording);
        let index = known.unwrap_or_else(|| {
            self.recordings.push(RecordingScores { name: recording.to_owned(), values: BTreeMap::new() });
            self.recordings.len() - 1
        });
        for (metric, value) in values {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(Error::argument(
                    format!("{recording}, {metric}"),
                    format!("{value} is not finite"),
                ));
            }
            if self.recordings[index].values.insert(metric.to_owned(), value).is_some() {
                return Err(Error::argument(format!("{recording}, {metric}"), "comes twice"));
            }
            self.note(metric);
        }
        Ok(())
    }

    /// Adds a value of all recordings together.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value that is not finite or a name that is there already.
    pub fn add_overall(&mut self, metric: &str, value: f64, interval: Option<Interval>) -> Result<()> {
        if !value.is_finite() || self.overall.iter().any(|score| score.metric == metric) {
            return Err(Error::argument(metric, format!("{value} is not finite or comes twice")));
        }
        let recordings = self.recordings.len() as u64;
        self.overall.push(Score { metric: metric.to_owned(), value, interval, recordings });
        Ok(())
    }

    /// Computes the means and their intervals.
    ///
    /// # Errors
    /// [`Error::Argument`] for options out of range.
    pub fn summarise(&mut self, options: &BootstrapOptions) -> Result<()> {
        self.means.clear();
        for metric in &self.order {
            let values = self.values(metric);
            if let Some(value) = Moments::of(values.iter().copied()).mean() {
                let interval = mean_interval(&values, options)?;
                let recordings = values.len() as u64;
                self.means.push(Score { metric: metric.clone(), value, interval, recordings });
            }
        }
        Ok(())
    }

    /// The mean of a score over the recordings that have it, or its overall value.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        let overall = self.overall.iter().find(|score| score.metric == metric);
        overall.map(|score| score.value).or_else(|| Moments::of(self.values(metric)).mean())
    }

    /// Compares a score with another system's, over the recordings that both have it for; none below two.
    ///
    /// # Errors
    /// [`Error::Argument`] for options out of range.
    pub fn compare(
        &self,
        other: &Self,
        metric: &str,
        options: &BootstrapOptions,
    ) -> Result<Option<PairedDifference>> {
        let (ours, theirs) = self.pairs(other, metric);
        paired_difference(&ours, &theirs, options)
    }

    /// A score of both systems, over the recordings that both have it for.
    pub(super) fn pairs(&self, other: &Self, metric: &str) -> (Vec<f64>, Vec<f64>) {
        let score = |scores: &RecordingScores| scores.values.get(metric).copied().flatten();
        let of_both = |ours: &RecordingScores| {
            let theirs = other.recordings.iter().find(|theirs| theirs.name == ours.name);
            score(ours).zip(theirs.and_then(score))
        };
        self.recordings.iter().filter_map(of_both).unzip()
    }

    fn note(&mut self, metric: &str) {
        if !self.order.iter().any(|known| known == metric) {
            self.order.push(metric.to_owned());
        }
    }

    fn values(&self, metric: &str) -> Vec<f64> {
        self.recordings.iter().filter_map(|scores| scores.values.get(metric).copied().flatten()).collect()
    }

    fn scores(&self) -> impl Iterator<Item = &Score> {
        self.means.iter().chain(&self.overall)
    }

    /// The report as JSON text.
    ///
    /// # Errors
    /// [`Error::Argument`] if it cannot be written, which finite numbers do not cause.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| Error::argument("report", error))
    }

    /// A report from its JSON text; `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not one.
    pub fn from_json(text: &str, place: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::argument(place, format!("not an evaluation report: {error}"))
                .with_hint("expected the JSON that an evaluation writes")
        })
    }

    /// The scores as a Markdown table with intervals.
    pub fn to_markdown(&self) -> String {
        let rows = self.scores().map(|score| {
            let interval = score.interval.map_or("-".to_owned(), |interval| {
                format!("{} to {}", number(interval.low), number(interval.high))
            });
            vec![score.metric.clone(), number(score.value), interval, score.recordings.to_string()]
        });
        let level =
            self.scores().find_map(|score| score.interval).map_or(95.0, |interval| 100.0 * interval.level);
        let head =
            ["score".to_owned(), "value".to_owned(), format!("{level} % interval"), "recordings".to_owned()];
        format!("{} on {}\n\n{}", cell(&self.system), cell(&self.data), table(&head, rows))
    }

    /// Our scores beside a row of the paper's tables, with differences (ours minus the paper's). Only scores that the
    /// paper has are shown.
    pub fn against_paper(&self, row: &paper::Row) -> String {
        let rows = paper::METRICS.iter().filter_map(|metric| {
            let theirs = row.value(metric)?;
            let ours = self.mean(metric);
            let difference = ours.map_or("-".to_owned(), |ours| {
                format!("{:+.3} ({:+.1} %)", ours - theirs, 100.0 * (ours / theirs - 1.0))
            });
            Some(vec![(*metric).to_owned(), optional(ours), number(theirs), difference])
        });
        let head = [
            "score".to_owned(),
            self.system.clone(),
            format!("paper: {}", row.method),
            "difference".to_owned(),
        ];
        table(&head, rows)
    }
}

/// Which way a score is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Errors and distances.
    Lower,
    /// Correlations and ratios.
    Higher,
    /// Neither: rates that should be like a human's.
    Neither,
}

impl Better {
    /// The best of some values.
    fn best(self, values: impl Iterator<Item = f64>) -> Option<f64> {
        match self {
            Self::Lower => values.min_by(f64::total_cmp),
            Self::Higher => values.max_by(f64::total_cmp),
            Self::Neither => None,
        }
    }
}

/// Systems side by side, one a row, as the paper's tables are: a Markdown table of the named scores. The best of each
/// column among `reports` is bold; `bounds` (a ceiling, a floor) and rows of the paper follow, and do not take part.
pub fn comparison(
    reports: &[Report],
    bounds: &[Report],
    metrics: &[(&str, Better)],
    paper: &[paper::Row],
) -> String {
    let names = metrics.iter().map(|(name, _)| *name);
    let head: Vec<String> = std::iter::once("system").chain(names).map(str::to_owned).collect();
    let best: Vec<Option<f64>> = metrics
        .iter()
        .map(|(name, better)| better.best(reports.iter().filter_map(|report| report.mean(name))))
        .collect();
    let ours = reports.iter().chain(bounds).enumerate().map(|(row, report)| {
        let values = metrics.iter().zip(&best).map(|((name, _), best)| {
            let value = report.mean(name);
            let takes_part = row < reports.len() && reports.len() > 1;
            let is_best = takes_part && value.is_some() && value == *best;
            if is_best { format!("**{}**", optional(value)) } else { optional(value) }
        });
        std::iter::once(report.system.clone()).chain(values).collect()
    });
    let theirs = paper.iter().map(|row| {
        let values = metrics.iter().map(|(name, _)| optional(row.value(name)));
        std::iter::once(format!("paper: {}", row.method)).chain(values).collect()
    });
    table(&head, ours.chain(theirs))
}

/// A Markdown table: the first column left, the others right.
pub(super) fn table(head: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = String::new();
    let mut line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    line(head);
    let rule: Vec<String> = (0..head.len()).map(|i| if i == 0 { "---" } else { "--:" }.to_owned()).collect();
    line(&rule);
    rows.for_each(|row| line(&row));
    text
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn optional(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), number)
}

/// Four digits or so, whatever the size.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 10.0 => format!("{value:.2}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.3}"),
        size if size >= 1e-4 => format!("{value:.5}"),
        _ => format!("{value:.2e}"),
    }
}
