//! The multi-scale schedule and its resampling between scales.

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};

/// Longest window that a schedule may have: a bound for configurations from outside, 40 s at 25 frames/s.
const MAX_WINDOW: usize = 1000;

/// Tokens of each scale, coarse to fine; the last scale has one token a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    scales: Vec<usize>,
}

impl Schedule {
    /// A schedule such as `[1, 5, 25, 50, 100]`.
    ///
    /// # Errors
    /// [`Error::Config`] unless the numbers are positive, strictly rising and at most 1000.
    pub fn new(scales: &[usize]) -> Result<Self> {
        let rising = scales.windows(2).all(|pair| pair[0] < pair[1]);
        match (scales.first(), scales.last()) {
            (Some(&first), Some(&last)) if first > 0 && rising && last <= MAX_WINDOW => {
                Ok(Self { scales: scales.to_vec() })
            }
            _ => Err(Error::config(
                "schedule",
                format!("expected rising numbers from 1 to {MAX_WINDOW}, got {scales:?}"),
            )),
        }
    }

    /// Tokens of each scale.
    pub fn scales(&self) -> &[usize] {
        &self.scales
    }

    /// Frames of a window: the last scale.
    pub fn window(&self) -> usize {
        self.scales[self.scales.len() - 1]
    }

    /// Tokens of all scales.
    pub fn tokens(&self) -> usize {
        self.scales.iter().sum()
    }

    /// The tokens of scale `k` in the concatenation of all scales.
    pub fn range(&self, k: usize) -> std::ops::Range<usize> {
        let start = self.scales[..k].iter().sum();
        start..start + self.scales[k]
    }
}

/// Mean over the frames `floor(i T / p) .. ceil((i + 1) T / p)` for each of `p` bins: a `(p, T)` matrix.
pub(super) fn area_matrix(from: usize, to: usize, device: &Device) -> Tensor<3> {
    let mut matrix = vec![0.0f32; to * from];
    for (i, row) in matrix.chunks_exact_mut(from).enumerate() {
        let bin = i * from / to..((i + 1) * from).div_ceil(to);
        let share = 1.0 / bin.len() as f32;
        row[bin].fill(share);
    }
    Tensor::from_data(TensorData::new(matrix, [1, to, from]), device)
}

/// Linear interpolation with half-pixel centres, as a `(to, from)` matrix.
pub(super) fn linear_matrix(from: usize, to: usize, device: &Device) -> Tensor<3> {
    let mut matrix = vec![0.0f32; to * from];
    let scale = from as f32 / to as f32;
    for (i, row) in matrix.chunks_exact_mut(from).enumerate() {
        let centre = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let low = (centre as usize).min(from - 1);
        let high = (low + 1).min(from - 1);
        let share = centre - low as f32;
        row[low] += 1.0 - share;
        row[high] += share;
    }
    Tensor::from_data(TensorData::new(matrix, [1, to, from]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_schedules_that_do_not_rise() {
        for bad in [&[][..], &[0, 5], &[5, 5], &[5, 1], &[1, 1_000_000]] {
            assert!(matches!(Schedule::new(bad), Err(Error::Config(_))), "{bad:?}");
        }
        let schedule = Schedule::new(&[1, 5, 25, 50, 100]).unwrap();
        assert_eq!((schedule.window(), schedule.tokens(), schedule.range(2)), (100, 181, 6..31));
    }

    #[test]
    fn area_bins_overlap_when_lengths_do_not_divide() {
        let matrix: Vec<f32> = area_matrix(5, 2, &Device::flex()).into_data().try_to_vec().unwrap();
        let third = 1.0 / 3.0;
        assert_eq!(matrix, [third, third, third, 0.0, 0.0, 0.0, 0.0, third, third, third]);
    }
}
