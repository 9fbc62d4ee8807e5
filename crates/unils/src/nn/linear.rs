//! Linear layer with a fused activation or residual.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor, TensorData, activation};

use super::cpu::{PackedLinear, contiguous};

/// What follows a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `x` for `x > 0`, else `0.2 x`.
    LeakyRelu,
    /// GELU with the error function.
    Gelu,
    /// GELU with the tanh approximation.
    GeluTanh,
    /// `x` for `x > 0`, else `exp(x) - 1`.
    Elu,
}

impl Activation {
    /// The slope of [`Activation::LeakyRelu`] below zero.
    pub const SLOPE: f32 = 0.2;

    /// Applies it as Burn operations.
    pub fn forward<const N: usize>(self, x: Tensor<N>) -> Tensor<N> {
        match self {
            Self::None => x,
            Self::LeakyRelu => activation::leaky_relu(x, f64::from(Self::SLOPE)),
            Self::Gelu => activation::gelu(x),
            Self::GeluTanh => activation::gelu_approximate(x),
            Self::Elu => activation::elu(x, 1.0),
        }
    }
}

/// `y = x W^T + b` for a weight that checkpoints store as `(out, in)`.
///
/// Holds the weight either as a tensor (plain route) or packed for the CPU's matrix product, never both.
#[derive(Module, Debug)]
pub struct Linear {
    route: Route,
}

#[derive(Module, Debug)]
enum Route {
    Plain(Plain),
    Packed(Packed),
}

#[derive(Module, Debug)]
struct Plain {
    /// `(in, out)`.
    weight: Param<Tensor<2>>,
    /// `(out)`.
    bias: Option<Param<Tensor<1>>>,
}

#[derive(Module, Debug)]
struct Packed {
    #[module(skip)]
    weight: Arc<PackedLinear>,
}

impl Linear {
    /// A layer from a row-major `(out, in)` weight as checkpoints store it. `pack` chooses the CPU route.
    ///
    /// # Panics
    /// If the slices' lengths are not `outputs * inputs` and `outputs`: the loader has checked them.
    pub fn new(
        weight: &[f32],
        bias: Option<&[f32]>,
        [outputs, inputs]: [usize; 2],
        pack: bool,
        device: &Device,
    ) -> Self {
        assert_eq!(weight.len(), outputs * inputs, "weight length");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "bias length");
        if pack {
            let weight = Arc::new(PackedLinear::new(weight, bias, [outputs, inputs]));
            return Self { route: Route::Packed(Packed { weight }) };
        }
        let tensor = |values: &[f32]| -> Tensor<1> {
            Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
        };
        // One real transposition here instead of a strided read in every product.
        let weight = contiguous(tensor(weight).reshape([outputs, inputs]).transpose());
        let bias = bias.map(|bias| Param::from_tensor(tensor(bias)));
        Self { route: Route::Plain(Plain { weight: Param::from_tensor(weight), bias }) }
    }

    /// `(..., in)` to `(..., out)`.
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        self.forward_then(x, Activation::None)
    }

    /// [`Linear::forward`] and an activation in one pass over the result.
    pub fn forward_then<const N: usize>(&self, x: Tensor<N>, then: Activation) -> Tensor<N> {
        match &self.route {
            Route::Packed(packed) => packed.weight.forward(x, then),
            Route::Plain(plain) => {
                then.forward(linear(x, plain.weight.val(), plain.bias.as_ref().map(Param::val)))
            }
        }
    }

    /// `residual + forward(x)`, written over the residual where that is possible.
    pub fn add_to<const N: usize>(&self, x: Tensor<N>, residual: Tensor<N>) -> Tensor<N> {
        match &self.route {
            Route::Packed(packed) => packed.weight.add_to(x, residual),
            Route::Plain(_) => residual + self.forward(x),
        }
    }
}
