//! What both generators are trained on: each bit's cross-entropy.

use burn::tensor::{Tensor, activation};

/// Mean cross-entropy, in nats, of bits `(B, L, C)` under logits `(B, L, 2C)`: pairs (bit 0, bit 1).
pub fn bit_cross_entropy(logits: Tensor<3>, bits: Tensor<3>) -> Tensor<1> {
    bit_cross_entropies(logits, bits).mean()
}

/// The same of each bit, `(B, L, C)`.
pub fn bit_cross_entropies(logits: Tensor<3>, bits: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, width] = bits.dims();
    let pairs = logits.reshape([batch, tokens, width, 2]);
    let class = |class: usize| pairs.clone().narrow(3, class, 1).reshape([batch, tokens, width]);
    // -log softmax of the right class is softplus of the margin by which the wrong one leads.
    let lead = class(0) - class(1);
    activation::softplus(lead * (bits * 2.0 - 1.0), 1.0)
}
