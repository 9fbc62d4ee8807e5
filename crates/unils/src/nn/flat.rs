//! Flat tensors changed in place: what an optimiser does to all parameters, in one pass over the memory.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use unils::nn::flat;
//! let vector = |values: [f32; 3]| Tensor::<1>::from_floats(values, &Device::flex());
//! let changed = flat::update([vector([1.0, 2.0, 3.0])], [&vector([1.0, 1.0, 2.0])], |[x], [y]| {
//!     x.iter_mut().zip(y).for_each(|(x, y)| *x -= y);
//! });
//! let [x] = changed.unwrap_or_else(|same| same);
//! assert_eq!(flat::sum_of_squares(&x), Some(2.0));
//! ```

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::cpu::{self, CHUNK, Memory, wide};

/// Applies `each` to all parts of tensors of one length, in parallel: to the same places of those that it changes and
/// those that it reads. Gives the tensors back as an error when one of them is not on the portable device or has
/// another length.
pub fn update<const N: usize, const M: usize>(
    changed: [Tensor<1>; N],
    read: [&Tensor<1>; M],
    each: impl Fn([&mut [f32]; N], [&[f32]; M]) + Sync,
) -> Result<[Tensor<1>; N], [Tensor<1>; N]> {
    let count = changed.first().map_or(0, |tensor| tensor.dims()[0]);
    let fits = |tensor: &Tensor<1>| cpu::holds(tensor) && tensor.dims()[0] == count;
    if !changed.iter().all(fits) || !read.iter().all(|tensor| fits(tensor)) {
        return Err(changed);
    }
    let read = read.map(|tensor| Memory::of(tensor.clone()));
    let mut changed: [FlexTensor; N] = changed.map(|tensor| Memory::of(tensor).into_owned());
    let mut chunks = changed.each_mut().map(|tensor| tensor.storage_mut::<f32>().chunks_mut(CHUNK));
    let parts: Vec<[&mut [f32]; N]> = (0..count.div_ceil(CHUNK))
        .map(|_| chunks.each_mut().map(|chunks| chunks.next().unwrap_or_default()))
        .collect();
    parts.into_par_iter().enumerate().for_each(|(index, part)| {
        let start = index * CHUNK;
        let end = count.min(start + CHUNK);
        let read = read.each_ref().map(|memory| &memory.values()[start..end]);
        wide(
            #[inline(always)]
            || each(part, read),
        );
    });
    Ok(changed.map(Tensor::from_primitive::<Flex>))
}

/// The sum of the squares of all values, the same to the bit for any number of threads; `None` on other devices.
pub fn sum_of_squares(tensor: &Tensor<1>) -> Option<f64> {
    let memory = cpu::holds(tensor).then(|| Memory::of(tensor.clone()))?;
    let parts: Vec<f64> = memory.values().par_chunks(CHUNK).map(cpu::sum_of_squares).collect();
    Some(parts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Int};

    #[test]
    fn all_parts_are_changed_once() {
        let count = 2 * CHUNK + 7;
        let tensor = |value: f32| Tensor::<1>::full([count], value, &Device::flex());
        let (x, y) = (tensor(1.0), tensor(2.0));
        let kept = x.clone();
        let places = Tensor::<1, Int>::arange(0..count as i64, &Device::flex()).float();
        let [x, y] = update([x, y], [&places], |[x, y], [z]| {
            for ((x, y), z) in x.iter_mut().zip(y).zip(z) {
                (*x, *y) = (*x + *y * z, *y + 1.0);
            }
        })
        .unwrap();
        assert!(
            x.to_data().iter::<f32>().enumerate().all(|(place, value)| value == 1.0 + 2.0 * place as f32)
        );
        assert!(kept.to_data().iter::<f32>().all(|value| value == 1.0), "what others hold stays");
        assert_eq!(sum_of_squares(&y), Some(9.0 * count as f64));
    }

    #[test]
    fn other_lengths_are_given_back() {
        let tensor = |count| Tensor::<1>::ones([count], &Device::flex());
        assert!(update([tensor(3)], [&tensor(4)], |_, _| ()).is_err());
        assert!(sum_of_squares(&tensor(3).autodiff()).is_none());
    }
}
