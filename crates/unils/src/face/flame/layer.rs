//! FLAME with Burn tensors: batches, on any device, differentiable in the motion.
//!
//! `B` batch, `T` frames, `N = B T`, `V` vertices, `J` the five joints. Everything is composed of Burn's operations,
//! so that gradients flow from vertices to motion codes wherever the motion is tracked; the model itself is constant.

use burn::tensor::{Device, Tensor, TensorData};

use super::skeleton::JOINTS;
use super::{DIRECTIONS, EXPRESSIONS, Flame, IDENTITY, POSE_FEATURES, check_identity};
use crate::{Error, Result};

/// One identity of FLAME on a device, perhaps with some of its vertices alone.
#[derive(Debug, Clone)]
pub struct FlameLayer {
    /// (1, 3 V): the identity at rest.
    rest: Tensor<2>,
    /// (136, 3 V).
    offsets: Tensor<2>,
    /// (1, V, J).
    weights: Tensor<3>,
    /// (1, 3 J).
    joints: Tensor<2>,
    /// (100, 3 J).
    joint_directions: Tensor<2>,
    parents: [Option<usize>; JOINTS],
    vertices: usize,
}

impl FlameLayer {
    /// Puts an identity (coefficients of the first directions, the others zero) on a device.
    ///
    /// # Errors
    /// As [`Flame::identity`].
    pub fn new(flame: &Flame, identity: &[f32], device: &Device) -> Result<Self> {
        let all: Vec<u32> = (0..flame.vertices() as u32).collect();
        Self::with_vertices(flame, identity, &all, device)
    }

    /// The same for some vertices, in the order of the list, which may repeat: losses on the lips cost what the lips
    /// cost.
    ///
    /// # Errors
    /// As [`Flame::identity`], and [`Error::Argument`] for a vertex that is not there or an empty list.
    pub fn with_vertices(flame: &Flame, identity: &[f32], list: &[u32], device: &Device) -> Result<Self> {
        check_identity(identity)?;
        let there = flame.vertices();
        if list.is_empty() {
            return Err(Error::argument("FLAME vertices", "an empty list, expected one vertex or more"));
        }
        if let Some(vertex) = list.iter().find(|&&vertex| vertex as usize >= there) {
            return Err(Error::argument("FLAME vertices", format!("there is no vertex {vertex} of {there}")));
        }
        let rest = flame.identity(identity)?;
        let vertices = list.len();
        let rows: Vec<usize> =
            list.iter().flat_map(|&v| (0..3).map(move |axis| 3 * v as usize + axis)).collect();
        // column by column of the model's directions: rows of the tensor
        let columns = |values: &[f32], width: usize, from: usize| -> Vec<f32> {
            (from..width)
                .flat_map(|column| rows.iter().map(move |row| values[row * width + column]))
                .collect()
        };
        let mut offsets = columns(&flame.directions, DIRECTIONS, IDENTITY);
        offsets.extend(columns(&flame.pose_directions, POSE_FEATURES, 0));
        let joint_directions = (IDENTITY..DIRECTIONS)
            .flat_map(|column| flame.joint_directions.iter().skip(column).step_by(DIRECTIONS))
            .copied()
            .collect();
        let joints = flame.joints(identity, &[]).as_flattened().to_vec();
        let tensor = |values, shape| Tensor::from_data(TensorData::new(values, shape), device);
        let weights = list.iter().flat_map(|&vertex| flame.weights[vertex as usize]).collect::<Vec<_>>();
        Ok(Self {
            rest: tensor(list.iter().flat_map(|&v| rest[v as usize]).collect(), [1, 3 * vertices]),
            offsets: tensor(offsets, [EXPRESSIONS + POSE_FEATURES, 3 * vertices]),
            weights: Tensor::from_data(TensorData::new(weights, [1, vertices, JOINTS]), device),
            joints: tensor(joints, [1, 3 * JOINTS]),
            joint_directions: tensor(joint_directions, [EXPRESSIONS, 3 * JOINTS]),
            parents: flame.parents,
            vertices,
        })
    }

    /// Number of vertices.
    pub fn vertices(&self) -> usize {
        self.vertices
    }

    /// Motion codes (B, T, 108) to vertices (B, T, V, 3), metres. `with_head` off leaves the head's rotation out, as
    /// losses and metrics do.
    pub fn forward(&self, motion: Tensor<3>, with_head: bool) -> Tensor<4> {
        let [batch, frames, channels] = motion.dims();
        let rows = batch * frames;
        let motion = motion.reshape([rows, channels]);
        let expression = motion.clone().narrow(1, 0, EXPRESSIONS);
        let rotations = rotations(full_pose(motion, with_head)).reshape([rows, JOINTS, 9]);
        let features = pose_features(rotations.clone());
        let features = Tensor::cat(vec![expression.clone(), features], 1);
        let shaped =
            (features.matmul(self.offsets.clone()) + self.rest.clone()).reshape([rows, self.vertices, 3]);
        let joints = expression.matmul(self.joint_directions.clone()) + self.joints.clone();
        let columns = self.transforms(rotations, joints.reshape([rows, JOINTS, 3]));
        // (N, V, 3) for each column of the blended transforms
        let blend = |column: usize| self.weights.clone().matmul(columns[column].clone());
        let moved = (0..3).fold(blend(3), |sum, axis| sum + blend(axis) * shaped.clone().narrow(2, axis, 1));
        moved.reshape([batch, frames, self.vertices, 3])
    }

