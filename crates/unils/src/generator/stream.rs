//! Streaming with the block-causal generator: window after window, many streams at once.
//!
//! Between the speech encoder's features and motion. A stream's past is in rings of constant size, so that a step costs
//! the new tokens only. Linear layers see the new tokens of all streams as one batch; attention goes stream by stream,
//! since each stands at its own place. The result is what [`CausalGenerator::forward`] gives for the whole clip; a test
//! holds the two together.
//!
//! Letters as in [`super::causal`]; `B` streams, `R` rows: one a stream, and behind them one more for each guided stream.

use burn::tensor::{Tensor, TensorData};

use super::bit_head::BitWalk;
use super::block::VoiceContext;
use super::causal::CausalGenerator;
use super::sampler::{Noise, Sampling};
use crate::codec::DecoderState;
use crate::error::{Error, Result};
use crate::nn::{KvRing, Rotary, Sees, add_to_rows, attend_streams, values};

/// How a stream begins.
#[derive(Debug, Clone, Default)]
pub struct StreamStart {
    /// The person's manner, (3, M): see [`crate::motion::manner`]; none = an average person's.
    pub style: Option<Vec<f32>>,
    /// Whether guidance may be asked for: the stream then keeps a second, unconditional branch.
    pub is_guided: bool,
    /// Same seed, same motion.
    pub seed: u64,
    /// Which of several people under one seed.
    pub participant: u64,
}

/// One participant's stream; a value that its caller owns.
#[derive(Debug, Clone)]
pub struct CausalStream {
    /// The next window.
    window: u64,
    /// Frames of the voices that it has heard.
    heard: u64,
    /// The code of the window before, `(W C)`; zeros before the first.
    history: Vec<f32>,
    /// With all conditions, then without voices: guidance strengthens what voices say, not a person's manner.
    branches: Vec<Branch>,
    /// What the style adds to first tokens, `(D)`.
    manner: Vec<f32>,
    /// For each block, own voice and partner's.
    ears: Vec<Vec<KvRing>>,
    decoder: DecoderState,
    noise: Noise,
}

#[derive(Debug, Clone)]
struct Branch {
    /// First tokens of past windows, block by block.
    seen: Vec<KvRing>,
}

impl CausalStream {
    /// Number of the window that comes next.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Frames of the voices that it has heard.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Whether guidance may be asked for.
    pub fn is_guided(&self) -> bool {
        self.branches.len() == 2
    }

    /// Bytes that its past may come to take.
    pub fn bytes(&self) -> usize {
        let rings = self.branches.iter().flat_map(|branch| &branch.seen).chain(self.ears.iter().flatten());
        rings.map(KvRing::bytes).sum::<usize>() + self.decoder.bytes()
    }
}

/// What does not change from step to step.
#[derive(Debug, Clone)]
pub(super) struct Constants {
    walk: Option<BitWalk>,
    /// For each block and ear, what absent voices add, `(1, 1, D)`.
    silence: Vec<Vec<Tensor<3>>>,
}

impl CausalGenerator {
    fn constants(&self) -> Result<&Constants> {
        if let Some(there) = self.constants.get() {
            return Ok(there);
        }
        let silence = |context| match context {
            VoiceContext::Constant(added) => Some(added),
            VoiceContext::Features(..) => None,
        };
        let blocks = self.blocks().iter();
        let made = Constants {
            walk: self.bit_head().map(|head| head.walk()).transpose()?,
            silence: blocks
                .map(|block| self.contexts(block, None, None).into_iter().filter_map(silence).collect())
                .collect(),
        };
        Ok(self.constants.get_or_init(|| made))
    }

