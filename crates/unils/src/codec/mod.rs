//! Motion codec: a transformer auto-encoder around a multi-scale binary spherical quantiser.
//!
//! Between motion and generator: [`Codec::features`] turns a window of motion into the feature that conditions
//! the generator, [`Codec::decode`] turns generated bits' feature back into motion. Parameter names are the
//! released checkpoint's (`encoder.encoder_transformer.0.to_qkv.weight` ...).
//!
//! Letters: `B` batch, `T` frames of a window, `L` tokens of all scales, `M` motion channels, `C` bits a token.

mod quantizer;
mod schedule;
mod transformer;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

pub use quantizer::{Quantized, Quantizer, ScaleCode, ScaleLoss};
pub use schedule::Schedule;
pub use transformer::{AttentionBlock, FeedForwardBlock, Half};

use crate::error::{Error, Result};
use crate::motion::Stats;
use crate::nn::Loader;

/// Guards the division by a channel's deviation, as in the release (the way back has no such term).
const STD_EPSILON: f64 = 1e-8;

/// Sizes of a codec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecConfig {
    /// Motion channels.
    pub motion_dim: usize,
    /// Transformer width.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Layers of the encoder, and of the decoder.
    pub depth: usize,
    /// Bits a token.
    pub code_width: usize,
    /// Tokens of each scale, coarse to fine; the last is the window in frames.
    pub schedule: Vec<usize>,
}

impl CodecConfig {
    /// Checks the sizes against each other and against sane bounds.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self) -> Result<Schedule> {
        check_size("codec.motion_dim", self.motion_dim, 4096)?;
        check_size("codec.code_width", self.code_width, 1024)?;
        check_transformer("codec", self.width, self.heads, self.depth)?;
        Schedule::new(&self.schedule)
    }
}

/// Bounds that any transformer's sizes must keep: heads divide the width into even parts (rotary pairs).
pub(crate) fn check_transformer(place: &str, width: usize, heads: usize, depth: usize) -> Result<()> {
    check_size(&format!("{place}.width"), width, 16_384)?;
    check_size(&format!("{place}.heads"), heads, 256)?;
    check_size(&format!("{place}.depth"), depth, 256)?;
    if !width.is_multiple_of(2 * heads) {
        let what = format!("width {width} does not split into {heads} heads of an even number of channels");
        return Err(Error::config(place, what));
    }
    Ok(())
}

pub(crate) fn check_size(place: &str, size: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&size) {
        return Ok(());
    }
    Err(Error::config(place, format!("expected a number from 1 to {most}, got {size}")))
}

/// The codec with its motion statistics.
#[derive(Module, Debug)]
pub struct Codec {
    /// `(1, 1, M)`.
    motion_mean: Tensor<3>,
    /// `(1, 1, M)`.
    motion_std: Tensor<3>,
    encoder: Half,
    decoder: Half,
    quantizer: Quantizer,
}

impl Codec {
    /// Builds the codec from a checkpoint's subtree.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes. Missing or misshapen tensors are in the loader's report.
    pub fn load(config: &CodecConfig, loader: &Loader<'_>) -> Result<Self> {
        let schedule = config.validate()?;
        let motion = config.motion_dim;
        let statistic = |name| loader.tensor(name, [motion]).reshape([1, 1, motion]);
        let half = |name, transformer, output, shape| {
            Half::load(config, schedule.window(), &loader.at(name), transformer, output, shape)
        };
        Ok(Self {
            motion_mean: statistic("motion_mean"),
            motion_std: statistic("motion_std"),
            encoder: half("encoder", "encoder_transformer", "code_mapping", [motion, config.code_width]),
            decoder: half("decoder", "decoder_transformer", "out_mapping", [config.code_width, motion]),
            quantizer: Quantizer::new(schedule, config.code_width, loader.device()),
        })
    }

    /// Replaces the motion statistics that came with the checkpoint.
    ///
    /// # Errors
    /// [`Error::Config`] when there are not as many channels as the codec has.
    pub fn set_statistics(&mut self, stats: &Stats) -> Result<()> {
        let channels = self.motion_dim();
        if stats.width() != channels {
            let what = format!("{} channels, but the codec has {channels}", stats.width());
            return Err(Error::config("statistics", what));
        }
        let device = self.motion_mean.device();
        let tensor =
            |values: &[f32]| Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, channels]), &device);
        self.motion_mean = tensor(stats.mean());
        self.motion_std = tensor(stats.std());
        Ok(())
    }

    /// The quantiser and its schedule.
    pub fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// The encoder half, for tests and training.
    pub fn encoder(&self) -> &Half {
        &self.encoder
    }

    /// Motion channels.
    pub fn motion_dim(&self) -> usize {
        self.motion_mean.dims()[2]
    }

    /// Frames of a window.
    pub fn window(&self) -> usize {
        self.quantizer.schedule().window()
    }

    /// Raw motion `(B, T, M)` in units of each channel's deviation.
    pub fn normalize(&self, motion: Tensor<3>) -> Tensor<3> {
        (motion - self.motion_mean.clone()) / (self.motion_std.clone() + STD_EPSILON)
    }

    /// The way back from [`Codec::normalize`].
    pub fn denormalize(&self, motion: Tensor<3>) -> Tensor<3> {
        motion * self.motion_std.clone() + self.motion_mean.clone()
    }

    /// Raw motion `(B, T, M)` to the latent before quantisation `(B, T, C)`.
    pub fn encode(&self, motion: Tensor<3>) -> Tensor<3> {
        self.encoder.forward(self.normalize(motion))
    }

    /// A sum feature `(B, T, C)` to raw motion `(B, T, M)`.
    pub fn decode(&self, sum: Tensor<3>) -> Tensor<3> {
        self.denormalize(self.decoder.forward(sum))
    }

    /// Raw motion `(B, T, M)` to the quantised feature that conditions a generator, `(B, T, C)`.
    pub fn features(&self, motion: Tensor<3>) -> Tensor<3> {
        self.quantizer.quantize(self.encode(motion)).sum
    }

    /// Motion of any length `(B, n, M)` through the codec and back, window by window; the last window is
    /// filled up with zeros. Returns the reconstruction `(B, n, M)` and the bits of each window.
    pub fn reconstruct(&self, motion: Tensor<3>) -> (Tensor<3>, Vec<Tensor<3>>) {
        let [batch, frames, channels] = motion.dims();
        let window = self.window();
        let (mut parts, mut bits) = (Vec::new(), Vec::new());
        for start in (0..frames).step_by(window) {
            let end = frames.min(start + window);
            let part = motion.clone().slice([0..batch, start..end, 0..channels]);
            let fill = Tensor::zeros([batch, start + window - end, channels], &motion.device());
            let quantized = self.quantizer.quantize(self.encode(Tensor::cat(vec![part, fill], 1)));
            let decoded = self.decode(quantized.sum);
            parts.push(decoded.slice([0..batch, 0..end - start, 0..channels]));
            bits.push(quantized.bits);
        }
        (Tensor::cat(parts, 1), bits)
    }
}
