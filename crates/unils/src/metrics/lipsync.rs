//! Do the lips go with the voice?
//!
//! All on one number a frame: the mouth's opening ([`Curves::mouth_opening`](super::curves::Curves)) against the
//! voice's loudness ([`Voice::loudness_frames`](super::voice::Voice::loudness_frames)) or a reference opening.
//!
//! * *Correlation*: Pearson, over the whole recording and over the frames with speech alone. The first is easy (a
//!   mouth that opens whenever there is sound has it), the second is lip sync.
//! * *Offset*: the shift with the highest correlation, up to 10 frames to both sides, refined by a parabola; positive
//!   where the mouth is late. People open the mouth 1 to 3 frames before the sound.
//! * *Closure recall*: the share of p, b and m during which the lips close: somewhere within the phoneme (and one frame
//!   around it) the opening is at most 15 % of the 95th percentile while speaking, or an absolute limit.
//! * *Spread*: standard deviation of the opening in speech: a mouth may follow every sound and still open too wide.
//! * *Stillness in silence*: mean opening in silence over that in speech, and the same for the standard deviation;
//!   frames within 200 ms of speech are neither.
//!
//! ```
//! use unils::metrics::lipsync::best_offset;
//! let voice: Vec<f32> = (0..200).map(|t| (t as f32 * 0.37).sin() + (t as f32 * 0.11).cos()).collect();
//! let mut late = vec![0.0; 2]; // the mouth follows two frames later
//! late.extend_from_slice(&voice[..198]);
//! let best = best_offset(&late, &voice, 10)?.unwrap();
//! assert!((best.frames - 2.0).abs() < 0.1 && best.correlation > 0.99);
//! # Ok::<(), unils::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::signal::{Moments, check_finite, check_fps, check_length, check_setting, pearson, quantile, runs};
use crate::{Error, Result};

/// The shift at which two curves agree best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Offset {
    /// Frames by which the mouth is late; negative where it is early.
    pub frames: f64,
    /// The correlation at the best whole shift.
    pub correlation: f64,
    /// Whether the best shift is the largest looked at: the true one may be beyond.
    pub at_edge: bool,
}

/// The best shift of `mouth` against `reference`, up to `reach` frames to both sides; none if a curve does not vary.
///
/// # Errors
/// [`Error::Argument`] for curves of different lengths or shorter than four times the reach, [`Error::Motion`] for NaN
/// and infinity.
pub fn best_offset(mouth: &[f32], reference: &[f32], reach: usize) -> Result<Option<Offset>> {
    check_pair(mouth, reference)?;
    check_setting(
        reach <= 1000 && mouth.len() >= 4 * reach.max(1),
        "curves",
        "at least four times the reach",
        mouth.len(),
    )?;
    let at = |shift: isize| {
        let (late, early) = (shift.max(0) as usize, (-shift).max(0) as usize);
        let overlap = mouth.len() - late.max(early);
        let pairs = mouth[late..late + overlap].iter().zip(&reference[early..early + overlap]);
        pearson(pairs.map(|(&a, &b)| (f64::from(a), f64::from(b))))
    };
    let reach = reach as isize;
    let Some(correlations) = (-reach..=reach).map(at).collect::<Option<Vec<f64>>>() else { return Ok(None) };
    // Of equals the one nearest to zero.
    let order = |&a: &usize, &b: &usize| {
        let far = |index: usize| (index as isize - reach).abs();
        correlations[a].total_cmp(&correlations[b]).then(far(b).cmp(&far(a)))
    };
    let Some(best) = (0..correlations.len()).max_by(order) else { return Ok(None) };
    let at_edge = best == 0 || best + 1 == correlations.len();
    let mut frames = best as f64 - reach as f64;
    if !at_edge {
        let [before, at, after] = [correlations[best - 1], correlations[best], correlations[best + 1]];
        let curvature = before - 2.0 * at + after;
        if curvature < 0.0 {
            frames += 0.5 * (before - after) / curvature;
        }
    }
    Ok(Some(Offset { frames, correlation: correlations[best], at_edge }))
}

