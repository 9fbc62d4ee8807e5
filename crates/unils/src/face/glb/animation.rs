//! Motion as a glTF animation: morph weights and rotations, a key a frame.

use serde_json::{Value, json};

use super::document::{Document, F32, le};
use crate::face::mesh::Vec3;
use crate::face::pose::head_rotation;
use crate::face::{BlendshapeRig, Eye};
use crate::motion::{Motion, Space, Unit};
use crate::{Error, Result};

/// A quaternion, (x, y, z, w) as in glTF.
type Quaternion = [f32; 4];

/// What an animation moves in a document.
pub(super) struct Targets {
    /// Node of the mesh.
    pub mesh: usize,
    /// Node that turns with the head.
    pub head: usize,
    /// Nodes of the eyes, in the rig's order.
    pub eyes: Vec<usize>,
}

/// Channels and samplers of one animation, gathered over faces.
#[derive(Default)]
pub(super) struct Animation {
    channels: Vec<Value>,
    samplers: Vec<Value>,
    /// Accessor of the key times of motion of that many frames at that rate.
    times: Vec<(usize, f64, usize)>,
}

impl Animation {
    /// Adds one participant's motion of `rig`.
    pub(super) fn add(
        &mut self,
        document: &mut Document,
        rig: &BlendshapeRig,
        targets: &Targets,
        motion: &Motion,
        participant: usize,
    ) -> Result<()> {
        let times = self.times(document, motion)?;
        let width = motion.space().width();
        let rows = motion.participant(participant).unwrap_or_default();
        let channels: Vec<Option<usize>> =
            rig.shapes().iter().map(|shape| coefficient(&shape.name)).collect();
        let weights: Vec<f32> = rows
            .chunks_exact(width)
            .flat_map(|frame| channels.iter().map(move |channel| channel.map_or(0.0, |index| frame[index])))
            .collect();
        let weights =
            document.accessor(&le(bytemuck::cast_slice(&weights)), None, F32, "SCALAR", weights.len());
        self.channel(times, weights, targets.mesh, "weights");
        let head = |frame: &[f32]| head_rotation(Space::Arkit55, frame);
        self.rotation(document, times, targets.head, rows.chunks_exact(width).map(head));
        for (eye, &node) in rig.eyes().iter().zip(&targets.eyes) {
            let turn = |frame: &[f32]| Eye::rotation(eye, frame);
            self.rotation(document, times, node, rows.chunks_exact(width).map(turn));
        }
        Ok(())
    }

    fn times(&mut self, document: &mut Document, motion: &Motion) -> Result<usize> {
        let (frames, fps) = (motion.frames(), motion.fps());
        if let Some(&(_, _, accessor)) = self.times.iter().find(|known| (known.0, known.1) == (frames, fps)) {
            return Ok(accessor);
        }
        let times: Vec<f32> = (0..frames).map(|frame| (frame as f64 / fps) as f32).collect();
        if !times.is_sorted_by(|a, b| a < b) || times.iter().any(|time| !time.is_finite()) {
            let what =
                format!("{frames} frames at {fps} frames/s have no distinct times as glTF writes them");
            return Err(Error::motion("motion", what).with_hint("bring it to 25 frames/s first"));
        }
        let accessor = document.accessor(&le(bytemuck::cast_slice(&times)), None, F32, "SCALAR", frames);
        let last = times.last().copied().unwrap_or(0.0);
        if let Some(object) = document.get_mut("accessors", accessor) {
            object["min"] = json!([0.0]);
            object["max"] = json!([last]);
        }
        self.times.push((frames, fps, accessor));
        Ok(accessor)
    }

    fn rotation(
        &mut self,
        document: &mut Document,
        times: usize,
        node: usize,
        rotations: impl Iterator<Item = [Vec3; 3]>,
    ) {
        let quaternions = continuous(rotations);
        let bytes = le(bytemuck::cast_slice(quaternions.as_flattened()));
        let output = document.accessor(&bytes, None, F32, "VEC4", quaternions.len());
        self.channel(times, output, node, "rotation");
    }

    fn channel(&mut self, input: usize, output: usize, node: usize, path: &str) {
        self.channels.push(json!({
            "sampler": self.samplers.len(),
            "target": {"node": node, "path": path},
        }));
        self.samplers.push(json!({"input": input, "output": output, "interpolation": "LINEAR"}));
    }

