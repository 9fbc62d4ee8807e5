//! Mimi (Moshi, arXiv 2410.00037): the encoder half of a speech codec as a source of features. 25 features a second.
//!
//! The second kind of audio encoder that a generator can be trained with, beside wav2vec 2.0. Parameter names and
//! layout are those of Transformers' `MimiModel` (`kyutai/mimi`). Audio is mono at 24 kHz and not normalised;
//! [`Mimi::features_16k`] brings tracks of 16 kHz there. Everything is causal:
//!
//! 1. convolutions over the waveform with residual blocks between them, strides 4, 5, 6, 8: 960 samples a frame;
//! 2. a pre-norm transformer whose frames see themselves and the `sliding_window - 1` frames before;
//! 3. a convolution that halves the rate to 12.5 frames a second: `z`;
//! 4. the codec would now quantise. The features are what its two residual quantisers would approximate: `z`
//!    through each one's input and output projections, without any code book, `semantic.output(semantic.input(z))
//!    + acoustic.output(acoustic.input(z))`;
//! 5. each of these frames stands twice, which gives the 25 frames a second of the motion.
//!
//! The codec's decoder and code books are in the same checkpoint and are not read.
//!
//! Two things are settled when a checkpoint is loaded, at no cost later: channels of queries and keys, which
//! Transformers rotates as (first half, second half), are put in neighbouring pairs as [`Rotary`] turns them (the
//! scores do not depend on the order), and the layer scales are multiplied into the projections before them.
//!
//! The golden test compares each stage with Transformers' own `MimiModel` on a small random model: an independent
//! reference. Steps 4 and 5 are our reading of the release's description, put together there from the model's own
//! modules; no tensors of the release itself stand behind them.
//!
//! Letters: `B` tracks, `N` samples, `S` frames at 25 Hz, `A` width.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use unils::encoder::{Mimi, MimiConfig};
//! use unils::nn::{Loader, RandomWeights};
//! # fn main() -> unils::Result<()> {
//! let config = MimiConfig {
//!     hidden_size: 16,
//!     num_filters: 2,
//!     num_hidden_layers: 1,
//!     num_attention_heads: 2,
//!     num_key_value_heads: 2,
//!     head_dim: None,
//!     intermediate_size: 32,
//!     vector_quantization_hidden_dimension: 8,
//!     ..MimiConfig::kyutai()
//! };
//! let device = Device::flex();
//! let mimi = Mimi::load(&config, &Loader::new(&RandomWeights { seed: 1 }, &device, true))?;
//! let features = mimi.forward(Tensor::zeros([1, 9600], &device));
//! assert_eq!(features.dims(), [1, 10, 16]);
//! # Ok(())
//! # }
//! ```

mod config;

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor, TensorData};

pub use config::MimiConfig;

use crate::audio::{MODEL_RATE, Resampler};
use crate::error::Result;
use crate::nn::{Activation, Conv1d, ConvOptions, LayerNorm, Linear, Loader, Rotary, attend_qkv};

/// Frames of the transformer for each frame of `z`; each of those is repeated as often.
const LATENT_STRIDE: usize = 2;

/// The encoder.
#[derive(Module, Debug)]
pub struct Mimi {
    first: Conv1d,
    stages: Vec<Stage>,
    last: Conv1d,
    layers: Vec<Layer>,
    downsample: Conv1d,
    semantic: Projections,
    acoustic: Projections,
    #[module(skip)]
    sample_rate: u32,
    /// From the other models' rate.
    #[module(skip)]
    resampler: Resampler,
    #[module(skip)]
    hop: usize,
    #[module(skip)]
    width: usize,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    sliding_window: usize,
}

