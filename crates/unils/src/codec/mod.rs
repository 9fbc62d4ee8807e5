//! Motion codec: a transformer auto-encoder around a multi-scale binary spherical quantiser.
//!
//! Between motion and generator: [`Codec::features`] turns a window of motion into the feature that conditions
//! the generator, [`Codec::decode`] turns generated bits' feature back into motion. Parameter names are the
//! released checkpoint's (`encoder.encoder_transformer.0.to_qkv.weight` ...).
//!
//! The released codec codes each window by itself. A block-causal one ([`CodecConfig::past`]) takes whole clips, in
//! which a frame sees its own window and some windows before it, so that windows join without seams; its channels may
//! be divided into parts with bits of their own ([`PartConfig`]).
//!
//! Letters: `B` batch, `T` frames of a window (block-causal: of all windows of a clip), `L` tokens of all scales,
//! `M` motion channels, `C` bits a token.

mod parts;
mod quantizer;
mod schedule;
mod transformer;

use burn::module::Module;
use burn::tensor::{Bool, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use parts::Part;
pub use parts::{DecoderState, PartConfig};
pub use quantizer::{Quantized, Quantizer, ScaleCode, ScaleLoss};
pub use schedule::Schedule;
pub use transformer::{AttentionBlock, FeedForwardBlock, Half};

use crate::error::{Error, Result};
use crate::motion::Stats;
use crate::nn::Loader;

/// Guards the division by a channel's deviation, as in the release (the way back has no such term).
const STD_EPSILON: f64 = 1e-8;

/// Frames of the longest clip that a block-causal codec takes at once.
pub const LONGEST_CLIP: usize = 512;

/// Sizes of a codec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Windows before its own that a frame sees, in encoder and decoder; `None` = windows are coded one by one, and
    /// all frames of one see each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<usize>,
    /// Length of a token's code at each scale; empty = 1 at all scales, as in the release. Smaller codes at finer
    /// scales let them correct what coarser ones left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gains: Vec<f32>,
    /// Groups of channels with an auto-encoder and bits of their own; empty = all channels together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartConfig>,
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
        let schedule = Schedule::new(&self.schedule)?;
        if let Some(past) = self.past {
            check_size("codec.past", past * schedule.window(), LONGEST_CLIP)?;
        }
        let is_gain = |gain: &f32| gain.is_finite() && *gain > 0.0;
        if !self.gains.is_empty()
            && (self.gains.len() != self.schedule.len() || !self.gains.iter().all(is_gain))
        {
            let what = format!("expected a positive number for each scale, got {:?}", self.gains);
            return Err(Error::config("codec.gains", what));
        }
        parts::validate(self)?;
        Ok(schedule)
    }

    /// Bits a token of each part.
    pub(crate) fn bits_of_parts(&self) -> Vec<usize> {
        if self.parts.is_empty() {
            return vec![self.code_width];
        }
        self.parts.iter().map(|part| part.code_width).collect()
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
    parts: Vec<Part>,
    quantizer: Quantizer,
    #[module(skip)]
    past: Option<usize>,
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
        let quantizer = Quantizer::new(schedule, &config.bits_of_parts(), &config.gains, loader.device());
        Ok(Self {
            motion_mean: statistic("motion_mean"),
            motion_std: statistic("motion_std"),
            parts: Part::load_all(config, loader),
            quantizer,
            past: config.past,
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

    /// The encoder half of the first part, for tests and training.
    pub fn encoder(&self) -> &Half {
        &self.parts[0].encoder
    }

    /// Motion channels.
    pub fn motion_dim(&self) -> usize {
        self.motion_mean.dims()[2]
    }

    /// Frames of a window.
    pub fn window(&self) -> usize {
        self.quantizer.schedule().window()
    }

    /// Whether windows see those before them.
    pub fn is_causal(&self) -> bool {
        self.past.is_some()
    }

    /// Raw motion `(B, T, M)` in units of each channel's deviation.
    pub fn normalize(&self, motion: Tensor<3>) -> Tensor<3> {
        (motion - self.motion_mean.clone()) / (self.motion_std.clone() + STD_EPSILON)
    }

    /// The way back from [`Codec::normalize`].
    pub fn denormalize(&self, motion: Tensor<3>) -> Tensor<3> {
        motion * self.motion_std.clone() + self.motion_mean.clone()
    }

    /// Differences of raw motion `(B, T, M)` in units of each channel's deviation.
    pub fn in_deviations(&self, difference: Tensor<3>) -> Tensor<3> {
        difference / (self.motion_std.clone() + STD_EPSILON)
    }

    /// Which frames of a clip a frame must not see, `(frames, frames)`; `None` = it sees all.
    fn mask(&self, frames: usize) -> Option<Tensor<2, Bool>> {
        let (past, window) = (self.past?, self.window());
        let sees =
            |row: usize, column: usize| (0..=past).contains(&(row / window).wrapping_sub(column / window));
        let hidden: Vec<bool> = (0..frames * frames).map(|at| !sees(at / frames, at % frames)).collect();
        Some(Tensor::from_data(TensorData::new(hidden, [frames, frames]), &self.motion_mean.device()))
    }

    /// Raw motion `(B, T, M)` to the latent before quantisation `(B, T, C)`.
    pub fn encode(&self, motion: Tensor<3>) -> Tensor<3> {
        let motion = self.normalize(motion);
        let mask = self.mask(motion.dims()[1]);
        let codes = self.parts.iter().map(|part| part.encode(&motion, mask.clone()));
        Tensor::cat(codes.collect(), 2)
    }

    /// A sum feature `(B, T, C)` to raw motion `(B, T, M)`.
    pub fn decode(&self, sum: Tensor<3>) -> Tensor<3> {
        let mask = self.mask(sum.dims()[1]);
        let moved = self.parts.iter().map(|part| part.decode(&sum, mask.clone()));
        self.denormalize(parts::assemble(&self.parts, moved.collect()))
    }

    /// A latent `(B, T, C)` of any number of windows, quantised window by window: rows are `B` times the windows.
    pub fn quantize(&self, latent: Tensor<3>) -> Quantized {
        let [batch, frames, bits] = latent.dims();
        let window = self.window();
        self.quantizer.quantize(latent.reshape([batch * frames / window, window, bits]))
    }

    /// Raw motion `(B, T, M)` to the quantised feature that conditions a generator, `(B, T, C)`.
    pub fn features(&self, motion: Tensor<3>) -> Tensor<3> {
        let latent = self.encode(motion);
        let shape = latent.dims();
        self.quantize(latent).sum.reshape(shape)
    }

    /// Motion of any length `(B, n, M)` through the codec and back, the last window filled up with zeros. Returns the
    /// reconstruction `(B, n, M)` and the bits of each window.
    pub fn reconstruct(&self, motion: Tensor<3>) -> (Tensor<3>, Vec<Tensor<3>>) {
        let [batch, frames, channels] = motion.dims();
        let window = self.window();
        // A block-causal codec takes clips, each after a half that has only been heard before.
        let (clip, warm) = match self.past {
            None => (window, 0),
            Some(_) => (LONGEST_CLIP / window * window, LONGEST_CLIP / 2 / window * window),
        };
        let (mut parts, mut bits) = (Vec::new(), Vec::new());
        let mut done = 0;
        while done < frames {
            let start = done.saturating_sub(warm);
            let end = frames.min(start + clip);
            let part = motion.clone().slice([0..batch, start..end, 0..channels]);
            let fill = (end - start).next_multiple_of(window) - (end - start);
            let fill = Tensor::zeros([batch, fill, channels], &motion.device());
            let latent = self.encode(Tensor::cat(vec![part, fill], 1));
            let shape = latent.dims();
            let quantized = self.quantize(latent);
            let decoded = self.decode(quantized.sum.reshape(shape));
            parts.push(decoded.slice([0..batch, done - start..end - start, 0..channels]));
            let [rows, tokens, width] = quantized.bits.dims();
            let by_window = quantized.bits.reshape([batch, rows / batch, tokens * width]);
            let of_window =
                |index: usize| by_window.clone().narrow(1, index, 1).reshape([batch, tokens, width]);
            bits.extend(((done - start) / window..rows / batch).map(of_window));
            done = end;
        }
        (Tensor::cat(parts, 1), bits)
    }

    /// A decoder's past before the first window of a stream.
    pub fn begin_decoding(&self) -> DecoderState {
        DecoderState::new(&self.parts, self.past.unwrap_or_default() * self.window())
    }

    /// The next window of several streams, `(B, W, C)` to raw motion `(B, W, M)`: what [`Codec::decode`] gives of the
    /// whole clips. `firsts` has each stream's first frame.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn decode_step(
        &self,
        sum: Tensor<3>,
        firsts: &[u64],
        states: &mut [&mut DecoderState],
    ) -> Result<Tensor<3>> {
        let [batch, window, bits] = sum.dims();
        let positions: Vec<u64> =
            firsts.iter().flat_map(|&first| (0..window as u64).map(move |frame| first + frame)).collect();
        let flat = sum.reshape([1, batch * window, bits]);
        let mut moved = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            moved.push(part.decode_step(&flat, &positions, index, states)?);
        }
        let motion = self.denormalize(parts::assemble(&self.parts, moved));
        Ok(motion.reshape([batch, window, self.motion_dim()]))
    }
}
