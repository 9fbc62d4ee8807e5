//! The block-causal generator: short windows, each conditioned on all windows before it.
//!
//! The paper's layout predicts one long window from a style clip and the window before, so that a live face lags by a
//! window. Here a window is a few frames. Its first token carries the code of the window before it, and these first
//! tokens are what later windows see of the past: a window's tokens attend to the first tokens of the windows up to its
//! own and to its own coarser scales. Voices are heard up to the window's end and a stated look-ahead. Past tokens never
//! change, so a stream keeps their keys and values and computes the new tokens only; training runs all windows of a clip
//! in one pass with the mask of [`CausalLayout`].
//!
//! A style is a person's manner in numbers, (3, M) for each participant: mean, deviation and speed (mean absolute
//! difference of frames) of each channel over a longer stretch; it is added to every token.
//!
//! Letters: as in [`super`]; `N` windows of a clip, `W` frames of a window, `T = N W`, `L` tokens of a window.

use std::sync::{Arc, OnceLock};

use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::bit_head::{BitHead, BitWalk};
use super::block::{Block, BlockPaths, VoiceContext};
use super::model::{HEAD_NORM_EPSILON, VoiceEmbeddings};
use super::stream::Constants;
use super::{GeneratorConfig, Layout};
use crate::codec::{Codec, CodecConfig, LONGEST_CLIP, Schedule, check_size};
use crate::error::{Error, Result};
use crate::nn::{LayerNorm, Linear, Loader, Rotary, values};

/// Numbers of a style for each channel: mean, deviation, speed.
pub const STYLE_ROWS: usize = 3;
/// Deviations and speeds are compared as logarithms; this share of a channel's deviation counts as rest.
const STILL: f64 = 0.02;
/// A usual speed, in deviations a frame.
const USUAL_SPEED: f64 = 0.1;

/// What a window of the block-causal layout sees and hears.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CausalConfig {
    /// Windows before its own that a window sees.
    pub past: usize,
    /// Frames after its own that a window hears of both voices: part of the latency.
    pub look_ahead: usize,
    /// Frames before its end that a window hears of its own voice.
    pub own_past: usize,
    /// Frames before its end that a window hears of its partner's voice.
    pub partner_past: usize,
    /// Hidden units a bit of the head that predicts a token's bits in order; 0 = bits are independent.
    #[serde(default)]
    pub bit_units: usize,
    /// Cut-off of the low-pass filter behind the head's channels, Hz; 0 = none. See [`crate::motion::LowPass`].
    #[serde(default)]
    pub head_hz: f32,
    /// The same for jaw, lips, cheeks and tongue.
    #[serde(default)]
    pub mouth_hz: f32,
    /// Share of a window's first step of gaze that is made a frame later: windows begin more saccades than they contain.
    /// 0 = none.
    #[serde(default)]
    pub gaze_join: f32,
    /// Scales blinks, which come out of the codec a little too flat: full closure is 1.
    #[serde(default = "one")]
    pub blink_gain: f32,
    /// Scales the head's angles: a head that goes on from its own motion for minutes turns less far, or farther, than
    /// people's. One over its spread relative to people's on the validation split.
    #[serde(default = "one")]
    pub head_gain: f32,
}

fn one() -> f32 {
    1.0
}

impl CausalConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check_size("generator.causal.past", self.past, LONGEST_CLIP)?;
        check_size("generator.causal.own_past", self.own_past, LONGEST_CLIP)?;
        check_size("generator.causal.partner_past", self.partner_past, LONGEST_CLIP)?;
        if self.look_ahead > 100 || self.bit_units > 256 {
            let what = format!(
                "look_ahead {} (at most 100), bit_units {} (at most 256)",
                self.look_ahead, self.bit_units
            );
            return Err(Error::config("generator.causal", what));
        }
        let is_filter = |hz| (0.0..12.0).contains(hz);
        let are_in_range = [self.head_hz, self.mouth_hz].iter().all(is_filter)
            && (0.0..=0.5).contains(&self.gaze_join)
            && [self.blink_gain, self.head_gain].iter().all(|gain| (0.5..=2.0).contains(gain));
        if !are_in_range {
            let what = format!(
                "head_hz {}, mouth_hz {} (0 to 12), gaze_join {} (0 to 0.5), blink_gain {}, head_gain {} (0.5 to 2)",
                self.head_hz, self.mouth_hz, self.gaze_join, self.blink_gain, self.head_gain
            );
            return Err(Error::config("generator.causal", what));
        }
        Ok(())
    }
}

