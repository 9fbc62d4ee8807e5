//! Savitzky-Golay smoothing along time: a least-squares polynomial over a sliding window.
//!
//! The last step after generation. The numbers are those of `scipy.signal.savgol_filter(x, window, order, axis=0,
//! mode="interp")`: inside the clip each frame becomes the value at the centre of the polynomial that fits the
//! window around it; the first and last `(window - 1) / 2` frames take their values from the polynomials that fit
//! the first and the last window. Sums run in f64 and are rounded to f32 once. So do scipy's inside the clip; at its
//! edges scipy fits f32 motion in f32 and differs from its own f64 result, and from this, by some 1e-6 of the motion's
//! size. The release's setting, and the default here, is window 9, order 3 (Savitzky & Golay 1964).
//!
//! Clips shorter than the window (scipy refuses them) take the largest odd window that fits; where that leaves
//! the polynomial nothing to smooth (window at most order + 1: fewer than 5 frames at order 3) frames stay as
//! they are.
//!
//! [`SmoothStream`] gives the same numbers bit for bit, however the frames are cut. Its delay is
//! `(window - 1) / 2` frames: 4 frames, 160 ms at 25 fps, with the default. Only the first frames wait longer,
//! for the first window to fill: frames 0 to 4 come together when frame 8 has arrived.
//!
//! ```
//! use unils::motion::Smoother;
//! let smoother = Smoother::default();
//! let line: Vec<f32> = (0..20).map(|t| 0.5 * t as f32).collect();
//! let mut stream = smoother.stream(1)?;
//! let mut out = Vec::new();
//! for frame in &line {
//!     stream.push(&[*frame], &mut out)?;
//! }
//! assert_eq!((out.len(), stream.delay_frames()), (16, 4));
//! stream.finish(&mut out);
//! assert_eq!(out, smoother.smooth(&line, 1)?);
//! assert!(out.iter().zip(&line).all(|(a, b)| (a - b).abs() < 1e-5), "a straight line stays one");
//! # Ok::<(), unils::Error>(())
//! ```

use crate::{Error, Result};

/// The release's window, in frames.
const RELEASE_WINDOW: usize = 9;
/// The release's polynomial order.
const RELEASE_ORDER: usize = 3;
/// Longest window: 40 s of motion; keeps the weights of a hostile setting small.
const MAX_WINDOW: usize = 1001;

/// A Savitzky-Golay filter: window and order with the weights that follow from them.
#[derive(Debug, Clone, PartialEq)]
pub struct Smoother {
    window: usize,
    order: usize,
    /// (window, window): row i weighs the window's frames to the fitted polynomial's value at frame i of it.
    weights: Vec<f64>,
}

impl Default for Smoother {
    /// The release's filter: window 9, order 3.
    fn default() -> Self {
        Self::fit(RELEASE_WINDOW, RELEASE_ORDER)
    }
}

impl Smoother {
    /// A filter of `window` frames that fits polynomials of degree `order`.
    ///
    /// # Errors
    /// [`Error::Argument`] unless the window is odd and at most 1001, and the order smaller than the window.
    pub fn new(window: usize, order: usize) -> Result<Self> {
        if window.is_multiple_of(2) || window > MAX_WINDOW {
            let what = format!("expected an odd number of frames up to {MAX_WINDOW}, got {window}");
            return Err(Error::argument("smoothing window", what));
        }
        if order >= window {
            let what = format!("expected less than the window of {window}, got {order}");
            return Err(Error::argument("smoothing order", what));
        }
        Ok(Self::fit(window, order))
    }

