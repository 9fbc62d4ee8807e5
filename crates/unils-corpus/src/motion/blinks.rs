//! Blinks: a renewal process with a shape.
//!
//! * Intervals are log-normal, 10 to 25 blinks a minute while listening, a third more while speaking (Bentivoglio et al.
//!   1997: 17 at rest, 26 in conversation).
//! * Blinks gather where one's own phrases end and, less, where the partner's do (Nakano & Kitazawa 2010), and come with
//!   large shifts of gaze (Evinger et al. 1994).
//! * Lids close in some 80 ms and open in twice that, slowing down (VanderWerf et al. 2003): 150 to 250 ms in all. Most
//!   close fully, some do not; a few come in pairs. Cheeks and brows tighten a little.

use unils::motion::FPS;

use super::curve::min_jerk;
use super::gaze::Fixation;
use super::person::{Person, sides};
use super::sheet::Sheet;
use crate::dialogue::Side;
use crate::dice::Dice;

/// Deviation of the logarithm of an interval.
const SPREAD: f64 = 0.62;
/// The least time between two blinks that are no pair, seconds.
const LEAST_S: f64 = 0.45;
/// How often the end of a phrase has a blink: one's own, the partner's.
const AT_ENDS: [f64; 2] = [0.3, 0.1];
/// How often a large shift of gaze has one.
const AT_SHIFTS: f64 = 0.22;
/// A shift of gaze is large from this angle on, radians.
const LARGE_SHIFT: f64 = 0.2;

/// A blink.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blink {
    /// Where the lids begin to close, seconds.
    pub start_s: f64,
    /// Time to close, seconds.
    pub close_s: f64,
    /// Time closed, seconds.
    pub shut_s: f64,
    /// Time to open, seconds.
    pub open_s: f64,
    /// How far they close, 1 fully.
    pub depth: f64,
}

impl Blink {
    fn draw(start_s: f64, person: &Person, dice: &mut Dice) -> Self {
        let length = person.blink_length * dice.log_normal(1.0, 0.12);
        let depth = if dice.chance(0.07) { dice.range(0.6, 0.85) } else { dice.range(0.94, 1.0) };
        Self { start_s, close_s: 0.08 * length, shut_s: 0.045 * length, open_s: 0.165 * length, depth }
    }

    /// How far the lids are closed at a time.
    pub fn at(&self, time_s: f64) -> f64 {
        let since = time_s - self.start_s;
        let opening = since - self.close_s - self.shut_s;
        // Opening slows down: fast at first.
        let open = 1.0 - (1.0 - (opening / self.open_s).clamp(0.0, 1.0)).powf(1.7);
        self.depth * min_jerk(since / self.close_s) * (1.0 - min_jerk(open))
    }

    /// When it is over.
    pub fn end_s(&self) -> f64 {
        self.start_s + self.close_s + self.shut_s + self.open_s
    }
}

/// All blinks of somebody.
pub fn plan(
    person: &Person,
    [own, partner]: [&Side; 2],
    fixations: &[Fixation],
    seconds: f64,
    dice: &mut Dice,
) -> Vec<Blink> {
    let mut invited: Vec<f64> = Vec::new();
    for (side, share) in [own, partner].into_iter().zip(AT_ENDS) {
        for spurt in &side.spurts {
            if dice.chance(share) {
                invited.push(spurt.end_s + dice.normal_within(0.08, 0.14, 0.4));
            }
        }
    }
    for pair in fixations.windows(2) {
        let way = (pair[1].yaw - pair[0].yaw).hypot(pair[1].pitch - pair[0].pitch);
        if way > LARGE_SHIFT && dice.chance(AT_SHIFTS) {
            invited.push(pair[1].start_s - dice.range(0.0, 0.06));
        }
    }
    invited.sort_by(f64::total_cmp);
    // Intervals are stretched so that invited blinks do not come on top of the person's rate. The median of a
    // log-normal is below its mean.
    let rate = person.blinks_per_minute / 60.0;
    let free = (rate - 0.8 * invited.len() as f64 / seconds.max(1.0)).max(0.35 * rate);
    let median = (-0.5 * SPREAD * SPREAD).exp() / free;
    let (mut blinks, mut next_invited): (Vec<Blink>, usize) = (Vec::new(), 0);
    let mut next = dice.log_normal(median, SPREAD) * dice.unit();
    while next < seconds {
        let invited = invited.get(next_invited).copied().filter(|&time| time <= next);
        next_invited += usize::from(invited.is_some());
        let at = invited.unwrap_or(next);
        let last_end = blinks.last().map_or(f64::NEG_INFINITY, Blink::end_s);
        if at >= 0.0 && at - last_end >= LEAST_S {
            blinks.push(Blink::draw(at, person, dice));
            if dice.chance(0.04) {
                let again = blinks.last().map_or(at, Blink::end_s) + dice.range(0.05, 0.2);
                blinks.push(Blink::draw(again, person, dice));
            }
        }
        if invited.is_none() {
            let busy = if own.speaks_within(at, at + 0.5) { 1.33 } else { 1.0 };
            next = at + (dice.log_normal(median, SPREAD) / busy).max(LEAST_S);
        }
    }
    blinks
}

