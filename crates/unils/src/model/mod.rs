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

pub use config::{EncoderConfig, EncoderKind, EncoderWeights, ModelConfig};
pub use convert::{Blend, ConvertOptions, ConvertReport, convert};

use crate::checkpoint::TensorFile;
use crate::codec::Codec;
use crate::device::DeviceKind;
use crate::encoder::{Encoder, EncoderSizes, Wav2Vec2Config};
use crate::error::{Error, Result};
use crate::generator::{CausalGenerator, Generator, GeneratorConfig};
use crate::motion::{SAMPLES_PER_FRAME, Stats};
use crate::nn::{LoadReport, Loader, RandomWeights};

/// Tensors that tell a checkpoint's stage.
const CODEC_MARK: &str = "motion_mean";
const GENERATOR_MARK: &str = "sos_embed";
const DUAL_TRACK_MARK: &str = "attn_blocks.self_pos";

/// What stands for the shipped model's path.
pub const SHIPPED: &str = "live (shipped)";

/// Most features that an encoder may give for a frame of motion; the known ones give 1 or 2.
const MOST_FEATURES: usize = 16;

/// Where a checkpoint keeps its speech encoder.
pub const ENCODER_PREFIX: &str = "audio_encoder";

/// A tensor of the speech encoder in a model's checkpoint: the weights of [`EncoderKind::Speech`]. Of the other kinds it
/// is a frozen copy that training code saved along (the released files have none): known, and not used.
pub fn is_encoder_tensor(name: &str) -> bool {
    name.strip_prefix(ENCODER_PREFIX).is_some_and(|rest| rest.starts_with('.'))
}

/// Where a model's parts lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFiles {
    /// Generator with its codec: a released `.pt`, or our safetensors with its TOML beside.
    pub checkpoint: PathBuf,
    /// The speech encoder: its folder in Hugging Face's layout, or in place of the checkpoint's own one the checkpoint
    /// that holds another. `None` for an encoder without weights, or for the checkpoint's own.
    pub encoder: Option<PathBuf>,
    /// Motion statistics that replace the checkpoint's own.
    pub stats: Option<PathBuf>,
    /// Preset whose sizes count instead of the checkpoint's description.
    pub preset: Option<String>,
}

/// A generator of either layout.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one a model")]
pub enum Network {
    /// The paper's: one long window at a time.
    Windowed(Generator),
    /// Short windows that see all that was.
    Causal(CausalGenerator),
}

impl Network {
    fn load(
        config: &ModelConfig,
        sizes: &GeneratorConfig,
        loader: &Loader<'_>,
        kind: DeviceKind,
    ) -> Result<Self> {
        match sizes.causal {
            None => Generator::load(sizes, &config.codec, loader).map(Self::Windowed),
            Some(_) if !kind.is_cpu() => {
                let what = format!("{kind}: short windows are made on the processor only");
                Err(Error::device("device", what)
                    .with_hint("leave out --device: it is faster than real time there"))
            }
            Some(_) => CausalGenerator::load(sizes, &config.codec, loader).map(Self::Causal),
        }
    }

    fn codec(&self) -> &Codec {
        match self {
            Self::Windowed(generator) => generator.codec(),
            Self::Causal(generator) => generator.codec(),
        }
    }

    fn codec_mut(&mut self) -> &mut Codec {
        match self {
            Self::Windowed(generator) => generator.codec_mut(),
            Self::Causal(generator) => generator.codec_mut(),
        }
    }
}

