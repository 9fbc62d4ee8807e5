//! `unils corpus`: conversations that are made to train on.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;
use unils::audio::ConversationOptions;
use unils::motion::{FPS, Motion, MotionMeta};
use unils::{Error, Result};
use unils_corpus::build::{BuildOptions, BuildReport, build};
use unils_corpus::rates::{Rates, measure};
use unils_corpus::voices::espeak;
use unils_render::export::{Cast, ExportOptions, export};
use unils_render::picture::write_png;
use unils_render::raster::{FaceRenderer, RenderOptions, View};
use unils_render::video::{MixOptions, VoiceMix};
use unils_render::{Image, text};
use unils_train::data::{CorpusStore, Recording, Store, Track, Want};

use super::Context;
use crate::args::{Corpus, CorpusBuild, CorpusCommand, CorpusPreview, CorpusRates};
use crate::interrupt::{self, Graceful};
use crate::output::{self, Facts};
use crate::progress::Unit;

/// Does what is asked of made conversations.
pub fn run(arguments: &Corpus, context: Context) -> anyhow::Result<()> {
    match &arguments.command {
        CorpusCommand::Build(arguments) => make(arguments, context),
        CorpusCommand::Preview(arguments) => preview(arguments, context),
        CorpusCommand::Rates(arguments) => rates(arguments, context),
        CorpusCommand::Speak => Ok(espeak::serve(std::io::stdin().lock(), std::io::stdout().lock())?),
    }
}

/// What a build did, for `--json`.
#[derive(Debug, Serialize)]
struct Built<'a> {
    corpus: &'a Path,
    #[serde(flatten)]
    report: BuildReport,
    /// Seconds of work.
    time: f64,
}

