//! What may be changed while a session runs, and the shaping of frames that follows from it.
//!
//! The last stage of a session and of [`animate`](crate::animate::animate): frames come as the model makes them and leave
//! as the listener and speaker is meant to look. With the controls at their defaults nothing changes, to the last bit.

use super::{OWN, PARTNER, Voices};
use crate::error::{Error, Result};
use crate::generator::Sampling;
use crate::motion::{Group, Space, turn_gaze};

/// Share of the way to a new gain that each frame takes: nine tenths in 0.3 s, without a jump.
const SLEW: f32 = 0.25;
/// A gain this near to its aim is there.
const NEAR: f32 = 1e-3;
/// Share of the way that the mouth's gate opens and closes by each frame: open in two frames, closed in half a second.
const GATE_OPENS: f32 = 0.6;
const GATE_CLOSES: f32 = 0.2;

/// How bits are drawn and frames are shaped. In a session it may change at any time: settings act from the next frame that
/// is made, gains by and by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Controls {
    /// Scales what is not speech: head, gaze, brows, cheeks and lids (a blink stays a whole one), and while the person
    /// listens the mouth as well. 0 to 2; 1 as the model makes it.
    pub liveliness: f32,
    /// Scales the face's shapes: mouth, jaw, brows, cheeks. Not head, gaze and blinks. 0 to 2; 1 as the model makes it.
    pub expression: f32,
    /// How much of the mouth's opening is taken away while the own voice is silent. 0 to 1; 0 as the model makes it.
    /// In FLAME-108, whose components move the whole face, this quiets brows and cheeks too.
    pub mouth_gate: f32,
    /// Where the person looks when it looks at its partner, degrees from straight ahead: to its own left (-45 to 45)
    /// and up (-30 to 30). The head takes two fifths of the turn, and gaze goes about as it does without.
    pub gaze: [f32; 2],
    /// How bits are drawn: guidance, temperature. Acts from the next window.
    pub sampling: Sampling,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            liveliness: 1.0,
            expression: 1.0,
            mouth_gate: 0.0,
            gaze: [0.0; 2],
            sampling: Sampling::default(),
        }
    }
}

impl Controls {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the value.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("liveliness", self.liveliness, 0.0, 2.0),
            ("expression", self.expression, 0.0, 2.0),
            ("mouth gate", self.mouth_gate, 0.0, 1.0),
            ("gaze to the left", self.gaze[0], -45.0, 45.0),
            ("gaze up", self.gaze[1], -30.0, 30.0),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let what = format!("expected a number from {least} to {most}, got {value}");
                return Err(Error::argument(name, what));
            }
        }
        self.sampling.validate()
    }
}

/// Which gains act on a channel.
#[derive(Debug, Clone, Copy)]
struct Role {
    /// Not the mouth and not a blink.
    is_lively: bool,
    /// One of the face's shapes other than a blink.
    is_expression: bool,
    /// Of the mouth: lively only while the person listens.
    is_mouth: bool,
    /// Part of the mouth's speaking.
    speaks: bool,
    /// Coefficients that have a range are kept in it when they are scaled up.
    range: Option<(f32, f32)>,
}

/// The gains of one participant, on their way to what the controls say.
#[derive(Debug, Clone)]
pub(super) struct Shaper {
    roles: Vec<Role>,
    liveliness: f32,
    expression: f32,
    /// What is left of the mouth's opening.
    gate: f32,
    /// Degrees to the left and up.
    gaze: [f32; 2],
    space: Space,
    /// Which of the two voices is this participant's.
    own: usize,
}

impl Shaper {
    pub(super) fn new(space: Space, participant: usize, controls: &Controls) -> Self {
        let (speech, blinks) = (space.speech_indices(), space.blink_indices());
        let role = |(index, channel): (usize, &crate::motion::Channel)| {
            let is_blink = blinks.contains(&index);
            let is_mouth =
                matches!(channel.group, Group::Mouth | Group::Jaw | Group::Tongue | Group::Expression);
            let is_face = !matches!(channel.group, Group::Head | Group::Eyes) && !is_blink;
            // FLAME's numbers have usual ranges, no limits.
            let range = (space == Space::Arkit55 && channel.group != Group::Head).then_some(channel.range);
            Role {
                is_lively: !is_mouth && !is_blink,
                is_expression: is_face,
                is_mouth,
                speaks: speech.contains(&index),
                range,
            }
        };
        let own = if participant == 0 { OWN } else { PARTNER };
        let roles = space.channels().iter().enumerate().map(role).collect();
        Self {
            roles,
            liveliness: controls.liveliness,
            expression: controls.expression,
            gate: 1.0,
            gaze: controls.gaze,
            space,
            own,
        }
    }

