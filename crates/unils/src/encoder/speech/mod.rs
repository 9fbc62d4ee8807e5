//! The speech encoder of models that answer at once: causal convolutions over log-mel energies, trained on speech.
//!
//! The fourth kind of audio encoder. It hears the past only: feature `j` is there when sample `640 (j + 1)` has come, one
//! feature a motion frame. Its weights, under `audio_encoder.`, lie in the checkpoint of the model that listens through
//! it.
//!
//! 1. [`LogMel`] energies, 80 bands every 10 ms, measured against the voice's own level (the module `level`).
//! 2. Two steps as one row of 160 numbers, 50 a second, go through a linear layer and residual blocks ([`Block`]): a norm,
//!    a causal dilated convolution of three taps, GELU, a linear layer.
//! 3. Two rows become one by a linear layer: 25 a second. More blocks, whose dilations reach 1.2 s back, and a norm.
//!
//! [`Speech::forward`] takes whole waves; [`Speech::step`] goes on with streams, whose pasts their callers own, and gives
//! the same features for every way of cutting.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use unils::encoder::{Speech, SpeechConfig};
//! use unils::nn::{Loader, RandomWeights};
//! let config = SpeechConfig { width: 32, fine: vec![1, 2], coarse: vec![1, 4] };
//! let weights = RandomWeights { seed: 1 };
//! let speech = Speech::load(&config, &Loader::new(&weights, &Device::flex(), true))?;
//! let mut state = speech.begin();
//! let features = speech.step(&mut [&mut state], &[0.1; 640])?;
//! assert_eq!(features.dims(), [1, 1, 32]);
//! # Ok::<(), unils::Error>(())
//! ```
//!
//! # Two voices
//!
//! [`Speech::step_pairs`] hears both voices of conversations, each without what leaks of the other into its track (the
//! module `crosstalk`): the partner in one's own microphone.
//!
//! Letters: `B` tracks or streams, `N` samples, `T` rows in time, `C` channels, `D` a dilation.

mod crosstalk;
mod level;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::crosstalk::Crosstalk;
use self::level::Tracker;
use super::LogMel;
use super::log_mel::BANDS;
use crate::error::{Error, Result};
use crate::motion::SAMPLES_PER_FRAME;
use crate::nn::{Activation, LayerNorm, Linear, Loader};

/// Taps of a convolution.
const TAPS: usize = 3;
/// Rows at 50 a second that become one at 25.
const STRIDE: usize = 2;
/// Steps of energies in a feature.
const STEPS_PER_FRAME: usize = STRIDE * LogMel::FEATURE_DIM / BANDS;
const EPSILON: f64 = 1e-5;
/// Most that a configuration may ask for.
const MOST_WIDTH: usize = 4096;
const MOST_BLOCKS: usize = 64;
const MOST_DILATION: usize = 256;

/// Sizes of a [`Speech`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechConfig {
    /// Channels inside and of the features.
    pub width: usize,
    /// Dilations of the blocks at 50 rows a second, in order.
    pub fine: Vec<usize>,
    /// Dilations of the blocks at 25 rows a second, in order.
    pub coarse: Vec<usize>,
}

impl SpeechConfig {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self) -> Result<()> {
        let fault = |field: &str, expected: String, got: &dyn std::fmt::Debug| {
            let what = format!("expected {expected}, got {got:?}");
            Err(Error::config(format!("encoder.speech.{field}"), what))
        };
        if !(1..=MOST_WIDTH).contains(&self.width) {
            return fault("width", format!("1 to {MOST_WIDTH}"), &self.width);
        }
        for (field, dilations) in [("fine", &self.fine), ("coarse", &self.coarse)] {
            let is_possible = |dilation| (1..=MOST_DILATION).contains(dilation);
            if dilations.len() > MOST_BLOCKS || !dilations.iter().all(is_possible) {
                let expected = format!("at most {MOST_BLOCKS} dilations from 1 to {MOST_DILATION}");
                return fault(field, expected, dilations);
            }
        }
        Ok(())
    }

    /// Numbers in the matrices.
    pub fn numbers(&self) -> u64 {
        let (width, blocks) = (self.width as u64, (self.fine.len() + self.coarse.len()) as u64);
        let block = (TAPS as u64 + 1) * width * width;
        LogMel::FEATURE_DIM as u64 * width + STRIDE as u64 * width * width + blocks * block
    }

    /// Features that `samples` samples give.
    pub fn features(&self, samples: usize) -> usize {
        samples / SAMPLES_PER_FRAME
    }
}