    /// Puts the animation into the document, if anything moves.
    pub(super) fn finish(self, document: &mut Document) {
        if !self.channels.is_empty() {
            document.push(
                "animations",
                json!({"name": "motion", "channels": self.channels, "samplers": self.samplers}),
            );
        }
    }
}

/// The motion channel of a shape's name, if it is one of ARKit's.
fn coefficient(name: &str) -> Option<usize> {
    Space::Arkit55.index(name).filter(|&index| Space::Arkit55.channels()[index].unit == Unit::Coefficient)
}

/// The quaternions of rotations. Each rotation has two: the one near the last keeps the way between them short.
fn continuous(rotations: impl Iterator<Item = [Vec3; 3]>) -> Vec<Quaternion> {
    let mut last = [0.0, 0.0, 0.0, 1.0];
    let near_last = |rows: [Vec3; 3]| {
        let next = quaternion(&rows);
        let is_near = next.iter().zip(&last).map(|(a, b)| a * b).sum::<f32>() >= 0.0;
        last = if is_near { next } else { next.map(|value| -value) };
        last
    };
    rotations.map(near_last).collect()
}

/// The unit quaternion of a rotation's rows, by the largest of its components (Shepperd 1978).
fn quaternion(rows: &[Vec3; 3]) -> Quaternion {
    let m = |i: usize, j: usize| f64::from(rows[i][j]);
    let trace = m(0, 0) + m(1, 1) + m(2, 2);
    // Four times the square of each component, x y z w.
    let squares =
        [1.0 + 2.0 * m(0, 0) - trace, 1.0 + 2.0 * m(1, 1) - trace, 1.0 + 2.0 * m(2, 2) - trace, 1.0 + trace];
    let largest = (0..4).fold(3, |best, index| if squares[index] > squares[best] { index } else { best });
    let s = squares[largest];
    let (xy, xz, yz) = (m(0, 1) + m(1, 0), m(0, 2) + m(2, 0), m(1, 2) + m(2, 1));
    let (wx, wy, wz) = (m(2, 1) - m(1, 2), m(0, 2) - m(2, 0), m(1, 0) - m(0, 1));
    let scaled = match largest {
        0 => [s, xy, xz, wx],
        1 => [xy, s, yz, wy],
        2 => [xz, yz, s, wz],
        _ => [wx, wy, wz, s],
    };
    let norm = scaled.iter().map(|value| value * value).sum::<f64>().sqrt();
    scaled.map(|value| (value / norm) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::{rotation_from_angles, rotation_from_axis_angle};

    #[test]
    fn quaternions_are_those_of_the_axis_and_angle() {
        for angle in [0.0_f32, 1e-3, 0.4, 1.5, 3.0, 3.1, 3.2, 4.0, 6.2] {
            for axis in [[1.0_f32, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.48, -0.6, 0.64]] {
                let got = quaternion(&rotation_from_axis_angle(axis.map(|value| value * angle)));
                let (s, c) = (angle / 2.0).sin_cos();
                let expected = [axis[0] * s, axis[1] * s, axis[2] * s, c];
                let cosine: f32 = got.iter().zip(&expected).map(|(a, b)| a * b).sum();
                assert!(cosine.abs() > 1.0 - 1e-6, "{axis:?} {angle}: {got:?} {expected:?}");
            }
        }
    }

    #[test]
    fn a_whole_turn_has_no_jump() {
        let turn = (0..140).map(|step| rotation_from_angles(0.1 * step as f32, 0.3, 0.0));
        let quaternions = continuous(turn);
        for pair in quaternions.windows(2) {
            let cosine: f32 = pair[0].iter().zip(&pair[1]).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.99, "{pair:?}");
        }
    }

    #[test]
    fn positive_yaw_is_about_y() {
        let [x, y, z, w] = quaternion(&rotation_from_angles(0.5, 0.0, 0.0));
        assert!(
            (y - 0.25_f32.sin()).abs() < 1e-6 && (w - 0.25_f32.cos()).abs() < 1e-6 && x == 0.0 && z == 0.0
        );
    }
}
