//! One transformer block: self-attention, cross-attention to both voices, feed-forward; each residual.

use burn::module::Module;
use burn::tensor::{Bool, Tensor};

use super::{GeneratorConfig, Hearing};
use crate::nn::{Activation, KvCache, LayerNorm, Linear, Loader, Rotary, attend, attend_qkv, blend};

const NORM_EPSILON: f64 = 1e-6;

/// A block; the audio-free generator's have no cross-attention.
#[derive(Module, Debug)]
pub struct Block {
    /// Attention among the sequence's own tokens.
    pub self_attention: SelfAttention,
    /// Cross-attention to the generated participant's voice (`self_audio_attn` in checkpoints).
    pub own: Option<CrossAttention>,
    /// Cross-attention to the partner's voice (`other_audio_attn` in checkpoints), if it has one of its own.
    pub partner: Option<CrossAttention>,
    /// Feed-forward part.
    pub feed_forward: FeedForward,
}

impl Block {
    pub(super) fn load(config: &GeneratorConfig, loader: &Loader<'_>) -> Self {
        let cross = |name| {
            config.audio_dim.map(|audio_dim| CrossAttention::load(config, audio_dim, &loader.at(name)))
        };
        let partner = (config.hearing == Hearing::Both).then(|| cross("other_audio_attn")).flatten();
        Self {
            self_attention: SelfAttention::load(config, &loader.at("self_attn")),
            own: cross("self_audio_attn"),
            partner,
            feed_forward: FeedForward::load(config.width, &loader.at("ffn")),
        }
    }

    /// A whole sequence `(B, n, D)` through the block: the plain pass of every layout.
    ///
    /// `hidden` `(n, n)` is true where the row's token must not see the column's. `voices` are what the cross-attentions
    /// hear, in their order, and `deaf` `(n, S)` what each must not hear. `paths` leaves branches out, as in training.
    pub fn forward(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        hidden: &Tensor<2, Bool>,
        voices: &[VoiceContext],
        deaf: [Option<Tensor<2, Bool>>; 2],
        paths: Option<&BlockPaths>,
    ) -> Tensor<3> {
        let mut x = through(paths.map(|p| &p.self_attention), x, |x| {
            self.self_attention.forward(x, rotary, Some(hidden.clone()))
        });
        let ears = [(&self.own, paths.map(|p| &p.own)), (&self.partner, paths.map(|p| &p.partner))];
        for (((ear, path), voice), deaf) in ears.into_iter().zip(voices).zip(deaf) {
            if let Some(ear) = ear {
                x = through(path, x, |x| ear.forward(x, rotary, voice, deaf));
            }
        }
        through(paths.map(|p| &p.feed_forward), x, |x| self.feed_forward.forward(x))
    }
}

/// How much the branches of a block count for each sample of a batch, `(B, 1, 1)` each: 0 for a branch that is left
/// out, else above 1 so that the mean is 1 (stochastic depth, arXiv 1603.09382).
#[derive(Debug, Clone)]
pub struct BlockPaths {
    /// Of the attention among the sequence's tokens.
    pub self_attention: Tensor<3>,
    /// Of the attention to the generated participant's voice.
    pub own: Tensor<3>,
    /// Of the attention to the partner's voice.
    pub partner: Tensor<3>,
    /// Of the feed-forward part.
    pub feed_forward: Tensor<3>,
}

/// `x + path * (residual(x) - x)` for a layer that adds to its input.
fn through(
    path: Option<&Tensor<3>>,
    x: Tensor<3>,
    residual: impl FnOnce(Tensor<3>) -> Tensor<3>,
) -> Tensor<3> {
    match path {
        None => residual(x),
        Some(path) => blend(x.clone(), residual(x), path.clone()),
    }
}

/// Self-attention with rotary positions.
#[derive(Module, Debug)]
pub struct SelfAttention {
    norm: LayerNorm,
    to_qkv: Linear,
    to_out: Linear,
    #[module(skip)]
    heads: usize,
}

impl SelfAttention {
    fn load(config: &GeneratorConfig, loader: &Loader<'_>) -> Self {
        let width = config.width;
        Self {
            norm: loader.layer_norm("norm", width, NORM_EPSILON),
            to_qkv: loader.linear_without_bias("to_qkv", [3 * width, width]),
            to_out: loader.linear("to_out", [width, width]),
            heads: config.heads,
        }
    }

    /// `x + to_out(attention(norm(x)))` over the whole sequence `(B, n, D)`; `mask` `(n, n)` true = hidden.
    pub fn forward(&self, x: Tensor<3>, rotary: &Rotary, mask: Option<Tensor<2, Bool>>) -> Tensor<3> {
        self.to_out.add_to(attend_qkv(self.project(&x), self.heads, Some(rotary), mask), x)
    }

    /// The same for new tokens `(B, n, D)` that see everything in the cache and each other.
    pub fn step(&self, x: Tensor<3>, rotary: &Rotary, cache: &mut KvCache) -> Tensor<3> {
        self.to_out.add_to(cache.attend(self.project(&x), self.heads, rotary), x)
    }