/// `x + linear(gelu(convolution(norm(x))))`, on rows `(B, T, C)`.
#[derive(Module, Debug)]
struct Block {
    norm: LayerNorm,
    /// Of the rows `t - 2 D`, `t - D` and `t` side by side.
    convolution: Linear,
    linear: Linear,
    #[module(skip)]
    dilation: usize,
}

impl Block {
    fn load(loader: &Loader<'_>, width: usize, dilation: usize) -> Self {
        Self {
            norm: loader.layer_norm("norm", width, EPSILON),
            convolution: loader.linear("convolution", [width, TAPS * width]),
            linear: loader.linear("linear", [width, width]),
            dilation,
        }
    }

    /// Rows that the convolution reaches back.
    fn reach(&self) -> usize {
        (TAPS - 1) * self.dilation
    }

    /// Goes on behind the normed rows `past` `(B, 2 D, C)`, which become those before the next rows.
    fn forward(&self, x: Tensor<3>, past: &mut Tensor<3>) -> Tensor<3> {
        let rows = x.dims()[1];
        let heard = Tensor::cat(vec![past.clone(), self.norm.forward(x.clone())], 1);
        let tap = |tap| heard.clone().narrow(1, tap * self.dilation, rows);
        let taps = Tensor::cat((0..TAPS).map(tap).collect(), 2);
        *past = heard.clone().narrow(1, rows, self.reach());
        self.linear.add_to(self.convolution.forward_then(taps, Activation::Gelu), x)
    }
}

/// The encoder. Immutable; what changes during a stream is in its [`SpeechState`].
#[derive(Module, Debug)]
pub struct Speech {
    #[module(skip)]
    log_mel: LogMel,
    input: Linear,
    fine: Vec<Block>,
    /// Two rows at 50 a second to one at 25.
    joint: Linear,
    coarse: Vec<Block>,
    norm: LayerNorm,
}

/// What one stream's next features depend on of its past. Of fixed size.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechState {
    /// The last [`LogMel::LOOK_BACK`] samples; silence before the first.
    samples: Vec<f32>,
    tracker: Tracker,
    /// Of each block the last `2 D` normed rows.
    past: Vec<Vec<f32>>,
}

/// Two voices of a conversation, each heard without what leaks of the other into its track; see [`Speech::step_pairs`].
#[derive(Debug, Clone, PartialEq)]
pub struct PairState {
    voices: [SpeechState; 2],
    crosstalk: Crosstalk,
}

impl Speech {
    /// Samples of a feature: those of a motion frame.
    pub const SAMPLES_PER_FEATURE: usize = SAMPLES_PER_FRAME;

