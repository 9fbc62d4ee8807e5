//! Listeners' gestures in curves: nods, and rises such as raised brows and smiles.
//!
//! A **nod** is the head going down and up again: a peak of the pitch (positive down, smoothed by 1 2 1) that is higher
//! by at least [`NodOptions::least_rad`] than the lowest points within 0.6 s on both sides, up to the next peaks of
//! that height. It lasts from where the curve leaves the lower tenth of its way down to where it comes back to it: 0.2
//! to 1.2 s. Cycles that follow each other within 0.4 s are one gesture: a double or triple nod. Looking down and staying
//! there is none, nor is slow drift.
//!
//! A **rise** is a curve going up by at least [`RiseOptions::least`] within [`RiseOptions::within_s`]; the next one
//! needs the curve to have come down by half of that first. It starts where the curve starts to go up.
//!
//! ```
//! use unils::metrics::gestures::{NodOptions, find_nods};
//! // One nod of 0.1 rad at 1 s, half a second long, 25 frames a second.
//! let pitch: Vec<f32> = (0..75)
//!     .map(|t| if (25..38).contains(&t) { 0.1 * ((t - 25) as f32 / 12.5 * 3.1416).sin() } else { 0.0 })
//!     .collect();
//! let nods = find_nods(&pitch, 25.0, &NodOptions::default())?;
//! assert_eq!((nods.len(), nods[0].cycles), (1, 1));
//! assert!((nods[0].start_s - 1.0).abs() < 0.081);
//! # Ok::<(), unils::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::signal::{check_finite, check_fps, check_setting, frames_of};
use crate::Result;

/// A head nod, single or repeated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Nod {
    /// Where the head starts to go down, seconds.
    pub start_s: f64,
    /// Where the last cycle is over, seconds.
    pub end_s: f64,
    /// How often the head went down and up.
    pub cycles: usize,
    /// The largest cycle's height, radians.
    pub size_rad: f32,
}

/// What counts as a nod.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodOptions {
    /// How far the head must go down and up, radians: 0.03 is 1.7 degrees.
    pub least_rad: f32,
    /// Shortest and longest cycle, seconds.
    pub cycle_s: (f64, f64),
    /// Cycles at most this far apart are one gesture, seconds.
    pub join_s: f64,
}

impl Default for NodOptions {
    fn default() -> Self {
        Self { least_rad: 0.03, cycle_s: (0.2, 1.2), join_s: 0.4 }
    }
}

/// The nods in a curve of head pitch: radians, positive down.
///
/// # Errors
/// [`Error::Motion`](crate::Error::Motion) for NaN and infinity, [`Error::Argument`](crate::Error::Argument) for a bad
/// frame rate or options.
pub fn find_nods(pitch: &[f32], fps: f64, options: &NodOptions) -> Result<Vec<Nod>> {
    check_fps(fps)?;
    check_finite(pitch, "head pitch")?;
    check_setting(options.least_rad > 0.0, "least_rad", "a positive angle", options.least_rad)?;
    let (shortest, longest) = options.cycle_s;
    check_setting(
        0.0 < shortest && shortest < longest && longest <= 10.0,
        "cycle_s",
        "0 < shortest < longest <= 10",
        longest,
    )?;
    let curve = smooth(pitch);
    let reach = frames_of(longest / 2.0, fps);
    let peaks = turning_peaks(&curve, options.least_rad);
    let mut nods: Vec<Nod> = Vec::new();
    for (index, &peak) in peaks.iter().enumerate() {
        let first =
            index.checked_sub(1).map_or(0, |before| peaks[before] + 1).max(peak.saturating_sub(reach));
        let last = peaks.get(index + 1).map_or(curve.len(), |next| *next).min(peak + reach + 1);
        let least = |range: &[f32]| range.iter().copied().fold(curve[peak], f32::min);
        let (left, right) = (least(&curve[first..=peak]), least(&curve[peak..last]));
        let size = curve[peak] - left.max(right);
        let low = |value: f32, valley: f32| value <= valley + 0.1 * (curve[peak] - valley);
        let start = (first..peak).rev().find(|&frame| low(curve[frame], left));
        let end = (peak..last).find(|&frame| low(curve[frame], right));
        let (Some(start), Some(end)) = (start, end) else { continue };
        let (start_s, end_s) = (start as f64 / fps, end as f64 / fps);
        if size < options.least_rad || !(shortest..=longest).contains(&(end_s - start_s)) {
            continue;
        }
        match nods.last_mut() {
            Some(nod) if start_s - nod.end_s <= options.join_s => {
                nod.cycles += 1;
                nod.end_s = end_s;
                nod.size_rad = nod.size_rad.max(size);
            }
            _ => nods.push(Nod { start_s, end_s, cycles: 1, size_rad: size }),
        }
    }
    Ok(nods)
}

/// Peaks between which the curve falls and rises by at least `least`.
fn turning_peaks(curve: &[f32], least: f32) -> Vec<usize> {
    let (mut peaks, mut extreme, mut rising) = (Vec::new(), 0, true);
    for frame in 0..curve.len() {
        let ahead = curve[frame] - curve[extreme];
        let further = if rising { ahead } else { -ahead };
        if further > 0.0 {
            extreme = frame;
        } else if -further >= least {
            if rising {
                peaks.push(extreme);
            }
            (extreme, rising) = (frame, !rising);
        }
    }
    peaks
}

/// A rise of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rise {
    /// Where the curve starts to go up, seconds.
    pub start_s: f64,
    /// Where it has gone up by the least height, seconds.
    pub reached_s: f64,
}

/// What counts as a rise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RiseOptions {
    /// Least height, in the curve's unit: 0.12 of a full expression.
    pub least: f32,
    /// Longest time for it, seconds.
    pub within_s: f64,
}

impl Default for RiseOptions {
    fn default() -> Self {
        Self { least: 0.12, within_s: 0.6 }
    }
}

/// The rises of a curve such as raised brows or a smile.
///
/// # Errors
/// As [`find_nods`].
pub fn find_rises(curve: &[f32], fps: f64, options: &RiseOptions) -> Result<Vec<Rise>> {
    check_fps(fps)?;
    check_finite(curve, "curve")?;
    check_setting(options.least > 0.0, "least", "a positive height", options.least)?;
    check_setting(options.within_s > 0.0, "within_s", "a positive time", options.within_s)?;
    let curve = smooth(curve);
    let reach = frames_of(options.within_s, fps);
    let (mut rises, mut top): (Vec<Rise>, Option<f32>) = (Vec::new(), None);
    for frame in 0..curve.len() {
        if let Some(highest) = &mut top {
            *highest = highest.max(curve[frame]);
            if *highest - curve[frame] < 0.5 * options.least {
                continue;
            }
            top = None;
        }
        // The last of the lowest frames: where the curve leaves the ground.
        let window = frame.saturating_sub(reach)..=frame;
        let start =
            window.rev().reduce(|low, at| if curve[at] < curve[low] { at } else { low }).unwrap_or(frame);
        if curve[frame] - curve[start] >= options.least {
            let seconds = |frame: usize| frame as f64 / fps;
            rises.push(Rise { start_s: seconds(start), reached_s: seconds(frame) });
            top = Some(curve[frame]);
        }
    }
    Ok(rises)
}

/// Weights 1 2 1 over neighbours; the ends lean on themselves.
fn smooth(curve: &[f32]) -> Vec<f32> {
    let at = |index: usize| curve[index.min(curve.len() - 1)];
    (0..curve.len())
        .map(|index| 0.25 * (at(index.saturating_sub(1)) + at(index + 1)) + 0.5 * curve[index])
        .collect()
}
