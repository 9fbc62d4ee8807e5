//! The generator's network and its plain, teacher-forced pass.

use burn::module::{Module, Param};
use burn::tensor::{Bool, Tensor, TensorData};

use super::block::{Block, BlockPaths, CrossAttention, VoiceContext};
use super::{GeneratorConfig, Layout};
use crate::codec::{Codec, CodecConfig};
use crate::error::Result;
use crate::nn::{LayerNorm, Linear, Loader, Rotary};

pub(super) const HEAD_NORM_EPSILON: f64 = 1e-5;

/// What a window is conditioned on; all features come from the codec or the speech encoder.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// Style clip's feature, `(B, T, C)`.
    pub style: Tensor<3>,
    /// Previous window's feature, `(B, T, C)`.
    pub previous: Tensor<3>,
    /// Audio features of the generated participant and of the partner, `(B, S, A)` each; `None` = absent voices.
    pub voices: Option<[Tensor<3>; 2]>,
}

/// The transformer over conditioning tokens and scales, with the codec that it speaks.
///
/// One network serves both stages: without cross-attention it is the audio-free motion prior, with it the
/// dual-track generator.
#[derive(Module, Debug)]
pub struct Generator {
    codec: Codec,
    code_embedding: Linear,
    /// `(1, 1, D)` each.
    start: Param<Tensor<3>>,
    style_embedding: Param<Tensor<3>>,
    previous_embedding: Param<Tensor<3>>,
    /// `(scales, D)`.
    level_embedding: Param<Tensor<2>>,
    /// `(1, 1, A)`: added to own and partner's audio features.
    voice_embeddings: Option<VoiceEmbeddings>,
    blocks: Vec<Block>,
    head_norm: LayerNorm,
    head: Linear,
    /// Positions of the whole sequence.
    rotary: Rotary,
    #[module(skip)]
    layout: Layout,
    #[module(skip)]
    head_width: usize,
}

/// What tells own and partner's audio features apart, `(1, 1, A)` each.
#[derive(Module, Debug)]
pub(super) struct VoiceEmbeddings {
    own: Param<Tensor<3>>,
    partner: Param<Tensor<3>>,
}

impl VoiceEmbeddings {
    /// From the trunk's subtree.
    pub(super) fn load(audio_dim: usize, trunk: &Loader<'_>) -> Self {
        Self {
            own: trunk.parameter("self_pos", [1, 1, audio_dim]),
            partner: trunk.parameter("other_pos", [1, 1, audio_dim]),
        }
    }

    pub(super) fn audio_dim(&self) -> usize {
        self.own.val().dims()[2]
    }

    /// A block's cross-attentions, own voice's and then partner's, each with what is added to the features it hears.
    pub(super) fn with_ears<'b>(
        &self,
        block: &'b Block,
    ) -> impl Iterator<Item = (&'b CrossAttention, Tensor<3>)> {
        let Block { own, partner, .. } = block;
        let embeddings = [self.own.val(), self.partner.val()];
        [own, partner].into_iter().flatten().zip(embeddings)
    }
}

