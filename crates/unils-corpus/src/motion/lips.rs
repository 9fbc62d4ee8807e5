//! Lips and jaw from sounds: visemes blended by dominance functions.
//!
//! After Cohen & Massaro 1993 (*Modeling coarticulation in synthetic visual speech*): every sound has a target and a
//! dominance for each [`Feature`]; a feature's value is the mean of all targets weighted by their dominance, which is full
//! in the sound's middle and fades exponentially to both sides, at a pace of the feature's own. Departures: dominance is full over
//! the middle 60 % of a sound rather than at one point, so that long vowels are held; pauses are sounds too, with the mouth
//! at rest.
//!
//! * Targets are reached 20 ms before the sound is labelled. In chained syllables, what is seen is from 20 ms behind to 70 ms
//!   ahead of what is heard (Schwartz & Savariaux 2014); and a face that answers at once has only its look-ahead to know
//!   what comes.
//! * Loudness and stress open the jaw ([`Prosody::openings`](crate::prosody::Prosody)).
//! * ARKit's `mouthClose` closes the lips of an open jaw: closed lips are `mouthClose = jawOpen`. Lips aim beyond contact
//!   (Löfqvist & Gracco 1997), so that the closure of p, b and m lasts; the frame in whose 40 ms the middle of a closure lies shows
//!   its tightest moment, as frames would otherwise miss what the eye looks for.

use unils::motion::FPS;

use super::curve::frame_time;
use super::person::{Person, channel, sides};
use super::sheet::Sheet;
use super::viseme::{FEATURES, Feature, REACH_S, Viseme};
use crate::phones::Segment;

/// Targets lead their sounds by this, seconds.
pub const LEAD_S: f64 = 0.02;
/// Moments of a frame that are looked at.
const STEPS: usize = 4;
/// Silence between sounds from this on is a pause, seconds.
const PAUSE_S: f64 = 0.1;
/// The mouth leaves rest and comes to it within this of speech, seconds.
const SETTLE_S: f64 = 0.07;
/// Influence that is too far to count, in multiples of a feature's reach.
const FAR: f64 = 9.0;

/// A viseme over the time in which it is full.
#[derive(Debug, Clone, Copy)]
struct Gesture {
    from_s: f64,
    to_s: f64,
    viseme: Viseme,
}

/// Writes the mouth of someone who speaks these sounds; `openings` is how wide the jaw opens for each, 1 as usual.
pub fn write(sheet: &mut Sheet, phones: &[Segment], openings: &[f64], person: &Person) {
    let gestures = gestures(phones, openings, sheet.frames() as f64 / FPS);
    let writer = Writer::new(person);
    let mut first = 0;
    let furthest = FAR * REACH_S.iter().copied().fold(0.0, f64::max);
    for frame in 0..sheet.frames() {
        let middle = frame_time(frame) + LEAD_S;
        while gestures.get(first).is_some_and(|gesture| gesture.to_s < middle - furthest - 0.02) {
            first += 1;
        }
        let near = gestures[first..].iter().take_while(|gesture| gesture.from_s < middle + furthest + 0.02);
        let near: Vec<Gesture> = near.copied().collect();
        let (mut mean, mut contacts, mut tightest) = ([0.0; FEATURES], [0.0; FEATURES], [0.0_f64; 2]);
        for step in 0..STEPS {
            let offset = ((step as f64 + 0.5) / STEPS as f64 - 0.5) / FPS;
            let values = blend(&near, middle + offset);
            mean.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / STEPS as f64);
            contacts
                .iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += value.clamp(0.0, 1.0) / STEPS as f64);
            let contact = |feature: Feature| values[feature as usize].clamp(0.0, 1.0);
            tightest = [tightest[0].max(contact(Feature::Close)), tightest[1].max(contact(Feature::Tuck))];
        }
        for (feature, tightest) in [(Feature::Close, tightest[0]), (Feature::Tuck, tightest[1])] {
            let at = feature as usize;
            let in_the_middle = |gesture: &Gesture| {
                let away = 0.5 * (gesture.from_s + gesture.to_s) - middle;
                gesture.viseme.value[at] >= 1.0 && (-0.5 / FPS..0.5 / FPS).contains(&away)
            };
            mean[at] = if near.iter().any(in_the_middle) { tightest } else { contacts[at] };
        }
        writer.write(sheet, frame, &mean);
    }
}

