//! Between the motion spaces, where no face model is needed: rotations of head and eyes, opening of the jaw.
//!
//! The two spaces say the same things about head and gaze in other numbers: FLAME-108 turns the head by one axis-angle
//! vector and each eye by the first two components of one; ARKit-55 has yaw, pitch and roll, and says where the eyes
//! look with four coefficients each. These conversions are exact up to rounding; expressions need a face model and
//! are fitted by [`face::transfer`](crate::face::transfer), or left out by [`joints_only`].
//!
//! ```
//! use unils::motion::{FPS, Motion, MotionMeta, Space, joints_only};
//! let mut frame = vec![0.0; 108];
//! frame[101] = 0.3; // the head turns to its left
//! let flame = Motion::new(Space::Flame108, FPS, 1, frame, MotionMeta::new())?;
//! let arkit = joints_only(&flame, Space::Arkit55)?;
//! assert!((arkit.values()[52] - 0.3).abs() < 1e-6);
//! # Ok::<(), unils::Error>(())
//! ```

use super::{Motion, Space};
use crate::Result;

/// Radians that an eyeball turns for an `eyeLookIn` or `eyeLookOut` of 1.
pub const EYE_YAW: f32 = 0.52;

/// Radians that an eyeball turns for an `eyeLookUp` or `eyeLookDown` of 1.
pub const EYE_PITCH: f32 = 0.44;

/// Radians of FLAME's jaw that look like a `jawOpen` of 1: a mouth opened wide, some 4 cm between the teeth.
pub const JAW_OPEN: f32 = 0.45;

/// First of the head's channels in FLAME-108, of the jaw's and of the eyes'.
const FLAME_HEAD: usize = 100;
const FLAME_JAW: usize = 103;
const FLAME_EYES: usize = 104;

/// Look down, in, out and up: the left eye's first channel in ARKit-55 and the right one's.
pub(super) const ARKIT_EYES: [usize; 2] = [1, 8];
const ARKIT_JAW_OPEN: usize = 17;
pub(super) const ARKIT_HEAD: usize = 52;

/// `R_y(yaw) R_x(pitch) R_z(roll)` as rows; radians.
pub fn rotation_from_angles(yaw: f32, pitch: f32, roll: f32) -> [[f32; 3]; 3] {
    let ((sy, cy), (sx, cx), (sz, cz)) = (yaw.sin_cos(), pitch.sin_cos(), roll.sin_cos());
    [
        [cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx],
        [cx * sz, cx * cz, -sx],
        [cy * sx * sz - sy * cz, sy * sz + cy * sx * cz, cy * cx],
    ]
}

/// Yaw, pitch and roll of a rotation matrix; the inverse of [`rotation_from_angles`] for pitches within a quarter turn.
/// Where the face looks straight up or down yaw and roll are one, and the roll is given as 0.
pub fn angles_from_rotation(rows: &[[f32; 3]; 3]) -> [f32; 3] {
    // (cos pitch)², from the column that yaw and roll leave with it: precise near the poles too
    let cosine = rows[1][0].hypot(rows[1][1]);
    let pitch = (-rows[1][2]).atan2(cosine);
    if cosine < 1e-6 {
        return [(-rows[2][0]).atan2(rows[0][0]), pitch, 0.0];
    }
    [rows[0][2].atan2(rows[2][2]), pitch, rows[1][0].atan2(rows[1][1])]
}

/// The rotation about an axis by its length in radians, as rows (Rodrigues).
pub fn rotation_from_axis_angle(axis_angle: [f32; 3]) -> [[f32; 3]; 3] {
    let angle = axis_angle.iter().map(|value| value * value).sum::<f32>().sqrt();
    if angle < 1e-12 {
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    }
    let [x, y, z] = axis_angle.map(|value| value / angle);
    let (s, c) = angle.sin_cos();
    let t = 1.0 - c;
    [
        [c + x * x * t, x * y * t - z * s, x * z * t + y * s],
        [y * x * t + z * s, c + y * y * t, y * z * t - x * s],
        [z * x * t - y * s, z * y * t + x * s, c + z * z * t],
    ]
}

