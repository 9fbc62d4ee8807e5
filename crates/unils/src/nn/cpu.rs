//! The CPU route: the same layers on the memory of Burn's portable device, without its per-operation passes.
//!
//! Matrix products are `rten-gemm`'s (AVX-512, AVX2 or NEON, chosen at run time, weights packed once),
//! elementwise functions `rten-vecmath`'s. Work is shared through the current Rayon pool. Callers ask
//! [`holds`] first and use Burn's operations when a tensor lives on another device or carries gradients.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_simd::{Isa, SimdOp, SimdUnaryOp};
use rten_tensor::NdTensorView;
use rten_tensor::prelude::*;
use rten_vecmath::{
    ApproxGelu, Elu, Gelu, LeakyRelu, Normalize, NormalizeOptions, Softmax, Sum, SumSquare, SumSquareSub,
};

use super::Activation;

thread_local! {
    /// Holds no state but the choice of the kernel, and is not shareable between threads.
    static GEMM: GemmExecutor<f32, f32, f32> = GemmExecutor::new();
}

/// Values that one parallel task of an elementwise pass handles: enough to be worth its scheduling.
pub(super) const CHUNK: usize = 16 * 1024;

/// Name of the matrix-product kernel chosen for this processor, e.g. `x86_64-f32-avx512`.
pub fn kernel_name() -> String {
    GEMM.with(|gemm| gemm.kernel_name().to_owned())
}

/// `out = alpha * a b + beta * out + bias`.
fn product(
    out: &mut [f32],
    a: NdTensorView<f32, 2>,
    b: GemmInputB<f32>,
    options: GemmOptions<f32, f32, f32>,
) {
    let done = GEMM.with(|gemm| gemm.gemm(out, GemmInputA::Unpacked(a), b, options));
    #[allow(clippy::expect_used)]
    done.expect("the shapes of a product were checked where its operands were made");
}

/// Whether a tensor can take the CPU route: it lives on the portable device and carries no gradients.
pub fn holds<const N: usize>(x: &Tensor<N>) -> bool {
    x.clone().try_into_primitive::<Flex>().is_ok()
}

/// The memory of a tensor that [`holds`] is true for, row-major.
#[derive(Debug, Clone)]
pub(super) struct Memory(FlexTensor);

impl Memory {
    pub(super) fn of<const N: usize>(x: Tensor<N>) -> Self {
        #[allow(clippy::expect_used)]
        let x = x
            .try_into_primitive::<Flex>()
            .expect("callers of the CPU route have asked `holds`, or are packed");
        Self::new(x)
    }

    pub(super) fn new(x: FlexTensor) -> Self {
        Self(if x.is_contiguous() { x } else { x.to_contiguous() })
    }

    /// The values in row-major order.
    pub(super) fn values(&self) -> &[f32] {
        let (start, end) = self.0.layout().contiguous_offsets().unwrap_or_default();
        &self.0.storage::<f32>()[start..end]
    }

    /// The values for writing: in place when nobody else holds them.
    pub(super) fn into_owned(self) -> FlexTensor {
        if self.values().len() == self.0.storage::<f32>().len() { self.0 } else { self.0.to_contiguous() }
    }
}

/// Runs a loop over slices compiled for the widest vectors that the processor has.
#[inline(always)]
pub(super) fn wide<R>(work: impl FnOnce() -> R) -> R {
    struct Wide<F>(F);
    impl<R, F: FnOnce() -> R> SimdOp for Wide<F> {
        type Output = R;

        #[inline(always)]
        fn eval<I: Isa>(self, _: I) -> R {
            (self.0)()
        }
    }
    Wide(work).dispatch()
}

/// The sum of the squares of a slice.
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    f64::from(SumSquare::new(values).dispatch())
}

fn owned<const N: usize>(x: FlexTensor) -> Tensor<N> {
    Tensor::from_primitive::<Flex>(x)
}

