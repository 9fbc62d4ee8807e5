//! What a listener answers: nods, raised brows, smiles and short words after the partner's cues.
//!
//! Cues are those of [`unils::metrics::cues`]: a pause after 700 ms of speech with its final fall or rise, and
//! regions of low pitch (Ward & Tsukahara 2000; Gravano & Hirschberg 2011). An answer begins 200 to 600 ms after a cue,
//! where it does at all: people answer some half of the invitations, some people hardly any, and hardly anybody two within a
//! second. Now and then one is given without a cue.
//!
//! Who is about to speak does not answer: taking the turn is the answer.

use unils::metrics::cues::{Contour, Cue, CueKind};

use super::person::Person;
use crate::dialogue::Side;
use crate::dice::Dice;

/// Delays of answers, seconds.
pub const DELAY_S: (f64, f64) = (0.2, 0.6);
/// Answers are at least this far apart, seconds.
const APART_S: f64 = 1.1;
/// Mean time between answers that nothing invited, while the partner speaks, seconds.
const UNINVITED_S: f64 = 28.0;

/// A listener's gesture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gesture {
    /// So many nods, of that size in radians.
    Nod {
        /// Cycles.
        cycles: usize,
        /// Height of the largest, radians.
        size: f64,
    },
    /// A short shake of the head, in sympathy or disbelief: so many cycles.
    Shake {
        /// Cycles.
        cycles: usize,
        /// Half of its width, radians.
        size: f64,
    },
    /// Raised brows.
    Brows,
    /// A smile.
    Smile,
    /// A word such as "yeah".
    Voice,
}

/// A gesture with its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// Begin, seconds.
    pub time_s: f64,
    /// What it is.
    pub gesture: Gesture,
}

/// What a listener with `own` speech answers to the cues of a partner, in order of time.
pub fn answers(cues: &[Cue], own: &Side, partner: &Side, person: &Person, dice: &mut Dice) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    let mut last_s = f64::NEG_INFINITY;
    for cue in cues {
        let inviting = match cue.kind {
            CueKind::Pause(Contour::Fall | Contour::Rise) => 1.15,
            CueKind::Pause(_) => 0.95,
            CueKind::LowPitch => 0.75,
        };
        let delay = dice.normal(0.38, 0.11).clamp(DELAY_S.0, DELAY_S.1);
        let time_s = cue.time_s + delay;
        let busy = own.speaks_within(cue.time_s - 0.2, time_s + 0.7);
        if dice.chance((person.responsiveness * inviting).min(0.95)) && !busy && time_s - last_s >= APART_S {
            respond(time_s, person, dice, &mut answers);
            last_s = time_s;
        }
    }
    for spurt in &partner.spurts {
        let mut time_s = spurt.start_s + dice.exponential(UNINVITED_S);
        while time_s < spurt.end_s {
            let near = answers.iter().any(|answer| (answer.time_s - time_s).abs() < APART_S);
            if !near && !own.speaks_within(time_s - 0.3, time_s + 0.8) {
                respond(time_s, person, dice, &mut answers);
            }
            time_s += dice.exponential(UNINVITED_S);
        }
    }
    answers.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    answers
}

/// One or two gestures that begin about together.
fn respond(time_s: f64, person: &Person, dice: &mut Dice, answers: &mut Vec<Answer>) {
    let chosen = dice.weighted(&person.answers);
    let gesture = match chosen {
        0 if dice.chance(0.05) => Gesture::Shake { cycles: 1 + dice.below(2), size: dice.range(0.03, 0.07) },
        0 => nod(person, dice),
        1 => Gesture::Brows,
        2 => Gesture::Smile,
        _ => Gesture::Voice,
    };
    answers.push(Answer { time_s, gesture });
    // A word mostly comes with a nod, other gestures sometimes.
    let with_nod = match gesture {
        Gesture::Voice => 0.7,
        Gesture::Brows | Gesture::Smile => 0.3,
        _ => 0.0,
    };
    if dice.chance(with_nod * person.answers[0].min(1.0)) {
        answers.push(Answer { time_s: time_s + dice.range(-0.08, 0.12), gesture: nod(person, dice) });
    }
}

