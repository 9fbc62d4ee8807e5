//! Operations between the layers: rotary positions, and branches that count more or less.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::super::cpu::{Angles, CHUNK, Memory};
use super::{Input, Kept, copied, new_memory, record, wide};

/// Rotates `(B, T, H, D)`.
pub(in super::super) fn rotate(x: Tensor<4>, angles: Angles) -> Tensor<4> {
    let [_, tokens, heads, width] = x.dims();
    let x = Input::of(x);
    let mut rotated = Memory::new(x.memory).into_owned();
    angles.rotate_rows(rotated.storage_mut::<f32>(), heads * width, heads * width, tokens, width);
    record([x.guard], rotated, Rotation { angles, tokens, heads, width })
}

#[derive(Debug, Clone)]
struct Rotation {
    angles: Angles,
    tokens: usize,
    heads: usize,
    width: usize,
}

impl Kept<1> for Rotation {
    fn gradients(self, of_result: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let mut gradient = Memory::new(of_result).into_owned();
        let row = self.heads * self.width;
        let rows = gradient.storage_mut::<f32>().par_chunks_exact_mut(row).enumerate();
        rows.with_min_len((CHUNK / row).max(1))
            .for_each(|(index, row)| self.angles.rotate_back(index % self.tokens, self.width, row));
        [Some(gradient)]
    }
}

/// `x + share * (y - x)` of `(B, T, C)`, `share` `(B, 1, 1)` without a gradient.
pub(in super::super) fn blend(x: Tensor<3>, y: Tensor<3>, share: Tensor<3>) -> Tensor<3> {
    let shape @ [_, tokens, width] = x.dims();
    let [x, y, share] = [Input::of(x), Input::of(y), Input::of(share)];
    let [from, to, share] = [x.memory, y.memory, share.memory].map(Memory::new);
    let row = width.max(1);
    let to = to.values();
    let out = copied(from.values(), row, |index, values| {
        let share = share.values()[index / tokens];
        let to = &to[index * row..][..values.len()];
        wide(
            #[inline(always)]
            || values.iter_mut().zip(to).for_each(|(x, y)| *x += share * (y - *x)),
        );
    });
    record([x.guard, y.guard], new_memory(out, shape), Blend { share, tokens, width: row })
}

#[derive(Debug, Clone)]
struct Blend {
    share: Memory,
    tokens: usize,
    width: usize,
}

impl Kept<2> for Blend {
    fn gradients(self, of_result: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let shape = of_result.layout().shape().clone();
        let of_result = Memory::new(of_result);
        let scaled = |factor: fn(f32) -> f32| {
            let scaled = copied(of_result.values(), self.width, |index, values| {
                let factor = factor(self.share.values()[index / self.tokens]);
                values.iter_mut().for_each(|value| *value *= factor);
            });
            new_memory(scaled, shape.clone())
        };
        [wanted[0].then(|| scaled(|share| 1.0 - share)), wanted[1].then(|| scaled(|share| share))]
    }
}
