//! From files to a model that can animate: configuration, codec, generator, speech encoder and their loading.
//!
//! Opened once and shared; what changes during a stream is in [`crate::animate`]'s state.
//!
//! ```no_run
//! use unils::device::DeviceKind;
//! use unils::model::{Model, ModelFiles};
//! let files = ModelFiles {
//!     checkpoint: "unils.pt".into(),
//!     encoder: Some("wav2vec2-xls-r-300m".into()),
//!     ..ModelFiles::default()
//! };
//! let model = Model::open(&files, DeviceKind::Cpu)?;
//! println!("{}", model.config().preset);
//! # Ok::<(), unils::Error>(())
//! ```

mod config;
mod convert;
mod limits;
mod source;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::tensor::{Device, Tensor};

pub use config::{EncoderConfig, EncoderKind, ModelConfig};
pub use convert::{ConvertOptions, ConvertReport, convert};

use crate::checkpoint::TensorFile;
use crate::codec::Codec;
use crate::device::DeviceKind;
use crate::encoder::{Encoder, EncoderSizes, Wav2Vec2Config};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::motion::{SAMPLES_PER_FRAME, Stats};
use crate::nn::{LoadReport, Loader, RandomWeights};

/// Tensors that tell a checkpoint's stage.
const GENERATOR_MARK: &str = "sos_embed";
const DUAL_TRACK_MARK: &str = "attn_blocks.self_pos";

/// Most features that an encoder may give for a frame of motion; the known ones give 1 or 2.
const MOST_FEATURES: usize = 16;

/// A frozen speech encoder that training code saved along (the released files have none): known, and not used.
fn is_encoder_copy(name: &str) -> bool {
    name.starts_with("audio_encoder.")
}

/// Where a model's parts lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFiles {
    /// Generator with its codec: a released `.pt`, or our safetensors with its TOML beside.
    pub checkpoint: PathBuf,
    /// Folder of the speech encoder, in Hugging Face's layout; `None` for an encoder without weights.
    pub encoder: Option<PathBuf>,
    /// Motion statistics that replace the checkpoint's own.
    pub stats: Option<PathBuf>,
    /// Preset whose sizes count instead of the checkpoint's description.
    pub preset: Option<String>,
}

/// A stage's network with everything it needs to run. Immutable; share it between threads.
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    generator: Generator,
    encoder: Option<Encoder>,
    /// See [`Model::silence`].
    silence: OnceLock<Tensor<3>>,
    device: Device,
    reports: Vec<(String, LoadReport)>,
}

impl Model {
    /// Opens a generator and its speech encoder.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`], [`Error::Config`] or [`Error::Device`] saying which file or size is
    /// wrong and what was expected.
    pub fn open(files: &ModelFiles, kind: DeviceKind) -> Result<Self> {
        let device = kind.open()?;
        let file = TensorFile::open(&files.checkpoint)?;
        let config = describe(&file, files.preset.as_deref())?;
        let Some(sizes) = &config.generator else {
            let error = Error::checkpoint(file.path().display(), "a motion codec alone, without a generator");
            return Err(error.with_hint("name a generator's checkpoint: its codec is inside"));
        };
        limits::check(limits::numbers(&config), &file)?;
        let loader = Loader::new(&file, &device, kind.is_cpu());
        loader.ignore(is_encoder_copy);
        let mut generator = Generator::load(sizes, &config.codec, &loader)?;
        let mut reports = vec![("generator".to_owned(), loader.finish()?)];
        if let Some(path) = &files.stats {
            generator.codec_mut().set_statistics(&Stats::read(path)?)?;
        }
        let folder = files.encoder.as_deref();
        let encoder = open_encoder(&config, folder, &device, kind.is_cpu())?.map(|(encoder, report)| {
            reports.extend(report.map(|report| ("encoder".to_owned(), report)));
            encoder
        });
        Ok(Self { config, generator, encoder, silence: OnceLock::new(), device, reports })
    }

