//! Finds the partner's voice in one's own track and takes it out: two people in one room, loudspeakers in place of
//! headsets.
//!
//! A face whose microphone hears the partner would speak the partner's words. Who hears both tracks can tell: what leaks
//! rises and falls with the partner's track, band by band, a little later and softer. Nothing is known beforehand but
//! that; step by step, 10 ms each, on log-mel energies in nats:
//!
//! 1. While the partner is the one who speaks (each track's energy against its own peak), the bands of both tracks are
//!    correlated at delays of 0 to 140 ms. Voices that have nothing to do with each other stay below 0.3; a leak 30 dB
//!    below the own voice gives 0.6 and more.
//! 2. At the best delay each band's *coupling* is followed: own less partner's, a low quantile of it, since
//!    one's own voice only adds to a leak.
//! 3. Where there is a leak, the power that partner and coupling predict, with a room's echo behind it, is taken out of
//!    each band, down to the band's own noise. One's own voice lies above it and stays.
//!
//! Each voice is learnt from the other's track as it is without its own leak, so that whose turn it is, is no matter.
//!
//! No latency is added, and tracks without a leak pass unchanged to the bit. Both tracks of equal level and content (one
//! microphone for two) are no leak of either into the other, and pass too.

use super::super::log_mel::BANDS;
use super::level::{energy, followed_floor};

/// Delays that are tried, in steps.
const DELAYS: usize = 15;
/// Steps that estimates are means over, of those in which the partner speaks.
const MEMORY: f32 = 200.0;
/// Correlation that is a leak; of few steps it must be this much more, divided by their number.
const IS_LEAK: f32 = 0.5;
const DOUBT: f32 = 16.0;
/// A band of the partner's speaks this much above its noise and above this level, nats.
const SPEAKS: f32 = 3.0;
const AUDIBLE: f32 = -16.0;
/// Fewer bands than these say nothing.
const LEAST_BANDS: usize = 10;
/// Deviations from a band's mean count up to this, nats.
const MOST: f32 = 3.0;
/// Steps that a band's mean is of at the least.
const MEANT: f32 = 10.0;
/// Below everything that is heard, nats.
const SILENT: f32 = -25.0;
/// Nats that a peak falls in a step: 0.2 dB a second.
const PEAK_FALLS: f32 = 5e-4;
/// Share of the way that a peak rises in a step.
const PEAK_RISES: f32 = 0.15;
/// A leak is this much softer than what it is a leak of, nats: 4 dB.
const SOFTER: f32 = 1.0;
/// The same where only the peaks tell: 13 dB.
const MUCH_SOFTER: f32 = 3.0;
/// The share of couplings that lie below the one that is taken.
const QUANTILE: f32 = 0.35;
/// How fast it is followed, nats in a step; before so many steps, in which the delay is uncertain, the mean is taken.
const PACE: f32 = 0.1;
const SETTLED: f32 = 50.0;
/// How much of the predicted power is taken out.
const TAKEN: f32 = 4.0;
/// Nats that an echo falls in a step: 60 dB in 0.55 s.
const ECHO_FALLS: f32 = 0.25;

type Bands = [f32; BANDS];

/// What is known of the leaks between two tracks.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Crosstalk {
    leaks: [Leak; 2],
}

impl Crosstalk {
    /// Takes what leaks of each voice into the other's track out of a step of both; gives the shares of their powers that
    /// are left.
    pub(super) fn part(&mut self, tracks: &mut [Bands; 2]) -> [f32; 2] {
        let heard = *tracks;
        let shares = [0, 1].map(|side| self.leaks[side].clean(&mut tracks[side], &heard[1 - side]));
        for side in [0, 1] {
            let was_found = self.leaks[side].found.is_some();
            self.leaks[side].learn(&heard[side], &tracks[1 - side]);
            // What was taken for this track's own voice was the other's.
            if !was_found && self.leaks[side].found.is_some() && self.leaks[1 - side].found.is_none() {
                self.leaks[1 - side].forget();
            }
        }
        shares
    }
}

/// What is known of the partner's leak into one's own track.
#[derive(Debug, Clone, PartialEq)]
struct Leak {
    own: Side,
    partner: Side,
    /// The partner's last steps as they were heard, the newest first.
    heard: [Bands; DELAYS],
    /// The same without what leaks into them, and their energies.
    spoken: [(Bands, f32); DELAYS],
    /// The delay of a leak, if there is one.
    found: Option<usize>,
    /// Steps in which each band of the partner's spoke, up to those that means are over.
    counts: Bands,
    /// Own less partner's, of each band.
    coupling: Bands,
    delays: [Moments; DELAYS],
    /// What a leak leaves in a room, each band.
    echo: Bands,
}

