//! Is the face alive? Blinks, head motion, jitter, frozen stretches, and seams between windows.
//!
//! None of this compares with a true recording frame by frame: it is measured on generated and on true motion alike,
//! and the two numbers are set beside each other.
//!
//! * *Blinks*: peaks of the lids' closure (0 open, 1 shut) of at least 0.5 that stand out by at least 0.3 from the lids
//!   before and after, up to 0.5 s long at half of that height. Longer ones are closed eyes.
//! * *Head spread*: root of the mean variance of the head's three angles (rad).
//! * *Fast power*: the share of the power of the head's velocity above 3.5 Hz, all three angles together: jitter. By
//!   Welch's method (Hann windows of 4 s, half overlapping, mean taken out).
//! * *Frozen*: the share of 5 s stretches (one every second) in which no channel's standard deviation reaches
//!   0.002 rad or 0.01 of a coefficient; lids and gaze do not count, so a face that only blinks is frozen.
//! * *Still*: the share of frames in which no such channel changes faster than 0.02 rad or 0.1 a second.
//! * *Seam*: acceleration (second differences) at the borders of the windows that a model makes, over that inside;
//!   1 if borders cannot be told.
//!
//! ```
//! use unils::metrics::liveliness::{SeamMeasure, seam};
//! // Windows of 4 frames that start 0.2 higher than the last one ended.
//! let motion: Vec<f32> = (0..80).map(|t| 0.2 * (t / 4) as f32 + 0.01 * ((t * t) % 7) as f32).collect();
//! let score = seam(&motion, 1, 4, 0, SeamMeasure::Acceleration)?.unwrap();
//! assert!(score > 4.0);
//! # Ok::<(), unils::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::signal::{Moments, check_finite, check_fps, check_length, check_rows, check_setting, frames_of};
use crate::Result;
use crate::motion::{Group, Motion, Space, Unit};

/// A blink.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Blink {
    /// When the lids are closed furthest, seconds.
    pub time_s: f64,
    /// Length at half of its height, seconds.
    pub duration_s: f64,
    /// Closure at the peak: 1 shut.
    pub peak: f32,
}

/// What counts as a blink.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlinkOptions {
    /// Least closure at the peak.
    pub least_peak: f32,
    /// Least height of the peak above the lids before and after.
    pub least_height: f32,
    /// Longest duration at half height, seconds.
    pub longest_s: f64,
    /// Closure from which a blink closes the eye fully.
    pub full: f32,
}

impl Default for BlinkOptions {
    fn default() -> Self {
        Self { least_peak: 0.5, least_height: 0.3, longest_s: 0.5, full: 0.8 }
    }
}

/// The blinks of a recording in short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct BlinkSummary {
    /// Number of blinks.
    pub count: u64,
    /// Blinks a minute.
    pub per_minute: f64,
    /// Mean duration at half height, seconds; none without blinks.
    pub duration_s: Option<f64>,
    /// Mean closure at the peak; none without blinks.
    pub peak: Option<f64>,
    /// Share that closes the eye fully; none without blinks.
    pub full_share: Option<f64>,
}

/// The blinks in a curve of lid closure (0 open, 1 shut), in order.
///
/// # Errors
/// [`Error::Motion`](crate::Error::Motion) for NaN and infinity, [`Error::Argument`](crate::Error::Argument) for a bad
/// frame rate or options.
pub fn find_blinks(closure: &[f32], fps: f64, options: &BlinkOptions) -> Result<Vec<Blink>> {
    check_fps(fps)?;
    check_finite(closure, "lid closure")?;
    check_setting(options.least_height > 0.0, "least_height", "a positive height", options.least_height)?;
    check_setting(options.longest_s > 0.0, "longest_s", "a positive time", options.longest_s)?;
    let reach = frames_of(options.longest_s, fps) + 1;
    let (mut blinks, mut from) = (Vec::new(), 0);
    while from < closure.len() {
        let peak = from;
        from += 1;
        let value = closure[peak];
        let (left, right) = (peak.saturating_sub(reach), (peak + reach).min(closure.len() - 1));
        // The first of the highest frames within reach stands for the blink.
        let highest = closure[left..peak].iter().all(|&x| x < value)
            && closure[peak..=right].iter().all(|&x| x <= value);
        if value < options.least_peak || !highest {
            continue;
        }
        let least = |range: &[f32]| range.iter().copied().fold(value, f32::min);
        let height = value - least(&closure[left..=peak]).max(least(&closure[peak..=right]));
        if height < options.least_height {
            continue;
        }
        let half = value - 0.5 * height;
        let (Some(start), Some(end)) =
            (crossing(closure, peak, half, false), crossing(closure, peak, half, true))
        else {
            continue;
        };
        let duration_s = (end - start) / fps;
        if duration_s <= options.longest_s {
            blinks.push(Blink { time_s: 0.5 * (start + end) / fps, duration_s, peak: value });
            from = end.ceil() as usize;
        }
    }
    Ok(blinks)
}

