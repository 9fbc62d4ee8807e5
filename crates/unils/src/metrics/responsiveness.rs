//! Does the listener answer this partner, or does it only move as listeners do?
//!
//! The release's listening scores measure how lively a motion is: a model that hears nothing scores well. Here answers
//! are counted where the partner invites them.
//!
//! * A cue ([`super::cues`]) is *answered* if a response ([`super::gestures`]) starts 200 to 1000 ms after it; cues whose
//!   window runs past the end are not counted. The *rate* is answered cues over cues, over all recordings together.
//! * The same is counted for a partner who was not there: the cues moved round the recording's circle by many random
//!   shifts ([`responsiveness`]), or another recording's ([`swap_partners`] and [`responsiveness_against`]; there
//!   one may also pass responses that a model made to the shuffled voice).
//! * The *ratio* of both rates is 1 for motion that does not listen. Its interval is by bootstrap over recordings; the
//!   p-value is the share of shifts whose rate is at least the true one.
//!
//! Shifts break everything between the two persons, turn-taking included: a face that nods only while its partner
//! talks has a ratio above 1 already. `max_shift_s` keeps shifts small, within the same turn, where only timing
//! is left.
//!
//! The *residual Pearson correlation* ([`residual_pearson`]) is the one of dyadic-motion papers (DIM, Tran et al.
//! 2024; DualTalk, Peng et al. 2025).
//!
//! ```
//! use unils::metrics::responsiveness::{Exchange, ResponseOptions, responsiveness};
//! // Cues every 7 s, each answered after half a second.
//! let cues_s: Vec<f64> = (0..20).map(|i| 3.0 + 7.0 * f64::from(i)).collect();
//! let responses_s = cues_s.iter().map(|cue| cue + 0.5).collect();
//! let exchange = Exchange { cues_s, responses_s, seconds: 145.0 };
//! let result = responsiveness(&[exchange], &ResponseOptions::default())?;
//! assert_eq!((result.cues, result.answered), (20, 20));
//! assert!(result.ratio.unwrap() > 4.0 && result.p_value.unwrap() < 0.05);
//! # Ok::<(), unils::Error>(())
//! ```

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use super::bootstrap::{BootstrapOptions, Interval, bootstrap};
use super::cues::{find_cues, times};
use super::curves::Curves;
use super::gestures::{NodOptions, RiseOptions, find_nods, find_rises};
use super::signal::{Moments, check_finite, check_length, check_rows, check_setting, pearson};
use super::voice::Voice;
use crate::{Error, Result};

/// One recording: the partner's cues and the listener's responses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Times of the partner's cues, seconds, ascending.
    pub cues_s: Vec<f64>,
    /// Times at which the listener's responses start, seconds, ascending.
    pub responses_s: Vec<f64>,
    /// Length of the recording, seconds.
    pub seconds: f64,
}

/// The gesture that is counted as a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gesture {
    /// A nod of the head.
    Nod,
    /// Raised brows.
    BrowRaise,
    /// The start of a smile.
    Smile,
}

impl Exchange {
    /// What a partner's voice invites and a listener's face answers, with the usual settings of both detectors. Lasts as
    /// long as the shorter of the two.
    ///
    /// # Errors
    /// [`Error::Argument`] if the curves lack the gesture (FLAME-108 without a face) or have no frames,
    /// [`Error::Motion`] for NaN and infinity.
    pub fn observe(partner: &Voice, listener: &Curves, gesture: Gesture) -> Result<Self> {
        let (curve, name) = match gesture {
            Gesture::Nod => (&listener.head_pitch, "head pitch"),
            Gesture::BrowRaise => (&listener.brow_raise, "raised brows"),
            Gesture::Smile => (&listener.smile, "a smile"),
        };
        if curve.is_empty() {
            return Err(Error::argument("listener", format!("has no curve of {name}"))
                .with_hint("measure it on a face that labels its regions: Curves::of_face"));
        }
        let fps = listener.fps;
        let mut responses_s: Vec<f64> = match gesture {
            Gesture::Nod => {
                find_nods(curve, fps, &NodOptions::default())?.iter().map(|nod| nod.start_s).collect()
            }
            Gesture::BrowRaise | Gesture::Smile => {
                find_rises(curve, fps, &RiseOptions::default())?.iter().map(|rise| rise.start_s).collect()
            }
        };
        let seconds = partner.seconds().min(curve.len() as f64 / fps);
        let mut cues_s = times(&find_cues(partner));
        cues_s.retain(|&time| time <= seconds);
        responses_s.retain(|&time| time <= seconds);
        Ok(Self { cues_s, responses_s, seconds })
    }
}

