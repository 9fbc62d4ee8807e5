//! Takes the level of a voice out of its log-mel energies, so that gain does not matter.
//!
//! Step by step, 10 ms each, two running estimates follow the energy of the bands that hold speech:
//!
//! * the *level* rises within tens of milliseconds and falls slowly, and only while something stands out of the noise:
//!   in a pause it is held;
//! * the *floor* falls at once and rises slowly: the noise between sounds.
//!
//! The bands are then measured against the level, which is never taken for lower than a step above the floor (noise
//! alone is not blown up to speech) nor than a fixed loudness (nor is the noise of a quiet room). What lies far below the
//! level becomes one value. Everything but the fixed loudness is relative: a wave at another gain gives the same.

use super::super::log_mel::{BANDS, LogMel};

/// First band of the energy that is followed: below are rumble and hum.
const FIRST_BAND: usize = 4;
/// Share of the way that the level rises in a step: a time constant of 60 ms.
const ATTACK: f32 = 0.15;
/// Nats that the level falls in a step: 1.5 dB a second.
const RELEASE: f32 = 0.0035;
/// Share of the way that the floor falls in a step: 30 ms.
const FLOOR_FALL: f32 = 0.3;
/// Nats that the floor rises in a step: 3 dB a second.
const FLOOR_RISE: f32 = 0.007;
/// The level follows downwards only what is this much above the floor, in nats: 10 dB.
const GATE: f32 = 2.3;
/// The level counts as at least this much above the floor, in nats: 13 dB.
const ABOVE_FLOOR: f32 = 3.0;
/// Lowest level: about speech at -52 dB of full scale.
const LOWEST: f32 = -12.0;
/// Power, relative to the level, that is added to each band: -45 dB.
const SOFTENING: f32 = 3e-5;
/// Divides the logarithm, as in [`LogMel`]; at the level a band is 1.
const SPREAD: f32 = 5.0;

/// The two estimates of one voice, in nats; none before its first step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Tracker {
    followed: Option<Followed>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Followed {
    level: f32,
    floor: f32,
}

impl Tracker {
    /// Measures the bands of successive steps against the level.
    pub(super) fn apply(&mut self, steps: &mut [f32]) {
        for bands in steps.chunks_exact_mut(BANDS) {
            bands.iter_mut().for_each(|value| *value = LogMel::log_power(*value).exp());
            let quiet = (-self.follow(energy(bands))).exp();
            bands.iter_mut().for_each(|power| *power = (*power * quiet + SOFTENING).ln() / SPREAD + 1.0);
        }
    }

    /// The level after a step of that energy.
    fn follow(&mut self, energy: f32) -> f32 {
        let Followed { level, floor } = self.followed.unwrap_or(Followed { level: energy, floor: energy });
        let floor = followed_floor(floor, energy);
        let level = if energy > level {
            level + ATTACK * (energy - level)
        } else if energy > floor + GATE {
            energy.max(level - RELEASE)
        } else {
            level
        };
        self.followed = Some(Followed { level, floor });
        level.max(floor + ABOVE_FLOOR).max(LOWEST)
    }
}

/// Energy of the bands that hold speech, of a step's powers, nats.
pub(super) fn energy(powers: &[f32]) -> f32 {
    let heard = &powers[FIRST_BAND..];
    (heard.iter().sum::<f32>() / heard.len() as f32).ln()
}

/// A noise floor after another step.
pub(super) fn followed_floor(floor: f32, energy: f32) -> f32 {
    if energy < floor { floor + FLOOR_FALL * (energy - floor) } else { energy.min(floor + FLOOR_RISE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level after `seconds` of steps at an energy.
    fn after(tracker: &mut Tracker, energy: f32, seconds: f32) -> f32 {
        let steps = (seconds * 100.0) as usize;
        (0..steps).map(|_| tracker.follow(energy)).last().unwrap()
    }

    #[test]
    fn the_level_rises_soon_and_is_held_in_pauses() {
        let mut tracker = Tracker::default();
        assert_eq!(after(&mut tracker, -18.0, 1.0), LOWEST);
        let spoken = after(&mut tracker, -6.0, 0.4);
        assert!((spoken + 6.0).abs() < 0.1, "{spoken}");
        assert!((after(&mut tracker, -18.0, 20.0) - spoken).abs() < 1e-6);
        // Another, quieter voice is followed: 1.5 dB a second.
        let mut talk = || (0..100).map(|at| tracker.follow(if at % 20 < 5 { -18.0 } else { -8.0 })).last();
        let (first, last) = (talk().unwrap(), (0..10).map(|_| talk().unwrap()).last().unwrap());
        assert!(first > -6.5 && (last + 8.0).abs() < 0.3, "{first} {last}");
    }

    #[test]
    fn noise_alone_stays_below_the_level() {
        for noise in [-16.0, -9.0, -5.0] {
            let level = after(&mut Tracker::default(), noise, 10.0);
            assert!(level >= noise + ABOVE_FLOOR - 1e-4, "{noise}: {level}");
        }
    }
}