/// The correlation of two curves over the frames that `include` names (all without it); none if one does not vary.
///
/// # Errors
/// [`Error::Argument`] for different lengths, [`Error::Motion`] for NaN and infinity.
pub fn correlation(a: &[f32], b: &[f32], include: Option<&[bool]>) -> Result<Option<f64>> {
    check_pair(a, b)?;
    if let Some(include) = include {
        check_length(include.len(), a.len(), "mask", "frames")?;
    }
    let pairs = a.iter().zip(b).enumerate();
    let taken = pairs.filter(|(frame, _)| include.is_none_or(|include| include[*frame]));
    Ok(pearson(taken.map(|(_, (&a, &b))| (f64::from(a), f64::from(b)))))
}

/// When a phoneme is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PhonemeInterval {
    /// First moment, seconds.
    pub start_s: f64,
    /// Last moment, seconds.
    pub end_s: f64,
}

/// How far the lips must close.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedAt {
    /// A share of the 95th percentile of the opening while speaking.
    Share(f64),
    /// An opening in the curve's own unit.
    Opening(f64),
}

impl Default for ClosedAt {
    fn default() -> Self {
        Self::Share(0.15)
    }
}

/// Closures found among those due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ClosureRecall {
    /// Phonemes inside the recording.
    pub due: u64,
    /// Those during which the lips close.
    pub closed: u64,
    /// Share of *all* frames with speech, outside of those phonemes, that are as closed: what chance would find.
    /// None without such frames.
    pub elsewhere: Option<f64>,
}

impl ClosureRecall {
    /// `closed / due`; none if none is due.
    pub fn recall(&self) -> Option<f64> {
        (self.due > 0).then(|| self.closed as f64 / self.due as f64)
    }
}

/// Whether the lips close at p, b and m, whose intervals are given. `margin` frames around each count too (1 is
/// usual: phoneme borders are not that exact).
///
/// # Errors
/// [`Error::Argument`] for another length of the mask, intervals that end before they start, or a bad frame rate;
/// [`Error::Motion`] for NaN and infinity.
pub fn closure_recall(
    opening: &[f32],
    fps: f64,
    speaking: &[bool],
    bilabials: &[PhonemeInterval],
    margin: usize,
    closed_at: ClosedAt,
) -> Result<ClosureRecall> {
    check_fps(fps)?;
    check_finite(opening, "mouth opening")?;
    check_length(speaking.len(), opening.len(), "speech mask", "frames")?;
    let limit = match closed_at {
        ClosedAt::Opening(limit) => limit,
        ClosedAt::Share(share) => {
            let spoken = opening.iter().zip(speaking).filter(|(_, speaking)| **speaking);
            let mut spoken: Vec<f64> = spoken.map(|(&value, _)| f64::from(value)).collect();
            share * quantile(&mut spoken, 0.95).unwrap_or(0.0)
        }
    };
    let closed = |frame: usize| f64::from(opening[frame]) <= limit;
    let mut recall = ClosureRecall::default();
    let mut within = vec![false; opening.len()];
    for phoneme in bilabials {
        let PhonemeInterval { start_s, end_s } = *phoneme;
        if !(start_s.is_finite() && end_s.is_finite() && 0.0 <= start_s && start_s <= end_s) {
            let what = format!("expected 0 <= start <= end, got {start_s} to {end_s} s");
            return Err(Error::argument("phoneme interval", what));
        }
        // A border that lies on a frame's border by rounding does not take the next frame along.
        let first = (start_s * fps + 1e-6).floor() as usize;
        let past = ((end_s * fps - 1e-6).ceil().max(0.0) as usize).max(first + 1).saturating_add(margin);
        if first >= opening.len() {
            continue;
        }
        let first = first.saturating_sub(margin);
        let past = past.min(opening.len());
        within[first..past].fill(true);
        recall.due += 1;
        recall.closed += u64::from((first..past).any(closed));
    }
    let other = (0..opening.len()).filter(|&frame| speaking[frame] && !within[frame]);
    recall.elsewhere = Moments::of(other.map(|frame| f64::from(u8::from(closed(frame))))).mean();
    Ok(recall)
}

/// The mouth while nobody speaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SilentMouth {
    /// Mean opening in speech, in the curve's unit.
    pub speech_opening: f64,
    /// Mean opening in silence over that in speech.
    pub opening_ratio: f64,
    /// Standard deviation of the opening in silence over that in speech.
    pub variation_ratio: f64,
    /// Frames of silence.
    pub silent_frames: u64,
}