/// What counts as an answer, and how the partner is shuffled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseOptions {
    /// A response answers a cue if it starts this long after it, seconds.
    pub window_s: (f64, f64),
    /// Random shifts of each recording.
    pub shifts: usize,
    /// Smallest shift, seconds: at least the window, or true answers would count for shuffled partners.
    pub min_shift_s: f64,
    /// Largest shift, seconds; none for all round the recording.
    pub max_shift_s: Option<f64>,
    /// Bootstrap of the ratio; its seed also draws the shifts.
    pub bootstrap: BootstrapOptions,
}

impl Default for ResponseOptions {
    fn default() -> Self {
        Self {
            window_s: (0.2, 1.0),
            shifts: 200,
            min_shift_s: 3.0,
            max_shift_s: None,
            bootstrap: BootstrapOptions::default(),
        }
    }
}

impl ResponseOptions {
    fn check(&self) -> Result<()> {
        let (first, last) = self.window_s;
        check_setting(
            0.0 <= first && first < last && last < 60.0,
            "window_s",
            "0 <= first < last < 60",
            last,
        )?;
        check_setting((1..=100_000).contains(&self.shifts), "shifts", "1 to 100000", self.shifts)?;
        check_setting(
            self.min_shift_s >= last,
            "min_shift_s",
            "at least the window's end",
            self.min_shift_s,
        )?;
        let largest = self.max_shift_s.unwrap_or(f64::MAX);
        check_setting(largest > self.min_shift_s, "max_shift_s", "more than the smallest shift", largest)
    }
}

/// How much more often true cues are answered than shuffled ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Responsiveness {
    /// True cues whose window lies inside the recordings.
    pub cues: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Responses in all.
    pub responses: u64,
    /// `answered / cues`; none without cues.
    pub rate: Option<f64>,
    /// The same for the shuffled partner.
    pub shuffled_rate: Option<f64>,
    /// `rate / shuffled_rate`; none if nothing answers the shuffled partner.
    pub ratio: Option<f64>,
    /// Interval of the ratio over recordings; none below two.
    pub interval: Option<Interval>,
    /// Share of shifts in which the shuffled rate is at least the true one (with 1 added above and below, so never
    /// 0); none where the shuffled partner was given.
    pub p_value: Option<f64>,
}

/// Answered cues and cues.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    answered: f64,
    cues: f64,
}

impl Tally {
    fn sum(tallies: impl Iterator<Item = Self>) -> Self {
        tallies.fold(Self::default(), |sum, next| Self {
            answered: sum.answered + next.answered,
            cues: sum.cues + next.cues,
        })
    }

    fn rate(self) -> Option<f64> {
        (self.cues > 0.0).then(|| self.answered / self.cues)
    }
}

fn count(cues: &[f64], exchange: &Exchange, window: (f64, f64)) -> Tally {
    let mut tally = Tally::default();
    for cue in cues.iter().filter(|&&cue| cue + window.1 <= exchange.seconds) {
        tally.cues += 1.0;
        let next = exchange.responses_s.partition_point(|&response| response < cue + window.0);
        if exchange.responses_s.get(next).is_some_and(|&response| response <= cue + window.1) {
            tally.answered += 1.0;
        }
    }
    tally
}

