//! Mean and standard deviation of the motion channels: the units that the models think in.
//!
//! The release keeps them in a JSON file of two lists, `motion_mean` and `motion_std`, and in its checkpoints as
//! buffers of the same names. Normalised numbers are `(x - mean) / (std + 1e-8)`; the way back is
//! `x * std + mean`, without the 1e-8, as in the release.
//!
//! ```
//! use unils::motion::Stats;
//! let stats = Stats::new(vec![1.0, -2.0], vec![0.5, 2.0])?;
//! let mut frames = [2.0, 0.0, 1.0, -2.0];
//! stats.normalise(&mut frames)?;
//! assert_eq!(frames, [2.0, 1.0, 0.0, 0.0]);
//! # Ok::<(), unils::Error>(())
//! ```

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::Space;
use crate::{Error, Result};

/// Added to the deviation when dividing, in f32.
const EPSILON: f32 = 1e-8;

/// The largest statistics file that is read: 1 MiB, a hundred times a real one.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Per-channel mean and standard deviation.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    mean: Vec<f32>,
    std: Vec<f32>,
}

#[derive(Deserialize)]
struct StatsFile {
    motion_mean: Vec<f64>,
    motion_std: Vec<f64>,
}

impl Stats {
    /// From the two lists, one number a channel.
    ///
    /// # Errors
    /// [`Error::Motion`] if the lists are empty or of different lengths, a number is not finite, or a deviation
    /// is negative.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        if mean.is_empty() || mean.len() != std.len() {
            let what =
                format!("{} means and {} deviations: expected one each a channel", mean.len(), std.len());
            return Err(Error::motion("motion statistics", what));
        }
        if let Some(index) = mean.iter().position(|value| !value.is_finite()) {
            let what = format!("{}, expected a finite number", mean[index]);
            return Err(Error::motion(format!("motion_mean[{index}]"), what));
        }
        if let Some(index) = std.iter().position(|value| !(value.is_finite() && *value >= 0.0)) {
            let what = format!("{}, expected a finite number of at least 0", std[index]);
            return Err(Error::motion(format!("motion_std[{index}]"), what));
        }
        Ok(Self { mean, std })
    }

    /// From the release's JSON text; `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Motion`] if it is not JSON with the two lists, or as for [`Stats::new`].
    pub fn from_json(json: &[u8], place: &str) -> Result<Self> {
        let file: StatsFile = serde_json::from_slice(json).map_err(|error| {
            Error::motion(place, format!("not a motion statistics file: {error}"))
                .with_hint("expected JSON with the lists motion_mean and motion_std")
        })?;
        let narrow = |list: Vec<f64>| list.into_iter().map(|value| value as f32).collect();
        Self::new(narrow(file.motion_mean), narrow(file.motion_std)).map_err(|error| match error {
            Error::Motion(fault) => Error::motion(place, fault),
            other => other,
        })
    }

    /// From a file of the release.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, otherwise as for [`Stats::from_json`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let mut json = Vec::new();
        file.take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut json)
            .map_err(|error| Error::io("read", path, error))?;
        if json.len() as u64 > MAX_FILE_BYTES {
            let what = "larger than 1 MiB: not a motion statistics file";
            return Err(Error::motion(path.display(), what)
                .with_hint("expected JSON with the lists motion_mean and motion_std"));
        }
        Self::from_json(&json, &path.display().to_string())
    }

    /// Number of channels.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The mean of each channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Checks that these are statistics of a motion space.
    ///
    /// # Errors
    /// [`Error::Motion`] if the number of channels differs.
    pub fn check_space(&self, space: Space) -> Result<()> {
        if self.width() == space.width() {
            return Ok(());
        }
        let what = format!("{} channels, expected the {} of {space}", self.width(), space.width());
        Err(Error::motion("motion statistics", what)
            .with_hint("use the statistics file that belongs to the checkpoint"))
    }

    /// Whole frames, row-major, to normalised units: `(x - mean) / (std + 1e-8)`.
    ///
    /// # Errors
    /// [`Error::Motion`] if `frames` are not whole frames of this width.
    pub fn normalise(&self, frames: &mut [f32]) -> Result<()> {
        self.each(frames, |value, mean, std| (value - mean) / (std + EPSILON))
    }

    /// Whole frames, row-major, from normalised units: `x * std + mean`.
    ///
    /// # Errors
    /// [`Error::Motion`] if `frames` are not whole frames of this width.
    pub fn undo(&self, frames: &mut [f32]) -> Result<()> {
        self.each(frames, |value, mean, std| value * std + mean)
    }

    fn each(&self, frames: &mut [f32], map: impl Fn(f32, f32, f32) -> f32) -> Result<()> {
        if !frames.len().is_multiple_of(self.width()) {
            let what = format!("{} numbers are not whole frames of {} channels", frames.len(), self.width());
            return Err(Error::motion("motion", what));
        }
        for frame in frames.chunks_exact_mut(self.width()) {
            for ((value, &mean), &std) in frame.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = map(*value, mean, std);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_file_and_place() {
        let error =
            Stats::from_json(br#"{"motion_mean": [0, 1], "motion_std": [1, -1]}"#, "s.json").unwrap_err();
        assert_eq!(error.to_string(), "s.json: motion_std[1]: -1, expected a finite number of at least 0");
        let error = Stats::from_json(br#"{"motion_mean": [0], "motion_std": [1, 1]}"#, "s.json").unwrap_err();
        assert!(error.to_string().contains("1 means and 2 deviations"), "{error}");
        let error = Stats::from_json(br#"{"motion_mean": [1e39], "motion_std": [1]}"#, "s.json").unwrap_err();
        assert!(error.to_string().contains("motion_mean[0]: inf"), "{error}");
        assert!(Stats::from_json(b"[]", "s.json").unwrap_err().hint().is_some());
    }

    #[test]
    fn a_constant_channel_survives() {
        let stats = Stats::new(vec![3.0], vec![0.0]).unwrap();
        let mut frames = [3.0, 3.0];
        stats.normalise(&mut frames).unwrap();
        assert_eq!(frames, [0.0, 0.0]);
        stats.undo(&mut frames).unwrap();
        assert_eq!(frames, [3.0, 3.0]);
        assert!(Stats::new(vec![0.0; 2], vec![1.0; 2]).unwrap().undo(&mut [0.0; 3]).is_err());
        assert!(stats.check_space(Space::Flame108).is_err());
    }
}
