//! `unils doctor`: what this machine offers and what is missing.

use std::path::PathBuf;

use serde::Serialize;
use unils::checkpoint::TensorFile;
use unils::device::{CpuSummary, DeviceKind, cpu_summary};
use unils::model::{SHIPPED, describe};

use super::Context;
use crate::args::Doctor;
use crate::cache::{self, Cache};
use crate::machine::{self, Memory};
use crate::output::{self, Facts};

/// Memory that the released model needs for two participants in single precision.
const NEEDED_MEMORY: u64 = 3_000_000_000;

#[derive(Debug, Serialize)]
struct Diagnosis {
    version: &'static str,
    system: String,
    compiled_devices: Vec<&'static str>,
    device: DeviceState,
    cpu: CpuSummary,
    cores: Option<usize>,
    memory: Memory,
    cache: Option<PathBuf>,
    /// The model in the program, which is used unless another is named.
    shipped: &'static str,
    checkpoints: Vec<CheckpointState>,
    encoders: Vec<EncoderState>,
    /// What to do next; empty when everything that is there can be used.
    next_steps: Vec<String>,
    /// What else there is, and no one needs who uses the model that ships.
    optional_steps: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DeviceState {
    name: String,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct CheckpointState {
    path: PathBuf,
    preset: Option<String>,
    /// Repository of the speech encoder that it listens through, if that has weights.
    encoder: Option<String>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct EncoderState {
    repository: String,
    folder: PathBuf,
    is_complete: bool,
}

/// Looks around and prints what was found. What is missing is a finding, not an error.
pub fn run(arguments: &Doctor, context: Context) -> anyhow::Result<()> {
    let diagnosis = diagnose(arguments.device);
    if context.is_json { output::print_json(&diagnosis) } else { output::print(&text(&diagnosis)) }
}

fn diagnose(kind: DeviceKind) -> Diagnosis {
    let mut next_steps = Vec::new();
    let problem = kind.open().err().map(|error| {
        next_steps.extend(error.hint().map(str::to_owned));
        error.to_string()
    });
    let cache = Cache::locate();
    if let Err(error) = &cache {
        next_steps.extend(error.hint().map(str::to_owned));
    }
    let cache = cache.ok();
    let checkpoints: Vec<_> = cache.iter().flat_map(checkpoint_states).collect();
    let memory = machine::memory();
    if !checkpoints.is_empty() && memory.available.is_some_and(|bytes| bytes < NEEDED_MEMORY) {
        next_steps
            .push(format!("close other programs: the released model needs {}", output::bytes(NEEDED_MEMORY)));
    }
    let encoders: Vec<_> = cache.iter().flat_map(|cache| encoder_states(cache, &checkpoints)).collect();
    next_steps.extend(missing(&checkpoints, &encoders));
    let optional_steps = if checkpoints.is_empty() {
        let license = cache::RELEASE_LICENSE;
        vec![
            format!("get the released weights, for research: unils fetch weights --accept-license {license}"),
            "get the speech encoder that they need: unils fetch encoder".to_owned(),
        ]
    } else {
        Vec::new()
    };
    Diagnosis {
        version: env!("CARGO_PKG_VERSION"),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        compiled_devices: DeviceKind::compiled(),
        device: DeviceState { name: kind.to_string(), problem },
        cpu: cpu_summary(),
        cores: std::thread::available_parallelism().ok().map(usize::from),
        memory,
        cache: cache.map(|cache| cache.root().to_owned()),
        shipped: SHIPPED,
        checkpoints,
        encoders,
        next_steps,
        optional_steps,
    }
}

fn checkpoint_states(cache: &Cache) -> Vec<CheckpointState> {
    let look = |path: PathBuf| match TensorFile::open(&path).and_then(|file| describe(&file, None)) {
        Ok(config) => CheckpointState {
            path,
            preset: Some(config.preset),
            encoder: config.encoder.and_then(|encoder| encoder.repository),
            problem: None,
        },
        Err(error) => CheckpointState { path, preset: None, encoder: None, problem: Some(error.to_string()) },
    };
    cache::checkpoints(&cache.weights()).into_iter().map(look).collect()
}

/// The known encoders that are there, and those that the checkpoints need.
fn encoder_states(cache: &Cache, checkpoints: &[CheckpointState]) -> Vec<EncoderState> {
    let needed = checkpoints.iter().filter_map(|checkpoint| checkpoint.encoder.as_deref());
    let there = [cache::WAV2VEC2, cache::MIMI].into_iter().filter(|known| cache.encoder(known).is_dir());
    let mut names: Vec<_> = needed.chain(there).collect();
    names.sort_unstable();
    names.dedup();
    let look = |name: &str| {
        let folder = cache.encoder(name);
        EncoderState { repository: name.to_owned(), is_complete: cache::is_encoder(&folder), folder }
    };
    names.into_iter().map(look).collect()
}

fn missing(checkpoints: &[CheckpointState], encoders: &[EncoderState]) -> Vec<String> {
    let mut steps = Vec::new();
    for checkpoint in checkpoints.iter().filter(|checkpoint| checkpoint.problem.is_some()) {
        steps.push(format!("replace {}: it cannot be used", checkpoint.path.display()));
    }
    for encoder in encoders.iter().filter(|encoder| !encoder.is_complete) {
        let item = if encoder.repository == cache::MIMI { "mimi" } else { "encoder" };
        steps.push(format!("get the speech encoder {}: unils fetch {item}", encoder.repository));
    }
    steps
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut facts = Facts::default();
    let device = &diagnosis.device;
    let state = device.problem.as_deref().unwrap_or("ready");
    let sets = &diagnosis.cpu.instruction_sets;
    let unknown = || "unknown".to_owned();
    facts
        .add("version", format_args!("{} ({})", diagnosis.version, diagnosis.system))
        .add("built for", diagnosis.compiled_devices.join(", "))
        .add("device", format_args!("{}: {state}", device.name))
        .add("cores", diagnosis.cores.map_or_else(unknown, |cores| cores.to_string()))
        .add("threads", diagnosis.cpu.threads)
        .add("instructions", if sets.is_empty() { "no known extension".to_owned() } else { sets.join(", ") })
        .add("matrix kernel", &diagnosis.cpu.matrix_kernel)
        .add(
            "memory",
            match diagnosis.memory {
                Memory { total: Some(total), available: Some(available) } => {
                    format!("{}, {} free", output::bytes(total), output::bytes(available))
                }
                _ => unknown(),
            },
        )
        .add("cache", diagnosis.cache.as_ref().map_or_else(unknown, |folder| folder.display().to_string()));
    facts.add("model", format_args!("{}: ready", diagnosis.shipped));
    for checkpoint in &diagnosis.checkpoints {
        let state = checkpoint.preset.as_ref().or(checkpoint.problem.as_ref()).map_or("", String::as_str);
        facts.add("checkpoint", format_args!("{}: {state}", checkpoint.path.display()));
    }
    for encoder in &diagnosis.encoders {
        let state = if encoder.is_complete { "ready" } else { "missing" };
        facts.add("encoder", format_args!("{}: {state}", encoder.repository));
    }
    for step in &diagnosis.next_steps {
        facts.add("next step", step);
    }
    for step in &diagnosis.optional_steps {
        facts.add("if you like", step);
    }
    facts.text()
}
