//! `unils evaluate`: a model, its codec or a baseline on whole recordings, by every metric.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use sha2::{Digest, Sha256};
use unils::file::write_whole;
use unils::metrics::against::Against;
use unils::metrics::report::Report;
use unils::model::{Model, ModelFiles};
use unils::motion::Space;
use unils::{Error, Result};
use unils_train::data::{Split, Store, View, open_store};
use unils_train::evaluate::{
    Baseline, CodecPredictor, Evaluated, MeasuredFace, ModelPredictor, Partner, People, Predictor, Previous,
    Protocol, Style, evaluate,
};
use unils_train::run::find_checkpoint;

use super::animate::{cached_encoder, sampling};
use super::beside::{Beside, PaperColumn, Reference};
use super::{Context, limit_threads};
use crate::args::{Evaluate, Predict};
use crate::interrupt::{self, Graceful};
use crate::output;
use crate::progress::Unit;

/// What a run found, for `--json`.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    report: &'a Report,
    /// What was left out and why.
    notices: &'a [String],
    outputs: &'a [PathBuf],
    /// Recordings taken over from an earlier, interrupted run.
    resumed: usize,
    /// Seconds of work.
    seconds: f64,
    paper: Option<&'a PaperColumn>,
    against: Option<&'a Against>,
}

/// Checks what can be checked, then evaluates and writes.
pub fn run(arguments: &Evaluate, context: Context) -> anyhow::Result<()> {
    for path in &arguments.outputs {
        Form::of(path)?;
    }
    let checkpoint = checkpoint(arguments)?;
    let reference = arguments.against.as_ref().map(Reference::open).transpose()?;
    let store = open_store(&arguments.data, arguments.metadata.as_deref(), View::Dyad)?;
    let face = face(arguments, store.space(), context)?;
    limit_threads(&arguments.compute)?;
    let mut protocol = protocol(arguments);
    let started = Instant::now();
    let evaluated = match arguments.predict {
        Predict::Model => {
            let files = files(arguments, checkpoint, true)?;
            context.reporter.note(format_args!("loading {}", files.checkpoint.display()));
            let model = Model::open(&files, arguments.compute.device)?;
            protocol.sampling = sampling(&arguments.sampling, model.config().sampling);
            let name = files.checkpoint.display().to_string();
            let mut predictor = ModelPredictor::new(&model, name, identity(&files)?);
            under_way(arguments, &*store, &mut predictor, face.as_ref(), &protocol, context)
        }
        Predict::Codec => {
            let files = files(arguments, checkpoint, false)?;
            let name = format!("{}, codec alone", files.checkpoint.display());
            let device = arguments.compute.device;
            let mut predictor = CodecPredictor::open(&files, device, name, identity(&files)?)?;
            under_way(arguments, &*store, &mut predictor, face.as_ref(), &protocol, context)
        }
        _ => {
            let mut predictor = baseline(arguments.predict, &store, context)?;
            under_way(arguments, &*store, &mut predictor, face.as_ref(), &protocol, context)
        }
    }?;
    let has_flame = arguments.flame.is_some();
    let set = |reference: Reference| reference.beside(&evaluated.report, store.space(), has_flame, &protocol);
    let beside = reference.map(set).transpose()?;
    write(arguments, &evaluated, beside.as_ref())?;
    report(arguments, &evaluated, beside.as_ref(), started.elapsed().as_secs_f64(), context)
}

/// Formats of an evaluation's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Markdown,
}

impl Form {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Ok(Self::Json),
            Some("md") => Ok(Self::Markdown),
            _ => Err(Error::argument(path.display(), "is no name for a report")
                .with_hint("end it in .json for all scores or in .md for tables")),
        }
    }
}

/// The checkpoint, where one is needed.
fn checkpoint(arguments: &Evaluate) -> Result<Option<PathBuf>> {
    let needed = matches!(arguments.predict, Predict::Model | Predict::Codec);
    match &arguments.model {
        Some(path) => Ok(Some(find_checkpoint(path)?)),
        None if needed => Err(Error::argument("MODEL", "no checkpoint was named").with_hint(
            "name a checkpoint or the folder of a training, or a baseline with --predict mean, rest, other or truth",
        )),
        None => Ok(None),
    }
}

fn files(arguments: &Evaluate, checkpoint: Option<PathBuf>, hears: bool) -> Result<ModelFiles> {
    let checkpoint = checkpoint.unwrap_or_default();
    let encoder = match &arguments.encoder {
        _ if !hears => None,
        Some(path) => Some(find_checkpoint(path)?),
        None => cached_encoder(&checkpoint, arguments.preset.as_deref())?,
    };
    let (stats, preset) = (arguments.stats.clone(), arguments.preset.clone());
    Ok(ModelFiles { checkpoint, encoder, stats, preset })
}

