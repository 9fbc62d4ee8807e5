//! From a frame of motion to vertices: what every face can do, and the rotation of heads.

use super::mesh::{Mesh, Vec3, length, scale};
use crate::motion::{Group, Space};

/// A head that motion moves.
pub trait Face: Send + Sync {
    /// The space of the frames that it takes.
    fn space(&self) -> Space;

    /// The mesh at rest.
    fn mesh(&self) -> &Mesh;

    /// The vertices for a frame of motion ([`Space::width`] numbers), the head's rotation included; `positions` is
    /// overwritten.
    fn pose(&self, frame: &[f32], positions: &mut Vec<Vec3>);
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

/// `R_y(yaw) R_x(pitch) R_z(roll)` as rows; radians.
pub fn rotation_from_angles(yaw: f32, pitch: f32, roll: f32) -> [Vec3; 3] {
    let ((sy, cy), (sx, cx), (sz, cz)) = (yaw.sin_cos(), pitch.sin_cos(), roll.sin_cos());
    [
        [cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx],
        [cx * sz, cx * cz, -sx],
        [cy * sx * sz - sy * cz, sy * sz + cy * sx * cz, cy * cx],
    ]
}

/// The rotation about an axis by its length in radians, as rows (Rodrigues).
pub fn rotation_from_axis_angle(axis_angle: Vec3) -> [Vec3; 3] {
    let angle = length(axis_angle);
    if angle < 1e-12 {
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    }
    let [x, y, z] = scale(axis_angle, 1.0 / angle);
    let (s, c) = angle.sin_cos();
    let t = 1.0 - c;
    [
        [c + x * x * t, x * y * t - z * s, x * z * t + y * s],
        [y * x * t + z * s, c + y * y * t, y * z * t - x * s],
        [z * x * t - y * s, z * y * t + x * s, c + z * z * t],
    ]
}
