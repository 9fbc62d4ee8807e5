//! Attention whose backward pass computes the weights again instead of keeping them (as FlashAttention does, arXiv
//! 2205.14135): a head's weights for a block of queries stay in the cache, and memory does not grow with the square of
//! the tokens. Keys that no query of a block may look at are left out of its products.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Bool, Shape, Tensor};
use rayon::prelude::*;
use rten_simd::functional::simd_map;
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, Simd, SimdIterable, SimdOp, SimdUnaryOp};
use rten_vecmath::Exp;

use super::super::cpu::{Angles, Memory};
use super::super::matrix::{Matrix, MatrixMut, Share, multiply, multiply_add};
use super::{Input, Kept, new_memory, record, reduce, wide};

/// Queries whose weights are computed at once.
const BLOCK: usize = 128;

/// Which keys a query must not look at.
#[derive(Debug, Clone)]
pub(in super::super) struct Mask {
    /// `(queries, keys)`, not 0 where hidden.
    hidden: Arc<Vec<u8>>,
    /// For each query, the end of the keys that it sees.
    ends: Arc<Vec<usize>>,
    keys: usize,
}

impl Mask {
    /// `(Tq, Tk)`, true where hidden; `None` if the tensor's memory cannot be read here.
    pub(in super::super) fn of(mask: &Tensor<2, Bool>) -> Option<Self> {
        let keys = mask.dims()[1];
        let memory = match mask.clone().try_into_primitive::<Autodiff<Flex>>() {
            Ok(memory) => memory,
            Err(_) => mask.clone().try_into_primitive::<Flex>().ok()?,
        };
        let hidden = memory.into_data().convert::<bool>().iter::<bool>().map(u8::from).collect::<Vec<_>>();
        let end = |row: &[u8]| row.iter().rposition(|&hidden| hidden == 0).map_or(0, |last| last + 1);
        let ends = hidden.chunks_exact(keys.max(1)).map(end).collect();
        Some(Self { hidden: Arc::new(hidden), ends: Arc::new(ends), keys })
    }
}

/// Self-attention from packed projections `(B, T, 3 H D)` to `(B, T, H D)`.
pub(in super::super) fn attend_qkv(
    qkv: Tensor<3>,
    heads: usize,
    angles: Option<Angles>,
    mask: Option<Mask>,
) -> Tensor<3> {
    let [batch, tokens, packed] = qkv.dims();
    let row = packed / 3;
    let width = row / heads;
    let qkv = Input::of(qkv);
    let mut memory = Memory::new(qkv.memory).into_owned();
    if let Some(angles) = &angles {
        angles.rotate_rows(memory.storage_mut::<f32>(), packed, 2 * row, tokens, width);
    }
    let memory = Memory::new(memory);
    let part = |part| Lanes { memory: memory.clone(), tokens, offset: part * row, stride: packed };
    let heads = Heads { batch, heads, width, lanes: [part(0), part(1), part(2)], mask };
    let (out, weights) = heads.forward();
    let out = new_memory(out, [batch, tokens, row]);
    let kept = Packed { heads, angles, out: Memory::new(out.clone()), weights };
    record([qkv.guard], out, kept)
}

/// Attention from `q` `(B, Tq, H, D)` to `k`, `v` `(B, Tk, H, D)`.
pub(in super::super) fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<Mask>) -> Tensor<4> {
    let shape @ [batch, queries, heads, width] = q.dims();
    let keys = k.dims()[1];
    let [q, k, v] = [q, k, v].map(Input::of);
    let lanes =
        |memory, tokens| Lanes { memory: Memory::new(memory), tokens, offset: 0, stride: heads * width };
    let lanes = [lanes(q.memory, queries), lanes(k.memory, keys), lanes(v.memory, keys)];
    let heads = Heads { batch, heads, width, lanes, mask };
    let (out, weights) = heads.forward();
    let out = new_memory(out, shape);
    let kept = Separate { heads, out: Memory::new(out.clone()), weights };
    record([q.guard, k.guard, v.guard], out, kept)
}