    /// Rotations (N, J, 9) and joints (N, J, 3) to the four columns of the joints' transforms, (N, J, 3) each: the
    /// rotation's three and the translation.
    fn transforms(&self, rotations: Tensor<3>, joints: Tensor<3>) -> [Tensor<3>; 4] {
        let rows = rotations.dims()[0];
        let local = |joint: usize| rotations.clone().narrow(1, joint, 1).reshape([rows, 3, 3]);
        let at = |joint: usize| joints.clone().narrow(1, joint, 1).reshape([rows, 3, 1]);
        let (mut chain, mut posed): (Vec<Tensor<3>>, Vec<Tensor<3>>) = (vec![local(0)], vec![at(0)]);
        for joint in 1..JOINTS {
            let parent = self.parents[joint].unwrap_or(0);
            posed.push(chain[parent].clone().matmul(at(joint) - at(parent)) + posed[parent].clone());
            chain.push(chain[parent].clone().matmul(local(joint)));
        }
        let offsets = (0..JOINTS).map(|joint| posed[joint].clone() - chain[joint].clone().matmul(at(joint)));
        let offsets = Tensor::cat(offsets.collect(), 2).swap_dims(1, 2);
        let column = |axis: usize| {
            let columns = chain.iter().map(|rotation| rotation.clone().narrow(2, axis, 1)).collect();
            Tensor::cat(columns, 2).swap_dims(1, 2)
        };
        [column(0), column(1), column(2), offsets]
    }
}

/// Motion rows (N, 108) to axis-angle vectors (5 N, 3), as [`skeleton::full_pose`](super::skeleton::full_pose).
fn full_pose(motion: Tensor<2>, with_head: bool) -> Tensor<2> {
    let [rows, _] = motion.dims();
    let zeros = |width: usize| Tensor::zeros([rows, width], &motion.device());
    let part = |start: usize, width: usize| motion.clone().narrow(1, start, width);
    let root = if with_head { part(100, 3) } else { zeros(3) };
    let parts = vec![root, zeros(3), part(103, 1), zeros(2), part(104, 2), zeros(1), part(106, 2), zeros(1)];
    Tensor::cat(parts, 1).reshape([rows * JOINTS, 3])
}

/// Axis-angle vectors (M, 3) to row-major matrices (M, 9), as [`skeleton::rotation`](super::skeleton::rotation).
/// The 1e-8 that is added keeps the gradient finite at rest.
fn rotations(vectors: Tensor<2>) -> Tensor<2> {
    let angle = vectors.clone().add_scalar(1e-8).powi_scalar(2).sum_dim(1).sqrt();
    let axis = vectors / angle.clone();
    let [x, y, z] = [0, 1, 2].map(|component| axis.clone().narrow(1, component, 1));
    let (s, t) = (angle.clone().sin(), angle.cos().neg().add_scalar(1.0));
    let square = |a: &Tensor<2>, b: &Tensor<2>| t.clone() * a.clone() * b.clone();
    let (xx, yy, zz) = (square(&x, &x), square(&y, &y), square(&z, &z));
    let (xy, xz, yz) = (square(&x, &y), square(&x, &z), square(&y, &z));
    let [sx, sy, sz] = [x, y, z].map(|component| s.clone() * component);
    let one_less = |a: &Tensor<2>, b: &Tensor<2>| (a.clone() + b.clone()).neg().add_scalar(1.0);
    Tensor::cat(
        vec![
            one_less(&yy, &zz),
            xy.clone() - sz.clone(),
            xz.clone() + sy.clone(),
            xy + sz,
            one_less(&xx, &zz),
            yz.clone() - sx.clone(),
            xz - sy,
            yz + sx,
            one_less(&xx, &yy),
        ],
        1,
    )
}

/// Rotations (N, J, 9) to pose features (N, 36): those of all joints but the root, without the identity.
fn pose_features(rotations: Tensor<3>) -> Tensor<2> {
    let [rows, ..] = rotations.dims();
    let identity = [1.0_f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let identity = Tensor::from_data(TensorData::new(identity.to_vec(), [1, 1, 9]), &rotations.device());
    (rotations.narrow(1, 1, JOINTS - 1) - identity).reshape([rows, POSE_FEATURES])
}