/// Where the curve falls below a level on one side of a peak, in frames with a fraction.
fn crossing(curve: &[f32], peak: usize, level: f32, forward: bool) -> Option<f64> {
    let mut above = peak;
    loop {
        let next = if forward { above + 1 } else { above.checked_sub(1)? };
        let value = *curve.get(next)?;
        if value < level {
            let share = f64::from((curve[above] - level) / (curve[above] - value));
            return Some(above as f64 + if forward { share } else { -share });
        }
        above = next;
    }
}

/// Rate, length and depth of blinks in a recording of `frames` frames.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for no frames or a bad frame rate.
pub fn summarise_blinks(
    blinks: &[Blink],
    frames: usize,
    fps: f64,
    options: &BlinkOptions,
) -> Result<BlinkSummary> {
    check_fps(fps)?;
    check_setting(frames > 0, "frames", "1 or more", frames)?;
    let mean = |value: fn(&Blink) -> f64| Moments::of(blinks.iter().map(value)).mean();
    let full = blinks.iter().map(|blink| f64::from(u8::from(blink.peak >= options.full)));
    Ok(BlinkSummary {
        count: blinks.len() as u64,
        per_minute: 60.0 * blinks.len() as f64 * fps / frames as f64,
        duration_s: mean(|blink| blink.duration_s),
        peak: mean(|blink| f64::from(blink.peak)),
        full_share: Moments::of(full).mean(),
    })
}

/// Root of the mean variance of several curves of one length, in their unit: the head's spread for its three angles.
/// None below two frames.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for different lengths, [`Error::Motion`](crate::Error::Motion) for NaN and
/// infinity.
pub fn spread(curves: &[&[f32]]) -> Result<Option<f64>> {
    check_curves(curves)?;
    let variance = |curve: &&[f32]| {
        Moments::of(curve.iter().map(|&x| f64::from(x))).deviation().map(|deviation| deviation * deviation)
    };
    let variances: Option<Vec<f64>> = curves.iter().map(variance).collect();
    Ok(variances.and_then(|variances| Moments::of(variances).mean()).map(f64::sqrt))
}

/// The frequency above which head motion is jitter, Hz.
pub const FAST_HZ: f64 = 3.5;

/// Seconds of a window of Welch's method.
const WELCH_S: f64 = 4.0;

/// Share of the curves' velocity power above `limit_hz`, together; none if they do not move or are shorter than a
/// window of 4 s.
///
/// # Errors
/// As [`spread`], and [`Error::Argument`](crate::Error::Argument) for a bad frame rate or a limit beyond half of it.
pub fn fast_power_share(curves: &[&[f32]], fps: f64, limit_hz: f64) -> Result<Option<f64>> {
    check_fps(fps)?;
    check_setting(
        0.0 < limit_hz && limit_hz < fps / 2.0,
        "limit_hz",
        "between 0 and half the frame rate",
        limit_hz,
    )?;
    check_curves(curves)?;
    let window = frames_of(WELCH_S, fps);
    let hann: Vec<f64> = (0..window)
        .map(|t| 0.5 - 0.5 * (std::f64::consts::TAU * (t as f64 + 0.5) / window as f64).cos())
        .collect();
    let (mut fast, mut all) = (0.0, 0.0);
    for curve in curves {
        let velocity: Vec<f64> =
            curve.windows(2).map(|pair| f64::from(pair[1]) - f64::from(pair[0])).collect();
        for segment in velocity.windows(window).step_by(window / 2) {
            let mean = segment.iter().sum::<f64>() / window as f64;
            let tapered: Vec<f64> = segment.iter().zip(&hann).map(|(v, w)| (v - mean) * w).collect();
            for bin in 1..=window / 2 {
                let (mut re, mut im) = (0.0, 0.0);
                for (t, value) in tapered.iter().enumerate() {
                    let angle = std::f64::consts::TAU * ((bin * t) % window) as f64 / window as f64;
                    re += value * angle.cos();
                    im -= value * angle.sin();
                }
                // Every bin but half the frame rate's stands for itself and its mirror.
                let power = (re * re + im * im) * if 2 * bin == window { 1.0 } else { 2.0 };
                all += power;
                fast += if bin as f64 * fps / window as f64 > limit_hz { power } else { 0.0 };
            }
        }
    }
    Ok((all > 0.0).then(|| fast / all))
}