#[derive(Debug, Clone)]
struct Packed {
    heads: Heads,
    angles: Option<Angles>,
    out: Memory,
    weights: Arc<Vec<f32>>,
}

impl Kept<1> for Packed {
    fn gradients(self, of_result: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let Heads { batch, heads, width, .. } = self.heads;
        let (tokens, packed) = (self.heads.lanes[0].tokens, 3 * heads * width);
        let mut gradient = vec![0.0; batch * tokens * packed];
        let mut tasks = Vec::with_capacity(batch * heads);
        for sample in gradient.chunks_exact_mut((tokens * packed).max(1)) {
            let mut parts = MatrixMut::columns(sample, [tokens, packed], width);
            let values = parts.split_off(2 * heads);
            let keys = parts.split_off(heads);
            tasks.extend(parts.into_iter().zip(keys).zip(values).map(|((q, k), v)| [q, k, v]));
        }
        self.heads.backward(tasks, &Memory::new(of_result), &self.out, &self.weights, self.angles.as_ref());
        [Some(new_memory(gradient, [batch, tokens, packed]))]
    }
}

#[derive(Debug, Clone)]
struct Separate {
    heads: Heads,
    out: Memory,
    weights: Arc<Vec<f32>>,
}

impl Kept<3> for Separate {
    fn gradients(self, of_result: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let Heads { batch, heads, width, .. } = self.heads;
        let row = heads * width;
        let tokens = self.heads.lanes.each_ref().map(|lanes| lanes.tokens);
        let mut gradients = tokens.map(|tokens| vec![0.0; batch * tokens * row]);
        let [q, k, v] = &mut gradients;
        let columns = |gradient, tokens: usize| {
            let samples = <[f32]>::chunks_exact_mut(gradient, (tokens * row).max(1));
            samples.flat_map(move |sample| MatrixMut::columns(sample, [tokens, row], width))
        };
        let [q, k, v] = [columns(q, tokens[0]), columns(k, tokens[1]), columns(v, tokens[2])];
        let tasks = q.zip(k).zip(v).map(|((q, k), v)| [q, k, v]).collect();
        self.heads.backward(tasks, &Memory::new(of_result), &self.out, &self.weights, None);
        let shaped =
            |gradient, tokens| Some(new_memory(gradient, Shape::from([batch, tokens, heads, width])));
        let [q, k, v] = gradients;
        [shaped(q, tokens[0]), shaped(k, tokens[1]), shaped(v, tokens[2])]
    }
}

/// Where queries, keys or values lie: token `t` of sample `b` at `offset + (b * tokens + t) * stride`.
#[derive(Debug, Clone)]
struct Lanes {
    memory: Memory,
    tokens: usize,
    offset: usize,
    stride: usize,
}

impl Lanes {
    fn head(&self, sample: usize, head: usize, width: usize) -> Matrix<'_> {
        let start = sample * self.tokens * self.stride + self.offset + head * width;
        Matrix::strided(&self.memory.values()[start..], [self.tokens, width], self.stride)
    }
}

/// Memory of a task: weights and their gradients for a block of queries.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    gradients: Vec<f32>,
}

/// All heads of a batch.
#[derive(Debug, Clone)]
struct Heads {
    batch: usize,
    heads: usize,
    width: usize,
    /// Queries, keys, values.
    lanes: [Lanes; 3],
    mask: Option<Mask>,
}

impl Heads {
    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    /// The views of task `index`'s queries, keys and values.
    fn task(&self, index: usize) -> [Matrix<'_>; 3] {
        self.lanes.each_ref().map(|lanes| lanes.head(index / self.heads, index % self.heads, self.width))
    }

