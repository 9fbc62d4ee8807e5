//! The head: posture, drift, accents, nods, shakes and tilts.
//!
//! * Posture drifts slowly and is changed now and then, more often where turns change hands.
//! * While speaking the head moves all the time, with the rhythm of syllables and phrases (Hadar et al. 1983), and marks
//!   stressed syllables with short movements down or to a side (Graf et al. 2002; Munhall et al. 2004).
//! * Listeners' nods are single or repeated, 2 to 3 cycles a second, the first the largest; some begin with a small way up
//!   (Boholm & Lindblad 2011; Hadar, Steiner & Rose 1985 give 1.8 to 3.7 Hz for ordinary head movements). Questions go
//!   with a tilt.
//! * Part of a long look away is taken by the head.
//!
//! What is above 3.5 Hz is some tenth of the velocity's power, as in recordings of people.

use unils::motion::FPS;

use super::backchannels::{Answer, Gesture, nod};
use super::curve::{Hold, frame_time, min_jerk, wander};
use super::gaze::Fixation;
use super::person::Person;
use crate::dialogue::{Side, Turn};
use crate::dice::Dice;
use crate::prosody::Accent;
use crate::text::Kind;

/// Yaw, pitch and roll over time, radians.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The three angles, a value a frame each.
    pub angles: [Vec<f64>; 3],
}

/// What moves a head.
#[derive(Debug, Clone, Copy)]
pub struct Causes<'a> {
    /// Who it is.
    pub person: &'a Person,
    /// What the person says.
    pub own: &'a Side,
    /// The person's stressed syllables.
    pub accents: &'a [Accent],
    /// Everybody's turns.
    pub turns: &'a [Turn],
    /// What the person answers.
    pub answers: &'a [Answer],
    /// Where the person looks.
    pub fixations: &'a [Fixation],
}

const YAW: usize = 0;
const PITCH: usize = 1;
const ROLL: usize = 2;

/// Deviation of the slow drift of yaw, pitch and roll, radians.
const DRIFT: [f64; 3] = [0.022, 0.016, 0.013];
/// Deviation of what speaking adds.
const SPEAKING: [f64; 3] = [0.02, 0.021, 0.012];
/// Deviation of changes of posture.
const POSTURE: [f64; 3] = [0.045, 0.026, 0.022];

/// The head's motion over so many frames.
pub fn plan(causes: &Causes, frames: usize, dice: &mut Dice) -> Head {
    let mut head = Head { angles: causes.person.head_rest.map(|rest| vec![rest; frames]) };
    head.drift(causes, dice);
    head.posture(causes, dice);
    head.follow_gaze(causes, dice);
    head.accents(causes, dice);
    head.tilts(causes, dice);
    head.answers(causes, dice);
    head
}

impl Head {
    fn frames(&self) -> usize {
        self.angles[0].len()
    }

    /// Slow wandering, and faster while speaking.
    fn drift(&mut self, causes: &Causes, dice: &mut Dice) {
        let frames = self.frames();
        let speaking = speaking(causes.own, frames);
        for angle in 0..3 {
            let slow = wander(frames, 1.6, dice);
            let middling = wander(frames, 0.55, dice);
            let fast = wander(frames, 0.18, dice);
            // Breath, pulse and muscles: what keeps a still head from being a picture.
            let tremor = wander(frames, 0.05, dice);
            for frame in 0..frames {
                self.angles[angle][frame] += causes.person.head
                    * (DRIFT[angle] * (slow[frame] + 0.3 * middling[frame])
                        + SPEAKING[angle] * speaking[frame] * fast[frame]
                        + 0.0006 * tremor[frame]);
            }
        }
    }

    /// Changes of posture: some a minute, many where the floor changes hands.
    fn posture(&mut self, causes: &Causes, dice: &mut Dice) {
        let mut times = Vec::new();
        for turn in causes.turns {
            if dice.chance(0.4) {
                times.push(turn.start_s - 0.2 + dice.normal(0.0, 0.4));
            }
        }
        let mut time = dice.exponential(18.0);
        while time < self.frames() as f64 / FPS {
            times.push(time);
            time += dice.exponential(18.0);
        }
        times.sort_by(f64::total_cmp);
        let mut from = [0.0; 3];
        for time in times {
            let to = POSTURE.map(|deviation| {
                causes.person.head.sqrt() * dice.normal_within(0.0, deviation, 2.0 * deviation)
            });
            let way = dice.range(0.5, 1.3);
            for angle in 0..3 {
                for frame in (time.max(0.0) * FPS) as usize..self.frames() {
                    let done = min_jerk((frame_time(frame) - time) / way);
                    self.angles[angle][frame] += (to[angle] - from[angle]) * done;
                }
            }
            from = to;
        }
    }