    /// Shapes the next frame in place.
    pub(super) fn shape(&mut self, frame: &mut [f32], voices: Voices, controls: &Controls) {
        let speaks = voices.speaks[self.own];
        approach(&mut self.liveliness, controls.liveliness, SLEW);
        approach(&mut self.expression, controls.expression, SLEW);
        let (aim, pace) = if speaks { (1.0, GATE_OPENS) } else { (1.0 - controls.mouth_gate, GATE_CLOSES) };
        approach(&mut self.gate, aim, pace);
        self.gaze.iter_mut().zip(controls.gaze).for_each(|(gaze, aim)| approach(gaze, aim, SLEW));
        self.scale(frame, speaks);
        if self.gaze != [0.0; 2] {
            let [left, up] = self.gaze.map(f32::to_radians);
            turn_gaze(self.space, frame, [left, -up]);
        }
    }

    /// Applies the gains.
    fn scale(&self, frame: &mut [f32], speaks: bool) {
        if self.liveliness == 1.0 && self.expression == 1.0 && self.gate == 1.0 {
            return;
        }
        for (value, role) in frame.iter_mut().zip(&self.roles) {
            let mut gain = 1.0;
            if role.is_lively || (role.is_mouth && !speaks) {
                gain *= self.liveliness;
            }
            if role.is_expression {
                gain *= self.expression;
            }
            if role.speaks {
                gain *= self.gate;
            }
            // Rest is zero in both spaces.
            let scaled = *value * gain;
            *value = match role.range {
                Some((low, high)) if gain > 1.0 => scaled.clamp(low.min(*value), high.max(*value)),
                _ => scaled,
            };
        }
    }
}

fn approach(value: &mut f32, aim: f32, share: f32) {
    *value = if (aim - *value).abs() < NEAR { aim } else { *value + (aim - *value) * share };
}

/// Frames in which an interrupted mouth closes: 160 ms.
const CLOSING: u64 = 4;
/// Frames that it then stays closed at least, until the model's own motion has come to rest.
const CLOSED: u64 = 6;
/// Frames in which it is given back to the model.
const OPENING: u64 = 6;

/// The closing of a mouth that was interrupted: how much of its opening is left, frame by frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    from: u64,
    /// What was left when it began.
    level: f32,
    /// The mouth is given back from here on.
    release: u64,
}

impl Closing {
    /// Closes from frame `from` on, not given back before frame `silent_from`; `before` is a closing that is under way.
    pub(super) fn begin(from: u64, silent_from: u64, before: Option<Self>) -> Self {
        let level = before.map_or(1.0, |before| before.left(from));
        Self { from, level, release: silent_from.max(from + CLOSING + CLOSED) }
    }

    /// The share of the mouth's opening that is left in a frame.
    pub(super) fn left(&self, frame: u64) -> f32 {
        let smooth = |x: f32| x * x * (3.0 - 2.0 * x);
        let share = |from: u64, length: u64| {
            let done = (frame + 1).saturating_sub(from).min(length);
            smooth(done as f32 / length as f32)
        };
        (self.level * (1.0 - share(self.from, CLOSING))).max(share(self.release, OPENING))
    }

    /// True when nothing is left to do from `frame` on.
    pub(super) fn is_over(&self, frame: u64) -> bool {
        frame >= self.release + OPENING
    }