/// A single, double or longer nod in a person's habit; small nods are more often repeated.
pub(super) fn nod(person: &Person, dice: &mut Dice) -> Gesture {
    let mut cycles = 1;
    while cycles < 4 && dice.chance(person.nod_repeats) {
        cycles += 1;
    }
    let size = person.nod_size * dice.log_normal(1.0, 0.3) / (1.0 + 0.12 * (cycles - 1) as f64);
    Gesture::Nod { cycles, size: size.clamp(0.035, 0.28) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::{Phone, Segment};
    use crate::text::Kind;
    use crate::voices::Spoken;

    fn speech(side: &mut Side, start_s: f64, seconds: f64) {
        let phones = vec![Segment { phone: Phone::Aa, start_s: 0.0, end_s: seconds }];
        let spoken = Spoken { samples: vec![0.1; (seconds * 16e3) as usize], phones };
        assert!(side.put(&spoken, Kind::Statement, start_s, 1.0));
    }

    #[test]
    fn half_of_the_cues_are_answered_in_time() {
        let (mut partner, mut own) = (Side::default(), Side::default());
        let mut cues = Vec::new();
        for turn in 0..200 {
            let start = 4.0 * f64::from(turn);
            speech(&mut partner, start, 2.0);
            let kind = CueKind::Pause(Contour::Fall);
            cues.push(Cue { time_s: start + 2.0, known_s: start + 2.2, kind });
            if turn % 4 == 3 {
                // The listener takes the turn: no answer.
                speech(&mut own, start + 2.3, 1.0);
            }
        }
        let mut dice = Dice::new(2, 0, "answers");
        let mut person = Person::draw(&mut dice);
        (person.responsiveness, person.answers) = (0.5, [0.7, 0.1, 0.1, 0.3]);
        let answers = answers(&cues, &own, &partner, &person, &mut dice);
        let after = |cue: &Cue| answers.iter().any(|a| (0.11..0.73).contains(&(a.time_s - cue.time_s)));
        let free: Vec<&Cue> =
            cues.iter().enumerate().filter(|(at, _)| at % 4 != 3).map(|(_, cue)| cue).collect();
        let answered = free.iter().filter(|cue| after(cue)).count() as f64 / free.len() as f64;
        assert!((0.45..0.75).contains(&answered), "{answered}");
        assert!(cues.iter().skip(3).step_by(4).filter(|cue| after(cue)).count() <= 2);
        let nods = answers.iter().filter(|a| matches!(a.gesture, Gesture::Nod { .. })).count();
        assert!(
            nods as f64 > 0.45 * answers.len() as f64 && nods < answers.len(),
            "{nods} of {}",
            answers.len()
        );
        let mut cycles: Vec<usize> = answers
            .iter()
            .filter_map(|a| if let Gesture::Nod { cycles, .. } = a.gesture { Some(cycles) } else { None })
            .collect();
        cycles.sort_unstable();
        assert!(cycles[0] == 1 && cycles[cycles.len() - 1] >= 2);
    }

    #[test]
    fn some_people_hardly_answer() {
        let kind = CueKind::Pause(Contour::Level);
        let cues: Vec<Cue> = (0..100)
            .map(|k| Cue { time_s: 3.0 * f64::from(k), known_s: 3.0 * f64::from(k) + 0.2, kind })
            .collect();
        let mut dice = Dice::new(2, 0, "few");
        let mut person = Person::draw(&mut dice);
        person.responsiveness = 0.03;
        let few = answers(&cues, &Side::default(), &Side::default(), &person, &mut dice);
        assert!(few.len() < 14, "{}", few.len());
    }
}
