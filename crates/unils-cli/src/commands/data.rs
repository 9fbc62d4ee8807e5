//! `unils data`: recordings into a corpus, a look through them, their statistics.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use unils::motion::Space;
use unils::{Error, Result};
use unils_train::data::{
    AudioDepth, CheckOptions, ClipRule, CorpusOptions, CorpusWriter, FolderImport, ImportOptions,
    ImportReport, Progress, Severity, Split, Store, View, check, import_folder, import_store, is_store,
    motion_stats, open_store, write_stats,
};

use super::Context;
use crate::args::{Data, DataCheck, DataCommand, DataImport, DataStats, StoreArguments};
use crate::exit::Findings;
use crate::interrupt::{self, Graceful};
use crate::output::{self, Facts};
use crate::progress::{Meter, Unit};

/// Does what is asked of the data.
pub fn run(arguments: &Data, context: Context) -> anyhow::Result<()> {
    match &arguments.command {
        DataCommand::Import(arguments) => import(arguments, context),
        DataCommand::Check(arguments) => check_data(arguments, context),
        DataCommand::Stats(arguments) => stats(arguments, context),
    }
}

/// What an import did, for `--json`.
#[derive(Debug, Serialize)]
struct Imported<'a> {
    corpus: &'a Path,
    space: Space,
    /// Recordings in the corpus now.
    recordings: usize,
    #[serde(flatten)]
    report: &'a ImportReport,
}

fn import(arguments: &DataImport, context: Context) -> anyhow::Result<()> {
    let options = ImportOptions { threads: arguments.threads.unwrap_or(0) };
    let depth = if arguments.exact_audio { AudioDepth::Exact } else { AudioDepth::Bits16 };
    let create = |space: Space| CorpusWriter::open(&arguments.output, space, CorpusOptions { depth });
    let source = arguments.source.clone().unwrap_or_default();
    let (writer, result) = if arguments.manifest.is_none() && is_store(&source) {
        let store = open_store(&source, arguments.metadata.as_deref(), view(arguments.motion))?;
        let writer = create(store.space())?;
        let result = under_way(context, |progress| import_store(&*store, &writer, &options, progress));
        (writer, result)
    } else {
        let folder = folder(arguments, source)?;
        let writer = create(arguments.space)?;
        let result = under_way(context, |progress| import_folder(&folder, &writer, &options, progress));
        (writer, result)
    };
    if matches!(result, Err(Error::Interrupted)) {
        context.reporter.note(format_args!(
            "{} recordings are in {}: run the command again to go on",
            writer.len(),
            writer.root().display()
        ));
    }
    let report = result?;
    let imported =
        Imported { corpus: writer.root(), space: writer.space(), recordings: writer.len(), report: &report };
    if context.is_json {
        output::print_json(&imported)?;
    } else {
        let mut facts = Facts::default();
        facts
            .add("corpus", imported.corpus.display())
            .add("motion space", imported.space)
            .add("recordings", imported.recordings);
        output::print(&format!("{}{report}\n", facts.text()))?;
    }
    refuse_nothing(arguments, &report)
}

/// That there was something to import: a wrong folder should not pass for a success.
fn refuse_nothing(arguments: &DataImport, report: &ImportReport) -> anyhow::Result<()> {
    if report.added + report.present > 0 {
        return Ok(());
    }
    let place = arguments.manifest.as_ref().or(arguments.source.as_ref());
    let place = place.map(|path| path.display().to_string()).unwrap_or_default();
    let error = match report.skipped.len() {
        0 => Error::motion(place, "there is nothing to import")
            .with_hint("audio and motion files of the same name belong together, or name an LMDB"),
        count => Error::motion(place, format!("none of {count} recordings can be used"))
            .with_hint("the reasons are listed above; --json lists all of them"),
    };
    Err(error.into())
}

