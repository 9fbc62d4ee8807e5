//! Behaviour as curves: what the detectors read, one number a frame, the same for every motion space.
//!
//! ARKit-55 names the behaviour, so its coefficients are the curves. FLAME-108 does not: there, or for any rig when one
//! wants what is seen rather than what was asked for, the curves are measured on vertices without head rotation,
//! relative to the face at rest, and scaled so that a full expression is about 1 as in ARKit:
//!
//! | curve | ARKit-55 | on vertices |
//! |---|---|---|
//! | mouth opening | jawOpen - mouthClose, at least 0 | gap of the inner lips beyond the gap at rest, 22 mm = 1; without their labels, of the lips' middle |
//! | blink | mean of eyeBlinkLeft and Right | 1 - opening of the lids relative to rest |
//! | brow raise | mean of browInnerUp and the mean of browOuterUpLeft and Right | how far a fifth of the upper face's vertices rise at least, 6 mm = 1 |
//! | smile | mean of mouthSmileLeft and Right | way of the mouth's corners up and outwards, 12 mm = 1 |
//! | head pitch, yaw, roll | headPitch, headYaw, headRoll (rad) | from the head's rotation (rad) |
//!
//! ```
//! use unils::metrics::curves::Curves;
//! use unils::motion::{FPS, Motion, MotionMeta, Space};
//! let mut values = vec![0.0; 2 * 55];
//! values[55 + Space::Arkit55.index("jawOpen").unwrap()] = 0.5;
//! let motion = Motion::new(Space::Arkit55, FPS, 1, values, MotionMeta::new())?;
//! assert_eq!(Curves::of_channels(&motion, 0)?.mouth_opening, [0.0, 0.5]);
//! # Ok::<(), unils::Error>(())
//! ```

use super::signal::check_setting;
use crate::face::{Face, Mesh, Region, Vec3, head_rotation};
use crate::motion::{Group, Motion, Space};
use crate::{Error, Result};

/// Gap of the inner lips that counts as 1, metres: about that of the full jawOpen of ICT-FaceKit's generic head (33 mm
/// in the middle, two thirds of it from corner to corner).
pub const FULL_OPENING_M: f32 = 0.022;
/// Rise of the upper face that counts as 1, metres: that head with brows raised inside and outside.
pub const FULL_BROW_RAISE_M: f32 = 0.006;
/// Way of the mouth's corners that counts as 1, metres: that head's full smile.
pub const FULL_SMILE_M: f32 = 0.012;

/// One participant's behaviour, one number a frame; see the module for units. A curve that cannot be had is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    /// Frames a second.
    pub fps: f64,
    /// Gap between the lips: 0 closed.
    pub mouth_opening: Vec<f32>,
    /// Closure of the lids: 0 open as at rest, 1 shut.
    pub blink: Vec<f32>,
    /// Raised brows.
    pub brow_raise: Vec<f32>,
    /// Smiling.
    pub smile: Vec<f32>,
    /// Nodding, radians, positive down.
    pub head_pitch: Vec<f32>,
    /// Turning, radians, positive to the person's left.
    pub head_yaw: Vec<f32>,
    /// Tilting, radians, positive to the person's right.
    pub head_roll: Vec<f32>,
}

impl Curves {
    /// From the motion alone. FLAME-108 gives the head's rotation only: its mouth, lids and brows need a face.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such participant.
    pub fn of_channels(motion: &Motion, participant: usize) -> Result<Self> {
        let values = participant_values(motion, participant)?;
        let mut curves = Self::head(motion, values);
        if motion.space() == Space::Arkit55 {
            let channel = |name: &str| Space::Arkit55.index(name).unwrap_or_default();
            let [jaw, close] = ["jawOpen", "mouthClose"].map(channel);
            let [blink_left, blink_right] = ["eyeBlinkLeft", "eyeBlinkRight"].map(channel);
            let [inner, outer_left, outer_right] =
                ["browInnerUp", "browOuterUpLeft", "browOuterUpRight"].map(channel);
            let [smile_left, smile_right] = ["mouthSmileLeft", "mouthSmileRight"].map(channel);
            for row in values.chunks_exact(Space::Arkit55.width()) {
                curves.mouth_opening.push((row[jaw] - row[close]).max(0.0));
                curves.blink.push(0.5 * (row[blink_left] + row[blink_right]));
                curves.brow_raise.push(0.5 * row[inner] + 0.25 * (row[outer_left] + row[outer_right]));
                curves.smile.push(0.5 * (row[smile_left] + row[smile_right]));
            }
        }
        Ok(curves)
    }

