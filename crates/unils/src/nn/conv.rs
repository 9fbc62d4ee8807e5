//! One-dimensional convolution over channel-last frames `(B, T, C)`.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::module::conv1d;
use burn::tensor::ops::ConvOptions as BurnConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::cpu::{self, PackedLinear, Rows};
use super::{Activation, LayerNorm};

/// Output frames of one parallel task: 512 channels of them are 1 MB.
const BLOCK_FRAMES: usize = 512;

/// Shape of a convolution. A checkpoint's weight is `(outputs, inputs / groups, kernel)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvOptions {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Taps.
    pub kernel: usize,
    /// Frames from one output to the next.
    pub stride: usize,
    /// Zero frames before the first and after the last frame.
    pub padding: [usize; 2],
    /// Independent groups of channels.
    pub groups: usize,
}

impl ConvOptions {
    /// Shape of the weight in a checkpoint.
    pub fn weight_shape(&self) -> [usize; 3] {
        [self.outputs, self.inputs / self.groups, self.kernel]
    }

    /// Output frames for `frames` input frames; 0 when the input is shorter than the kernel.
    pub fn output_frames(&self, frames: usize) -> usize {
        let padded = frames + self.padding[0] + self.padding[1];
        if padded < self.kernel { 0 } else { (padded - self.kernel) / self.stride + 1 }
    }
}

/// A convolution; like [`super::Linear`] either plain or packed for the CPU.
#[derive(Module, Debug)]
pub struct Conv1d {
    route: Route,
    #[module(skip)]
    options: ConvOptions,
}

#[derive(Module, Debug)]
enum Route {
    Plain(Plain),
    Packed(Packed),
}

#[derive(Module, Debug)]
struct Plain {
    /// `(outputs, inputs / groups, kernel)`.
    weight: Param<Tensor<3>>,
    bias: Option<Param<Tensor<1>>>,
}

/// One product a group: a channel-last patch is `kernel * inputs / groups` neighbouring values.
#[derive(Module, Debug)]
struct Packed {
    #[module(skip)]
    groups: Arc<[PackedLinear]>,
}

