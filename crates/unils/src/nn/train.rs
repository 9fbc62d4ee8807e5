//! What training changes in a model: which tensors, and adapters in place of whole matrices.
//!
//! A [`TrainingPlan`] goes into a [`Loader`](super::Loader), which then makes trained tensors parameters that carry
//! gradients and leaves all others as they are. Adapters are LoRA's (arXiv 2106.09685): a frozen matrix `W` gets
//! a product of two thin ones beside it, `y = W x + B A dropout(x) alpha / rank`.

use std::fmt;

use burn::module::{Module, Param, ParamId};
use burn::tensor::module::linear;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::dropout::Dropout;

/// What training does with a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Leaves it as it is.
    Frozen,
    /// Changes it.
    Trained,
    /// Leaves it and trains an adapter beside it; frozen if it is not a linear layer's weight.
    Adapted,
}

/// Sizes of the adapters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Rows of `A`, columns of `B`.
    pub rank: usize,
    /// The adapter counts `alpha / rank` times.
    pub alpha: f64,
    /// Share of the adapter's inputs that are dropped in training.
    pub dropout: f64,
}

impl AdapterConfig {
    /// No adapter at all.
    pub const fn none() -> Self {
        Self { rank: 1, alpha: 0.0, dropout: 0.0 }
    }

    /// How much the adapter counts.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank.max(1) as f64
    }

    /// A frozen matrix `(outputs, inputs)` with an adapter folded in, `W + scale B A`: `down` is `A` `(rank, inputs)`, `up`
    /// is `B` `(outputs, rank)`. All are row-major, as checkpoints store them.
    pub fn fold(&self, weight: &[f32], down: &[f32], up: &[f32], inputs: usize) -> Vec<f32> {
        let (inputs, scale) = (inputs.max(1), self.scale() as f32);
        let rank = (down.len() / inputs).max(1);
        let mut folded = weight.to_vec();
        for (row, up) in folded.chunks_exact_mut(inputs).zip(up.chunks_exact(rank)) {
            for (up, down) in up.iter().zip(down.chunks_exact(inputs)) {
                let factor = scale * up;
                row.iter_mut().zip(down).for_each(|(value, down)| *value += factor * down);
            }
        }
        folded
    }
}

/// Which tensors of a model are trained, and how.
pub struct TrainingPlan {
    role: Box<dyn Fn(&str) -> Role>,
    adapter: AdapterConfig,
    is_half: bool,
}

impl TrainingPlan {
    /// Everything is trained.
    pub fn everything() -> Self {
        Self::new(|_| Role::Trained, AdapterConfig::none())
    }

    /// `role` tells from a tensor's name in checkpoints what happens to it.
    pub fn new(role: impl Fn(&str) -> Role + 'static, adapter: AdapterConfig) -> Self {
        Self { role: Box::new(role), adapter, is_half: false }
    }

    /// Multiplies matrices in bfloat16, for devices with units for it; weights, gradients and all else stay 32-bit
    /// floats.
    #[must_use]
    pub fn in_half(self, is_half: bool) -> Self {
        Self { is_half, ..self }
    }

    /// Whether matrices are multiplied in bfloat16.
    pub fn is_half(&self) -> bool {
        self.is_half
    }

    /// What happens to a tensor.
    pub fn role(&self, name: &str) -> Role {
        (self.role)(name)
    }

    /// Sizes of the adapters.
    pub fn adapter(&self) -> AdapterConfig {
        self.adapter
    }
}

impl fmt::Debug for TrainingPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainingPlan").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}

/// A tensor that training changes: how to find it in a module and in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Name in checkpoints.
    pub name: String,
    /// Shape in checkpoints.
    pub shape: Vec<usize>,
    /// Whether the module holds the matrix transposed.
    pub is_transposed: bool,
}

impl Parameter {
    /// The parameter's identity in the module, which follows from its name.
    pub fn id(&self) -> ParamId {
        ParamId::from(name_hash(&self.name))
    }
}

/// A number that follows from a tensor's name alone (FNV-1a): its identity, and what its random values start from.
pub fn name_hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The two thin matrices beside a frozen one.
#[derive(Module, Debug)]
pub struct Adapter {
    /// `A`, as `(in, rank)`.
    pub(super) down: Param<Tensor<2>>,
    /// `B`, as `(rank, out)`.
    pub(super) up: Param<Tensor<2>>,
    #[module(skip)]
    pub(super) scale: f64,
    #[module(skip)]
    pub(super) dropout: f64,
}

impl Adapter {
    /// What the adapter adds: `(..., in)` to `(..., out)`. Inputs are dropped only while gradients are recorded.
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        let down = self.down.val();
        let x = if self.dropout > 0.0 && down.is_autodiff() {
            let mask = Dropout::next(self.dropout).mask(x.dims().iter().product());
            x.clone() * Tensor::from_data(TensorData::new(mask, x.dims()), &x.device().without_autodiff())
        } else {
            x
        };
        linear(linear(x, down, None), self.up.val(), None) * self.scale
    }
}
