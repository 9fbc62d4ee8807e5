//! `unils animate`: voices to motion.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use unils::animate::{AnimateOptions, StageTimes, animate_timed};
use unils::audio::{Conversation, ConversationOptions, TrackSummary};
use unils::checkpoint::TensorFile;
use unils::device::DeviceKind;
use unils::file::{ReadOptions, read_motion};
use unils::generator::Sampling;
use unils::model::{Model, ModelFiles, SHIPPED, describe};
use unils::motion::{Motion, SAMPLES_PER_FRAME};
use unils::nn::LoadReport;
use unils::session::Controls;
use unils::{Error, Result};
use unils_render::export::{Format, check_outputs};
use unils_render::video::{MixOptions, VoiceMix};
use unils_train::run::find_checkpoint;

use super::{Context, faces, limit_threads, render};
use crate::args::{Animate, ModelArguments, SamplingArguments, ShapeArguments};
use crate::cache::Cache;
use crate::interrupt::{self, Graceful};
use crate::machine;
use crate::output::{self, Facts};
use crate::progress::Unit;

/// What a run did, for `--json`.
#[derive(Debug, Serialize)]
struct Summary {
    outputs: Vec<PathBuf>,
    voices: Vec<TrackSummary>,
    notices: Vec<String>,
    preset: String,
    /// What was taken from the files of each part.
    loaded: BTreeMap<String, LoadReport>,
    checkpoint: PathBuf,
    encoder: Option<PathBuf>,
    device: String,
    seed: u64,
    sampling: Sampling,
    smooth: bool,
    space: String,
    participants: usize,
    frames: usize,
    fps: f64,
    /// Length of the motion.
    seconds: f64,
    times: Times,
    /// Seconds of work for a second of motion, without loading.
    real_time_factor: f64,
    peak_memory_bytes: Option<u64>,
}

/// Seconds.
#[derive(Debug, Serialize)]
struct Times {
    load: f64,
    encoder: f64,
    generator: f64,
    codec: f64,
    /// All of the animation: the stages above except `load`, and reading audio.
    animate: f64,
}

/// Checks everything that can be checked, then loads, animates and writes.
pub fn run(arguments: &Animate, context: Context) -> anyhow::Result<()> {
    let formats = check_outputs(&arguments.outputs)?;
    let clip = |path: &Option<PathBuf>| {
        path.as_ref().map(|path| read_motion(path, &ReadOptions::default())).transpose()
    };
    let (style, previous) = (clip(&arguments.style)?, clip(&arguments.previous)?);
    let voices = ConversationOptions {
        channels: arguments.channels,
        mixdown: arguments.mix,
        ..ConversationOptions::default()
    };
    if arguments.mix && arguments.inputs.len() == 2 {
        let error = Error::argument("--mix", "two files are two voices already");
        return Err(error.with_hint("leave it out: several channels of one file are averaged").into());
    }
    let mut conversation = Conversation::open(&arguments.inputs, &voices)?;
    let participants = arguments.participants.map_or(conversation.voices(), usize::from);
    let cast = faces::cast(&arguments.faces, &formats, participants)?;
    let sound = formats
        .contains(&Format::Mp4)
        .then(|| VoiceMix::open(&arguments.inputs, &voices, &MixOptions { spread: arguments.faces.spread }));
    let sound = sound.transpose()?;
    limit_threads(&arguments.compute)?;
    let files = locate(&arguments.model)?;
    let checkpoint = files.as_ref().map_or_else(|| SHIPPED.into(), |files| files.checkpoint.clone());
    context.reporter.note(format_args!("loading {}", checkpoint.display()));
    let started = Instant::now();
    let model = open(files.as_ref(), arguments.compute.device)?;
    let load = started.elapsed().as_secs_f64();
    let suited = AnimateOptions::of(&model);
    let options = AnimateOptions {
        controls: controls(arguments, suited.controls),
        seed: arguments.sampling.seed,
        style,
        previous,
        smooth: arguments.smooth || !arguments.no_smooth && suited.smooth,
        participants: arguments.participants.map(usize::from),
    };
    let started = Instant::now();
    let (motion, times) = animate(&model, &mut conversation, &options, context)?;
    let animate = started.elapsed().as_secs_f64();
    if interrupt::requested() {
        return Err(Error::Interrupted.into());
    }
    let outputs = faces::write(&motion, &arguments.outputs, &cast, sound, &arguments.faces, context)?;
    let seconds = motion.duration_s();
    let mut notices = conversation.notices().to_vec();
    notices.extend(cast.notices(motion.space()));
    let summary = Summary {
        outputs,
        voices: conversation.summary(),
        notices,
        preset: model.config().preset.clone(),
        loaded: model.reports().iter().cloned().collect(),
        checkpoint,
        encoder: model.encoder().and(files.and_then(|files| files.encoder)),
        device: arguments.compute.device.to_string(),
        seed: options.seed,
        sampling: options.controls.sampling,
        smooth: options.smooth,
        space: motion.space().to_string(),
        participants: motion.participants(),
        frames: motion.frames(),
        fps: motion.fps(),
        seconds,
        times: times_in_seconds(load, animate, times),
        real_time_factor: animate / seconds,
        peak_memory_bytes: machine::peak_memory(),
    };
    report(&summary, context)
}

