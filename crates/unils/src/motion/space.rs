//! Motion spaces as data: the one place that knows what each motion channel means.
//!
//! Everything between the codec and the files is a row of numbers per frame; a [`Space`] says what the
//! numbers are. The models serve either space without knowing which, the face rigs and writers ask here.
//!
//! * [`Space::Flame108`] is the released models' space: 100 FLAME expression coefficients, the head's rotation
//!   as an axis-angle vector, the jaw's opening, two angles an eye (FLAME: Li et al. 2017).
//! * [`Space::Arkit55`] is the space of the live preset: the 52 blend shape coefficients of
//!   `ARFaceAnchor.BlendShapeLocation` under Apple's names, then the head's yaw, pitch and roll.
//!
//! Apple's order: the constants in the order in which Apple's documentation of `BlendShapeLocation` lists them,
//! group by group (left eye, right eye, mouth and jaw, brows, cheeks and nose, tongue). Unreal's
//! `EARFaceBlendShape` has the same order. Two others are in use and differ: the header and several bindings
//! sort by name, and the CSV of Epic's Live Link Face app has `JawRight` before `JawLeft` and `MouthRight` before
//! `MouthLeft` (and spells names with a capital). So match by name, never by position.
//!
//! Axes of all rotations, right-handed, in radians, about the face's own axes: x to the person's left, y up,
//! z out of the face. A positive `head_x` or `headPitch` nods down, a positive `head_y` or `headYaw` turns to the
//! person's left, a positive `head_z` or `headRoll` tilts the crown to the person's right. ARKit-55 composes
//! `R = R_y(yaw) R_x(pitch) R_z(roll)`; FLAME-108 is the axis-angle vector of one rotation.
//!
//! ```
//! use unils::motion::{Group, Space};
//! let space = Space::from_name("arkit55")?;
//! assert_eq!(space.channels().len(), 55);
//! assert_eq!(space.index("jawOpen"), Some(17));
//! assert_eq!(Space::Flame108.group_indices(Group::Head), [100, 101, 102]);
//! # Ok::<(), unils::Error>(())
//! ```

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a row of motion numbers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// 108 channels of the FLAME face model, the space of the released checkpoints.
    Flame108,
    /// 52 ARKit blend shape coefficients and three head angles.
    Arkit55,
}

/// A channel's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A dimensionless coefficient: of a FLAME expression component, or of a blend shape (0 rest, 1 full).
    Coefficient,
    /// An angle in radians.
    Radian,
}

impl Unit {
    /// The unit as files write it: `1` or `rad`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Coefficient => "1",
            Self::Radian => "rad",
        }
    }
}

/// The part of the face that a channel moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// FLAME's expression components, which move the whole face.
    Expression,
    /// Gaze: where the eyes look.
    Eyes,
    /// Eyelids: blinking, squinting, widening.
    Lids,
    /// Lower jaw.
    Jaw,
    /// Lips and corners of the mouth.
    Mouth,
    /// Eyebrows.
    Brows,
    /// Cheeks and nose.
    CheeksNose,
    /// Tongue.
    Tongue,
    /// Rotation of the head.
    Head,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 9] = [
        Self::Expression,
        Self::Eyes,
        Self::Lids,
        Self::Jaw,
        Self::Mouth,
        Self::Brows,
        Self::CheeksNose,
        Self::Tongue,
        Self::Head,
    ];

    /// The group's name in documents and plots.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expression => "expression",
            Self::Eyes => "eyes",
            Self::Lids => "lids",
            Self::Jaw => "jaw",
            Self::Mouth => "mouth",
            Self::Brows => "brows",
            Self::CheeksNose => "cheeks_nose",
            Self::Tongue => "tongue",
            Self::Head => "head",
        }
    }
}

/// One motion channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// Name, unique in its space.
    pub name: &'static str,
    /// Unit of its numbers.
    pub unit: Unit,
    /// Smallest and largest usual number: for sliders and plots, not a limit that files are held to.
    pub range: (f32, f32),
    /// What it moves.
    pub group: Group,
}

impl Space {
    /// All spaces.
    pub const ALL: [Self; 2] = [Self::Flame108, Self::Arkit55];

