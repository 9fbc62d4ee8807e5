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
use rten_vecmath::{ApproxGelu, Elu, Gelu, LeakyRelu, Softmax};

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
fn product(out: &mut [f32], a: NdTensorView<f32, 2>, b: GemmInputB<f32>, options: GemmOptions<f32, f32, f32>) {
    let done = GEMM.with(|gemm| gemm.gemm(out, GemmInputA::Unpacked(a), b, options));
    #[allow(clippy::expect_used)]
    done.expect("the shapes of a product were checked where its operands were made");
}

/// The tensor's memory on the portable device, row-major; `None` elsewhere.
fn memory<const N: usize>(x: &Tensor<N>) -> Option<FlexTensor> {
    x.clone().try_into_primitive::<Flex>().ok().map(|x| x.to_contiguous())
}

pub(super) fn tensor<const N: usize>(values: Vec<f32>, shape: [usize; N]) -> Tensor<N> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// A row-major copy where the tensor is a strided view; the tensor itself otherwise or on other devices.
pub fn contiguous<const N: usize>(x: Tensor<N>) -> Tensor<N> {
    match memory(&x) {
        Some(row_major) => Tensor::from_primitive::<Flex>(row_major),
        None => x,
    }
}

/// The values of a tensor that is known to live on the portable device.
pub(super) fn with_values<const N: usize, R>(x: &Tensor<N>, f: impl FnOnce(&[f32]) -> R) -> R {
    #[allow(clippy::expect_used)]
    let x = memory(x).expect("packed layers are built for the portable device only, and so are their inputs");
    f(x.storage::<f32>())
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
        Self { weight: GEMM.with(|gemm| gemm.prepack_b(weight.transposed())), bias: bias.map(<[f32]>::to_vec) }
    }

    /// Outputs of the layer.
    pub fn outputs(&self) -> usize {
        self.weight.cols()
    }

    /// `out = beta * out + rows W^T + b`, then the activation. `out` is `(rows, out)`.
    pub fn product(&self, rows: Rows<'_>, out: &mut [f32], beta: f32, then: Activation) {
        let options = GemmOptions { beta, bias: self.bias.as_deref().map(BiasVector::Row), ..Default::default() };
        #[allow(clippy::expect_used)]
        let input = NdTensorView::from_slice_with_strides(
            [rows.count, rows.width],
            rows.values,
            [rows.stride, 1],
        )
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
        with_values(&x, |values| {
            self.product(Rows { values, count, width, stride: width }, &mut out, 0.0, then);
        });
        tensor(out, shape)
    }

    /// `residual + forward(x)`, in the residual's memory when nobody else holds it.
    pub fn add_to<const N: usize>(&self, x: Tensor<N>, residual: Tensor<N>) -> Tensor<N> {
        let shape = x.dims();
        let width = shape[N - 1];
        let count = shape[..N - 1].iter().product();
        let primitive = residual.try_into_primitive::<Flex>();
        #[allow(clippy::expect_used)]
        let residual = primitive.expect("packed layers are built for the portable device only");
        let is_whole = residual.as_slice::<f32>().is_some_and(|values| values.len() == residual.storage::<f32>().len());
        let mut residual = if is_whole { residual } else { residual.to_contiguous() };
        with_values(&x, |values| {
            let rows = Rows { values, count, width, stride: width };
            self.product(rows, residual.storage_mut::<f32>(), 1.0, Activation::None);
        });
        Tensor::from_primitive::<Flex>(residual)
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

/// [`super::Rotary::apply`] on the CPU.
pub(super) fn rotate(x: &Tensor<4>, cos: &Tensor<2>, sin: &Tensor<2>) -> Option<Tensor<4>> {
    let shape @ [_, tokens, heads, width] = x.dims();
    let (cos, sin) = (memory(cos)?, memory(sin)?);
    let (cos, sin) = (cos.storage::<f32>(), sin.storage::<f32>());
    let x = memory(x)?;
    let x = x.storage::<f32>();
    let mut out = Vec::with_capacity(x.len());
    for (row, head) in x.chunks_exact(width).enumerate() {
        let token = row / heads % tokens;
        let angles = token * width / 2..(token + 1) * width / 2;
        for ((pair, c), s) in head.chunks_exact(2).zip(&cos[angles.clone()]).zip(&sin[angles]) {
            out.extend([pair[0] * c - pair[1] * s, pair[1] * c + pair[0] * s]);
        }
    }
    Some(tensor(out, shape))
}

/// [`super::attend`] without a mask on the CPU: two products and a softmax for each head.
pub(super) fn attend(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>) -> Option<Tensor<4>> {
    let [batch, queries, heads, width] = q.dims();
    let keys = k.dims()[1];
    let (q, k, v) = (memory(q)?, memory(k)?, memory(v)?);
    let (q, k, v) = (q.storage::<f32>(), k.storage::<f32>(), v.storage::<f32>());
    let row = heads * width;
    // Head-major while computing (each task owns a slice), token-major when returned.
    let mut by_head = vec![0.0f32; batch * heads * queries * width];
    by_head.par_chunks_mut(queries * width).enumerate().for_each(|(index, out)| {
        let (b, h) = (index / heads, index % heads);
        let view = |values, tokens| head_view(values, b * tokens * row + h * width, [tokens, width], row);
        attend_head(view(q, queries), view(k, keys), view(v, keys), out);
    });
    let mut out = vec![0.0f32; by_head.len()];
    for (b, out) in out.chunks_exact_mut(queries * row).enumerate() {
        let mut out = NdTensorViewMut::from_data([queries, heads, width], out);
        let source = &by_head[b * queries * row..(b + 1) * queries * row];
        out.copy_from(&NdTensorView::from_data([heads, queries, width], source).permuted([1, 0, 2]));
    }
    Some(tensor(out, [batch, queries, heads, width]))
}

fn head_view(values: &[f32], offset: usize, shape: [usize; 2], row: usize) -> NdTensorView<'_, f32, 2> {
    #[allow(clippy::expect_used)]
    NdTensorView::from_slice_with_strides(shape, &values[offset..], [row, 1]).expect("a head lies inside its row")
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