/// Order, positions and visibility of the tokens of a clip: window after window, scale after scale.
#[derive(Debug, Clone, PartialEq)]
pub struct CausalLayout {
    schedule: Schedule,
    config: CausalConfig,
}

impl CausalLayout {
    /// The layout of windows of a schedule.
    pub fn new(schedule: Schedule, config: CausalConfig) -> Self {
        Self { schedule, config }
    }

    /// The windows' schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What a window sees and hears.
    pub fn config(&self) -> &CausalConfig {
        &self.config
    }

    /// Frame of each token of window `window`: of the first scale's the window's first frame, of the others' the frame
    /// at their centre.
    pub fn positions(&self, window: u64) -> Vec<u64> {
        let frames = self.schedule.window() as u64;
        let offsets = Layout::new(self.schedule.clone()).scale_offsets();
        offsets.into_iter().map(|offset| window * frames + offset as u64).collect()
    }

    /// Window and scale of token `token` of a clip.
    fn place(&self, token: usize) -> (usize, usize) {
        let tokens = self.schedule.tokens();
        let within = token % tokens;
        let scale = (0..self.schedule.scales().len()).find(|&k| self.schedule.range(k).contains(&within));
        (token / tokens, scale.unwrap_or_default())
    }

    /// Whether a token sees another: the first tokens of the windows up to its own, and its own window's scales up to
    /// its own.
    fn sees(&self, row: (usize, usize), column: (usize, usize)) -> bool {
        let (window, scale) = row;
        let age = window.wrapping_sub(column.0);
        age == 0 && column.1 <= scale || (1..=self.config.past).contains(&age) && column.1 == 0
    }

    /// Frames of a voice that window `window` hears, of those `past` frames before its end.
    pub fn heard(&self, window: u64, past: usize) -> std::ops::Range<u64> {
        let end = (window + 1) * self.schedule.window() as u64;
        end.saturating_sub(past as u64)..end + self.config.look_ahead as u64
    }

    /// `(N L, N L)`, true where the row's token must not see the column's.
    pub fn mask(&self, windows: usize, device: &Device) -> Tensor<2, Bool> {
        let places: Vec<(usize, usize)> =
            (0..windows * self.schedule.tokens()).map(|token| self.place(token)).collect();
        let count = places.len();
        let rows = places.iter().flat_map(|row| places.iter().map(|column| !self.sees(*row, *column)));
        Tensor::from_data(TensorData::new(rows.collect::<Vec<bool>>(), [count, count]), device)
    }

    /// `(N L, S)`, true where the row's token must not hear the column's feature, one feature a frame.
    pub fn deaf_mask(
        &self,
        windows: usize,
        features: usize,
        past: usize,
        device: &Device,
    ) -> Tensor<2, Bool> {
        let tokens = self.schedule.tokens();
        let mut hidden = Vec::with_capacity(windows * tokens * features);
        for window in 0..windows {
            let heard = self.heard(window as u64, past);
            for _ in 0..tokens {
                hidden.extend((0..features as u64).map(|feature| !heard.contains(&feature)));
            }
        }
        Tensor::from_data(TensorData::new(hidden, [windows * tokens, features]), device)
    }
}

/// What the tokens of a clip are made from, and what they hear.
#[derive(Debug, Clone)]
pub struct CausalInputs {
    /// [`CausalGenerator::style_feature`] of each participant, `(B, 1, 3 M)`; zero = nobody's.
    pub style: Tensor<3>,
    /// The codec's `sum` feature, `(B, T, C)`; a window sees those before its own.
    pub sums: Tensor<3>,
    /// The coarser scales of each window at the lengths of scales 1.., `(B N, L - p_0, C)`.
    pub accumulated_next: Tensor<3>,
    /// The bits themselves, `(B, N L, C)`: a bit's logit may depend on those before it in its token.
    pub bits: Tensor<3>,
    /// One audio feature a frame of own voice and partner's, `(B, S, A)` each, from the clip's first frame.
    pub voices: Option<[Tensor<3>; 2]>,
}