fn make(arguments: &CorpusBuild, context: Context) -> anyhow::Result<()> {
    let program = std::env::current_exe().map_err(|error| Error::io("find", "unils", error))?;
    let options = BuildOptions {
        root: arguments.output.clone(),
        hours: arguments.hours,
        seed: arguments.seed,
        threads: arguments.threads.unwrap_or(0),
        worker: vec![program.into(), "corpus".into(), "speak".into()],
    };
    let begun = std::time::Instant::now();
    let _graceful = Graceful::begin();
    let mut meter = None;
    let result = build(&options, &mut |progress| {
        let begin = || context.reporter.meter("build", Some(progress.total as u64), Unit::Recordings);
        meter.get_or_insert_with(begin).set(progress.recordings as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(meter);
    if matches!(result, Err(Error::Interrupted)) {
        let root = arguments.output.display();
        context.reporter.note(format_args!("what is made is in {root}: run the command again to go on"));
    }
    let report = result?;
    for missing in &report.missing {
        context.reporter.note(format_args!("note: not installed, did without: {missing}"));
    }
    if let Some(failure) = &report.last_failure {
        let count = report.failures;
        context
            .reporter
            .note(format_args!("note: {count} times a synthesiser failed and others spoke: {failure}"));
    }
    let built = Built { corpus: &arguments.output, report, time: begun.elapsed().as_secs_f64() };
    if context.is_json {
        return output::print_json(&built);
    }
    let mut facts = Facts::default();
    facts
        .add("corpus", built.corpus.display())
        .add(
            "recordings",
            format_args!("{}, {} of them there before", built.report.recordings, built.report.resumed),
        )
        .add("length", format_args!("{:.2} h", built.report.hours))
        .add("synthesisers", built.report.engines.join(", "))
        .add("time", output::duration(built.time));
    output::print(&facts.text())
}

fn rates(arguments: &CorpusRates, context: Context) -> anyhow::Result<()> {
    let store = CorpusStore::open(&arguments.corpus)?;
    let rates = measure(&store, arguments.limit as usize)?;
    if context.is_json {
        return output::print_json(&rates);
    }
    output::print(&facts_of(&rates).text())
}

fn facts_of(rates: &Rates) -> Facts {
    let mut facts = Facts::default();
    facts.add("conversations", rates.conversations);
    let mut add = |name: &str, value: Option<f64>, digits: usize| {
        facts.add_some(name, value.map(|value| format!("{value:.digits$}")));
    };
    add("blinks a minute", rates.blinks_per_minute, 1);
    add("length of a blink, s", rates.blink_s, 3);
    add("blinks that shut the eyes", rates.blinks_shut, 3);
    add("head spread, rad", rates.head_spread_rad, 4);
    add("head power > 3.5 Hz", rates.head_fast_share, 3);
    add("frozen 5 s stretches", rates.frozen_share, 3);
    add("lips r voice", rates.lips_whole, 3);
    add("lips r voice, speaking", rates.lips_speaking, 3);
    add("lips offset, frames", rates.lips_offset, 2);
    add("lips open in silence", rates.lips_in_silence, 4);
    add("closures at p b m", rates.closures, 3);
    add("closed elsewhere", rates.closed_elsewhere, 3);
    add("nods a minute", rates.nods_per_minute, 1);
    add("cues answered by a nod", rates.nods_after_cues, 3);
    add("the same, shuffled", rates.nods_after_shuffled, 3);
    add("share of speech", rates.speaking, 3);
    facts
}

/// What a preview wrote, for `--json`.
#[derive(Debug, Serialize)]
struct Previewed {
    written: Vec<PathBuf>,
}

fn preview(arguments: &CorpusPreview, context: Context) -> anyhow::Result<()> {
    let store = CorpusStore::open(&arguments.corpus)?;
    std::fs::create_dir_all(&arguments.output)
        .map_err(|error| Error::io("create", &arguments.output, error))?;
    let mut written = Vec::new();
    for index in chosen(&store, arguments)? {
        let recording = store.read(index, Want { audio: false, centred: false })?;
        let voices = arguments.corpus.join("audio").join(format!("{}.flac", recording.name));
        let [video, sheet] =
            ["mp4", "png"].map(|ending| arguments.output.join(format!("{}.{ending}", recording.name)));
        film(&recording, voices, &video, arguments, context)?;
        write_png(&sheet, &sheet_of(&recording)?)?;
        written.extend([video, sheet]);
    }
    if context.is_json {
        return output::print_json(&Previewed { written });
    }
    let mut facts = Facts::default();
    written.iter().for_each(|path| {
        facts.add("written", path.display());
    });
    context.reporter.note(facts.text().trim_end());
    Ok(())
}

/// Positions of the recordings to show.
fn chosen(store: &CorpusStore, arguments: &CorpusPreview) -> Result<Vec<usize>> {
    let entries = store.entries();
    if arguments.names.is_empty() {
        let pairs = (0..entries.len()).filter(|&index| entries[index].participants.len() == 2);
        return Ok(pairs.take(arguments.count.into()).collect());
    }
    let find = |name: &String| {
        entries.iter().position(|entry| entry.name == *name).ok_or_else(|| {
            Error::argument("--name", format!("{} holds no recording {name:?}", store.place()))
                .with_hint("index.jsonl lists the names")
        })
    };
    arguments.names.iter().map(find).collect()
}

/// The first seconds of a recording as a video.
fn film(
    recording: &Recording,
    voices: PathBuf,
    path: &Path,
    arguments: &CorpusPreview,
    context: Context,
) -> Result<()> {
    let frames = recording.frames().min((arguments.seconds * FPS) as usize);
    let width = recording.space.width();
    let values = recording.tracks.iter().flat_map(|track| &track.motion[..frames * width]).copied().collect();
    let motion = Motion::new(recording.space, FPS, recording.tracks.len(), values, MotionMeta::new())?;
    let voices = if voices.exists() {
        Some(VoiceMix::open(&[voices], &ConversationOptions::default(), &MixOptions::default())?)
    } else {
        None
    };
    let cast = Cast::open(&[] as &[&str], motion.participants())?;
    // Video needs even sides.
    let side = usize::from(arguments.size) & !1;
    let options = ExportOptions {
        render: RenderOptions { width: side, height: side, ..RenderOptions::default() },
        ..ExportOptions::default()
    };
    let _graceful = Graceful::begin();
    let mut meter = context.reporter.meter(&recording.name, Some(frames as u64), Unit::Frames);
    export(&motion, &[path.to_owned()], &cast, voices, &options, &mut |done| {
        meter.set(done);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(())
}

/// Pictures in a row of a sheet.
const COLUMNS: usize = 12;
/// Pixels of a picture, and of the line above it.
const PICTURE: usize = 160;
const LINE: usize = 16;

/// Three rows of frames a participant: around a closure of the lips, around a blink, and over five seconds of listening.
fn sheet_of(recording: &Recording) -> Result<Image> {
    let rows: Vec<(usize, Vec<usize>)> = (0..recording.tracks.len())
        .flat_map(|who| moments(recording, who).into_iter().map(move |frames| (who, frames)))
        .collect();
    let mut sheet = Image::new(COLUMNS * PICTURE, (rows.len() * (PICTURE + LINE)).max(1))?;
    sheet.fill([255, 255, 255, 255]);
    let cast = Cast::open(&[] as &[&str], recording.tracks.len())?;
    let options = RenderOptions {
        width: PICTURE,
        height: PICTURE,
        view: View { zoom: 1.35, ..View::default() },
        ..RenderOptions::default()
    };
    let mut image = Image::default();
    for (row, (who, frames)) in rows.iter().enumerate() {
        let mut renderer = FaceRenderer::new(cast.actors()[*who].face(), &options)?;
        let width = recording.space.width();
        let track = &recording.tracks[*who];
        for (column, &frame) in frames.iter().enumerate() {
            renderer.render(&track.motion[frame * width..(frame + 1) * width], &mut image)?;
            let (x, y) = (column * PICTURE, row * (PICTURE + LINE));
            sheet.paste(&image, x, y + LINE);
            text::draw(
                &mut sheet,
                &label(track, frame),
                [x as f32 + 3.0, y as f32 + 2.0],
                12.0,
                [0, 0, 0, 255],
            );
        }
    }
    Ok(sheet)
}

/// The frames of each row, as far as there are such moments.
fn moments(recording: &Recording, who: usize) -> Vec<Vec<usize>> {
    let (frames, track) = (recording.frames(), &recording.tracks[who]);
    let around = |frame: usize, step: usize| -> Vec<usize> {
        let first = frame.saturating_sub(COLUMNS / 2 * step);
        (0..COLUMNS).map(|at| first + at * step).filter(|&frame| frame < frames).collect()
    };
    let bilabials: Vec<f64> = track
        .phonemes
        .iter()
        .filter(|phoneme| matches!(phoneme.symbol.as_str(), "p" | "b" | "m"))
        .map(|phoneme| 0.5 * (phoneme.start_s + phoneme.end_s))
        .collect();
    let closure = bilabials.get(bilabials.len() / 2).map(|time| around((time * FPS) as usize, 1));
    let lids = recording.space.index("eyeBlinkLeft");
    let width = recording.space.width();
    let blink = lids.and_then(|lids| {
        (frames / 4..frames)
            .find(|frame| track.motion[frame * width + lids] > 0.8)
            .map(|frame| around(frame, 1))
    });
    let partner = recording.tracks.get(1 - who.min(1)).and_then(|partner| partner.speech.as_ref());
    let own = track.speech.as_ref();
    let listening = partner.zip(own).and_then(|(partner, own)| {
        let listens = |frame: &usize| (0..150).all(|at| !own[frame + at]) && partner[frame + 60];
        (0..frames.saturating_sub(150)).find(listens).map(|frame| around(frame + 72, 10))
    });
    [closure, blink, listening].into_iter().flatten().collect()
}

/// The time, and what is said then.
fn label(track: &Track, frame: usize) -> String {
    let time = (frame as f64 + 0.5) / FPS;
    let said = track.phonemes.iter().find(|phoneme| (phoneme.start_s..phoneme.end_s).contains(&time));
    format!("{time:.2} {}", said.map_or("", |phoneme| phoneme.symbol.as_str()))
}