    /// The result, and for each task and query the logarithm of the sum that its weights were divided by.
    fn forward(&self) -> (Vec<f32>, Arc<Vec<f32>>) {
        let (queries, row) = (self.lanes[0].tokens, self.heads * self.width);
        let mut out = vec![0.0; self.batch * queries * row];
        let mut sums = vec![0.0; self.batch * self.heads * queries];
        let samples = out.chunks_exact_mut((queries * row).max(1));
        let tasks: Vec<_> =
            samples.flat_map(|sample| MatrixMut::columns(sample, [queries, row], self.width)).collect();
        let tasks = tasks.into_par_iter().zip(sums.par_chunks_mut(queries.max(1))).enumerate();
        tasks.for_each_init(Scratch::default, |scratch, (index, (mut out, sums))| {
            let [q, k, v] = self.task(index);
            self.blocks(queries, |start, count, keys| {
                scratch.weights.resize(count * keys, 0.0);
                let weights = &mut scratch.weights[..count * keys];
                self.scores(weights, q.rows(start, count), k.rows(0, keys), start);
                for (row, sum) in weights.chunks_exact_mut(keys.max(1)).zip(&mut sums[start..]) {
                    *sum = SoftmaxRow(row).dispatch();
                }
                let weights = Matrix::new(weights, [count, keys]);
                multiply(&mut out.rows(start, count), weights, v.rows(0, keys), 1.0, Share::One);
            });
        });
        (out, Arc::new(sums))
    }