/// The transformer over all windows of a stream, with the codec that it speaks.
#[derive(Module, Debug)]
pub struct CausalGenerator {
    codec: Codec,
    code_embedding: Linear,
    /// A window's code `(W C)` to the next window's first tokens.
    history_embedding: Linear,
    /// `(3 M)` to `D`.
    style_embedding: Linear,
    /// `(1, 1, D)`.
    start: Param<Tensor<3>>,
    /// `(scales, D)`.
    level_embedding: Param<Tensor<2>>,
    voice_embeddings: Option<VoiceEmbeddings>,
    blocks: Vec<Block>,
    head_norm: LayerNorm,
    head: Linear,
    bit_head: Option<BitHead>,
    #[module(skip)]
    layout: CausalLayout,
    #[module(skip)]
    head_width: usize,
    /// Whether each bit of a token is of the mouth; empty for a codec without parts.
    #[module(skip)]
    pub(super) is_mouth: Vec<bool>,
    /// What streaming needs of the weights; made when a stream first begins, after which they do not change.
    #[module(skip)]
    pub(super) constants: Arc<OnceLock<Constants>>,
}

impl CausalGenerator {
    /// Builds the generator and its codec from a checkpoint's root.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes. Missing or misshapen tensors are in the loader's report.
    pub fn load(config: &GeneratorConfig, codec: &CodecConfig, loader: &Loader<'_>) -> Result<Self> {
        config.validate()?;
        let Some(causal) = config.causal else {
            return Err(Error::config("generator.causal", "missing, but needed for this layout"));
        };
        let (bits, width) = (codec.code_width, config.width);
        let parts = codec.parts.iter();
        let is_mouth =
            parts.flat_map(|part| std::iter::repeat_n(part.has_mouth(), part.code_width)).collect();
        let codec = Codec::load(codec, &loader.at("base_codec").frozen())?;
        let schedule = codec.quantizer().schedule().clone();
        let trunk = loader.at("attn_blocks");
        Ok(Self {
            code_embedding: loader.linear("code_token_embed", [width, bits]),
            history_embedding: loader.linear("history_embed", [width, schedule.window() * bits]),
            style_embedding: loader
                .linear_without_bias("style_embed", [width, STYLE_ROWS * codec.motion_dim()]),
            start: loader.parameter("sos_embed", [1, 1, width]),
            level_embedding: trunk.parameter("lvl_embed.weight", [schedule.scales().len(), width]),
            voice_embeddings: config.audio_dim.map(|audio_dim| VoiceEmbeddings::load(audio_dim, &trunk)),
            blocks: (0..config.depth)
                .map(|index| Block::load(config, &trunk.at("attn_blocks").at(index)))
                .collect(),
            head_norm: loader.layer_norm("logits_head.0", width, HEAD_NORM_EPSILON),
            head: loader.linear("logits_head.1", [2 * bits, width]),
            bit_head: (causal.bit_units > 0)
                .then(|| BitHead::load(bits, causal.bit_units, width, &loader.at("logits_head"))),
            layout: CausalLayout::new(schedule, causal),
            head_width: width / config.heads,
            constants: Arc::default(),
            is_mouth,
            codec,
        })
    }

    /// The codec whose bits the generator predicts.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// The codec, to give it other statistics.
    pub fn codec_mut(&mut self) -> &mut Codec {
        &mut self.codec
    }

    /// Order and positions of the tokens.
    pub fn layout(&self) -> &CausalLayout {
        &self.layout
    }

    /// The blocks, for tests and training.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Transformer width.
    pub(super) fn width(&self) -> usize {
        self.start.val().dims()[2]
    }

    /// Width of an attention head.
    pub(super) fn head_width(&self) -> usize {
        self.head_width
    }

    pub(super) fn bit_head(&self) -> Option<&BitHead> {
        self.bit_head.as_ref()
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.start.val().device()
    }

    /// Channels of the audio features, if the generator listens to voices.
    pub fn audio_dim(&self) -> Option<usize> {
        self.voice_embeddings.as_ref().map(VoiceEmbeddings::audio_dim)
    }

    /// True when the generator listens to voices.
    pub fn hears(&self) -> bool {
        self.voice_embeddings.is_some()
    }

