//! The weights that a training starts from: an earlier stage's where there are any, fresh ones otherwise.
//!
//! Stages are handed over here: the codec goes into the audio-free generator under `base_codec.`, and the audio-free
//! generator, whole, into the dual-track one. What an earlier stage must bring is not made up: a missing tensor is an
//! error.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use unils::checkpoint::TensorFile;
use unils::codec::CodecConfig;
use unils::generator::GeneratorConfig;
use unils::model::{ModelConfig, describe, is_encoder_tensor};
use unils::motion::Stats;
use unils::nn::{TensorSource, name_hash};
use unils::{Error, Result};

use crate::recipe::Stage;

/// Where a generator keeps its codec.
pub const CODEC_PREFIX: &str = "base_codec.";

/// How a generator's training begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// A codec or a speech encoder, from scratch.
    Nothing,
    /// Any generator, all of it new but the codec.
    Codec,
    /// The dual-track generator, from the audio-free one.
    Prior,
    /// The dual-track generator, from one that has learnt to hear: training that goes on with other data or steps.
    Model,
}

impl Handover {
    /// What a stage is handed; `is_single` leaves out the audio-free stage, as in the paper's ablation.
    pub fn of(stage: Stage, is_single: bool) -> Self {
        match stage {
            Stage::Codec | Stage::Speech => Self::Nothing,
            Stage::DualTrack if !is_single => Self::Prior,
            _ => Self::Codec,
        }
    }
}

/// The tensors that a training starts with, by their names in checkpoints.
#[derive(Debug)]
pub struct Start {
    handover: Handover,
    earlier: Option<TensorFile>,
    /// What stands before a codec's names in `earlier`.
    earlier_codec: &'static str,
    stats: Option<Stats>,
    /// Where the speech encoder's tensors come from, if they are not fresh.
    encoder: Option<TensorFile>,
    seed: u64,
}

impl Start {
    /// A start from nothing: of a codec with the statistics of its motion, of a speech encoder without.
    pub fn fresh(stats: Option<Stats>, seed: u64) -> Self {
        Self { handover: Handover::Nothing, earlier: None, earlier_codec: "", stats, encoder: None, seed }
    }

    /// The same with the speech encoder of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`] if it cannot be read.
    pub fn with_encoder(self, path: &Path) -> Result<Self> {
        Ok(Self { encoder: Some(TensorFile::open(path)?), ..self })
    }

    /// A generator's start from the checkpoint of an earlier stage, which must be of the sizes of `model`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`] or [`Error::Config`] if it cannot be read, or is not what the stage needs.
    pub fn from_earlier(path: &Path, handover: Handover, model: &ModelConfig, seed: u64) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let earlier = describe(&file, None)?;
        let is_generator = earlier.generator.is_some();
        if handover == Handover::Prior && !is_generator {
            return Err(Error::checkpoint(path.display(), "a codec, but this stage starts from a generator")
                .with_hint("name the run of the audio-free stage"));
        }
        if earlier.space != model.space {
            let what = format!("made for {} motion, the preset is for {}", earlier.space, model.space);
            return Err(Error::checkpoint(path.display(), what).with_hint("name a run of the same preset"));
        }
        check_codec(path, &earlier.codec, &model.codec)?;
        let handover = match (handover, earlier.generator, &model.generator) {
            (Handover::Prior, Some(earlier), Some(wanted)) => continued(path, &earlier, wanted)?,
            (handover, ..) => handover,
        };
        let earlier_codec = if is_generator { CODEC_PREFIX } else { "" };
        Ok(Self { handover, earlier: Some(file), earlier_codec, stats: None, encoder: None, seed })
    }

    /// The earlier checkpoint, if it holds a speech encoder as well.
    pub fn encoder_of_earlier(&self) -> Option<&Path> {
        self.earlier.as_ref().filter(|file| file.names().any(is_encoder_tensor)).map(TensorFile::path)
    }

    /// The name of a tensor in the earlier checkpoint, if that must have it.
    fn earlier_name(&self, name: &str) -> Option<String> {
        if let Some(codec) = name.strip_prefix(CODEC_PREFIX) {
            return Some(format!("{}{codec}", self.earlier_codec));
        }
        let hears =
            |part: &str| matches!(part, "self_audio_attn" | "other_audio_attn" | "self_pos" | "other_pos");
        let is_new = |part: &str| match self.handover {
            Handover::Nothing | Handover::Codec => true,
            Handover::Prior => matches!(part, "lora_A" | "lora_B") || hears(part),
            Handover::Model => matches!(part, "lora_A" | "lora_B"),
        };
        (!name.split('.').any(is_new)).then(|| name.to_owned())
    }

    fn earlier(&self, name: &str) -> Option<(&TensorFile, String)> {
        if is_encoder_tensor(name) {
            return Some((self.encoder.as_ref()?, name.to_owned()));
        }
        Some((self.earlier.as_ref()?, self.earlier_name(name)?))
    }
}

/// The sizes must agree, or tensors of a like shape would be taken for something that they are not.
fn check_codec(path: &Path, earlier: &CodecConfig, wanted: &CodecConfig) -> Result<()> {
    if earlier == wanted {
        return Ok(());
    }
    Err(Error::config(path.display(), format!("its codec is {earlier:?}, the preset's {wanted:?}"))
        .with_hint("name a run of the same preset"))
}