/// Compares the mouth in silence and in speech; frames within `margin_s` of speech are left out. None with fewer than
/// two frames of either, or if the mouth does not open in speech.
///
/// # Errors
/// As [`closure_recall`].
pub fn silent_mouth(
    opening: &[f32],
    fps: f64,
    speaking: &[bool],
    margin_s: f64,
) -> Result<Option<SilentMouth>> {
    check_fps(fps)?;
    check_finite(opening, "mouth opening")?;
    check_length(speaking.len(), opening.len(), "speech mask", "frames")?;
    check_setting((0.0..60.0).contains(&margin_s), "margin_s", "0 to 60 s", margin_s)?;
    let margin = (margin_s * fps).round() as usize;
    let mut silent = vec![true; opening.len()];
    for (start, end) in runs(speaking) {
        silent[start.saturating_sub(margin)..(end + margin).min(opening.len())].fill(false);
    }
    let moments = |flags: &[bool]| {
        Moments::of(opening.iter().zip(flags).filter(|(_, flag)| **flag).map(|(&value, _)| f64::from(value)))
    };
    let (speech, silence) = (moments(speaking), moments(&silent));
    let values = speech.mean().zip(silence.mean()).zip(speech.deviation().zip(silence.deviation()));
    Ok(values.filter(|((mean, _), (deviation, _))| *mean > 0.0 && *deviation > 0.0).map(
        |((speech_opening, silent_opening), (speech_deviation, silent_deviation))| SilentMouth {
            speech_opening,
            opening_ratio: silent_opening / speech_opening,
            variation_ratio: silent_deviation / speech_deviation,
            silent_frames: silence.count(),
        },
    ))
}

/// Lip sync of one recording with a voice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LipSync {
    /// Correlation with the loudness, whole recording; none if a curve does not vary.
    pub whole: Option<f64>,
    /// The same over the frames with speech.
    pub speaking: Option<f64>,
    /// Best shift; none if a curve does not vary.
    pub offset: Option<Offset>,
    /// Standard deviation of the opening over the frames with speech, in the curve's unit; none with fewer than two.
    pub spread: Option<f64>,
    /// The mouth in silence; none without silence or speech.
    pub silence: Option<SilentMouth>,
}

impl LipSync {
    /// The scores by name, for a [`Report`](super::report::Report).
    pub fn entries(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("lips r voice", self.whole),
            ("lips r voice, speaking", self.speaking),
            ("lips offset, frames", self.offset.map(|offset| offset.frames)),
            ("lips spread, speaking", self.spread),
            ("lips open in silence", self.silence.map(|silence| silence.opening_ratio)),
            ("lips move in silence", self.silence.map(|silence| silence.variation_ratio)),
        ]
    }
}

/// Frames that an offset is looked for to both sides.
pub const OFFSET_REACH: usize = 10;

/// Seconds around speech that are neither speech nor silence.
pub const SILENCE_MARGIN_S: f64 = 0.2;

/// The usual measures of an opening against a voice's loudness and speech, all one number a frame.
///
/// # Errors
/// [`Error::Argument`] for different lengths or less than 40 frames, [`Error::Motion`] for NaN and infinity.
pub fn lip_sync(opening: &[f32], fps: f64, loudness: &[f32], speaking: &[bool]) -> Result<LipSync> {
    let spoken = opening.iter().zip(speaking).filter(|(_, speaking)| **speaking);
    Ok(LipSync {
        whole: correlation(opening, loudness, None)?,
        speaking: correlation(opening, loudness, Some(speaking))?,
        offset: best_offset(opening, loudness, OFFSET_REACH)?,
        spread: Moments::of(spoken.map(|(&value, _)| f64::from(value))).deviation(),
        silence: silent_mouth(opening, fps, speaking, SILENCE_MARGIN_S)?,
    })
}

fn check_pair(a: &[f32], b: &[f32]) -> Result<()> {
    check_length(b.len(), a.len(), "curves", "frames in both")?;
    check_finite(a, "first curve")?;
    check_finite(b, "second curve")
}