/// One track's bands.
#[derive(Debug, Clone, PartialEq)]
struct Side {
    /// Noise of each band; none before the first step.
    floor: Option<Bands>,
    /// Energy at the loudest.
    peak: f32,
    /// Mean of each band while the partner speaks.
    mean: Bands,
}

/// Second moments of both tracks' deviations from their means, at a delay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moments {
    steps: f32,
    own: f32,
    partner: f32,
    both: f32,
}

impl Default for Side {
    fn default() -> Self {
        Self { floor: None, peak: SILENT, mean: [0.0; BANDS] }
    }
}

impl Side {
    /// Follows noise and peak; gives the step's energy.
    fn follow(&mut self, bands: &Bands) -> f32 {
        let floor = self.floor.get_or_insert(*bands);
        floor.iter_mut().zip(bands).for_each(|(floor, &value)| *floor = followed_floor(*floor, value));
        let energy = energy(&bands.map(f32::exp));
        self.peak = if energy > self.peak {
            self.peak + PEAK_RISES * (energy - self.peak)
        } else {
            self.peak - PEAK_FALLS
        };
        energy
    }

    fn speaks(&self, band: usize, value: f32) -> bool {
        value > AUDIBLE && self.floor.is_some_and(|floor| value > floor[band] + SPEAKS)
    }
}

impl Moments {
    fn correlation(&self) -> f32 {
        self.both / (self.own * self.partner).sqrt().max(1e-9)
    }

    fn is_leak(&self) -> bool {
        self.correlation() > IS_LEAK + DOUBT / self.steps.max(1.0)
    }
}

impl Default for Leak {
    fn default() -> Self {
        Self {
            own: Side::default(),
            partner: Side::default(),
            heard: [[SILENT; BANDS]; DELAYS],
            spoken: [([SILENT; BANDS], SILENT); DELAYS],
            found: None,
            counts: [0.0; BANDS],
            coupling: [0.0; BANDS],
            delays: [Moments::default(); DELAYS],
            echo: [SILENT; BANDS],
        }
    }
}

impl Leak {
    /// Takes the partner's voice out of a step of one's own, and gives the share of one's own power that is left.
    fn clean(&mut self, own: &mut Bands, partner: &Bands) -> f32 {
        self.heard.rotate_right(1);
        self.heard[0] = *partner;
        match self.found {
            Some(delay) => self.take_out(own, delay),
            None => {
                self.echo = [SILENT; BANDS];
                1.0
            }
        }
    }

    /// Learns from a step of one's own track and what the partner says in it.
    fn learn(&mut self, own: &Bands, partner: &Bands) {
        let energy = self.own.follow(own);
        self.spoken.rotate_right(1);
        self.spoken[0] = (*partner, self.partner.follow(partner));
        let delay = self.delay();
        if energy - self.own.peak < self.spoken[delay].1 - self.partner.peak + SOFTER {
            self.compare(own, delay);
        }
        let delay = self.delay();
        self.found = (self.delays[delay].is_leak() && self.is_softer()).then_some(delay);
    }

    /// Begins to compare both tracks anew.
    fn forget(&mut self) {
        self.partner.peak = SILENT;
        self.counts = [0.0; BANDS];
        self.delays = [Moments::default(); DELAYS];
    }