    /// A stream before its first window.
    ///
    /// # Errors
    /// [`Error::Argument`] for a style of another size, [`Error::Device`].
    pub fn begin_stream(&self, start: &StreamStart) -> Result<CausalStream> {
        let (codec, layout) = (self.codec(), self.layout());
        let (window, bits) = (codec.window(), codec.quantizer().code_width());
        let first_tokens = layout.schedule().scales()[0];
        let seen = KvRing::new(layout.config().past * first_tokens, self.width());
        let branch = Branch { seen: vec![seen; self.blocks().len()] };
        let config = layout.config();
        let ring = |past: usize| KvRing::new(past + config.look_ahead, self.width());
        let ears = |silence: &Vec<Tensor<3>>| {
            [config.own_past, config.partner_past].into_iter().take(silence.len()).map(ring).collect()
        };
        Ok(CausalStream {
            window: 0,
            heard: 0,
            history: vec![0.0; window * bits],
            branches: vec![branch; if start.is_guided { 2 } else { 1 }],
            manner: self.manner(start.style.as_deref())?,
            ears: self.constants()?.silence.iter().map(ears).collect(),
            decoder: codec.begin_decoding(),
            noise: Noise::new(start.seed, start.participant),
        })
    }

    /// Gives a stream another person's manner, from the next window on.
    ///
    /// # Errors
    /// As [`CausalGenerator::begin_stream`].
    pub fn restyle(&self, stream: &mut CausalStream, style: Option<&[f32]>) -> Result<()> {
        stream.manner = self.manner(style)?;
        Ok(())
    }

    /// What a style (3, M) adds to first tokens, `(D)`.
    fn manner(&self, style: Option<&[f32]>) -> Result<Vec<f32>> {
        let (rows, channels) = (super::STYLE_ROWS, self.codec().motion_dim());
        let device = self.device();
        let feature = match style {
            None => Tensor::zeros([1, 1, rows * channels], &device),
            Some(style) if style.len() == rows * channels => {
                let style = TensorData::new(style.to_vec(), [1, rows, channels]);
                self.style_feature(Tensor::from_data(style, &device))
            }
            Some(style) => {
                let what = format!("{} numbers, expected {rows} rows of {channels} channels", style.len());
                return Err(Error::argument("style", what));
            }
        };
        values(self.embed_style(feature))
    }

