//! What transmission does to voices: the telephone's band and companding, codecs at low rates, lost packets.

use ropus::{Application, Bitrate, Channels, Decoder, Encoder};
use unils::audio::resample;
use unils::{Error, Result};

use super::filter::Filter;
use crate::dice::Dice;

/// Narrows to the telephone's band, 300 to 3400 Hz at 8 kHz, with 8 bits of companding (ITU-T G.711, mu law).
///
/// # Errors
/// As [`resample`].
pub fn telephone(samples: &mut [f32], dice: &mut Dice) -> Result<()> {
    Filter::high_pass(dice.range(200.0, 320.0)).run(samples);
    let mut narrow = resample(samples, 16_000, 8000)?;
    if dice.chance(0.7) {
        narrow.iter_mut().for_each(|sample| *sample = mu_law(*sample));
    }
    let wide = resample(&narrow, 8000, 16_000)?;
    samples.iter_mut().zip(wide).for_each(|(to, from)| *to = from);
    Ok(())
}

/// Rounds to the 256 levels of the mu law.
fn mu_law(sample: f32) -> f32 {
    const MU: f32 = 255.0;
    let sample = sample.clamp(-1.0, 1.0);
    let compressed = (1.0 + MU * sample.abs()).ln() / (1.0 + MU).ln();
    let rounded = (compressed * 127.0).round() / 127.0;
    sample.signum() * ((1.0 + MU).powf(rounded) - 1.0) / MU
}

/// Codes with Opus at so many bits a second and back, with the delay taken out.
///
/// # Errors
/// [`Error::Audio`] if the codec refuses.
pub fn opus(samples: &mut [f32], bits_per_second: u32) -> Result<()> {
    /// 20 ms at 16 kHz.
    const FRAME: usize = 320;
    let fail = |what: &dyn std::fmt::Debug| Error::audio("opus", format!("{what:?}"));
    let mut encoder = Encoder::builder(16_000, Channels::Mono, Application::Voip)
        .bitrate(Bitrate::Bits(bits_per_second))
        .build()
        .map_err(|error| fail(&error))?;
    let mut decoder = Decoder::new(16_000, Channels::Mono).map_err(|error| fail(&error))?;
    let delay = encoder.lookahead() as usize;
    let mut input = samples.to_vec();
    input.resize((samples.len() + delay).div_ceil(FRAME) * FRAME, 0.0);
    let (mut packet, mut frame, mut coded) = (vec![0_u8; 1500], vec![0.0_f32; FRAME], Vec::new());
    for piece in input.chunks_exact(FRAME) {
        let size = encoder.encode_float(piece, &mut packet).map_err(|error| fail(&error))?;
        let count = decoder
            .decode_float(&packet[..size], &mut frame, ropus::DecodeMode::Normal)
            .map_err(|error| fail(&error))?;
        coded.extend_from_slice(&frame[..count.min(FRAME)]);
    }
    samples.iter_mut().zip(coded.into_iter().skip(delay)).for_each(|(to, from)| *to = from);
    Ok(())
}

/// Loses packets of 20 ms in bursts: what was before is repeated once, fading, then there is nothing.
pub fn lose_packets(samples: &mut [f32], share: f64, dice: &mut Dice) {
    const PACKET: usize = 320;
    let mut lost = 0;
    for index in 1..samples.len() / PACKET {
        lost = if dice.chance(if lost > 0 { 0.4 } else { share }) { lost + 1 } else { 0 };
        if lost > 0 {
            let (before, from) = samples.split_at_mut(index * PACKET);
            let last = &before[(index - 1) * PACKET..];
            let gain = if lost == 1 { 0.6 } else { 0.0 };
            from[..PACKET].iter_mut().zip(last).for_each(|(to, from)| *to = gain * from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice() -> Vec<f32> {
        // A buzz of 150 Hz that comes and goes.
        (0..32_000)
            .map(|at| if at / 4000 % 2 == 1 { 0.3 * (1.0 - (at % 107) as f32 / 53.5) } else { 0.0 })
            .collect()
    }

    /// The shift in samples at which levels of 1 ms agree best.
    fn shift(a: &[f32], b: &[f32]) -> i32 {
        let level = |samples: &[f32]| -> Vec<f32> {
            samples.chunks(16).map(|piece| piece.iter().map(|x| x.abs()).sum::<f32>()).collect()
        };
        let (a, b) = (level(a), level(b));
        let score =
            |shift: i32| (100..1900_i32).map(|at| a[at as usize] * b[(at + shift) as usize]).sum::<f32>();
        (-40..=40).max_by(|x, y| score(*x).total_cmp(&score(*y))).unwrap()
    }

    #[test]
    fn nothing_moves_in_time() {
        let clean = voice();
        let mut phone = clean.clone();
        telephone(&mut phone, &mut Dice::new(0, 0, "phone")).unwrap();
        assert!(shift(&clean, &phone).abs() <= 2, "{}", shift(&clean, &phone));
        let mut coded = clean.clone();
        opus(&mut coded, 12_000).unwrap();
        assert!(shift(&clean, &coded).abs() <= 4, "{}", shift(&clean, &coded));
        assert!(coded != clean && phone != clean);
    }

    #[test]
    fn packets_are_lost_at_their_rate() {
        let clean = voice();
        let mut damaged = clean.clone();
        lose_packets(&mut damaged, 0.05, &mut Dice::new(3, 0, "loss"));
        let changed = clean.chunks(320).zip(damaged.chunks(320)).filter(|(a, b)| a != b).count();
        assert!((1..20).contains(&changed), "{changed} of 100");
        assert!((mu_law(0.5) - 0.5).abs() < 0.02 && mu_law(0.0) == 0.0);
    }
}