/// Sounds and pauses as gestures, in order.
fn gestures(phones: &[Segment], openings: &[f64], seconds: f64) -> Vec<Gesture> {
    let mut gestures = Vec::new();
    let mut end_s = -1.0;
    let pause = |gestures: &mut Vec<Gesture>, from_s: f64, to_s: f64| {
        let settle = SETTLE_S.min(0.35 * (to_s - from_s));
        gestures.push(Gesture { from_s: from_s + settle, to_s: to_s - settle, viseme: Viseme::REST });
    };
    for (index, phone) in phones.iter().enumerate() {
        if phone.start_s - end_s > PAUSE_S {
            pause(&mut gestures, end_s, phone.start_s);
        }
        let opening = openings.get(index).copied().unwrap_or(1.0);
        let mut push = |sound, from: f64, to: f64| {
            let mut viseme = Viseme::of(sound);
            viseme.value[Feature::Jaw as usize] *= opening;
            for feature in [Feature::Lower, Feature::Upper] {
                viseme.value[feature as usize] *= 0.5 + 0.5 * opening;
            }
            let margin = 0.2 * (to - from) * phone.seconds();
            let [from_s, to_s] = [from, to].map(|at| phone.start_s + at * phone.seconds());
            gestures.push(Gesture { from_s: from_s + margin, to_s: to_s - margin, viseme });
        };
        match phone.phone.glide() {
            Some([first, second]) => {
                push(first, 0.0, 0.55);
                push(second, 0.55, 1.0);
            }
            None => push(phone.phone, 0.0, 1.0),
        }
        end_s = f64::max(end_s, phone.end_s);
    }
    pause(&mut gestures, end_s, seconds.max(end_s) + 1.0);
    gestures
}

/// The features at a time.
fn blend(gestures: &[Gesture], time_s: f64) -> [f64; FEATURES] {
    let (mut sums, mut weights) = ([0.0; FEATURES], [1e-12; FEATURES]);
    for gesture in gestures {
        let away = (gesture.from_s - time_s).max(time_s - gesture.to_s).max(0.0);
        for feature in 0..FEATURES {
            let dominance = gesture.viseme.weight[feature] * (-away / REACH_S[feature]).exp();
            sums[feature] += dominance * gesture.viseme.value[feature];
            weights[feature] += dominance;
        }
    }
    std::array::from_fn(|feature| sums[feature] / weights[feature])
}

/// From features to coefficients, in a person's amplitudes.
struct Writer {
    jaw: f64,
    lips: f64,
    single: [usize; 5],
    pairs: [[usize; 2]; 5],
    roll_upper: usize,
}

impl Writer {
    fn new(person: &Person) -> Self {
        Self {
            jaw: person.jaw,
            lips: person.lips,
            single: ["jawOpen", "mouthClose", "mouthPucker", "mouthFunnel", "tongueOut"].map(channel),
            pairs: ["mouthStretch", "mouthDimple", "mouthUpperUp", "mouthLowerDown", "mouthPress"].map(sides),
            roll_upper: channel("mouthRollUpper"),
        }
    }

    fn write(&self, sheet: &mut Sheet, frame: usize, mean: &[f64; FEATURES]) {
        let of = |feature: Feature| mean[feature as usize];
        let jaw = (self.jaw * of(Feature::Jaw)).clamp(0.0, 0.9);
        let (close, tuck) = (of(Feature::Close), of(Feature::Tuck));
        let apart = (1.0 - close).clamp(0.0, 1.0);
        let lips = |feature: Feature| (self.lips * of(feature)).max(0.0);
        let single =
            [jaw, close * jaw, lips(Feature::Pucker), lips(Feature::Funnel), of(Feature::Tongue) * apart];
        for (channel, value) in self.single.into_iter().zip(single) {
            sheet.add(frame, channel, value);
        }
        let stretch = lips(Feature::Stretch);
        let press = lips(Feature::Press) * close;
        // Lips in contact are not drawn apart.
        let pairs = [
            stretch,
            0.3 * stretch,
            lips(Feature::Upper) * apart,
            lips(Feature::Lower) * apart * (1.0 - tuck),
            press,
        ];
        for (pair, value) in self.pairs.into_iter().zip(pairs) {
            pair.into_iter().for_each(|channel| sheet.add(frame, channel, value));
        }
        sheet.add(frame, self.roll_upper - 1, 0.62 * tuck + 0.4 * press);
        sheet.add(frame, self.roll_upper, 0.35 * press);
    }
}
