//! Linear layer with a fused activation or residual.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::module::linear;
use burn::tensor::{Device, FloatDType, Tensor, TensorData, activation};

use super::cpu::{PackedLinear, contiguous};
use super::grad;
use super::train::Adapter;

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
#[allow(clippy::large_enum_variant, reason = "one a layer, of which there are hundreds at most")]
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
    adapter: Option<Adapter>,
    /// Multiplies in bfloat16: see [`TrainingPlan::in_half`](super::TrainingPlan::in_half).
    #[module(skip)]
    is_half: bool,
}

/// A weight `(in, out)` and a bias `(out)`.
type Values = (Tensor<2>, Option<Tensor<1>>);
type Parameters = (Param<Tensor<2>>, Option<Param<Tensor<1>>>);

#[derive(Module, Debug)]
struct Packed {
    #[module(skip)]
    weight: Arc<PackedLinear>,
}

impl Plain {
    /// Whether gradients pass through the layer, and [`grad::linear`] can compute it.
    fn has_gradients<const N: usize>(&self, x: &Tensor<N>) -> bool {
        let weight = self.weight.val();
        let adapter = self.adapter.as_ref();
        let is_any = grad::holds(x)
            || grad::holds(&weight)
            || adapter.is_some_and(|adapter| grad::holds(&adapter.down.val()));
        is_any && !self.is_half && grad::reads(x) && grad::reads(&weight)
    }

    /// The product and the bias, by Burn's operations.
    fn product<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        if !self.is_half {
            return linear(x, weight, bias);
        }
        let half = |x: Tensor<N>| x.cast(FloatDType::BF16);
        let y = linear(half(x), weight.cast(FloatDType::BF16), None).cast(FloatDType::F32);
        bias.into_iter().fold(y, |y, bias| y + bias.unsqueeze())
    }

    fn with_gradients<const N: usize>(
        &self,
        x: Tensor<N>,
        residual: Option<Tensor<N>>,
        then: Activation,
    ) -> Tensor<N> {
        let adapter = self.adapter.as_ref().map(|adapter| {
            let (down, up) = (adapter.down.val(), adapter.up.val());
            let dropout = if down.is_autodiff() { adapter.dropout } else { 0.0 };
            grad::Thin { down, up, scale: adapter.scale, dropout }
        });
        let bias = self.bias.as_ref().map(Param::val);
        grad::linear(x, self.weight.val(), bias, adapter, residual, then)
    }
}

/// A parameter that nothing changes.
fn frozen<const N: usize>(tensor: Tensor<N>) -> Param<Tensor<N>> {
    Param::from_tensor(tensor).set_require_grad(false)
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
        let bias = bias.map(|bias| frozen(tensor(bias)));
        Self { route: Route::Plain(Plain { weight: frozen(weight), bias, adapter: None, is_half: false }) }
    }

    /// The plain layer with its weight `(in, out)` and bias `(out)` made parameters by `parameters`.
    pub(super) fn trained(self, parameters: impl FnOnce(Values) -> Parameters) -> Self {
        let Route::Plain(plain) = self.route else { return self };
        let values = plain.bias.as_ref().map(Param::val);
        let (weight, bias) = parameters((plain.weight.val(), values));
        Self { route: Route::Plain(Plain { weight, bias, ..plain }) }
    }

    /// The plain layer with an adapter beside its weight.
    pub(super) fn adapted(mut self, adapter: Adapter) -> Self {
        if let Route::Plain(plain) = &mut self.route {
            plain.adapter = Some(adapter);
        }
        self
    }

    /// The plain layer with its products in bfloat16.
    pub(super) fn in_half(mut self) -> Self {
        if let Route::Plain(plain) = &mut self.route {
            plain.is_half = true;
        }
        self
    }

    /// `(..., in)` to `(..., out)`.
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        self.forward_then(x, Activation::None)
    }

    /// [`Linear::forward`] and an activation in one pass over the result.
    pub fn forward_then<const N: usize>(&self, x: Tensor<N>, then: Activation) -> Tensor<N> {
        match &self.route {
            Route::Packed(packed) => packed.weight.forward(x, then),
            Route::Plain(plain) if plain.has_gradients(&x) => plain.with_gradients(x, None, then),
            Route::Plain(plain) => {
                let added = plain.adapter.as_ref().map(|adapter| adapter.forward(x.clone()));
                let y = plain.product(x);
                then.forward(match added {
                    Some(added) => y + added,
                    None => y,
                })
            }
        }
    }

    /// `residual + forward(x)`, written over the residual where that is possible.
    pub fn add_to<const N: usize>(&self, x: Tensor<N>, residual: Tensor<N>) -> Tensor<N> {
        match &self.route {
            Route::Packed(packed) => packed.weight.add_to(x, residual),
            Route::Plain(plain) if plain.has_gradients(&x) && grad::reads(&residual) => {
                plain.with_gradients(x, Some(residual), Activation::None)
            }
            Route::Plain(_) => residual + self.forward(x),
        }
    }
}