fn check_curves(curves: &[&[f32]]) -> Result<()> {
    for curve in curves {
        check_length(curve.len(), curves[0].len(), "curves", "frames in all")?;
        check_finite(curve, "curve")?;
    }
    Ok(())
}

/// What counts as frozen and still.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StillnessOptions {
    /// Length of a stretch, seconds.
    pub stretch_s: f64,
    /// Time between the starts of stretches, seconds.
    pub step_s: f64,
    /// Standard deviation within a stretch below which an angle is frozen, radians.
    pub frozen_rad: f64,
    /// The same for coefficients.
    pub frozen_coefficient: f64,
    /// Speed below which an angle is still, radians a second.
    pub still_rad_s: f64,
    /// The same for coefficients, per second.
    pub still_coefficient_s: f64,
}

impl Default for StillnessOptions {
    fn default() -> Self {
        Self {
            stretch_s: 5.0,
            step_s: 1.0,
            frozen_rad: 0.002,
            frozen_coefficient: 0.01,
            still_rad_s: 0.02,
            still_coefficient_s: 0.1,
        }
    }
}

/// How much of a recording does not move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stillness {
    /// Share of stretches in which nothing moves; none if the recording is shorter than a stretch.
    pub frozen_share: Option<f64>,
    /// Share of frames that are still; none below two frames.
    pub still_share: Option<f64>,
}

/// Frozen stretches and still frames of one participant's motion, (frames, channels) of `space`.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for parts of a frame, a bad frame rate or options,
/// [`Error::Motion`](crate::Error::Motion) for NaN and infinity.
pub fn stillness(motion: &[f32], space: Space, fps: f64, options: &StillnessOptions) -> Result<Stillness> {
    check_fps(fps)?;
    let width = space.width();
    let frames = check_rows(motion, width, "motion")?;
    check_finite(motion, "motion")?;
    check_setting(options.stretch_s > 0.0, "stretch_s", "a positive time", options.stretch_s)?;
    check_setting(options.step_s > 0.0, "step_s", "a positive time", options.step_s)?;
    let (stretch, step) = (frames_of(options.stretch_s, fps), frames_of(options.step_s, fps));
    let counted: Vec<(usize, Unit)> = space
        .channels()
        .iter()
        .enumerate()
        .filter(|(_, channel)| !matches!(channel.group, Group::Lids | Group::Eyes))
        .map(|(index, channel)| (index, channel.unit))
        .collect();
    let pick = |unit, angle, coefficient| if unit == Unit::Radian { angle } else { coefficient };
    let frozen = |start: usize| {
        counted.iter().all(|&(channel, unit)| {
            let column = motion[start * width..(start + stretch) * width].iter().skip(channel).step_by(width);
            let deviation = Moments::of(column.map(|&x| f64::from(x))).deviation().unwrap_or(0.0);
            deviation < pick(unit, options.frozen_rad, options.frozen_coefficient)
        })
    };
    let still = |frame: usize| {
        let [now, next] = [frame, frame + 1].map(|frame| &motion[frame * width..(frame + 1) * width]);
        counted.iter().all(|&(channel, unit)| {
            let speed = (f64::from(next[channel]) - f64::from(now[channel])).abs() * fps;
            speed < pick(unit, options.still_rad_s, options.still_coefficient_s)
        })
    };
    let share = |flags: &mut dyn Iterator<Item = bool>| {
        Moments::of(flags.map(|flag| f64::from(u8::from(flag)))).mean()
    };
    let starts = (0..frames).step_by(step).take_while(|start| start + stretch <= frames);
    Ok(Stillness {
        frozen_share: share(&mut starts.map(frozen)),
        still_share: share(&mut (0..frames - 1).map(still)),
    })
}

/// What is compared at borders and inside windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeamMeasure {
    /// First differences: for windows of 2 frames or more.
    Velocity,
    /// Second differences: for windows of 3 frames or more.
    Acceleration,
}

