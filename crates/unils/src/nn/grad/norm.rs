//! Layer normalisation.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::super::cpu::{Memory, normalize_row, row_moments};
use super::{Input, Kept, ROWS, add, copied, new_memory, record, reduce, sum_of_parts, wide};

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the last dimension.
pub(in super::super) fn layer_norm<const N: usize>(
    x: Tensor<N>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<N> {
    let shape = x.dims();
    let width = shape[N - 1];
    let [x, gamma, beta] = [Input::of(x), Input::of(gamma), Input::of(beta)];
    let [values, scale, offset] = [x.memory, gamma.memory, beta.memory].map(Memory::new);
    let out = copied(values.values(), ROWS * width, |_, rows| {
        for row in rows.chunks_exact_mut(width) {
            normalize_row(row, scale.values(), offset.values(), epsilon);
        }
    });
    let kept = Norm { x: values, gamma: scale, epsilon };
    record([x.guard, gamma.guard, beta.guard], new_memory(out, shape), kept)
}

/// Means and deviations are computed again in the backward pass: cheaper than keeping them.
#[derive(Debug, Clone)]
struct Norm {
    x: Memory,
    gamma: Memory,
    epsilon: f64,
}

impl Kept<3> for Norm {
    fn gradients(
        self,
        of_result: FlexTensor,
        [by_x, by_gamma, by_beta]: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let width = self.gamma.values().len();
        let mut gradient = Memory::new(of_result).into_owned();
        // The input's gradient takes the place of the result's.
        let rows = gradient.storage_mut::<f32>().par_chunks_mut(ROWS * width);
        let parts: (Vec<_>, Vec<_>) = rows
            .zip(self.x.values().par_chunks(ROWS * width))
            .map(|(gradient, x)| self.rows(gradient, x, width))
            .unzip();
        let [of_gamma, of_beta] = [parts.0, parts.1].map(|parts| sum_of_parts(parts, width));
        [
            by_x.then_some(gradient),
            by_gamma.then(|| new_memory(of_gamma, [width])),
            by_beta.then(|| new_memory(of_beta, [width])),
        ]
    }
}

impl Norm {
    /// Turns the gradients of rows' results into those of the rows; returns what the rows add to the scale's and the
    /// offset's gradient.
    fn rows(&self, gradient: &mut [f32], x: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut of_gamma, mut of_beta) = (vec![0.0; width], vec![0.0; width]);
        let mut unit = vec![0.0; width];
        for (gradient, x) in gradient.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let [mean, scale] = row_moments(x, self.epsilon);
            wide(
                #[inline(always)]
                || {
                    for (unit, x) in unit.iter_mut().zip(x) {
                        *unit = (x - mean) * scale;
                    }
                    add(&mut of_beta, gradient);
                    for ((sum, unit), gradient) in of_gamma.iter_mut().zip(&unit).zip(&*gradient) {
                        *sum += unit * gradient;
                    }
                    for (gradient, gamma) in gradient.iter_mut().zip(self.gamma.values()) {
                        *gradient *= gamma;
                    }
                    // What changes the row's mean or deviation has no effect: these parts are taken out.
                    let along_mean = reduce(gradient, &unit, |gradient, _| gradient) / width as f32;
                    let along_unit = reduce(gradient, &unit, |gradient, unit| gradient * unit) / width as f32;
                    for (gradient, unit) in gradient.iter_mut().zip(&unit) {
                        *gradient = scale * (*gradient - along_mean - unit * along_unit);
                    }
                },
            );
        }
        (of_gamma, of_beta)
    }
}
