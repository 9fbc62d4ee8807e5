//! Checkpoints of others into our own form: safetensors, with the configuration as TOML beside.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{ENCODER_PREFIX, ModelConfig, Network, describe, is_encoder_tensor, limits};
use crate::checkpoint::{Dtype, TensorFile, TensorSpec, stored_as, write_tensors};
use crate::codec::Codec;
use crate::device::DeviceKind;
use crate::encoder::Speech;
use crate::error::{Error, Result};
use crate::file::AtomicFile;
use crate::nn::{LoadReport, Loader};

/// How a checkpoint is converted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConvertOptions {
    /// Stores matrices in half precision; norms, biases and motion statistics stay as they are.
    pub half: bool,
    /// Preset whose sizes count instead of the checkpoint's description.
    pub preset: Option<String>,
    /// Another checkpoint whose weights are mixed in.
    pub blend: Option<Blend>,
}

/// Weights between those of two checkpoints. Where one was trained on from the other, or both from a third, what lies
/// between is often better than either (Wortsman et al. 2022, model soups); of strangers nothing comes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Blend {
    /// The other checkpoint, of the same tensors.
    pub with: PathBuf,
    /// How much of it, 0 to 1.
    pub share: f64,
}

impl Blend {
    /// Opens the other checkpoint, of which a model of that configuration can be built.
    fn open(&self, config: &ModelConfig) -> Result<TensorFile> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(Error::argument("share", format!("expected 0 to 1, got {}", self.share)));
        }
        let file = TensorFile::open(&self.with)?;
        load_once(&file, config).map_err(|error| {
            error.with_hint("both checkpoints must be of one model, as two trainings from one start are")
        })?;
        Ok(file)
    }

    fn mix(&self, mut values: Vec<f32>, other: Vec<f32>) -> Vec<f32> {
        for (value, other) in values.iter_mut().zip(other) {
            *value = ((1.0 - self.share) * f64::from(*value) + self.share * f64::from(other)) as f32;
        }
        values
    }
}

/// What a conversion wrote.
#[derive(Debug, Clone, Serialize)]
pub struct ConvertReport {
    /// The tensors.
    pub weights: PathBuf,
    /// The configuration's file.
    pub config_file: PathBuf,
    /// The configuration.
    pub config: ModelConfig,
    /// What the model took from the source; its unused tensors were left behind.
    pub report: LoadReport,
    /// Bytes of the tensors' file.
    pub bytes: u64,
}

/// Converts a checkpoint (codec, audio-free or dual-track) to `target` (ending `.safetensors`) and a
/// TOML of the same name. The model is built once from the source, so that what is written is known to load.
///
/// # Errors
/// As [`super::Model::open`], and [`Error::Argument`] for a target of another ending, a share out of range, and naming the
/// tensor for a value beyond half precision.
/// Nothing is left half written.
pub fn convert(source: &Path, target: &Path, options: &ConvertOptions) -> Result<ConvertReport> {
    if target.extension().is_none_or(|ending| ending != "safetensors") {
        return Err(Error::argument(target.display(), "expected a name ending in .safetensors"));
    }
    let file = TensorFile::open(source)?;
    let config = describe(&file, options.preset.as_deref())?;
    let report = load_once(&file, &config)?;
    let blend = options.blend.as_ref().map(|blend| Ok((blend, blend.open(&config)?))).transpose()?;
    let is_own = config.own_encoder().is_some();
    let is_kept = |name: &&str| {
        (is_own || !is_encoder_tensor(name)) && report.unused.iter().all(|unused| unused != name)
    };
    let spec = |name: &str| {
        let shape = file.info(name)?.shape;
        // Norms, biases and motion statistics are few, and small deviations would vanish.
        let dtype = if options.half && shape.len() > 1 { Dtype::F16 } else { Dtype::F32 };
        Some(TensorSpec { name: name.to_owned(), dtype, shape })
    };
    let specs: Vec<TensorSpec> = file.names().filter(is_kept).filter_map(spec).collect();
    let config_path = target.with_extension("toml");
    let mut config_file = AtomicFile::create(&config_path)?;
    let text = ModelConfig::to_toml(&config)?;
    config_file.write_all(text.as_bytes()).map_err(|error| Error::io("write", &config_path, error))?;
    let notes = BTreeMap::from([
        ("program".to_owned(), format!("unils {}", env!("CARGO_PKG_VERSION"))),
        ("source".to_owned(), source.file_name().unwrap_or_default().to_string_lossy().into_owned()),
    ]);
    let stored = |spec: &TensorSpec, values: Vec<f32>| Ok(Cow::Owned(stored_as(spec, &values)?.into_owned()));
    write_tensors(target, &specs, &notes, |_, spec| match (&blend, file.borrow_f32(&spec.name)) {
        (Some((blend, other)), _) => {
            stored(spec, blend.mix(file.read_f32(&spec.name)?, other.read_f32(&spec.name)?))
        }
        (None, Some(values)) => stored_as(spec, values),
        (None, None) => stored(spec, file.read_f32(&spec.name)?),
    })?;
    config_file.commit()?;
    let bytes = std::fs::metadata(target).map_err(|error| Error::io("read", target, error))?.len();
    Ok(ConvertReport { weights: target.to_owned(), config_file: config_path, config, report, bytes })
}

/// Builds the model and drops it.
fn load_once(file: &TensorFile, config: &ModelConfig) -> Result<LoadReport> {
    limits::check(limits::numbers(config), file)?;
    let device = DeviceKind::Cpu.open()?;
    let loader = Loader::new(file, &device, false);
    match config.own_encoder() {
        Some(sizes) => Speech::load(sizes, &loader.at(ENCODER_PREFIX)).map(drop)?,
        None => loader.ignore(is_encoder_tensor),
    }
    match &config.generator {
        Some(generator) => Network::load(config, generator, &loader, DeviceKind::Cpu).map(drop)?,
        None => Codec::load(&config.codec, &loader).map(drop)?,
    }
    loader.finish()
}