impl Conv1d {
    /// A convolution from a checkpoint's row-major weight and bias.
    ///
    /// # Panics
    /// If the slices' lengths do not fit the options: the loader has checked them.
    pub fn new(
        weight: &[f32],
        bias: Option<&[f32]>,
        options: ConvOptions,
        pack: bool,
        device: &Device,
    ) -> Self {
        let shape @ [outputs, inputs, kernel] = options.weight_shape();
        assert_eq!(weight.len(), outputs * inputs * kernel, "weight length");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "bias length");
        let route = if pack {
            let per_group = outputs / options.groups;
            let groups = (0..options.groups).map(|group| {
                let first = group * per_group;
                let patches = patches(&weight[first * inputs * kernel..], [per_group, inputs, kernel]);
                let bias = bias.map(|bias| &bias[first..first + per_group]);
                PackedLinear::new(&patches, bias, [per_group, kernel * inputs])
            });
            Route::Packed(Packed { groups: groups.collect() })
        } else {
            let weight = Tensor::from_data(TensorData::new(weight.to_vec(), shape), device);
            let bias = bias.map(|bias| {
                Param::from_tensor(Tensor::from_data(TensorData::new(bias.to_vec(), [outputs]), device))
            });
            Route::Plain(Plain { weight: Param::from_tensor(weight), bias })
        };
        Self { route, options }
    }

    /// `(B, T, inputs)` to `(B, T', outputs)`, then the activation.
    pub fn forward_then(&self, x: Tensor<3>, then: Activation) -> Tensor<3> {
        self.forward_between(Activation::None, x, then)
    }

    /// [`Conv1d::forward_then`] of activated frames. Every activation leaves zeros, and so the padding, alone.
    pub fn forward_between(&self, before: Activation, x: Tensor<3>, then: Activation) -> Tensor<3> {
        match &self.route {
            Route::Packed(packed) => {
                self.forward_packed(&packed.groups, before, x, &|rows| cpu::activate(rows, then))
            }
            Route::Plain(plain) => then.forward(self.forward_plain(plain, before.forward(x))),
        }
    }

    /// [`Conv1d::forward_then`] with a norm over each output frame before the activation.
    pub fn forward_norm_then(&self, x: Tensor<3>, norm: &LayerNorm, then: Activation) -> Tensor<3> {
        match &self.route {
            Route::Packed(packed) => {
                let norm = norm.packed();
                self.forward_packed(&packed.groups, Activation::None, x, &|rows| norm.apply(rows, then))
            }
            Route::Plain(_) => norm.forward_then(self.forward_then(x, Activation::None), then),
        }
    }

    fn forward_plain(&self, plain: &Plain, x: Tensor<3>) -> Tensor<3> {
        let ConvOptions { stride, padding: [left, right], groups, .. } = self.options;
        let options = BurnConvOptions::new_with_padding([stride], [(left, right)], [1], groups);
        let bias = plain.bias.as_ref().map(Param::val);
        conv1d(x.swap_dims(1, 2), plain.weight.val(), bias, options).swap_dims(1, 2)
    }

    /// `finish` gets whole output frames while they are still in the processor's cache.
    fn forward_packed(
        &self,
        groups: &[PackedLinear],
        before: Activation,
        x: Tensor<3>,
        finish: &(dyn Fn(&mut [f32]) + Sync),
    ) -> Tensor<3> {
        let ConvOptions { inputs, outputs, padding, .. } = self.options;
        let [batch, frames, _] = x.dims();
        let out_frames = self.options.output_frames(frames);
        let mut out = vec![0.0; batch * out_frames * outputs];
        cpu::with_values(x, |values| {
            let tracks = values.chunks_exact((frames * inputs).max(1));
            for (values, out) in tracks.zip(out.chunks_exact_mut((out_frames * outputs).max(1))) {
                match groups {
                    [weight] if padding == [0, 0] && before == Activation::None => {
                        self.convolve_blocks(weight, values, out, finish);
                    }
                    [weight] => {
                        self.convolve_blocks(weight, &self.prepare(0, 1, values, before), out, finish);
                    }
                    _ => {
                        self.convolve_groups(groups, values, before, out);
                        finish(out);
                    }
                }
            }
        });
        cpu::tensor(out, [batch, out_frames, outputs])
    }

    /// A group's channels of all frames, activated, with the padding.
    fn prepare(&self, group: usize, groups: usize, values: &[f32], before: Activation) -> Vec<f32> {
        let ConvOptions { inputs, padding: [left, right], .. } = self.options;
        let width = inputs / groups;
        let frames = values.len() / inputs;
        let mut padded = vec![0.0; (left + frames + right) * width];
        let inside = &mut padded[left * width..(left + frames) * width];
        for (to, from) in inside.chunks_exact_mut(width).zip(values.chunks_exact(inputs)) {
            to.copy_from_slice(&from[group * width..(group + 1) * width]);
        }
        cpu::activate(inside, before);
        padded
    }

    /// One group: blocks of output frames, their patches read where they lie.
    fn convolve_blocks(
        &self,
        weight: &PackedLinear,
        values: &[f32],
        out: &mut [f32],
        finish: &(dyn Fn(&mut [f32]) + Sync),
    ) {
        let ConvOptions { inputs, outputs, kernel, stride, .. } = self.options;
        out.par_chunks_mut(BLOCK_FRAMES * outputs).enumerate().for_each(|(block, out)| {
            let rows = Rows {
                values: &values[block * BLOCK_FRAMES * stride * inputs..],
                count: out.len() / outputs,
                width: kernel * inputs,
                stride: stride * inputs,
            };
            weight.product(rows, out, 0.0, Activation::None);
            finish(out);
        });
    }

    /// Each group on its own copy of its channels.
    fn convolve_groups(&self, groups: &[PackedLinear], values: &[f32], before: Activation, out: &mut [f32]) {
        let ConvOptions { inputs, outputs, kernel, stride, .. } = self.options;
        let (in_width, out_width) = (inputs / groups.len(), outputs / groups.len());
        let out_frames = out.len() / outputs;
        let results = groups.par_iter().enumerate().map(|(index, weight)| {
            let rows = Rows {
                values: &self.prepare(index, groups.len(), values, before),
                count: out_frames,
                width: kernel * in_width,
                stride: stride * in_width,
            };
            let mut result = vec![0.0; out_frames * out_width];
            weight.product(rows, &mut result, 0.0, Activation::None);
            result
        });
        let results: Vec<Vec<f32>> = results.collect();
        for (frame, out) in out.chunks_exact_mut(outputs).enumerate() {
            for (to, result) in out.chunks_exact_mut(out_width).zip(&results) {
                to.copy_from_slice(&result[frame * out_width..(frame + 1) * out_width]);
            }
        }
    }
}

/// Reorders `(outputs, inputs, kernel)` to `(outputs, kernel, inputs)`, the order of a channel-last patch.
fn patches(weight: &[f32], [outputs, inputs, kernel]: [usize; 3]) -> Vec<f32> {
    let mut patches = Vec::with_capacity(outputs * inputs * kernel);
    for row in weight.chunks_exact(inputs * kernel).take(outputs) {
        for tap in 0..kernel {
            patches.extend(row[tap..].iter().step_by(kernel));
        }
    }
    patches
}
