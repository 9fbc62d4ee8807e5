//! A voice as curves: level, loudness, speech or silence, pitch.
//!
//! Everything is at steps of 10 ms and causal (a step knows the audio up to its end), so that a listener could have
//! heard what is found here; [`Voice::loudness_frames`] and [`Voice::speaking_frames`] sum it up at 25 frames a second.
//!
//! * Level: RMS of the last 25 ms in dB below full scale, at least -80.
//! * Speech: the level (mean power of three steps) is 9 dB above the noise floor and at most 35 dB below the loudest
//!   part so far, which fades by 1 dB a second. The noise floor is the least level of the last 6 s, taken as -60 dB
//!   during the first half second; speech goes on until the level is less than 6 dB above the floor.
//! * Pitch: YIN (de Cheveigné & Kawahara 2002) at 8 kHz, 60 to 400 Hz, threshold 0.25 (for telephone bands), then the median of five steps.

use super::signal::{quantile, runs};
use crate::audio::{MODEL_RATE, resample};
use crate::motion::SAMPLES_PER_FRAME;
use crate::{Error, Result};

/// Samples a step: 10 ms at 16 kHz.
pub const HOP_SAMPLES: usize = 160;
/// Steps a second.
pub const HOPS_PER_SECOND: f64 = 100.0;
/// Steps a motion frame.
const HOPS_PER_FRAME: usize = SAMPLES_PER_FRAME / HOP_SAMPLES;
const _: () = assert!(SAMPLES_PER_FRAME.is_multiple_of(HOP_SAMPLES), "a frame is whole steps");
/// Samples that a level is taken over: 25 ms.
const LEVEL_WINDOW: usize = 400;
/// Level of digital silence, dB below full scale.
const SILENCE_DB: f32 = -80.0;
/// Speech starts this far above the noise floor, dB.
const ONSET_DB: f32 = 9.0;
/// Speech ends this far above it, dB.
const OFFSET_DB: f32 = 6.0;
/// Nothing this far below the loudest part is speech, dB: breath and cross-talk.
const RANGE_DB: f32 = 35.0;
/// How fast the memory of the loudest part fades, dB a step.
const FADE_DB: f32 = 0.01;
/// Steps that the noise floor is the least level of.
const FLOOR_HOPS: usize = 600;
/// The noise floor that is assumed at the start, dB, and for how many steps.
const FLOOR_START: (f32, usize) = (-60.0, 50);
/// No speech below this level, dB.
const LEAST_DB: f32 = -55.0;
/// Loudness 0 is this far below the loud parts (the 95th percentile), dB.
const LOUDNESS_RANGE_DB: f64 = 40.0;

/// What was heard, per step of 10 ms.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    /// Level in dB below full scale.
    pub level_db: Vec<f32>,
    /// Whether there is speech.
    pub speech: Vec<bool>,
    /// Pitch in Hz; 0 without voice.
    pub pitch_hz: Vec<f32>,
    /// Level of each whole or begun motion frame, from its own 640 samples.
    frame_db: Vec<f32>,
}

impl Voice {
    /// Listens to mono audio at 16 kHz, full scale at -1 and 1.
    ///
    /// # Errors
    /// [`Error::Audio`] for no samples, NaN and infinity.
    pub fn analyse(audio: &[f32]) -> Result<Self> {
        if audio.is_empty() {
            return Err(Error::audio("voice", "0 samples: expected a recording"));
        }
        if let Some(index) = audio.iter().position(|sample| !sample.is_finite()) {
            let what = format!("sample {index} is {}: not finite", audio[index]);
            return Err(Error::audio("voice", what).with_hint("convert the recording to plain PCM again"));
        }
        let hops = audio.len().div_ceil(HOP_SAMPLES);
        let level_db: Vec<f32> = (0..hops)
            .map(|hop| {
                let end = ((hop + 1) * HOP_SAMPLES).min(audio.len());
                level(&audio[end.saturating_sub(LEVEL_WINDOW)..end])
            })
            .collect();
        let speech = detect_speech(&level_db);
        let pitch_hz = track_pitch(audio, &speech)?;
        let frame_db = audio.chunks(SAMPLES_PER_FRAME).map(level).collect();
        Ok(Self { level_db, speech, pitch_hz, frame_db })
    }

    /// Length in seconds, to the step.
    pub fn seconds(&self) -> f64 {
        self.level_db.len() as f64 / HOPS_PER_SECOND
    }

    /// Stretches of speech with pauses below `least_pause_s` closed: (first step, past the last).
    pub fn spurts(&self, least_pause_s: f64) -> Vec<(usize, usize)> {
        let mut spurts: Vec<(usize, usize)> = Vec::new();
        for (start, end) in runs(&self.speech) {
            match spurts.last_mut() {
                Some(last) if ((start - last.1) as f64) < least_pause_s * HOPS_PER_SECOND => last.1 = end,
                _ => spurts.push((start, end)),
            }
        }
        spurts
    }

