//! Motion at another rate: linear interpolation between frames, along the short way of angles.

use std::f32::consts::{PI, TAU};

use super::{Group, Motion, Space, Unit};
use crate::{Error, Result};

/// The most numbers that a clip is stretched to: 1 GiB.
const MAX_NUMBERS: f64 = (1_u64 << 28) as f64;

impl Motion {
    /// The same motion at `fps` frames a second: frame k is interpolated at `k / fps` s. The length stays, to the
    /// nearest frame; after the last frame its pose is held. At its own rate a clip stays as it is.
    ///
    /// ```
    /// use unils::motion::{Motion, MotionMeta, Space};
    /// let ramp = (0..60 * 55).map(|index| (index / 55) as f32).collect();
    /// let phone = Motion::new(Space::Arkit55, 60.0, 1, ramp, MotionMeta::new())?;
    /// let ours = phone.resampled(25.0)?;
    /// assert_eq!((ours.frames(), ours.fps()), (25, 25.0));
    /// assert!((ours.frame(0, 3).unwrap()[0] - 7.2).abs() < 1e-5);
    /// # Ok::<(), unils::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if `fps` is not a positive number or makes a clip of more than 2^28 numbers.
    pub fn resampled(&self, fps: f64) -> Result<Self> {
        if !(fps.is_finite() && fps > 0.0) {
            return Err(Error::argument("frame rate", format!("expected a positive number, got {fps}")));
        }
        if fps == self.fps() {
            return Ok(self.clone());
        }
        let frames = (self.duration_s() * fps).round().max(1.0);
        let width = self.space().width();
        if frames * (self.participants() * width) as f64 > MAX_NUMBERS {
            return Err(Error::argument(
                "frame rate",
                format!("{fps} makes {frames} frames of {width} numbers"),
            )
            .with_hint("motion is 25 frames/s; a rate of that order is meant"));
        }
        let step = self.fps() / fps;
        let mut values = Vec::with_capacity(frames as usize * self.participants() * width);
        for clip in self.values().chunks_exact(self.frames() * width) {
            for frame in 0..frames as usize {
                let place = (frame as f64 * step).min((self.frames() - 1) as f64);
                let first = place.floor() as usize;
                let second = (first + 1).min(self.frames() - 1);
                let row = |index: usize| &clip[index * width..(index + 1) * width];
                between(self.space(), row(first), row(second), (place - first as f64) as f32, &mut values);
            }
        }
        Self::new(self.space(), fps, self.participants(), values, self.meta().clone())
    }
}

/// Appends the frame `part` of the way from `a` to `b`.
pub(crate) fn between(space: Space, a: &[f32], b: &[f32], part: f32, out: &mut Vec<f32>) {
    let start = out.len();
    out.extend(a.iter().zip(b).zip(space.channels()).map(|((a, b), channel)| {
        let way = b - a;
        // Beyond half a turn the other way round is shorter.
        let is_far = channel.unit == Unit::Radian && way.abs() > PI;
        let way = if is_far { way - TAU * (way / TAU).round() } else { way };
        a + part * way
    }));
    if space == Space::Flame108 {
        head_between(space, a, b, part, &mut out[start..]);
    }
}

/// FLAME's head is one vector, and the same rotation is a vector a turn shorter or longer.
fn head_between(space: Space, a: &[f32], b: &[f32], part: f32, out: &mut [f32]) {
    let indices = space.group_indices(Group::Head);
    let length = indices.iter().map(|&index| b[index] * b[index]).sum::<f32>().sqrt();
    let distance =
        |factor: f32| -> f32 { indices.iter().map(|&index| (factor * b[index] - a[index]).powi(2)).sum() };
    let turns = if length > 1e-6 { [-TAU, 0.0, TAU] } else { [0.0; 3] };
    let factors = turns.map(|turn| if turn == 0.0 { 1.0 } else { 1.0 + turn / length });
    let nearest = factors.into_iter().min_by(|x, y| distance(*x).total_cmp(&distance(*y))).unwrap_or(1.0);
    for index in indices {
        out[index] = a[index] + part * (nearest * b[index] - a[index]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::MotionMeta;

    fn clip(space: Space, fps: f64, frames: &[Vec<f32>]) -> Motion {
        Motion::new(space, fps, 1, frames.concat(), MotionMeta::new()).unwrap()
    }

    #[test]
    fn lines_stay_lines_and_lengths_stay() {
        for (from, to) in [(30.0, 25.0), (25.0, 60.0), (60.0, 25.0), (23.976, 25.0)] {
            let frames: Vec<Vec<f32>> = (0..120).map(|t| vec![(t as f64 / from) as f32; 55]).collect();
            let motion = clip(Space::Arkit55, from, &frames);
            let other = motion.resampled(to).unwrap();
            assert!((other.duration_s() - motion.duration_s()).abs() <= 0.5 / to, "{from} {to}");
            let last = (119.0 / from) as f32;
            for frame in 0..other.frames() {
                let expected = ((frame as f64 / to) as f32).min(last);
                assert!((other.frame(0, frame).unwrap()[3] - expected).abs() < 2e-6, "{from} {to} {frame}");
            }
        }
    }

    #[test]
    fn angles_take_the_short_way() {
        let mut frames = vec![vec![0.0; 55], vec![0.0; 55]];
        (frames[0][52], frames[1][52]) = (3.0, -3.0);
        let motion = clip(Space::Arkit55, 25.0, &frames).resampled(50.0).unwrap();
        assert!((motion.frame(0, 1).unwrap()[52] - PI).abs() < 1e-5);
        let mut frames = vec![vec![0.0; 108], vec![0.0; 108]];
        // The same axis, 3.0 and, written the other way, 3.4.
        (frames[0][101], frames[1][101]) = (3.0, 3.4 - TAU);
        let motion = clip(Space::Flame108, 25.0, &frames).resampled(50.0).unwrap();
        assert!((motion.frame(0, 1).unwrap()[101] - 3.2).abs() < 1e-5);
    }

    #[test]
    fn rates_that_cannot_be_are_refused() {
        let motion = clip(Space::Arkit55, 25.0, &[vec![0.5; 55]]);
        assert_eq!(motion.resampled(25.0).unwrap(), motion);
        assert_eq!(motion.resampled(1e-3).unwrap().frames(), 1);
        for fps in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e12] {
            assert!(motion.resampled(fps).is_err(), "{fps}");
        }
    }
}