fn folder(arguments: &DataImport, source: PathBuf) -> Result<FolderImport<'static>> {
    if arguments.metadata.is_some() || arguments.dyads || arguments.motion {
        let what = "is not an LMDB, which --metadata, --dyads and --motion are for";
        return Err(Error::argument(source.display(), what));
    }
    if arguments.manifest.is_none() {
        // Before a corpus is begun for it.
        std::fs::read_dir(&source).map_err(|error| Error::io("read", &source, error))?;
    }
    Ok(FolderImport {
        manifest: arguments.manifest.clone(),
        split: arguments.split_by,
        need_audio: !arguments.without_audio,
        tolerance_s: arguments.tolerance,
        ..FolderImport::new(source)
    })
}

/// Runs an import under the user's eyes; Ctrl-C stops it after the recordings at hand.
fn under_way(
    context: Context,
    import: impl FnOnce(&mut dyn FnMut(Progress<'_>) -> bool) -> Result<ImportReport>,
) -> Result<ImportReport> {
    let _graceful = Graceful::begin();
    let mut watch = Watch { context, label: "import", meter: None };
    import(&mut |progress| watch.look(progress.done, progress.total))
}

/// A meter that begins when the number of recordings is known.
struct Watch {
    context: Context,
    label: &'static str,
    meter: Option<Meter>,
}

impl Watch {
    /// Shows how far it is; false after Ctrl-C.
    fn look(&mut self, done: usize, total: usize) -> bool {
        let Self { context, label, meter } = self;
        let begin = || context.reporter.meter(label, Some(total as u64), Unit::Recordings);
        meter.get_or_insert_with(begin).set(done as u64);
        !interrupt::requested()
    }
}

fn check_data(arguments: &DataCheck, context: Context) -> anyhow::Result<()> {
    let store = open(&arguments.store)?;
    let options = CheckOptions {
        rule: ClipRule::release(arguments.clip as usize),
        audio: !arguments.no_audio,
        threads: arguments.threads.unwrap_or(0),
        ..CheckOptions::default()
    };
    let report = {
        let _graceful = Graceful::begin();
        let mut watch = Watch { context, label: "check", meter: None };
        check(&*store, &options, |done, total| watch.look(done, total))?
    };
    if context.is_json {
        output::print_json(&report)?;
    } else {
        output::print(&format!("{report}\n"))?;
    }
    match report.count(Severity::Error) {
        0 => Ok(()),
        errors => Err(Findings { place: report.place, errors }.into()),
    }
}

/// What was measured, for `--json`.
#[derive(Debug, Serialize)]
struct Measured<'a> {
    output: &'a Path,
    space: Space,
    split: Split,
    recordings: usize,
    /// Channels that do not move at all.
    still: Vec<&'static str>,
}

fn stats(arguments: &DataStats, context: Context) -> anyhow::Result<()> {
    let store = open(&arguments.store)?;
    let stats = {
        let _graceful = Graceful::begin();
        let mut watch = Watch { context, label: "stats", meter: None };
        motion_stats(&*store, arguments.split, arguments.floor, |done, total| watch.look(done, total))?
    };
    write_stats(&arguments.output, &stats)?;
    let channels = store.space().channels().iter().zip(stats.std());
    let measured = Measured {
        output: &arguments.output,
        space: store.space(),
        split: arguments.split,
        recordings: store.entries().iter().filter(|entry| entry.split == arguments.split).count(),
        still: channels.filter(|(_, std)| **std == 0.0).map(|(channel, _)| channel.name).collect(),
    };
    if context.is_json {
        return output::print_json(&measured);
    }
    let Measured { space, split, recordings, still, .. } = &measured;
    let mut facts = Facts::default();
    facts
        .add("statistics", arguments.output.display())
        .add("motion", format_args!("{space}, {recordings} recordings of {split}"));
    if !still.is_empty() {
        facts.add("still channels", format_args!("{} (--floor X raises their deviation)", still.join(", ")));
    }
    output::print(&facts.text())
}

fn open(arguments: &StoreArguments) -> Result<Arc<dyn Store>> {
    open_store(&arguments.data, arguments.metadata.as_deref(), view(arguments.motion))
}

fn view(is_motion: bool) -> View {
    if is_motion { View::Motion } else { View::Dyad }
}
