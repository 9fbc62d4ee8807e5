//! Fréchet distances between distributions of motion frames, taken as Gaussians.
//!
//! `FD = |mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))` (Dowson & Landau 1982) on raw per-frame parameters, without a
//! network, as in this line of work (DualTalk, DIM). Means over frames; covariances unbiased (divisor n - 1, NumPy's
//! default). The square root's trace is the sum of the square roots of the eigenvalues of
//! `S1^(1/2) S2 S1^(1/2)`, which is symmetric: the result is real, and good to some 1e-7 of the covariances' size also when
//! channels are constant or depend on each other, so nothing is added to the diagonals.
//!
//! Two sets of channels: `expression` ([`expression_channels`]) gives F-FID, `head pose` ([`head_channels`]) P-FID.
//! Two ways to sum up: *pooled* over the frames of all recordings (one [`Gaussian`] for all), and *per clip* (one
//! distance a recording, then their mean). Per-clip distances are larger and also punish a motion that is right on
//! the average and wrong in this recording. The paper does not state which it uses; its peers' code uses per clip.

use serde::{Deserialize, Serialize};

use super::bootstrap::{BootstrapOptions, Interval, bootstrap};
use super::eigen;
use super::signal::{Moments, check_finite, check_length, check_rows};
use crate::motion::{Group, Space};
use crate::{Error, Result};

/// The most channels: keeps hostile sizes small; every motion space is far below.
const MAX_WIDTH: usize = 1024;

/// The channels of F-FID: FLAME's expression components; in ARKit-55 all 52 coefficients.
pub fn expression_channels(space: Space) -> Vec<usize> {
    match space {
        Space::Flame108 => space.group_indices(Group::Expression),
        Space::Arkit55 => (0..space.width()).filter(|index| !head_channels(space).contains(index)).collect(),
    }
}

/// The channels of P-FID: the head's rotation, radians.
pub fn head_channels(space: Space) -> Vec<usize> {
    space.group_indices(Group::Head)
}

/// Mean and covariance of a stream of frames. Written and read again it is the same to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Gaussian {
    count: u64,
    mean: Vec<f64>,
    /// (width, width), row-major, the upper triangle: sums of products of deviations from the mean.
    scatter: Vec<f64>,
}

impl Gaussian {
    /// Of no frames yet, `width` channels each.
    ///
    /// # Errors
    /// [`Error::Argument`] for no or more than 1024 channels.
    pub fn new(width: usize) -> Result<Self> {
        if width == 0 || width > MAX_WIDTH {
            return Err(Error::argument("channels", format!("expected 1 to {MAX_WIDTH}, got {width}")));
        }
        Ok(Self { count: 0, mean: vec![0.0; width], scatter: vec![0.0; width * width] })
    }

    /// Of some channels of whole frames: `motion` is (frames, width), row-major.
    ///
    /// # Errors
    /// As [`Gaussian::new`] and [`Gaussian::push_rows`], and for a channel beyond the width.
    pub fn of_channels(motion: &[f32], width: usize, channels: &[usize]) -> Result<Self> {
        let mut gaussian = Self::new(channels.len())?;
        gaussian.push_channels(motion, width, channels)?;
        Ok(gaussian)
    }

    /// Adds some channels of whole frames.
    ///
    /// # Errors
    /// As [`Gaussian::of_channels`].
    pub fn push_channels(&mut self, motion: &[f32], width: usize, channels: &[usize]) -> Result<()> {
        check_rows(motion, width, "motion")?;
        if let Some(channel) = channels.iter().find(|&&channel| channel >= width) {
            return Err(Error::argument("channels", format!("there is no channel {channel} of {width}")));
        }
        let mut row = Vec::with_capacity(channels.len());
        check_finite(motion, "motion")?;
        for frame in motion.chunks_exact(width) {
            row.clear();
            row.extend(channels.iter().map(|&channel| frame[channel]));
            self.push_rows(&row)?;
        }
        Ok(())
    }