/// The axis-angle vector of a rotation matrix, of at most half a turn; the inverse of [`rotation_from_axis_angle`]
/// within that.
pub fn axis_angle_from_rotation(rows: &[[f32; 3]; 3]) -> [f32; 3] {
    let m = rows.map(|row| row.map(f64::from));
    // A quaternion by its largest component (Shepperd 1978), which is never near zero.
    let [xx, yy, zz] = [m[0][0], m[1][1], m[2][2]];
    let (a, b, c) = (m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]);
    let (p, q, r) = (m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]);
    let squares = [1.0 + xx + yy + zz, 1.0 + xx - yy - zz, 1.0 - xx + yy - zz, 1.0 - xx - yy + zz];
    let largest = (1..4).fold(0, |best, i| if squares[i] > squares[best] { i } else { best });
    let [w, x, y, z] = match largest {
        0 => [squares[0], a, b, c],
        1 => [a, squares[1], p, q],
        2 => [b, p, squares[2], r],
        _ => [c, q, r, squares[3]],
    };
    let sign = if w < 0.0 { -1.0 } else { 1.0 };
    let sine = (x * x + y * y + z * z).sqrt();
    // the common factor of the four cancels in the angle and in the axis
    let angle = 2.0 * sine.atan2(w * sign);
    let factor = if sine > 0.0 { sign * angle / sine } else { 0.0 };
    [x, y, z].map(|value| (value * factor) as f32)
}

/// Yaw and pitch of the direction in which an eye looks that is turned by the axis-angle vector (x, y, 0).
pub fn gaze_from_axis_angle([x, y]: [f32; 2]) -> [f32; 2] {
    let rows = rotation_from_axis_angle([x, y, 0.0]);
    // where z goes
    [rows[0][2].atan2(rows[2][2]), (-rows[1][2]).atan2(rows[0][2].hypot(rows[2][2]))]
}

/// The x and y of the axis-angle vector (x, y, 0) that turns an eye to look in the direction of this yaw and pitch.
pub fn axis_angle_from_gaze([yaw, pitch]: [f32; 2]) -> [f32; 2] {
    let [x, y, z] = [yaw.sin() * pitch.cos(), -pitch.sin(), yaw.cos() * pitch.cos()];
    let sine = x.hypot(y);
    let factor = if sine > 0.0 { sine.atan2(z) / sine } else { 1.0 };
    [-y * factor, x * factor]
}

/// Look down, in, out and up (0 to 1 for angles up to [`EYE_PITCH`] and [`EYE_YAW`], more beyond) for an eye's yaw and
/// pitch.
pub fn look_from_gaze([yaw, pitch]: [f32; 2], is_left: bool) -> [f32; 4] {
    let outward = if is_left { yaw } else { -yaw } / EYE_YAW;
    let down = pitch / EYE_PITCH;
    [down.max(0.0), (-outward).max(0.0), outward.max(0.0), (-down).max(0.0)]
}

/// An eye's yaw and pitch for its look down, in, out and up.
pub fn gaze_from_look([down, inward, outward, up]: [f32; 4], is_left: bool) -> [f32; 2] {
    let yaw = (outward - inward) * EYE_YAW;
    [if is_left { yaw } else { -yaw }, (down - up) * EYE_PITCH]
}

/// Writes head and gaze of a FLAME-108 frame into an ARKit-55 frame; the other channels stay.
pub fn arkit_joints_from_flame(flame: &[f32], arkit: &mut [f32]) {
    let at = |index: usize| flame.get(index).copied().unwrap_or(0.0);
    let head = rotation_from_axis_angle([at(FLAME_HEAD), at(FLAME_HEAD + 1), at(FLAME_HEAD + 2)]);
    write(arkit, ARKIT_HEAD, &angles_from_rotation(&head));
    for (eye, start) in ARKIT_EYES.into_iter().enumerate() {
        let from = FLAME_EYES + 2 * eye;
        let gaze = gaze_from_axis_angle([at(from), at(from + 1)]);
        write(arkit, start, &look_from_gaze(gaze, eye == 0));
    }
}

