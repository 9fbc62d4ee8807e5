//! From clean synthesis to what microphones and lines deliver.
//!
//! Synthesised speech is too clean to learn from alone: between words it is digital silence. So every track has a noise
//! floor, and a good half of the recordings go through more: [rooms](room), [`noise`] at 3 to 40 dB, the
//! [telephone's band, codecs and lost packets](damage), another spectral balance, any level, and the partner's voice from
//! the other side of the table. Nothing moves speech in time. The share of clean recordings is [`CLEAN_SHARE`].
//!
//! Both participants' tracks are drawn for each other: most conversations are recorded alike on both sides.

pub mod damage;
pub mod filter;
pub mod noise;
pub mod room;

use unils::Result;

use crate::dice::Dice;
use damage::{lose_packets, opus, telephone};
use filter::Filter;
use noise::Noise;
use room::Room;

/// Share of recordings that have nothing but a noise floor and a level of their own.
pub const CLEAN_SHARE: f64 = 0.42;
/// Loudest sample after everything.
const TOP: f32 = 0.98;

/// How one track is treated.
#[derive(Debug, Clone, PartialEq)]
struct Chain {
    room: Option<Room>,
    noise: Option<(Noise, f64)>,
    is_telephone: bool,
    opus: Option<u32>,
    loss: Option<f64>,
    peaks: Vec<(f64, f64)>,
    /// Level of the partner's voice, dB; none if it is not heard.
    crosstalk_db: Option<f64>,
    floor_db: f64,
    level_db: f64,
}

impl Chain {
    fn clean(dice: &mut Dice) -> Self {
        Self {
            room: None,
            noise: None,
            is_telephone: false,
            opus: None,
            loss: None,
            peaks: Vec::new(),
            crosstalk_db: None,
            floor_db: dice.range(-78.0, -58.0),
            level_db: dice.range(-32.0, -16.0),
        }
    }

    fn draw(dice: &mut Dice) -> Self {
        let mut chain = Self::clean(dice);
        chain.room = dice.chance(0.6).then(|| Room::draw(dice));
        if dice.chance(0.7) {
            let kind = Noise::ALL[dice.weighted(&[0.35, 0.3, 0.1, 0.25])];
            chain.noise = Some((kind, dice.range(3.0, 40.0)));
        }
        chain.is_telephone = dice.chance(0.22);
        chain.opus = dice.chance(0.15).then(|| 6000 + 2000 * dice.below(9) as u32);
        chain.loss = dice.chance(0.08).then(|| dice.range(0.002, 0.03));
        if dice.chance(0.5) {
            let count = 1 + dice.below(3);
            chain.peaks = (0..count).map(|_| (dice.log_normal(1200.0, 0.9), dice.range(-9.0, 9.0))).collect();
        }
        chain.crosstalk_db = dice.chance(0.3).then(|| dice.range(-45.0, -22.0));
        chain.level_db = dice.range(-40.0, -12.0);
        chain
    }
}

/// Treats both clean tracks of a conversation, of one length each; speech is where they are not silent.
///
/// # Errors
/// As the single effects.
pub fn treat(tracks: [Vec<f32>; 2], dice: &mut Dice) -> Result<[Vec<f32>; 2]> {
    let chains = if dice.chance(CLEAN_SHARE) {
        [Chain::clean(dice), Chain::clean(dice)]
    } else {
        let first = Chain::draw(dice);
        let second = if dice.chance(0.6) {
            let other = Chain::draw(dice);
            Chain { level_db: other.level_db, floor_db: other.floor_db, ..first.clone() }
        } else {
            Chain::draw(dice)
        };
        [first, second]
    };
    let tracks = tracks.map(|mut track| {
        let gain = 10.0_f32.powf(-23.0 / 20.0) / active_rms(&track).max(1e-5);
        track.iter_mut().for_each(|sample| *sample *= gain);
        track
    });
    let [first, second] = &chains;
    Ok([run(first, &tracks[0], &tracks[1], dice)?, run(second, &tracks[1], &tracks[0], dice)?])
}