impl Generator {
    /// Builds the generator and its codec from a checkpoint's root.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for impossible sizes. Missing or misshapen tensors are in the loader's report.
    pub fn load(config: &GeneratorConfig, codec: &CodecConfig, loader: &Loader<'_>) -> Result<Self> {
        config.validate()?;
        let bits = codec.code_width;
        let codec = Codec::load(codec, &loader.at("base_codec").frozen())?;
        let layout = Layout::new(codec.quantizer().schedule().clone());
        let width = config.width;
        let trunk = loader.at("attn_blocks");
        Ok(Self {
            code_embedding: loader.linear("code_token_embed", [width, bits]),
            start: loader.parameter("sos_embed", [1, 1, width]),
            style_embedding: trunk.parameter("style_pos", [1, 1, width]),
            previous_embedding: trunk.parameter("prev_pos", [1, 1, width]),
            level_embedding: trunk.parameter("lvl_embed.weight", [layout.schedule().scales().len(), width]),
            voice_embeddings: config.audio_dim.map(|audio_dim| VoiceEmbeddings::load(audio_dim, &trunk)),
            blocks: (0..config.depth)
                .map(|index| Block::load(config, &trunk.at("attn_blocks").at(index)))
                .collect(),
            head_norm: loader.layer_norm("logits_head.0", width, HEAD_NORM_EPSILON),
            head: loader.linear("logits_head.1", [2 * bits, width]),
            rotary: Rotary::new(&layout.positions(), width / config.heads, loader.device()),
            head_width: width / config.heads,
            layout,
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
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The blocks, for tests and training.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Rotary tables of the whole sequence.
    pub fn rotary(&self) -> &Rotary {
        &self.rotary
    }

    /// True when the generator listens to voices.
    pub fn hears(&self) -> bool {
        self.voice_embeddings.is_some()
    }

    /// Channels of the audio features, if the generator listens to voices.
    pub fn audio_dim(&self) -> Option<usize> {
        self.voice_embeddings.as_ref().map(VoiceEmbeddings::audio_dim)
    }

    /// Conditioning tokens `(B, 2T, D)` from the style's and the previous window's features `(B, T, C)`.
    pub fn embed_conditions(&self, style: Tensor<3>, previous: Tensor<3>) -> Tensor<3> {
        let style = self.code_embedding.forward(style) + self.style_embedding.val();
        let previous = self.code_embedding.forward(previous) + self.previous_embedding.val();
        Tensor::cat(vec![style, previous], 1)
    }

    /// Tokens of scale `k`, `(B, p, D)`: the start token for scale 0, else from the accumulated feature
    /// `(B, p, C)`.
    pub fn embed_scale(&self, k: usize, batch: usize, accumulated: Option<Tensor<3>>) -> Tensor<3> {
        let width = self.start.val().dims()[2];
        let level = self.level_embedding.val().slice([k..k + 1, 0..width]).unsqueeze::<3>();
        let tokens = match accumulated {
            None => self.start.val().expand([batch, self.layout.schedule().scales()[k], width]),
            Some(feature) => self.code_embedding.forward(feature),
        };
        tokens + level
    }

    /// What block `block` needs of the voices during a window, in the order of its cross-attentions: own, then
    /// partner. Empty without audio.
    pub fn listen(&self, block: usize, voices: &[Tensor<3>; 2]) -> Vec<VoiceContext> {
        let positions = self.layout.audio_positions(voices[0].dims()[1]);
        let rotary = Rotary::new(&positions, self.head_width, &voices[0].device());
        let heard = self.hearings(block).zip(voices);
        heard.map(|((ear, embedding), voice)| ear.listen(voice.clone() + embedding, &rotary)).collect()
    }

    /// The voices' contexts when all are absent (zero features): constants of the model.
    pub fn listen_to_nothing(&self, block: usize) -> Vec<VoiceContext> {
        self.hearings(block).map(|(ear, embedding)| ear.listen_to_nothing(embedding)).collect()
    }

    /// A block's cross-attentions, each with what is added to the features that it hears.
    fn hearings(&self, block: usize) -> impl Iterator<Item = (&CrossAttention, Tensor<3>)> {
        self.voice_embeddings.iter().flat_map(move |voices| voices.with_ears(&self.blocks[block]))
    }

    /// Logits `(B, n, 2C)` of tokens `(B, n, D)` after the last block; pairs (bit 0, bit 1) for each bit.
    pub fn logits(&self, x: Tensor<3>) -> Tensor<3> {
        self.head.forward(self.head_norm.forward(x))
    }

    /// The plain pass over a whole sequence: the first `scales` scales, whose inputs are `accumulated_next`
    /// `(B, tokens of scales 1.., C)`. Returns `(B, tokens of those scales, 2C)` logits.
    pub fn forward(
        &self,
        conditions: &Conditions,
        accumulated_next: Option<Tensor<3>>,
        scales: usize,
    ) -> Tensor<3> {
        self.forward_dropping(conditions, accumulated_next, scales, &[])
    }

    /// [`Generator::forward`] with some of the branches of `paths[block]` left out, as in training; an empty slice
    /// leaves none out.
    pub fn forward_dropping(
        &self,
        conditions: &Conditions,
        accumulated_next: Option<Tensor<3>>,
        scales: usize,
        paths: &[BlockPaths],
    ) -> Tensor<3> {
        let mut x = self.embed(conditions, accumulated_next, scales);
        let [batch, tokens, width] = x.dims();
        let rotary = self.rotary.range(0, tokens);
        let mask = self.mask(tokens);
        for (index, block) in self.blocks.iter().enumerate() {
            let contexts = match &conditions.voices {
                Some(voices) => self.listen(index, voices),
                None => self.listen_to_nothing(index),
            };
            x = block.forward(x, &rotary, &mask, &contexts, [None, None], paths.get(index));
        }
        self.logits(x.slice([0..batch, self.layout.conditions()..tokens, 0..width]))
    }

    /// The sequence that enters the first block.
    pub fn embed(
        &self,
        conditions: &Conditions,
        accumulated_next: Option<Tensor<3>>,
        scales: usize,
    ) -> Tensor<3> {
        let batch = conditions.style.dims()[0];
        let mut parts = vec![self.embed_conditions(conditions.style.clone(), conditions.previous.clone())];
        parts.push(self.embed_scale(0, batch, None));
        if let Some(features) = accumulated_next {
            let first = self.layout.schedule().scales()[0];
            for k in 1..scales {
                let range = self.layout.schedule().range(k);
                let part = range.start - first..range.end - first;
                let feature = features.clone().slice([0..batch, part, 0..features.dims()[2]]);
                parts.push(self.embed_scale(k, batch, Some(feature)));
            }
        }
        Tensor::cat(parts, 1)
    }

    /// `(n, n)`, true where the row's token must not look at the column's.
    pub fn mask(&self, tokens: usize) -> Tensor<2, Bool> {
        let hidden: Vec<bool> = self.layout.visible(tokens).into_iter().map(|visible| !visible).collect();
        Tensor::from_data(TensorData::new(hidden, [tokens, tokens]), &self.start.val().device())
    }
}
