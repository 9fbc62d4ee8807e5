//! What a training step minimises.
//!
//! Weights and terms are the release's. Generators minimise the cross-entropy of every bit
//! ([`unils::generator::bit_cross_entropy`]); the codec's loss has the terms below.

use std::ops::Range;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use unils::Result;
use unils::codec::{Codec, Quantized};
use unils::generator::{
    CausalGenerator, CausalInputs, Conditions, Generator, bit_cross_entropies, bit_cross_entropy,
};
use unils::motion::{Group, Space};

use crate::face_loss::{FaceErrors, FaceLoss};
use crate::masks::{Masks, Spoiling};

/// Weights of the codec's terms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodecWeights {
    /// Quantiser's commitment and use of bits.
    pub quantizer: f64,
    /// Mean absolute error of all channels, raw units.
    pub motion: f64,
    /// The same for head and jaw.
    pub pose: f64,
    /// Squared error of the frame-to-frame differences of head and jaw.
    pub velocity: f64,
    /// Squared change of those differences in the prediction.
    pub smoothness: f64,
    /// Squared error of the face's vertices, square millimetres.
    pub mesh: f64,
    /// The same for the lips' vertices.
    pub lips: f64,
    /// Mean absolute error of all channels in units of their deviations. This and the next two are for blend shapes,
    /// where rare events count as much as usual ones; the release has no such terms.
    pub relative: f64,
    /// Squared error of the frame-to-frame differences, in the same units.
    pub relative_velocity: f64,
    /// Squared error of the differences of those.
    pub relative_acceleration: f64,
}

impl Default for CodecWeights {
    fn default() -> Self {
        Self {
            quantizer: 1.0,
            motion: 1.0,
            pose: 8.0,
            velocity: 5.0,
            smoothness: 0.5,
            mesh: 2.0,
            lips: 0.1,
            relative: 0.0,
            relative_velocity: 0.0,
            relative_acceleration: 0.0,
        }
    }
}

/// The codec's loss, term by term, already weighted; scalars.
#[derive(Debug, Clone)]
pub struct CodecLoss {
    /// Name and value of each term.
    pub terms: Vec<(&'static str, Tensor<1>)>,
}

impl CodecLoss {
    /// Terms that need no face: from raw motion `(B, T, M)`, its reconstruction and what the quantiser made of
    /// it. `pose` are the channels of head and jaw ([`pose_channels`]).
    pub fn of_motion(
        codec: &Codec,
        weights: &CodecWeights,
        truth: &Tensor<3>,
        predicted: &Tensor<3>,
        quantized: &Quantized,
        pose: &[Range<usize>],
    ) -> Self {
        let [batch, frames, _] = truth.dims();
        let posed = |x: &Tensor<3>| {
            let part = |part: &Range<usize>| x.clone().slice([0..batch, 0..frames, part.clone()]);
            Tensor::cat(pose.iter().map(part).collect(), 2)
        };
        let (true_pose, pose) = (posed(truth), posed(predicted));
        let (true_velocity, velocity) = (differences(true_pose.clone()), differences(pose.clone()));
        let scales = codec.quantizer().losses(quantized);
        let count = scales.len() as f64;
        let quantizer = Tensor::cat(scales.into_iter().map(|scale| scale.total).collect(), 0).sum() / count;
        let error = predicted.clone() - truth.clone();
        let mut terms = vec![
            ("quantizer", quantizer * weights.quantizer),
            ("motion", error.clone().abs().mean() * weights.motion),
            ("pose", (pose - true_pose).abs().mean() * weights.pose),
            ("velocity", (velocity.clone() - true_velocity).square().mean() * weights.velocity),
            ("smoothness", differences(velocity).square().mean() * weights.smoothness),
        ];
        if weights.relative > 0.0 {
            let error = codec.in_deviations(error);
            let velocity = differences(error.clone());
            let acceleration = differences(velocity.clone());
            terms.extend([
                ("relative", error.abs().mean() * weights.relative),
                ("relative_velocity", velocity.square().mean() * weights.relative_velocity),
                ("relative_acceleration", acceleration.square().mean() * weights.relative_acceleration),
            ]);
        }
        Self { terms }
    }

    /// The same with the face's terms, mesh and lips: see [`FaceLoss::errors`].
    #[must_use]
    pub fn with_face(
        mut self,
        face: &FaceLoss,
        weights: &CodecWeights,
        truth: &Tensor<3>,
        predicted: &Tensor<3>,
    ) -> Self {
        let FaceErrors { mesh, lips } = face.errors(truth, predicted);
        self.terms.extend([("mesh", mesh * weights.mesh), ("lips", lips * weights.lips)]);
        self
    }

    /// Sum of all terms.
    pub fn total(&self) -> Tensor<1> {
        Tensor::cat(self.terms.iter().map(|(_, term)| term.clone()).collect(), 0).sum()
    }
}

/// The channels of head and jaw: what the codec's pose, velocity and smoothness terms look at.
pub fn pose_channels(space: Space) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (index, channel) in space.channels().iter().enumerate() {
        match (channel.group, ranges.last_mut()) {
            (Group::Head | Group::Jaw, Some(last)) if last.end == index => last.end += 1,
            (Group::Head | Group::Jaw, _) => ranges.push(index..index + 1),
            _ => {}
        }
    }
    ranges
}

