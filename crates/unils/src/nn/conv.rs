//! One-dimensional convolution over channel-last frames `(B, T, C)`.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::module::conv1d;
use burn::tensor::ops::ConvOptions as BurnConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::Activation;
use super::cpu::{self, PackedLinear, Rows};

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
            Route::Packed(packed) => self.forward_packed(&packed.groups, before, x, then),
            Route::Plain(plain) => {
                let ConvOptions { stride, padding: [left, right], groups, .. } = self.options;
                let options = BurnConvOptions::new_with_padding([stride], [(left, right)], [1], groups);
                let bias = plain.bias.as_ref().map(Param::val);
                let frames = before.forward(x).swap_dims(1, 2);
                then.forward(conv1d(frames, plain.weight.val(), bias, options).swap_dims(1, 2))
            }
        }
    }

    fn forward_packed(
        &self,
        groups: &[PackedLinear],
        before: Activation,
        x: Tensor<3>,
        then: Activation,
    ) -> Tensor<3> {
        let ConvOptions { inputs, outputs, kernel, stride, padding: [left, right], .. } = self.options;
        let [batch, frames, _] = x.dims();
        let out_frames = self.options.output_frames(frames);
        let (in_width, out_width) = (inputs / groups.len(), outputs / groups.len());
        let mut out = vec![0.0; batch * out_frames * outputs];
        let convolve = |group: usize, frames: &[f32], out: &mut [f32]| {
            let rows = Rows {
                values: frames,
                count: out_frames,
                width: kernel * in_width,
                stride: stride * in_width,
            };
            groups[group].product(rows, out, 0.0, then);
        };
        let is_direct = groups.len() == 1 && left + right == 0 && before == Activation::None;
        // A group's channels of all frames, with the padding.
        let prepare = |group: usize, values: &[f32]| {
            let mut padded = vec![0.0; (left + frames + right) * in_width];
            let inside = &mut padded[left * in_width..(left + frames) * in_width];
            if groups.len() == 1 {
                inside.copy_from_slice(values);
            } else {
                for (to, from) in inside.chunks_exact_mut(in_width).zip(values.chunks_exact(inputs)) {
                    to.copy_from_slice(&from[group * in_width..(group + 1) * in_width]);
                }
            }
            cpu::activate(inside, before);
            padded
        };
        cpu::with_values(&x, |values| {
            for (values, out) in
                values.chunks_exact(frames * inputs).zip(out.chunks_exact_mut(out_frames * outputs))
            {
                if is_direct {
                    convolve(0, values, out);
                    continue;
                }
                if groups.len() == 1 {
                    convolve(0, &prepare(0, values), out);
                    continue;
                }
                let results: Vec<Vec<f32>> = (0..groups.len())
                    .into_par_iter()
                    .map(|group| {
                        let mut result = vec![0.0; out_frames * out_width];
                        convolve(group, &prepare(group, values), &mut result);
                        result
                    })
                    .collect();
                for (frame, out) in out.chunks_exact_mut(outputs).enumerate() {
                    for (to, result) in out.chunks_exact_mut(out_width).zip(&results) {
                        to.copy_from_slice(&result[frame * out_width..(frame + 1) * out_width]);
                    }
                }
            }
        });
        cpu::tensor(out, [batch, out_frames, outputs])
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