pub(super) fn tensor<const N: usize>(values: Vec<f32>, shape: [usize; N]) -> Tensor<N> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// A row-major copy where the tensor is a strided view; the tensor itself otherwise or on other devices.
pub fn contiguous<const N: usize>(x: Tensor<N>) -> Tensor<N> {
    if holds(&x) { owned(Memory::of(x).into_owned()) } else { x }
}

/// Calls `f` with the values of a packed layer's input.
pub(super) fn with_values<const N: usize, R>(x: Tensor<N>, f: impl FnOnce(&[f32]) -> R) -> R {
    f(Memory::of(x).values())
}

/// Rows of a matrix that may overlap: row `i` starts at `i * stride` and has `width` values. A strided
/// convolution over channel-last frames is a product of such rows, without copying patches.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Memory of all rows.
    pub values: &'a [f32],
    /// Number of rows.
    pub count: usize,
    /// Values in a row.
    pub width: usize,
    /// Values from a row's start to the next one's.
    pub stride: usize,
}

/// A weight packed for the matrix product, with its bias.
pub struct PackedLinear {
    weight: PackedBMatrix<f32>,
    bias: Option<Vec<f32>>,
}

impl std::fmt::Debug for PackedLinear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedLinear({} -> {})", self.weight.rows(), self.weight.cols())
    }
}

impl PackedLinear {
    /// Packs a row-major `(out, in)` weight.
    pub fn new(weight: &[f32], bias: Option<&[f32]>, shape: [usize; 2]) -> Self {
        let weight = NdTensorView::from_data(shape, weight);
        Self {
            weight: GEMM.with(|gemm| gemm.prepack_b(weight.transposed())),
            bias: bias.map(<[f32]>::to_vec),
        }
    }

    /// Outputs of the layer.
    pub fn outputs(&self) -> usize {
        self.weight.cols()
    }

    /// `out = beta * out + rows W^T + b`, then the activation. `out` is `(rows, out)`.
    pub fn product(&self, rows: Rows<'_>, out: &mut [f32], beta: f32, then: Activation) {
        let options =
            GemmOptions { beta, bias: self.bias.as_deref().map(BiasVector::Row), ..Default::default() };
        #[allow(clippy::expect_used)]
        let input =
            NdTensorView::from_slice_with_strides([rows.count, rows.width], rows.values, [rows.stride, 1])
                .expect("rows lie inside their memory");
        product(out, input, GemmInputB::Packed(&self.weight), options);
        activate(out, then);
    }

    /// `(..., in)` to `(..., out)`.
    pub fn forward<const N: usize>(&self, x: Tensor<N>, then: Activation) -> Tensor<N> {
        let mut shape = x.dims();
        let width = shape[N - 1];
        let count = shape[..N - 1].iter().product();
        shape[N - 1] = self.outputs();
        let mut out = vec![0.0; count * self.outputs()];
        with_values(x, |values| {
            self.product(Rows { values, count, width, stride: width }, &mut out, 0.0, then);
        });
        tensor(out, shape)
    }

    /// `residual + forward(x)`, in the residual's memory when nobody else holds it.
    pub fn add_to<const N: usize>(&self, x: Tensor<N>, residual: Tensor<N>) -> Tensor<N> {
        let shape = x.dims();
        let width = shape[N - 1];
        let count = shape[..N - 1].iter().product();
        let mut residual = Memory::of(residual).into_owned();
        with_values(x, |values| {
            let rows = Rows { values, count, width, stride: width };
            self.product(rows, residual.storage_mut::<f32>(), 1.0, Activation::None);
        });
        owned(residual)
    }
}

/// Applies an activation in place.
pub fn activate(values: &mut [f32], activation: Activation) {
    let map: fn(&mut [f32]) = match activation {
        Activation::None => return,
        Activation::Gelu => |chunk| Gelu {}.map_mut(chunk),
        Activation::GeluTanh => |chunk| ApproxGelu {}.map_mut(chunk),
        Activation::Elu => |chunk| Elu { alpha: 1.0 }.map_mut(chunk),
        Activation::LeakyRelu => |chunk| LeakyRelu { alpha: Activation::SLOPE }.map_mut(chunk),
    };
    if values.len() <= CHUNK {
        map(values);
    } else {
        values.par_chunks_mut(CHUNK).for_each(map);
    }
}

