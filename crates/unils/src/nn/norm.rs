//! Layer normalisation over the last dimension.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::layer_norm;

use super::{Activation, cpu, grad};

/// `(x - mean) / sqrt(var + eps) * gamma + beta`, mean and biased variance over the channels.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `(C)`.
    pub gamma: Param<Tensor<1>>,
    /// Offset, `(C)`.
    pub beta: Param<Tensor<1>>,
    /// Added to the variance.
    #[module(skip)]
    pub epsilon: f64,
}

impl LayerNorm {
    /// A norm from its scale and offset, `(C)` each.
    pub fn new(gamma: Param<Tensor<1>>, beta: Param<Tensor<1>>, epsilon: f64) -> Self {
        Self { gamma, beta, epsilon }
    }

    /// `(..., C)` to `(..., C)`.
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        self.forward_then(x, Activation::None)
    }

    /// [`LayerNorm::forward`], then an activation.
    pub fn forward_then<const N: usize>(&self, x: Tensor<N>, then: Activation) -> Tensor<N> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if cpu::holds(&x) && cpu::holds(&gamma) {
            return cpu::layer_norm(x, &gamma, &beta, self.epsilon, then);
        }
        if (grad::holds(&x) || grad::holds(&gamma)) && grad::reads(&x) && grad::reads(&gamma) {
            return then.forward(grad::layer_norm(x, gamma, beta, self.epsilon));
        }
        then.forward(layer_norm(x, gamma, Some(beta), self.epsilon))
    }

    /// The norm for the CPU route, beside packed weights.
    pub(super) fn packed(&self) -> cpu::Norm {
        cpu::Norm::of(&self.gamma.val(), &self.beta.val(), self.epsilon)
    }
}