/// The true partner against the same partner moved in time.
///
/// # Errors
/// [`Error::Argument`] for options out of range, times that are not ascending within the recording, or no recordings.
/// Recordings too short to be shifted count for the true rate only.
pub fn responsiveness(recordings: &[Exchange], options: &ResponseOptions) -> Result<Responsiveness> {
    options.check()?;
    check(recordings)?;
    let truth: Vec<Tally> = recordings.iter().map(|r| count(&r.cues_s, r, options.window_s)).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(options.bootstrap.seed);
    let mut shuffled = vec![Tally::default(); recordings.len()];
    let true_rate = Tally::sum(truth.iter().copied()).rate();
    let (mut as_high, mut shifts) = (0.0, 0.0);
    for _ in 0..options.shifts {
        let mut total = Tally::default();
        for (recording, sum) in recordings.iter().zip(&mut shuffled) {
            let Some(shift) = draw_shift(&mut rng, recording.seconds, options) else { continue };
            let moved: Vec<f64> =
                recording.cues_s.iter().map(|cue| (cue + shift).rem_euclid(recording.seconds)).collect();
            let tally = count(&moved, recording, options.window_s);
            *sum = Tally::sum([*sum, tally].into_iter());
            total = Tally::sum([total, tally].into_iter());
        }
        if let (Some(rate), Some(truth)) = (total.rate(), true_rate) {
            shifts += 1.0;
            as_high += if rate >= truth { 1.0 } else { 0.0 };
        }
    }
    let p_value = (shifts > 0.0).then(|| (as_high + 1.0) / (shifts + 1.0));
    summarise(recordings, &truth, &shuffled, p_value, options)
}

/// The true partner against another one, recording by recording: [`swap_partners`], or responses made to a
/// shuffled voice.
///
/// # Errors
/// As [`responsiveness`], and [`Error::Argument`] for lists of different lengths.
pub fn responsiveness_against(
    recordings: &[Exchange],
    shuffled: &[Exchange],
    options: &ResponseOptions,
) -> Result<Responsiveness> {
    options.check()?;
    check(recordings)?;
    check_length(shuffled.len(), recordings.len(), "shuffled recordings", "recordings")?;
    check(shuffled)?;
    let tallies = |list: &[Exchange]| -> Vec<Tally> {
        list.iter().map(|r| count(&r.cues_s, r, options.window_s)).collect()
    };
    summarise(recordings, &tallies(recordings), &tallies(shuffled), None, options)
}

/// Each recording's responses with the cues of the next recording (the first's follow the last), cut to the shorter.
///
/// # Errors
/// [`Error::Argument`] below two recordings.
pub fn swap_partners(recordings: &[Exchange]) -> Result<Vec<Exchange>> {
    check_setting(recordings.len() > 1, "recordings", "2 or more to swap partners", recordings.len())?;
    let next = recordings.iter().cycle().skip(1);
    Ok(recordings
        .iter()
        .zip(next)
        .map(|(own, other)| {
            let seconds = own.seconds.min(other.seconds);
            let cut = |times: &[f64]| times.iter().copied().filter(|&time| time <= seconds).collect();
            Exchange { cues_s: cut(&other.cues_s), responses_s: cut(&own.responses_s), seconds }
        })
        .collect())
}

fn check(recordings: &[Exchange]) -> Result<()> {
    check_setting(!recordings.is_empty(), "recordings", "1 or more", recordings.len())?;
    for (index, recording) in recordings.iter().enumerate() {
        let seconds = recording.seconds;
        check_setting(seconds.is_finite() && seconds > 0.0, "seconds", "a positive length", seconds)?;
        for (name, times) in [("cues", &recording.cues_s), ("responses", &recording.responses_s)] {
            let inside = times.iter().all(|time| (0.0..=seconds).contains(time));
            if !inside || !times.is_sorted() {
                let what = format!("expected ascending times from 0 to {seconds} s");
                return Err(Error::argument(format!("recording {index}, {name}"), what));
            }
        }
    }
    Ok(())
}