/// A checksum over the weights, what stands beside them of their model, and the statistics that replace their own: kept
/// results are of one model.
fn identity(files: &ModelFiles) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let sizes = files.checkpoint.with_extension("toml");
    let sizes = sizes.is_file().then_some(&sizes);
    for path in std::iter::once(&files.checkpoint).chain(sizes).chain(&files.stats) {
        let mut file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        loop {
            match file.read(&mut buffer).map_err(|error| Error::io("read", path, error))? {
                0 => break,
                count => hash.update(&buffer[..count]),
            }
        }
    }
    let digest = hash.finalize();
    Ok(digest.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

fn protocol(arguments: &Evaluate) -> Protocol {
    let release = Protocol::release();
    let pick = |flag: bool, yes, no| if flag { yes } else { no };
    Protocol {
        split: arguments.split,
        seed: arguments.sampling.seed,
        smooth: arguments.smooth,
        style: if arguments.no_style { Style::Zero } else { release.style },
        previous: if arguments.previous_clip { Previous::Middle } else { release.previous },
        people: if arguments.both { People::All } else { release.people },
        partner: match (arguments.shuffle_partner, arguments.own_voice_only) {
            (true, _) => Partner::Shuffled,
            (false, own) => pick(own, Partner::Absent, Partner::True),
        },
        limit: arguments.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        sampling: sampling(&arguments.sampling, release.sampling),
        ..release
    }
}

/// The face that is named, or for ARKit our own.
fn face(arguments: &Evaluate, space: Space, context: Context) -> Result<Option<MeasuredFace>> {
    match (&arguments.flame, &arguments.head, space) {
        (Some(flame), _, _) => MeasuredFace::open_flame(flame).map(Some),
        (None, Some(head), _) => MeasuredFace::open_head(head).map(Some),
        (None, None, Space::Arkit55) => MeasuredFace::default_head().map(Some),
        (None, None, Space::Flame108) => {
            context.reporter.note("note: scores on vertices need FLAME: name its file with --flame");
            Ok(None)
        }
    }
}

fn baseline(predict: Predict, store: &Arc<dyn Store>, context: Context) -> Result<Baseline> {
    match predict {
        Predict::Rest => Ok(Baseline::Rest),
        Predict::Other => Ok(Baseline::AnotherRecording),
        Predict::Mean => {
            let mut meter = None;
            Baseline::mean_of(&**store, Split::Train, |done, all| {
                let meter = meter.get_or_insert_with(|| {
                    context.reporter.meter("mean motion", Some(all as u64), Unit::Recordings)
                });
                meter.set(done as u64);
                !interrupt::requested()
            })
        }
        Predict::Truth | Predict::Model | Predict::Codec => Ok(Baseline::Truth),
    }
}

/// Where results of single recordings are kept: beside the first output.
fn kept(arguments: &Evaluate) -> Option<PathBuf> {
    arguments.outputs.first().map(|output| output.with_extension("recordings.jsonl"))
}

/// Runs the evaluation under the user's eyes; Ctrl-C stops it after a window.
fn under_way(
    arguments: &Evaluate,
    store: &dyn Store,
    predictor: &mut dyn Predictor,
    face: Option<&MeasuredFace>,
    protocol: &Protocol,
    context: Context,
) -> Result<Evaluated> {
    let _graceful = Graceful::begin();
    let mut meter = None;
    let mut last = 0;
    let kept = kept(arguments);
    let evaluated = evaluate(store, predictor, face, protocol, kept.as_deref(), &mut |progress| {
        let all = progress.recordings as u64;
        let meter =
            meter.get_or_insert_with(|| context.reporter.meter("evaluate", Some(all), Unit::Recordings));
        last = progress.recordings_done;
        meter.set(last as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(meter);
    if matches!(evaluated, Err(Error::Interrupted)) {
        context.reporter.note(match &kept {
            Some(path) => format!(
                "{last} recordings are done and kept in {}: repeat the command to go on",
                path.display()
            ),
            None => "nothing is kept without an output: name one with -o to be able to go on".to_owned(),
        });
    }
    evaluated
}

/// Tables, settings and notices.
fn markdown(evaluated: &Evaluated, beside: Option<&Beside>) -> String {
    let Evaluated { report, notices, .. } = evaluated;
    let mut text = format!("# Evaluation\n\n{}", report.to_markdown());
    text += &list("Left out:", notices.iter().cloned());
    text += &list("Settings:", report.settings.iter().map(|(name, value)| format!("{name}: {value}")));
    if let Some(beside) = beside {
        text += &format!("\n## {}\n\n{}", beside.title(), beside.table(report));
        text += &list("What does not compare:", beside.caveats().iter().cloned());
    }
    text
}

/// A list below its title; nothing if it is empty.
fn list(title: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.map(|line| format!("* {line}\n")).collect();
    if lines.is_empty() { lines } else { format!("\n{title}\n\n{lines}") }
}

fn write(arguments: &Evaluate, evaluated: &Evaluated, beside: Option<&Beside>) -> Result<()> {
    for path in &arguments.outputs {
        let text = match Form::of(path)? {
            Form::Json => evaluated.report.to_json()? + "\n",
            Form::Markdown => markdown(evaluated, beside),
        };
        write_whole(path, text.as_bytes())?;
    }
    Ok(())
}

fn report(
    arguments: &Evaluate,
    evaluated: &Evaluated,
    beside: Option<&Beside>,
    seconds: f64,
    context: Context,
) -> anyhow::Result<()> {
    let Evaluated { report, notices, resumed, .. } = evaluated;
    if context.is_json {
        return output::print_json(&Summary {
            report,
            notices,
            outputs: &arguments.outputs,
            resumed: *resumed,
            seconds,
            paper: beside.and_then(Beside::paper),
            against: beside.and_then(Beside::report),
        });
    }
    let mut text = report.to_markdown();
    if let Some(beside) = beside {
        text += &format!("\n{}", beside.table(report));
    }
    output::print(&text)?;
    for notice in notices {
        context.reporter.note(format_args!("note: {notice}"));
    }
    for caveat in beside.map(Beside::caveats).unwrap_or_default() {
        context.reporter.note(format_args!("note: {caveat}"));
    }
    if *resumed > 0 {
        context.reporter.note(format_args!("{resumed} recordings were done already"));
    }
    for path in &arguments.outputs {
        context.reporter.note(format_args!("wrote {}", path.display()));
    }
    context.reporter.note(format_args!("took {}", output::duration(seconds)));
    Ok(())
}
