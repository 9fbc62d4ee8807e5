//! Confidence intervals by resampling recordings.
//!
//! Frames of one recording are not independent, recordings are: so whole recordings are drawn with replacement
//! (Efron & Tibshirani 1993). Two kinds of interval: the plain percentiles, and BCa (bias-corrected and accelerated),
//! which is better for skewed statistics such as Fréchet distances and few recordings. Seeded: the same seed gives the
//! same interval.
//!
//! ```
//! use unils::metrics::bootstrap::{BootstrapOptions, mean_interval};
//! let values: Vec<f64> = (0..50).map(|i| f64::from(i % 10)).collect();
//! let interval = mean_interval(&values, &BootstrapOptions::default())?.unwrap();
//! assert!((interval.estimate - 4.5).abs() < 1e-12);
//! assert!(interval.low < 4.0 && interval.high > 5.0);
//! # Ok::<(), unils::Error>(())
//! ```

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use super::signal::{Moments, check_length, check_setting, quantile};
use crate::{Error, Result};

/// How the bounds are taken from the resampled values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalKind {
    /// The percentiles themselves.
    Percentile,
    /// Percentiles moved by the bias and the skew of the statistic.
    Bca,
}

/// Settings of the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapOptions {
    /// How often the recordings are drawn.
    pub resamples: usize,
    /// How sure: 0.95 leaves 2.5 % on each side.
    pub level: f64,
    /// Percentile or BCa.
    pub kind: IntervalKind,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for BootstrapOptions {
    /// 2000 draws, 95 %, BCa.
    fn default() -> Self {
        Self { resamples: 2000, level: 0.95, kind: IntervalKind::Bca, seed: 42 }
    }
}

impl BootstrapOptions {
    fn check(&self) -> Result<()> {
        let known = (100..=1_000_000).contains(&self.resamples);
        check_setting(known, "resamples", "100 to 1000000", self.resamples)?;
        check_setting((0.5..1.0).contains(&self.level), "level", "a share from 0.5 to below 1", self.level)
    }
}

/// A value with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The statistic of the recordings themselves.
    pub estimate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// How sure: 0.95.
    pub level: f64,
}

/// The interval of any statistic of `count` recordings. `statistic` gets indices of recordings, some of them several
/// times, and gives none where it is not defined; such draws are left out.
///
/// None below two recordings, if the statistic is not defined for all of them, or if more than half of the draws are
/// left out.
///
/// # Errors
/// [`Error::Argument`] for options out of range.
pub fn bootstrap(
    count: usize,
    options: &BootstrapOptions,
    mut statistic: impl FnMut(&[usize]) -> Option<f64>,
) -> Result<Option<Interval>> {
    options.check()?;
    let all: Vec<usize> = (0..count).collect();
    let Some(estimate) = statistic(&all).filter(|value| value.is_finite()) else { return Ok(None) };
    if count < 2 {
        return Ok(None);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut drawn = vec![0; count];
    let mut values = Vec::with_capacity(options.resamples);
    for _ in 0..options.resamples {
        drawn.iter_mut().for_each(|index| *index = below(&mut rng, count));
        values.extend(statistic(&drawn).filter(|value| value.is_finite()));
    }
    if values.len() * 2 < options.resamples {
        return Ok(None);
    }
    let tail = (1.0 - options.level) / 2.0;
    let (low, high) = match options.kind {
        IntervalKind::Percentile => (tail, 1.0 - tail),
        IntervalKind::Bca => {
            let without = |left_out: usize| -> Vec<usize> { (0..count).filter(|&i| i != left_out).collect() };
            let jackknife: Vec<f64> = (0..count).filter_map(|i| statistic(&without(i))).collect();
            let bias = bias(&values, estimate);
            let skew = acceleration(&jackknife);
            (corrected(tail, bias, skew), corrected(1.0 - tail, bias, skew))
        }
    };
    let bound = |values: &mut [f64], q| quantile(values, q).unwrap_or(estimate);
    let (low, high) = (bound(&mut values, low), bound(&mut values, high));
    Ok(Some(Interval { estimate, low, high, level: options.level }))
}

/// The interval of the mean of one value a recording; none below two recordings.
///
/// # Errors
/// [`Error::Argument`] for options out of range or a value that is not finite.
pub fn mean_interval(values: &[f64], options: &BootstrapOptions) -> Result<Option<Interval>> {
    check_values(values)?;
    bootstrap(values.len(), options, |drawn| Moments::of(drawn.iter().map(|&i| values[i])).mean())
}

/// Two systems on the same recordings: the mean of `a - b` with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Mean of `a - b`; the two differ where the interval does not hold 0.
    pub difference: Interval,
    /// Share of draws in which the mean of `a` is below that of `b` (ties count half): near 1, `a` is lower.
    pub share_lower: f64,
}