/// Writes head and gaze of an ARKit-55 frame into a FLAME-108 frame; the other channels stay.
pub fn flame_joints_from_arkit(arkit: &[f32], flame: &mut [f32]) {
    let at = |index: usize| arkit.get(index).copied().unwrap_or(0.0);
    let head = rotation_from_angles(at(ARKIT_HEAD), at(ARKIT_HEAD + 1), at(ARKIT_HEAD + 2));
    write(flame, FLAME_HEAD, &axis_angle_from_rotation(&head));
    for (eye, start) in ARKIT_EYES.into_iter().enumerate() {
        let look = [at(start), at(start + 1), at(start + 2), at(start + 3)];
        write(flame, FLAME_EYES + 2 * eye, &axis_angle_from_gaze(gaze_from_look(look, eye == 0)));
    }
}

fn write(frame: &mut [f32], start: usize, values: &[f32]) {
    if let Some(place) = frame.get_mut(start..start + values.len()) {
        place.copy_from_slice(values);
    }
}

/// The motion in another space as far as that goes without a face model: head, gaze and the jaw's opening (in ARKit-55
/// held to 0 to 1, by [`JAW_OPEN`]). All other channels are zero, so whoever shows it should say that the expressions
/// are missing. Motion that is in that space already comes back as it is.
///
/// # Errors
/// [`Error::Motion`](crate::Error::Motion) if a converted number is not finite, which takes angles beyond all reason.
pub fn joints_only(motion: &Motion, space: Space) -> Result<Motion> {
    if motion.space() == space {
        return Ok(motion.clone());
    }
    let mut values = vec![0.0; motion.participants() * motion.frames() * space.width()];
    let frames = motion.values().chunks_exact(motion.space().width());
    for (from, to) in frames.zip(values.chunks_exact_mut(space.width())) {
        match space {
            Space::Arkit55 => {
                arkit_joints_from_flame(from, to);
                to[ARKIT_JAW_OPEN] = (from[FLAME_JAW] / JAW_OPEN).clamp(0.0, 1.0);
            }
            Space::Flame108 => {
                flame_joints_from_arkit(from, to);
                to[FLAME_JAW] = from[ARKIT_JAW_OPEN] * JAW_OPEN;
            }
        }
    }
    Motion::new(space, motion.fps(), motion.participants(), values, motion.meta().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::MotionMeta;

    fn largest(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    /// Vectors in all directions, of lengths from nothing to just below half a turn.
    fn vectors() -> impl Iterator<Item = [f32; 3]> {
        let lengths = [0.0, 1e-7, 1e-4, 0.1, 1.0, 2.0, 3.0, 3.1];
        lengths.into_iter().flat_map(|length| {
            (0..40).map(move |i| {
                let (z, angle) = (1.0 - 2.0 * (i as f32 + 0.5) / 40.0, 2.4 * i as f32);
                let radius = (1.0 - z * z).sqrt();
                [radius * angle.cos(), radius * angle.sin(), z].map(|value| value * length)
            })
        })
    }

    #[test]
    fn channels_are_where_the_space_says() {
        let arkit = Space::Arkit55;
        for (eye, side) in ["Left", "Right"].into_iter().enumerate() {
            for (i, direction) in ["Down", "In", "Out", "Up"].into_iter().enumerate() {
                assert_eq!(arkit.index(&format!("eyeLook{direction}{side}")), Some(ARKIT_EYES[eye] + i));
            }
        }
        assert_eq!(arkit.index("jawOpen"), Some(ARKIT_JAW_OPEN));
        assert_eq!(arkit.index("headYaw"), Some(ARKIT_HEAD));
        assert_eq!(Space::Flame108.index("head_x"), Some(FLAME_HEAD));
        assert_eq!(Space::Flame108.index("jaw"), Some(FLAME_JAW));
        assert_eq!(Space::Flame108.index("eye_left_x"), Some(FLAME_EYES));
        assert_eq!(Space::Flame108.index("eye_right_y"), Some(FLAME_EYES + 3));
    }

    #[test]
    fn rotations_come_back_as_vectors_and_angles() {
        for vector in vectors() {
            let rows = rotation_from_axis_angle(vector);
            let back = axis_angle_from_rotation(&rows);
            // near half a turn a matrix of f32 knows its axis to a few units in the fourth place
            let tolerance = if largest(&vector, &[0.0; 3]) > 1.5 { 2e-3 } else { 2e-6 };
            assert!(largest(&back, &vector) < tolerance, "{vector:?} {back:?}");
            let [yaw, pitch, roll] = angles_from_rotation(&rows);
            let again = rotation_from_angles(yaw, pitch, roll);
            assert!(largest(again.as_flattened(), rows.as_flattened()) < 2e-6, "{vector:?}");
        }
        for angles in [[0.4, -0.3, 0.2], [-1.2, 1.5, -0.7], [3.0, -1.4, 2.9]] {
            let back = angles_from_rotation(&rotation_from_angles(angles[0], angles[1], angles[2]));
            assert!(largest(&back, &angles) < 5e-6, "{angles:?} {back:?}");
        }
        let pole = rotation_from_angles(0.5, std::f32::consts::FRAC_PI_2, 0.2);
        let [yaw, pitch, roll] = angles_from_rotation(&pole);
        assert!(largest(rotation_from_angles(yaw, pitch, roll).as_flattened(), pole.as_flattened()) < 1e-6);
    }

    #[test]
    fn gaze_goes_there_and_back() {
        for x in [-0.5_f32, -1e-6, 0.0, 0.2, 0.6] {
            for y in [-0.6_f32, 0.0, 1e-6, 0.3] {
                let gaze = gaze_from_axis_angle([x, y]);
                assert!(largest(&axis_angle_from_gaze(gaze), &[x, y]) < 1e-6);
                for is_left in [false, true] {
                    let look = look_from_gaze(gaze, is_left);
                    assert!(look.iter().all(|&value| value >= 0.0));
                    assert!(largest(&gaze_from_look(look, is_left), &gaze) < 1e-6);
                }
            }
        }
        // about x alone: down; about y alone: to the person's left, outward for the left eye
        assert_eq!(look_from_gaze(gaze_from_axis_angle([EYE_PITCH, 0.0]), true), [1.0, 0.0, 0.0, 0.0]);
        assert!(
            largest(&look_from_gaze(gaze_from_axis_angle([0.0, EYE_YAW]), true), &[0.0, 0.0, 1.0, 0.0])
                < 1e-6
        );
        assert!(
            largest(&look_from_gaze(gaze_from_axis_angle([0.0, EYE_YAW]), false), &[0.0, 1.0, 0.0, 0.0])
                < 1e-6
        );
    }

    #[test]
    fn joints_survive_a_round_trip() {
        let mut frame = vec![0.0; 2 * 108];
        frame[100..108].copy_from_slice(&[0.2, -0.4, 0.1, 0.3, 0.05, -0.2, 0.1, 0.15]);
        frame[5] = 2.0;
        frame[108 + 103] = 5.0;
        let flame = Motion::new(Space::Flame108, 30.0, 2, frame.clone(), MotionMeta::new()).unwrap();
        let arkit = joints_only(&flame, Space::Arkit55).unwrap();
        assert_eq!((arkit.shape(), arkit.fps()), ([2, 1, 55], 30.0));
        assert_eq!(arkit.values()[55 + 17], 1.0, "an impossible jaw is a fully open one");
        assert_eq!(arkit.values().iter().filter(|&&value| value != 0.0).count(), 1 + 4 + 3 + 1);
        let back = joints_only(&arkit, Space::Flame108).unwrap();
        frame[5] = 0.0;
        assert!(largest(&back.values()[..108], &frame[..108]) < 1e-6);
        assert_eq!(joints_only(&flame, Space::Flame108).unwrap(), flame);
    }
}