    /// Per motion frame (25 a second), `frames` of them: whether the person speaks, pauses below 200 ms included.
    pub fn speaking_frames(&self, frames: usize) -> Vec<bool> {
        let mut speaking = vec![false; frames];
        for (start, end) in self.spurts(0.2) {
            let (first, last) = (start / HOPS_PER_FRAME, end.div_ceil(HOPS_PER_FRAME).min(frames));
            speaking[first.min(last)..last].fill(true);
        }
        speaking
    }

    /// Per motion frame, `frames` of them: loudness from 0 (silence) to about 1, in steps of equal ratio: the level
    /// of the frame's samples above one 40 dB below the 95th percentile of the frames with speech, divided by 40 dB.
    /// Amplifying a recording does not change it. Frames past the recording's end are silent.
    pub fn loudness_frames(&self, frames: usize) -> Vec<f32> {
        let speaking = self.speaking_frames(self.frame_db.len());
        let loud = self.frame_db.iter().zip(speaking).filter(|(_, speaking)| *speaking);
        let mut loud: Vec<f64> = loud.map(|(&db, _)| f64::from(db)).collect();
        let Some(top) = quantile(&mut loud, 0.95) else { return vec![0.0; frames] };
        let loudness = |frame| {
            let db = self.frame_db.get(frame).copied().unwrap_or(SILENCE_DB);
            (1.0 + (f64::from(db) - top) / LOUDNESS_RANGE_DB).max(0.0) as f32
        };
        (0..frames).map(loudness).collect()
    }

    /// Frames of motion that the recording is long, a begun one included.
    pub fn frames(&self) -> usize {
        self.frame_db.len()
    }
}

/// RMS in dB below full scale.
fn level(samples: &[f32]) -> f32 {
    let power: f64 = samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    ((10.0 * (power / samples.len().max(1) as f64).max(1e-30).log10()) as f32).max(SILENCE_DB)
}

fn detect_speech(level_db: &[f32]) -> Vec<bool> {
    let power = |db: f32| 10.0_f32.powf(db / 10.0);
    let smooth: Vec<f32> = (0..level_db.len())
        .map(|hop| {
            let recent = &level_db[hop.saturating_sub(2)..=hop];
            10.0 * (recent.iter().map(|&db| power(db)).sum::<f32>() / recent.len() as f32).log10()
        })
        .collect();
    // Indices of rising levels: the first is the least of the window.
    let mut least = std::collections::VecDeque::new();
    let (mut loudest, mut speaking) = (SILENCE_DB, false);
    let mut speech = Vec::with_capacity(smooth.len());
    for (hop, &db) in smooth.iter().enumerate() {
        while least.back().is_some_and(|&last: &usize| smooth[last] >= db) {
            least.pop_back();
        }
        least.push_back(hop);
        while least.front().is_some_and(|&first| first + FLOOR_HOPS <= hop) {
            least.pop_front();
        }
        let mut floor = least.front().map_or(db, |&first| smooth[first]);
        if hop < FLOOR_START.1 {
            floor = floor.min(FLOOR_START.0);
        }
        loudest = (loudest - FADE_DB).max(db);
        let above = if speaking { OFFSET_DB } else { ONSET_DB };
        speaking = db > (floor + above).max(loudest - RANGE_DB).max(LEAST_DB);
        speech.push(speaking);
    }
    speech
}

/// Rate that pitch is tracked at.
const PITCH_RATE: u32 = 8000;
/// Samples that differences are summed over: 25 ms.
const PITCH_WINDOW: usize = 200;
/// Periods looked at, in samples: 400 Hz and 60 Hz.
const PERIODS: (usize, usize) = (20, 133);
/// Aperiodicity below which a step has a pitch.
const PITCH_THRESHOLD: f32 = 0.25;
/// Steps that the median is taken of.
const MEDIAN_HOPS: usize = 5;

fn track_pitch(audio: &[f32], speech: &[bool]) -> Result<Vec<f32>> {
    let slow = resample(audio, MODEL_RATE, PITCH_RATE)?;
    let hop_samples = HOP_SAMPLES * PITCH_RATE as usize / MODEL_RATE as usize;
    let raw: Vec<f32> = speech
        .iter()
        .enumerate()
        .map(|(hop, &speech)| {
            let end = ((hop + 1) * hop_samples).min(slow.len());
            let start = end.saturating_sub(PITCH_WINDOW + PERIODS.1 + 1);
            if speech { pitch_of(&slow[start..end]).unwrap_or(0.0) } else { 0.0 }
        })
        .collect();
    let median = |hop: usize| {
        let recent = &raw[(hop + 1).saturating_sub(MEDIAN_HOPS)..=hop];
        let mut voiced: Vec<f32> = recent.iter().copied().filter(|&pitch| pitch > 0.0).collect();
        voiced.sort_by(f32::total_cmp);
        if raw[hop] > 0.0 { voiced[voiced.len() / 2] } else { 0.0 }
    };
    Ok((0..raw.len()).map(median).collect())
}