    /// Puts new tokens into the cache without computing their own result.
    pub fn remember(&self, x: &Tensor<3>, rotary: &Rotary, cache: &mut KvCache) {
        cache.remember(self.project(x), self.heads, rotary);
    }

    /// Packed queries, keys and values `(B, n, 3 D)` of tokens.
    pub(super) fn project(&self, x: &Tensor<3>) -> Tensor<3> {
        self.to_qkv.forward(self.norm.forward(x.clone()))
    }

    /// `x + to_out(attended)`.
    pub(super) fn close(&self, attended: Tensor<3>, x: Tensor<3>) -> Tensor<3> {
        self.to_out.add_to(attended, x)
    }
}

/// A voice as one block's cross-attention sees it during a window.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a few of them exist at a time")]
pub enum VoiceContext {
    /// Keys and values of the audio features, `(B, S, H, D)` each.
    Features(Tensor<4>, Tensor<4>),
    /// The result that every token gets from features that are all the same, `(1, 1, D)`: attention over
    /// equal values returns that value whatever the weights.
    Constant(Tensor<3>),
}

/// Cross-attention to one voice.
#[derive(Module, Debug)]
pub struct CrossAttention {
    norm: LayerNorm,
    context_norm: LayerNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    #[module(skip)]
    heads: usize,
}

impl CrossAttention {
    fn load(config: &GeneratorConfig, audio_dim: usize, loader: &Loader<'_>) -> Self {
        let width = config.width;
        Self {
            norm: loader.layer_norm("self_norm", width, NORM_EPSILON),
            context_norm: loader.layer_norm("context_norm", audio_dim, NORM_EPSILON),
            to_q: loader.linear("q_proj", [width, width]),
            to_k: loader.linear("k_proj", [width, audio_dim]),
            to_v: loader.linear("v_proj", [width, audio_dim]),
            to_out: loader.linear("out_proj", [width, width]),
            heads: config.heads,
        }
    }

    /// Keys and values of a voice: audio features with their embedding already added, `(B, S, A)`.
    pub fn listen(&self, audio: Tensor<3>, rotary: &Rotary) -> VoiceContext {
        let audio = self.context_norm.forward(audio);
        let keys = self.split(self.to_k.forward(audio.clone()));
        let values = self.split(self.to_v.forward(audio));
        VoiceContext::Features(rotary.apply(keys), values)
    }

    /// The context of a voice whose features are all the one `feature` `(1, 1, A)`: an absent voice.
    pub fn listen_to_nothing(&self, feature: Tensor<3>) -> VoiceContext {
        VoiceContext::Constant(self.to_out.forward(self.to_v.forward(self.context_norm.forward(feature))))
    }

    /// `x + to_out(attention(norm(x), voice))`, `(B, n, D)`; `mask` `(n, S)` is true where the row's token must not
    /// hear the column's feature.
    pub fn forward(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        voice: &VoiceContext,
        mask: Option<Tensor<2, Bool>>,
    ) -> Tensor<3> {
        let delta = self.delta(x.clone(), rotary, voice, mask);
        x + delta
    }

    /// What [`CrossAttention::forward`] adds: `(B, n, D)`, or `(1, 1, D)` for a constant voice.
    pub fn delta(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        voice: &VoiceContext,
        mask: Option<Tensor<2, Bool>>,
    ) -> Tensor<3> {
        match voice {
            VoiceContext::Constant(result) => result.clone(),
            VoiceContext::Features(keys, values) => {
                let dims = x.dims();
                let q = rotary.apply(self.split(self.to_q.forward(self.norm.forward(x))));
                self.to_out.forward(attend(q, keys.clone(), values.clone(), mask).reshape(dims))
            }
        }
    }

    /// Queries `(B, n, D)` of tokens, not yet turned.
    pub(super) fn ask(&self, x: &Tensor<3>) -> Tensor<3> {
        self.to_q.forward(self.norm.forward(x.clone()))
    }

    /// What [`CrossAttention::delta`] makes of attended values.
    pub(super) fn answer(&self, attended: Tensor<3>) -> Tensor<3> {
        self.to_out.forward(attended)
    }

    fn split(&self, x: Tensor<3>) -> Tensor<4> {
        let [b, t, width] = x.dims();
        x.reshape([b, t, self.heads, width / self.heads])
    }
}

/// `x + down(gelu(up(norm(x))))`, four times as wide inside.
#[derive(Module, Debug)]
pub struct FeedForward {
    norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    fn load(width: usize, loader: &Loader<'_>) -> Self {
        Self {
            norm: loader.layer_norm("0", width, NORM_EPSILON),
            up: loader.linear("1", [4 * width, width]),
            down: loader.linear("3", [width, 4 * width]),
        }
    }

    /// `(B, n, D)` to `(B, n, D)`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let inside = self.up.forward_then(self.norm.forward(x.clone()), Activation::GeluTanh);
        self.down.add_to(inside, x)
    }
}
