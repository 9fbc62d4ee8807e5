//! The CPU route: the same layers on the memory of Burn's portable device, without its per-operation passes.
//!
//! Matrix products are `rten-gemm`'s (AVX-512, AVX2 or NEON, chosen at run time, weights packed once),
//! elementwise functions `rten-vecmath`'s. Work is shared through the current Rayon pool. Functions that take
//! tensors return `None` when a tensor lives on another device or carries gradients, so that callers fall
//! back to Burn's operations.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_simd::{SimdOp, SimdUnaryOp};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, NdTensorViewMut};
use rten_vecmath::{
    ApproxGelu, Elu, Gelu, LeakyRelu, Normalize, NormalizeOptions, Softmax, Sum, SumSquareSub,
};

use super::Activation;

thread_local! {
    /// Holds no state but the choice of the kernel, and is not shareable between threads.
    static GEMM: GemmExecutor<f32, f32, f32> = GemmExecutor::new();
}

/// Values that one parallel task of an elementwise pass handles: enough to be worth its scheduling.
const CHUNK: usize = 16 * 1024;

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

/// A tensor's memory on the portable device.
struct Memory(FlexTensor);

impl Memory {
    /// `None` on other devices and for tensors with gradients.
    fn of<const N: usize>(x: Tensor<N>) -> Option<Self> {
        let x = x.try_into_primitive::<Flex>().ok()?;
        Some(Self(if x.is_contiguous() { x } else { x.to_contiguous() }))
    }

    /// The same, where packed layers have made sure of the device.
    fn of_packed<const N: usize>(x: Tensor<N>) -> Self {
        #[allow(clippy::expect_used)]
        Self::of(x).expect("packed layers are built for the portable device only, and so are their inputs")
    }

    /// The values in row-major order.
    fn values(&self) -> &[f32] {
        let (start, end) = self.0.layout().contiguous_offsets().unwrap_or_default();
        &self.0.storage::<f32>()[start..end]
    }

    /// The values for writing: in place when nobody else holds them.
    fn into_owned(self) -> FlexTensor {
        if self.values().len() == self.0.storage::<f32>().len() { self.0 } else { self.0.to_contiguous() }
    }
}

fn owned<const N: usize>(x: FlexTensor) -> Tensor<N> {
    Tensor::from_primitive::<Flex>(x)
}

pub(super) fn tensor<const N: usize>(values: Vec<f32>, shape: [usize; N]) -> Tensor<N> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// A row-major copy where the tensor is a strided view; the tensor itself otherwise or on other devices.
pub fn contiguous<const N: usize>(x: Tensor<N>) -> Tensor<N> {
    match Memory::of(x.clone()) {
        Some(memory) => owned(memory.into_owned()),
        None => x,
    }
}

/// Calls `f` with the values of a packed layer's input.
pub(super) fn with_values<const N: usize, R>(x: Tensor<N>, f: impl FnOnce(&[f32]) -> R) -> R {
    f(Memory::of_packed(x).values())
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
        let mut residual = Memory::of_packed(residual).into_owned();
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
) -> Option<Tensor<N>> {
    let shape = x.dims();
    let (x, norm) = (Memory::of(x)?, Norm::of(gamma, beta, epsilon)?);
    let mut out = Vec::with_capacity(x.values().len());
    out.extend_from_slice(x.values());
    norm.apply(&mut out, then);
    Some(tensor(out, shape))
}

/// Scale and offset of a layer norm as slices.
pub(super) struct Norm {
    gamma: Memory,
    beta: Memory,
    epsilon: f64,
}

impl Norm {
    pub(super) fn of(gamma: &Tensor<1>, beta: &Tensor<1>, epsilon: f64) -> Option<Self> {
        Some(Self { gamma: Memory::of(gamma.clone())?, beta: Memory::of(beta.clone())?, epsilon })
    }

    /// Normalises rows of the norm's width in place, then applies the activation.
    pub(super) fn apply(&self, values: &mut [f32], then: Activation) {
        let (gamma, beta) = (self.gamma.values(), self.beta.values());
        let width = gamma.len();
        let rows_at_once = (CHUNK / width).max(1);
        values.par_chunks_mut(rows_at_once * width).for_each(|rows| {
            for row in rows.chunks_exact_mut(width) {
                let mean = Sum::new(row).dispatch() / width as f32;
                let variance = SumSquareSub::new(row, mean).dispatch() / width as f32;
                let options = NormalizeOptions {
                    pre_scale_bias: mean,
                    scale: ((f64::from(variance) + self.epsilon).sqrt().recip()) as f32,
                    element_scale: Some(gamma),
                    element_bias: Some(beta),
                    ..NormalizeOptions::default()
                };
                Normalize::new_mut(row, options).dispatch();
            }
            activate(rows, then);
        });
    }
}

/// Angles of a rotary embedding as slices: (tokens, pairs) cosines and sines.
pub(super) struct Angles(Memory, Memory);

impl Angles {
    pub(super) fn of(cos: &Tensor<2>, sin: &Tensor<2>) -> Option<Self> {
        Some(Self(Memory::of(cos.clone())?, Memory::of(sin.clone())?))
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
}

/// [`super::Rotary::apply`] on the CPU.
pub(super) fn rotate(x: Tensor<4>, angles: &Angles) -> Option<Tensor<4>> {
    let [_, tokens, heads, width] = x.dims();
    let mut x = Memory::of(x)?.into_owned();
    for (row, values) in x.storage_mut::<f32>().chunks_exact_mut(heads * width).enumerate() {
        angles.rotate(row % tokens, width, values);
    }
    Some(owned(x))
}

/// Where the rows of queries, keys or values lie: row `t` of batch row `b` starts at
/// `offset + (b * tokens + t) * stride`.
#[derive(Clone, Copy)]
struct Lanes<'a> {
    values: &'a [f32],
    tokens: usize,
    offset: usize,
    stride: usize,
}