    /// A model of a configuration's sizes with seeded random weights, for benchmarks and tests. A speech encoder
    /// with weights is of XLS-R 300m's architecture.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes, [`Error::Device`].
    pub fn random(config: &ModelConfig, seed: u64, kind: DeviceKind) -> Result<Self> {
        let device = kind.open()?;
        let source = RandomWeights { seed };
        let Some(sizes) = &config.generator else {
            return Err(Error::config(&config.preset, "a configuration without a generator"));
        };
        let loader = Loader::new(&source, &device, kind.is_cpu());
        let generator = Generator::load(sizes, &config.codec, &loader)?;
        let mut reports = vec![("generator".to_owned(), loader.finish()?)];
        let mut encoder = None;
        if let Some(audio_dim) = sizes.audio_dim {
            let loader = Loader::new(&source, &device, kind.is_cpu());
            let fixed = config.encoder.as_ref().and_then(EncoderConfig::fixed_sizes);
            let sizes =
                fixed.unwrap_or_else(|| EncoderSizes::Wav2Vec2(Box::new(Wav2Vec2Config::xls_r_300m())));
            let made = Encoder::load(&sizes, &loader)?;
            check_width(Path::new("random encoder"), &made, audio_dim)?;
            reports.push(("encoder".to_owned(), loader.finish()?));
            encoder = Some(made);
        }
        let config = config.clone();
        Ok(Self { config, generator, encoder, silence: OnceLock::new(), device, reports })
    }

    /// What the model is.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The generator with its codec.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The speech encoder, if the generator listens.
    pub fn encoder(&self) -> Option<&Encoder> {
        self.encoder.as_ref()
    }

    /// The speech encoder's features of a silent window, `(1, S, A)`; computed once, since digital silence sounds the
    /// same in every window. `None` if the generator does not listen.
    pub fn silence(&self) -> Option<Tensor<3>> {
        let encoder = self.encoder.as_ref()?;
        let features = self.silence.get_or_init(|| {
            let samples = self.generator.codec().window() * SAMPLES_PER_FRAME;
            encoder.features(Tensor::zeros([1, samples], &self.device))
        });
        Some(features.clone())
    }

    /// Where the model computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What was loaded for each part.
    pub fn reports(&self) -> &[(String, LoadReport)] {
        &self.reports
    }
}

/// The configuration of a checkpoint: the named preset, or what the file says of itself.
///
/// # Errors
/// [`Error::Config`] when neither tells, [`Error::Checkpoint`] when the file holds no motion model.
pub fn describe(file: &TensorFile, preset: Option<&str>) -> Result<ModelConfig> {
    let place = file.path().display();
    let audio_dim = file.info(DUAL_TRACK_MARK).and_then(|info| info.shape.last().copied());
    let is_generator = file.info(GENERATOR_MARK).is_some();
    if !is_generator && file.info("encoder.inp_mapping.0.weight").is_none() {
        return Err(Error::checkpoint(place, "no codec and no generator in this file")
            .with_hint("`unils inspect` shows what it holds; a speech encoder is given with --encoder"));
    }
    let mut config = match (preset, file.meta()) {
        (Some(preset), _) => ModelConfig::preset(preset)?,
        (None, Some(meta)) => ModelConfig::from_meta(meta, audio_dim)?,
        (None, None) => {
            return Err(Error::config(place, "the checkpoint does not say its sizes")
                .with_hint(format!("name them with --preset: {}", ModelConfig::preset_names().join(", "))));
        }
    };
    match &mut config.generator {
        Some(generator) if is_generator => {
            // The file decides whether it is the audio-free or the dual-track stage.
            generator.audio_dim = audio_dim.map(|found| generator.audio_dim.unwrap_or(found));
        }
        _ if is_generator => {
            return Err(Error::config(place, "a generator, but its configuration has only a codec"));
        }
        _ => config.generator = None,
    }
    if config.generator.as_ref().is_none_or(|generator| generator.audio_dim.is_none()) {
        config.encoder = None;
    }
    Ok(config)
}