/// A shift to either side; none if the recording is too short for the smallest.
fn draw_shift(rng: &mut ChaCha8Rng, seconds: f64, options: &ResponseOptions) -> Option<f64> {
    let draw = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let largest = options.max_shift_s.unwrap_or(f64::MAX).min(seconds / 2.0);
    let room = largest - options.min_shift_s;
    (room > 0.0).then(|| {
        let side = if draw < 0.5 { -1.0 } else { 1.0 };
        side * (options.min_shift_s + room * (2.0 * draw).fract())
    })
}

fn summarise(
    recordings: &[Exchange],
    truth: &[Tally],
    shuffled: &[Tally],
    p_value: Option<f64>,
    options: &ResponseOptions,
) -> Result<Responsiveness> {
    let rate = |tallies: &[Tally], drawn: &[usize]| Tally::sum(drawn.iter().map(|&i| tallies[i])).rate();
    let ratio = |drawn: &[usize]| {
        let against = rate(shuffled, drawn).filter(|&rate| rate > 0.0)?;
        Some(rate(truth, drawn)? / against)
    };
    let all: Vec<usize> = (0..truth.len()).collect();
    let total = Tally::sum(truth.iter().copied());
    Ok(Responsiveness {
        cues: total.cues as u64,
        answered: total.answered as u64,
        responses: recordings.iter().map(|recording| recording.responses_s.len() as u64).sum(),
        rate: total.rate(),
        shuffled_rate: rate(shuffled, &all),
        ratio: ratio(&all),
        interval: bootstrap(truth.len(), &options.bootstrap, ratio)?,
        p_value,
    })
}

/// How motion is laid out for [`residual_pearson`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centring {
    /// As published: all numbers as they are, so that what channels differ by at rest counts too.
    AsPublished,
    /// Each channel's mean over the recording is taken out first: what is left is movement.
    PerChannel,
}

/// The residual Pearson correlation of one recording: `|r(truth, partner) - r(predicted, partner)|`, where `r` is
/// Pearson's correlation over all numbers of (frames, channels), frame against frame. 0 is best: the listener goes with
/// its partner as much as the true one did. The mean over recordings is unweighted. Usually one for the
/// expression's channels and one for the head's. None if a motion does not vary.
///
/// # Errors
/// [`Error::Argument`] for different lengths or parts of a frame, [`Error::Motion`] for NaN and infinity.
pub fn residual_pearson(
    predicted: &[f32],
    truth: &[f32],
    partner: &[f32],
    width: usize,
    centring: Centring,
) -> Result<Option<f64>> {
    check_rows(truth, width, "true motion")?;
    for (place, motion) in
        [("predicted motion", predicted), ("true motion", truth), ("partner's motion", partner)]
    {
        check_length(motion.len(), truth.len(), place, "numbers, as in the true motion")?;
        check_finite(motion, place)?;
    }
    let means = |motion: &[f32]| -> Vec<f64> {
        let mean = |channel: usize| {
            let column = motion.iter().skip(channel).step_by(width);
            Moments::of(column.map(|&value| f64::from(value))).mean().unwrap_or(0.0)
        };
        match centring {
            Centring::AsPublished => vec![0.0; width],
            Centring::PerChannel => (0..width).map(mean).collect(),
        }
    };
    let partner_means = means(partner);
    let with_partner = |motion: &[f32]| {
        let own_means = means(motion);
        let pairs = motion.iter().zip(partner).enumerate();
        pearson(pairs.map(|(index, (&own, &other))| {
            let channel = index % width;
            (f64::from(own) - own_means[channel], f64::from(other) - partner_means[channel])
        }))
    };
    Ok(with_partner(truth).zip(with_partner(predicted)).map(|(truth, predicted)| (truth - predicted).abs()))
}