    /// Raw styles `(B, 3, M)` (mean, deviation, speed) as the generator takes them, `(B, 1, 3 M)`: near 0 for an
    /// average person.
    pub fn style_feature(&self, style: Tensor<3>) -> Tensor<3> {
        let [batch, rows, channels] = style.dims();
        let row = |row: usize| style.clone().narrow(1, row, 1);
        let relative = |x: Tensor<3>| self.codec.in_deviations(x);
        let deviation = (relative(row(1)) + STILL).log();
        let speed = ((relative(row(2)) + STILL * USUAL_SPEED) / USUAL_SPEED).log();
        let mean = self.codec.normalize(row(0));
        Tensor::cat(vec![mean, deviation, speed], 2).clamp(-4.0, 4.0).reshape([batch, 1, rows * channels])
    }

    /// The tokens of all windows of a clip, `(B, N L, D)`.
    fn embed(&self, inputs: &CausalInputs) -> Tensor<3> {
        let [batch, frames, bits] = inputs.sums.dims();
        let (window, width) = (self.layout.schedule.window(), self.start.val().dims()[2]);
        let windows = frames / window;
        let history = inputs.sums.clone().reshape([batch, windows, window * bits]);
        let nothing = Tensor::zeros([batch, 1, window * bits], &history.device());
        let history = Tensor::cat(vec![nothing, history.narrow(1, 0, windows - 1)], 1);
        let first = self.first_tokens(history, self.embed_style(inputs.style.clone()));
        let scales = self.layout.schedule.scales();
        let mut parts =
            vec![first.reshape([batch * windows, 1, width]).expand([batch * windows, scales[0], width])];
        let mut start = 0;
        for (k, &tokens) in scales.iter().enumerate().skip(1) {
            let feature = inputs.accumulated_next.clone().narrow(1, start, tokens);
            parts.push(self.scale_tokens(k, feature));
            start += tokens;
        }
        let tokens = self.layout.schedule.tokens();
        Tensor::cat(parts, 1).reshape([batch, windows * tokens, width])
    }

    /// What a style's feature adds to first tokens, `(B, 1, D)`.
    pub(super) fn embed_style(&self, feature: Tensor<3>) -> Tensor<3> {
        self.style_embedding.forward(feature)
    }

    /// The first tokens of windows, `(B, N, D)`, from the windows before them, `(B, N, W C)`, and what the style adds.
    pub(super) fn first_tokens(&self, history: Tensor<3>, manner: Tensor<3>) -> Tensor<3> {
        self.history_embedding.forward(history) + manner + self.start.val() + self.level(0)
    }

    /// Tokens of scale `k > 0`, `(B, p, D)`, from the accumulated feature `(B, p, C)`.
    pub(super) fn scale_tokens(&self, k: usize, accumulated: Tensor<3>) -> Tensor<3> {
        self.code_embedding.forward(accumulated) + self.level(k)
    }

    /// `(1, 1, D)`.
    fn level(&self, k: usize) -> Tensor<3> {
        self.level_embedding.val().narrow(0, k, 1).unsqueeze::<3>()
    }

    /// Logits `(B, N L, 2C)` of all windows of a clip, pairs (bit 0, bit 1), with some branches of `paths[block]` left
    /// out as in training; an empty slice leaves none out.
    pub fn forward(&self, inputs: &CausalInputs, paths: &[BlockPaths]) -> Tensor<3> {
        self.logits(self.after_blocks(inputs, paths), inputs.bits.clone())
    }

    /// Tokens of all windows of a clip after the last block, `(B, N L, D)`.
    fn after_blocks(&self, inputs: &CausalInputs, paths: &[BlockPaths]) -> Tensor<3> {
        let mut x = self.embed(inputs);
        let device = x.device();
        let windows = inputs.sums.dims()[1] / self.layout.schedule.window();
        let positions: Vec<u64> =
            (0..windows as u64).flat_map(|window| self.layout.positions(window)).collect();
        let rotary = Rotary::at(&positions, self.head_width, &device);
        let mask = self.layout.mask(windows, &device);
        let CausalConfig { own_past, partner_past, .. } = self.layout.config;
        let features = inputs.voices.as_ref().map_or(0, |[own, _]| own.dims()[1]);
        let deaf = [own_past, partner_past].map(|past| {
            inputs.voices.as_ref().map(|_| self.layout.deaf_mask(windows, features, past, &device))
        });
        let heard: Vec<u64> = (0..features as u64).collect();
        let heard = Rotary::at(&heard, self.head_width, &device);
        for (index, block) in self.blocks.iter().enumerate() {
            let contexts = self.contexts(block, inputs.voices.as_ref(), Some(&heard));
            x = block.forward(x, &rotary, &mask, &contexts, deaf.clone(), paths.get(index));
        }
        x
    }

