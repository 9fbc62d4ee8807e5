//! `unils evaluate`: a model, its codec or a baseline on whole recordings, by every metric.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use sha2::{Digest, Sha256};
use unils::file::write_whole;
use unils::metrics::paper;
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
use super::{Context, limit_threads};
use crate::args::{Against, Evaluate, Predict};
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
    paper: Option<PaperColumn>,
}

/// The paper's numbers beside ours.
#[derive(Debug, Serialize)]
struct PaperColumn {
    method: &'static str,
    scores: Vec<PaperScore>,
    /// Why they do not compare, if so.
    caveats: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PaperScore {
    metric: &'static str,
    ours: Option<f64>,
    paper: f64,
    difference: Option<f64>,
}

/// Checks what can be checked, then evaluates and writes.
pub fn run(arguments: &Evaluate, context: Context) -> anyhow::Result<()> {
    for path in &arguments.outputs {
        Form::of(path)?;
    }
    let checkpoint = checkpoint(arguments)?;
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
    let caveats = caveats(arguments, store.space(), &protocol);
    write(arguments, &evaluated, &caveats)?;
    report(arguments, &evaluated, caveats, started.elapsed().as_secs_f64(), context)
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

/// A checksum over the weights and the statistics that replace their own: kept results are of one model.
fn identity(files: &ModelFiles) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for path in std::iter::once(&files.checkpoint).chain(&files.stats) {
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

/// Why our numbers and the paper's do not compare.
fn caveats(arguments: &Evaluate, space: Space, protocol: &Protocol) -> Vec<String> {
    let mut caveats = Vec::new();
    if space != Space::Flame108 {
        caveats.push(format!("the paper's motion is of FLAME, this is {space}"));
    } else if arguments.flame.is_none() {
        caveats.push("without FLAME there are no scores on vertices".to_owned());
    }
    caveats.push(
        "the paper's recordings are the test split of Seamless Interaction as its authors tracked it"
            .to_owned(),
    );
    caveats.push(
        "the paper does not say how its Fréchet distances are summed up; ours are the means of the recordings' own"
            .to_owned(),
    );
    caveats.extend(protocol.departures());
    caveats
}

fn paper_row() -> Option<&'static paper::Row> {
    paper::row(paper::Table::Main, "UniLS")
}

fn paper_column(report: &Report, caveats: Vec<String>) -> Option<PaperColumn> {
    let row = paper_row()?;
    let score = |metric: &&'static str| {
        let (paper, ours) = (row.value(metric)?, report.mean(metric));
        Some(PaperScore { metric, ours, paper, difference: ours.map(|ours| ours - paper) })
    };
    Some(PaperColumn {
        method: row.method,
        scores: paper::METRICS.iter().filter_map(score).collect(),
        caveats,
    })
}

/// Tables, settings and notices.
fn markdown(arguments: &Evaluate, evaluated: &Evaluated, caveats: &[String]) -> String {
    let report = &evaluated.report;
    let mut text = format!("# Evaluation\n\n{}", report.to_markdown());
    let mut list = |title: &str, lines: &mut dyn Iterator<Item = String>| {
        let lines: Vec<String> = lines.map(|line| format!("* {line}\n")).collect();
        if !lines.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(text, "\n{title}\n\n{}", lines.concat());
        }
    };
    list("Left out:", &mut evaluated.notices.iter().cloned());
    list("Settings:", &mut report.settings.iter().map(|(name, value)| format!("{name}: {value}")));
    if let Some(row) = arguments.against.and_then(|Against::Paper| paper_row()) {
        let _ = write!(text, "\n## Against the paper\n\n{}", report.against_paper(row));
        let lines: Vec<String> = caveats.iter().map(|line| format!("* {line}\n")).collect();
        let _ = write!(text, "\nWhat does not compare:\n\n{}", lines.concat());
    }
    text
}

fn write(arguments: &Evaluate, evaluated: &Evaluated, caveats: &[String]) -> Result<()> {
    for path in &arguments.outputs {
        let text = match Form::of(path)? {
            Form::Json => evaluated.report.to_json()? + "\n",
            Form::Markdown => markdown(arguments, evaluated, caveats),
        };
        write_whole(path, text.as_bytes())?;
    }
    Ok(())
}

fn report(
    arguments: &Evaluate,
    evaluated: &Evaluated,
    caveats: Vec<String>,
    seconds: f64,
    context: Context,
) -> anyhow::Result<()> {
    let Evaluated { report, notices, resumed, .. } = evaluated;
    if context.is_json {
        let paper = arguments.against.and_then(|Against::Paper| paper_column(report, caveats));
        let outputs = &arguments.outputs;
        return output::print_json(&Summary { report, notices, outputs, resumed: *resumed, seconds, paper });
    }
    let mut text = report.to_markdown();
    if let Some(row) = arguments.against.and_then(|Against::Paper| paper_row()) {
        let _ = write!(text, "\n{}", report.against_paper(row));
    }
    output::print(&text)?;
    for notice in notices {
        context.reporter.note(format_args!("note: {notice}"));
    }
    if arguments.against.is_some() {
        for caveat in caveats {
            context.reporter.note(format_args!("note: {caveat}"));
        }
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
