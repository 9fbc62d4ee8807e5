//! Rooms: a few early reflections and a diffuse tail (Schroeder 1962; Jot & Chaigne 1991).
//!
//! The direct sound stays where it is; the tail is that of a feedback delay network of eight lines, whose lengths have no
//! common divisor, mixed by a Householder matrix and damped towards high frequencies.

use crate::dice::Dice;

/// Samples of the lines for a middling room: primes.
const LINES: [usize; 8] = [463, 557, 661, 773, 881, 1009, 1123, 1237];

/// A room.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// Time in which the tail falls by 60 dB, seconds.
    pub decay_s: f64,
    /// Size; 1 is middling.
    pub size: f64,
    /// Level of reflections and tail beside the direct sound.
    pub wet: f64,
    /// Delays in samples and gains of early reflections.
    reflections: Vec<(usize, f64)>,
}

impl Room {
    /// A room between a furnished bedroom and a bare office, with a microphone near or far.
    pub fn draw(dice: &mut Dice) -> Self {
        let size = dice.range(0.5, 1.6);
        let reflections = (0..6).map(|_| {
            let delay = (dice.range(30.0, 400.0) * size) as usize;
            (delay, dice.sign() * dice.range(0.2, 0.6) * (-(delay as f64) / 350.0).exp())
        });
        let reflections = reflections.collect();
        Self {
            decay_s: dice.log_normal(0.35, 0.4).clamp(0.12, 0.9),
            size,
            wet: dice.range(0.1, 0.6),
            reflections,
        }
    }

    /// Puts a voice into the room.
    pub fn run(&self, samples: &mut [f32]) {
        let lengths = LINES.map(|line| ((line as f64 * self.size) as usize).max(8));
        let mut lines = lengths.map(|length| vec![0.0_f64; length]);
        let keep = lengths.map(|length| 10.0_f64.powf(-3.0 * length as f64 / (16e3 * self.decay_s)));
        let (mut at, mut damped) = ([0_usize; 8], [0.0_f64; 8]);
        let dry = samples.to_vec();
        for (index, sample) in samples.iter_mut().enumerate() {
            let input = f64::from(dry[index]);
            let mut wet = 0.0;
            for &(delay, gain) in &self.reflections {
                wet += gain * index.checked_sub(delay).map_or(0.0, |before| f64::from(dry[before]));
            }
            for line in 0..8 {
                // High frequencies fade faster.
                damped[line] += 0.6 * (lines[line][at[line]] - damped[line]);
            }
            let mean = damped.iter().sum::<f64>() / 4.0;
            for line in 0..8 {
                lines[line][at[line]] = input * 0.35 + keep[line] * (damped[line] - mean);
                at[line] = (at[line] + 1) % lengths[line];
                wet += 0.35 * damped[line] * if line % 2 == 0 { 1.0 } else { -1.0 };
            }
            *sample = (input + self.wet * wet) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_decay_and_the_direct_sound_stays() {
        let mut dice = Dice::new(0, 0, "room");
        for _ in 0..10 {
            let room = Room::draw(&mut dice);
            let mut samples = vec![0.0_f32; 32_000];
            samples[100] = 1.0;
            room.run(&mut samples);
            assert_eq!(samples[100], 1.0);
            assert!(samples[..100].iter().all(|&sample| sample == 0.0));
            let power =
                |range: std::ops::Range<usize>| samples[range].iter().map(|s| f64::from(s * s)).sum::<f64>();
            let (early, late) = (power(1500..4000), power(24_000..32_000));
            assert!(early > 0.0 && late < 0.02 * early, "{early} {late} {room:?}");
        }
    }
}