/// How the dual-track stage starts from a generator: one that hears nothing is its prior, one that hears as this stage's
/// does is trained on.
fn continued(path: &Path, earlier: &GeneratorConfig, wanted: &GeneratorConfig) -> Result<Handover> {
    let sizes =
        |config: &GeneratorConfig| (config.width, config.heads, config.depth, config.causal.is_some());
    let hears = (earlier.audio_dim, wanted.audio_dim);
    match hears {
        (None, _) if sizes(earlier) == sizes(wanted) => Ok(Handover::Prior),
        (Some(from), Some(to)) if sizes(earlier) == sizes(wanted) && from == to => Ok(Handover::Model),
        _ => {
            let what = format!("its generator is {earlier:?}, this stage goes on to {wanted:?}");
            Err(Error::config(path.display(), what).with_hint("name a run of the same preset"))
        }
    }
}

impl TensorSource for Start {
    fn place(&self) -> String {
        self.earlier
            .as_ref()
            .map_or_else(|| "fresh weights".to_owned(), |file| file.path().display().to_string())
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        match (self.earlier(name), &self.stats) {
            (Some((file, name)), _) => file.info(&name).map(|info| info.shape),
            (None, Some(stats)) if is_statistic(name) => Some(vec![stats.width()]),
            _ => Some(wanted.to_vec()),
        }
    }

    fn read(&self, name: &str, wanted: &[usize], use_values: &mut dyn FnMut(&[f32])) -> Result<()> {
        match (self.earlier(name), &self.stats) {
            (Some((file, name)), _) => TensorSource::read(file, &name, wanted, use_values),
            (None, Some(stats)) if name.ends_with("motion_mean") => {
                use_values(stats.mean());
                Ok(())
            }
            (None, Some(stats)) if name.ends_with("motion_std") => {
                use_values(stats.std());
                Ok(())
            }
            _ => {
                use_values(&fresh(name, wanted, self.seed));
                Ok(())
            }
        }
    }
}

fn is_statistic(name: &str) -> bool {
    name.ends_with("motion_mean") || name.ends_with("motion_std")
}

/// Fresh values of a tensor, from the seed and its name alone.
///
/// Matrices are uniform within one over the root of their inputs, as PyTorch's linear layers; biases and the adapters'
/// second matrices are zero, norms one. Embeddings are normal with the deviation that next-scale transformers use,
/// the root of 1 / (3 D).
fn fresh(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let width = shape.last().copied().unwrap_or(1).max(1) as f64;
    if name.ends_with(".bias") || name.ends_with(".lora_B") {
        return vec![0.0; count];
    }
    if shape.len() == 1 {
        return vec![1.0; count];
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ name_hash(name));
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let is_embedding =
        name.ends_with("_embed") || name.ends_with("_pos") || name.ends_with("lvl_embed.weight");
    let spread = if is_embedding { (1.0 / (3.0 * width)).sqrt() } else { 1.0 / width.sqrt() };
    let mut draw = || {
        if is_embedding {
            // Box and Muller; the first draw is kept away from zero.
            let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
            spread * radius * (std::f64::consts::TAU * uniform()).cos()
        } else {
            spread * (2.0 * uniform() - 1.0)
        }
    };
    (0..count).map(|_| draw() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_values_are_seeded_and_of_the_right_size() {
        let of = |name: &str, shape: &[usize], seed| fresh(name, shape, seed);
        assert_eq!(of("a.weight", &[64, 64], 1), of("a.weight", &[64, 64], 1));
        assert_ne!(of("a.weight", &[64, 64], 1), of("b.weight", &[64, 64], 1));
        assert_ne!(of("a.weight", &[64, 64], 1), of("a.weight", &[64, 64], 2));
        let deviation = |values: &[f32]| {
            let squares: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
            (squares / values.len() as f64).sqrt()
        };
        // Uniform within 1/8: a deviation of 1/8 over the root of 3.
        let matrix = of("attn.to_qkv.weight", &[192, 64], 3);
        assert!(matrix.iter().all(|value| value.abs() <= 0.125));
        assert!((deviation(&matrix) / (0.125 / 3.0_f64.sqrt()) - 1.0).abs() < 0.03);
        let embedding = of("attn_blocks.lvl_embed.weight", &[50, 300], 3);
        assert!((deviation(&embedding) / (1.0 / 900.0_f64).sqrt() - 1.0).abs() < 0.03);
        assert!(of("x.bias", &[5], 0).iter().all(|&value| value == 0.0));
        assert!(of("head.lora_B", &[5, 2], 0).iter().all(|&value| value == 0.0));
        assert!(of("norm.weight", &[5], 0).iter().all(|&value| value == 1.0));
    }

    #[test]
    fn stages_are_handed_what_they_need() {
        assert_eq!(Handover::of(Stage::Codec, false), Handover::Nothing);
        assert_eq!(Handover::of(Stage::AudioFree, false), Handover::Codec);
        assert_eq!(Handover::of(Stage::DualTrack, false), Handover::Prior);
        assert_eq!(Handover::of(Stage::DualTrack, true), Handover::Codec);
    }
}
