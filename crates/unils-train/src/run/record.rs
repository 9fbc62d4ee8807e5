//! `metrics.jsonl`: what a training has come to, a line at a time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unils::file::write_whole;
use unils::{Error, Result};

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// A training step.
    Step(StepRecord),
    /// A look at the validation split.
    Check(Check),
}

impl Record {
    /// Steps that were done when it was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Check(check) => check.step,
        }
    }
}

/// What a training step came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Number of the step, from 1.
    pub step: u64,
    /// What was minimised.
    pub loss: f64,
    /// Its terms, weighted, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub terms: BTreeMap<String, f64>,
    /// Norm of all gradients before clipping.
    pub norm: f64,
    /// Learning rate.
    pub rate: f64,
    /// Wall time of the step in milliseconds, waiting for data included.
    pub step_ms: f64,
    /// Of these, waiting for data.
    pub wait_ms: f64,
}

/// What the validation split says of the averaged weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Steps done.
    pub step: u64,
    /// The loss with nothing spoilt, mean over batches.
    pub loss: f64,
    /// Whether it is the lowest so far.
    pub is_best: bool,
    /// What else is told: of a speech encoder its [`SpeechScores`](crate::speech::SpeechScores); of a block-causal
    /// generator the loss of each part of the codec, as it hears its partner and with a stranger's voice in its place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
}

/// Reads a metrics file; a last line that was cut off is left out.
///
/// # Errors
/// [`Error::Io`]; [`Error::Argument`] naming the first other line that is not a record.
pub fn read_records(path: &Path) -> Result<Vec<Record>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let record = |(line, text): (usize, &str)| {
        serde_json::from_str(text)
            .map_err(|error| Error::argument(format!("{}: line {}", path.display(), line + 1), error))
    };
    whole.lines().enumerate().map(record).collect()
}

/// Appends records.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the file after `step` steps: what a run wrote after its last saved state is taken away.
    pub(crate) fn open(path: PathBuf, step: u64) -> Result<Self> {
        let mut kept = String::new();
        for record in read_records(&path)?.iter().filter(|record| record.step() <= step) {
            kept += &line(&path, record)?;
        }
        write_whole(&path, kept.as_bytes())?;
        let file =
            OpenOptions::new().append(true).open(&path).map_err(|error| Error::io("open", &path, error))?;
        Ok(Self { path, file })
    }

    pub(crate) fn append(&mut self, record: &Record) -> Result<()> {
        let line = line(&self.path, record)?;
        self.file.write_all(line.as_bytes()).map_err(|error| Error::io("write", &self.path, error))
    }
}

fn line(path: &Path, record: &Record) -> Result<String> {
    let json = serde_json::to_string(record).map_err(|error| Error::argument(path.display(), error))?;
    Ok(json + "\n")
}
