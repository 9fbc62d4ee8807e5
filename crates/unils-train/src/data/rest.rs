//! Takes a person's rest pose out of a recording: what the face holds when it does nothing.

use unils::motion::{Space, Unit};

/// The part of all frames in which a coefficient is at most at rest.
const AT_REST: usize = 10;

/// Subtracts from each coefficient its tenth percentile over all frames; angles stay as they are. `motion` is (frames,
/// channels) row-major.
pub(super) fn remove_rest(motion: &mut [f32], space: Space) {
    let width = space.width();
    let frames = motion.len() / width;
    if frames == 0 {
        return;
    }
    let coefficients =
        space.channels().iter().enumerate().filter(|(_, channel)| channel.unit == Unit::Coefficient);
    for (index, _) in coefficients {
        let mut values: Vec<f32> = motion.iter().skip(index).step_by(width).copied().collect();
        let (_, &mut rest, _) = values.select_nth_unstable_by(frames / AT_REST, f32::total_cmp);
        motion.iter_mut().skip(index).step_by(width).for_each(|value| *value -= rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_what_a_tenth_of_the_frames_stays_below() {
        let width = Space::Arkit55.width();
        let mut motion = vec![0.25; 100 * width];
        for frame in 0..100 {
            motion[frame * width + 17] = 0.1 + ((frame * 37) % 100) as f32 / 100.0;
        }
        remove_rest(&mut motion, Space::Arkit55);
        let lowest = (0..100).map(|frame| motion[frame * width + 17]).fold(f32::MAX, f32::min);
        assert!((lowest + 0.1).abs() < 1e-6, "{lowest}");
        assert_eq!((motion[0], motion[52]), (0.0, 0.25));
    }
}
