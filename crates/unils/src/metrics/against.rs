//! Two systems on the same recordings, score by score.

use std::collections::BTreeSet;

use serde::Serialize;

use super::bootstrap::{BootstrapOptions, PairedDifference};
use super::report::{Report, number, table};
use super::signal::Moments;
use crate::Result;

/// Settings that say which system it is, and not how it was measured.
const OF_THE_SYSTEM: [&str; 5] = ["system", "weights", "preset", "encoder", "window"];

/// One system's scores beside another's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Against {
    /// The other system.
    pub system: String,
    /// Recordings that both were measured on.
    pub recordings: u64,
    /// Why the two do not compare, if so.
    pub caveats: Vec<String>,
    /// The scores that both have for two recordings or more.
    pub scores: Vec<ScoreAgainst>,
}

/// One score of two systems, over the recordings that both have it for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreAgainst {
    /// Name of the score.
    pub metric: String,
    /// Mean of the system.
    pub ours: f64,
    /// Mean of the other.
    pub theirs: f64,
    /// Ours less theirs.
    #[serde(flatten)]
    pub paired: PairedDifference,
}

impl Report {
    /// All scores beside another system's, recording by recording.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for options out of range.
    pub fn against(&self, other: &Self, options: &BootstrapOptions) -> Result<Against> {
        let mut scores = Vec::new();
        for metric in self.means.iter().map(|score| &score.metric) {
            let (ours, theirs) = self.pairs(other, metric);
            let means = [&ours, &theirs].map(|values| Moments::of(values.iter().copied()).mean());
            if let (Some(paired), [Some(ours), Some(theirs)]) = (self.compare(other, metric, options)?, means)
            {
                scores.push(ScoreAgainst { metric: metric.clone(), ours, theirs, paired });
            }
        }
        let names = |report: &Self| {
            report.recordings.iter().map(|scores| scores.name.clone()).collect::<BTreeSet<_>>()
        };
        let recordings = names(self).intersection(&names(other)).count();
        let mut caveats = Vec::new();
        let all = self.recordings.len().max(other.recordings.len());
        if recordings < all {
            caveats.push(format!("{recordings} of {all} recordings are in both evaluations"));
        }
        // Where they lie is told only if nothing says what they are.
        let is_known = [self, other].iter().all(|report| report.settings.contains_key("data"));
        if !is_known && self.data != other.data {
            caveats.push(format!("the recordings are of {} here, of {} there", self.data, other.data));
        }
        let settings: BTreeSet<&String> = self.settings.keys().chain(other.settings.keys()).collect();
        for name in settings.into_iter().filter(|name| !OF_THE_SYSTEM.contains(&name.as_str())) {
            let of =
                |report: &'_ Self| report.settings.get(name).cloned().unwrap_or_else(|| "not set".into());
            let (ours, theirs) = (of(self), of(other));
            if ours != theirs {
                caveats.push(format!("{name} is {ours} here, {theirs} there"));
            }
        }
        Ok(Against { system: other.system.clone(), recordings: recordings as u64, caveats, scores })
    }
}

impl Against {
    /// The scores as a Markdown table; `ours` names the system.
    pub fn to_markdown(&self, ours: &str) -> String {
        let level = self.scores.first().map_or(95.0, |score| 100.0 * score.paired.difference.level);
        let head = [
            "score".to_owned(),
            ours.to_owned(),
            self.system.clone(),
            "difference".to_owned(),
            format!("{level} % interval"),
        ];
        let rows = self.scores.iter().map(|score| {
            let interval = score.paired.difference;
            let is_decided = interval.low > 0.0 || interval.high < 0.0;
            let mark = if is_decided { "**" } else { "" };
            vec![
                score.metric.clone(),
                number(score.ours),
                number(score.theirs),
                format!("{mark}{}{mark}", signed(interval.estimate)),
                format!("{} to {}", signed(interval.low), signed(interval.high)),
            ]
        });
        table(&head, rows)
    }
}

fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", number(value)) } else { number(value) }
}
