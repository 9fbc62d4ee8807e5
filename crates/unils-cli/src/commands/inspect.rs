//! `unils inspect`: what a file holds.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use unils::audio::{AudioInfo, AudioReader, Conversation, ConversationOptions, TrackSummary};
use unils::checkpoint::{FileSummary, TensorFile, TensorInfo};
use unils::file::npz::Npz;
use unils::file::{MotionFormat, ReadOptions, read_motion};
use unils::model::{ModelConfig, describe};
use unils::motion::{Group, Motion, Stats};
use unils::{Error, Result};

use super::Context;
use super::head_facts::{self, HeadFacts};
use crate::args::Inspect;
use crate::output::{self, Facts};

/// Largest configuration or JSON file that is read.
const LARGEST_TEXT: u64 = 256 << 20;

/// What a file turned out to be.
#[derive(Debug, Serialize)]
#[serde(tag = "holds", rename_all = "lowercase")]
enum Found {
    Audio(Audio),
    Motion(MotionFacts),
    Head(Box<HeadFacts>),
    Checkpoint(Box<Checkpoint>),
    Configuration {
        config: ModelConfig,
    },
    Statistics {
        channels: usize,
        smallest_std: f32,
        largest_std: f32,
    },
    /// Any other JSON, as Hugging Face's `config.json`.
    Json {
        model_type: Option<String>,
        keys: Vec<String>,
    },
}

