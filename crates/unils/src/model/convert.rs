//! Checkpoints of others into our own form: safetensors, with the configuration as TOML beside.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{ModelConfig, describe};
use crate::checkpoint::{Dtype, TensorFile, TensorSpec, write_tensors};
use crate::codec::Codec;
use crate::device::DeviceKind;
use crate::error::{Error, Result};
use crate::file::AtomicFile;
use crate::generator::Generator;
use crate::nn::{LoadReport, Loader};

/// How a checkpoint is converted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConvertOptions {
    /// Stores half-precision numbers.
    pub half: bool,
    /// Preset whose sizes count instead of the checkpoint's description.
    pub preset: Option<String>,
}

/// What a conversion wrote.
#[derive(Debug, Clone, Serialize)]
pub struct ConvertReport {
    /// The tensors.
    pub weights: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// What the model took from the source; its unused tensors were left behind.
    pub report: LoadReport,
    /// Bytes of the tensors' file.
    pub bytes: u64,
}

/// Converts a released checkpoint (codec, audio-free or dual-track) to `target` (ending `.safetensors`) and a
/// TOML of the same name. The model is built once from the source, so that what is written is known to load.
///
/// # Errors
/// As [`super::Model::open`], and [`Error::Argument`] for a target of another ending. Nothing is left half
/// written.
pub fn convert(source: &Path, target: &Path, options: &ConvertOptions) -> Result<ConvertReport> {
    if target.extension().is_none_or(|ending| ending != "safetensors") {
        return Err(Error::argument(target.display(), "expected a name ending in .safetensors"));
    }
    let file = TensorFile::open(source)?;
    let config = describe(&file, options.preset.as_deref())?;
    let device = DeviceKind::Cpu.open()?;
    let loader = Loader::new(&file, &device, false);
    loader.ignore(|name| name.starts_with("audio_encoder."));
    match &config.generator {
        Some(generator) => Generator::load(generator, &config.codec, &loader).map(drop)?,
        None => Codec::load(&config.codec, &loader).map(drop)?,
    }
    let report = loader.finish()?;
    let dtype = if options.half { Dtype::F16 } else { Dtype::F32 };
    let is_kept = |name: &&str| {
        !name.starts_with("audio_encoder.") && report.unused.iter().all(|unused| unused != name)
    };
    let specs: Vec<TensorSpec> = file
        .names()
        .filter(is_kept)
        .filter_map(|name| {
            let shape = file.info(name)?.shape;
            Some(TensorSpec { name: name.to_owned(), dtype, shape })
        })
        .collect();
    let config_path = target.with_extension("toml");
    let mut config_file = AtomicFile::create(&config_path)?;
    let text = ModelConfig::to_toml(&config)?;
    config_file.write_all(text.as_bytes()).map_err(|error| Error::io("write", &config_path, error))?;
    let notes = BTreeMap::from([
        ("program".to_owned(), format!("unils {}", env!("CARGO_PKG_VERSION"))),
        ("source".to_owned(), source.file_name().unwrap_or_default().to_string_lossy().into_owned()),
    ]);
    write_tensors(target, &specs, &notes, |_, spec| {
        let values = file.read_f32(&spec.name)?;
        let bytes = if options.half {
            values.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect()
        } else {
            values.iter().flat_map(|x| x.to_le_bytes()).collect()
        };
        Ok(Cow::Owned(bytes))
    })?;
    config_file.commit()?;
    let bytes = std::fs::metadata(target).map_err(|error| Error::io("read", target, error))?.len();
    Ok(ConvertReport { weights: target.to_owned(), config: config_path, report, bytes })
}