    /// Adds whole frames of all channels.
    ///
    /// # Errors
    /// [`Error::Argument`] for parts of a frame, [`Error::Motion`] for NaN and infinity; nothing is added then.
    pub fn push_rows(&mut self, rows: &[f32]) -> Result<()> {
        let width = self.mean.len();
        check_rows(rows, width, "frames")?;
        check_finite(rows, "frames")?;
        let mut before = vec![0.0; width];
        for row in rows.chunks_exact(width) {
            self.count += 1;
            let share = 1.0 / self.count as f64;
            for ((before, mean), &value) in before.iter_mut().zip(&mut self.mean).zip(row) {
                *before = f64::from(value) - *mean;
                *mean += *before * share;
            }
            let keep = 1.0 - share;
            for (i, &left) in before.iter().enumerate() {
                let sums = &mut self.scatter[i * width + i..(i + 1) * width];
                for (sum, &right) in sums.iter_mut().zip(&before[i..]) {
                    *sum += keep * left * right;
                }
            }
        }
        Ok(())
    }

    /// Adds the frames of another one, as if they had been pushed here.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of channels.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        check_width(self, other)?;
        let (n, m) = (self.count as f64, other.count as f64);
        if other.count == 0 {
            return Ok(());
        }
        let width = self.width();
        let apart: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(b, a)| b - a).collect();
        for i in 0..width {
            for j in i..width {
                self.scatter[i * width + j] +=
                    other.scatter[i * width + j] + apart[i] * apart[j] * n * m / (n + m);
            }
        }
        self.mean.iter_mut().zip(&apart).for_each(|(mean, apart)| *mean += apart * m / (n + m));
        self.count += other.count;
        Ok(())
    }

    /// Number of channels.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Number of frames.
    pub fn frames(&self) -> u64 {
        self.count
    }

    /// The mean of each channel.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The unbiased covariance, (channels, channels) row-major; none below two frames.
    pub fn covariance(&self) -> Option<Vec<f64>> {
        let width = self.width();
        let divisor = self.count.checked_sub(1).filter(|&n| n > 0)? as f64;
        Some((0..width * width).map(|index| self.scatter[upper(index, width)] / divisor).collect())
    }
}

/// The form of a [`Gaussian`] in files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    count: u64,
    mean: Vec<f64>,
    /// The upper triangle, row by row.
    scatter: Vec<f64>,
}

impl From<Gaussian> for Stored {
    fn from(Gaussian { count, mean, scatter }: Gaussian) -> Self {
        let width = mean.len();
        let scatter = scatter.chunks_exact(width).enumerate().flat_map(|(i, row)| row[i..].to_vec());
        Self { count, scatter: scatter.collect(), mean }
    }
}

impl TryFrom<Stored> for Gaussian {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let width = stored.mean.len();
        let mut gaussian = Self::new(width)?;
        check_length(stored.scatter.len(), width * (width + 1) / 2, "scatter", "numbers")?;
        let mut rest = stored.scatter.as_slice();
        for (i, row) in gaussian.scatter.chunks_exact_mut(width).enumerate() {
            let (here, after) = rest.split_at(width - i);
            row[i..].copy_from_slice(here);
            rest = after;
        }
        Ok(Self { count: stored.count, mean: stored.mean, ..gaussian })
    }
}

/// Where the upper triangle keeps an entry.
fn upper(index: usize, width: usize) -> usize {
    let (i, j) = (index / width, index % width);
    i.min(j) * width + i.max(j)
}

fn check_width(a: &Gaussian, b: &Gaussian) -> Result<()> {
    if a.width() == b.width() {
        return Ok(());
    }
    let what = format!("distributions of {} and {} channels do not compare", a.width(), b.width());
    Err(Error::argument("Fréchet distance", what))
}