/// Root mean square of the differences that span a border of the windows, over that of those inside.
///
/// `motion` is (frames, width); windows have `window` frames, the first border lies before frame `first`
/// (0: the recording starts with a window). Each channel is divided by its own root mean square first, so that angles
/// and coefficients count alike; channels that do not move are left out. None if nothing moves inside, or without
/// borders.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for parts of a frame or windows too short for the measure,
/// [`Error::Motion`](crate::Error::Motion) for NaN and infinity.
pub fn seam(
    motion: &[f32],
    width: usize,
    window: usize,
    first: usize,
    measure: SeamMeasure,
) -> Result<Option<f64>> {
    let frames = check_rows(motion, width, "motion")?;
    check_finite(motion, "motion")?;
    let taps = match measure {
        SeamMeasure::Velocity => 2,
        SeamMeasure::Acceleration => 3,
    };
    check_setting(window >= taps, "window", &format!("{taps} frames or more for {measure:?}"), window)?;
    let at = |frame: usize, channel: usize| f64::from(motion[frame * width + channel]);
    let difference = |frame: usize, channel: usize| match measure {
        SeamMeasure::Velocity => at(frame + 1, channel) - at(frame, channel),
        SeamMeasure::Acceleration => {
            at(frame + 2, channel) - 2.0 * at(frame + 1, channel) + at(frame, channel)
        }
    };
    let count = (frames + 1).saturating_sub(taps);
    // A border lies before every frame whose distance from `first` is a whole number of windows.
    let at_border = |frame: usize| (frame + 1..frame + taps).any(|next| next % window == first % window);
    let (mut border, mut inside) = (Moments::default(), Moments::default());
    for channel in 0..width {
        let square = |frame: usize| difference(frame, channel).powi(2);
        let Some(mean) = Moments::of((0..count).map(square)).mean().filter(|&mean| mean > 1e-16) else {
            continue;
        };
        for frame in 0..count {
            let side = if at_border(frame) { &mut border } else { &mut inside };
            side.push(square(frame) / mean);
        }
    }
    Ok(border
        .mean()
        .zip(inside.mean().filter(|&mean| mean > 0.0))
        .map(|(border, inside)| (border / inside).sqrt()))
}

/// The usual measures of one participant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Liveliness {
    /// Blinks; none where there is no curve of the lids.
    pub blinks: Option<BlinkSummary>,
    /// Root of the mean variance of the head's angles, radians.
    pub head_spread_rad: Option<f64>,
    /// Share of the head's velocity power above 3.5 Hz.
    pub head_fast_share: Option<f64>,
    /// Frozen stretches and still frames.
    pub stillness: Stillness,
    /// Seam of acceleration (of velocity for windows of 2 frames); none without a window length.
    pub seam: Option<f64>,
}

impl Liveliness {
    /// The scores by name, for a [`Report`](super::report::Report).
    pub fn entries(&self) -> [(&'static str, Option<f64>); 9] {
        [
            ("blinks/min", self.blinks.map(|blinks| blinks.per_minute)),
            ("blink length, s", self.blinks.and_then(|blinks| blinks.duration_s)),
            ("blink peak", self.blinks.and_then(|blinks| blinks.peak)),
            ("blinks shut", self.blinks.and_then(|blinks| blinks.full_share)),
            ("head spread, rad", self.head_spread_rad),
            ("head power > 3.5 Hz", self.head_fast_share),
            ("frozen 5 s stretches", self.stillness.frozen_share),
            ("still frames", self.stillness.still_share),
            ("seam", self.seam),
        ]
    }
}

/// All of it for one participant of a clip, whose curves are given; `window` is the model's window in frames, if its
/// seams are to be scored: by acceleration, windows of 2 frames by velocity.
///
/// # Errors
/// As the single measures, and [`Error::Argument`](crate::Error::Argument) for curves of another length or no such
/// participant.
pub fn liveliness(
    motion: &Motion,
    participant: usize,
    curves: &super::curves::Curves,
    window: Option<usize>,
) -> Result<Liveliness> {
    let (space, fps, frames) = (motion.space(), motion.fps(), motion.frames());
    check_setting(participant < motion.participants(), "participant", "one of the clip's", participant)?;
    check_length(curves.frames(), frames, "curves", "frames, as in the motion")?;
    let values = motion.participant(participant).unwrap_or(&[]);
    let head: [&[f32]; 3] = [&curves.head_yaw, &curves.head_pitch, &curves.head_roll];
    let options = BlinkOptions::default();
    let blinks = if curves.blink.is_empty() {
        None
    } else {
        Some(summarise_blinks(&find_blinks(&curves.blink, fps, &options)?, frames, fps, &options)?)
    };
    let seam = match window {
        None => None,
        Some(window) => {
            let measure = if window < 3 { SeamMeasure::Velocity } else { SeamMeasure::Acceleration };
            seam(values, space.width(), window, 0, measure)?
        }
    };
    Ok(Liveliness {
        blinks,
        head_spread_rad: spread(&head)?,
        head_fast_share: fast_power_share(&head, fps, FAST_HZ)?,
        stillness: stillness(values, space, fps, &StillnessOptions::default())?,
        seam,
    })
}
