//! Other voices made of the ones that there are: what is heard in place of some clips in training.
//!
//! Synthesisers have few voices. A [`Timbre`] moves a voice's log-mel energies, mouth and sounds staying what they were:
//!
//! * its frequencies by a factor, as a longer or shorter vocal tract does (Jaitly & Hinton 2013, vocal tract length
//!   perturbation), and low, middle and high ones by a little more or less: people's mouths and throats differ in
//!   proportion too, so that one vowel's formants do not all scale by the same factor (Fant 1975);
//! * its spectrum by a smooth curve, as another larynx, synthesiser or microphone does;
//! * its formants' height over the valleys between, which synthesisers draw too sharp or too flat;
//! * and it loses bands, so that no band alone tells a sound (Park et al. 2019, SpecAugment). Not times: a short silence
//!   is what is heard of closed lips.

use unils::encoder::LogMel;

/// Largest change of the frequencies, either way, as a logarithm: 0.84 to 1.19.
const LARGEST_STRETCH: f64 = 0.175;
/// Where factors of their own apply, evenly spaced over the bands, the ends among them, and blend between.
const REGIONS: usize = 4;
/// Largest change of a region's frequencies beside that of all, either way, as a logarithm.
const LARGEST_OWN: f64 = 0.08;
/// Bends of the curve, evenly spaced over the bands, its ends among them.
const BENDS: usize = 6;
/// Most decibels that the curve adds or takes away.
const MOST_DB: f64 = 9.0;
/// Largest change of the formants' height, either way, as a logarithm: 0.67 to 1.49 times as many decibels.
const LARGEST_RELIEF: f64 = 0.4;
/// Bands to each side whose mean a formant rises over.
const AROUND: usize = 6;
/// Gaps in the spectrum.
const GAPS: usize = 2;
/// Most bands of a gap.
const WIDEST_GAP: f64 = 12.0;
/// What a gap takes away of its bands, in decibels. The encoder hears some 45 below the voice's level.
const GAP_DB: f64 = 40.0;

/// How one clip's voice is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Timbre {
    /// Of each band, the band before the change whose energy it gets, as a fraction between two.
    from: Vec<f32>,
    /// Of each band, what is added to its energy, in the features' unit.
    added: Vec<f32>,
    /// How much farther from the mean of the bands around it each band lies than it did.
    relief: f32,
}

impl Timbre {
    /// Numbers that a timbre is drawn from.
    pub const DRAWS: usize = 1 + REGIONS + BENDS + 1 + 2 * GAPS;

    /// The timbre of [`Timbre::DRAWS`] numbers, each uniform in 0..1; at one half nothing is changed.
    pub fn of(draws: &[f64]) -> Self {
        let either_way = |draw: f64, most: f64| (2.0 * draw - 1.0) * most;
        let (stretch, draws) = draws.split_at(1);
        let (regions, draws) = draws.split_at(REGIONS);
        let (bends, draws) = draws.split_at(BENDS);
        let (relief, gaps) = draws.split_at(1);
        let all = either_way(stretch[0], LARGEST_STRETCH);
        let stretch = std::array::from_fn(|at| (all + either_way(regions[at], LARGEST_OWN)).exp());
        let bends_db = std::array::from_fn(|at| either_way(bends[at], MOST_DB));
        let mut timbre = Self::new(stretch, bends_db, either_way(relief[0], LARGEST_RELIEF).exp());
        for gap in gaps.chunks_exact(2) {
            let width = either_way(gap[0], WIDEST_GAP).abs().round() as usize;
            timbre.leave_out((gap[1] * (LogMel::BANDS - width + 1) as f64) as usize, width);
        }
        timbre
    }

    /// Takes `width` bands away.
    fn leave_out(&mut self, first: usize, width: usize) {
        let gap = self.added.iter_mut().skip(first).take(width);
        gap.for_each(|added| *added -= LogMel::of_decibels(GAP_DB));
    }

