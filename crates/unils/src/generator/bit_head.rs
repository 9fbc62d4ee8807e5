//! Bits of a token in order: each is predicted from those before it.
//!
//! Independent bits cannot agree on one of several good codes. Behind the transformer, a small masked network (as in
//! MADE, arXiv 1502.03509) with a few hidden units a bit lets bit `c` see bits `0 .. c` of its token. Training knows
//! all bits and needs one pass; sampling goes through the bits of a token on the CPU, which costs microseconds.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, activation};

use crate::error::Result;
use crate::nn::{Linear, Loader, values};

/// The masked network. `C` bits, `U` hidden units a bit.
#[derive(Module, Debug)]
pub struct BitHead {
    /// `D` to `C U`.
    units: Linear,
    /// `(C, C U)`: from bits to units.
    order: Param<Tensor<2>>,
    /// `(C, U)`: from a bit's units to its logit.
    out: Param<Tensor<2>>,
    /// `(C, C U)`: 1 where the row's bit comes before the column's.
    before: Tensor<2>,
}

impl BitHead {
    pub(super) fn load(bits: usize, units: usize, width: usize, loader: &Loader<'_>) -> Self {
        let columns = bits * units;
        let before = (0..bits * columns).map(|at| f32::from(at / columns < at % columns / units)).collect();
        let before = TensorData::new::<f32, _>(before, [bits, columns]);
        Self {
            units: loader.linear("units", [columns, width]),
            order: loader.parameter("order", [bits, columns]),
            out: loader.parameter("out", [bits, units]),
            before: Tensor::from_data(before, loader.device()),
        }
    }

    /// What is added to the logits of 1: from tokens `(B, n, D)` and their bits `(B, n, C)`, `(B, n, C)`.
    pub fn forward(&self, x: Tensor<3>, bits: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, count] = bits.dims();
        let out = self.out.val();
        let units = out.dims()[1];
        let order = (self.order.val() * self.before.clone()).unsqueeze::<3>();
        let hidden = self.units.forward(x) + (bits * 2.0 - 1.0).matmul(order);
        let hidden = activation::gelu_approximate(hidden).reshape([batch, tokens, count, units]);
        (hidden * out.unsqueeze::<4>()).sum_dim(3).reshape([batch, tokens, count])
    }

    /// What the bits' units hear of tokens `(B, n, D)`, before any bit is known: `(B, n, C U)`.
    pub fn hear(&self, x: Tensor<3>) -> Tensor<3> {
        self.units.forward(x)
    }

    /// The weights for going through a token's bits one by one.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if they cannot be brought from the device.
    pub fn walk(&self) -> Result<BitWalk> {
        let order = values((self.order.val() * self.before.clone()).unsqueeze::<3>())?;
        let out = values(self.out.val().unsqueeze::<3>())?;
        let [bits, units] = self.out.val().dims();
        Ok(BitWalk { order, out, bits, units })
    }
}

/// A [`BitHead`]'s weights on the CPU.
#[derive(Debug, Clone)]
pub struct BitWalk {
    /// `(C, C U)`, masked.
    order: Vec<f32>,
    /// `(C, U)`.
    out: Vec<f32>,
    bits: usize,
    units: usize,
}

impl BitWalk {
    /// Hidden units of all bits.
    pub fn width(&self) -> usize {
        self.bits * self.units
    }

    /// What is added to the logit of 1 of bit `c`, when `hidden` `(C, U)` has heard the token and all bits before.
    pub fn logit(&self, hidden: &[f32], c: usize) -> f32 {
        let units = c * self.units..(c + 1) * self.units;
        hidden[units.clone()].iter().zip(&self.out[units]).map(|(&h, &w)| gelu(h) * w).sum()
    }

    /// Tells the units of later bits that bit `c` is `bit`.
    pub fn tell(&self, hidden: &mut [f32], c: usize, bit: bool) {
        let sign = if bit { 1.0 } else { -1.0 };
        let from = (c + 1) * self.units;
        let row = &self.order[c * self.width()..(c + 1) * self.width()];
        hidden[from..].iter_mut().zip(&row[from..]).for_each(|(h, w)| *h += sign * w);
    }
}

/// GELU with the tanh approximation.
fn gelu(x: f32) -> f32 {
    let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    0.5 * x * (1.0 + inner.tanh())
}
