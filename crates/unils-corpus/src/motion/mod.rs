//! Motion by published rules: a module for each behaviour.
//!
//! | module | behaviour |
//! |---|---|
//! | [`lips`], [`viseme`] | mouth and jaw from sounds |
//! | [`blinks`] | lids |
//! | [`gaze`] | eyes, and lids that follow them |
//! | [`head`] | posture, accents, nods |
//! | [`brows`], [`smiles`] | expression |
//! | [`backchannels`] | what a listener answers, and when |
//! | [`person`] | habits, drawn once per person |
//! | [`range`] | what goes beyond the rules |
//!
//! [`perform`] puts all of it together for one person: gaze is planned first, because blinks and the head follow it; eyes
//! are written after the head, because they turn against it; blinks close what is left open.

pub mod backchannels;
pub mod blinks;
pub mod brows;
pub mod curve;
pub mod gaze;
pub mod head;
pub mod lips;
pub mod person;
pub mod range;
pub mod sheet;
pub mod smiles;
pub mod viseme;

use crate::dialogue::{Side, Turn};
use crate::dice::Dice;
use crate::prosody::Prosody;
use backchannels::Answer;
use person::Person;
use sheet::Sheet;
use smiles::Smile;

/// What somebody's motion follows from.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Who it is.
    pub person: &'a Person,
    /// What the person says, acknowledgements included.
    pub own: &'a Side,
    /// What the partner says.
    pub partner: &'a Side,
    /// Which of the two the person is.
    pub who: usize,
    /// Everybody's turns.
    pub turns: &'a [Turn],
    /// How the person says it.
    pub prosody: &'a Prosody,
    /// What the person answers.
    pub answers: &'a [Answer],
    /// The person's smiles.
    pub smiles: &'a [Smile],
    /// Length.
    pub frames: usize,
}

/// The motion of one person: (frames, 55).
pub fn perform(scene: &Scene, dice: &mut Dice) -> Vec<f32> {
    let Scene { person, own, partner, who, turns, prosody, answers, smiles, frames } = *scene;
    let seconds = frames as f64 / unils::motion::FPS;
    let mut sheet = Sheet::new(frames);
    lips::write(&mut sheet, &own.phones, &prosody.openings, person);
    smiles::write(&mut sheet, person, smiles);
    brows::write(&mut sheet, person, own, &prosody.accents, answers, &mut dice.split("brows"));
    let fixations = gaze::plan(person, own, turns, who, seconds, &mut dice.split("gaze"));
    let causes =
        head::Causes { person, own, accents: &prosody.accents, turns, answers, fixations: &fixations };
    let head = head::plan(&causes, frames, &mut dice.split("head"));
    gaze::write(&mut sheet, &fixations, [&head.angles[0], &head.angles[1]]);
    for (name, angle) in ["headYaw", "headPitch", "headRoll"].into_iter().zip(&head.angles) {
        let channel = person::channel(name);
        angle.iter().enumerate().for_each(|(frame, &value)| sheet.set(frame, channel, value));
    }
    range::write(&mut sheet, &person.range, &mut dice.split("range"));
    let blinks = blinks::plan(person, [own, partner], &fixations, seconds, &mut dice.split("blink times"));
    blinks::write(&mut sheet, &blinks, &mut dice.split("blinks"));
    sheet.into_motion()
}

#[cfg(test)]
mod tests {
    use unils::motion::Space;

    #[test]
    fn every_channel_that_is_named_exists() {
        for name in [
            "jawOpen",
            "mouthClose",
            "mouthPucker",
            "mouthFunnel",
            "tongueOut",
            "mouthRollUpper",
            "browInnerUp",
            "headYaw",
            "headPitch",
            "headRoll",
        ] {
            assert!(Space::Arkit55.index(name).is_some(), "{name}");
        }
        for pair in [
            "mouthStretch",
            "mouthDimple",
            "mouthUpperUp",
            "mouthLowerDown",
            "mouthPress",
            "mouthSmile",
            "cheekSquint",
            "eyeSquint",
            "eyeBlink",
            "eyeWide",
            "eyeLookDown",
            "eyeLookIn",
            "eyeLookOut",
            "eyeLookUp",
            "browDown",
            "browOuterUp",
        ] {
            for side in ["Left", "Right"] {
                assert!(Space::Arkit55.index(&format!("{pair}{side}")).is_some(), "{pair}{side}");
            }
        }
        let [lower, upper] =
            ["mouthRollLower", "mouthRollUpper"].map(|name| Space::Arkit55.index(name).unwrap());
        assert_eq!(lower + 1, upper);
    }
}