    /// Hears the next frames of own voice and partner's, `(B, n, A)` each, one feature a frame. Before window `k` is
    /// made a stream must have heard exactly the frames up to the window's end and the look-ahead.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn hear(&self, streams: &mut [&mut CausalStream], voices: &[Tensor<3>; 2]) -> Result<()> {
        let [batch, frames, channels] = voices[0].dims();
        debug_assert_eq!(batch, streams.len());
        let positions: Vec<u64> =
            streams.iter().flat_map(|stream| (0..frames as u64).map(|frame| stream.heard + frame)).collect();
        let rotary = Rotary::at(&positions, self.head_width(), &voices[0].device());
        // Rows of different places stand in one row, each with its own position.
        let flat = |voice: &Tensor<3>| voice.clone().reshape([1, batch * frames, channels]);
        let voices = [flat(&voices[0]), flat(&voices[1])];
        for (index, block) in self.blocks().iter().enumerate() {
            for (ear, context) in self.contexts(block, Some(&voices), Some(&rotary)).into_iter().enumerate() {
                let VoiceContext::Features(keys, heard) = context else { continue };
                let row = |x: Tensor<4>| {
                    let [_, tokens, heads, width] = x.dims();
                    values(x.reshape([1, tokens, heads * width]))
                };
                let (keys, heard) = (row(keys)?, row(heard)?);
                let width = self.width();
                let entries = keys.chunks_exact(width).zip(heard.chunks_exact(width));
                for (at, (key, value)) in entries.enumerate() {
                    streams[at / frames].ears[index][ear].push(&[key, value].concat());
                }
            }
        }
        streams.iter_mut().for_each(|stream| stream.heard += frames as u64);
        Ok(())
    }

    /// The next window of each stream, `(B, W, M)` row-major; `samplings` has one for each.
    ///
    /// # Errors
    /// [`Error::Argument`] if a stream has not heard what its window needs, or is asked for guidance that it did not
    /// begin with; [`Error::Device`].
    pub fn step(&self, streams: &mut [&mut CausalStream], samplings: &[Sampling]) -> Result<Vec<f32>> {
        let bits = self.sample_window(streams, samplings)?;
        let codec = self.codec();
        let batch = streams.len();
        let quantizer = codec.quantizer();
        let sum = |bits: Vec<f32>| {
            let data = TensorData::new(bits, [batch, quantizer.schedule().tokens(), quantizer.code_width()]);
            quantizer.sum(Tensor::from_data(data, &self.device()))
        };
        let history = values(sum(bits.drawn))?;
        let code = history.len() / batch;
        for (stream, history) in streams.iter_mut().zip(history.chunks_exact(code)) {
            stream.history.copy_from_slice(history);
        }
        let firsts: Vec<u64> = streams.iter().map(|stream| stream.window * codec.window() as u64).collect();
        let mut decoders: Vec<&mut DecoderState> =
            streams.iter_mut().map(|stream| &mut stream.decoder).collect();
        let motion = values(codec.decode_step(sum(bits.shown), &firsts, &mut decoders)?)?;
        streams.iter_mut().for_each(|stream| stream.window += 1);
        Ok(motion)
    }

    /// All bits of the next window of each stream, `(B, L, C)`.
    fn sample_window(&self, streams: &mut [&mut CausalStream], samplings: &[Sampling]) -> Result<Bits> {
        for (stream, sampling) in streams.iter().zip(samplings) {
            let needed = self.layout().heard(stream.window, 0).end;
            if self.hears() && stream.heard != needed {
                let what =
                    format!("window {} needs {needed} frames heard, got {}", stream.window, stream.heard);
                return Err(Error::argument("stream", what));
            }
            if sampling.is_guided() && stream.branches.len() < 2 {
                return Err(Error::argument("cfg", "the stream was begun without guidance")
                    .with_hint("guidance is decided when a stream begins; its strength may change later"));
            }
        }
        let batch = streams.len();
        let quantizer = self.codec().quantizer();
        let (scales, width) = (quantizer.schedule().scales().to_vec(), quantizer.code_width());
        let mut pass = Pass::new(self, streams, samplings)?;
        let mut sum: Option<Tensor<3>> = None;
        let mut bits = vec![Bits::default(); batch];
        for (k, &tokens) in scales.iter().enumerate() {
            let accumulated = sum.clone().map(|sum| quantizer.downsample(k, sum));
            let new = pass.scale(k, accumulated)?;
            let [drawn, shown] = [&new.drawn, &new.shown].map(|bits| bits.chunks_exact(tokens * width));
            bits.iter_mut().zip(drawn.zip(shown)).for_each(|(all, (drawn, shown))| all.extend(drawn, shown));
            let codes = Tensor::from_data(TensorData::new(new.drawn, [batch, tokens, width]), &self.device());
            sum = Some(quantizer.add_scale(sum, k, quantizer.values(codes)));
        }
        pass.remember(scales[0]);
        let mut of_all = Bits::default();
        bits.iter().for_each(|bits| of_all.extend(&bits.drawn, &bits.shown));
        Ok(of_all)
    }
}

/// Bits of tokens, row-major.
#[derive(Debug, Clone, Default)]
struct Bits {
    /// 0 or 1: what later tokens and windows are told.
    drawn: Vec<f32>,
    /// What is decoded: the bits drawn, or from 0 to 1 what they are expected to be ([`Sampling::mouth_softness`]).
    shown: Vec<f32>,
}

impl Bits {
    fn extend(&mut self, drawn: &[f32], shown: &[f32]) {
        self.drawn.extend_from_slice(drawn);
        self.shown.extend_from_slice(shown);
    }
}

/// One window of all streams.
struct Pass<'p, 's> {
    generator: &'p CausalGenerator,
    constants: &'p Constants,
    streams: &'p mut [&'s mut CausalStream],
    samplings: &'p [Sampling],
    /// Stream and branch of each row: all first branches, then the second ones of guided streams.
    rows: Vec<(usize, usize)>,
    /// Keys and values of the window's own tokens so far, for each block and row.
    fresh: Vec<Vec<Vec<f32>>>,
}