    /// A third of a look away that is large and lasts.
    fn follow_gaze(&mut self, causes: &Causes, dice: &mut Dice) {
        let mut index = 0;
        while let Some(fixation) = causes.fixations.get(index) {
            let past = causes.fixations[index..]
                .iter()
                .position(|next| next.is_away != fixation.is_away)
                .map_or(causes.fixations.len(), |count| index + count);
            let end_s = causes.fixations.get(past).map_or(self.frames() as f64 / FPS, |next| next.start_s);
            let lasts = end_s - fixation.start_s;
            if fixation.is_away && lasts > 0.5 {
                let share = dice.range(0.15, 0.5);
                let hold = Hold {
                    start_s: fixation.start_s + 0.03,
                    rise_s: dice.range(0.3, 0.55),
                    hold_s: (lasts - 0.45).max(0.05),
                    fall_s: dice.range(0.35, 0.7),
                };
                self.add(PITCH, &hold, share * fixation.pitch);
                self.add(YAW, &hold, share * fixation.yaw);
            }
            index = past;
        }
    }

    /// Short movements on stressed syllables: mostly down, sometimes aside.
    fn accents(&mut self, causes: &Causes, dice: &mut Dice) {
        for accent in causes.accents {
            if !dice.chance(causes.person.accents[0]) {
                continue;
            }
            let size = causes.person.head.sqrt() * accent.strength * dice.log_normal(0.05, 0.4);
            let hold = Hold {
                start_s: accent.time_s - 0.12 + dice.normal(0.0, 0.03),
                rise_s: dice.range(0.18, 0.3),
                hold_s: dice.range(0.0, 0.08),
                fall_s: dice.range(0.3, 0.55),
            };
            match dice.weighted(&[0.7, 0.15, 0.15]) {
                0 => self.add(PITCH, &hold, size),
                1 => self.add(PITCH, &hold, -0.7 * size),
                _ => {
                    let aside = dice.sign();
                    self.add(YAW, &hold, aside * size);
                    self.add(ROLL, &hold, -0.4 * aside * size);
                }
            }
        }
    }

    /// A tilt at the end of questions, and now and then while listening.
    fn tilts(&mut self, causes: &Causes, dice: &mut Dice) {
        for spurt in &causes.own.spurts {
            let share = if spurt.kind == Kind::Question { 0.45 } else { 0.06 };
            if dice.chance(share) {
                let hold = Hold {
                    start_s: spurt.end_s - dice.range(0.2, 0.8),
                    rise_s: dice.range(0.3, 0.5),
                    hold_s: dice.range(0.3, 1.5),
                    fall_s: dice.range(0.4, 0.8),
                };
                self.add(ROLL, &hold, dice.sign() * dice.range(0.03, 0.1));
            }
        }
    }

    /// Nods and shakes.
    fn answers(&mut self, causes: &Causes, dice: &mut Dice) {
        for answer in causes.answers {
            match answer.gesture {
                Gesture::Nod { cycles, size } => self.nod(answer.time_s, cycles, size, causes.person, dice),
                Gesture::Shake { cycles, size } => self.shake(answer.time_s, cycles, size, dice),
                _ => {}
            }
        }
        // Speakers nod too, with what they affirm.
        for spurt in causes.own.spurts.iter().filter(|spurt| spurt.kind == Kind::Answer) {
            if dice.chance(0.3)
                && let Gesture::Nod { cycles, size } = nod(causes.person, dice)
            {
                self.nod(spurt.start_s + dice.range(-0.1, 0.3), cycles, 0.8 * size, causes.person, dice);
            }
        }
    }

    fn nod(&mut self, start_s: f64, cycles: usize, size: f64, person: &Person, dice: &mut Dice) {
        let mut time = start_s;
        let mut height = size;
        if dice.chance(0.25) {
            let up = Hold { start_s: time - 0.12, rise_s: 0.16, hold_s: 0.0, fall_s: 0.2 };
            self.add(PITCH, &up, -0.3 * size);
        }
        for cycle in 0..cycles {
            // Repeated nods are faster.
            let length =
                person.nod_cycle_s * if cycles > 1 { 0.82 } else { 1.0 } * dice.log_normal(1.0, 0.08);
            let down = dice.range(0.4, 0.48) * length;
            let hold = Hold { start_s: time, rise_s: down, hold_s: 0.0, fall_s: length - down };
            self.add(PITCH, &hold, height);
            time += length * dice.range(0.88, 1.0);
            height *= if cycle == 0 { dice.range(0.5, 0.85) } else { dice.range(0.6, 0.95) };
        }
        if dice.chance(0.3) {
            // The head comes to rest a little off where it began, and finds back.
            let after = Hold { start_s, rise_s: 0.3, hold_s: 0.2, fall_s: 1.0 };
            self.add(PITCH, &after, dice.normal(0.0, 0.2) * size);
        }
    }