    /// Builds the encoder.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes. Missing or misshapen tensors are in the loader's report.
    pub fn load(config: &SpeechConfig, loader: &Loader<'_>) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        let blocks = |name: &str, dilations: &[usize]| -> Vec<Block> {
            let at = loader.at(name);
            let block = |(index, &dilation): (usize, &usize)| Block::load(&at.at(index), width, dilation);
            dilations.iter().enumerate().map(block).collect()
        };
        Ok(Self {
            log_mel: LogMel::new(),
            input: loader.linear("input", [width, LogMel::FEATURE_DIM]),
            fine: blocks("fine", &config.fine),
            joint: loader.linear("joint", [width, STRIDE * width]),
            coarse: blocks("coarse", &config.coarse),
            norm: loader.layer_norm("norm", width, EPSILON),
        })
    }

    /// Channels of the features.
    pub fn feature_dim(&self) -> usize {
        self.norm.gamma.dims()[0]
    }

    /// Waveforms `(B, N)` at 16 kHz to features `(B, N / 640, C)`, rounded down, on the same device.
    pub fn forward(&self, waves: Tensor<2>) -> Tensor<3> {
        self.forward_changed(waves, &|_, _| ())
    }

    /// As [`Speech::forward`], of other energies: `change` gets the number of each row and its log-mel energies, 100 steps
    /// a second of [`LogMel::BANDS`], before they are measured against the voice's level.
    pub fn forward_changed(
        &self,
        waves: Tensor<2>,
        change: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) -> Tensor<3> {
        let ([rows, samples], device) = (waves.dims(), waves.device());
        let count = samples / SAMPLES_PER_FRAME;
        let mut energies = self.log_mel.forward(waves.narrow(1, 0, count * SAMPLES_PER_FRAME));
        if count > 0 {
            let mut values: Vec<f32> = energies.into_data().convert::<f32>().iter().collect();
            let each = values.par_chunks_exact_mut(STRIDE * count * LogMel::FEATURE_DIM);
            each.enumerate().for_each(|(row, steps)| {
                change(row, steps);
                Tracker::default().apply(steps);
            });
            energies = rows_of(values, rows, LogMel::FEATURE_DIM, &device);
        }
        let x = self.input.forward_then(energies, Activation::Gelu);
        let width = self.feature_dim();
        // On the features' device, which records gradients if the weights are trained.
        let zeros = |block: &Block| Tensor::zeros([rows, block.reach(), width], &x.device());
        let mut past: Vec<Tensor<3>> = self.blocks().map(zeros).collect();
        self.rows(x, &mut past)
    }

    /// A stream before its first sample.
    pub fn begin(&self) -> SpeechState {
        let width = self.feature_dim();
        SpeechState {
            samples: vec![0.0; LogMel::LOOK_BACK],
            tracker: Tracker::default(),
            past: self.blocks().map(|block| vec![0.0; block.reach() * width]).collect(),
        }
    }

    /// Two voices of one conversation before their first sample.
    pub fn begin_pair(&self) -> PairState {
        PairState { voices: [self.begin(), self.begin()], crosstalk: Crosstalk::default() }
    }

    /// Goes on with several conversations at once: the next `F` frames of 640 samples of both voices of each, row-major,
    /// to their features `(2 B, F, C)` and, of each row's frames, the share of its power that is its own voice's, from 0
    /// to 1, `2 B F` numbers.
    ///
    /// # Errors
    /// As [`Speech::step`].
    pub fn step_pairs(&self, pairs: &mut [&mut PairState], samples: &[f32]) -> Result<(Tensor<3>, Vec<f32>)> {
        let mut voices: Vec<_> = pairs.iter_mut().flat_map(|pair| &mut pair.voices).collect();
        let mut energies = self.listen(&mut voices, samples)?;
        let row = energies.len() / (2 * pairs.len());
        let each = pairs.par_iter_mut().zip(energies.par_chunks_exact_mut(2 * row));
        let shares: Vec<f32> = each.flat_map_iter(|(pair, energies)| pair.part(energies)).collect();
        let mut voices: Vec<_> = pairs.iter_mut().flat_map(|pair| &mut pair.voices).collect();
        Ok((self.features_of(&mut voices, energies), shares))
    }

    /// Goes on with several streams at once: the next `F` frames of 640 samples of each, row-major, to their features
    /// `(B, F, C)`.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are not as many whole frames for each stream; the states are then as before.
    pub fn step(&self, states: &mut [&mut SpeechState], samples: &[f32]) -> Result<Tensor<3>> {
        let energies = self.listen(states, samples)?;
        Ok(self.features_of(states, energies))
    }

    /// The log-mel energies of the next samples of several streams, row-major.
    fn listen(&self, states: &mut [&mut SpeechState], samples: &[f32]) -> Result<Vec<f32>> {
        let streams = states.len();
        let each = samples.len() / streams.max(1);
        if streams == 0
            || each == 0
            || each * streams != samples.len()
            || !each.is_multiple_of(SAMPLES_PER_FRAME)
        {
            let what = format!("{} samples for {streams} streams", samples.len());
            return Err(Error::argument("speech encoder", what).with_hint(format!(
                "each stream gets the same number of whole frames of {SAMPLES_PER_FRAME}"
            )));
        }
        let mut energies =
            Vec::with_capacity(samples.len() / SAMPLES_PER_FRAME * STRIDE * LogMel::FEATURE_DIM);
        for (state, new) in states.iter_mut().zip(samples.chunks_exact(each)) {
            let heard = state.samples.len();
            state.samples.extend_from_slice(new);
            let mut steps = self.log_mel.rows(&state.samples, heard + each, heard);
            state.samples.drain(..each);
            energies.append(&mut steps);
        }
        Ok(energies)
    }

    /// The next features of several streams from their energies.
    fn features_of(&self, states: &mut [&mut SpeechState], mut energies: Vec<f32>) -> Tensor<3> {
        let (streams, width) = (states.len(), self.feature_dim());
        let each = energies.len() / streams.max(1);
        for (state, steps) in states.iter_mut().zip(energies.chunks_exact_mut(each.max(1))) {
            state.tracker.apply(steps);
        }
        let device = self.norm.gamma.val().device();
        let gather = |index: usize| {
            let values = states.iter().flat_map(|state| state.past[index].iter().copied()).collect();
            rows_of(values, streams, width, &device)
        };
        let mut past: Vec<Tensor<3>> = (0..self.blocks().count()).map(gather).collect();
        let energies = rows_of(energies, streams, LogMel::FEATURE_DIM, &device);
        let features = self.rows(self.input.forward_then(energies, Activation::Gelu), &mut past);
        for (index, past) in past.into_iter().enumerate() {
            let values: Vec<f32> = past.into_data().convert::<f32>().iter().collect();
            let length = values.len() / streams;
            for (state, values) in states.iter_mut().zip(values.chunks_exact(length.max(1))) {
                state.past[index].copy_from_slice(values);
            }
        }
        features
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.fine.iter().chain(&self.coarse)
    }

    /// Rows at 50 a second `(B, 2 T, C)` to features `(B, T, C)`. `past` has a tensor a block.
    fn rows(&self, mut x: Tensor<3>, past: &mut [Tensor<3>]) -> Tensor<3> {
        let (fine, coarse) = past.split_at_mut(self.fine.len());
        for (block, past) in self.fine.iter().zip(fine) {
            x = block.forward(x, past);
        }
        let [streams, rows, width] = x.dims();
        let mut x = self.joint.forward(x.reshape([streams, rows / STRIDE, STRIDE * width]));
        for (block, past) in self.coarse.iter().zip(coarse) {
            x = block.forward(x, past);
        }
        self.norm.forward(x)
    }
}