impl Mimi {
    /// Builds the encoder from the root of its checkpoint.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for impossible or unknown settings. Missing or misshapen tensors are
    /// in the loader's report.
    pub fn load(config: &MimiConfig, loader: &Loader<'_>) -> Result<Self> {
        config.validate()?;
        loader.ignore(is_codec_only);
        let width = config.hidden_size;
        let convolutional = loader.at("encoder").at("layers");
        let conv = |index: usize, [outputs, inputs]: [usize; 2], kernel: usize| {
            convolutional.at(index).conv("conv", causal([outputs, inputs], kernel, 1), true)
        };
        let strides = config.strides();
        let channels = |stage: usize| config.num_filters << stage;
        // A stage takes three places in the list: block, ELU, convolution. The last convolution has an ELU before it.
        let stages = strides.iter().enumerate().map(|(stage, &stride)| {
            let at = |offset: usize| convolutional.at(1 + 3 * stage + offset);
            Stage::load(config, channels(stage), stride, [&at(0), &at(2)])
        });
        let transformer = loader.at("encoder_transformer").at("layers");
        let downsample =
            ConvOptions { padding: [0, 0], ..causal([width, width], 2 * LATENT_STRIDE, LATENT_STRIDE) };
        let quantizer = loader.at("quantizer");
        Ok(Self {
            first: conv(0, [channels(0), 1], config.kernel_size),
            stages: stages.collect(),
            last: conv(2 + 3 * strides.len(), [width, channels(strides.len())], config.last_kernel_size),
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::load(config, &transformer.at(index)))
                .collect(),
            downsample: loader.at("downsample").conv("conv", downsample, false),
            semantic: Projections::load(config, &quantizer.at("semantic_residual_vector_quantizer")),
            acoustic: Projections::load(config, &quantizer.at("acoustic_residual_vector_quantizer")),
            sample_rate: config.sampling_rate,
            resampler: Resampler::new(MODEL_RATE, config.sampling_rate)?,
            hop: config.hop(),
            width,
            heads: config.num_attention_heads,
            sliding_window: config.sliding_window,
        })
    }

    /// Waveforms `(B, N)` at 24 kHz, `N` at least 1, to features `(B, features(N), A)`.
    pub fn forward(&self, waves: Tensor<2>) -> Tensor<3> {
        repeat(self.project(self.downsample(self.transform(self.convolve(waves)))))
    }

    /// Waveforms `(B, N)` at 16 kHz to features: each row on its own to 24 kHz, then [`Mimi::forward`]. The samples
    /// pass through the host's memory, and no gradient does.
    pub fn features_16k(&self, waves: Tensor<2>) -> Tensor<3> {
        let ([batch, samples], device) = (waves.dims(), waves.device());
        let values: Vec<f32> = waves.into_data().iter().collect();
        let mut resampled = Vec::new();
        for row in values.chunks_exact(samples.max(1)) {
            let mut resampler = self.resampler.clone();
            resampler.push(row, &mut resampled);
            resampler.finish(&mut resampled);
        }
        let length = resampled.len() / batch.max(1);
        self.forward(Tensor::from_data(TensorData::new(resampled, [batch, length]), &device))
    }

    /// Features that [`Mimi::forward`] gives for `samples` samples: 100 for a window of 4 s.
    pub fn features(&self, samples: usize) -> usize {
        samples.div_ceil(self.hop).next_multiple_of(LATENT_STRIDE)
    }

    /// Channels of the features.
    pub fn feature_dim(&self) -> usize {
        self.width
    }

    /// Samples a second that [`Mimi::forward`] expects.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Waveforms `(B, N)` through all convolutions, `(B, S, A)`.
    pub fn convolve(&self, waves: Tensor<2>) -> Tensor<3> {
        let x = (0..self.stages.len()).fold(self.begin(waves), |x, index| self.stage(index, x));
        self.last.forward_between(Activation::Elu, x, Activation::None)
    }

    /// Waveforms `(B, N)` through the first convolution, `(B, N, C)`.
    pub fn begin(&self, waves: Tensor<2>) -> Tensor<3> {
        self.first.forward_then(waves.unsqueeze_dim(2), Activation::None)
    }

    /// A residual block and the strided convolution after it, `(B, n, C)` to `(B, ceil(n / stride), 2 C)`.
    pub fn stage(&self, index: usize, x: Tensor<3>) -> Tensor<3> {
        self.stages[index].forward(x)
    }

    /// Number of stages.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// All transformer layers, `(B, S, A)`.
    pub fn transform(&self, x: Tensor<3>) -> Tensor<3> {
        let [_, frames, width] = x.dims();
        let device = x.device();
        let positions: Vec<usize> = (0..frames).collect();
        let rotary = Rotary::new(&positions, width / self.heads, &device);
        let mask = hidden(frames, self.sliding_window, &device);
        self.layers.iter().fold(x, |x, layer| layer.forward(x, &rotary, &mask))
    }

    /// Half the frames, `(B, S, A)` to `(B, ceil(S / 2), A)`. Beyond its ends the signal goes on unchanged.
    pub fn downsample(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, frames, width] = x.dims();
        let frame = |index: usize| x.clone().slice([0..batch, index..index + 1, 0..width]);
        let mut parts = vec![frame(0); LATENT_STRIDE];
        parts.push(x.clone());
        parts.extend((frames..frames.next_multiple_of(LATENT_STRIDE)).map(|_| frame(frames - 1)));
        self.downsample.forward_then(Tensor::cat(parts, 1), Activation::None)
    }

    /// The sum of both quantisers' projections, `(B, S / 2, A)`.
    pub fn project(&self, z: Tensor<3>) -> Tensor<3> {
        let semantic = self.semantic.output.forward(self.semantic.input.forward(z.clone()));
        self.acoustic.output.add_to(self.acoustic.input.forward(z), semantic)
    }
}

