//! Takes the mean head rotation out of a recording, to the last bit as the release does.
//!
//! The release averages with PyTorch, whose sum over frames runs in four interleaved partial sums, each a cascade of
//! four levels in float32 (its `SumKernel`): a plain sum in float32 or float64 differs from it in the last bit. For
//! float16 the mean is taken in float32 and rounded to float16, and so is the difference.

use half::f16;
use unils::motion::{Group, Space};

use super::store::Element;

/// Partial sums that are kept apart: every fourth number.
const LANES: usize = 4;
/// Levels of the cascade.
const LEVELS: usize = 4;

/// Subtracts the mean of each head channel over all frames, in the stored element type. `motion` is (frames,
/// channels) row-major.
pub(super) fn centre_head(motion: &mut [f32], space: Space, element: Element) {
    let width = space.width();
    let frames = motion.len() / width;
    if frames == 0 {
        return;
    }
    for channel in space.group_indices(Group::Head) {
        let sum = cascade_sum(frames, |frame| motion[frame * width + channel]);
        let mean = sum / frames as f32;
        let values = motion.iter_mut().skip(channel).step_by(width);
        match element {
            Element::F32 => values.for_each(|value| *value -= mean),
            Element::F16 => {
                let mean = f16::from_f32(mean).to_f32();
                values.for_each(|value| *value = f16::from_f32(*value - mean).to_f32());
            }
        }
    }
}

/// The sum of `count` numbers in the order described above.
fn cascade_sum(count: usize, value: impl Fn(usize) -> f32) -> f32 {
    let rows = count / LANES;
    let log = usize::BITS - rows.saturating_sub(1).leading_zeros();
    let power = (log as usize / LEVELS).max(4);
    let (step, mask) = (1_usize << power, (1_usize << power) - 1);
    let mut sums = [[0.0_f32; LANES]; LEVELS];
    let add_row = |sums: &mut [f32; LANES], row: usize| {
        sums.iter_mut().enumerate().for_each(|(lane, sum)| *sum += value(row * LANES + lane));
    };
    let mut row = 0;
    while row + step <= rows {
        (row..row + step).for_each(|row| add_row(&mut sums[0], row));
        row += step;
        for level in 1..LEVELS {
            let below = std::mem::take(&mut sums[level - 1]);
            sums[level].iter_mut().zip(below).for_each(|(sum, below)| *sum += below);
            if row & (mask << (level * power)) != 0 {
                break;
            }
        }
    }
    (row..rows).for_each(|row| add_row(&mut sums[0], row));
    let [mut lanes, higher @ ..] = sums;
    for level in higher {
        lanes.iter_mut().zip(level).for_each(|(sum, level)| *sum += level);
    }
    let [mut first, others @ ..] = lanes;
    (rows * LANES..count).for_each(|index| first += value(index));
    others.into_iter().for_each(|lane| first += lane);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_summed_once() {
        for count in [0, 1, 3, 4, 5, 63, 64, 65, 255, 256, 257, 1023, 4096, 5001, 70_000] {
            assert_eq!(cascade_sum(count, |index| (index % 7) as f32), {
                let whole: usize = (0..count).map(|index| index % 7).sum();
                whole as f32
            });
        }
    }

    /// `torch.mean` of `((i * 2654435761) mod 2^32) / 2^32` (float32) over 5000 numbers, and a plain float32 sum.
    #[test]
    fn the_order_is_that_of_pytorch() {
        let value = |index: usize| (index as u32).wrapping_mul(2_654_435_761) as f32 / 4_294_967_296.0;
        let plain = (0..5000).map(value).sum::<f32>() / 5000.0;
        let mean = cascade_sum(5000, value) / 5000.0;
        assert_eq!(mean.to_bits(), TORCH_MEAN_BITS);
        assert_ne!(plain.to_bits(), TORCH_MEAN_BITS, "the test would not notice another order");
    }

    const TORCH_MEAN_BITS: u32 = 0x3eff_f971;

    #[test]
    fn half_precision_rounds_the_mean_and_the_difference() {
        let width = Space::Arkit55.width();
        let mut motion = vec![0.0; 3 * width];
        for (frame, value) in [0.1_f32, 0.2, 0.35].into_iter().enumerate() {
            motion[frame * width + 52] = f16::from_f32(value).to_f32();
        }
        centre_head(&mut motion, Space::Arkit55, Element::F16);
        for frame in 0..3 {
            let value = motion[frame * width + 52];
            assert_eq!(f16::from_f32(value).to_f32(), value);
        }
    }
}
