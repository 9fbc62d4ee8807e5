//! What the check of a data set found, as data and as text.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use unils::motion::{FPS, Space};

use super::store::Split;

/// Records that the text names for each kind of finding.
const NAMED: usize = 5;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Training stops at it, or its result cannot be trusted.
    Error,
    /// Worth a look.
    Warning,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// It cannot be read: missing, damaged, missing keys, wrong shapes.
    Unreadable,
    /// NaN or infinity in motion or audio.
    NotFinite,
    /// Motion shorter than listed.
    TooFewFrames,
    /// More frames than are listed and used.
    UnusedFrames,
    /// A speech mask shorter than the motion: nobody is taken to speak in the rest.
    SpeechMask,
    /// Audio is longer or shorter than the motion.
    AudioLength,
    /// One participant has audio and the other has none.
    AudioMissing,
    /// Nobody can be heard.
    Silent,
    /// Samples in runs at full scale.
    Clipped,
    /// Motion that stands still: all channels of many frames are the same.
    Frozen,
    /// Numbers far outside of a channel's usual range.
    OutOfRange,
    /// The same content twice.
    Duplicate,
    /// The same content or speaker in two splits.
    SplitLeak,
}

impl FindingKind {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Unreadable | Self::NotFinite | Self::TooFewFrames | Self::SplitLeak => Severity::Error,
            _ => Severity::Warning,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Unreadable => "cannot be read",
            Self::NotFinite => "NaN or infinity",
            Self::TooFewFrames => "shorter than listed",
            Self::UnusedFrames => "longer than listed",
            Self::SpeechMask => "short speech mask",
            Self::AudioLength => "audio and motion differ in length",
            Self::AudioMissing => "audio of one participant only",
            Self::Silent => "silent",
            Self::Clipped => "clipped audio",
            Self::Frozen => "motion stands still",
            Self::OutOfRange => "motion out of range",
            Self::Duplicate => "duplicates",
            Self::SplitLeak => "in two splits",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// Split of the record.
    pub split: Split,
    /// The record.
    pub record: String,
    /// The particulars: participant, frame, numbers.
    pub what: String,
}

/// Counts of a split.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SplitSummary {
    /// Recordings.
    pub recordings: usize,
    /// Recordings of two participants.
    pub dyads: usize,
    /// Participants' tracks.
    pub tracks: usize,
    /// Known speakers.
    pub speakers: usize,
    /// Frames of all recordings, each counted once.
    pub frames: u64,
    /// Recordings that the clip rule leaves out as too short.
    pub too_short: usize,
    /// Frames of the shortest recording.
    pub shortest: usize,
    /// Frames of the longest recording.
    pub longest: usize,
    /// Samples at 16 kHz of all tracks' audio.
    pub audio_samples: u64,
}

impl SplitSummary {
    /// Hours of recordings.
    pub fn hours(&self) -> f64 {
        self.frames as f64 / FPS / 3600.0
    }
}

/// The result of [`check`](super::check).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Where the data is.
    pub place: String,
    /// What the motion's channels mean.
    pub space: Space,
    /// Counts by split.
    pub splits: BTreeMap<Split, SplitSummary>,
    /// What is wrong, by severity, kind, and in the store's order.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Findings of a kind.
    pub fn of_kind(&self, kind: FindingKind) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.kind == kind)
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.place, self.space)?;
        let titles = ["split", "recordings", "dyads", "speakers", "hours", "audio h", "seconds", "too short"];
        let [split, recordings, dyads, speakers, hours, audio, seconds, short] = titles;
        writeln!(
            f,
            "{split:<6} {recordings:>10} {dyads:>8} {speakers:>8} {hours:>8} {audio:>8} {seconds:>15} {short:>9}"
        )?;
        for (split, summary) in &self.splits {
            let SplitSummary { recordings, dyads, speakers, too_short, .. } = summary;
            let audio = summary.audio_samples as f64 / 16_000.0 / 3600.0;
            let seconds =
                format!("{:.1} to {:.1}", summary.shortest as f64 / FPS, summary.longest as f64 / FPS);
            let hours = summary.hours();
            writeln!(
                f,
                "{:<6} {recordings:>10} {dyads:>8} {speakers:>8} {hours:>8.2} {audio:>8.2} {seconds:>15} {too_short:>9}",
                split.name()
            )?;
        }
        let mut findings = self.findings.as_slice();
        while let Some(first) = findings.first() {
            let count = findings.iter().take_while(|finding| finding.kind == first.kind).count();
            let (these, others) = findings.split_at(count);
            let severity = if first.severity == Severity::Error { "error" } else { "warning" };
            writeln!(f, "{severity}: {} ({count})", first.kind.title())?;
            for finding in these.iter().take(NAMED) {
                writeln!(f, "  {} {}: {}", finding.split, finding.record, finding.what)?;
            }
            if count > NAMED {
                writeln!(f, "  and {} more", count - NAMED)?;
            }
            findings = others;
        }
        write!(f, "{} errors, {} warnings", self.count(Severity::Error), self.count(Severity::Warning))
    }
}