/// Opens the motion codec alone, of a codec's or a generator's checkpoint; the speech encoder is not looked at.
///
/// # Errors
/// As [`Model::open`].
pub fn open_codec(files: &ModelFiles, kind: DeviceKind) -> Result<(ModelConfig, Codec)> {
    let device = kind.open()?;
    let file = TensorFile::open(&files.checkpoint)?;
    let config = describe(&file, files.preset.as_deref())?;
    limits::check(limits::numbers(&config), &file)?;
    let loader = Loader::new(&file, &device, kind.is_cpu());
    let mut codec = match config.generator {
        Some(_) => {
            loader.ignore(|name| !name.starts_with("base_codec."));
            Codec::load(&config.codec, &loader.at("base_codec"))?
        }
        None => Codec::load(&config.codec, &loader)?,
    };
    loader.finish()?;
    if let Some(path) = &files.stats {
        codec.set_statistics(&Stats::read(path)?)?;
    }
    Ok((config, codec))
}

/// Opens the speech encoder that a model listens through, and what was loaded for it; `None` for a model that does not
/// listen. An encoder with weights needs their `folder`. `pack` lays weights out for the CPU route.
///
/// # Errors
/// [`Error::Argument`] if a folder is missing or not wanted; [`Error::Io`], [`Error::Checkpoint`] or [`Error::Config`]
/// if what is in it does not fit the model.
pub fn open_encoder(
    config: &ModelConfig,
    folder: Option<&Path>,
    device: &Device,
    pack: bool,
) -> Result<Option<(Encoder, Option<LoadReport>)>> {
    let Some(audio_dim) = config.generator.as_ref().and_then(|generator| generator.audio_dim) else {
        return Ok(None);
    };
    let fixed = config.encoder.as_ref().and_then(EncoderConfig::fixed_sizes);
    let (encoder, report) = match (folder, fixed) {
        (Some(folder), Some(_)) => return Err(encoder_without_weights(folder)),
        (None, Some(sizes)) => {
            let source = RandomWeights { seed: 0 };
            (Encoder::load(&sizes, &Loader::new(&source, device, pack))?, None)
        }
        (Some(folder), None) => {
            let window = config.codec.schedule.last().copied().unwrap_or_default();
            let (encoder, report) = encoder_from(folder, device, pack, window)?;
            (encoder, Some(report))
        }
        (None, None) => return Err(encoder_missing(config)),
    };
    check_width(folder.unwrap_or(Path::new(&config.preset)), &encoder, audio_dim)?;
    Ok(Some((encoder, report)))
}

/// Opens an encoder with weights for windows of `window` frames.
fn encoder_from(folder: &Path, device: &Device, pack: bool, window: usize) -> Result<(Encoder, LoadReport)> {
    let file = TensorFile::open(folder)?;
    let Some(config) = file.meta() else {
        return Err(Error::checkpoint(folder.display(), "no config.json beside the encoder's weights")
            .with_hint("name the whole folder of the Hugging Face repository"));
    };
    let sizes = EncoderSizes::parse(config)?;
    let features = sizes.features(window * SAMPLES_PER_FRAME);
    if !(1..=MOST_FEATURES * window).contains(&features) {
        let what = format!("{features} features for a window of {window} frames");
        return Err(Error::config(folder.join("config.json").display(), what)
            .with_hint("are kernels and strides those that the encoder was trained with?"));
    }
    limits::check(sizes.numbers(), &file)?;
    let loader = Loader::new(&file, device, pack);
    let encoder = Encoder::load(&sizes, &loader)?;
    Ok((encoder, loader.finish()?))
}

fn check_width(folder: &Path, encoder: &Encoder, audio_dim: usize) -> Result<()> {
    let found = encoder.feature_dim();
    if found == audio_dim {
        return Ok(());
    }
    let what = format!("{found} features, but the generator listens to {audio_dim}");
    Err(Error::checkpoint(folder.display(), what)
        .with_hint("is it the encoder that the generator was trained with?"))
}

fn encoder_without_weights(folder: &Path) -> Error {
    let what = "the generator listens to log-mel energies, which have no files";
    Error::argument(folder.display(), what).with_hint("leave out --encoder")
}

fn encoder_missing(config: &ModelConfig) -> Error {
    let named = config.encoder.as_ref().and_then(|encoder| encoder.repository.as_deref());
    let repository = named.unwrap_or("facebook/wav2vec2-xls-r-300m");
    Error::argument("encoder", "the generator listens to speech, but no encoder was named")
        .with_hint(format!("--encoder FOLDER with the files of {repository}; `unils fetch` gets them"))
}