/// Runs a track, whose speech has -23 dB, through a chain.
fn run(chain: &Chain, own: &[f32], partner: &[f32], dice: &mut Dice) -> Result<Vec<f32>> {
    let mut samples = own.to_vec();
    let gain = |db: f64| 10.0_f64.powf(db / 20.0) as f32;
    if let Some(db) = chain.crosstalk_db {
        let mut other = partner.to_vec();
        Filter::low_pass(2500.0).run(&mut other);
        samples.iter_mut().zip(&other).for_each(|(sample, other)| *sample += gain(db) * other);
    }
    if let Some(room) = &chain.room {
        room.run(&mut samples);
    }
    for &(hz, db) in &chain.peaks {
        Filter::peak(hz.clamp(80.0, 7000.0), 0.9, db).run(&mut samples);
    }
    if let Some((noise, db)) = chain.noise {
        add(&mut samples, &noise.samples(own.len(), dice), gain(-23.0 - db));
    }
    if chain.is_telephone {
        telephone(&mut samples, dice)?;
    }
    if let Some(bits_per_second) = chain.opus {
        opus(&mut samples, bits_per_second)?;
    }
    if let Some(share) = chain.loss {
        lose_packets(&mut samples, share, dice);
    }
    let level = gain(chain.level_db + 23.0);
    samples.iter_mut().for_each(|sample| *sample *= level);
    add(&mut samples, &Noise::Hiss.samples(own.len(), dice), gain(chain.floor_db.min(chain.level_db - 26.0)));
    let top = samples.iter().fold(0.0_f32, |top, sample| top.max(sample.abs()));
    if top > TOP {
        // Some recordings are cut off, most are turned down.
        let turned = if dice.chance(0.15) { 1.0 } else { TOP / top };
        samples.iter_mut().for_each(|sample| *sample = (*sample * turned).clamp(-TOP, TOP));
    }
    Ok(samples)
}

fn add(samples: &mut [f32], noise: &[f32], gain: f32) {
    samples.iter_mut().zip(noise).for_each(|(sample, noise)| *sample += gain * noise);
}

/// Root mean square of the samples that are not silence.
fn active_rms(samples: &[f32]) -> f32 {
    let blocks =
        samples.chunks(320).map(|block| block.iter().map(|x| x * x).sum::<f32>() / block.len() as f32);
    let (sum, count) = blocks
        .filter(|power| *power > 1e-6)
        .fold((0.0, 0.0), |(sum, count), power| (sum + power, count + 1.0));
    (sum / f32::max(count, 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_are_finite_noisy_and_of_their_length() {
        let tone =
            |at: usize| if (at / 16_000).is_multiple_of(2) { 0.4 * (at as f32 * 0.05).sin() } else { 0.0 };
        let track: Vec<f32> = (0..64_000).map(tone).collect();
        let (mut noisy, mut levels) = (0, Vec::new());
        for seed in 0..60 {
            let mut dice = Dice::new(seed, 0, "audio");
            let treated = treat([track.clone(), track.iter().rev().copied().collect()], &mut dice).unwrap();
            for samples in &treated {
                assert_eq!(samples.len(), track.len());
                assert!(samples.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
            }
            // The end of a silent second, away from the room's tail; only lost packets are digital zeros.
            let quiet = active(&treated[0][30_000..32_000]);
            assert!(quiet > 0.0);
            let loud = active(&treated[0][4000..16_000]);
            levels.push(20.0 * loud.log10());
            noisy += usize::from(loud / quiet < 30.0);
        }
        assert!((10..45).contains(&noisy), "{noisy} of 60 are noisy");
        let [low, high] = [f32::min, f32::max].map(|pick| levels.iter().copied().reduce(pick).unwrap());
        assert!(low < -30.0 && high > -18.0, "{low} to {high} dB");
    }

    fn active(samples: &[f32]) -> f32 {
        (samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32).sqrt()
    }
}
