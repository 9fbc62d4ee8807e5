//! A linear layer with all that may stand around it: bias, adapter, residual, activation.

use std::sync::Arc;

use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor};
use rayon::prelude::*;
use rten_simd::ops::{BitOps, FloatOps, NumOps};
use rten_simd::{Isa, SimdUnaryOp};
use rten_vecmath::{ApproxGelu, LeakyRelu, Tanh};

use super::super::Activation;
use super::super::cpu::{CHUNK, Memory};
use super::super::dropout::Dropout;
use super::super::matrix::{Matrix, MatrixMut, Share, multiplied, multiply_add};
use super::{Input, Kept, column_sums, copied, filled, new_memory, record, wide};

/// An adapter: `scale * (dropout(x) down) up` is added to the layer's result.
pub(in super::super) struct Thin {
    /// `(in, rank)`.
    pub(in super::super) down: Tensor<2>,
    /// `(rank, out)`.
    pub(in super::super) up: Tensor<2>,
    pub(in super::super) scale: f64,
    /// Share of inputs that are dropped.
    pub(in super::super) dropout: f64,
}

/// `activation(x weight + bias + adapter(x) + residual)`: `(..., in)` to `(..., out)`, `weight` `(in, out)`.
/// Activations other than GELU's approximation and the leaky rectifier follow as Burn's operations.
pub(in super::super) fn linear<const N: usize>(
    x: Tensor<N>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    adapter: Option<Thin>,
    residual: Option<Tensor<N>>,
    then: Activation,
) -> Tensor<N> {
    let [inputs, outputs] = weight.dims();
    let mut shape = x.dims();
    let rows: usize = shape[..N - 1].iter().product();
    let (own, behind) = match then {
        Activation::GeluTanh | Activation::LeakyRelu => (then, Activation::None),
        _ => (Activation::None, then),
    };
    let input_shape = Shape::from(shape);
    shape[N - 1] = outputs;
    let [x, weight, bias, residual] =
        [Input::of(x), Input::of(weight), Input::of_option(bias), Input::of_option(residual)];
    let has_bias = bias.memory.layout().num_elements() > 0;
    let (values, matrix) = (Memory::new(x.memory), Memory::new(weight.memory));
    let bias_values = Memory::new(bias.memory);
    let before = Around {
        bias: has_bias.then(|| bias_values.values()),
        residual: (residual.memory.layout().num_elements() > 0).then(|| Memory::new(residual.memory)),
    };
    let mut out = before.product(&values, &matrix, [rows, inputs, outputs]);
    let thin = adapter.map(ThinInputs::of);
    let (mut down_guard, mut up_guard) = (None, None);
    let thin_reads_x = thin.as_ref().is_some_and(|thin| thin.down.is_tracked && thin.drop.is_none());
    let thin = thin.map(|thin| {
        let (kept, guards) = thin.add(&values, &mut out, [rows, inputs, outputs]);
        [down_guard, up_guard] = guards.map(Some);
        kept
    });
    let kept = Linear {
        shape: input_shape,
        dims: [rows, inputs, outputs],
        x: (weight.is_tracked || thin_reads_x).then(|| values.clone()),
        weight: x.is_tracked.then_some(matrix),
        thin,
        before: None,
        activation: own,
    };
    let guard = |guard: Option<_>| guard.unwrap_or_else(|| Input::absent().guard);
    let guards = [x.guard, weight.guard, bias.guard, residual.guard, guard(down_guard), guard(up_guard)];
    if own == Activation::None {
        return behind.forward(record(guards, new_memory(out, shape), kept));
    }
    let result = filled(out.len(), CHUNK, |index, places| {
        let before = &out[index * CHUNK..][..places.len()];
        match own {
            Activation::LeakyRelu => LeakyRelu { alpha: Activation::SLOPE }.map(before, places),
            _ => ApproxGelu {}.map(before, places),
        }
    });
    let kept = Linear { before: Some(Arc::new(out)), ..kept };
    record(guards, new_memory(result, shape), kept)
}

/// What is there before the product is added.
struct Around<'a> {
    bias: Option<&'a [f32]>,
    residual: Option<Memory>,
}