/// Runs the model under the user's eyes; Ctrl-C stops it after a window.
fn animate(
    model: &Model,
    conversation: &mut Conversation,
    options: &AnimateOptions,
    context: Context,
) -> Result<(Motion, StageTimes)> {
    let _graceful = Graceful::begin();
    let samples = conversation.expected_samples();
    let frames = samples.map(|samples| samples.div_ceil(SAMPLES_PER_FRAME as u64));
    let mut meter = context.reporter.meter("animate", frames, Unit::Frames);
    meter.set(0);
    animate_timed(model, conversation, options, &mut |progress| {
        meter.set(progress.frames_done);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// What stands for the released model, as `unils fetch` has put it into the cache.
const RELEASED: &str = "released";

/// The model's files, `None` for the model that ships.
pub(super) fn locate(arguments: &ModelArguments) -> Result<Option<ModelFiles>> {
    let checkpoint = match &arguments.checkpoint {
        Some(path) if path.as_os_str() == RELEASED => Cache::locate()?.checkpoint()?,
        Some(path) => find_checkpoint(path)?,
        None => {
            let alone = [
                ("--encoder", arguments.encoder.is_some()),
                ("--stats", arguments.stats.is_some()),
                ("--preset", arguments.preset.is_some()),
            ];
            return match alone.into_iter().find(|(_, is_given)| *is_given) {
                None => Ok(None),
                Some((name, _)) => Err(Error::argument(name, "the shipped model has its own").with_hint(
                    format!("name the model that it is for: --checkpoint FILE, or --checkpoint {RELEASED}"),
                )),
            };
        }
    };
    let encoder = match &arguments.encoder {
        Some(path) => Some(find_checkpoint(path)?),
        None => cached_encoder(&checkpoint, arguments.preset.as_deref())?,
    };
    let (stats, preset) = (arguments.stats.clone(), arguments.preset.clone());
    Ok(Some(ModelFiles { checkpoint, encoder, stats, preset }))
}

/// Opens a model by its files, or the one that ships.
pub(super) fn open(files: Option<&ModelFiles>, device: DeviceKind) -> Result<Model> {
    match files {
        Some(files) => Model::open(files, device),
        None => Model::shipped(device),
    }
}

/// The weights that the checkpoint listens through, if it listens and through any.
pub(super) fn cached_encoder(checkpoint: &Path, preset: Option<&str>) -> Result<Option<PathBuf>> {
    let config = describe(&TensorFile::open(checkpoint)?, preset)?;
    match config.encoder.and_then(|encoder| encoder.repository) {
        Some(repository) => Cache::locate()?.encoder_for(&repository).map(Some),
        None => Ok(None),
    }
}

/// What suits the model with what the command line changes.
fn controls(arguments: &Animate, suited: Controls) -> Controls {
    let ShapeArguments { liveliness, expression, mouth_gate, gaze } = arguments.shape;
    Controls {
        liveliness: liveliness.unwrap_or(suited.liveliness),
        expression: expression.unwrap_or(suited.expression),
        mouth_gate: mouth_gate.unwrap_or(suited.mouth_gate),
        gaze: gaze.unwrap_or(suited.gaze),
        sampling: sampling(&arguments.sampling, suited.sampling),
    }
}

/// The model's own sampling with what the command line changes.
pub(super) fn sampling(arguments: &SamplingArguments, own: Sampling) -> Sampling {
    Sampling {
        cfg: arguments.cfg.unwrap_or(own.cfg),
        mouth_guidance: arguments.mouth_guidance.unwrap_or(own.mouth_guidance),
        temperature: arguments.temperature.unwrap_or(own.temperature),
        mouth_temperature: arguments.mouth_temperature.unwrap_or(own.mouth_temperature),
        mouth_softness: arguments.mouth_softness.unwrap_or(own.mouth_softness),
        top_p: arguments.top_p.unwrap_or(own.top_p),
        greedy: arguments.greedy || own.greedy,
    }
}

fn times_in_seconds(load: f64, animate: f64, times: StageTimes) -> Times {
    Times {
        load,
        encoder: times.encoder.as_secs_f64(),
        generator: times.generator.as_secs_f64(),
        codec: times.codec.as_secs_f64(),
        animate,
    }
}

fn report(summary: &Summary, context: Context) -> anyhow::Result<()> {
    if context.is_json {
        return output::print_json(summary);
    }
    for notice in &summary.notices {
        context.reporter.note(format_args!("note: {notice}"));
    }
    for (part, report) in summary.loaded.iter().filter(|(_, report)| !report.unused.is_empty()) {
        context.reporter.note(format_args!("note: {part}: {report}"));
    }
    let mut facts = Facts::default();
    for voice in &summary.voices {
        let channel = match voice.channel.filter(|_| voice.channels > 1) {
            Some(channel) => format!(", channel {channel}"),
            None => String::new(),
        };
        let length = output::duration(voice.seconds);
        facts.add("voice", format_args!("{}{channel}: {length}, {:.1} dBFS", voice.name, voice.rms_dbfs));
    }
    let Summary { participants, frames, space, .. } = summary;
    facts.add("model", format_args!("{} on {}, seed {}", summary.preset, summary.device, summary.seed));
    facts.add(
        "motion",
        format_args!("{participants} x {frames} frames ({}), {space}", output::duration(summary.seconds)),
    );
    facts.add(
        "time",
        format_args!(
            "{} and {} to load; real-time factor {:.3}",
            output::duration(summary.times.animate),
            output::duration(summary.times.load),
            summary.real_time_factor
        ),
    );
    facts.add_some("memory", summary.peak_memory_bytes.map(output::bytes));
    render::add_written(&mut facts, &summary.outputs);
    // The files are the result; what was done is a note.
    context.reporter.note(facts.text().trim_end());
    Ok(())
}
