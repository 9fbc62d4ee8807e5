//! Rotary position embedding (RoFormer, arXiv 2104.09864) on interleaved channel pairs, base 10 000.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::{cpu, grad};

const BASE: f64 = 10_000.0;

/// Rotation angles of a list of positions: pair `j` of a head of width `D` turns by `position * BASE^(-2j/D)`.
#[derive(Module, Debug)]
pub struct Rotary {
    /// Cosines, `(T, D/2)`.
    cos: Tensor<2>,
    /// Sines, `(T, D/2)`.
    sin: Tensor<2>,
}

impl Rotary {
    /// Tables for `positions`, heads of `head_width` channels (even).
    pub fn new(positions: &[usize], head_width: usize, device: &Device) -> Self {
        let pairs = head_width / 2;
        // The release computes frequency and angle in single precision; so do we, to stay within its rounding.
        let frequencies: Vec<f32> =
            (0..pairs).map(|j| (1.0 / BASE.powf((2 * j) as f64 / head_width as f64)) as f32).collect();
        let angles = || positions.iter().flat_map(|&p| frequencies.iter().map(move |&f| p as f32 * f));
        let table =
            |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [positions.len(), pairs]), device);
        Self { cos: table(angles().map(f32::cos).collect()), sin: table(angles().map(f32::sin).collect()) }
    }

    /// Tables for the positions of an endless stream: angles are taken in double precision, so that turning stays exact
    /// after days.
    pub fn at(positions: &[u64], head_width: usize, device: &Device) -> Self {
        let pairs = head_width / 2;
        let frequencies: Vec<f64> =
            (0..pairs).map(|j| BASE.powf(-((2 * j) as f64) / head_width as f64)).collect();
        let angles = || positions.iter().flat_map(|&p| frequencies.iter().map(move |&f| p as f64 * f));
        let table =
            |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [positions.len(), pairs]), device);
        Self {
            cos: table(angles().map(|angle| angle.cos() as f32).collect()),
            sin: table(angles().map(|angle| angle.sin() as f32).collect()),
        }
    }

    /// The tables of tokens `start..end` only.
    pub fn range(&self, start: usize, end: usize) -> Self {
        let pairs = self.cos.dims()[1];
        let cut = |table: &Tensor<2>| table.clone().slice([start..end, 0..pairs]);
        Self { cos: cut(&self.cos), sin: cut(&self.sin) }
    }

    /// The device that the tables are on.
    pub fn device(&self) -> Device {
        self.cos.device()
    }

    /// Whether [`Rotary::angles`] can be read.
    pub(super) fn is_on_cpu(&self) -> bool {
        cpu::holds(&self.cos)
    }

    /// The tables for the CPU route.
    pub(super) fn angles(&self) -> cpu::Angles {
        cpu::Angles::of(&self.cos, &self.sin)
    }

    /// Rotates the first `rotated` numbers of each token's row `(T, row)` in place, in heads of the tables' width.
    pub fn turn_rows(&self, rows: &mut [f32], row: usize, rotated: usize) {
        let [tokens, pairs] = self.cos.dims();
        self.angles().rotate_rows(rows, row, rotated, tokens, 2 * pairs);
    }

    /// Rotates `(B, T, H, D)`; token `t` by the `t`-th position of the table.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        if cpu::holds(&x) {
            return cpu::rotate(x, &self.angles());
        }
        if grad::holds(&x) && self.is_on_cpu() {
            return grad::rotate(x, self.angles());
        }
        let [b, t, h, d] = x.dims();
        let pairs = x.reshape([b, t, h, d / 2, 2]);
        let even: Tensor<4> =
            pairs.clone().slice([0..b, 0..t, 0..h, 0..d / 2, 0..1]).reshape([b, t, h, d / 2]);
        let odd: Tensor<4> = pairs.slice([0..b, 0..t, 0..h, 0..d / 2, 1..2]).reshape([b, t, h, d / 2]);
        let cos: Tensor<4> = self.cos.clone().reshape([1, t, 1, d / 2]);
        let sin: Tensor<4> = self.sin.clone().reshape([1, t, 1, d / 2]);
        let turned_even = even.clone() * cos.clone() - odd.clone() * sin.clone();
        let turned_odd = odd * cos + even * sin;
        Tensor::<4>::stack::<5>(vec![turned_even, turned_odd], 4).reshape([b, t, h, d])
    }
}
