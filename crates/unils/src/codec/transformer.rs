//! The codec's two halves: the same bidirectional transformer with other ends.

use burn::module::Module;
use burn::tensor::Tensor;

use super::CodecConfig;
use crate::nn::{Activation, LayerNorm, Linear, Loader, Rotary, attend_qkv};

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
        window: usize,
        loader: &Loader<'_>,
        transformer: &str,
        output: &str,
        [inputs, outputs]: [usize; 2],
    ) -> Self {
        let layers = loader.at(transformer);
        let positions: Vec<usize> = (0..window).collect();
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

    /// `(B, T, inputs)` to `(B, T, outputs)`; every frame of the window sees every other.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let mut x = self.embed(x);
        for layer in 0..self.layers.len() {
            x = self.feed_forward(layer, self.attend(layer, x));
        }
        self.project(x)
    }

    /// The input mapping: Linear and LeakyReLU.
    pub fn embed(&self, x: Tensor<3>) -> Tensor<3> {
        self.input.forward_then(x, Activation::LeakyRelu)
    }

    /// Residual attention of a layer.
    pub fn attend(&self, layer: usize, x: Tensor<3>) -> Tensor<3> {
        self.layers[layer].0.forward(x, &self.rotary)
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
}

impl AttentionBlock {
    fn load(config: &CodecConfig, loader: &Loader<'_>) -> Self {
        let width = config.width;
        Self {
            norm: loader.layer_norm("norm", width, NORM_EPSILON),
            to_qkv: loader.linear_without_bias("to_qkv", [3 * width, width]),
            to_out: loader.linear("to_out", [width, width]),
            heads: config.heads,
        }
    }

    fn forward(&self, x: Tensor<3>, rotary: &Rotary) -> Tensor<3> {
        let qkv = self.to_qkv.forward(self.norm.forward(x.clone()));
        self.to_out.add_to(attend_qkv(qkv, self.heads, Some(rotary), None), x)
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
