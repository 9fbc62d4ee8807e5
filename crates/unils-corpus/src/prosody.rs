//! What stands out in somebody's speech: how loud each sound is, which syllables are stressed.
//!
//! Synthesisers do not report stress alike, so it is heard, from what makes stress in English and German (Fry 1955;
//! Terken 1991): a vowel that is longer, louder and higher than the speaker's others is prominent. Whatever moves with it
//! can then be learnt from the voice.

use unils::metrics::voice::{HOPS_PER_SECOND, Voice};

use crate::dialogue::Side;
use crate::phones::Segment;

/// Accents are at least this far apart, seconds.
const APART_S: f64 = 0.35;
/// Deviations above the mean from which a vowel is prominent.
const PROMINENT: f64 = 0.55;

/// A stressed syllable that stands out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accent {
    /// Begin of its vowel, seconds.
    pub time_s: f64,
    /// How much it stands out, 0 to 1.
    pub strength: f64,
}

/// Loudness and accents of one person's speech.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prosody {
    /// How wide the jaw opens for each sound, 1 as usual.
    pub openings: Vec<f64>,
    /// The accents, in order.
    pub accents: Vec<Accent>,
}

impl Prosody {
    /// Listens to a side, whose voice was analysed.
    pub fn of(side: &Side, voice: &Voice) -> Self {
        let levels: Vec<f64> = side.phones.iter().map(|phone| level_db(side, phone)).collect();
        let vowels: Vec<usize> =
            (0..side.phones.len()).filter(|&index| side.phones[index].phone.is_vowel()).collect();
        let scores = scores(side, voice, &levels, &vowels);
        let level_mean = mean(vowels.iter().map(|&index| levels[index]));
        let mut openings: Vec<f64> =
            levels.iter().map(|level| (1.0 + 0.06 * (level - level_mean)).clamp(0.4, 1.5)).collect();
        for (&index, score) in vowels.iter().zip(&scores) {
            openings[index] *= (1.0 + 0.1 * score).clamp(0.8, 1.25);
        }
        for (index, opening) in openings.iter_mut().enumerate() {
            // What is not voiced is quiet, but not said with a smaller jaw.
            if !side.phones[index].phone.is_vowel() {
                *opening = opening.max(0.8);
            }
        }
        let candidates = vowels.iter().zip(&scores).filter(|(_, score)| **score > PROMINENT);
        let mut accents: Vec<Accent> = Vec::new();
        for (&index, &score) in candidates {
            let accent =
                Accent { time_s: side.phones[index].start_s, strength: (0.3 + 0.35 * score).clamp(0.0, 1.0) };
            match accents.last_mut() {
                Some(last) if accent.time_s - last.time_s < APART_S => {
                    if accent.strength > last.strength {
                        *last = accent;
                    }
                }
                _ => accents.push(accent),
            }
        }
        Self { openings, accents }
    }
}

/// How far each vowel stands out: the mean of its length, level and pitch in deviations from the speaker's.
fn scores(side: &Side, voice: &Voice, levels: &[f64], vowels: &[usize]) -> Vec<f64> {
    let pitch = |phone: &Segment| {
        let hop = |seconds: f64| ((seconds * HOPS_PER_SECOND) as usize).min(voice.pitch_hz.len());
        let voiced = voice.pitch_hz[hop(phone.start_s)..hop(phone.end_s)].iter().filter(|&&hz| hz > 0.0);
        let voiced: Vec<f64> = voiced.map(|&hz| f64::from(hz).log2()).collect();
        (!voiced.is_empty()).then(|| voiced.iter().sum::<f64>() / voiced.len() as f64)
    };
    let pitches: Vec<Option<f64>> = vowels.iter().map(|&index| pitch(&side.phones[index])).collect();
    let usual = mean(pitches.iter().flatten().copied());
    let columns = [
        standard(vowels.iter().map(|&index| side.phones[index].seconds().max(1e-3).ln()).collect()),
        standard(vowels.iter().map(|&index| levels[index]).collect()),
        standard(pitches.into_iter().map(|pitch| pitch.unwrap_or(usual)).collect()),
    ];
    (0..vowels.len()).map(|at| columns.iter().map(|column| column[at]).sum::<f64>() / 3.0).collect()
}

fn level_db(side: &Side, phone: &Segment) -> f64 {
    let at = |seconds: f64| ((seconds * 16e3) as usize).min(side.samples.len());
    let samples = &side.samples[at(phone.start_s)..at(phone.end_s)];
    let power: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    10.0 * (power / samples.len().max(1) as f64).max(1e-8).log10()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

/// In deviations from the mean, cut to 2.5.
fn standard(mut values: Vec<f64>) -> Vec<f64> {
    let middle = mean(values.iter().copied());
    let deviation = mean(values.iter().map(|value| (value - middle).powi(2))).sqrt().max(1e-9);
    values.iter_mut().for_each(|value| *value = ((*value - middle) / deviation).clamp(-2.5, 2.5));
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::Phone;

    #[test]
    fn the_long_loud_vowel_stands_out() {
        let mut side = Side::default();
        for index in 0..12 {
            let strong = index == 7;
            let (start_s, length) = (f64::from(index) * 0.5, if strong { 0.25 } else { 0.1 });
            let amplitude = if strong { 0.5 } else { 0.1 + 0.002 * index as f32 };
            side.samples.resize((start_s * 16e3) as usize, 0.0);
            side.samples.extend(
                (0..(length * 16e3) as usize).map(|at| amplitude * if at / 80 % 2 == 0 { 1.0 } else { -1.0 }),
            );
            side.phones.push(Segment { phone: Phone::Aa, start_s, end_s: start_s + length });
        }
        let voice = Voice::analyse(&side.samples).unwrap();
        let prosody = Prosody::of(&side, &voice);
        assert!(prosody.accents.len() <= 2, "{:?}", prosody.accents);
        let strongest = prosody.accents.iter().max_by(|a, b| a.strength.total_cmp(&b.strength)).unwrap();
        assert!((strongest.time_s - 3.5).abs() < 1e-9);
        assert!(prosody.openings[7] > 1.3 * prosody.openings[0]);
        assert_eq!(Prosody::of(&Side::default(), &voice), Prosody::default());
    }
}
