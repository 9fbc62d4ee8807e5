//! A person's rest pose and manner, in numbers.
//!
//! Blend shape trackers and made people alike have offsets: a mouth that never quite closes, lids that hang. A model of
//! motion should not spend itself on them, so the rest pose is taken out before the codec and added back behind it. What
//! is left of a person over a longer stretch is summed up in a mean, a deviation and a speed of each channel: the style
//! that the block-causal generator takes.

use super::{Space, Unit};

/// Share of the frames in which a coefficient is below its rest value.
const REST_SHARE: f64 = 0.1;

/// The rest pose of motion `(T, M)`: of a coefficient the value that a tenth of the frames stay below, of an angle the
/// mean.
pub fn rest_pose(motion: &[f32], space: Space) -> Vec<f32> {
    let (width, channels) = (space.width(), space.channels());
    let frames = motion.len() / width;
    if frames == 0 {
        return vec![0.0; width];
    }
    let rest = |index: usize| {
        let mut values: Vec<f32> = motion.iter().skip(index).step_by(width).copied().collect();
        match channels[index].unit {
            Unit::Coefficient => {
                let at = (frames as f64 * REST_SHARE) as usize;
                *values.select_nth_unstable_by(at.min(frames - 1), f32::total_cmp).1
            }
            Unit::Radian => {
                (values.iter().map(|&value| f64::from(value)).sum::<f64>() / frames as f64) as f32
            }
        }
    };
    (0..width).map(rest).collect()
}

/// Takes a rest pose out of motion `(T, M)` in place.
pub fn remove_rest(motion: &mut [f32], rest: &[f32]) {
    for frame in motion.chunks_exact_mut(rest.len().max(1)) {
        frame.iter_mut().zip(rest).for_each(|(value, rest)| *value -= rest);
    }
}

/// Mean, deviation and speed (mean absolute difference of neighbouring frames) of each channel of motion `(T, M)`: three
/// rows of `M`.
pub fn manner(motion: &[f32], width: usize) -> Vec<f32> {
    let frames = motion.len() / width;
    let mut rows = vec![0.0f64; 3 * width];
    if frames == 0 {
        return vec![0.0; 3 * width];
    }
    let (means, rest) = rows.split_at_mut(width);
    let (squares, speeds) = rest.split_at_mut(width);
    for frame in motion.chunks_exact(width) {
        means.iter_mut().zip(frame).for_each(|(sum, &value)| *sum += f64::from(value) / frames as f64);
    }
    for frame in motion.chunks_exact(width) {
        for ((sum, mean), &value) in squares.iter_mut().zip(means.iter()).zip(frame) {
            *sum += (f64::from(value) - mean).powi(2) / frames as f64;
        }
    }
    for (before, after) in motion.chunks_exact(width).zip(motion.chunks_exact(width).skip(1)) {
        for ((sum, &before), &after) in speeds.iter_mut().zip(before).zip(after) {
            *sum += f64::from((after - before).abs()) / (frames - 1) as f64;
        }
    }
    squares.iter_mut().for_each(|square| *square = square.sqrt());
    rows.into_iter().map(|value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_low_for_coefficients_and_the_mean_for_angles() {
        let space = Space::Arkit55;
        let (jaw, yaw) = (space.index("jawOpen").unwrap(), space.index("headYaw").unwrap());
        let mut motion = vec![0.0; 100 * 55];
        for (t, frame) in motion.chunks_exact_mut(55).enumerate() {
            frame[jaw] = 0.05 + if t < 80 { 0.3 } else { 0.0 };
            frame[yaw] = if t < 50 { 0.2 } else { 0.4 };
        }
        let rest = rest_pose(&motion, space);
        assert!((rest[jaw] - 0.05).abs() < 1e-6 && (rest[yaw] - 0.3).abs() < 1e-6, "{rest:?}");
        remove_rest(&mut motion, &rest);
        assert!(motion.iter().skip(jaw).step_by(55).all(|&value| (-1e-6..0.31).contains(&value)));
    }

    #[test]
    fn a_manner_is_mean_deviation_and_speed() {
        // 0, 2, 0, 2: mean 1, deviation 1, speed 2; the second channel rests at 5.
        let rows = manner(&[0.0, 5.0, 2.0, 5.0, 0.0, 5.0, 2.0, 5.0], 2);
        assert_eq!(rows, [1.0, 5.0, 1.0, 0.0, 2.0, 0.0]);
        assert_eq!(manner(&[], 2), [0.0; 6]);
        assert_eq!(manner(&[3.0, 4.0], 2), [3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