/// A stage's network with everything it needs to run. Immutable; share it between threads.
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    network: Network,
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
        Self::of_file(&TensorFile::open(&files.checkpoint)?, files, kind)
    }

    /// The model that ships with this library, preset `live`; docs/model_card.md says what it is.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn shipped(kind: DeviceKind) -> Result<Self> {
        Self::of_file(&shipped()?, &ModelFiles::default(), kind)
    }

    fn of_file(file: &TensorFile, files: &ModelFiles, kind: DeviceKind) -> Result<Self> {
        let device = kind.open()?;
        let config = describe(file, files.preset.as_deref())?;
        let Some(sizes) = &config.generator else {
            let error = Error::checkpoint(file.path().display(), "a motion codec alone, without a generator");
            return Err(error.with_hint("name a generator's checkpoint: its codec is inside"));
        };
        limits::check(limits::numbers(&config), file)?;
        let loader = Loader::new(file, &device, kind.is_cpu());
        loader.ignore(is_encoder_tensor);
        let mut network = Network::load(&config, sizes, &loader, kind)?;
        let mut reports = vec![("generator".to_owned(), loader.finish()?)];
        if let Some(path) = &files.stats {
            network.codec_mut().set_statistics(&Stats::read(path)?)?;
        }
        let given = files.encoder.as_deref();
        let opened = open_encoder(&config, given, Some(file), &device, kind.is_cpu())?;
        let encoder = opened.map(|(encoder, report)| {
            reports.extend(report.map(|report| ("encoder".to_owned(), report)));
            encoder
        });
        Ok(Self { config, network, encoder, silence: OnceLock::new(), device, reports })
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
        let network = Network::load(config, sizes, &loader, kind)?;
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
        Ok(Self { config, network, encoder, silence: OnceLock::new(), device, reports })
    }

    /// What the model is.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The generator with its codec.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The codec.
    pub fn codec(&self) -> &Codec {
        self.network.codec()
    }

    /// The speech encoder, if the generator listens.
    pub fn encoder(&self) -> Option<&Encoder> {
        self.encoder.as_ref()
    }

    /// The speech encoder's features of a silent window, `(1, S, A)`; computed once, since digital silence sounds the
    /// same in every window. `None` if the generator does not listen.
    pub fn silence(&self) -> Option<Tensor<3>> {
        let encoder = self.encoder.as_ref()?;
        if let Some(features) = self.silence.get() {
            return Some(features.clone());
        }
        // Not within the lock: a thread of the pool that waits for its part of this may take up another session's work
        // meanwhile, and would wait there for itself.
        let samples = self.codec().window() * SAMPLES_PER_FRAME;
        let features = encoder.features(Tensor::zeros([1, samples], &self.device));
        Some(self.silence.get_or_init(|| features).clone())
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

/// The shipped model's weights and configuration.
///
/// # Errors
/// [`Error::Checkpoint`] or [`Error::Config`] if they are damaged, which no build that passed its tests is.
pub fn shipped() -> Result<TensorFile> {
    let config = ModelConfig::from_toml(include_str!("../../assets/live.toml"), SHIPPED)?;
    let meta = serde_json::to_value(config).map_err(|error| Error::config(SHIPPED, error))?;
    let weights = include_bytes!("../../assets/live.safetensors").to_vec();
    Ok(TensorFile::from_bytes(weights, SHIPPED)?.with_meta(meta))
}

/// The configuration of a checkpoint: the named preset, or what the file says of itself.
///
/// # Errors
/// [`Error::Config`] when neither tells, [`Error::Checkpoint`] when the file holds no motion model.
pub fn describe(file: &TensorFile, preset: Option<&str>) -> Result<ModelConfig> {
    let place = file.path().display();
    let audio_dim = file.info(DUAL_TRACK_MARK).and_then(|info| info.shape.last().copied());
    let is_generator = file.info(GENERATOR_MARK).is_some();
    if !is_generator && file.info(CODEC_MARK).is_none() {
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
/// listen. An encoder from a repository needs its folder as `given`; one that lies in the model's checkpoint is taken
/// from the checkpoint `given`, or else from the model's `own`. `pack` lays weights out for the CPU route.
///
/// # Errors
/// [`Error::Argument`] if a folder is missing or not wanted; [`Error::Io`], [`Error::Checkpoint`] or [`Error::Config`]
/// if what is in it does not fit the model.
pub fn open_encoder(
    config: &ModelConfig,
    given: Option<&Path>,
    own: Option<&TensorFile>,
    device: &Device,
    pack: bool,
) -> Result<Option<(Encoder, Option<LoadReport>)>> {
    let Some(audio_dim) = config.generator.as_ref().and_then(|generator| generator.audio_dim) else {
        return Ok(None);
    };
    let (encoder, report) =
        match (given, &config.encoder, config.encoder.as_ref().and_then(|e| e.fixed_sizes())) {
            (_, Some(described), Some(sizes)) if described.kind.weights() == EncoderWeights::Checkpoint => {
                let other = given.map(TensorFile::open).transpose()?;
                let Some(file) = other.as_ref().or(own) else { return Err(encoder_missing(config)) };
                let (encoder, report) = encoder_within(file, described, &sizes, device, pack)?;
                (encoder, Some(report))
            }
            (Some(folder), _, Some(_)) => return Err(encoder_without_weights(folder)),
            (None, _, Some(sizes)) => {
                let source = RandomWeights { seed: 0 };
                (Encoder::load(&sizes, &Loader::new(&source, device, pack))?, None)
            }
            (Some(folder), _, None) => {
                let window = config.codec.schedule.last().copied().unwrap_or_default();
                let (encoder, report) = encoder_from(folder, device, pack, window)?;
                (encoder, Some(report))
            }
            (None, _, None) => return Err(encoder_missing(config)),
        };
    check_width(given.unwrap_or(Path::new(&config.preset)), &encoder, audio_dim)?;
    Ok(Some((encoder, report)))
}

/// Opens the encoder that lies in a checkpoint of ours.
fn encoder_within(
    file: &TensorFile,
    described: &EncoderConfig,
    sizes: &EncoderSizes,
    device: &Device,
    pack: bool,
) -> Result<(Encoder, LoadReport)> {
    let place = file.path().display();
    if !file.names().any(is_encoder_tensor) {
        return Err(Error::checkpoint(place, "no speech encoder in this file")
            .with_hint("name the run of the speech stage, or a checkpoint that holds one, with --encoder"));
    }
    // Dilations are in no tensor's shape.
    if let Some(found) = file.meta().and_then(|meta| ModelConfig::from_meta(meta, None).ok()?.encoder)
        && found != *described
    {
        let what = format!("its speech encoder is {found:?}, the model listens through {described:?}");
        return Err(Error::config(place, what).with_hint("name the speech run of the same preset"));
    }
    limits::check(sizes.numbers(), file)?;
    let loader = Loader::new(file, device, pack);
    loader.ignore(|name| !is_encoder_tensor(name));
    let encoder = Encoder::load(sizes, &loader.at(ENCODER_PREFIX))?;
    Ok((encoder, loader.finish()?))
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
    if config.own_encoder().is_some() {
        return Error::argument(
            "encoder",
            "the model listens through a speech encoder that is trained first",
        )
        .with_hint("--encoder RUN, the run of the speech stage, or a checkpoint that holds one");
    }
    let named = config.encoder.as_ref().and_then(|encoder| encoder.repository.as_deref());
    let repository = named.unwrap_or("facebook/wav2vec2-xls-r-300m");
    Error::argument("encoder", "the generator listens to speech, but no encoder was named")
        .with_hint(format!("--encoder FOLDER with the files of {repository}; `unils fetch` gets them"))
}