#[derive(Debug, Serialize)]
struct Audio {
    #[serde(flatten)]
    info: AudioInfo,
    seconds: f64,
    /// Levels of each channel, or of the mean of more than two.
    levels: Vec<TrackSummary>,
    notices: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MotionFacts {
    format: String,
    space: String,
    shape: [usize; 3],
    fps: f64,
    seconds: f64,
    participants: Vec<String>,
    preset: Option<String>,
    seed: Option<u64>,
    program: Option<String>,
    version: Option<String>,
    options: std::collections::BTreeMap<String, String>,
    groups: Vec<GroupRange>,
}

/// Extremes and deviation of a group's channels, all participants together.
#[derive(Debug, Serialize)]
struct GroupRange {
    group: String,
    channels: usize,
    unit: String,
    smallest: f32,
    largest: f32,
    deviation: f64,
}

#[derive(Debug, Serialize)]
struct Checkpoint {
    #[serde(flatten)]
    summary: FileSummary,
    /// Sizes, if the file says them.
    config: Option<ModelConfig>,
    /// Why the sizes could not be read.
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<NamedTensor>>,
}

#[derive(Debug, Serialize)]
struct NamedTensor {
    name: String,
    #[serde(flatten)]
    info: TensorInfo,
}

/// Looks at the file and prints what was found.
pub fn run(arguments: &Inspect, context: Context) -> anyhow::Result<()> {
    let found = look(&arguments.file, arguments.tensors)?;
    if context.is_json {
        return output::print_json(&found);
    }
    output::print(&text(&found))
}

/// Tells by content what can be told so, by the ending the rest.
fn look(path: &Path, list_tensors: bool) -> Result<Found> {
    if path.is_dir() {
        return checkpoint(path, list_tensors);
    }
    let mut head = [0; 16];
    let read = File::open(path).and_then(|file| read_some(file, &mut head));
    let head = &head[..read.map_err(|source| Error::io("open", path, source))?];
    let ending =
        path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let is_audio =
        [&b"RIFF"[..], b"RIFX", b"fLaC", b"OggS", b"ID3"].iter().any(|start| head.starts_with(start))
            || head.get(4..8) == Some(b"ftyp")
            || matches!(head, [0xff, 0xe0..=0xff, ..]);
    match ending.as_str() {
        "toml" => {
            Ok(Found::Configuration { config: ModelConfig::from_toml(&read_text(path)?, &name(path))? })
        }
        "json" => json(path),
        "glb" | "gltf" => rig(path),
        "npz" if Npz::open(path)?.contains("neutral") => rig(path),
        "npz" | "npy" | "csv" => motion(path),
        "wav" | "flac" | "mp3" | "ogg" | "oga" | "opus" | "m4a" | "mp4" | "aac" => audio(path),
        _ if is_audio => audio(path),
        _ => checkpoint(path, list_tensors),
    }
}

fn read_some(mut file: File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn read_text(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let mut text = Vec::new();
    file.take(LARGEST_TEXT + 1).read_to_end(&mut text).map_err(|source| Error::io("read", path, source))?;
    if text.len() as u64 > LARGEST_TEXT {
        return Err(Error::config(path.display(), format!("larger than {LARGEST_TEXT} bytes")));
    }
    String::from_utf8(text).map_err(|_| Error::config(path.display(), "is not UTF-8 text"))
}

/// Our motion, motion statistics, or some configuration.
fn json(path: &Path) -> Result<Found> {
    let text = read_text(path)?;
    let value: Value = serde_json::from_str(&text).map_err(|problem| {
        Error::config(path.display(), format!("is not JSON: {problem}")).with_hint("is the file complete?")
    })?;
    if value.get("motion").is_some() {
        return motion(path);
    }
    if value.get("motion_mean").is_some() {
        let stats = Stats::from_json(text.as_bytes(), &name(path))?;
        let fold = |start: f32, choose: fn(f32, f32) -> f32| stats.std().iter().copied().fold(start, choose);
        return Ok(Found::Statistics {
            channels: stats.width(),
            smallest_std: fold(f32::INFINITY, f32::min),
            largest_std: fold(0.0, f32::max),
        });
    }
    let model_type = value.get("model_type").and_then(Value::as_str).map(str::to_owned);
    let keys = value.as_object().map_or_else(Vec::new, |map| map.keys().cloned().collect());
    Ok(Found::Json { model_type, keys })
}

/// Reads all of it: only then it is known to be sound.
fn audio(path: &Path) -> Result<Found> {
    let reader = AudioReader::open(path)?;
    let info = reader.info().clone();
    let options = ConversationOptions { mixdown: info.channels > 2, ..ConversationOptions::default() };
    let rate = options.sample_rate as usize;
    let mut conversation = Conversation::from_readers(vec![reader], &options)?;
    while conversation.read(rate)?.is_some() {}
    let levels = conversation.summary();
    // That one voice has a silent partner matters to `animate` only.
    let notices =
        conversation.notices().iter().filter(|notice| !notice.contains("partner")).cloned().collect();
    let seconds = levels.iter().map(|level| level.seconds).fold(0.0, f64::max);
    Ok(Found::Audio(Audio { info, seconds, levels, notices }))
}

fn rig(path: &Path) -> Result<Found> {
    head_facts::read(path).map(Box::new).map(Found::Head)
}

fn motion(path: &Path) -> Result<Found> {
    let format = MotionFormat::from_path(path)?;
    let motion = read_motion(path, &ReadOptions::default())?;
    let meta = motion.meta().clone();
    Ok(Found::Motion(MotionFacts {
        format: format.to_string(),
        space: motion.space().to_string(),
        shape: motion.shape(),
        fps: motion.fps(),
        seconds: motion.duration_s(),
        groups: Group::ALL.into_iter().filter_map(|group| range(&motion, group)).collect(),
        participants: meta.participants,
        preset: meta.preset,
        seed: meta.seed,
        program: meta.program,
        version: meta.version,
        options: meta.options,
    }))
}

fn range(motion: &Motion, group: Group) -> Option<GroupRange> {
    let space = motion.space();
    let channels = space.group_indices(group);
    let unit = space.channels()[*channels.first()?].unit.symbol();
    let (mut smallest, mut largest, mut variance) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
    for &channel in &channels {
        let values = || motion.values().chunks_exact(space.width()).map(|frame| frame[channel]);
        let count = values().count() as f64;
        let mean = values().map(f64::from).sum::<f64>() / count;
        variance += values().map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
        smallest = values().fold(smallest, f32::min);
        largest = values().fold(largest, f32::max);
    }
    let deviation = (variance / channels.len() as f64).sqrt();
    let (group, unit) = (group.name().to_owned(), unit.to_owned());
    Some(GroupRange { group, channels: channels.len(), unit, smallest, largest, deviation })
}

fn checkpoint(path: &Path, list_tensors: bool) -> Result<Found> {
    let file = TensorFile::open(path)?;
    let (config, problem) = match describe(&file, None) {
        Ok(config) => (Some(config), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let list = list_tensors.then(|| {
        let tensor = |name: &str| Some(NamedTensor { name: name.to_owned(), info: file.info(name)? });
        file.names().filter_map(tensor).collect()
    });
    Ok(Found::Checkpoint(Box::new(Checkpoint { summary: file.summary(), config, problem, list })))
}

fn text(found: &Found) -> String {
    let mut facts = Facts::default();
    match found {
        Found::Audio(audio) => audio_text(audio),
        Found::Motion(motion) => motion_text(motion),
        Found::Head(head) => head.facts().text(),
        Found::Checkpoint(checkpoint) => checkpoint_text(checkpoint),
        Found::Configuration { config } => {
            facts.add("kind", "model configuration");
            config_facts(&mut facts, config);
            facts.text()
        }
        Found::Statistics { channels, smallest_std, largest_std } => facts
            .add("kind", "motion statistics")
            .add("channels", channels)
            .add("deviations", format_args!("{smallest_std} to {largest_std}"))
            .text(),
        Found::Json { model_type, keys } => facts
            .add("kind", "JSON")
            .add_some("model type", model_type.as_ref())
            .add("keys", keys.join(", "))
            .text(),
    }
}

fn audio_text(audio: &Audio) -> String {
    let mut facts = Facts::default();
    let AudioInfo { format, codec, sample_rate, channels, bits_per_sample, .. } = &audio.info;
    facts
        .add("kind", "audio")
        .add("format", format_args!("{format}, {codec}"))
        .add_some("resolution", bits_per_sample.map(|bits| format!("{bits} bits")))
        .add("sample rate", format_args!("{sample_rate} Hz"))
        .add("channels", channels)
        .add("length", output::duration(audio.seconds));
    for level in &audio.levels {
        let name = level.channel.map_or("level of all".to_owned(), |channel| format!("channel {channel}"));
        let silent = if level.silent { ", silent" } else { "" };
        let clipped = if level.clipped_samples > 0 {
            format!(", {} clipped samples", level.clipped_samples)
        } else {
            String::new()
        };
        facts.add(name, format_args!("{:.1} dBFS, peak {:.3}{silent}{clipped}", level.rms_dbfs, level.peak));
    }
    for notice in &audio.notices {
        facts.add("note", notice);
    }
    facts.text()
}

fn motion_text(motion: &MotionFacts) -> String {
    let mut facts = Facts::default();
    let [participants, frames, channels] = motion.shape;
    facts
        .add("kind", format_args!("motion ({})", motion.format))
        .add("space", format_args!("{} ({channels} channels)", motion.space))
        .add("participants", participants)
        .add(
            "frames",
            format_args!("{frames} at {} a second: {}", motion.fps, output::duration(motion.seconds)),
        )
        .add_some("preset", motion.preset.as_ref())
        .add_some("seed", motion.seed);
    if let Some(program) = &motion.program {
        facts.add("written by", format_args!("{program} {}", motion.version.as_deref().unwrap_or_default()));
    }
    for name in &motion.participants {
        facts.add("source", name);
    }
    for (name, value) in &motion.options {
        facts.add(name, value);
    }
    let rows: Vec<_> = motion
        .groups
        .iter()
        .map(|group| {
            let number = |value: f64| format!("{value:.4}");
            vec![
                group.group.clone(),
                group.channels.to_string(),
                group.unit.clone(),
                number(f64::from(group.smallest)),
                number(f64::from(group.largest)),
                number(group.deviation),
            ]
        })
        .collect();
    let header = ["group", "channels", "unit", "smallest", "largest", "deviation"];
    format!("{}\n{}", facts.text(), output::table(&header, &rows))
}

fn checkpoint_text(checkpoint: &Checkpoint) -> String {
    let mut facts = Facts::default();
    let summary = &checkpoint.summary;
    facts.add("kind", summary.kind);
    if summary.files.len() > 1 {
        facts.add("files", summary.files.len());
    }
    facts
        .add("tensors", summary.tensors)
        .add("parameters", output::grouped(summary.parameters))
        .add("size", output::bytes(summary.bytes));
    for (dtype, count) in &summary.dtypes {
        facts.add(
            "type",
            format_args!(
                "{dtype}: {} tensors, {} parameters",
                count.tensors,
                output::grouped(count.parameters)
            ),
        );
    }
    if let Some(config) = &checkpoint.config {
        config_facts(&mut facts, config);
    }
    facts.add_some("model", checkpoint.problem.as_ref());
    if !summary.meta_keys.is_empty() {
        facts.add("configuration", summary.meta_keys.join(", "));
    }
    for name in &summary.skipped {
        facts.add("no tensor", name);
    }
    let rows: Vec<_> = summary
        .groups
        .iter()
        .map(|group| vec![group.name.clone(), group.tensors.to_string(), output::grouped(group.parameters)])
        .collect();
    let mut text = format!("{}\n{}", facts.text(), output::table(&["part", "tensors", "parameters"], &rows));
    if let Some(list) = &checkpoint.list {
        let row = |tensor: &NamedTensor| {
            vec![tensor.name.clone(), tensor.info.dtype.to_string(), format!("{:?}", tensor.info.shape)]
        };
        let rows: Vec<_> = list.iter().map(row).collect();
        text += &format!("\n{}", output::table(&["tensor", "type", "shape"], &rows));
    }
    text
}

fn config_facts(facts: &mut Facts, config: &ModelConfig) {
    let codec = &config.codec;
    facts.add("preset", &config.preset).add("motion space", config.space).add(
        "codec",
        format_args!(
            "width {}, {} heads, depth {}, {} bits a token, schedule {:?}",
            codec.width, codec.heads, codec.depth, codec.code_width, codec.schedule
        ),
    );
    match &config.generator {
        None => facts.add("generator", "none: a codec alone"),
        Some(generator) => {
            let stage = match generator.audio_dim {
                Some(width) => format!("dual-track, {width} audio features"),
                None => "audio-free".to_owned(),
            };
            let sizes =
                format!("width {}, {} heads, depth {}", generator.width, generator.heads, generator.depth);
            facts.add("generator", format_args!("{stage}: {sizes}"))
        }
    };
    facts.add_some("speech encoder", config.encoder.as_ref());
}