    /// What the generator makes of each window of a clip after the true windows before it: bits `(B N, L, C)`, drawn
    /// without guidance at a temperature of 1. `uniform` has a number from 0 to 1 for each of them, row-major. Of the
    /// inputs' bits and coarser scales nothing is used.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn redraw(&self, inputs: &CausalInputs, uniform: &[f32]) -> Result<Tensor<3>> {
        let quantizer = self.codec.quantizer();
        let (schedule, width) = (&self.layout.schedule, quantizer.code_width());
        let [batch, frames, _] = inputs.sums.dims();
        let (windows, tokens) = (batch * frames / schedule.window(), schedule.tokens());
        let walk = self.bit_head.as_ref().map(BitHead::walk).transpose()?;
        let units = walk.as_ref().map_or(0, BitWalk::width);
        let device = inputs.sums.device();
        let tensor = |bits: &[f32]| {
            Tensor::<3>::from_data(TensorData::new(bits.to_vec(), [windows, tokens, width]), &device)
        };
        let mut drawn = vec![0.0; windows * tokens * width];
        for k in 0..schedule.scales().len() {
            let accumulated_next = quantizer.accumulated_next(tensor(&drawn));
            let x = self.after_blocks(&CausalInputs { accumulated_next, ..inputs.clone() }, &[]);
            let (logits, hidden) = self.open_logits(x);
            let logits = values(logits)?;
            let mut hidden = hidden.map(values).transpose()?.unwrap_or_default();
            for token in (0..windows).flat_map(|window| schedule.range(k).map(move |at| window * tokens + at))
            {
                for bit in 0..width {
                    let at = token * width + bit;
                    let heard = token * units..(token + 1) * units;
                    let added = walk.as_ref().map_or(0.0, |walk| walk.logit(&hidden[heard.clone()], bit));
                    let odds = logits[2 * at + 1] + added - logits[2 * at];
                    let is_one = uniform[at] < 1.0 / (1.0 + (-odds).exp());
                    drawn[at] = f32::from(u8::from(is_one));
                    if let Some(walk) = &walk {
                        walk.tell(&mut hidden[heard], bit, is_one);
                    }
                }
            }
        }
        Ok(tensor(&drawn))
    }

    /// Keys and values of both voices for a block, or what it gets of absent ones.
    pub(super) fn contexts(
        &self,
        block: &Block,
        voices: Option<&[Tensor<3>; 2]>,
        rotary: Option<&Rotary>,
    ) -> Vec<VoiceContext> {
        let ears = self.voice_embeddings.iter().flat_map(|embeddings| embeddings.with_ears(block));
        match voices.zip(rotary) {
            Some((voices, rotary)) => {
                let heard = ears.zip(voices);
                heard.map(|((ear, embedding), voice)| ear.listen(voice.clone() + embedding, rotary)).collect()
            }
            None => ears.map(|(ear, embedding)| ear.listen_to_nothing(embedding)).collect(),
        }
    }

    /// Logits `(B, n, 2C)` of tokens `(B, n, D)` after the last block, before any of their bits is known, and what the
    /// bits' units hear of the tokens.
    pub(super) fn open_logits(&self, x: Tensor<3>) -> (Tensor<3>, Option<Tensor<3>>) {
        let x = self.head_norm.forward(x);
        (self.head.forward(x.clone()), self.bit_head.as_ref().map(|head| head.hear(x)))
    }

    /// Logits of tokens `(B, n, D)` after the last block whose bits are known, `(B, n, C)`.
    fn logits(&self, x: Tensor<3>, bits: Tensor<3>) -> Tensor<3> {
        let x = self.head_norm.forward(x);
        let logits = self.head.forward(x.clone());
        let Some(bit_head) = &self.bit_head else { return logits };
        let [batch, tokens, count] = bits.dims();
        let ones = bit_head.forward(x, bits).reshape([batch, tokens, count, 1]);
        let pairs = Tensor::cat(vec![ones.zeros_like(), ones], 3);
        logits + pairs.reshape([batch, tokens, 2 * count])
    }
}
