//! The codec's two halves: the same transformer with other ends. Which frames see which is the caller's.

use burn::module::Module;
use burn::tensor::{Bool, Tensor, TensorData};

use super::CodecConfig;
use crate::error::Result;
use crate::nn::{
    Activation, KvRing, LayerNorm, Linear, Loader, Rotary, Sees, attend_qkv, attend_streams, values,
};

const NORM_EPSILON: f64 = 1e-5;

/// Encoder (motion to latent) or decoder (feature to motion).
#[derive(Module, Debug)]
pub struct Half {
    input: Linear,
    /// Attention and feed-forward of each layer; a checkpoint numbers them through: 0, 1, 2, ...
    layers: Vec<(AttentionBlock, FeedForwardBlock)>,
    output: Linear,
    rotary: Rotary,
}

impl Half {
    pub(super) fn load(
        config: &CodecConfig,
        frames: usize,
        loader: &Loader<'_>,
        transformer: &str,
        output: &str,
        [inputs, outputs]: [usize; 2],
    ) -> Self {
        let layers = loader.at(transformer);
        let positions: Vec<usize> = (0..frames).collect();
        Self {
            input: loader.linear("inp_mapping.0", [config.width, inputs]),
            layers: (0..config.depth)
                .map(|layer| {
                    let attention = AttentionBlock::load(config, &layers.at(2 * layer));
                    (attention, FeedForwardBlock::load(config.width, &layers.at(2 * layer + 1)))
                })
                .collect(),
            output: loader.linear(output, [outputs, config.width]),
            rotary: Rotary::new(&positions, config.width / config.heads, loader.device()),
        }
    }

    /// `(B, T, inputs)` to `(B, T, outputs)`; `mask` `(T, T)` is true where the row's frame must not see the column's.
    pub fn forward(&self, x: Tensor<3>, mask: Option<Tensor<2, Bool>>) -> Tensor<3> {
        let mut x = self.embed(x);
        for layer in 0..self.layers.len() {
            x = self.feed_forward(layer, self.attend(layer, x, mask.clone()));
        }
        self.project(x)
    }

    /// New frames of several streams at once, each seeing its own new frames and what its rings hold of the past: `x`
    /// `(1, streams n, inputs)`, stream by stream, to `(1, streams n, outputs)`. `positions` has the place of each row,
    /// `rings` each stream's layers.
    pub(super) fn step(
        &self,
        x: Tensor<3>,
        positions: &[u64],
        rings: &mut [&mut Vec<KvRing>],
    ) -> Result<Tensor<3>> {
        let rotary = Rotary::at(positions, self.rotary_width(), &x.device());
        let mut x = self.embed(x);
        for layer in 0..self.layers.len() {
            let (attention, feed_forward) = &self.layers[layer];
            let mut of_layer: Vec<&mut KvRing> = rings.iter_mut().map(|rings| &mut rings[layer]).collect();
            x = feed_forward.forward(attention.step(x, &rotary, &mut of_layer)?);
        }
        Ok(self.project(x))
    }

    /// Empty rings for one stream that sees `frames` frames of the past.
    pub(super) fn rings(&self, frames: usize) -> Vec<KvRing> {
        let ring = |(attention, _): &(AttentionBlock, FeedForwardBlock)| KvRing::new(frames, attention.width);
        self.layers.iter().map(ring).collect()
    }

    fn rotary_width(&self) -> usize {
        self.layers.first().map_or(2, |(attention, _)| attention.width / attention.heads)
    }

    /// The input mapping: Linear and LeakyReLU.
    pub fn embed(&self, x: Tensor<3>) -> Tensor<3> {
        self.input.forward_then(x, Activation::LeakyRelu)
    }

    /// Residual attention of a layer.
    pub fn attend(&self, layer: usize, x: Tensor<3>, mask: Option<Tensor<2, Bool>>) -> Tensor<3> {
        let frames = x.dims()[1];
        self.layers[layer].0.forward(x, &self.rotary.range(0, frames), mask)
    }

    /// Residual feed-forward of a layer.
    pub fn feed_forward(&self, layer: usize, x: Tensor<3>) -> Tensor<3> {
        self.layers[layer].1.forward(x)
    }

    /// The output mapping.
    pub fn project(&self, x: Tensor<3>) -> Tensor<3> {
        self.output.forward(x)
    }

    /// Number of layers.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }
}

/// `x + to_out(attention(norm(x)))`.
#[derive(Module, Debug)]
pub struct AttentionBlock {
    norm: LayerNorm,
    to_qkv: Linear,
    to_out: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    width: usize,
}

impl AttentionBlock {
    fn load(config: &CodecConfig, loader: &Loader<'_>) -> Self {
        let width = config.width;
        Self {
            norm: loader.layer_norm("norm", width, NORM_EPSILON),
            to_qkv: loader.linear_without_bias("to_qkv", [3 * width, width]),
            to_out: loader.linear("to_out", [width, width]),
            heads: config.heads,
            width,
        }
    }

    /// [`AttentionBlock::forward`] for new rows `(1, n, D)` of several streams.
    fn step(&self, x: Tensor<3>, rotary: &Rotary, rings: &mut [&mut KvRing]) -> Result<Tensor<3>> {
        let qkv = self.to_qkv.forward(self.norm.forward(x.clone()));
        let [_, rows, packed] = qkv.dims();
        let device = qkv.device();
        let mut qkv = values(qkv)?;
        let width = self.width;
        rotary.turn_rows(&mut qkv, packed, 2 * width);
        let mut out = vec![0.0; rows * width];
        let per_stream = rows / rings.len().max(1);
        let of_stream = |rows: &[f32]| -> Vec<f32> {
            rows.chunks_exact(packed).flat_map(|row| row[width..].iter().copied()).collect()
        };
        let streams = qkv.chunks_exact(per_stream * packed);
        let fresh: Vec<Vec<f32>> = streams.clone().map(of_stream).collect();
        let sees = streams.zip(&fresh).zip(rings.iter());
        let sees: Vec<Sees<'_>> =
            sees.map(|((queries, fresh), ring)| Sees { queries, entries: [ring.entries(), fresh] }).collect();
        attend_streams(&sees, packed, self.heads, &mut out);
        for (fresh, ring) in fresh.iter().zip(rings) {
            fresh.chunks_exact(2 * width).for_each(|entry| ring.push(entry));
        }
        let out = Tensor::from_data(TensorData::new(out, [1, rows, width]), &device);
        Ok(self.to_out.add_to(out, x))
    }

    fn forward(&self, x: Tensor<3>, rotary: &Rotary, mask: Option<Tensor<2, Bool>>) -> Tensor<3> {
        let qkv = self.to_qkv.forward(self.norm.forward(x.clone()));
        self.to_out.add_to(attend_qkv(qkv, self.heads, Some(rotary), mask), x)
    }
}

/// `x + down(gelu(up(x)))`, one and a half times as wide inside, without a norm.
#[derive(Module, Debug)]
pub struct FeedForwardBlock {
    up: Linear,
    down: Linear,
}

impl FeedForwardBlock {
    fn load(width: usize, loader: &Loader<'_>) -> Self {
        let inside = width + width / 2;
        Self { up: loader.linear("0", [inside, width]), down: loader.linear("2", [width, inside]) }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let inside = self.up.forward_then(x.clone(), Activation::GeluTanh);
        self.down.add_to(inside, x)
    }
}