impl PairState {
    /// Takes each voice out of the other's energies, the first's and then the second's, and gives the shares of the
    /// frames' power that are left.
    fn part(&mut self, energies: &mut [f32]) -> Vec<f32> {
        let (first, second) = energies.split_at_mut(energies.len() / 2);
        let mut shares = [Vec::new(), Vec::new()];
        for (first, second) in
            first.as_chunks_mut::<BANDS>().0.iter_mut().zip(second.as_chunks_mut::<BANDS>().0)
        {
            let mut tracks = [&*first, &*second].map(|bands| bands.map(LogMel::log_power));
            let left = self.crosstalk.part(&mut tracks);
            for (side, bands) in [first, second].into_iter().enumerate() {
                if left[side] < 1.0 {
                    *bands = tracks[side].map(LogMel::of_log_power);
                }
                shares[side].push(left[side]);
            }
        }
        let of_frame = |steps: &[f32]| steps.iter().sum::<f32>() / steps.len() as f32;
        shares.iter().flat_map(|steps| steps.chunks(STEPS_PER_FRAME)).map(of_frame).collect()
    }
}

/// Row-major values as `(B, T, width)`.
fn rows_of(values: Vec<f32>, streams: usize, width: usize, device: &Device) -> Tensor<3> {
    let rows = values.len() / (streams * width).max(1);
    Tensor::from_data(TensorData::new(values, [streams, rows, width]), device)
}

#[cfg(test)]
mod tests;