    /// Writes the gradients of each task's queries, keys and values, which are zero before; queries and keys are
    /// turned back by `angles`.
    fn backward(
        &self,
        tasks: Vec<[MatrixMut<'_>; 3]>,
        of_result: &Memory,
        out: &Memory,
        sums: &[f32],
        angles: Option<&Angles>,
    ) {
        let [queries, keys, _] = self.lanes.each_ref().map(|lanes| lanes.tokens);
        let result = |memory: &Memory| Lanes {
            memory: memory.clone(),
            tokens: queries,
            offset: 0,
            stride: self.heads * self.width,
        };
        let (of_result, out) = (result(of_result), result(out));
        let tasks = tasks.into_par_iter().zip(sums.par_chunks(queries.max(1))).enumerate();
        tasks.for_each_init(Scratch::default, |scratch, (index, ([mut of_q, mut of_k, mut of_v], sums))| {
            let (sample, head) = (index / self.heads, index % self.heads);
            let result = [&of_result, &out].map(|lanes| lanes.head(sample, head, self.width));
            let operands = self.task(index);
            self.blocks(queries, |start, count, keys| {
                let block = Block { start, count, keys, result, sums: &sums[start..] };
                self.block_gradients(block, operands, [&mut of_q, &mut of_k, &mut of_v], scratch);
            });
            if let Some(angles) = angles {
                (0..queries).for_each(|token| angles.rotate_back(token, self.width, of_q.row(token)));
                (0..keys).for_each(|token| angles.rotate_back(token, self.width, of_k.row(token)));
            }
        });
    }

    /// Calls `f` with each block of queries: the first, how many, and the end of the keys that any of them sees.
    fn blocks(&self, queries: usize, mut f: impl FnMut(usize, usize, usize)) {
        for start in (0..queries).step_by(BLOCK) {
            let count = BLOCK.min(queries - start);
            let keys = match &self.mask {
                None => self.lanes[1].tokens,
                Some(mask) => mask.ends[start..start + count].iter().copied().max().unwrap_or(0),
            };
            f(start, count, keys);
        }
    }

    /// Scaled products of queries and keys, minus infinity where hidden; the first query is number `start`.
    fn scores(&self, scores: &mut [f32], q: Matrix<'_>, k: Matrix<'_>, start: usize) {
        let shape @ [count, keys] = [q.shape()[0], k.shape()[0]];
        multiply(&mut MatrixMut::new(scores, shape), q, k.transposed(), self.scale(), Share::One);
        let Some(mask) = &self.mask else { return };
        let hidden = mask.hidden[start * mask.keys..].chunks_exact(mask.keys.max(1)).take(count);
        for (scores, hidden) in scores.chunks_exact_mut(keys.max(1)).zip(hidden) {
            wide(
                #[inline(always)]
                || {
                    for (score, hidden) in scores.iter_mut().zip(hidden) {
                        *score = if *hidden == 0 { *score } else { f32::NEG_INFINITY };
                    }
                },
            );
        }
    }

    fn block_gradients(
        &self,
        block: Block<'_>,
        [q, k, v]: [Matrix<'_>; 3],
        [of_q, of_k, of_v]: [&mut MatrixMut<'_>; 3],
        scratch: &mut Scratch,
    ) {
        let Block { start, count, keys, result: [of_result, out], sums } = block;
        let (q, k, v) = (q.rows(start, count), k.rows(0, keys), v.rows(0, keys));
        let (of_result, out) = (of_result.rows(start, count), out.rows(start, count));
        scratch.weights.resize(count * keys, 0.0);
        scratch.gradients.resize(count * keys, 0.0);
        let (weights, gradients) = (&mut scratch.weights, &mut scratch.gradients);
        self.scores(weights, q, k, start);
        let shape = [count, keys];
        multiply(&mut MatrixMut::new(gradients, shape), of_result, v.transposed(), 1.0, Share::One);
        let rows = weights.chunks_exact_mut(keys.max(1)).zip(gradients.chunks_exact_mut(keys.max(1)));
        for (row, (weights, gradients)) in rows.enumerate() {
            ExpRow(weights, sums[row]).dispatch();
            wide(
                #[inline(always)]
                || {
                    // The weights sum to one: what changes all scores alike has no effect.
                    let mean = reduce(of_result.row(row), out.row(row), |a, b| a * b);
                    for (gradient, weight) in gradients.iter_mut().zip(&*weights) {
                        *gradient = weight * (*gradient - mean);
                    }
                },
            );
        }
        let (weights, gradients) = (Matrix::new(weights, shape), Matrix::new(gradients, shape));
        multiply_add(&mut of_v.rows(0, keys), weights.transposed(), of_result, 1.0, Share::One);
        multiply(&mut of_q.rows(start, count), gradients, k, self.scale(), Share::One);
        multiply_add(&mut of_k.rows(0, keys), gradients.transposed(), q, self.scale(), Share::One);
    }
}

/// Some of a head's queries in the backward pass.
#[derive(Clone, Copy)]
struct Block<'a> {
    start: usize,
    count: usize,
    /// Keys that any of the queries sees.
    keys: usize,
    /// The result's gradient and the result, of all queries.
    result: [Matrix<'a>; 2],
    /// From the block's first query on.
    sums: &'a [f32],
}

/// Softmax of a row of scores in place. Returns the logarithm of the sum of their exponentials; a row of hidden keys
/// only becomes zero.
struct SoftmaxRow<'a>(&'a mut [f32]);

impl SimdOp for SoftmaxRow<'_> {
    type Output = f32;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        let ops = isa.f32();
        let most = self.0.simd_iter(ops).fold_unroll::<4>(
            ops.splat(f32::NEG_INFINITY),
            #[inline(always)]
            |most, x| ops.max(most, x),
            #[inline(always)]
            |most, x| ops.max(most, x),
        );
        let most = most.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max);
        if most == f32::NEG_INFINITY {
            self.0.fill(0.0);
            return f32::INFINITY;
        }
        ExpRow(self.0, most).eval(isa);
        let sum = self.0.simd_iter(ops).fold_unroll::<4>(
            ops.zero(),
            #[inline(always)]
            |sum, x| ops.add(sum, x),
            #[inline(always)]
            |sum, x| ops.add(sum, x),
        );
        let sum: f32 = sum.to_array().into_iter().sum();
        let share = ops.splat(1.0 / sum);
        simd_map(
            ops,
            &mut *self.0,
            #[inline(always)]
            |x| ops.mul(x, share),
        );
        most + sum.ln()
    }
}

/// `exp(x - offset)` of a row in place.
struct ExpRow<'a>(&'a mut [f32], f32);

impl SimdOp for ExpRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let ops = isa.f32();
        let offset = ops.splat(self.1);
        simd_map(
            ops,
            self.0,
            #[inline(always)]
            |x| Exp::apply(isa, ops.sub(x, offset)),
        );
    }
}