    /// The delay at which both tracks are most alike; the shortest of several.
    fn delay(&self) -> usize {
        let alike = self.delays.iter().map(Moments::correlation).enumerate().rev();
        alike.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(delay, _)| delay)
    }

    /// Compares a step of one's own with the partner's last ones, while the partner is who speaks.
    fn compare(&mut self, own: &Bands, delay: usize) {
        for (moments, (partner, _)) in self.delays.iter_mut().zip(&self.spoken) {
            let mut sums = [0.0; 3];
            let mut bands = 0;
            for band in (0..BANDS).filter(|&band| self.partner.speaks(band, partner[band])) {
                let mine = (own[band] - self.own.mean[band]).clamp(-MOST, MOST);
                let other = (partner[band] - self.partner.mean[band]).clamp(-MOST, MOST);
                let products = [mine * mine, other * other, mine * other];
                sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
                bands += 1;
            }
            // Before a band has a mean its deviations say nothing.
            if bands < LEAST_BANDS || self.counts.iter().all(|&count| count < MEANT) {
                continue;
            }
            moments.steps = (moments.steps + 1.0).min(MEMORY);
            let all = [&mut moments.own, &mut moments.partner, &mut moments.both];
            all.into_iter()
                .zip(sums)
                .for_each(|(mean, sum)| *mean += (sum / bands as f32 - *mean) / moments.steps);
        }
        let partner = &self.spoken[delay].0;
        for band in 0..BANDS {
            if !self.partner.speaks(band, partner[band]) {
                continue;
            }
            let (mine, other) = (own[band], partner[band]);
            let count = (self.counts[band] + 1.0).min(MEMORY);
            self.counts[band] = count;
            self.own.mean[band] += (mine - self.own.mean[band]) / count;
            self.partner.mean[band] += (other - self.partner.mean[band]) / count;
            let coupling = &mut self.coupling[band];
            *coupling = if count < SETTLED {
                self.own.mean[band] - self.partner.mean[band]
            } else if mine - other > *coupling {
                *coupling + QUANTILE * PACE
            } else {
                *coupling - (1.0 - QUANTILE) * PACE
            };
        }
    }

    /// Whether one's own track has the partner more softly than the partner's own: as they were recorded, or by far
    /// when each is measured against its peak, which may be the leak's where one has not spoken yet.
    fn is_softer(&self) -> bool {
        let known: Vec<f32> = self
            .coupling
            .iter()
            .zip(&self.counts)
            .filter(|(_, count)| **count > 0.0)
            .map(|(c, _)| *c)
            .collect();
        let coupling = known.iter().sum::<f32>() / known.len().max(1) as f32;
        let gain = self.own.peak - self.partner.peak;
        coupling < -SOFTER || coupling - gain < -MUCH_SOFTER
    }

    /// Takes what leaks at a delay out of a step; gives the share of its power that is left.
    fn take_out(&mut self, own: &mut Bands, delay: usize) -> f32 {
        let around = delay.saturating_sub(1)..(delay + 2).min(DELAYS);
        let floor = self.own.floor.unwrap_or([SILENT; BANDS]);
        let was = energy(&own.map(f32::exp));
        for (band, value) in own.iter_mut().enumerate() {
            let partner = self.heard[around.clone()].iter().map(|bands| bands[band]).fold(SILENT, f32::max);
            self.echo[band] = (partner + self.coupling[band]).max(self.echo[band] - ECHO_FALLS);
            let left = value.exp() - TAKEN * self.echo[band].exp();
            *value = value.min(left.max(0.0).ln().max(floor[band]));
        }
        (energy(&own.map(f32::exp)) - was).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random numbers from 0 to 1.
    fn random(seed: u32) -> impl FnMut() -> f32 {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32
        }
    }

    /// A voice of syllables, each of another length, level and spectrum, over noise; speaks in some of the seconds.
    fn voice(seed: u32, seconds: usize, speaks: impl Fn(usize) -> bool) -> Vec<Bands> {
        let mut random = random(seed);
        let mut steps = Vec::new();
        while steps.len() < 100 * seconds {
            let (length, level) = (10 + (20.0 * random()) as usize, -9.0 + 4.0 * random());
            let (peak, width) = (70.0 * random(), 8.0 + 20.0 * random());
            let is_speech = speaks(steps.len() / 100);
            for at in 0..length {
                let swell = (std::f32::consts::PI * (at as f32 + 0.5) / length as f32).sin().ln();
                steps.push(std::array::from_fn(|band| {
                    let noise = -16.0 + 0.6 * (random() - 0.5);
                    let sound = level + swell - ((band as f32 - peak) / width).powi(2);
                    if is_speech { mixed(noise, sound) } else { noise }
                }));
            }
        }
        steps.truncate(100 * seconds);
        steps
    }

    /// The log power of two together.
    fn mixed(a: f32, b: f32) -> f32 {
        (a.exp() + b.exp()).ln()
    }

    /// One voice with the other in its track, a few steps later and so many nats lower, more so in higher bands.
    fn with_leak(own: &[Bands], partner: &[Bands], nats: f32) -> Vec<Bands> {
        let leak = |step: usize, band: usize| match step.checked_sub(4) {
            Some(before) => partner[before][band] - nats - band as f32 / 80.0,
            None => SILENT,
        };
        let mix =
            |(step, bands): (usize, &Bands)| std::array::from_fn(|band| mixed(bands[band], leak(step, band)));
        own.iter().enumerate().map(mix).collect()
    }

    /// What is left of two tracks, and the shares.
    fn parted(first: &[Bands], second: &[Bands]) -> ([Vec<Bands>; 2], Vec<[f32; 2]>) {
        let mut crosstalk = Crosstalk::default();
        let mut steps: Vec<[Bands; 2]> =
            first.iter().zip(second).map(|(first, second)| [*first, *second]).collect();
        let shares = steps.iter_mut().map(|step| crosstalk.part(step)).collect();
        ([0, 1].map(|side| steps.iter().map(|step| step[side]).collect()), shares)
    }

    /// Mean energy of steps, nats.
    fn mean_energy(steps: &[Bands]) -> f32 {
        let powers = steps.iter().map(|bands| energy(&bands.map(f32::exp)).exp());
        (powers.sum::<f32>() / steps.len() as f32).ln()
    }

    /// Turns of two seconds, the partner's first.
    fn turns() -> [Vec<Bands>; 2] {
        [voice(1, 20, |second| second % 4 > 1), voice(2, 20, |second| second % 4 < 2)]
    }

    #[test]
    fn a_leak_is_taken_out_and_the_own_voice_stays() {
        let [own, partner] = turns();
        // The last through a microphone that makes all of it much louder.
        for (nats, gain) in [(1.5, 0.0), (3.0, 0.0), (5.0, 0.0), (5.0, 6.0)] {
            let louder = |steps: &[Bands]| -> Vec<Bands> {
                steps.iter().map(|bands| bands.map(|value| value + gain)).collect()
            };
            let (clean, heard) = (louder(&own), louder(&with_leak(&own, &partner, nats)));
            let ([left, other], shares) = parted(&heard, &partner);
            assert!(other == partner);
            // The partner's third turn.
            let listening = 800..1000;
            let energies = [&clean, &heard, &left].map(|steps| mean_energy(&steps[listening.clone()]));
            let (was, is) = (energies[1] - energies[0], energies[2] - energies[0]);
            assert!(is < 0.1 * was, "{nats} {gain}: {is} of {was}");
            let share = shares[listening].iter().map(|[share, _]| share).sum::<f32>() / 200.0;
            assert!(share < 0.4, "{nats} {gain}: {share}");
            // The own turn behind it, past the partner's echo.
            let lost = mean_energy(&clean[1010..1200]) - mean_energy(&left[1010..1200]);
            assert!(lost.abs() < 0.1, "{nats} {gain}: {lost}");
        }
    }

    #[test]
    fn a_leak_is_taken_out_where_each_hears_the_other() {
        let [own, partner] = turns();
        let (heard, other) = (with_leak(&own, &partner, 3.0), with_leak(&partner, &own, 3.0));
        let ([left, right], _) = parted(&heard, &other);
        // The first turns are the partner's and then one's own; in the second half of each the leak is found.
        for (left, clean, heard, turn) in
            [(&left, &own, &heard, 100..200), (&right, &partner, &other, 300..400)]
        {
            let energies = [clean, heard, left].map(|steps| mean_energy(&steps[turn.clone()]));
            let (was, is) = (energies[1] - energies[0], energies[2] - energies[0]);
            assert!(is < 0.1 * was, "{is} of {was}");
        }
        let lost = mean_energy(&own[1410..1600]) - mean_energy(&left[1410..1600]);
        assert!(lost.abs() < 0.3, "{lost}");
    }

    #[test]
    fn voices_without_a_leak_pass_unchanged() {
        let changed = |seed: u32, is_always: bool| {
            let own = voice(50 + seed, 60, |second| is_always || second % 4 > 1);
            let partner = voice(90 + seed, 60, |second| is_always || second % 4 < 2);
            let (left, shares) = parted(&own, &partner);
            let is_unchanged = left == [own, partner];
            assert_eq!(is_unchanged, shares.iter().all(|share| *share == [1.0; 2]));
            !is_unchanged
        };
        assert!(!(0..20).any(|seed| changed(seed, false)));
        // Where both speak at once for a minute, chance makes them alike now and then.
        assert!((0..20).filter(|&seed| changed(seed, true)).count() <= 1);
    }

    #[test]
    fn one_track_twice_is_no_leak() {
        let [own, _] = turns();
        let (left, _) = parted(&own, &own);
        assert!(left == [own.clone(), own]);
    }
}