impl Around<'_> {
    fn product(&self, x: &Memory, weight: &Memory, [rows, inputs, outputs]: [usize; 3]) -> Vec<f32> {
        let x = Matrix::new(x.values(), [rows, inputs]);
        let weight = Matrix::new(weight.values(), [inputs, outputs]);
        let chunk = (CHUNK / outputs).max(1) * outputs;
        let add_bias = |_: usize, rows: &mut [f32]| {
            let Some(bias) = self.bias else { return };
            wide(
                #[inline(always)]
                || rows.chunks_exact_mut(outputs).for_each(|row| super::add(row, bias)),
            );
        };
        let mut out = match (&self.residual, self.bias) {
            (None, None) => return multiplied(x, weight, 1.0),
            (Some(residual), _) => copied(residual.values(), chunk, add_bias),
            (None, Some(bias)) => filled(rows * outputs, chunk, |_, places| {
                for row in places.chunks_exact_mut(outputs) {
                    row.write_copy_of_slice(bias);
                }
                // SAFETY: places are whole rows, each of which has been written.
                unsafe { places.assume_init_mut() }
            }),
        };
        multiply_add(&mut MatrixMut::new(&mut out, [rows, outputs]), x, weight, 1.0, Share::Pool);
        out
    }
}

struct ThinInputs {
    down: Input,
    up: Input,
    scale: f32,
    drop: Option<Dropout>,
}

impl ThinInputs {
    fn of(adapter: Thin) -> Self {
        Self {
            down: Input::of(adapter.down),
            up: Input::of(adapter.up),
            scale: adapter.scale as f32,
            drop: (adapter.dropout > 0.0).then(|| Dropout::next(adapter.dropout)),
        }
    }

    /// Adds what the adapter gives to `out`.
    fn add(
        self,
        x: &Memory,
        out: &mut [f32],
        [rows, inputs, outputs]: [usize; 3],
    ) -> (ThinKept, [NodeGuard; 2]) {
        let (down, up) = (Memory::new(self.down.memory), Memory::new(self.up.memory));
        let rank = down.values().len() / inputs.max(1);
        let dropped = self
            .drop
            .map(|drop| Arc::new(copied(x.values(), CHUNK, |index, values| drop.apply(index, values))));
        let x = dropped.as_ref().map_or_else(|| x.values(), |dropped| dropped.as_slice());
        let down_matrix = Matrix::new(down.values(), [inputs, rank]);
        let inside = multiplied(Matrix::new(x, [rows, inputs]), down_matrix, 1.0);
        multiply_add(
            &mut MatrixMut::new(out, [rows, outputs]),
            Matrix::new(&inside, [rows, rank]),
            Matrix::new(up.values(), [rank, outputs]),
            self.scale,
            Share::Pool,
        );
        let kept = ThinKept {
            down,
            up,
            inside: Arc::new(inside),
            dropped,
            drop: self.drop,
            scale: self.scale,
            rank,
        };
        (kept, [self.down.guard, self.up.guard])
    }
}

#[derive(Debug, Clone)]
struct ThinKept {
    down: Memory,
    up: Memory,
    /// `dropout(x) down`.
    inside: Arc<Vec<f32>>,
    /// `dropout(x)` where it is not `x`.
    dropped: Option<Arc<Vec<f32>>>,
    drop: Option<Dropout>,
    scale: f32,
    rank: usize,
}

#[derive(Debug, Clone)]
struct Linear {
    shape: Shape,
    /// Rows, inputs, outputs.
    dims: [usize; 3],
    x: Option<Memory>,
    weight: Option<Memory>,
    thin: Option<ThinKept>,
    /// The values that the activation was applied to.
    before: Option<Arc<Vec<f32>>>,
    activation: Activation,
}

impl Kept<6> for Linear {
    fn gradients(self, of_result: FlexTensor, wanted: [bool; 6]) -> [Option<FlexTensor>; 6] {
        let [by_x, by_weight, by_bias, by_residual, by_down, by_up] = wanted;
        let [rows, inputs, outputs] = self.dims;
        let of_residual = by_residual.then(|| of_result.clone());
        let of_result = Memory::new(of_result);
        let changed = self.before.as_ref().map(|before| self.before_activation(before, of_result.values()));
        let of_result = changed.as_deref().unwrap_or_else(|| of_result.values());
        let result = Matrix::new(of_result, [rows, outputs]);
        let x = self.x.as_ref().map(|x| Matrix::new(x.values(), [rows, inputs]));
        let of_bias = by_bias.then(|| new_memory(column_sums(of_result, outputs), [outputs]));
        let of_weight = x
            .filter(|_| by_weight)
            .map(|x| new_memory(multiplied(x.transposed(), result, 1.0), [inputs, outputs]));
        let mut of_x = self.weight.as_ref().filter(|_| by_x).map(|weight| {
            multiplied(result, Matrix::new(weight.values(), [inputs, outputs]).transposed(), 1.0)
        });
        let [of_down, of_up] = match &self.thin {
            Some(thin) => thin.gradients(result, x, of_x.as_deref_mut(), [by_down, by_up]),
            None => [None, None],
        };
        let of_x = of_x.map(|of_x| new_memory(of_x, self.shape));
        [of_x, of_weight, of_bias, of_residual, of_down, of_up]
    }
}

