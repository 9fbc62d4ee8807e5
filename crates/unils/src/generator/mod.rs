//! The generator: a transformer that predicts a window's motion code, scale by scale.
//!
//! After the codec and the speech encoder, before the decoder: [`Generator::begin`] and
//! [`Generator::generate_window`] turn audio features into motion. Without audio it is the motion prior of the
//! audio-free stage; with cross-attention to both voices it is the dual-track generator.
//!
//! Two layouts share blocks, heads and sampling: [`Generator`] makes one long window at a time from a style clip and the
//! window before, as the paper does; [`CausalGenerator`] makes short windows that see all that was, for live use.
//!
//! Letters: `B` batch rows, `P` participants, `T` frames of a window, `L` tokens of all scales, `C` bits a
//! token, `D` width, `S` audio features of a window, `A` their channels, `M` motion channels.

mod bit_head;
mod block;
mod causal;
mod generate;
mod layout;
mod loss;
mod model;
mod sampler;
mod stream;

use serde::{Deserialize, Serialize};

pub use bit_head::BitHead;
pub use block::{Block, BlockPaths, CrossAttention, FeedForward, SelfAttention, VoiceContext};
pub use causal::{CausalConfig, CausalGenerator, CausalInputs, CausalLayout, STYLE_ROWS};
pub use generate::{GenerationState, ScaleLogits, Start, Window};
pub use layout::Layout;
pub use loss::{bit_cross_entropies, bit_cross_entropy};
pub use model::{Conditions, Generator};
pub use sampler::{Noise, Sampling};
pub use stream::{CausalStream, StreamStart};

use crate::codec::{check_size, check_transformer};
use crate::error::Result;

/// Which voices a generator hears. All but the first are what the paper's recipe is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hearing {
    /// Own voice and partner's, each through a cross-attention of its own.
    #[default]
    Both,
    /// One cross-attention to the sum of both voices.
    Mixed,
    /// One cross-attention to the own voice: speaks, but does not listen.
    Own,
}

impl Hearing {
    fn is_both(&self) -> bool {
        *self == Self::Both
    }

    /// What is encoded in the own voice's place: the voice itself, or the sum of both.
    pub fn own_track(self, own: &[f32], partner: &[f32]) -> Vec<f32> {
        match self {
            Self::Both | Self::Own => own.to_vec(),
            Self::Mixed => own.iter().zip(partner).map(|(own, partner)| own + partner).collect(),
        }
    }
}

/// Sizes of a generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Transformer width.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Blocks.
    pub depth: usize,
    /// Channels of the audio features; `None` for the audio-free generator.
    pub audio_dim: Option<usize>,
    /// Which voices it hears, if any.
    #[serde(default, skip_serializing_if = "Hearing::is_both")]
    pub hearing: Hearing,
    /// Short windows that see their past ([`CausalGenerator`]); `None` = the paper's long ones ([`Generator`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causal: Option<CausalConfig>,
}

impl GeneratorConfig {
    /// Checks the sizes against each other and against sane bounds.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the field.
    pub fn validate(&self) -> Result<()> {
        check_transformer("generator", self.width, self.heads, self.depth)?;
        if let Some(causal) = &self.causal {
            causal.validate()?;
        }
        self.audio_dim.map_or(Ok(()), |audio_dim| check_size("generator.audio_dim", audio_dim, 16_384))
    }
}
