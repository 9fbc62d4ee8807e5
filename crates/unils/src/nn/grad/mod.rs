//! Training on the CPU: operations with backward passes of their own.
//!
//! Burn's autodiff takes a layer apart into single operations, each of which passes over the memory on one thread
//! and keeps its operands. The operations here do a layer's work at once, forward and backward: products of strided
//! views ([`super::matrix`]), the elementwise functions of [`super::cpu`] behind them, work shared through the current
//! Rayon pool. Layers use them when a tensor on the portable device carries gradients, and Burn's operations on other
//! devices; both give the same numbers but for rounding.
//!
//! Gradients are the same to the bit for any number of threads: sums over rows are taken over blocks of fixed size,
//! then over the blocks in order. Products that nobody needs, of frozen weights or plain inputs, are left out.

mod attention;
mod blend;
mod linear;
mod norm;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Shape, Tensor, TensorData};
use rayon::prelude::*;

use super::cpu::wide;

pub(super) use attention::{Mask, attend, attend_qkv};
pub(super) use blend::{blend, rotate};
pub(super) use linear::{Thin, linear};
pub(super) use norm::layer_norm;

/// Rows whose part of a sum one task computes. Fixed, so that sums do not depend on the number of threads.
const ROWS: usize = 64;

/// Whether a tensor carries gradients on the portable device.
pub(super) fn holds<const N: usize>(x: &Tensor<N>) -> bool {
    x.dtype() == DType::F32 && x.clone().try_into_primitive::<Autodiff<Flex>>().is_ok()
}

/// Whether an operation here can read a tensor: it is on the portable device, with gradients or without.
pub(super) fn reads<const N: usize>(x: &Tensor<N>) -> bool {
    x.dtype() == DType::F32
        && (x.clone().try_into_primitive::<Autodiff<Flex>>().is_ok() || super::cpu::holds(x))
}

/// An operand: its memory, and its place among the recorded operations.
struct Input {
    memory: FlexTensor,
    guard: NodeGuard,
    /// Whether its gradient is wanted.
    is_tracked: bool,
}

impl Input {
    /// A tensor that [`reads`] is true for.
    fn of<const N: usize>(x: Tensor<N>) -> Self {
        #[allow(clippy::expect_used)]
        let x = x
            .autodiff()
            .try_into_primitive::<Autodiff<Flex>>()
            .expect("callers of an operation with gradients have asked whether it reads its operands");
        Self::from_tracked(x)
    }

    /// In place of an operand that is not there.
    fn absent() -> Self {
        Self::from_tracked(FloatTensor::<Autodiff<Flex>>::new(new_memory(Vec::new(), [0])))
    }

    fn of_option<const N: usize>(x: Option<Tensor<N>>) -> Self {
        x.map_or_else(Self::absent, Self::of)
    }

    fn from_tracked(x: FloatTensor<Autodiff<Flex>>) -> Self {
        let is_tracked = x.is_tracked();
        let (memory, guard) = x.into_parts();
        Self { memory, guard, is_tracked }
    }
}

/// What an operation keeps of its forward pass.
trait Kept<const N: usize>: Clone + Send + fmt::Debug + 'static {
    /// The gradients of the inputs that are `wanted`, from the result's.
    fn gradients(self, of_result: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

/// [`Kept`] for Burn's graph.
struct Operation<K>(PhantomData<fn() -> K>);

impl<K> fmt::Debug for Operation<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<K>())
    }
}

impl<K: Kept<N>, const N: usize> Backward<Flex, N> for Operation<K> {
    type State = K;

    fn backward(self, ops: Ops<K, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let of_result = gradients.consume::<Flex>(&ops.node);
        let found = ops.state.gradients(of_result, ops.parents.each_ref().map(Option::is_some));
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The result of an operation as a tensor that remembers how it was made.
fn record<K: Kept<N>, const N: usize, const D: usize>(
    inputs: [NodeGuard; N],
    result: FlexTensor,
    kept: K,
) -> Tensor<D> {
    let operation = Operation::<K>(PhantomData).prepare::<NoCheckpointing>(inputs).compute_bound();
    Tensor::from_primitive::<Autodiff<Flex>>(match operation.stateful() {
        OpsKind::Tracked(operation) => operation.finish(kept, result),
        OpsKind::UnTracked(operation) => operation.finish(result),
    })
}

fn new_memory(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// New memory of `count` values, filled in parallel: `fill` gets the index of a chunk and its places, and returns
/// them written.
fn filled<F>(count: usize, chunk: usize, fill: F) -> Vec<f32>
where
    F: for<'a> Fn(usize, &'a mut [MaybeUninit<f32>]) -> &'a mut [f32] + Sync,
{
    let mut out: Vec<f32> = Vec::with_capacity(count);
    let places = &mut out.spare_capacity_mut()[..count];
    let each = |(index, places): (usize, &mut [MaybeUninit<f32>])| {
        let wanted = places.as_ptr_range();
        let written = fill(index, places).as_ptr_range();
        assert!(wanted.start.cast() == written.start && wanted.end.cast() == written.end, "all is written");
    };
    places.par_chunks_mut(chunk.max(1)).enumerate().for_each(each);
    // SAFETY: there is room for so many values, and each chunk has been seen as written values.
    unsafe { out.set_len(count) };
    out
}

/// A copy that `change` is applied to, chunk by chunk in parallel.
fn copied(values: &[f32], chunk: usize, change: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    filled(values.len(), chunk, |index, places| {
        let copy = places.write_copy_of_slice(&values[index * chunk..][..places.len()]);
        change(index, copy);
        copy
    })
}

/// The sum over the rows of each column.
fn column_sums(values: &[f32], width: usize) -> Vec<f32> {
    let part = |rows: &[f32]| {
        let mut sum = vec![0.0_f32; width];
        wide(
            #[inline(always)]
            || rows.chunks_exact(width).for_each(|row| add(&mut sum, row)),
        );
        sum
    };
    sum_of_parts(values.par_chunks(ROWS * width).map(part).collect(), width)
}

/// The sum of parts, in their order.
fn sum_of_parts(parts: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    parts.iter().for_each(|part| add(&mut sum, part));
    sum
}

#[inline(always)]
fn add(sum: &mut [f32], more: &[f32]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Partial sums that a dot product keeps, so that it can use whole vectors.
const LANES: usize = 32;

/// `sum of f(a, b)` over two slices, in a fixed order.
#[inline(always)]
fn reduce(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += f(*a, *b);
    }
    lanes.iter().sum()
}