    fn shake(&mut self, start_s: f64, cycles: usize, size: f64, dice: &mut Dice) {
        let (mut time, mut width, mut side) = (start_s, size, dice.sign());
        for _ in 0..2 * cycles {
            let length = dice.range(0.24, 0.34);
            let hold = Hold { start_s: time, rise_s: 0.5 * length, hold_s: 0.0, fall_s: 0.5 * length };
            self.add(YAW, &hold, side * width);
            (time, side, width) = (time + 0.9 * length, -side, 0.85 * width);
        }
    }

    fn add(&mut self, angle: usize, hold: &Hold, size: f64) {
        for frame in hold.frames(self.frames()) {
            self.angles[angle][frame] += size * hold.at(frame_time(frame));
        }
    }
}

/// 1 where somebody speaks, 0 elsewhere, with soft borders.
fn speaking(side: &Side, frames: usize) -> Vec<f64> {
    let mut curve = vec![0.0; frames];
    for spurt in &side.spurts {
        let hold = Hold {
            start_s: spurt.start_s - 0.2,
            rise_s: 0.3,
            hold_s: spurt.end_s - spurt.start_s,
            fall_s: 0.5,
        };
        for frame in hold.frames(frames) {
            curve[frame] = f64::max(curve[frame], hold.at(frame_time(frame)));
        }
    }
    curve
}

#[cfg(test)]
mod tests {
    use unils::metrics::gestures::{NodOptions, find_nods};
    use unils::metrics::liveliness::{FAST_HZ, fast_power_share};

    use super::*;
    use crate::dialogue::tests::babble;

    fn plain(dice: &mut Dice) -> Person {
        Person {
            head: 1.0,
            head_rest: [0.0; 3],
            nod_size: 0.09,
            nod_cycle_s: 0.5,
            nod_repeats: 0.4,
            ..Person::draw(dice)
        }
    }

    fn curves(head: &Head) -> [Vec<f32>; 3] {
        head.angles.clone().map(|angle| angle.into_iter().map(|value| value as f32).collect())
    }

    #[test]
    fn nods_come_when_they_are_planned() {
        let mut dice = Dice::new(6, 0, "nods");
        let person = plain(&mut dice);
        let answers: Vec<Answer> = (0..60)
            .map(|k| Answer { time_s: 2.0 + 4.0 * f64::from(k), gesture: nod(&person, &mut dice) })
            .collect();
        let own = Side::default();
        let causes = Causes {
            person: &person,
            own: &own,
            accents: &[],
            turns: &[],
            answers: &answers,
            fixations: &[],
        };
        let head = plan(&causes, 25 * 245, &mut dice);
        let [_, pitch, _] = curves(&head);
        let found = find_nods(&pitch, FPS, &NodOptions::default()).unwrap();
        let near = |answer: &&Answer| found.iter().any(|nod| (nod.start_s - answer.time_s).abs() < 0.25);
        let hits = answers.iter().filter(near).count();
        assert!(hits >= 50, "{hits} of 60");
        assert!(found.len() <= hits + 12, "{} found", found.len());
        assert!(found.iter().any(|nod| nod.cycles == 1) && found.iter().any(|nod| nod.cycles > 1));
    }

    #[test]
    fn spectra_and_spread_are_those_of_people() {
        let (mut fast, mut spread, mut count) = (0.0, 0.0, 0.0);
        for seed in 0..12 {
            let dialogue = babble(seed, 90.0);
            let mut dice = Dice::new(seed, 0, "head");
            let person = plain(&mut dice);
            let frames = (dialogue.seconds * FPS) as usize;
            let own = &dialogue.sides[0];
            let accents: Vec<Accent> = own
                .phones
                .iter()
                .filter(|phone| phone.phone.is_vowel() && phone.seconds() > 0.16)
                .map(|phone| Accent { time_s: phone.start_s, strength: 0.6 })
                .collect();
            let fixations =
                super::super::gaze::plan(&person, own, &dialogue.turns, 0, dialogue.seconds, &mut dice);
            let answers: Vec<Answer> = (0..8)
                .map(|k| Answer { time_s: 5.0 + 9.0 * f64::from(k), gesture: nod(&person, &mut dice) })
                .collect();
            let causes = Causes {
                person: &person,
                own,
                accents: &accents,
                turns: &dialogue.turns,
                answers: &answers,
                fixations: &fixations,
            };
            let angles = curves(&plan(&causes, frames, &mut dice));
            let views: Vec<&[f32]> = angles.iter().map(Vec::as_slice).collect();
            fast += fast_power_share(&views, FPS, FAST_HZ).unwrap().unwrap();
            spread += unils::metrics::liveliness::spread(&views).unwrap().unwrap();
            count += 1.0;
        }
        let (fast, spread) = (fast / count, spread / count);
        assert!((0.06..0.2).contains(&fast), "power above 3.5 Hz: {fast}");
        assert!((0.035..0.08).contains(&spread), "spread: {spread} rad");
    }
}