/// [`super::LayerNorm::forward_then`] on the CPU: one pass over the memory.
pub(super) fn layer_norm<const N: usize>(
    x: Tensor<N>,
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
    epsilon: f64,
    then: Activation,
) -> Tensor<N> {
    let shape = x.dims();
    let (x, norm) = (Memory::of(x), Norm::of(gamma, beta, epsilon));
    let mut out = vec![0.0; x.values().len()];
    let chunk = norm.rows_at_once() * norm.width();
    out.par_chunks_mut(chunk).zip(x.values().par_chunks(chunk)).for_each(|(out, x)| {
        out.copy_from_slice(x);
        norm.apply_rows(out, then);
    });
    tensor(out, shape)
}

/// Scale and offset of a layer norm as slices.
pub(super) struct Norm {
    gamma: Memory,
    beta: Memory,
    epsilon: f64,
}

impl Norm {
    pub(super) fn of(gamma: &Tensor<1>, beta: &Tensor<1>, epsilon: f64) -> Self {
        Self { gamma: Memory::of(gamma.clone()), beta: Memory::of(beta.clone()), epsilon }
    }

    fn width(&self) -> usize {
        self.gamma.values().len()
    }

    fn rows_at_once(&self) -> usize {
        (CHUNK / self.width()).max(1)
    }

    /// Normalises rows of the norm's width in place, then applies the activation.
    pub(super) fn apply(&self, values: &mut [f32], then: Activation) {
        let chunk = self.rows_at_once() * self.width();
        values.par_chunks_mut(chunk).for_each(|rows| self.apply_rows(rows, then));
    }

    fn apply_rows(&self, rows: &mut [f32], then: Activation) {
        let width = self.width();
        for row in rows.chunks_exact_mut(width) {
            normalize_row(row, self.gamma.values(), self.beta.values(), self.epsilon);
        }
        activate(rows, then);
    }
}

/// Mean and reciprocal deviation of a row.
pub(super) fn row_moments(row: &[f32], epsilon: f64) -> [f32; 2] {
    let mean = Sum::new(row).dispatch() / row.len() as f32;
    let variance = SumSquareSub::new(row, mean).dispatch() / row.len() as f32;
    [mean, ((f64::from(variance) + epsilon).sqrt().recip()) as f32]
}

/// Layer norm of one row in place.
pub(super) fn normalize_row(row: &mut [f32], gamma: &[f32], beta: &[f32], epsilon: f64) {
    let [mean, scale] = row_moments(row, epsilon);
    let options = NormalizeOptions {
        pre_scale_bias: mean,
        scale,
        element_scale: Some(gamma),
        element_bias: Some(beta),
        ..NormalizeOptions::default()
    };
    Normalize::new_mut(row, options).dispatch();
}

/// [`super::add_to_rows`] on the CPU, in the memory of `x` when nobody else holds it.
pub(super) fn add_to_rows(x: Tensor<3>, rows: Range<usize>, delta: &Tensor<3>) -> Tensor<3> {
    let [_, tokens, width] = x.dims();
    let delta = Memory::of(delta.clone());
    let mut x = Memory::of(x).into_owned();
    let delta = delta.values();
    let add = |(index, x): (usize, &mut [f32])| {
        // One token's delta serves all tokens.
        let start = index * width % delta.len();
        x.iter_mut().zip(&delta[start..start + width]).for_each(|(x, d)| *x += d);
    };
    let rows = &mut x.storage_mut::<f32>()[rows.start * tokens * width..rows.end * tokens * width];
    rows.par_chunks_exact_mut(width).enumerate().with_min_len((CHUNK / width).max(1)).for_each(add);
    owned(x)
}

/// Angles of a rotary embedding as slices: (tokens, pairs) cosines and sines.
#[derive(Debug, Clone)]
pub(super) struct Angles(Memory, Memory);

