//! Generation of motion, window by window, scale by scale.
//!
//! Nothing in a window depends on later scales, so keys and values of the conditioning tokens and of earlier
//! scales are kept: one pass over `2T + L` tokens gives the numbers of the released code, which repeats the
//! whole prefix for each scale. [`Generator::generate_window_plainly`] does as the release and is the test's
//! reference.

use burn::tensor::Tensor;

use super::block::VoiceContext;
use super::model::{Conditions, Generator};
use super::sampler::{Noise, Sampling};
use crate::error::Result;
use crate::nn::{KvCache, add_to_rows, values};

/// A window of motion for each participant.
#[derive(Debug, Clone)]
pub struct Window {
    /// 0/1, `(P, L, C)`.
    pub bits: Tensor<3>,
    /// Raw motion, `(P, T, M)`.
    pub motion: Tensor<3>,
}

/// What a generation carries from window to window; owned by the caller.
#[derive(Debug, Clone)]
pub struct GenerationState {
    /// Style feature, `(P, T, C)`.
    style: Tensor<3>,
    /// Feature of the window before, as the conditional branch sees it, `(P, T, C)`.
    previous: Tensor<3>,
    /// The same for the unconditional branch.
    previous_unconditional: Tensor<3>,
    /// The unconditional branch's style: the feature of zero motion, `(P, T, C)`.
    no_style: Tensor<3>,
    /// For each block what absent voices give.
    silence: Vec<Vec<VoiceContext>>,
    noise: Vec<Noise>,
}

impl GenerationState {
    /// Rows of the batch: participants.
    pub(crate) fn participants(&self) -> usize {
        self.noise.len()
    }

    /// States of several streams of one generator, as those of one batch, in their order.
    pub(crate) fn join(states: &[&Self]) -> Option<Self> {
        let (first, more) = states.split_first()?;
        let mut joined = (*first).clone();
        if more.is_empty() {
            return Some(joined);
        }
        let rows = |part: fn(&Self) -> &Tensor<3>| {
            Tensor::cat(states.iter().map(|&state| part(state).clone()).collect(), 0)
        };
        joined.style = rows(|state| &state.style);
        joined.previous = rows(|state| &state.previous);
        joined.previous_unconditional = rows(|state| &state.previous_unconditional);
        joined.no_style = rows(|state| &state.no_style);
        joined.noise.extend(more.iter().flat_map(|state| state.noise.iter().cloned()));
        Some(joined)
    }

    /// Takes over what a window changed in the rows of `batch` that begin with `first`: the way back from
    /// [`GenerationState::join`].
    pub(crate) fn take_rows(&mut self, batch: &Self, first: usize) {
        let count = self.participants();
        self.previous = batch.previous.clone().narrow(0, first, count);
        self.previous_unconditional = batch.previous_unconditional.clone().narrow(0, first, count);
        self.noise.clone_from_slice(&batch.noise[first..first + count]);
    }

    /// Replaces the style's feature, `(P, T, C)`.
    pub(crate) fn set_style(&mut self, feature: Tensor<3>) {
        self.style = feature;
    }
}

/// How a generation begins; motion is raw, `(P, T, M)`.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// A clip whose manner the motion takes on; none = zero motion.
    pub style: Option<Tensor<3>>,
    /// The motion before the first window; none = zero motion.
    pub previous: Option<Tensor<3>>,
    /// Shows `previous` to the unconditional branch too, as the release's audio-free inference does.
    pub previous_is_unconditional: bool,
    /// Same seed, same motion.
    pub seed: u64,
}

/// One participant's logits of one scale, `(p, C, 2)` flattened; for tests and diagnostics.
#[derive(Debug)]
pub struct ScaleLogits<'a> {
    /// Participant.
    pub participant: usize,
    /// Scale.
    pub scale: usize,
    /// The network's output with the conditions.
    pub conditional: &'a [f32],
    /// The network's output without, when guidance is on.
    pub unconditional: Option<&'a [f32]>,
    /// After temperature and guidance.
    pub guided: &'a [f32],
}

impl Generator {
    /// The state before the first window of `participants` people.
    pub fn begin(&self, participants: usize, start: &Start) -> GenerationState {
        let device = self.rotary().device();
        let zero = Tensor::zeros([1, self.codec().window(), self.codec().motion_dim()], &device);
        let [_, window, width] = self.codec().features(zero.clone()).dims();
        let nothing = self.codec().features(zero).expand([participants, window, width]);
        let feature = |motion: &Option<Tensor<3>>| match motion {
            Some(motion) => self.codec().features(motion.clone()),
            None => nothing.clone(),
        };
        let previous = feature(&start.previous);
        GenerationState {
            style: feature(&start.style),
            previous_unconditional: if start.previous_is_unconditional {
                previous.clone()
            } else {
                nothing.clone()
            },
            previous,
            no_style: nothing,
            silence: (0..self.blocks().len()).map(|block| self.listen_to_nothing(block)).collect(),
            noise: (0..participants as u64).map(|participant| Noise::new(start.seed, participant)).collect(),
        }
    }