    /// A timbre whose frequencies are `stretch` times as high, by region, with so many decibels at each bend, and
    /// formants `relief` times as high over the valleys.
    fn new(stretch: [f64; REGIONS], bends_db: [f64; BENDS], relief: f64) -> Self {
        let hz: Vec<f64> = (0..LogMel::BANDS).map(LogMel::centre_hz).collect();
        let from = hz.iter().enumerate().map(|(band, hz_after)| {
            let wanted = hz_after / between(&stretch, band);
            let above = hz.partition_point(|&hz| hz < wanted).clamp(1, hz.len() - 1);
            let (low, high) = (hz[above - 1], hz[above]);
            ((above - 1) as f64 + ((wanted - low) / (high - low)).clamp(0.0, 1.0)) as f32
        });
        let added = (0..LogMel::BANDS).map(|band| LogMel::of_decibels(between(&bends_db, band)));
        Self { from: from.collect(), added: added.collect(), relief: relief as f32 }
    }

    /// Changes the energies of successive steps, [`LogMel::BANDS`] each.
    pub fn apply(&self, steps: &mut [f32]) {
        let mut before = [0.0; LogMel::BANDS];
        for bands in steps.chunks_exact_mut(LogMel::BANDS) {
            before.copy_from_slice(bands);
            self.deepen(&mut before);
            for ((band, from), added) in bands.iter_mut().zip(&self.from).zip(&self.added) {
                let low = (*from as usize).min(LogMel::BANDS - 2);
                let share = from - low as f32;
                *band = (1.0 - share) * before[low] + share * before[low + 1] + added;
            }
        }
    }

    /// Moves bands away from the means around them, or to these.
    fn deepen(&self, bands: &mut [f32; LogMel::BANDS]) {
        let before = *bands;
        for (at, band) in bands.iter_mut().enumerate() {
            let around = &before[at.saturating_sub(AROUND)..(at + AROUND + 1).min(LogMel::BANDS)];
            let mean = around.iter().sum::<f32>() / around.len() as f32;
            *band = mean + self.relief * (*band - mean);
        }
    }
}

/// The value at a band of a curve through points that are evenly spaced over the bands.
fn between(points: &[f64], band: usize) -> f64 {
    let at = band as f64 / (LogMel::BANDS - 1) as f64 * (points.len() - 1) as f64;
    let before = (at as usize).min(points.len() - 2);
    let share = at - before as f64;
    (1.0 - share) * points[before] + share * points[before + 1]
}