    /// Measured on a face's vertices. Curves whose regions the face does not label are empty.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such participant or the face has another motion space.
    pub fn of_face(motion: &Motion, participant: usize, face: &dyn Face) -> Result<Self> {
        let values = participant_values(motion, participant)?;
        if face.space() != motion.space() {
            let what = format!("a face of {} cannot show motion of {}", face.space(), motion.space());
            return Err(Error::argument("face", what));
        }
        let mut curves = Self::head(motion, values);
        let (mut row, mut rest) = (Vec::new(), Vec::new());
        without_head(face, &vec![0.0; motion.space().width()], &mut row, &mut rest);
        let probes = Probes::new(face.mesh(), &rest);
        let mut positions = Vec::new();
        for frame in values.chunks_exact(motion.space().width()) {
            without_head(face, frame, &mut row, &mut positions);
            if let Some(lips) = &probes.lips {
                curves.mouth_opening.push(lips.opening(&positions) / FULL_OPENING_M);
            }
            if let Some(lids) = &probes.lids {
                let open = lids.iter().map(|eye| eye.ratio(&positions)).sum::<f32>() / 2.0;
                curves.blink.push(1.0 - open);
            }
            if let Some(rise) = upper_rise(&probes.upper_face, &rest, &positions) {
                curves.brow_raise.push(rise / FULL_BROW_RAISE_M);
            }
            if let Some(corners) = &probes.corners {
                let way = corners.iter().map(|corner| corner.way(&positions)).sum::<f32>() / 2.0;
                curves.smile.push(way / FULL_SMILE_M);
            }
        }
        Ok(curves)
    }

    fn head(motion: &Motion, values: &[f32]) -> Self {
        let space = motion.space();
        let mut curves = Self { fps: motion.fps(), ..Self::default() };
        for row in values.chunks_exact(space.width()) {
            // Angles of R_y(yaw) R_x(pitch) R_z(roll), whatever the space writes.
            let [[_, _, r02], [r10, r11, r12], [_, _, r22]] = head_rotation(space, row);
            curves.head_yaw.push(r02.atan2(r22));
            curves.head_pitch.push((-r12).clamp(-1.0, 1.0).asin());
            curves.head_roll.push(r10.atan2(r11));
        }
        curves
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.head_pitch.len()
    }
}

fn participant_values(motion: &Motion, participant: usize) -> Result<&[f32]> {
    let there_is = format!("one of the clip's {}", motion.participants());
    check_setting(participant < motion.participants(), "participant", &there_is, participant)?;
    Ok(motion.participant(participant).unwrap_or(&[]))
}

/// A frame's vertices with the head's rotation set to zero; `row` and `positions` are overwritten.
pub(super) fn without_head(face: &dyn Face, frame: &[f32], row: &mut Vec<f32>, positions: &mut Vec<Vec3>) {
    row.clear();
    row.extend_from_slice(frame);
    for channel in face.space().group_indices(Group::Head) {
        if let Some(value) = row.get_mut(channel) {
            *value = 0.0;
        }
    }
    face.pose(row, positions);
}

/// Where on the mesh the curves are measured.
struct Probes {
    lips: Option<LipGap>,
    lids: Option<[LidGap; 2]>,
    upper_face: Vec<u32>,
    corners: Option<[Corner; 2]>,
}

impl Probes {
    fn new(mesh: &Mesh, rest: &[Vec3]) -> Self {
        let lips = LipGap::new(mesh.region(Region::UpperInnerLip), mesh.region(Region::LowerInnerLip), rest);
        Self {
            lips: lips.ok().or_else(|| LipGap::of_middle(mesh.region(Region::Lips), rest)),
            lids: LidGap::both(mesh.region(Region::Lids), rest),
            upper_face: mesh.region(Region::UpperFace).to_vec(),
            corners: Corner::both(mesh.region(Region::Lips), rest),
        }
    }
}

/// The gap between the inner edges of the lips, measured on vertices without head rotation.
///
/// The gap is the mean height of the upper edge less that of the lower one, from corner to corner, less what it is at
/// rest: about two thirds of the gap in the middle.
#[derive(Debug, Clone, PartialEq)]
pub struct LipGap {
    upper: Vec<u32>,
    lower: Vec<u32>,
    at_rest: f32,
}