/// Compares two systems on the same recordings, in the same order; none below two recordings.
///
/// # Errors
/// [`Error::Argument`] for lists of different lengths, values that are not finite, or options out of range.
pub fn paired_difference(
    a: &[f64],
    b: &[f64],
    options: &BootstrapOptions,
) -> Result<Option<PairedDifference>> {
    check_length(b.len(), a.len(), "paired difference", "values, one a recording in both lists")?;
    check_values(a)?;
    check_values(b)?;
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let (mut lower, mut draws) = (0.0, 0.0);
    let count = differences.len();
    let mean = |drawn: &[usize]| Moments::of(drawn.iter().map(|&i| differences[i])).mean();
    // The first call is on the recordings themselves, BCa's last ones leave one out: neither is a draw.
    let mut calls = 0;
    let interval = bootstrap(count, options, |drawn| {
        let value = mean(drawn);
        calls += 1;
        if let Some(value) = value.filter(|_| calls > 1 && drawn.len() == count) {
            draws += 1.0;
            lower += if value < 0.0 {
                1.0
            } else if value == 0.0 {
                0.5
            } else {
                0.0
            };
        }
        value
    })?;
    Ok(interval.map(|difference| PairedDifference { difference, share_lower: lower / f64::max(draws, 1.0) }))
}

fn check_values(values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => {
            let what = format!("value {index} is {}: not finite", values[index]);
            Err(Error::argument("bootstrap", what).with_hint("leave recordings without a value out"))
        }
    }
}

/// A number below `count`, evenly (Lemire's multiplication; the bias is below 1e-12 for any real count).
pub(super) fn below(rng: &mut ChaCha8Rng, count: usize) -> usize {
    ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize
}

/// How far the estimate is from the draws' median, in standard normal units.
fn bias(values: &[f64], estimate: f64) -> f64 {
    let lower = values.iter().filter(|&&value| value < estimate).count() as f64;
    let equal = values.iter().filter(|&&value| value == estimate).count() as f64;
    let share = (lower + 0.5 * equal) / values.len() as f64;
    // An estimate outside of all draws would give an infinite bias.
    let edge = 0.5 / values.len() as f64;
    normal_quantile(share.clamp(edge, 1.0 - edge))
}

/// The skew of the statistic, from its values without one recording each.
fn acceleration(jackknife: &[f64]) -> f64 {
    let Some(mean) = Moments::of(jackknife.iter().copied()).mean() else { return 0.0 };
    let power = |exponent: i32| jackknife.iter().map(|value| (mean - value).powi(exponent)).sum::<f64>();
    let scale = 6.0 * power(2).powf(1.5);
    if scale > 0.0 { power(3) / scale } else { 0.0 }
}

/// The share of draws to cut off where `share` would be for a symmetric statistic.
fn corrected(share: f64, bias: f64, skew: f64) -> f64 {
    let z = bias + normal_quantile(share);
    normal_share(bias + z / (1.0 - skew * z).max(1e-6))
}

/// The standard normal distribution function, by its power series (tails beyond 8 deviations are 0 and 1).
fn normal_share(x: f64) -> f64 {
    if x.abs() > 8.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        k += 2.0;
        term *= x * x / k;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Its inverse, by bisection.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if normal_share(middle) < share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_right() {
        for (x, share) in [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-1.96, 0.024_997_895_148_220_4)] {
            assert!((normal_share(x) - share).abs() < 1e-14, "{x}");
            assert!((normal_quantile(share) - x).abs() < 1e-12, "{share}");
        }
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
    }
}
