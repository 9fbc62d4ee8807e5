//! From a frame of motion to vertices: what every face can do, and the rotation of heads.

use super::mesh::{Mesh, Vec3};
use crate::motion::{Group, Space};
pub use crate::motion::{rotation_from_angles, rotation_from_axis_angle};

/// A head that motion moves.
pub trait Face: Send + Sync {
    /// The space of the frames that it takes.
    fn space(&self) -> Space;

    /// The mesh at rest.
    fn mesh(&self) -> &Mesh;

    /// The vertices for a frame of motion ([`Space::width`] numbers), the head's rotation included; `positions` is
    /// overwritten.
    fn pose(&self, frame: &[f32], positions: &mut Vec<Vec3>);

    /// How far each vertex follows the head's rotation, 0 (shoulders) to 1 (face); empty if not known or all do.
    /// Framing and alignment ask for it.
    fn head_weights(&self) -> &[f32] {
        &[]
    }
}

/// Rows of the head's rotation matrix in a frame of motion: axis-angle in FLAME-108, yaw, pitch and roll in ARKit-55.
pub fn head_rotation(space: Space, frame: &[f32]) -> [Vec3; 3] {
    let indices = space.group_indices(Group::Head);
    let angle = |at: usize| indices.get(at).and_then(|&index| frame.get(index).copied()).unwrap_or(0.0);
    match space {
        Space::Arkit55 => rotation_from_angles(angle(0), angle(1), angle(2)),
        Space::Flame108 => rotation_from_axis_angle([angle(0), angle(1), angle(2)]),
    }
}