    /// Generates the next window of all participants as one batch.
    ///
    /// `voices`: audio features of own voice and partner's voice, `(P, S, A)` each; ignored by an audio-free
    /// generator, `None` = silence without features (the unconditional branch's input).
    ///
    /// # Errors
    /// [`crate::Error::Device`] when the device fails; so do the other ways below.
    pub fn generate_window(
        &self,
        state: &mut GenerationState,
        voices: Option<&[Tensor<3>; 2]>,
        sampling: &Sampling,
    ) -> Result<Window> {
        self.generate_window_observed(state, voices, sampling, &mut |_| ())
    }

    /// [`Generator::generate_window`], showing each scale's logits to `observe`.
    pub fn generate_window_observed(
        &self,
        state: &mut GenerationState,
        voices: Option<&[Tensor<3>; 2]>,
        sampling: &Sampling,
        observe: &mut dyn FnMut(ScaleLogits<'_>),
    ) -> Result<Window> {
        let bits = self.sample_bits(state, voices, sampling, observe)?;
        Ok(self.close_window(state, bits))
    }

    /// The first half of a window: all its bits, `(P, L, C)`.
    pub fn sample_bits(
        &self,
        state: &mut GenerationState,
        voices: Option<&[Tensor<3>; 2]>,
        sampling: &Sampling,
        observe: &mut dyn FnMut(ScaleLogits<'_>),
    ) -> Result<Tensor<3>> {
        let mut pass = CachedPass::new(self, state, voices, sampling);
        let mut logits = |k: usize, accumulated: Option<Tensor<3>>| pass.scale(k, accumulated);
        self.sample_scales(state, sampling, observe, &mut logits)
    }

    /// The second half: decodes the bits and makes the motion the next window's previous one. As in the
    /// release, that is the decoded motion encoded again, not the sampled bits' own feature.
    pub fn close_window(&self, state: &mut GenerationState, bits: Tensor<3>) -> Window {
        let motion = self.codec().decode(self.codec().quantizer().sum(bits.clone()));
        state.previous = self.codec().features(motion.clone());
        state.previous_unconditional = state.previous.clone();
        Window { bits, motion }
    }

    /// [`Generator::generate_window_observed`] by repeating the whole prefix for every scale, with a mask and
    /// with real zero features for absent voices: slow, and as the release does it.
    pub fn generate_window_plainly(
        &self,
        state: &mut GenerationState,
        voices: Option<&[Tensor<3>; 2]>,
        sampling: &Sampling,
        observe: &mut dyn FnMut(ScaleLogits<'_>),
    ) -> Result<Window> {
        let conditional = Conditions {
            style: state.style.clone(),
            previous: state.previous.clone(),
            voices: voices.cloned(),
        };
        let unconditional = Conditions {
            style: state.no_style.clone(),
            previous: state.previous_unconditional.clone(),
            voices: voices.map(|voices| voices.clone().map(|voice| voice.zeros_like())),
        };
        let mut branches = vec![conditional];
        branches.extend(sampling.is_guided().then_some(unconditional));
        let mut inputs: Option<Tensor<3>> = None;
        let mut logits = |k: usize, accumulated: Option<Tensor<3>>| {
            inputs = match (inputs.take(), accumulated) {
                (Some(old), Some(new)) => Some(Tensor::cat(vec![old, new], 1)),
                (old, new) => old.or(new),
            };
            let range = self.layout().schedule().range(k);
            let passes = branches.iter().map(|conditions| {
                let logits = self.forward(conditions, inputs.clone(), k + 1);
                let [batch, _, width] = logits.dims();
                logits.slice([0..batch, range.clone(), 0..width])
            });
            Tensor::cat(passes.collect(), 0)
        };
        let bits = self.sample_scales(state, sampling, observe, &mut logits)?;
        Ok(self.close_window(state, bits))
    }

    /// Samples scale after scale from `logits_of`, which maps (scale, accumulated feature `(P, p, C)`) to
    /// logits `(P or 2P, p, 2C)`, conditional rows first.
    fn sample_scales(
        &self,
        state: &mut GenerationState,
        sampling: &Sampling,
        observe: &mut dyn FnMut(ScaleLogits<'_>),
        logits_of: &mut dyn FnMut(usize, Option<Tensor<3>>) -> Tensor<3>,
    ) -> Result<Tensor<3>> {
        let quantizer = self.codec().quantizer();
        let participants = state.noise.len();
        let scales = quantizer.schedule().scales();
        let mut sum = None;
        let mut bits = Vec::new();
        for (k, &tokens) in scales.iter().enumerate() {
            let input = sum.clone().map(|sum| quantizer.downsample(k, sum));
            let logits = logits_of(k, input);
            let device = logits.device();
            let logits = values(logits)?;
            let size = tokens * 2 * quantizer.code_width();
            let mut drawn = Vec::with_capacity(participants * size / 2);
            for (participant, noise) in state.noise.iter_mut().enumerate() {
                let row = |row: usize| logits.get(row * size..(row + 1) * size);
                let conditional = row(participant).unwrap_or_default();
                let unconditional = row(participants + participant);
                let guided = sampling.guide(conditional, unconditional);
                observe(ScaleLogits { participant, scale: k, conditional, unconditional, guided: &guided });
                drawn.extend(sampling.draw(&guided, noise));
            }
            let shape = [participants, tokens, quantizer.code_width()];
            let scale_bits = Tensor::from_data(burn::tensor::TensorData::new(drawn, shape), &device);
            sum = Some(quantizer.add_scale(sum.take(), k, quantizer.values(scale_bits.clone())));
            bits.push(scale_bits);
        }
        Ok(Tensor::cat(bits, 1))
    }
}

/// One window's pass with kept keys and values. Rows: participants with their conditions, then, if guidance
/// is on, the same participants without.
struct CachedPass<'a> {
    generator: &'a Generator,
    participants: usize,
    guided: bool,
    caches: Vec<KvCache>,
    /// For each block the voices of the conditional and of the unconditional rows.
    voices: Vec<[Vec<VoiceContext>; 2]>,
}

impl<'a> CachedPass<'a> {
    fn new(
        generator: &'a Generator,
        state: &GenerationState,
        voices: Option<&[Tensor<3>; 2]>,
        sampling: &Sampling,
    ) -> Self {
        let blocks = generator.blocks().len();
        let guided = sampling.is_guided();
        let voices = (0..blocks).map(|block| {
            let silence = state.silence[block].clone();
            let heard = match voices {
                Some(voices) => generator.listen(block, voices),
                None => silence.clone(),
            };
            [heard, silence]
        });
        let mut pass = Self {
            generator,
            participants: state.noise.len(),
            guided,
            caches: vec![KvCache::default(); blocks],
            voices: voices.collect(),
        };
        let mut conditions = generator.embed_conditions(state.style.clone(), state.previous.clone());
        if guided {
            let unconditional =
                generator.embed_conditions(state.no_style.clone(), state.previous_unconditional.clone());
            conditions = Tensor::cat(vec![conditions, unconditional], 0);
        }
        pass.remember_conditions(conditions);
        pass
    }

    /// Runs the conditioning tokens; of the last block only their keys and values are needed.
    fn remember_conditions(&mut self, mut x: Tensor<3>) {
        let rotary = self.generator.rotary().range(0, self.generator.layout().conditions());
        let last = self.caches.len() - 1;
        for block in 0..last {
            x = self.block(block, x, &rotary.clone());
        }
        self.generator.blocks()[last].self_attention.remember(&x, &rotary, &mut self.caches[last]);
    }

    /// Logits of scale `k`, `(rows, p, 2C)`.
    fn scale(&mut self, k: usize, accumulated: Option<Tensor<3>>) -> Tensor<3> {
        let range = self.generator.layout().range(k);
        let rotary = self.generator.rotary().range(range.start, range.end);
        let mut x = self.generator.embed_scale(k, self.participants, accumulated);
        if self.guided {
            x = Tensor::cat(vec![x.clone(), x], 0);
        }
        for block in 0..self.caches.len() {
            x = self.block(block, x, &rotary);
        }
        self.generator.logits(x)
    }

    fn block(&mut self, index: usize, x: Tensor<3>, rotary: &crate::nn::Rotary) -> Tensor<3> {
        let block = &self.generator.blocks()[index];
        let mut x = block.self_attention.step(x, rotary, &mut self.caches[index]);
        let [heard, silence] = &self.voices[index];
        for (voice, attention) in [&block.own, &block.partner].into_iter().flatten().enumerate() {
            let [rows, tokens, width] = x.dims();
            let conditional = x.clone().slice([0..self.participants, 0..tokens, 0..width]);
            let delta = attention.delta(conditional, rotary, &heard[voice], None);
            x = add_to_rows(x, 0..self.participants, delta);
            if self.guided {
                let delta = attention.delta(x.clone(), rotary, &silence[voice], None);
                x = add_to_rows(x, self.participants..rows, delta);
            }
        }
        block.feed_forward.forward(x)
    }
}