impl Linear {
    /// The gradient of what the activation was applied to.
    fn before_activation(&self, before: &[f32], of_result: &[f32]) -> Vec<f32> {
        filled(before.len(), CHUNK, |index, places| {
            let range = index * CHUNK..index * CHUNK + places.len();
            let slope = match self.activation {
                Activation::LeakyRelu => LeakySlope.map(&before[range.clone()], places),
                _ => GeluSlope.map(&before[range.clone()], places),
            };
            wide(
                #[inline(always)]
                || slope.iter_mut().zip(&of_result[range]).for_each(|(slope, of)| *slope *= of),
            );
            slope
        })
    }
}

impl ThinKept {
    /// The gradients of the two matrices; adds what passes through them to the input's.
    fn gradients(
        &self,
        result: Matrix<'_>,
        x: Option<Matrix<'_>>,
        of_x: Option<&mut [f32]>,
        [by_down, by_up]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let (rank, [rows, outputs]) = (self.rank, result.shape());
        let inputs = self.down.values().len() / rank.max(1);
        let inside = Matrix::new(&self.inside, [rows, rank]);
        let of_up =
            by_up.then(|| new_memory(multiplied(inside.transposed(), result, self.scale), [rank, outputs]));
        if !by_down && of_x.is_none() {
            return [None, of_up];
        }
        let up = Matrix::new(self.up.values(), [rank, outputs]);
        let of_inside = multiplied(result, up.transposed(), self.scale);
        let of_inside = Matrix::new(&of_inside, [rows, rank]);
        let x = self.dropped.as_ref().map(|dropped| Matrix::new(dropped, [rows, inputs])).or(x);
        let of_down = x
            .filter(|_| by_down)
            .map(|x| new_memory(multiplied(x.transposed(), of_inside, 1.0), [inputs, rank]));
        if let Some(of_x) = of_x {
            self.add_to_input(of_x, of_inside, [rows, inputs]);
        }
        [of_down, of_up]
    }

    fn add_to_input(&self, of_x: &mut [f32], of_inside: Matrix<'_>, shape @ [_, inputs]: [usize; 2]) {
        let down = Matrix::new(self.down.values(), [inputs, self.rank]).transposed();
        let Some(drop) = self.drop else {
            return multiply_add(&mut MatrixMut::new(of_x, shape), of_inside, down, 1.0, Share::Pool);
        };
        let mut through = multiplied(of_inside, down, 1.0);
        let chunks = of_x.par_chunks_mut(CHUNK).zip(through.par_chunks_mut(CHUNK)).enumerate();
        chunks.for_each(|(index, (of_x, through))| {
            drop.apply(index, through);
            wide(
                #[inline(always)]
                || super::add(of_x, through),
            );
        });
    }
}

/// The slope of [`Activation::LeakyRelu`].
struct LeakySlope;

impl SimdUnaryOp<f32> for LeakySlope {
    #[inline(always)]
    fn eval<I: Isa>(&self, isa: I, x: I::F32) -> I::F32 {
        let ops = isa.f32();
        ops.select(ops.one(), ops.splat(Activation::SLOPE), ops.gt(x, ops.zero()))
    }
}

/// The slope of [`Activation::GeluTanh`]: with `u = a (x + b x^3)`, `(1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2`.
struct GeluSlope;

impl SimdUnaryOp<f32> for GeluSlope {
    #[inline(always)]
    fn eval<I: Isa>(&self, isa: I, x: I::F32) -> I::F32 {
        const A: f32 = 0.797_884_6;
        const B: f32 = 0.044_715;
        let ops = isa.f32();
        let square = ops.mul(x, x);
        let u = ops.mul(ops.mul(x, ops.splat(A)), ops.mul_add(square, ops.splat(B), ops.one()));
        let tanh = Tanh::apply(isa, u);
        let slope = ops.mul(ops.splat(A), ops.mul_add(square, ops.splat(3.0 * B), ops.one()));
        let rise = ops.mul(ops.mul(x, slope), ops.mul_sub_from(tanh, tanh, ops.one()));
        ops.mul(ops.splat(0.5), ops.add(ops.add(ops.one(), tanh), rise))
    }
}