impl<'p, 's> Pass<'p, 's> {
    fn new(
        generator: &'p CausalGenerator,
        streams: &'p mut [&'s mut CausalStream],
        samplings: &'p [Sampling],
    ) -> Result<Self> {
        let seconds = (0..streams.len()).filter(|&stream| streams[stream].branches.len() == 2);
        let rows: Vec<(usize, usize)> =
            (0..streams.len()).map(|stream| (stream, 0)).chain(seconds.map(|stream| (stream, 1))).collect();
        let fresh = vec![vec![Vec::new(); rows.len()]; generator.blocks().len()];
        let constants = generator.constants()?;
        Ok(Self { generator, constants, streams, samplings, rows, fresh })
    }

    /// Draws the bits of scale `k`, `(B, p, C)`.
    fn scale(&mut self, k: usize, accumulated: Option<Tensor<3>>) -> Result<Bits> {
        let range = self.generator.layout().schedule().range(k);
        let mut positions = Vec::with_capacity(self.rows.len() * range.len());
        for &(stream, _) in &self.rows {
            let all = self.generator.layout().positions(self.streams[stream].window);
            positions.extend_from_slice(&all[range.clone()]);
        }
        let mut x = self.embed(k, accumulated);
        let rotary = Rotary::at(&positions, self.generator.head_width(), &x.device());
        for block in 0..self.fresh.len() {
            x = self.block(block, x, &rotary)?;
        }
        self.draw(x)
    }

    /// The scale's tokens of each row, `(R, p, D)`.
    fn embed(&self, k: usize, accumulated: Option<Tensor<3>>) -> Tensor<3> {
        let generator = self.generator;
        let device = generator.device();
        let width = generator.width();
        let Some(accumulated) = accumulated else {
            let history: Vec<f32> =
                self.streams.iter().flat_map(|stream| stream.history.iter().copied()).collect();
            let code = history.len() / self.streams.len();
            let history = TensorData::new(history, [self.streams.len(), 1, code]);
            let history = self.of_rows(Tensor::from_data(history, &device));
            let manner: Vec<f32> = self
                .rows
                .iter()
                .flat_map(|&(stream, _)| self.streams[stream].manner.iter().copied())
                .collect();
            let manner = Tensor::from_data(TensorData::new(manner, [self.rows.len(), 1, width]), &device);
            let first = generator.first_tokens(history, manner);
            let tokens = generator.layout().schedule().scales()[0];
            return first.expand([self.rows.len(), tokens, width]);
        };
        self.of_rows(generator.scale_tokens(k, accumulated))
    }

    /// `(B, ..)` of streams to `(R, ..)` of rows.
    fn of_rows(&self, x: Tensor<3>) -> Tensor<3> {
        if self.rows.len() == self.streams.len() {
            return x;
        }
        let seconds =
            self.rows[self.streams.len()..].iter().map(|&(stream, _)| x.clone().narrow(0, stream, 1));
        Tensor::cat(std::iter::once(x.clone()).chain(seconds).collect(), 0)
    }

    fn block(&mut self, index: usize, x: Tensor<3>, rotary: &Rotary) -> Result<Tensor<3>> {
        let block = &self.generator.blocks()[index];
        let [rows, tokens, width] = x.dims();
        let device = x.device();
        let heads = width / self.generator.head_width();
        let mut qkv = values(block.self_attention.project(&x))?;
        rotary.turn_rows(&mut qkv, 3 * width, 2 * width);
        let mut attended = vec![0.0; rows * tokens * width];
        let new = qkv.chunks_exact(tokens * 3 * width);
        for (new, fresh) in new.clone().zip(&mut self.fresh[index]) {
            new.chunks_exact(3 * width).for_each(|token| fresh.extend_from_slice(&token[width..]));
        }
        let sees =
            new.zip(&self.fresh[index]).zip(&self.rows).map(|((queries, fresh), &(stream, branch))| {
                let seen = self.streams[stream].branches[branch].seen[index].entries();
                Sees { queries, entries: [seen, fresh] }
            });
        attend_streams(&sees.collect::<Vec<_>>(), 3 * width, heads, &mut attended);
        let attended = Tensor::from_data(TensorData::new(attended, [rows, tokens, width]), &device);
        let mut x = block.self_attention.close(attended, x);
        let heard = self.streams.len();
        for (ear, attention) in [&block.own, &block.partner].into_iter().flatten().enumerate() {
            let mut queries = values(attention.ask(&x.clone().narrow(0, 0, heard)))?;
            rotary.range(0, heard * tokens).turn_rows(&mut queries, width, width);
            let mut attended = vec![0.0; heard * tokens * width];
            let sees = queries
                .chunks_exact(tokens * width)
                .zip(self.streams.iter())
                .map(|(queries, stream)| Sees { queries, entries: [stream.ears[index][ear].entries(), &[]] });
            attend_streams(&sees.collect::<Vec<_>>(), width, heads, &mut attended);
            let attended = Tensor::from_data(TensorData::new(attended, [heard, tokens, width]), &device);
            x = add_to_rows(x, 0..heard, attention.answer(attended));
            if rows > heard {
                x = add_to_rows(x, heard..rows, self.constants.silence[index][ear].clone());
            }
        }
        Ok(block.feed_forward.forward(x))
    }

    /// Draws bits after the last block, `(R, p, D)` to `(B, p, C)`.
    fn draw(&mut self, x: Tensor<3>) -> Result<Bits> {
        let [_, tokens, _] = x.dims();
        let (logits, hidden) = self.generator.open_logits(x);
        let logits = values(logits)?;
        let mut hidden = hidden.map(values).transpose()?;
        let bits = self.generator.codec().quantizer().code_width();
        let walk = self.constants.walk.as_ref();
        let units = walk.map_or(0, BitWalk::width);
        let streams = self.streams.len();
        let mut made = Bits::default();
        for index in 0..streams {
            let second = self.rows.iter().position(|&row| row == (index, 1));
            let sampling = self.samplings[index];
            let for_mouth = sampling.for_mouth();
            let second = second.filter(|_| sampling.is_guided());
            for token in 0..tokens {
                for bit in 0..bits {
                    let pair = |row: usize| {
                        let at = ((row * tokens + token) * bits + bit) * 2;
                        let added = match (walk, &hidden) {
                            (Some(walk), Some(hidden)) => {
                                let start = (row * tokens + token) * units;
                                walk.logit(&hidden[start..start + units], bit)
                            }
                            _ => 0.0,
                        };
                        [logits[at], logits[at + 1] + added]
                    };
                    let with = pair(index);
                    let without = second.map(pair);
                    let is_mouth = self.generator.is_mouth.get(bit).copied().unwrap_or(false);
                    let guide = if is_mouth { for_mouth } else { sampling };
                    let guided =
                        [0, 1].map(|class| guide.guide_one(with[class], without.map(|pair| pair[class])));
                    let at_warmth = |warmth: f32| guided.map(|logit| logit / warmth);
                    let warmth = if is_mouth { sampling.mouth_temperature } else { 1.0 };
                    let is_one = sampling.draw_bit(at_warmth(warmth), &mut self.streams[index].noise);
                    let drawn = f32::from(u8::from(is_one));
                    let is_soft = is_mouth && sampling.mouth_softness > 0.0;
                    let expected = || sampling.probabilities(at_warmth(sampling.mouth_softness))[1];
                    made.extend(&[drawn], &[if is_soft { expected() } else { drawn }]);
                    if let (Some(walk), Some(hidden)) = (walk, &mut hidden) {
                        for row in [Some(index), second].into_iter().flatten() {
                            let start = (row * tokens + token) * units;
                            walk.tell(&mut hidden[start..start + units], bit, is_one);
                        }
                    }
                }
            }
        }
        Ok(made)
    }

    /// Keeps the window's first tokens for those to come.
    fn remember(self, first_tokens: usize) {
        let entry = 2 * self.generator.width();
        for (block, rows) in self.fresh.iter().enumerate() {
            for (fresh, &(stream, branch)) in rows.iter().zip(&self.rows) {
                let ring = &mut self.streams[stream].branches[branch].seen[block];
                fresh.chunks_exact(entry).take(first_tokens).for_each(|entry| ring.push(entry));
            }
        }
    }
}