impl Angles {
    pub(super) fn of(cos: &Tensor<2>, sin: &Tensor<2>) -> Self {
        Self(Memory::of(cos.clone()), Memory::of(sin.clone()))
    }

    /// Rotates the first `rotated` values of each row, heads of `width`; rows are tokens of batch rows.
    pub(super) fn rotate_rows(
        &self,
        values: &mut [f32],
        row: usize,
        rotated: usize,
        tokens: usize,
        width: usize,
    ) {
        values
            .par_chunks_exact_mut(row)
            .enumerate()
            .with_min_len((CHUNK / row).max(1))
            .for_each(|(index, values)| self.rotate(index % tokens, width, &mut values[..rotated]));
    }

    /// Rotates the heads of one token's row in place.
    fn rotate(&self, token: usize, width: usize, row: &mut [f32]) {
        let pairs = token * width / 2..(token + 1) * width / 2;
        let (cos, sin) = (&self.0.values()[pairs.clone()], &self.1.values()[pairs]);
        for head in row.chunks_exact_mut(width) {
            for ((pair, c), s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[1] * c + pair[0] * s);
            }
        }
    }

    /// The way back from [`Angles::rotate`], which is also the way of gradients.
    pub(super) fn rotate_back(&self, token: usize, width: usize, row: &mut [f32]) {
        let pairs = token * width / 2..(token + 1) * width / 2;
        let (cos, sin) = (&self.0.values()[pairs.clone()], &self.1.values()[pairs]);
        for head in row.chunks_exact_mut(width) {
            for ((pair, c), s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                (pair[0], pair[1]) = (pair[0] * c + pair[1] * s, pair[1] * c - pair[0] * s);
            }
        }
    }
}

/// [`super::Rotary::apply`] on the CPU.
pub(super) fn rotate(x: Tensor<4>, angles: &Angles) -> Tensor<4> {
    let [_, tokens, heads, width] = x.dims();
    let mut x = Memory::of(x).into_owned();
    angles.rotate_rows(x.storage_mut::<f32>(), heads * width, heads * width, tokens, width);
    owned(x)
}

/// Where the rows of one batch row's queries, keys or values lie: token `t`'s starts at `offset + t * stride`.
#[derive(Clone, Copy)]
struct Lanes<'a> {
    values: &'a [f32],
    tokens: usize,
    offset: usize,
    stride: usize,
}

impl<'a> Lanes<'a> {
    fn head(self, head: usize, width: usize) -> NdTensorView<'a, f32, 2> {
        let values = &self.values[self.offset + head * width..];
        let view = NdTensorView::from_slice_with_strides([self.tokens, width], values, [self.stride, 1]);
        #[allow(clippy::expect_used)]
        view.expect("a head lies inside its row")
    }
}

/// [`super::attend`] without a mask on the CPU: two products and a softmax for each head.
pub(super) fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
    let shape @ [batch, queries, heads, width] = q.dims();
    let keys = k.dims()[1];
    let (q, k, v) = (Memory::of(q), Memory::of(k), Memory::of(v));
    let stride = heads * width;
    let lanes = |b: usize| {
        let part = |values, tokens| Lanes { values, tokens, offset: b * tokens * stride, stride };
        [part(q.values(), queries), part(k.values(), keys), part(v.values(), keys)]
    };
    tensor(attend_lanes(&(0..batch).map(lanes).collect::<Vec<_>>(), heads, width), shape)
}

/// [`super::attend_qkv`] on the CPU: reads the packed projections in place.
pub(super) fn attend_qkv(qkv: Tensor<3>, heads: usize, angles: Option<&Angles>) -> Tensor<3> {
    let [batch, tokens, packed] = qkv.dims();
    let row = packed / 3;
    let width = row / heads;
    let mut qkv = Memory::of(qkv).into_owned();
    if let Some(angles) = angles {
        angles.rotate_rows(qkv.storage_mut::<f32>(), packed, 2 * row, tokens, width);
    }
    let values = qkv.storage::<f32>();
    let lanes = |b: usize| {
        [0, 1, 2].map(|part| Lanes {
            values,
            tokens,
            offset: b * tokens * packed + part * row,
            stride: packed,
        })
    };
    let out = attend_lanes(&(0..batch).map(lanes).collect::<Vec<_>>(), heads, width);
    tensor(out, [batch, tokens, row])
}