/// YIN on one window: the first dip of the normalised difference below the threshold, refined by a parabola.
fn pitch_of(window: &[f32]) -> Option<f32> {
    if window.len() < PITCH_WINDOW + PERIODS.1 + 1 {
        return None;
    }
    let mut normalised = [1.0_f32; PERIODS.1 + 2];
    let mut sum = 0.0;
    for period in 1..=PERIODS.1 + 1 {
        let pairs = window[..PITCH_WINDOW].iter().zip(&window[period..]);
        let difference: f32 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
        sum += difference;
        normalised[period] = if sum > 0.0 { difference * period as f32 / sum } else { 1.0 };
    }
    let start = (PERIODS.0..=PERIODS.1).find(|&period| normalised[period] < PITCH_THRESHOLD)?;
    let dip = (start..=PERIODS.1).find(|&period| normalised[period + 1] >= normalised[period])?;
    let [before, at, after] = [normalised[dip - 1], normalised[dip], normalised[dip + 1]];
    let curvature = before - 2.0 * at + after;
    let shift = if curvature > 0.0 { 0.5 * (before - after) / curvature } else { 0.0 };
    Some(PITCH_RATE as f32 / (dip as f32 + shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone with overtones at a pitch that changes from `from` to `to` Hz.
    fn tone(seconds: f64, from: f64, to: f64, amplitude: f64) -> Vec<f32> {
        let count = (seconds * 16_000.0) as usize;
        let mut phase = 0.0_f64;
        (0..count)
            .map(|i| {
                phase += (from + (to - from) * i as f64 / count as f64) / 16_000.0;
                let wave: f64 =
                    (1..6).map(|k| (std::f64::consts::TAU * k as f64 * phase).sin() / k as f64).sum();
                (amplitude * wave) as f32
            })
            .collect()
    }

    #[test]
    fn pitch_of_tones_is_found() {
        for pitch in [70.0, 110.0, 222.5, 390.0] {
            let mut audio = vec![0.0; 16_000];
            audio.extend(tone(0.5, pitch, pitch, 0.1));
            let voice = Voice::analyse(&audio).unwrap();
            for hop in 110..150 {
                let found = f64::from(voice.pitch_hz[hop]);
                assert!((found / pitch - 1.0).abs() < 0.01, "{pitch} Hz, step {hop}: {found}");
            }
            assert!(voice.pitch_hz[..100].iter().all(|&pitch| pitch == 0.0));
        }
    }

    #[test]
    fn speech_is_told_from_noise_of_any_level() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f64::from(state) / f64::from(u32::MAX) - 0.5) * 2.0
        };
        for (noise_db, gain) in [(-90.0, 1.0), (-50.0, 1.0), (-32.0, 1.0), (-50.0, 0.25)] {
            let mut audio = vec![0.0; 3 * 16_000];
            for _ in 0..3 {
                audio.extend(tone(1.0, 150.0, 100.0, 0.1));
                audio.extend(vec![0.0; 16_000]);
            }
            let amplitude = 10.0_f64.powf(noise_db / 20.0) * 3.0_f64.sqrt();
            audio.iter_mut().for_each(|x| *x = ((f64::from(*x) + amplitude * noise()) * gain) as f32);
            let voice = Voice::analyse(&audio).unwrap();
            let spurts = voice.spurts(0.2);
            let late: Vec<_> = spurts.iter().filter(|spurt| spurt.0 >= 250).collect();
            assert_eq!(late.len(), 3, "{noise_db} dB: {spurts:?}");
            for (index, &&(start, end)) in late.iter().enumerate() {
                let truth = 300 + 200 * index;
                assert!(
                    start.abs_diff(truth) <= 3 && end.abs_diff(truth + 100) <= 6,
                    "{noise_db}: {spurts:?}"
                );
            }
        }
    }

    #[test]
    fn loudness_does_not_mind_amplification() {
        let mut audio = vec![0.0; 8000];
        audio.extend(tone(1.0, 150.0, 150.0, 0.1));
        audio.extend(tone(1.0, 150.0, 150.0, 0.03));
        let quiet: Vec<f32> = audio.iter().map(|x| x * 0.125).collect();
        let (a, b) = (Voice::analyse(&audio).unwrap(), Voice::analyse(&quiet).unwrap());
        let (a, b) = (a.loudness_frames(62), b.loudness_frames(62));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4));
        assert_eq!(a[5], 0.0);
        assert!((a[20] - 1.0).abs() < 0.02 && (a[50] - (1.0 - 10.46 / 40.0)).abs() < 0.02, "{a:?}");
    }

    #[test]
    fn bad_audio_is_refused() {
        assert!(Voice::analyse(&[]).is_err());
        let error = Voice::analyse(&[0.0, f32::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "voice: sample 1 is NaN: not finite");
    }
}
