//! 4 x 4 matrices in f64, column by column as in glTF.

use super::schema::Node;
use crate::face::mesh::Vec3;

/// An affine transform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Matrix([f64; 16]);

impl Matrix {
    pub(super) const IDENTITY: Self =
        Self([1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    pub(super) const ZERO: Self = Self([0.0; 16]);

    pub(super) fn from_columns(columns: [f32; 16]) -> Self {
        Self(columns.map(f64::from))
    }

    /// A node's transform from its parent.
    pub(super) fn of_node(node: &Node) -> Self {
        if let Some(matrix) = node.matrix {
            return Self(matrix);
        }
        let [x, y, z, w] = node.rotation.unwrap_or([0.0, 0.0, 0.0, 1.0]);
        let [sx, sy, sz] = node.scale.unwrap_or([1.0; 3]);
        let [tx, ty, tz] = node.translation.unwrap_or([0.0; 3]);
        Self([
            (1.0 - 2.0 * (y * y + z * z)) * sx,
            2.0 * (x * y + z * w) * sx,
            2.0 * (x * z - y * w) * sx,
            0.0,
            2.0 * (x * y - z * w) * sy,
            (1.0 - 2.0 * (x * x + z * z)) * sy,
            2.0 * (y * z + x * w) * sy,
            0.0,
            2.0 * (x * z + y * w) * sz,
            2.0 * (y * z - x * w) * sz,
            (1.0 - 2.0 * (x * x + y * y)) * sz,
            0.0,
            tx,
            ty,
            tz,
            1.0,
        ])
    }

    /// First `other`, then this.
    pub(super) fn after(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| {
            let (column, row) = (at / 4, at % 4);
            (0..4).map(|k| self.0[4 * k + row] * other.0[4 * column + k]).sum()
        }))
    }

    /// This and `weight` times another.
    pub(super) fn plus(&self, other: &Self, weight: f64) -> Self {
        Self(std::array::from_fn(|at| self.0[at] + weight * other.0[at]))
    }

    pub(super) fn point(&self, point: Vec3) -> Vec3 {
        self.apply(point, 1.0)
    }

    /// A displacement: turned and scaled, not moved.
    pub(super) fn direction(&self, direction: Vec3) -> Vec3 {
        self.apply(direction, 0.0)
    }

    fn apply(&self, v: Vec3, w: f64) -> Vec3 {
        let [x, y, z] = v.map(f64::from);
        let m = &self.0;
        std::array::from_fn(|row| (m[row] * x + m[4 + row] * y + m[8 + row] * z + m[12 + row] * w) as f32)
    }

    /// Where it takes the origin.
    pub(super) fn origin(&self) -> Vec3 {
        [self.0[12] as f32, self.0[13] as f32, self.0[14] as f32]
    }

    /// Whether it turns the inside out.
    pub(super) fn mirrors(&self) -> bool {
        let m = &self.0;
        let minor = |a: usize, b: usize| m[4 + a] * m[8 + b] - m[4 + b] * m[8 + a];
        m[0] * minor(1, 2) + m[1] * minor(2, 0) + m[2] * minor(0, 1) < 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_scale_turn_and_move_in_that_order() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let node = Node {
            translation: Some([10.0, 0.0, 0.0]),
            rotation: Some([0.0, 0.0, half, half]),
            scale: Some([2.0, 3.0, 4.0]),
            ..Node::default()
        };
        let matrix = Matrix::of_node(&node);
        assert_eq!(matrix.point([1.0, 0.0, 0.0]).map(f32::round), [10.0, 2.0, 0.0]);
        assert_eq!(matrix.direction([0.0, 1.0, 0.0]).map(f32::round), [-3.0, 0.0, 0.0]);
        assert!(!matrix.mirrors());
        let mirror = Matrix::of_node(&Node { scale: Some([-1.0, 1.0, 1.0]), ..Node::default() });
        assert!(mirror.mirrors() && !mirror.after(&mirror).mirrors());
        assert_eq!(matrix.after(&mirror).point([1.0, 0.0, 0.0]).map(f32::round), [10.0, -2.0, 0.0]);
    }
}
