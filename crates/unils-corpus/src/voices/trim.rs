//! From what a synthesiser gave to speech at 16 kHz that begins and ends with its sounds.

use unils::audio::resample;
use unils::motion::SAMPLE_RATE;
use unils::{Error, Result};

use super::{Raw, Spoken};
use crate::phones::Segment;

/// Silence that is kept before the first and behind the last sound, seconds.
const MARGIN_S: f64 = 0.02;
/// How far before its release a stop's closure is looked for, seconds; half of it after a pause.
const CLOSURE_S: f64 = 0.12;
/// A closure is this far below the loudest sample.
const QUIET: f32 = 0.01;

/// Resizes the vocal tract by playing at another rate, takes the silence off both ends, and gives closures to the stops
/// that they belong to.
pub(super) fn finish(raw: Raw, size: f64) -> Result<Spoken> {
    // Whole fifties keep the resampler's table small.
    let rate = ((f64::from(raw.rate) / size / 50.0).round() * 50.0).clamp(4000.0, 96_000.0);
    let stretch = f64::from(raw.rate) / rate;
    let samples = resample(&raw.samples, rate as u32, SAMPLE_RATE)?;
    let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
    let mut phones: Vec<Segment> = raw
        .phones
        .iter()
        .map(|p| Segment { start_s: p.start_s * stretch, end_s: (p.end_s * stretch).min(seconds), ..*p })
        .filter(|p| p.end_s - p.start_s >= 0.004)
        .collect();
    extend_closures(&mut phones, &samples);
    let (Some(first), Some(last)) = (phones.first(), phones.last()) else {
        return Err(Error::audio("speech synthesis", "no sound was said"));
    };
    let at = |seconds: f64| (seconds.max(0.0) * f64::from(SAMPLE_RATE)) as usize;
    let start = at(first.start_s - MARGIN_S);
    let end = at(last.end_s + MARGIN_S).min(samples.len());
    if end <= start {
        return Err(Error::audio("speech synthesis", "the sounds lie behind the audio's end"));
    }
    let offset = start as f64 / f64::from(SAMPLE_RATE);
    let mut samples = samples[start..end].to_vec();
    fade_ends(&mut samples);
    Ok(Spoken { samples, phones: phones.into_iter().map(|p| p.later(-offset)).collect() })
}

/// A stop that is stamped at its release gets the silence before it: its own closure.
fn extend_closures(phones: &mut [Segment], samples: &[f32]) {
    let limit = QUIET * samples.iter().fold(0.0_f32, |most, sample| most.max(sample.abs()));
    for index in 0..phones.len() {
        if !phones[index].phone.is_stop() {
            continue;
        }
        let before = index.checked_sub(1).map_or(0.0, |before| phones[before].start_s + 0.02);
        let after_pause =
            index.checked_sub(1).is_none_or(|before| phones[index].start_s - phones[before].end_s > 0.03);
        let longest = if after_pause { CLOSURE_S / 2.0 } else { CLOSURE_S };
        let earliest = (phones[index].start_s - longest).max(before).max(0.0);
        let release = phones[index].start_s;
        let quiet = quiet_before(samples, release, limit);
        let start_s = (release - quiet).max(earliest).min(release);
        phones[index].start_s = start_s;
        if let Some(before) = index.checked_sub(1) {
            phones[before].end_s = phones[before].end_s.min(start_s);
        }
    }
}

/// Seconds of silence that end at a time, or at most 10 ms before it: a release may have begun.
fn quiet_before(samples: &[f32], end_s: f64, limit: f32) -> f64 {
    let block = SAMPLE_RATE as usize / 200;
    let end = ((end_s * f64::from(SAMPLE_RATE)) as usize).min(samples.len());
    let is_quiet = |block: &[f32]| {
        block.iter().map(|sample| sample * sample).sum::<f32>() <= limit * limit * block.len() as f32
    };
    let skipped = samples[..end].rchunks_exact(block).take(2).position(is_quiet);
    let Some(skipped) = skipped else { return 0.0 };
    let quiet = samples[..end].rchunks_exact(block).skip(skipped).take_while(|block| is_quiet(block)).count();
    ((skipped + quiet) * block) as f64 / f64::from(SAMPLE_RATE)
}

/// 5 ms at both ends, against clicks.
fn fade_ends(samples: &mut [f32]) {
    let length = (SAMPLE_RATE as usize / 200).min(samples.len() / 2);
    let count = samples.len();
    for at in 0..length {
        let gain = (at as f32 + 0.5) / length as f32;
        samples[at] *= gain;
        samples[count - 1 - at] *= gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::Phone;

    fn segment(phone: Phone, start_s: f64, end_s: f64) -> Segment {
        Segment { phone, start_s, end_s }
    }

    #[test]
    fn silence_goes_and_closures_are_found() {
        // 0.3 s silence, a vowel to 0.5, a closure to 0.58, p and a vowel to 0.8, silence to 1.
        let rate = 22_050;
        let tone = |second: f64| (0.3..0.5).contains(&second) || (0.58..0.8).contains(&second);
        let samples: Vec<f32> = (0..rate)
            .map(|at| {
                if tone(f64::from(at) / f64::from(rate)) { 0.5 * (at as f32 * 0.2).sin() + 0.1 } else { 0.0 }
            })
            .collect();
        let phones =
            vec![segment(Phone::Aa, 0.3, 0.58), segment(Phone::P, 0.58, 0.62), segment(Phone::Aa, 0.62, 0.8)];
        let raw = Raw { samples, rate: rate as u32, phones };
        let spoken = finish(raw.clone(), 1.0).unwrap();
        assert!((spoken.seconds() - 0.54).abs() < 0.005, "{}", spoken.seconds());
        let p = spoken.phones[1];
        assert!((p.start_s - 0.22).abs() < 0.01 && (p.end_s - 0.34).abs() < 0.005, "{p:?}");
        assert!((spoken.phones[0].end_s - p.start_s).abs() < 1e-9);
        // A larger vocal tract takes longer.
        let large = finish(raw, 1.1).unwrap();
        assert!((large.phones[2].seconds() / spoken.phones[2].seconds() - 1.1).abs() < 0.005);
    }

    #[test]
    fn nothing_said_is_an_error() {
        assert!(finish(Raw { samples: vec![0.0; 100], rate: 16_000, phones: vec![] }, 1.0).is_err());
        let late = Raw { samples: vec![0.0; 100], rate: 16_000, phones: vec![segment(Phone::Aa, 1.0, 2.0)] };
        assert!(finish(late, 1.0).is_err());
    }
}