impl<'a> Lanes<'a> {
    /// Lanes of a whole `(B, T, H, D)` memory.
    fn whole(values: &'a [f32], tokens: usize, row: usize) -> Self {
        Self { values, tokens, offset: 0, stride: row }
    }

    fn head(self, batch: usize, head: usize, width: usize) -> NdTensorView<'a, f32, 2> {
        let start = self.offset + batch * self.tokens * self.stride + head * width;
        let view = NdTensorView::from_slice_with_strides(
            [self.tokens, width],
            &self.values[start..],
            [self.stride, 1],
        );
        #[allow(clippy::expect_used)]
        view.expect("a head lies inside its row")
    }
}

/// [`super::attend`] without a mask on the CPU: two products and a softmax for each head.
pub(super) fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Option<Tensor<4>> {
    let shape @ [batch, queries, heads, width] = q.dims();
    let keys = k.dims()[1];
    let (q, k, v) = (Memory::of(q)?, Memory::of(k)?, Memory::of(v)?);
    let lanes = |memory, tokens| Lanes::whole(memory, tokens, heads * width);
    let [q, k, v] = [lanes(q.values(), queries), lanes(k.values(), keys), lanes(v.values(), keys)];
    Some(tensor(attend_lanes([q, k, v], batch, heads, width), shape))
}

/// [`super::attend_qkv`] on the CPU: reads the packed projections in place.
pub(super) fn attend_qkv(qkv: Tensor<3>, heads: usize, angles: Option<&Angles>) -> Option<Tensor<3>> {
    let [batch, tokens, packed] = qkv.dims();
    let row = packed / 3;
    let width = row / heads;
    let mut qkv = Memory::of(qkv)?.into_owned();
    if let Some(angles) = angles {
        for (index, values) in qkv.storage_mut::<f32>().chunks_exact_mut(packed).enumerate() {
            angles.rotate(index % tokens, width, &mut values[..2 * row]);
        }
    }
    let values = qkv.storage::<f32>();
    let lanes = [0, 1, 2].map(|part| Lanes { values, tokens, offset: part * row, stride: packed });
    Some(tensor(attend_lanes(lanes, batch, heads, width), [batch, tokens, row]))
}

/// Keys and values of the tokens seen so far in one growing memory: rows of `2 H D`, batch row by batch row.
#[derive(Debug, Clone, Default)]
pub(super) struct PackedCache {
    batches: Vec<Vec<f32>>,
}

impl PackedCache {
    /// Appends the tokens of packed projections `(B, n, 3 H D)` and attends from them to all tokens seen, or,
    /// with `queries` off, only appends.
    pub(super) fn step(
        &mut self,
        qkv: Tensor<3>,
        heads: usize,
        angles: &Angles,
        queries: bool,
    ) -> Option<Tensor<3>> {
        let [batch, tokens, packed] = qkv.dims();
        let row = packed / 3;
        let width = row / heads;
        let mut qkv = Memory::of(qkv)?.into_owned();
        self.batches.resize(batch, Vec::new());
        for (index, values) in qkv.storage_mut::<f32>().chunks_exact_mut(packed).enumerate() {
            angles.rotate(index % tokens, width, &mut values[..2 * row]);
            self.batches[index / tokens].extend_from_slice(&values[row..]);
        }
        if !queries {
            return Some(tensor(Vec::new(), [batch, 0, row]));
        }
        let values = qkv.storage::<f32>();
        let mut out = Vec::with_capacity(batch * tokens * row);
        for (b, seen) in self.batches.iter().enumerate() {
            let keys = seen.len() / (2 * row);
            let q = Lanes { values, tokens, offset: b * tokens * packed, stride: packed };
            let lanes = |part| Lanes { values: seen, tokens: keys, offset: part * row, stride: 2 * row };
            out.extend(attend_lanes([q, lanes(0), lanes(1)], 1, heads, width));
        }
        Some(tensor(out, [batch, tokens, row]))
    }
}

/// Attention of every head of every batch row; `(B, Tq, H, D)` row-major.
fn attend_lanes([q, k, v]: [Lanes<'_>; 3], batch: usize, heads: usize, width: usize) -> Vec<f32> {
    let queries = q.tokens;
    let row = heads * width;
    // Head-major while computing (each task owns a slice), token-major when returned.
    let mut by_head = vec![0.0f32; batch * heads * queries * width];
    by_head.par_chunks_mut(queries * width).enumerate().for_each(|(index, out)| {
        let [q, k, v] = [q, k, v].map(|lanes| lanes.head(index / heads, index % heads, width));
        attend_head(q, k, v, out);
    });
    let mut out = vec![0.0f32; by_head.len()];
    for (b, out) in out.chunks_exact_mut(queries * row).enumerate() {
        let mut out = NdTensorViewMut::from_data([queries, heads, width], out);
        let source = &by_head[b * queries * row..(b + 1) * queries * row];
        out.copy_from(&NdTensorView::from_data([heads, queries, width], source).permuted([1, 0, 2]));
    }
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