    /// The name in files and options: `flame108`, `arkit55`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flame108 => "flame108",
            Self::Arkit55 => "arkit55",
        }
    }

    /// The space of that name; case, `-` and `_` do not matter.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
        Self::ALL.into_iter().find(|space| plain.eq_ignore_ascii_case(space.name())).ok_or_else(|| {
            Error::argument("motion space", format!("{:?} is not known", shorten(name)))
                .with_hint("the motion spaces are flame108 and arkit55")
        })
    }

    /// The space with that many channels, if there is one.
    pub fn from_width(channels: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.width() == channels)
    }

    /// The channels, in the order of the numbers of a frame.
    pub fn channels(self) -> &'static [Channel] {
        match self {
            Self::Flame108 => &FLAME_108,
            Self::Arkit55 => &ARKIT_55,
        }
    }

    /// Number of channels: the numbers a frame has.
    pub fn width(self) -> usize {
        self.channels().len()
    }

    /// Position of a channel in a frame, by its exact name.
    pub fn index(self, name: &str) -> Option<usize> {
        self.channels().iter().position(|channel| channel.name == name)
    }

    /// Positions of a group's channels, ascending; empty if the space has none.
    pub fn group_indices(self, group: Group) -> Vec<usize> {
        let channels = self.channels().iter().enumerate();
        channels.filter(|(_, channel)| channel.group == group).map(|(index, _)| index).collect()
    }

    /// Positions of the channels by which a mouth speaks, ascending: jaw, tongue and lips without those that show
    /// feeling (smiles, frowns, dimples). FLAME's expression components move lips, cheeks and brows together and are
    /// all among them.
    pub fn speech_indices(self) -> Vec<usize> {
        let shows_feeling = |name: &str| {
            ["mouthSmile", "mouthFrown", "mouthDimple"].iter().any(|shape| name.starts_with(shape))
        };
        let channels = self.channels().iter().enumerate();
        let speaks = channels.filter(|(_, channel)| match channel.group {
            Group::Jaw | Group::Tongue | Group::Expression => true,
            Group::Mouth => !shows_feeling(channel.name),
            _ => false,
        });
        speaks.map(|(index, _)| index).collect()
    }

    /// Positions of the channels that close the eyes for a blink; empty in FLAME-108, where that is part of the
    /// expression.
    pub fn blink_indices(self) -> Vec<usize> {
        let channels = self.channels().iter().enumerate();
        channels.filter(|(_, channel)| channel.name.starts_with("eyeBlink")).map(|(index, _)| index).collect()
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Space {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::from_name(name)
    }
}

/// The columns of the release's dataset rows (`motioncode`) that make a FLAME-108 frame, in order: expression,
/// head and the jaw's first angle; the left eye's first two; the right eye's first two.
pub const RELEASE_COLUMNS: [Range<usize>; 3] = [0..104, 106..108, 109..111];

/// The fewest columns that a row of the release's dataset has.
pub const RELEASE_MIN_COLUMNS: usize = 111;

const fn channel(name: &'static str, unit: Unit, range: (f32, f32), group: Group) -> Channel {
    Channel { name, unit, range, group }
}

const fn shape(name: &'static str, group: Group) -> Channel {
    channel(name, Unit::Coefficient, (0.0, 1.0), group)
}

const fn head(name: &'static str) -> Channel {
    channel(name, Unit::Radian, (-1.0, 1.0), Group::Head)
}

const fn gaze(name: &'static str) -> Channel {
    channel(name, Unit::Radian, (-0.6, 0.6), Group::Eyes)
}

const NAME_LEN: usize = "expression_000".len();

/// `expression_000` to `expression_099`.
static EXPRESSION_NAMES: [[u8; NAME_LEN]; 100] = {
    let mut names = [*b"expression_000"; 100];
    let mut index = 0;
    while index < 100 {
        names[index][NAME_LEN - 2] += (index / 10) as u8;
        names[index][NAME_LEN - 1] += (index % 10) as u8;
        index += 1;
    }
    names
};

static FLAME_108: [Channel; 108] = {
    let mut channels = [channel("", Unit::Coefficient, (-3.0, 3.0), Group::Expression); 108];
    let mut index = 0;
    while index < 100 {
        channels[index].name = match std::str::from_utf8(&EXPRESSION_NAMES[index]) {
            Ok(name) => name,
            Err(_) => "",
        };
        index += 1;
    }
    channels[100] = head("head_x");
    channels[101] = head("head_y");
    channels[102] = head("head_z");
    channels[103] = channel("jaw", Unit::Radian, (0.0, 0.6), Group::Jaw);
    channels[104] = gaze("eye_left_x");
    channels[105] = gaze("eye_left_y");
    channels[106] = gaze("eye_right_x");
    channels[107] = gaze("eye_right_y");
    channels
};

