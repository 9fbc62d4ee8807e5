//! Noise: the floor that every microphone has, rooms and streets, hum, other people far away.

use std::f64::consts::TAU;

use super::filter::Filter;
use crate::dice::Dice;

/// What is heard beside the voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Of microphone and amplifier: white or rising.
    Hiss,
    /// Ventilation, traffic: falling.
    Rumble,
    /// Mains and its harmonics, under hiss.
    Hum,
    /// Voices in a distance: noise shaped and modulated like speech.
    Crowd,
}

impl Noise {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Hiss, Self::Rumble, Self::Hum, Self::Crowd];

    /// So many samples of it, of unit power.
    pub fn samples(self, count: usize, dice: &mut Dice) -> Vec<f32> {
        let mut samples: Vec<f32> = (0..count).map(|_| dice.normal(0.0, 1.0) as f32).collect();
        match self {
            Self::Hiss => {
                Filter::peak(dice.range(2000.0, 6000.0), 0.5, dice.range(-6.0, 6.0)).run(&mut samples)
            }
            Self::Rumble => {
                Filter::low_pass(dice.range(150.0, 900.0)).run(&mut samples);
                Filter::high_pass(40.0).run(&mut samples);
            }
            Self::Hum => {
                let mains = if dice.chance(0.5) { 50.0 } else { 60.0 };
                let gains: Vec<f64> = (1..7).map(|k| dice.range(0.2, 1.0) * 1.5 / f64::from(k)).collect();
                for (at, sample) in samples.iter_mut().enumerate() {
                    let angle = TAU * mains * at as f64 / 16e3;
                    let hum: f64 =
                        gains.iter().zip(1..).map(|(gain, k)| gain * (f64::from(k) * angle).sin()).sum();
                    *sample = 0.2 * *sample + hum as f32;
                }
            }
            Self::Crowd => crowd(&mut samples, dice),
        }
        normalise(&mut samples);
        samples
    }
}

/// Five talkers: noise between 200 and 3500 Hz that comes and goes four times a second.
fn crowd(samples: &mut [f32], dice: &mut Dice) {
    let white = samples.to_vec();
    samples.fill(0.0);
    for talker in 0..5 {
        let mut voice: Vec<f32> =
            white.iter().rev().cycle().skip(talker * 7919).take(white.len()).copied().collect();
        Filter::peak(dice.range(300.0, 900.0), 1.5, 12.0).run(&mut voice);
        Filter::low_pass(dice.range(1200.0, 3500.0)).run(&mut voice);
        Filter::high_pass(200.0).run(&mut voice);
        let (mut level, mut goal) = (0.0_f64, 0.0);
        for (at, (sum, sample)) in samples.iter_mut().zip(voice).enumerate() {
            if at % 2400 == 0 {
                goal = if dice.chance(0.6) { dice.range(0.3, 1.0) } else { 0.05 };
            }
            level += 0.002 * (goal - level);
            *sum += level as f32 * sample;
        }
    }
}

fn normalise(samples: &mut [f32]) {
    let power = samples.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    let gain = 1.0 / power.sqrt().max(1e-9);
    samples.iter_mut().for_each(|sample| *sample *= gain as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_have_unit_power() {
        for noise in Noise::ALL {
            let samples = noise.samples(48_000, &mut Dice::new(1, 1, "noise"));
            let power = samples.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 48e3;
            assert!((power - 1.0).abs() < 1e-3, "{noise:?}: {power}");
        }
    }
}