/// Keys and values of the tokens seen so far in one growing memory: rows of `2 H D`, batch row by batch row.
#[derive(Debug, Clone, Default)]
pub(super) struct PackedCache {
    batches: Vec<Vec<f32>>,
}

impl PackedCache {
    /// Appends the tokens of packed projections `(B, n, 3 H D)` and attends from them to all tokens seen, or,
    /// with `queries` off, only appends.
    pub(super) fn step(&mut self, qkv: Tensor<3>, heads: usize, angles: &Angles, queries: bool) -> Tensor<3> {
        let [batch, tokens, packed] = qkv.dims();
        let row = packed / 3;
        let width = row / heads;
        let mut qkv = Memory::of(qkv).into_owned();
        angles.rotate_rows(qkv.storage_mut::<f32>(), packed, 2 * row, tokens, width);
        let values = qkv.storage::<f32>();
        self.batches.resize(batch, Vec::new());
        self.batches.par_iter_mut().zip(values.par_chunks_exact(tokens * packed)).for_each(|(seen, new)| {
            for token in new.chunks_exact(packed) {
                seen.extend_from_slice(&token[row..]);
            }
        });
        if !queries {
            return tensor(Vec::new(), [batch, 0, row]);
        }
        let lanes = self.batches.iter().enumerate().map(|(b, seen)| {
            let seen_tokens = seen.len() / (2 * row);
            let q = Lanes { values, tokens, offset: b * tokens * packed, stride: packed };
            let part =
                |part| Lanes { values: seen, tokens: seen_tokens, offset: part * row, stride: 2 * row };
            [q, part(0), part(1)]
        });
        let out = attend_lanes(&lanes.collect::<Vec<_>>(), heads, width);
        tensor(out, [batch, tokens, row])
    }
}

/// Attention of every head of every batch row, whose queries, keys and values are given; `(B, Tq, H, D)`.
fn attend_lanes(batches: &[[Lanes<'_>; 3]], heads: usize, width: usize) -> Vec<f32> {
    let queries = batches.first().map_or(0, |[q, _, _]| q.tokens);
    let row = heads * width;
    if queries == 0 {
        return Vec::new();
    }
    // Head-major while computing (each task owns a slice), token-major when returned.
    let mut by_head = vec![0.0f32; batches.len() * queries * row];
    by_head.par_chunks_mut(queries * width).enumerate().for_each(|(index, out)| {
        let [q, k, v] = batches[index / heads].map(|lanes| lanes.head(index % heads, width));
        attend_head(q, k, v, out);
    });
    let mut out = vec![0.0f32; by_head.len()];
    let interleave = |(index, out): (usize, &mut [f32])| {
        let (b, token) = (index / queries, index % queries);
        for (head, out) in out.chunks_exact_mut(width).enumerate() {
            let start = ((b * heads + head) * queries + token) * width;
            out.copy_from_slice(&by_head[start..start + width]);
        }
    };
    out.par_chunks_mut(row).enumerate().with_min_len((CHUNK / row).max(1)).for_each(interleave);
    out
}

fn attend_head(q: NdTensorView<f32, 2>, k: NdTensorView<f32, 2>, v: NdTensorView<f32, 2>, out: &mut [f32]) {
    let [queries, width] = q.shape();
    let keys = k.size(0);
    let mut scores = vec![0.0f32; queries * keys];
    let scale = GemmOptions { alpha: 1.0 / (width as f32).sqrt(), ..Default::default() };
    product(&mut scores, q, GemmInputB::Unpacked(k.transposed()), scale);
    for row in scores.chunks_exact_mut(keys) {
        Softmax::new_mut(row).dispatch();
    }
    let scores = NdTensorView::from_data([queries, keys], scores.as_slice());
    product(out, scores, GemmInputB::Unpacked(v), GemmOptions::default());
}