static ARKIT_55: [Channel; 55] = [
    shape("eyeBlinkLeft", Group::Lids),
    shape("eyeLookDownLeft", Group::Eyes),
    shape("eyeLookInLeft", Group::Eyes),
    shape("eyeLookOutLeft", Group::Eyes),
    shape("eyeLookUpLeft", Group::Eyes),
    shape("eyeSquintLeft", Group::Lids),
    shape("eyeWideLeft", Group::Lids),
    shape("eyeBlinkRight", Group::Lids),
    shape("eyeLookDownRight", Group::Eyes),
    shape("eyeLookInRight", Group::Eyes),
    shape("eyeLookOutRight", Group::Eyes),
    shape("eyeLookUpRight", Group::Eyes),
    shape("eyeSquintRight", Group::Lids),
    shape("eyeWideRight", Group::Lids),
    shape("jawForward", Group::Jaw),
    shape("jawLeft", Group::Jaw),
    shape("jawRight", Group::Jaw),
    shape("jawOpen", Group::Jaw),
    shape("mouthClose", Group::Mouth),
    shape("mouthFunnel", Group::Mouth),
    shape("mouthPucker", Group::Mouth),
    shape("mouthLeft", Group::Mouth),
    shape("mouthRight", Group::Mouth),
    shape("mouthSmileLeft", Group::Mouth),
    shape("mouthSmileRight", Group::Mouth),
    shape("mouthFrownLeft", Group::Mouth),
    shape("mouthFrownRight", Group::Mouth),
    shape("mouthDimpleLeft", Group::Mouth),
    shape("mouthDimpleRight", Group::Mouth),
    shape("mouthStretchLeft", Group::Mouth),
    shape("mouthStretchRight", Group::Mouth),
    shape("mouthRollLower", Group::Mouth),
    shape("mouthRollUpper", Group::Mouth),
    shape("mouthShrugLower", Group::Mouth),
    shape("mouthShrugUpper", Group::Mouth),
    shape("mouthPressLeft", Group::Mouth),
    shape("mouthPressRight", Group::Mouth),
    shape("mouthLowerDownLeft", Group::Mouth),
    shape("mouthLowerDownRight", Group::Mouth),
    shape("mouthUpperUpLeft", Group::Mouth),
    shape("mouthUpperUpRight", Group::Mouth),
    shape("browDownLeft", Group::Brows),
    shape("browDownRight", Group::Brows),
    shape("browInnerUp", Group::Brows),
    shape("browOuterUpLeft", Group::Brows),
    shape("browOuterUpRight", Group::Brows),
    shape("cheekPuff", Group::CheeksNose),
    shape("cheekSquintLeft", Group::CheeksNose),
    shape("cheekSquintRight", Group::CheeksNose),
    shape("noseSneerLeft", Group::CheeksNose),
    shape("noseSneerRight", Group::CheeksNose),
    shape("tongueOut", Group::Tongue),
    head("headYaw"),
    head("headPitch"),
    head("headRoll"),
];

/// The first characters of a string from outside, for messages.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str(" ...");
    }
    short
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn spaces_have_their_widths_and_unique_names() {
        for (space, width) in [(Space::Flame108, 108), (Space::Arkit55, 55)] {
            assert_eq!(space.width(), width);
            let names: BTreeSet<_> = space.channels().iter().map(|channel| channel.name).collect();
            assert_eq!(names.len(), width);
            assert_eq!(Space::from_width(width), Some(space));
            assert_eq!(Space::from_name(&space.name().to_uppercase()).unwrap(), space);
            let grouped: usize = Group::ALL.iter().map(|&group| space.group_indices(group).len()).sum();
            assert_eq!(grouped, width);
        }
        assert_eq!(Space::from_width(7), None);
    }

    #[test]
    fn flame_layout_is_the_release_s() {
        let flame = Space::Flame108;
        assert_eq!(flame.group_indices(Group::Expression), (0..100).collect::<Vec<_>>());
        assert_eq!(flame.group_indices(Group::Head), [100, 101, 102]);
        assert_eq!(flame.group_indices(Group::Jaw), [103]);
        assert_eq!(flame.group_indices(Group::Eyes), [104, 105, 106, 107]);
        assert_eq!(flame.channels()[0].name, "expression_000");
        assert_eq!(flame.channels()[99].name, "expression_099");
        assert_eq!(flame.index("eye_right_y"), Some(107));
        assert_eq!(RELEASE_COLUMNS.iter().map(ExactSizeIterator::len).sum::<usize>(), 108);
    }

    #[test]
    fn arkit_has_52_shapes_then_the_head() {
        let arkit = Space::Arkit55;
        assert_eq!(arkit.channels().iter().filter(|channel| channel.unit == Unit::Coefficient).count(), 52);
        assert_eq!(arkit.group_indices(Group::Head), [52, 53, 54]);
        assert_eq!(arkit.group_indices(Group::Tongue), [51]);
        assert_eq!(arkit.group_indices(Group::Mouth).len(), 23);
        assert_eq!(arkit.group_indices(Group::Lids).len(), 6);
        assert_eq!(arkit.group_indices(Group::Eyes).len(), 8);
        assert_eq!(arkit.blink_indices(), [0, 7]);
        // Four of the jaw, the tongue, and of the mouth all but three pairs.
        assert_eq!(arkit.speech_indices().len(), 4 + 1 + 23 - 6);
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let error = Space::from_name("smpl").unwrap_err();
        assert_eq!(error.to_string(), "motion space: \"smpl\" is not known");
        assert!(error.hint().unwrap().contains("arkit55"));
    }
}