/// Tensors of the codec that the features do not need.
fn is_codec_only(name: &str) -> bool {
    let is_codebook = name.starts_with("quantizer.") && name.contains(".codebook.");
    is_codebook || ["decoder.", "decoder_transformer.", "upsample."].iter().any(|part| name.starts_with(part))
}

/// A convolution whose last tap meets the newest frame: `ceil(n / stride)` frames from `n`. Zeros complete the
/// last stride.
fn causal([outputs, inputs]: [usize; 2], kernel: usize, stride: usize) -> ConvOptions {
    ConvOptions { inputs, outputs, kernel, stride, padding: [kernel - stride, stride - 1], groups: 1 }
}

/// `(S, S)`, true where the row's frame must not look at the column's.
fn hidden(frames: usize, window: usize, device: &Device) -> Tensor<2, Bool> {
    let visible = |query: usize, key: usize| key <= query && query - key < window;
    let hidden: Vec<bool> =
        (0..frames).flat_map(|query| (0..frames).map(move |key| !visible(query, key))).collect();
    Tensor::from_data(TensorData::new(hidden, [frames, frames]), device)
}

/// Each frame twice, one after the other.
fn repeat(x: Tensor<3>) -> Tensor<3> {
    let [batch, frames, width] = x.dims();
    Tensor::stack::<4>(vec![x; LATENT_STRIDE], 2).reshape([batch, frames * LATENT_STRIDE, width])
}

/// A residual block, ELU and a strided convolution to twice the channels.
#[derive(Module, Debug)]
struct Stage {
    narrow: Conv1d,
    /// The block's second convolution, of one tap.
    widen: Linear,
    down: Conv1d,
}