/// `x[t + 1] - x[t]` of `(B, T, C)`.
fn differences(x: Tensor<3>) -> Tensor<3> {
    let frames = x.dims()[1];
    x.clone().narrow(1, 1, frames - 1) - x.narrow(1, 0, frames - 1)
}

/// What [`generator_loss`] is the mean of, for a block-causal generator: the cross-entropy of each bit, `(B, L, C)`, of
/// all windows of each clip in one pass. `batch.style` holds the people's manner, `(B, 3, M)`; the windows before a clip
/// are not seen. A style or a voice that is taken away is zero.
///
/// # Errors
/// [`unils::Error::Device`].
pub fn causal_losses(
    generator: &CausalGenerator,
    batch: &GeneratorBatch,
    spoiling: &Spoiling,
    masks: &mut Masks,
) -> Result<Tensor<3>> {
    let codec = generator.codec();
    let quantizer = codec.quantizer();
    let [samples, frames, _] = batch.motion.dims();
    let style = generator.style_feature(batch.style.clone()) * masks.kept(samples, spoiling.style);
    let voices = batch.heard(spoiling, masks);
    let paths = masks.paths(spoiling, samples, generator.blocks().len());
    let quantized = codec.quantize(codec.encode(batch.motion.clone()));
    let [rows, tokens, width] = quantized.bits.dims();
    let bits = quantized.bits.clone().reshape([samples, rows / samples * tokens, width]);
    let mut inputs = CausalInputs {
        style,
        sums: quantized.sum.reshape([samples, frames, width]),
        accumulated_next: quantizer.accumulated_next(quantized.coded_bits),
        bits: bits.clone(),
        voices,
    };
    if spoiling.own_past > 0.0 {
        let windows = frames / codec.window();
        let made = generator.redraw(&inputs, &masks.uniforms(samples, windows * tokens * width))?;
        let made = quantizer.sum(made).reshape([samples, frames, width]);
        let is_made = masks.own_past(samples, windows, spoiling.own_past);
        let is_made = is_made.repeat_dim(2, codec.window()).reshape([samples, frames, 1]);
        inputs.sums = inputs.sums.clone() + (made - inputs.sums) * is_made;
    }
    Ok(bit_cross_entropies(generator.forward(&inputs, &paths), bits))
}

/// What a generator is trained on; raw motion `(B, T, M)` each.
#[derive(Debug, Clone)]
pub struct GeneratorBatch {
    /// The windows to predict.
    pub motion: Tensor<3>,
    /// The windows before them.
    pub previous: Tensor<3>,
    /// A clip of the same people.
    pub style: Tensor<3>,
    /// Audio features of the predicted participant and of the partner, `(B, S, A)` each; none for the audio-free
    /// generator.
    pub voices: Option<[Tensor<3>; 2]>,
}

impl GeneratorBatch {
    /// The batch with each person's partner replaced by that of the next one.
    pub fn with_strangers(&self) -> Self {
        let moved = |voice: &Tensor<3>| {
            let last = voice.dims()[0] - 1;
            Tensor::cat(vec![voice.clone().narrow(0, 1, last), voice.clone().narrow(0, 0, 1)], 0)
        };
        let voices = self.voices.as_ref().map(|[own, partner]| [own.clone(), moved(partner)]);
        Self { voices, ..self.clone() }
    }

    /// The voices, with those that the step takes away all zero.
    fn heard(&self, spoiling: &Spoiling, masks: &mut Masks) -> Option<[Tensor<3>; 2]> {
        let samples = self.motion.dims()[0];
        self.voices.clone().map(|voices| voices.map(|voice| voice * masks.kept(samples, spoiling.voice)))
    }
}

/// The cross-entropy of every bit of a batch, in nats, with the step's conditions, branches and bits spoilt.
///
/// The codec is frozen. Bits are flipped along the quantiser's residual; the targets are the bits of the flipped
/// path, so that later scales learn to repair earlier ones. A condition that is taken away is all zero: motion in raw
/// units, voices as features.
pub fn generator_loss(
    generator: &Generator,
    batch: &GeneratorBatch,
    spoiling: &Spoiling,
    masks: &mut Masks,
) -> Tensor<1> {
    let codec = generator.codec();
    let quantizer = codec.quantizer();
    let samples = batch.motion.dims()[0];
    let style = batch.style.clone() * masks.kept(samples, spoiling.style);
    let previous = batch.previous.clone() * masks.kept(samples, spoiling.previous);
    let voices = batch.heard(spoiling, masks);
    let flips = masks.flips(quantizer.schedule(), samples, quantizer.code_width(), spoiling.flips);
    let paths = masks.paths(spoiling, samples, generator.blocks().len());
    let target = quantizer.quantize_flipping(codec.encode(batch.motion.clone()), &flips);
    let conditions = Conditions { style: codec.features(style), previous: codec.features(previous), voices };
    let next = quantizer.accumulated_next(target.coded_bits);
    let scales = quantizer.schedule().scales().len();
    let logits = generator.forward_dropping(&conditions, Some(next), scales, &paths);
    bit_cross_entropy(logits, target.bits)
}
