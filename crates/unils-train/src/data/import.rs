//! Fills a corpus from another store: the release's data set, or a corpus.
//!
//! Recordings that cannot be used are skipped and listed with the reason; what the corpus already has is left as it is,
//! so an interrupted import is gone on with by running it again.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use unils::motion::FPS;
use unils::{Error, Result};

use super::corpus_writer::{Added, CorpusWriter};
use super::parallel;
use super::store::{Recording, Split, Store, record_place};

/// Skipped and clipped recordings that the text names.
const NAMED: usize = 10;

/// How an import is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Threads that read and write; all cores if 0.
    pub threads: usize,
}

/// Where an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'n> {
    /// Recordings done, skipped ones included.
    pub done: usize,
    /// Recordings in all.
    pub total: usize,
    /// The one that was done last.
    pub name: &'n str,
}

/// A recording that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ImportReport {
    /// Recordings that were added.
    pub added: usize,
    /// Frames of those.
    pub frames: u64,
    /// Recordings that the corpus had already.
    pub present: usize,
    /// Recordings that cannot be used, by name.
    pub skipped: Vec<Skipped>,
    /// Recordings with audio beyond full scale, which was cut to it: name and samples, by name.
    pub clipped: Vec<(String, usize)>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.frames as f64 / FPS / 3600.0;
        writeln!(f, "{} recordings added ({hours:.2} h), {} already there", self.added, self.present)?;
        if !self.clipped.is_empty() {
            writeln!(f, "{} with audio beyond full scale, cut to it:", self.clipped.len())?;
            for (name, samples) in self.clipped.iter().take(NAMED) {
                writeln!(f, "  {name}: {samples} samples")?;
            }
        }
        write!(f, "{} skipped", self.skipped.len())?;
        for skipped in self.skipped.iter().take(NAMED) {
            write!(f, "\n  {}: {}", skipped.name, skipped.why)?;
        }
        if self.skipped.len() > NAMED {
            write!(f, "\n  and {} more", self.skipped.len() - NAMED)?;
        }
        Ok(())
    }
}

/// One recording that an import may add.
pub(super) struct Planned<S> {
    pub name: String,
    pub split: Split,
    pub source: S,
}

/// Adds every recording of a store to a corpus. Frames beyond the listed ones are left out, and so do not count for the
/// mean head rotation any more. `progress` is called after each and stops the import by returning
/// `false`; what was added by then stays.
///
/// # Errors
/// [`Error::Argument`] if the corpus is of another motion space; [`Error::Io`] if the corpus cannot be written;
/// [`Error::Interrupted`]. Recordings that cannot be used are no error but in the report.
pub fn import_store(
    store: &dyn Store,
    writer: &CorpusWriter,
    options: &ImportOptions,
    progress: impl FnMut(Progress<'_>) -> bool,
) -> Result<ImportReport> {
    if store.space() != writer.space() {
        let what = format!("holds {} motion, the corpus {}", store.space(), writer.space());
        return Err(Error::argument(store.place(), what));
    }
    let planned = store.entries().iter().enumerate().map(|(number, entry)| Planned {
        name: entry.name.clone(),
        split: entry.split,
        source: number,
    });
    let load = |number: &usize| load(store, *number);
    run(planned.collect(), ImportReport::default(), writer, options, load, progress)
}

fn load(store: &dyn Store, number: usize) -> Result<Recording> {
    let mut recording = store.read_raw(number, true)?;
    let entry = super::store::entry_of(store.place(), store.entries(), number)?;
    let width = store.space().width();
    for track in &mut recording.tracks {
        let frames = track.motion.len() / width;
        if frames < entry.frames {
            let what = format!("{}: {frames} frames of motion, listed are {}", track.name, entry.frames);
            return Err(Error::motion(record_place(store.place(), &entry.name), what));
        }
        track.motion.truncate(entry.frames * width);
        if let Some(speech) = &mut track.speech {
            speech.resize(entry.frames, false);
        }
    }
    Ok(recording)
}

/// What became of a planned recording.
enum Outcome {
    Added(Added),
    Skipped(String),
    Failed(Error),
}

/// Loads and adds what is planned and not yet there, on several threads.
pub(super) fn run<S: Sync>(
    planned: Vec<Planned<S>>,
    mut report: ImportReport,
    writer: &CorpusWriter,
    options: &ImportOptions,
    load: impl Fn(&S) -> Result<Recording> + Sync,
    mut progress: impl FnMut(Progress<'_>) -> bool,
) -> Result<ImportReport> {
    let total = planned.len();
    let mut names = HashSet::new();
    let mut missing = Vec::new();
    for planned in planned {
        if !names.insert(planned.name.to_lowercase()) {
            let why = "an earlier recording of the import has the same name".to_owned();
            report.skipped.push(Skipped { name: planned.name, why });
        } else if writer.contains(&planned.name) {
            report.present += 1;
        } else {
            missing.push(planned);
        }
    }
    let add = |number: usize| {
        let Planned { name, split, source } = &missing[number];
        let recording = match load(source) {
            Ok(recording) => Recording { name: name.clone(), ..recording },
            Err(error) => return Outcome::Skipped(error.to_string()),
        };
        match writer.add(*split, &recording) {
            Ok(added) => Outcome::Added(added),
            Err(error @ (Error::Io { .. } | Error::Interrupted)) => Outcome::Failed(error),
            Err(error) => Outcome::Skipped(error.to_string()),
        }
    };
    let mut done = total - missing.len();
    let result = parallel::for_each(missing.len(), options.threads, "import", add, |number, outcome| {
        let name = &missing[number].name;
        match outcome {
            Outcome::Failed(error) => return Err(error),
            Outcome::Skipped(why) => report.skipped.push(Skipped { name: name.clone(), why }),
            Outcome::Added(added) => {
                report.added += 1;
                report.frames += added.frames as u64;
                if added.clipped_samples > 0 {
                    report.clipped.push((name.clone(), added.clipped_samples));
                }
            }
        }
        done += 1;
        if progress(Progress { done, total, name }) { Ok(()) } else { Err(Error::Interrupted) }
    });
    writer.sync()?;
    result?;
    report.skipped.sort_by(|a, b| a.name.cmp(&b.name));
    report.clipped.sort();
    Ok(report)
}
