//! Where a voice invites its listener to answer with a nod, a smile or an "mm-hm".
//!
//! Two kinds of cue, after Ward & Tsukahara 2000 (*Prosodic features which cue back-channel responses in English and
//! Japanese*, J. Pragmatics 32) and Gravano & Hirschberg 2011 (final rises and falls):
//!
//! * a **low pitch region**: pitch below the 26th percentile of this voice so far, for 110 ms, after at least 700 ms
//!   of speech; the cue is at its end;
//! * a **pause**: 200 ms of silence after at least 700 ms of speech; the cue is where speech ended. Its contour is the
//!   slope of the pitch over the last 300 ms of speech: a fall or a rise by 1.5 semitones or more, level, or unknown
//!   where there are fewer than five voiced steps (whisper, creak).
//!
//! At most one cue in 800 ms: a low pitch region shortly after another cue is dropped, and a pause takes the place of
//! a low pitch region shortly before it, because that is the one that is answered. The detector hears the past only: a
//! cue is known at [`Cue::known_s`], and final 800 ms later. A voice needs a second of voiced speech before its pitch
//! counts as low.
//!
//! ```
//! use unils::metrics::{cues::find_cues, voice::Voice};
//! let silence = Voice::analyse(&vec![0.0; 16_000])?;
//! assert!(find_cues(&silence).is_empty());
//! # Ok::<(), unils::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::voice::{HOPS_PER_SECOND, Voice};

/// Steps of speech before a cue: 700 ms.
const LEAST_SPEECH: usize = 70;
/// Steps of silence that make a pause: 200 ms.
const PAUSE: usize = 20;
/// Steps of low pitch that make a region: 110 ms.
const LOW_REGION: usize = 11;
/// Share of the voice's pitch that is low.
const LOW_SHARE: f64 = 0.26;
/// Steps between cues: 800 ms.
const REFRACTORY: usize = 80;
/// Voiced steps before the voice's pitch is known: 1 s.
const LEARNING: usize = 100;
/// Steps of speech that a final contour is taken from: 300 ms.
const CONTOUR: usize = 30;
/// Voiced steps that a contour needs.
const LEAST_VOICED: usize = 5;
/// Semitones that make a rise or a fall.
const CONTOUR_SEMITONES: f64 = 1.5;

/// What the pitch does at the end of speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contour {
    /// Falls by 1.5 semitones or more.
    Fall,
    /// Rises by 1.5 semitones or more.
    Rise,
    /// Does neither.
    Level,
    /// Too little voice to tell.
    Unknown,
}

/// What invites an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CueKind {
    /// A region of low pitch within speech.
    LowPitch,
    /// The end of a stretch of speech.
    Pause(Contour),
}

/// One invitation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cue {
    /// When, in seconds: the region's end or the end of speech. Answers are counted from here.
    pub time_s: f64,
    /// When a listener can know, in seconds.
    pub known_s: f64,
    /// What it is.
    pub kind: CueKind,
}

/// The times of cues, for [`responsiveness`](super::responsiveness).
pub fn times(cues: &[Cue]) -> Vec<f64> {
    cues.iter().map(|cue| cue.time_s).collect()
}

/// All cues of a voice, in order.
pub fn find_cues(voice: &Voice) -> Vec<Cue> {
    let mut listener = Listener::default();
    for (hop, (&speech, &pitch)) in voice.speech.iter().zip(&voice.pitch_hz).enumerate() {
        listener.hear(hop, speech, pitch, voice);
    }
    listener.cues
}

#[derive(Default)]
struct Listener {
    cues: Vec<Cue>,
    range: PitchRange,
    /// First and past the last step of the stretch of speech that goes on or has just ended.
    spurt: Option<(usize, usize)>,
    low: usize,
}

impl Listener {
    fn hear(&mut self, hop: usize, speech: bool, pitch: f32, voice: &Voice) {
        if speech {
            let start = self.spurt.map_or(hop, |(start, _)| start);
            self.spurt = Some((start, hop + 1));
        }
        let low_before = self.range.low();
        if pitch > 0.0 {
            self.range.push(pitch);
        }
        self.low = if pitch > 0.0 && low_before.is_some_and(|low| pitch < low) { self.low + 1 } else { 0 };
        let Some((start, end)) = self.spurt else { return };
        let long_enough = end - start >= LEAST_SPEECH;
        if self.low == LOW_REGION && long_enough {
            self.add(hop + 1, hop + 1, CueKind::LowPitch);
        }
        if !speech && hop + 1 - end >= PAUSE {
            if long_enough {
                self.add(
                    end,
                    hop + 1,
                    CueKind::Pause(contour(&voice.pitch_hz[start.max(end.saturating_sub(CONTOUR))..end])),
                );
            }
            self.spurt = None;
        }
    }

    fn add(&mut self, time: usize, known: usize, kind: CueKind) {
        let seconds = |hop: usize| hop as f64 / HOPS_PER_SECOND;
        let cue = Cue { time_s: seconds(time), known_s: seconds(known), kind };
        match self.cues.last_mut() {
            Some(last) if cue.time_s - last.time_s < seconds(REFRACTORY) => {
                if last.kind == CueKind::LowPitch && kind != CueKind::LowPitch {
                    *last = cue;
                }
            }
            _ => self.cues.push(cue),
        }
    }
}

/// Slope of the pitch by least squares, as semitones from the stretch's start to its end.
fn contour(pitch_hz: &[f32]) -> Contour {
    let voiced = pitch_hz.iter().enumerate().filter(|(_, pitch)| **pitch > 0.0);
    let points: Vec<(f64, f64)> =
        voiced.map(|(step, &pitch)| (step as f64, 12.0 * f64::from(pitch).log2())).collect();
    if points.len() < LEAST_VOICED {
        return Contour::Unknown;
    }
    let count = points.len() as f64;
    let (x, y) =
        (points.iter().map(|p| p.0).sum::<f64>() / count, points.iter().map(|p| p.1).sum::<f64>() / count);
    let (mut xx, mut xy) = (0.0, 0.0);
    for point in &points {
        xx += (point.0 - x) * (point.0 - x);
        xy += (point.0 - x) * (point.1 - y);
    }
    let span = points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
    match xy / xx * span {
        change if change >= CONTOUR_SEMITONES => Contour::Rise,
        change if change <= -CONTOUR_SEMITONES => Contour::Fall,
        _ => Contour::Level,
    }
}

/// How often each pitch came, in quarters of a semitone from 50 Hz: percentiles without keeping the voice.
#[derive(Default)]
struct PitchRange {
    counts: Vec<usize>,
    total: usize,
}

const PITCH_BASE_HZ: f64 = 50.0;
const BINS_PER_OCTAVE: f64 = 48.0;
const BINS: usize = 160;

impl PitchRange {
    fn push(&mut self, pitch: f32) {
        self.counts.resize(BINS, 0);
        let bin = (BINS_PER_OCTAVE * (f64::from(pitch) / PITCH_BASE_HZ).log2()).max(0.0) as usize;
        self.counts[bin.min(BINS - 1)] += 1;
        self.total += 1;
    }

    /// The pitch below which the low share lies, Hz; none while the voice is not known.
    fn low(&self) -> Option<f32> {
        if self.total < LEARNING {
            return None;
        }
        let (mut below, wanted) = (0.0, LOW_SHARE * self.total as f64);
        let bin = self.counts.iter().position(|&count| {
            below += count as f64;
            below >= wanted
        })?;
        Some((PITCH_BASE_HZ * 2.0_f64.powf(bin as f64 / BINS_PER_OCTAVE)) as f32)
    }
}