    /// The least-squares projection onto polynomials, as a sum over an orthonormal basis of them. Each next
    /// polynomial is the last one times the position, made orthogonal to all before, twice against rounding:
    /// unlike powers of the position this stays exact for any order.
    fn fit(window: usize, order: usize) -> Self {
        let half = (window / 2) as f64;
        let positions: Vec<f64> = (0..window).map(|index| (index as f64 - half) / half.max(1.0)).collect();
        let mut basis: Vec<Vec<f64>> = vec![vec![(window as f64).sqrt().recip(); window]];
        while let Some(last) = basis.last().filter(|_| basis.len() <= order) {
            let mut next: Vec<f64> = last.iter().zip(&positions).map(|(value, x)| value * x).collect();
            for known in basis.iter().chain(&basis) {
                let overlap = dot(&next, known);
                next.iter_mut().zip(known).for_each(|(value, known)| *value -= overlap * known);
            }
            let norm = dot(&next, &next).sqrt();
            next.iter_mut().for_each(|value| *value /= norm);
            basis.push(next);
        }
        let weight = |index: usize| {
            basis.iter().map(|polynomial| polynomial[index / window] * polynomial[index % window]).sum()
        };
        Self { window, order, weights: (0..window * window).map(weight).collect() }
    }

    /// Frames of the window.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Degree of the polynomials.
    pub fn order(&self) -> usize {
        self.order
    }

    /// The weights that make frame `index` of a window from all its frames; the middle row is the filter's
    /// impulse response.
    pub fn weights(&self, index: usize) -> Option<&[f64]> {
        self.weights.chunks_exact(self.window).nth(index)
    }

    /// Smooths a whole clip: `frames` is (frames, channels) row-major, and so is the result.
    ///
    /// # Errors
    /// [`Error::Argument`] if `frames` are not whole frames of `channels` numbers.
    pub fn smooth(&self, frames: &[f32], channels: usize) -> Result<Vec<f32>> {
        check_rows(frames, channels)?;
        let mut out = Vec::with_capacity(frames.len());
        self.smooth_rows(frames, channels, &mut out);
        Ok(out)
    }

    /// As [`Smoother::smooth`], for whole rows, appending to `out`.
    pub(super) fn smooth_rows(&self, frames: &[f32], channels: usize, out: &mut Vec<f32>) {
        let count = frames.len() / channels;
        if count < self.window {
            return self.smooth_short(frames, channels, out);
        }
        let half = self.window / 2;
        let mut sums = vec![0.0; channels];
        for frame in 0..count {
            let first = frame.saturating_sub(half).min(count - self.window);
            let rows = frames[first * channels..].chunks_exact(channels);
            self.combine(frame - first, rows, &mut sums, out);
        }
    }

    /// A clip shorter than the window.
    fn smooth_short(&self, frames: &[f32], channels: usize, out: &mut Vec<f32>) {
        let count = frames.len() / channels;
        let window = if count.is_multiple_of(2) { count.saturating_sub(1) } else { count };
        if window > self.order + 1 {
            Self::fit(window, self.order).smooth_rows(frames, channels, out);
        } else {
            out.extend_from_slice(frames);
        }
    }

    /// Appends the fitted frame `index` of the window that begins with `rows`. The one place that sums, so that
    /// clips and streams agree to the bit.
    fn combine<'a>(
        &self,
        index: usize,
        rows: impl Iterator<Item = &'a [f32]>,
        sums: &mut [f64],
        out: &mut Vec<f32>,
    ) {
        sums.fill(0.0);
        for (row, &weight) in rows.zip(&self.weights[index * self.window..][..self.window]) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * f64::from(value));
        }
        out.extend(sums.iter().map(|&sum| sum as f32));
    }

    /// A stream that smooths frames of `channels` numbers as they come.
    ///
    /// # Errors
    /// [`Error::Argument`] if `channels` is 0.
    pub fn stream(&self, channels: usize) -> Result<SmoothStream> {
        check_rows(&[], channels)?;
        Ok(SmoothStream {
            smoother: self.clone(),
            channels,
            recent: Vec::new(),
            seen: 0,
            sums: vec![0.0; channels],
        })
    }
}

/// Smoothing of frames as they come, with the numbers of [`Smoother::smooth`]; see the module's text for the delay.
#[derive(Debug, Clone)]
pub struct SmoothStream {
    smoother: Smoother,
    channels: usize,
    /// The last `window` frames at most: a ring once it is full, whose oldest frame is `seen % window`.
    recent: Vec<f32>,
    seen: usize,
    sums: Vec<f64>,
}