impl Stage {
    fn load(config: &MimiConfig, channels: usize, stride: usize, [block, down]: [&Loader<'_>; 2]) -> Self {
        let (block, inside) = (block.at("block"), channels / config.compress);
        let narrow = causal([inside, channels], config.residual_kernel_size, 1);
        Self {
            narrow: block.at(1).conv("conv", narrow, true),
            widen: pointwise(&block.at(3).at("conv"), [channels, inside], true),
            down: down.conv("conv", causal([2 * channels, channels], 2 * stride, stride), true),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let inside = self.narrow.forward_between(Activation::Elu, x.clone(), Activation::Elu);
        let x = self.widen.add_to(inside, x);
        self.down.forward_between(Activation::Elu, x, Activation::None)
    }
}

/// A convolution of one tap, which is a linear layer.
fn pointwise(loader: &Loader<'_>, shape @ [outputs, inputs]: [usize; 2], with_bias: bool) -> Linear {
    let bias = with_bias.then(|| loader.values("bias", &[outputs], <[f32]>::to_vec));
    loader.values("weight", &[outputs, inputs, 1], |weight| loader.linear_of(weight, bias.as_deref(), shape))
}

/// The linear maps around a quantiser's code books.
#[derive(Module, Debug)]
struct Projections {
    input: Linear,
    output: Linear,
}

impl Projections {
    fn load(config: &MimiConfig, loader: &Loader<'_>) -> Self {
        let (outside, inside) = (config.hidden_size, config.vector_quantization_hidden_dimension);
        Self {
            input: pointwise(&loader.at("input_proj"), [inside, outside], false),
            output: pointwise(&loader.at("output_proj"), [outside, inside], false),
        }
    }
}

/// Attention and feed-forward with their norms.
#[derive(Module, Debug)]
struct Layer {
    attention_norm: LayerNorm,
    /// Query, key and value projections in one product.
    to_qkv: Linear,
    /// With the layer scale.
    to_out: Linear,
    norm: LayerNorm,
    up: Linear,
    /// With the layer scale.
    down: Linear,
    #[module(skip)]
    heads: usize,
}

impl Layer {
    fn load(config: &MimiConfig, loader: &Loader<'_>) -> Self {
        let (width, inside) = (config.hidden_size, config.intermediate_size);
        let heads = config.num_attention_heads;
        let (attention, dense) = (loader.at("self_attn"), loader.at("mlp"));
        let weight = |name: &str| attention.values(name, &[width, width], <[f32]>::to_vec);
        let mut qkv = in_pairs(&weight("q_proj.weight"), width, heads);
        qkv.extend(in_pairs(&weight("k_proj.weight"), width, heads));
        qkv.extend(weight("v_proj.weight"));
        let attention_scale = loader.values("self_attn_layer_scale.scale", &[width], <[f32]>::to_vec);
        let dense_scale = loader.values("mlp_layer_scale.scale", &[width], <[f32]>::to_vec);
        Self {
            attention_norm: loader.layer_norm("input_layernorm", width, config.norm_eps),
            to_qkv: loader.linear_of(&qkv, None, [3 * width, width]),
            to_out: scaled(&attention.at("o_proj"), &attention_scale, width),
            norm: loader.layer_norm("post_attention_layernorm", width, config.norm_eps),
            up: dense.linear_without_bias("fc1", [inside, width]),
            down: scaled(&dense.at("fc2"), &dense_scale, inside),
            heads,
        }
    }

    fn forward(&self, x: Tensor<3>, rotary: &Rotary, mask: &Tensor<2, Bool>) -> Tensor<3> {
        let qkv = self.to_qkv.forward(self.attention_norm.forward(x.clone()));
        let x = self.to_out.add_to(attend_qkv(qkv, self.heads, Some(rotary), Some(mask.clone())), x);
        self.down.add_to(self.up.forward_then(self.norm.forward(x.clone()), Activation::Gelu), x)
    }
}

/// Reorders the rows of each head of a `(width, width)` weight from (first half, second half) to neighbouring pairs.
fn in_pairs(weight: &[f32], width: usize, heads: usize) -> Vec<f32> {
    let half = width / heads / 2;
    let mut paired = Vec::with_capacity(weight.len());
    for head in weight.chunks_exact(2 * half * width) {
        let (first, second) = head.split_at(half * width);
        for (a, b) in first.chunks_exact(width).zip(second.chunks_exact(width)) {
            paired.extend_from_slice(a);
            paired.extend_from_slice(b);
        }
    }
    paired
}

/// A linear layer without bias whose outputs are multiplied by `scale`.
fn scaled(loader: &Loader<'_>, scale: &[f32], inputs: usize) -> Linear {
    let shape = [scale.len(), inputs];
    let mut weight = loader.values("weight", &shape, <[f32]>::to_vec);
    for (row, scale) in weight.chunks_exact_mut(inputs).zip(scale) {
        row.iter_mut().for_each(|value| *value *= scale);
    }
    loader.linear_of(&weight, None, shape)
}
