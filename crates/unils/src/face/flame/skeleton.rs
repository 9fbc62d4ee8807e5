//! FLAME's five joints: rotations and transforms, in the arithmetic that the released models were trained with.
//!
//! Used by the fast path frame by frame; the differentiable path does the same with tensors. SMPL's linear blend
//! skinning (Loper et al. 2015): rotations down the tree about the joints at rest.
//!
//! ```
//! use unils::face::flame::skeleton::{full_pose, rotation};
//! let mut frame = [0.0; 108];
//! frame[103] = 0.3; // the jaw
//! assert_eq!(full_pose(&frame, true)[2], [0.3, 0.0, 0.0]);
//! assert!(rotation([0.3, 0.0, 0.0])[2][1] > 0.0); // what points up turns to the front
//! ```

use crate::face::mesh::{Vec3, add, dot, length, scale, sub};

/// Joints: root, neck, jaw, left eye, right eye.
pub const JOINTS: usize = 5;

/// Rows of a rotation matrix.
pub type Rotation = [Vec3; 3];

/// Axis-angle vectors of the joints for a frame of FLAME-108; the neck's is zero, and so is the root's `with_head`
/// off. Numbers that the frame lacks are zero.
pub fn full_pose(frame: &[f32], with_head: bool) -> [Vec3; JOINTS] {
    let at = |index: usize| frame.get(index).copied().unwrap_or(0.0);
    let root = if with_head { [at(100), at(101), at(102)] } else { [0.0; 3] };
    [root, [0.0; 3], [at(103), 0.0, 0.0], [at(104), at(105), 0.0], [at(106), at(107), 0.0]]
}

/// The matrix of an axis-angle vector. The angle is the length of the vector with 1e-8 added to each component, as
/// in the release, so that it is never zero.
pub fn rotation(axis_angle: Vec3) -> Rotation {
    let angle = length(axis_angle.map(|value| value + 1e-8));
    let [x, y, z] = axis_angle.map(|value| value / angle);
    let (s, c) = angle.sin_cos();
    let t = 1.0 - c;
    // I + sin K + (1 - cos) K K, with K the matrix of the vector product
    [
        [1.0 - t * (y * y + z * z), t * x * y - s * z, t * x * z + s * y],
        [t * x * y + s * z, 1.0 - t * (x * x + z * z), t * y * z - s * x],
        [t * x * z - s * y, t * y * z + s * x, 1.0 - t * (x * x + y * y)],
    ]
}

/// Where the joints go and what skinning does with the vertices around them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transforms {
    /// The joints after the pose, metres.
    pub posed_joints: [Vec3; JOINTS],
    /// Rotation of each joint in the root's frame.
    pub rotations: [Rotation; JOINTS],
    /// Translation that goes with each: a vertex v that follows joint j alone goes to `rotations[j] v + offsets[j]`.
    pub offsets: [Vec3; JOINTS],
}

impl Transforms {
    /// Transforms for rotations about `joints` at rest; every joint hangs from one before it.
    pub fn new(
        parents: &[Option<usize>; JOINTS],
        joints: &[Vec3; JOINTS],
        rotations: &[Rotation; JOINTS],
    ) -> Self {
        let (mut posed_joints, mut chain) = (*joints, *rotations);
        for joint in 1..JOINTS {
            let parent = parents[joint].unwrap_or(0);
            let bone = sub(joints[joint], joints[parent]);
            posed_joints[joint] = add(turn(&chain[parent], bone), posed_joints[parent]);
            chain[joint] = compose(&chain[parent], &rotations[joint]);
        }
        let mut offsets = posed_joints;
        for joint in 0..JOINTS {
            offsets[joint] = sub(posed_joints[joint], turn(&chain[joint], joints[joint]));
        }
        Self { posed_joints, rotations: chain, offsets }
    }
}

/// A matrix times a vector.
pub(super) fn turn(rows: &Rotation, v: Vec3) -> Vec3 {
    rows.map(|row| dot(row, v))
}

/// The product of two matrices.
fn compose(a: &Rotation, b: &Rotation) -> Rotation {
    a.map(|row| add(add(scale(b[0], row[0]), scale(b[1], row[1])), scale(b[2], row[2])))
}
