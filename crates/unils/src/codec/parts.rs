//! Parts of the face that are coded apart.
//!
//! A codec may divide its channels into groups, each with an encoder, a decoder and bits of its own. Then the mouth's
//! bits say nothing about the head, so that a voice can move the lips alone, and a slow head does not lose its bits to
//! fast lips. A codec without parts is one part that holds everything.

use burn::module::Module;
use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use std::ops::Range;

use super::{CodecConfig, Half, LONGEST_CLIP, check_size, check_transformer};
use crate::error::{Error, Result};
use crate::motion::{Group, Space};
use crate::nn::{KvRing, Loader};

/// A group of channels that is coded apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartConfig {
    /// Name of its tensors in checkpoints.
    pub name: String,
    /// Its channels.
    pub groups: Vec<Group>,
    /// Transformer width.
    pub width: usize,
    /// Bits a token.
    pub code_width: usize,
}

impl PartConfig {
    /// Whether it moves the mouth.
    pub(crate) fn has_mouth(&self) -> bool {
        self.groups.contains(&Group::Mouth)
    }
}

/// Checks that the parts divide the channels, and that their bits add up.
pub(super) fn validate(config: &CodecConfig) -> Result<()> {
    if config.parts.is_empty() {
        return Ok(());
    }
    for part in &config.parts {
        let place = format!("codec.parts.{}", part.name);
        check_transformer(&place, part.width, config.heads, config.depth)?;
        check_size(&format!("{place}.code_width"), part.code_width, 1024)?;
    }
    let bits: usize = config.parts.iter().map(|part| part.code_width).sum();
    if bits != config.code_width {
        let what = format!("the parts have {bits} bits a token, the codec {}", config.code_width);
        return Err(Error::config("codec.code_width", what));
    }
    let mut channels: Vec<usize> =
        config.parts.iter().flat_map(|part| ranges(config, part)).flatten().collect();
    channels.sort_unstable();
    if channels != (0..config.motion_dim).collect::<Vec<_>>() {
        let what = format!("the parts' groups do not hold each of the {} channels once", config.motion_dim);
        return Err(Error::config("codec.parts", what));
    }
    Ok(())
}

/// Runs of a part's channels.
fn ranges(config: &CodecConfig, part: &PartConfig) -> Vec<Range<usize>> {
    let channels = Space::from_width(config.motion_dim).map_or(&[][..], Space::channels);
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (index, _) in channels.iter().enumerate().filter(|(_, channel)| part.groups.contains(&channel.group))
    {
        match ranges.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => ranges.push(index..index + 1),
        }
    }
    ranges
}

/// A part's two halves.
#[derive(Module, Debug)]
pub(super) struct Part {
    pub(super) encoder: Half,
    pub(super) decoder: Half,
    #[module(skip)]
    channels: Vec<Range<usize>>,
    #[module(skip)]
    bits: Range<usize>,
}

impl Part {
    /// All parts of a codec: without parts, one whose tensors are named as the release names them.
    pub(super) fn load_all(config: &CodecConfig, loader: &Loader<'_>) -> Vec<Self> {
        if config.parts.is_empty() {
            let all = 0..config.motion_dim;
            return vec![Self::load(config, loader, vec![all], 0..config.code_width)];
        }
        let mut end = 0;
        let parts = config.parts.iter().map(|part| {
            let sizes = CodecConfig { width: part.width, ..config.clone() };
            end += part.code_width;
            let bits = end - part.code_width..end;
            Self::load(&sizes, &loader.at(&part.name), ranges(config, part), bits)
        });
        parts.collect()
    }

    fn load(
        config: &CodecConfig,
        loader: &Loader<'_>,
        channels: Vec<Range<usize>>,
        bits: Range<usize>,
    ) -> Self {
        let motion = channels.iter().map(Range::len).sum();
        let window = config.schedule.last().copied().unwrap_or_default();
        let frames = if config.past.is_some() { LONGEST_CLIP } else { window };
        let half = |name, transformer, output, shape| {
            Half::load(config, frames, &loader.at(name), transformer, output, shape)
        };
        Self {
            encoder: half("encoder", "encoder_transformer", "code_mapping", [motion, bits.len()]),
            decoder: half("decoder", "decoder_transformer", "out_mapping", [bits.len(), motion]),
            channels,
            bits,
        }
    }

    /// Its part of normalised motion `(B, T, M)` to its part of the latent, `(B, T, bits)`.
    pub(super) fn encode(&self, motion: &Tensor<3>, mask: Option<Tensor<2, Bool>>) -> Tensor<3> {
        let part = |range: &Range<usize>| motion.clone().narrow(2, range.start, range.len());
        self.encoder.forward(Tensor::cat(self.channels.iter().map(part).collect(), 2), mask)
    }

    /// Its part of a sum feature `(B, T, C)` to its channels of normalised motion.
    pub(super) fn decode(&self, sum: &Tensor<3>, mask: Option<Tensor<2, Bool>>) -> Tensor<3> {
        self.decoder.forward(sum.clone().narrow(2, self.bits.start, self.bits.len()), mask)
    }
}

impl Part {
    /// [`Part::decode`] for new frames of several streams, `(1, B W, C)`; the part is number `index` of their states.
    pub(super) fn decode_step(
        &self,
        sum: &Tensor<3>,
        positions: &[u64],
        index: usize,
        states: &mut [&mut DecoderState],
    ) -> Result<Tensor<3>> {
        let mut rings: Vec<&mut Vec<KvRing>> =
            states.iter_mut().map(|state| &mut state.parts[index]).collect();
        self.decoder.step(sum.clone().narrow(2, self.bits.start, self.bits.len()), positions, &mut rings)
    }
}

/// What a block-causal decoder keeps of one stream's past: rings of each part's layers. A value that its caller owns.
#[derive(Debug, Clone)]
pub struct DecoderState {
    parts: Vec<Vec<KvRing>>,
}

impl DecoderState {
    pub(super) fn new(parts: &[Part], frames: usize) -> Self {
        Self { parts: parts.iter().map(|part| part.decoder.rings(frames)).collect() }
    }

    /// Bytes that it may come to take.
    pub fn bytes(&self) -> usize {
        self.parts.iter().flatten().map(KvRing::bytes).sum()
    }
}

/// The parts' channels in the motion's order, `(B, T, M)`.
pub(super) fn assemble(parts: &[Part], moved: Vec<Tensor<3>>) -> Tensor<3> {
    let mut pieces = Vec::new();
    for (part, moved) in parts.iter().zip(moved) {
        let mut start = 0;
        for range in &part.channels {
            pieces.push((range.start, moved.clone().narrow(2, start, range.len())));
            start += range.len();
        }
    }
    pieces.sort_by_key(|(start, _)| *start);
    Tensor::cat(pieces.into_iter().map(|(_, piece)| piece).collect(), 2)
}