/// Changes the energies of a row whose timbre is among `timbres`, if it has one.
pub fn change(timbres: &[Option<Timbre>], row: usize, steps: &mut [f32]) {
    if let Some(Some(timbre)) = timbres.get(row) {
        timbre.apply(steps);
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;

    /// Two steps of a tone's energies.
    fn tone(hz: f32) -> Vec<f32> {
        let wave: Vec<f32> = (0..3200).map(|i| 0.3 * (TAU * hz * i as f32 / 16e3).sin()).collect();
        let wave = Tensor::from_data(TensorData::new(wave, [1, 3200]), &Device::flex());
        let features: Vec<f32> = LogMel::new().forward(wave).into_data().iter().collect();
        features[features.len() - 2 * LogMel::BANDS..].to_vec()
    }

    fn loudest(bands: &[f32]) -> usize {
        (0..bands.len()).max_by(|&a, &b| bands[a].total_cmp(&bands[b])).unwrap()
    }

    #[test]
    fn one_half_changes_nothing() {
        let before = tone(700.0);
        let mut after = before.clone();
        Timbre::of(&[0.5; Timbre::DRAWS]).apply(&mut after);
        let worst = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
    }

    #[test]
    fn frequencies_are_multiplied() {
        for (hz, stretch) in [(600.0, 1.15), (2000.0, 1.15), (1500.0, 0.87)] {
            let mut moved = tone(hz);
            Timbre::new([stretch; REGIONS], [0.0; BENDS], 1.0).apply(&mut moved);
            let there = tone(hz * stretch as f32);
            for (moved, there) in moved.chunks(LogMel::BANDS).zip(there.chunks(LogMel::BANDS)) {
                assert!(loudest(moved).abs_diff(loudest(there)) <= 1, "{hz} Hz times {stretch}");
                assert_ne!(loudest(moved), loudest(&tone(hz)[..LogMel::BANDS]));
            }
        }
    }

    #[test]
    fn regions_scale_by_themselves() {
        // Tones near the middles of the four regions, bands 0, 26, 53 and 79.
        let timbre = Timbre::new([1.2, 1.0, 0.85, 1.0], [0.0; BENDS], 1.0);
        for (hz, factor) in [(160.0, 1.15..1.2), (1200.0, 0.97..1.0), (3000.0, 0.84..0.87)] {
            let mut moved = tone(hz);
            timbre.apply(&mut moved);
            let found = LogMel::centre_hz(loudest(&moved[..LogMel::BANDS]));
            let band = LogMel::centre_hz(1) - LogMel::centre_hz(0);
            let wanted = hz as f64 * factor.start - band..hz as f64 * factor.end + band;
            assert!(wanted.contains(&found), "{hz} Hz became {found}");
        }
        // However they differ, the order of frequencies stays.
        for bits in 0..1 << (1 + REGIONS) {
            let mut draws = [0.5; Timbre::DRAWS];
            for (at, draw) in draws.iter_mut().take(1 + REGIONS).enumerate() {
                *draw = f64::from(bits >> at & 1);
            }
            assert!(Timbre::of(&draws).from.is_sorted(), "{draws:?}");
        }
    }

    #[test]
    fn formants_stand_out_more_or_less() {
        let height = |relief: f64| {
            let mut bands: Vec<f32> = (0..LogMel::BANDS).map(|band| (band as f32 / 3.0).sin()).collect();
            Timbre::new([1.0; REGIONS], [0.0; BENDS], relief).apply(&mut bands);
            let middle = &bands[20..60];
            middle.iter().copied().fold(f32::MIN, f32::max) - middle.iter().copied().fold(f32::MAX, f32::min)
        };
        assert!(height(1.4) > 1.2 * height(1.0) && height(0.7) < 0.85 * height(1.0));
    }

    #[test]
    fn gaps_take_their_bands_and_no_others() {
        let lost = |gaps: [f64; 4]| {
            let mut draws = [0.5; Timbre::DRAWS];
            draws[Timbre::DRAWS - gaps.len()..].copy_from_slice(&gaps);
            let mut bands = [0.0; LogMel::BANDS];
            Timbre::of(&draws).apply(&mut bands);
            let db = |value: &f32| f64::from((value / LogMel::of_decibels(1.0)).round());
            bands.iter().map(db).collect::<Vec<f64>>()
        };
        // The widest at the bottom; none, wherever.
        let bottom = lost([0.0, 0.0, 0.5, 0.9]);
        assert!(bottom[..12].iter().all(|&db| db == -GAP_DB) && bottom[12..].iter().all(|&db| db == 0.0));
        // Half as wide at the top, where two lie on each other.
        let top = lost([0.75, 0.9999, 0.75, 0.9999]);
        assert!(
            top[74..].iter().all(|&db| db == -2.0 * GAP_DB) && top[..74].iter().all(|&db| db == 0.0),
            "{top:?}"
        );
    }

    #[test]
    fn decibels_are_those_of_the_wave() {
        // Ten times the power is 10 dB more in each band that is above the floor.
        let (quiet, mut raised) = (tone(900.0), tone(900.0));
        Timbre::new([1.0; REGIONS], [10.0; BENDS], 1.0).apply(&mut raised);
        let raise = raised[40] - quiet[40];
        assert!((raise - 10.0_f32.ln() / 5.0).abs() < 1e-4, "{raise}");
        // A curve that rises: as much at both ends as its bends say, half at the middle.
        let mut steps = [0.0; LogMel::BANDS];
        Timbre::new([1.0; REGIONS], std::array::from_fn(|bend| 2.0 * bend as f64), 1.0).apply(&mut steps);
        let db = |band: usize| steps[band] / LogMel::of_decibels(1.0);
        assert!(
            db(0).abs() < 1e-4 && (db(79) - 10.0).abs() < 1e-3 && (db(40) - 5.0).abs() < 0.1,
            "{steps:?}"
        );
    }
}