/// The Fréchet distance of two distributions, in squared units of the channels; at least 0.
///
/// # Errors
/// [`Error::Argument`] for different numbers of channels or fewer than two frames.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> Result<f64> {
    check_width(a, b)?;
    let n = a.width();
    let (Some(first), Some(second)) = (a.covariance(), b.covariance()) else {
        let what = format!("{} and {} frames: expected at least 2 of each", a.count, b.count);
        return Err(Error::argument("Fréchet distance", what));
    };
    let shift: f64 = a.mean.iter().zip(&b.mean).map(|(a, b)| (a - b) * (a - b)).sum();
    let trace = |matrix: &[f64]| (0..n).map(|i| matrix[i * n + i]).sum::<f64>();
    let spread = trace(&first) + trace(&second);
    let root = square_root(first, n);
    let inner = product(&product(&root, &second, n), &root, n);
    let (values, _) = eigen::symmetric(inner, n);
    let overlap: f64 = values.into_iter().map(|value| value.max(0.0).sqrt()).sum();
    Ok((shift + spread - 2.0 * overlap).max(0.0))
}

/// One recording's frames: predicted and true.
pub type Recording = (Gaussian, Gaussian);

/// The distance of the frames of all recordings together.
///
/// # Errors
/// As [`frechet_distance`], and [`Error::Argument`] for no recordings.
pub fn pooled(recordings: &[Recording]) -> Result<f64> {
    let Some(first) = recordings.first() else {
        return Err(Error::argument("Fréchet distance", "0 recordings: expected 1 or more"));
    };
    let all: Vec<usize> = (0..recordings.len()).collect();
    let (a, b) = pool(recordings, &all, first.0.width())?;
    frechet_distance(&a, &b)
}

/// Its interval by bootstrap over recordings; none below two. A draw repeats recordings and so lies a little above
/// the distance itself, which BCa corrects. A draw of 108 channels takes some tens of milliseconds: 200 are enough.
///
/// # Errors
/// As [`pooled`], and [`Error::Argument`] for options out of range.
pub fn pooled_interval(recordings: &[Recording], options: &BootstrapOptions) -> Result<Option<Interval>> {
    pooled(recordings)?;
    let width = recordings[0].0.width();
    bootstrap(recordings.len(), options, |drawn| {
        let (a, b) = pool(recordings, drawn, width).ok()?;
        frechet_distance(&a, &b).ok()
    })
}

/// The unweighted mean of the recordings' own distances; recordings of fewer than two frames are left out.
///
/// # Errors
/// As [`frechet_distance`], and [`Error::Argument`] if no recording is left.
pub fn per_clip(recordings: &[Recording]) -> Result<f64> {
    let long = recordings.iter().filter(|(a, b)| a.count.min(b.count) > 1);
    let distances = long.map(|(a, b)| frechet_distance(a, b)).collect::<Result<Vec<_>>>()?;
    Moments::of(distances).mean().ok_or_else(|| {
        let what = format!("none of {} recordings has 2 frames or more", recordings.len());
        Error::argument("Fréchet distance", what)
    })
}

fn pool(recordings: &[Recording], drawn: &[usize], width: usize) -> Result<Recording> {
    let (mut a, mut b) = (Gaussian::new(width)?, Gaussian::new(width)?);
    for &index in drawn {
        a.merge(&recordings[index].0)?;
        b.merge(&recordings[index].1)?;
    }
    Ok((a, b))
}

/// The symmetric square root of a covariance; eigenvalues that rounding made negative are zero.
fn square_root(matrix: Vec<f64>, n: usize) -> Vec<f64> {
    let (values, vectors) = eigen::symmetric(matrix, n);
    let roots: Vec<f64> = values.into_iter().map(|value| value.max(0.0).sqrt()).collect();
    let mut scaled = vectors.clone();
    for row in scaled.chunks_exact_mut(n) {
        row.iter_mut().zip(&roots).for_each(|(value, root)| *value *= root);
    }
    let transposed: Vec<f64> = (0..n * n).map(|index| vectors[(index % n) * n + index / n]).collect();
    product(&scaled, &transposed, n)
}

/// The product of two (n, n) matrices.
fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for (row, sums) in a.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        for (&factor, other) in row.iter().zip(b.chunks_exact(n)) {
            sums.iter_mut().zip(other).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    out
}
