//! Small arithmetic that the metrics share: checks, running moments, correlation, quantiles.

use crate::{Error, Result};

/// Refuses NaN and infinity; `place` names the slice.
pub(super) fn check_finite(values: &[f32], place: &str) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::motion(place, format!("number {index} is {}: not finite", values[index]))
            .with_hint("motion must be free of NaN and infinity: repair or cut those frames")),
    }
}

/// Refuses a count other than the expected one.
pub(super) fn check_length(found: usize, expected: usize, place: &str, of: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::argument(place, format!("expected {expected} {of}, got {found}")))
}

/// Number of rows of `width` numbers; refuses parts of a row and an empty slice.
pub(super) fn check_rows(values: &[f32], width: usize, place: &str) -> Result<usize> {
    if width == 0 || values.is_empty() || !values.len().is_multiple_of(width) {
        let what = format!("{} numbers are not whole frames of {width} channels", values.len());
        return Err(Error::argument(place, what));
    }
    Ok(values.len() / width)
}

/// Refuses frame rates that are not positive.
pub(super) fn check_fps(fps: f64) -> Result<()> {
    if fps.is_finite() && fps > 0.0 {
        return Ok(());
    }
    Err(Error::argument("fps", format!("expected a positive frame rate, got {fps}")))
}

/// Refuses thresholds and other settings outside their range.
pub(super) fn check_setting(ok: bool, name: &str, expected: &str, got: impl std::fmt::Display) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::argument(name, format!("expected {expected}, got {got}"))) }
}

/// Mean and variance of a stream of numbers (Welford 1962): exact for long streams, needs none of them kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Moments {
    count: u64,
    mean: f64,
    scatter: f64,
}

impl Moments {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.push(value));
        moments
    }

    pub(super) fn push(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.scatter += before * (value - self.mean);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// None of an empty stream.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Square root of the unbiased variance (divisor n - 1); none below two numbers.
    pub(super) fn deviation(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.scatter.max(0.0) / (self.count - 1) as f64).sqrt())
    }
}

/// Pearson's correlation of pairs; none below three pairs or if a side does not vary.
pub(super) fn pearson(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut count, mut mean_a, mut mean_b) = (0_u64, 0.0, 0.0);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        count += 1;
        let (before_a, before_b) = (a - mean_a, b - mean_b);
        mean_a += before_a / count as f64;
        mean_b += before_b / count as f64;
        aa += before_a * (a - mean_a);
        bb += before_b * (b - mean_b);
        ab += before_a * (b - mean_b);
    }
    // Rounding leaves some 1e-16 of the square of the mean in the scatter of a constant.
    let varies = |scatter: f64, mean: f64| scatter > 1e-14 * count as f64 * mean * mean && scatter > 0.0;
    (count >= 3 && varies(aa, mean_a) && varies(bb, mean_b)).then(|| (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

/// The quantile `q` from 0 to 1 with linear interpolation (NumPy's default); none of nothing. Sorts.
pub(super) fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    Some(values[below] + (values[above] - values[below]) * (at - below as f64))
}

/// Maximal runs of true: (first, past the last).
pub(super) fn runs(flags: &[bool]) -> Vec<(usize, usize)> {
    let (mut found, mut start) = (Vec::new(), None);
    for (index, &flag) in flags.iter().chain(&[false]).enumerate() {
        match (flag, start) {
            (true, None) => start = Some(index),
            (false, Some(first)) => {
                found.push((first, index));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// Seconds as whole frames, at least one.
pub(super) fn frames_of(seconds: f64, fps: f64) -> usize {
    ((seconds * fps).round().max(1.0)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_small_spreads_on_large_means() {
        let moments = Moments::of((0..100_000).map(|i| 1e6 + f64::from(i % 2)));
        assert!((moments.deviation().unwrap() - 0.500_002_5).abs() < 1e-8, "{:?}", moments.deviation());
        assert_eq!(Moments::of([3.0]).deviation(), None);
        assert_eq!(Moments::of([]).mean(), None);
    }

    #[test]
    fn correlation_is_pearsons() {
        let r = pearson([(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0)].into_iter());
        assert!((r.unwrap() - 0.6).abs() < 1e-15);
        assert_eq!(pearson((0..9).map(|i| (f64::from(i), 0.1))), None);
        assert_eq!(pearson((0..9).map(|i| (0.1 + 0.2, f64::from(i)))), None);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(quantile(&mut [1.0, 2.0], 1.0), Some(2.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    #[test]
    fn runs_reach_the_end() {
        assert_eq!(runs(&[true, true, false, true]), [(0, 2), (3, 4)]);
        assert!(runs(&[]).is_empty());
    }
}
