//! Who somebody is: a style drawn once per person and conversation, kept through all of it.
//!
//! Medians and spreads are of the size that studies of the single behaviours report (see their modules); what matters more
//! is that people differ, and that one person stays the same.

use unils::motion::Space;

use super::range::Range;
use crate::dice::Dice;

/// A person's habits.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Blinks a minute while listening.
    pub blinks_per_minute: f64,
    /// Length of blinks; 1 as usual.
    pub blink_length: f64,
    /// How wide the jaw opens; 1 as usual.
    pub jaw: f64,
    /// How much the lips shape sounds; 1 as usual.
    pub lips: f64,
    /// Smile at rest, 0 to 0.15.
    pub smile_rest: f64,
    /// Smiles a minute.
    pub smiles_per_minute: f64,
    /// Size of a usual smile, 0 to 1.
    pub smile_size: f64,
    /// How often a cue is answered at all, 0 to 1; some people hardly do.
    pub responsiveness: f64,
    /// Weights of answers: nod, raised brows, smile, voice.
    pub answers: [f64; 4],
    /// Size of a nod, radians.
    pub nod_size: f64,
    /// Length of one cycle of a nod, seconds.
    pub nod_cycle_s: f64,
    /// How often a nod is repeated once more, 0 to 1.
    pub nod_repeats: f64,
    /// How much the head moves; 1 as usual.
    pub head: f64,
    /// How often an accent moves the head, and the brows, 0 to 1.
    pub accents: [f64; 2],
    /// Share of the time that the eyes are on the partner, listening and speaking.
    pub on_partner: [f64; 2],
    /// How strongly brows move; 1 as usual.
    pub brows: f64,
    /// Head at rest: yaw, pitch, roll in radians.
    pub head_rest: [f64; 3],
    /// Gains, offsets and events beyond the rules.
    pub range: Range,
}

impl Person {
    /// Somebody new.
    pub fn draw(dice: &mut Dice) -> Self {
        let hardly = dice.chance(0.12);
        Self {
            blinks_per_minute: dice.log_normal(14.5, 0.28).clamp(8.5, 25.0),
            blink_length: dice.log_normal(1.0, 0.13).clamp(0.8, 1.35),
            jaw: dice.log_normal(1.0, 0.22).clamp(0.55, 1.5),
            lips: dice.log_normal(1.0, 0.16).clamp(0.65, 1.4),
            smile_rest: dice.range(0.0, 0.12) * dice.unit(),
            smiles_per_minute: dice.log_normal(1.8, 0.6).clamp(0.3, 5.0),
            smile_size: dice.normal_within(0.45, 0.15, 0.3),
            responsiveness: if hardly { dice.range(0.0, 0.12) } else { dice.normal_within(0.55, 0.17, 0.35) },
            answers: [
                dice.range(0.5, 0.95),
                dice.range(0.02, 0.3),
                dice.range(0.03, 0.3),
                dice.range(0.1, 0.5),
            ],
            nod_size: dice.log_normal(0.085, 0.32).clamp(0.045, 0.2),
            nod_cycle_s: dice.log_normal(0.5, 0.16).clamp(0.36, 0.75),
            nod_repeats: dice.range(0.15, 0.6),
            head: dice.log_normal(1.0, 0.3).clamp(0.5, 1.9),
            accents: [dice.range(0.25, 0.75), dice.range(0.04, 0.3)],
            on_partner: [dice.range(0.68, 0.9), dice.range(0.4, 0.68)],
            brows: dice.log_normal(1.0, 0.35).clamp(0.4, 2.0),
            head_rest: [
                dice.normal_within(0.0, 0.04, 0.09),
                dice.normal_within(0.02, 0.04, 0.09),
                dice.normal_within(0.0, 0.02, 0.05),
            ],
            range: Range::draw(dice),
        }
    }
}

/// Position of a channel of ARKit-55 by its name.
pub(super) fn channel(name: &str) -> usize {
    // All names are tested to exist.
    Space::Arkit55.index(name).unwrap_or_default()
}

/// Positions of the two channels of a pair by their common name: left, right.
pub(super) fn sides(name: &str) -> [usize; 2] {
    ["Left", "Right"].map(|side| channel(&format!("{name}{side}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_differ() {
        let mut dice = Dice::new(0, 0, "people");
        let people: Vec<Person> = (0..500).map(|_| Person::draw(&mut dice)).collect();
        let mean = people.iter().map(|person| person.blinks_per_minute).sum::<f64>() / 500.0;
        assert!((14.0..16.5).contains(&mean), "{mean}");
        let silent = people.iter().filter(|person| person.responsiveness < 0.15).count();
        assert!((30..95).contains(&silent), "{silent}");
        assert!(people[0] != people[1]);
    }
}