impl LipGap {
    /// For the vertices of both edges and the face at rest, metres.
    ///
    /// # Errors
    /// [`Error::Argument`] if an edge is empty or names a vertex that is not there.
    pub fn new(upper: &[u32], lower: &[u32], rest: &[Vec3]) -> Result<Self> {
        for (name, list) in [("upper inner lip", upper), ("lower inner lip", lower)] {
            let fits = !list.is_empty() && list.iter().all(|&vertex| (vertex as usize) < rest.len());
            check_setting(fits, name, "vertices of the mesh", format!("{} entries", list.len()))?;
        }
        let at_rest = mean_height(upper, rest) - mean_height(lower, rest);
        Ok(Self { upper: upper.to_vec(), lower: lower.to_vec(), at_rest })
    }

    /// For a face that labels its lips as a whole: the middle half between the corners, above and below their height.
    fn of_middle(lips: &[u32], rest: &[Vec3]) -> Option<Self> {
        let [left, right] = Corner::both(lips, rest)?.map(|corner| corner.at_rest);
        let (middle, reach) = (0.5 * (left[0] + right[0]), 0.25 * (left[0] - right[0]));
        let line = 0.5 * (left[1] + right[1]);
        let near = lips.iter().copied().filter(|&vertex| (rest[vertex as usize][0] - middle).abs() <= reach);
        let (upper, lower): (Vec<u32>, Vec<u32>) = near.partition(|&vertex| rest[vertex as usize][1] >= line);
        Self::new(&upper, &lower, rest).ok()
    }

    /// Metres beyond the gap at rest: negative where the lips press together. `positions` must be of the same mesh.
    pub fn opening(&self, positions: &[Vec3]) -> f32 {
        mean_height(&self.upper, positions) - mean_height(&self.lower, positions) - self.at_rest
    }
}

/// The gap between one eye's lids.
struct LidGap {
    upper: Vec<u32>,
    lower: Vec<u32>,
    at_rest: f32,
}

impl LidGap {
    /// Sorts the edges of all lids into eyes by the side of the face, into upper and lower by the eye's middle.
    fn both(lids: &[u32], rest: &[Vec3]) -> Option<[Self; 2]> {
        let eye = |left: bool| {
            let mine = lids.iter().copied().filter(|&vertex| (rest[vertex as usize][0] > 0.0) == left);
            let mine: Vec<u32> = mine.collect();
            let middle = mean_height(&mine, rest);
            let (upper, lower): (Vec<u32>, Vec<u32>) =
                mine.into_iter().partition(|&vertex| rest[vertex as usize][1] > middle);
            let at_rest = mean_height(&upper, rest) - mean_height(&lower, rest);
            (!upper.is_empty() && !lower.is_empty() && at_rest > 1e-4).then_some(Self {
                upper,
                lower,
                at_rest,
            })
        };
        Some([eye(true)?, eye(false)?])
    }

    fn ratio(&self, positions: &[Vec3]) -> f32 {
        (mean_height(&self.upper, positions) - mean_height(&self.lower, positions)) / self.at_rest
    }
}

/// One corner of the mouth and where it rests.
struct Corner {
    vertex: usize,
    at_rest: Vec3,
    outward: f32,
}

impl Corner {
    /// The lips' outermost vertices.
    fn both(lips: &[u32], rest: &[Vec3]) -> Option<[Self; 2]> {
        let side = |outward: f32| {
            let x = |vertex: u32| rest[vertex as usize][0] * outward;
            let vertex = lips.iter().copied().max_by(|&a, &b| x(a).total_cmp(&x(b)))? as usize;
            Some(Self { vertex, at_rest: rest[vertex], outward })
        };
        Some([side(1.0)?, side(-1.0)?])
    }

    fn way(&self, positions: &[Vec3]) -> f32 {
        let [x, y, _] = positions[self.vertex];
        // Half up, half outwards, so that a pure lift or a pure stretch counts in part.
        std::f32::consts::FRAC_1_SQRT_2 * ((y - self.at_rest[1]) + self.outward * (x - self.at_rest[0]))
    }
}

/// The 80th percentile of how far a region's vertices rise: brows and forehead rise together, the surroundings of the
/// eyes do not, so that neither a blink nor the still part of the region hides them.
fn upper_rise(region: &[u32], rest: &[Vec3], positions: &[Vec3]) -> Option<f32> {
    let rise = |&vertex: &u32| positions[vertex as usize][1] - rest[vertex as usize][1];
    let mut rises: Vec<f32> = region.iter().map(rise).collect();
    let at = rises.len().checked_sub(1)? * 4 / 5;
    Some(*rises.select_nth_unstable_by(at, f32::total_cmp).1)
}

fn mean_height(list: &[u32], positions: &[Vec3]) -> f32 {
    let sum: f64 = list.iter().map(|&vertex| f64::from(positions[vertex as usize][1])).sum();
    (sum / list.len().max(1) as f64) as f32
}