    /// Applies it to a frame's speaking channels.
    pub(super) fn apply(&self, number: u64, frame: &mut [f32], speech: &[usize]) {
        let left = self.left(number);
        if left < 1.0 {
            speech.iter().for_each(|&channel| frame[channel] *= left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Voices = Voices { speaks: [false; 2] };
    const SPEAKING: Voices = Voices { speaks: [true, false] };

    fn shaped(controls: &Controls, voices: Voices) -> Vec<f32> {
        let mut shaper = Shaper::new(Space::Arkit55, 0, &Controls::default());
        let mut frame = Vec::new();
        for _ in 0..60 {
            frame = vec![0.4; 55];
            shaper.shape(&mut frame, voices, controls);
        }
        frame
    }

    fn at(frame: &[f32], name: &str) -> f32 {
        frame[Space::Arkit55.index(name).unwrap()]
    }

    #[test]
    fn liveliness_leaves_lips_and_blinks_alone() {
        let frame = shaped(&Controls { liveliness: 1.5, ..Controls::default() }, SPEAKING);
        for (name, expected) in [
            ("headYaw", 0.6),
            ("eyeLookInLeft", 0.6),
            ("browInnerUp", 0.6),
            ("jawOpen", 0.4),
            ("eyeBlinkLeft", 0.4),
        ] {
            assert!((at(&frame, name) - expected).abs() < 1e-6, "{name}: {}", at(&frame, name));
        }
        let frame = shaped(&Controls { liveliness: 0.5, ..Controls::default() }, SILENT);
        assert!((at(&frame, "mouthSmileLeft") - 0.2).abs() < 1e-6, "a listener's smile is listening motion");
        let frame = shaped(&Controls { liveliness: 2.0, expression: 2.0, ..Controls::default() }, SPEAKING);
        assert_eq!(at(&frame, "browInnerUp"), 1.0, "coefficients stay in their range");
        assert_eq!(at(&frame, "headYaw"), 0.8);
    }

    #[test]
    fn the_gate_closes_the_mouth_in_silence_only() {
        let gated = Controls { mouth_gate: 1.0, ..Controls::default() };
        let frame = shaped(&gated, SILENT);
        assert_eq!((at(&frame, "jawOpen"), at(&frame, "mouthSmileLeft")), (0.0, 0.4));
        assert_eq!(shaped(&gated, SPEAKING), vec![0.4; 55]);
        assert_eq!(shaped(&Controls::default(), SILENT), vec![0.4; 55]);
    }

    #[test]
    fn gaze_turns_without_a_jump_and_is_not_scaled() {
        let mut shaper = Shaper::new(Space::Arkit55, 0, &Controls::default());
        let controls = Controls { gaze: [-20.0, 5.0], liveliness: 0.0, ..Controls::default() };
        let mut last = 0.0;
        for _ in 0..60 {
            let mut frame = vec![0.0; 55];
            shaper.shape(&mut frame, SILENT, &controls);
            let yaw = at(&frame, "headYaw");
            assert!((yaw - last).abs() <= 0.4 * SLEW * 20f32.to_radians() + 1e-6);
            last = yaw;
        }
        assert!((last - 0.4 * (-20f32).to_radians()).abs() < 1e-6);
        assert!(Controls { gaze: [46.0, 0.0], ..Controls::default() }.validate().is_err());
        assert!(Controls { gaze: [0.0, f32::NAN], ..Controls::default() }.validate().is_err());
    }

    #[test]
    fn gains_change_without_a_jump() {
        let mut shaper = Shaper::new(Space::Arkit55, 0, &Controls::default());
        let controls = Controls { liveliness: 0.0, ..Controls::default() };
        let mut last = 0.4;
        for _ in 0..60 {
            let mut frame = vec![0.4; 55];
            shaper.shape(&mut frame, SILENT, &controls);
            let yaw = at(&frame, "headYaw");
            assert!(last - yaw <= 0.4 * SLEW + 1e-6 && yaw <= last);
            last = yaw;
        }
        assert_eq!(last, 0.0);
    }

    #[test]
    fn a_closing_mouth_is_closed_after_160_ms_and_given_back() {
        let closing = Closing::begin(10, 30, None);
        let left: Vec<f32> = (8..40).map(|frame| closing.left(frame)).collect();
        assert_eq!((left[0], left[1]), (1.0, 1.0));
        assert_eq!(left[5], 0.0);
        assert_eq!(left[21], 0.0);
        assert_eq!(left[27], 1.0);
        assert!(left.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.36));
        assert!(closing.is_over(36) && !closing.is_over(35));
        // A second interruption goes on from where the first one was.
        let again = Closing::begin(32, 40, Some(closing));
        assert!((again.left(31) - closing.left(32)).abs() < 1e-6);
    }
}