/// Writes blinks: lids, and a little of cheeks. Lids that follow the gaze are lowered already: a blink closes the rest.
pub fn write(sheet: &mut Sheet, blinks: &[Blink], dice: &mut Dice) {
    const STEPS: usize = 5;
    let [lids, squints] = ["eyeBlink", "eyeSquint"].map(sides);
    for blink in blinks {
        // The two eyes differ by little.
        let uneven = [1.0, 1.0 - 0.04 * dice.unit()];
        let first = (blink.start_s * FPS).max(0.0) as usize;
        let past = (((blink.end_s() * FPS) as usize) + 2).min(sheet.frames());
        for frame in first..past {
            // What a camera shows of a frame's 40 ms: the mean of its middle.
            let moments =
                (0..STEPS).map(|step| (frame as f64 + 0.25 + 0.5 * step as f64 / (STEPS - 1) as f64) / FPS);
            let closed = moments.map(|time| blink.at(time)).sum::<f64>() / STEPS as f64;
            for eye in 0..2 {
                let closed = closed * uneven[eye];
                let lid = sheet.get(frame, lids[eye]);
                sheet.set(frame, lids[eye], lid + (1.0 - lid) * closed);
                sheet.add(frame, squints[eye], 0.12 * closed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use unils::metrics::liveliness::{BlinkOptions, find_blinks, summarise_blinks};

    use super::*;
    use crate::dialogue::tests::babble;

    #[test]
    fn rates_shapes_and_times_are_those_of_people() {
        let (mut at_ends, mut blinks_in_all, mut windows, mut seconds) = (0.0, 0.0, 0.0, 0.0);
        let mut intervals = Vec::new();
        for seed in 0..24 {
            let dialogue = babble(seed, 100.0);
            let mut dice = Dice::new(seed, 0, "blinks");
            let person = Person::draw(&mut dice);
            let [own, partner] = &dialogue.sides;
            let blinks = plan(&person, [own, partner], &[], dialogue.seconds, &mut dice);
            let mut sheet = Sheet::new((dialogue.seconds * FPS) as usize);
            write(&mut sheet, &blinks, &mut dice);
            let curve = sheet.curve(sides("eyeBlink")[0]);
            let options = BlinkOptions::default();
            let found = find_blinks(&curve, FPS, &options).unwrap();
            let summary = summarise_blinks(&found, curve.len(), FPS, &options).unwrap();
            assert!((6.0..40.0).contains(&summary.per_minute), "{summary:?}");
            assert!(found.len() + 2 >= blinks.len() * 9 / 10, "{} of {}", found.len(), blinks.len());
            assert!((0.1..0.26).contains(&summary.duration_s.unwrap()), "{summary:?}");
            assert!(summary.full_share.unwrap() > 0.75 && summary.peak.unwrap() > 0.88, "{summary:?}");
            intervals.extend(found.windows(2).map(|pair| pair[1].time_s - pair[0].time_s));
            let ends = || own.spurts.iter().map(|spurt| spurt.end_s);
            at_ends += found
                .iter()
                .filter(|blink| ends().any(|end| (blink.time_s - end - 0.15).abs() < 0.3))
                .count() as f64;
            blinks_in_all += found.len() as f64;
            windows += own.spurts.len() as f64 * 0.6;
            seconds += dialogue.seconds;
        }
        let ratio = (at_ends / windows) / (blinks_in_all / seconds);
        assert!((1.5..5.0).contains(&ratio), "blinks at phrase ends over elsewhere: {ratio}");
        let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
        let variance = intervals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / intervals.len() as f64;
        // No metronome, no pure chance either.
        assert!((0.45..1.0).contains(&(variance.sqrt() / mean)), "{}", variance.sqrt() / mean);
        assert!(
            (12.0..21.0).contains(&(blinks_in_all / seconds * 60.0)),
            "{}",
            blinks_in_all / seconds * 60.0
        );
    }

    #[test]
    fn blinks_are_no_metronome() {
        let mut spreads = 0.0;
        for seed in 0..20 {
            let mut dice = Dice::new(seed, 0, "intervals");
            let person = Person::draw(&mut dice);
            let blinks = plan(&person, [&Side::default(), &Side::default()], &[], 400.0, &mut dice);
            let intervals: Vec<f64> =
                blinks.windows(2).map(|pair| (pair[1].start_s - pair[0].start_s).ln()).collect();
            let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
            let variance = intervals.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
            spreads += (variance / intervals.len() as f64).sqrt() / 20.0;
        }
        assert!((0.5..0.95).contains(&spreads), "{spreads}");
    }

    #[test]
    fn lids_close_faster_than_they_open() {
        let person = Person::draw(&mut Dice::new(0, 0, "shape"));
        let blink = Blink { depth: 1.0, ..Blink::draw(1.0, &person, &mut Dice::new(0, 1, "shape")) };
        let half = |from: f64, step: f64| {
            let mut time = from;
            while blink.at(time) < 0.5 {
                time += step;
            }
            time
        };
        let (down, up) = (half(blink.start_s, 0.001), half(blink.end_s(), -0.001));
        let shut = blink.start_s + blink.close_s;
        assert!(shut - down < up - shut - blink.shut_s + 0.02);
        assert!(blink.end_s() - blink.start_s < 0.45);
    }
}