impl SmoothStream {
    /// Frames that an output comes after its input, once the first window is full.
    pub fn delay_frames(&self) -> usize {
        self.smoother.window / 2
    }

    /// Takes whole frames, row-major, and appends the frames that are ready to `out`.
    ///
    /// # Errors
    /// [`Error::Argument`] if `frames` are not whole frames; nothing is taken then.
    pub fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) -> Result<()> {
        check_rows(frames, self.channels)?;
        let window = self.smoother.window;
        for frame in frames.chunks_exact(self.channels) {
            if self.seen < window {
                self.recent.extend_from_slice(frame);
            } else {
                let slot = self.seen % window * self.channels;
                self.recent[slot..slot + self.channels].copy_from_slice(frame);
            }
            self.seen += 1;
            if self.seen == window {
                (0..=window / 2).for_each(|index| self.emit(index, out));
            } else if self.seen > window {
                self.emit(window / 2, out);
            }
        }
        Ok(())
    }

    /// Ends the stream: appends the frames that were still held back.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        let window = self.smoother.window;
        if self.seen < window {
            self.smoother.smooth_rows(&self.recent, self.channels, out);
        } else {
            (window / 2 + 1..window).for_each(|index| self.emit(index, out));
        }
    }

    fn emit(&mut self, index: usize, out: &mut Vec<f32>) {
        let oldest = self.seen % self.smoother.window * self.channels;
        let (newer, older) = self.recent.split_at(oldest);
        let rows = older.chunks_exact(self.channels).chain(newer.chunks_exact(self.channels));
        self.smoother.combine(index, rows, &mut self.sums, out);
    }
}

fn check_rows(frames: &[f32], channels: usize) -> Result<()> {
    if channels > 0 && frames.len().is_multiple_of(channels) {
        return Ok(());
    }
    let what = format!("{} numbers are not whole frames of {channels} channels", frames.len());
    Err(Error::argument("frames to smooth", what))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        for (window, order) in [(8, 3), (0, 0), (3, 3), (1003, 3)] {
            assert!(Smoother::new(window, order).is_err(), "{window} {order}");
        }
        assert_eq!(Smoother::new(9, 3).unwrap(), Smoother::default());
        assert_eq!(Smoother::new(1, 0).unwrap().weights(0), Some([1.0].as_slice()));
        assert!(Smoother::default().smooth(&[0.0; 3], 2).is_err());
        assert!(Smoother::default().smooth(&[], 0).is_err());
        assert!(Smoother::default().stream(2).unwrap().push(&[0.0], &mut Vec::new()).is_err());
    }

    #[test]
    fn polynomials_up_to_the_order_pass_through() {
        for (window, order) in [(9, 3), (5, 2), (21, 6), (101, 12), (1001, 40)] {
            let smoother = Smoother::new(window, order).unwrap();
            let frames: Vec<f32> = (0..window + 7)
                .map(|t| {
                    let x = 2.0 * t as f64 / (window + 6) as f64 - 1.0;
                    (order as f64 * x.acos()).cos() as f32
                })
                .collect();
            let out = smoother.smooth(&frames, 1).unwrap();
            for (a, b) in out.iter().zip(&frames) {
                assert!((a - b).abs() < 3e-6, "window {window} order {order}: {a} {b}");
            }
        }
    }

    #[test]
    fn short_clips_shrink_the_window_or_stay() {
        let smoother = Smoother::default();
        let noise: Vec<f32> = (0..8_i32).map(|t| ((t * 7919) % 13) as f32).collect();
        for count in 0..5 {
            assert_eq!(smoother.smooth(&noise[..count], 1).unwrap(), noise[..count]);
        }
        for (count, window) in [(5, 5), (6, 5), (7, 7), (8, 7)] {
            let expected = Smoother::new(window, 3).unwrap().smooth(&noise[..count], 1).unwrap();
            assert_eq!(smoother.smooth(&noise[..count], 1).unwrap(), expected);
            assert_ne!(expected, noise[..count]);
        }
    }
}
