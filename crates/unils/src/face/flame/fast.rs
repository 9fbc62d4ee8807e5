//! FLAME on the CPU for one identity: expression and pose correctives as one matrix product, then skinning.

use rayon::prelude::*;

use super::skeleton::{JOINTS, Rotation, Transforms, full_pose, rotation};
use super::{DIRECTIONS, EXPRESSIONS, Flame, IDENTITY, POSE_FEATURES, check_identity};
use crate::face::{Face, Mesh, Vec3};
use crate::motion::Space;
use crate::nn::Activation;
use crate::nn::cpu::{PackedLinear, Rows};
use crate::{Error, Result};

/// Numbers that the matrix product takes for a frame.
const FEATURES: usize = EXPRESSIONS + POSE_FEATURES;

/// Channels of a frame.
const CHANNELS: usize = 108;

/// Frames of one product: large enough to use the kernel, small enough for the vertices to stay in the cache.
const BLOCK: usize = 32;

/// Columns of a transform, padded so that a column is one vector register.
type Columns = [[f32; 4]; 4];

/// One identity of FLAME, moved by FLAME-108 motion.
#[derive(Debug)]
pub struct FlameFace {
    mesh: Mesh,
    /// (136) to (3 V), the identity's vertices as bias.
    offsets: PackedLinear,
    weights: Vec<[f32; JOINTS]>,
    parents: [Option<usize>; JOINTS],
    joints: [Vec3; JOINTS],
    /// (15, 100).
    joint_directions: Vec<f32>,
}

impl FlameFace {
    /// Prepares an identity: coefficients of the model's first directions, the others zero; none for the mean.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than [`IDENTITY`] coefficients or one that is not finite.
    pub fn new(flame: &Flame, identity: &[f32]) -> Result<Self> {
        check_identity(identity)?;
        let mesh = flame.mesh(identity)?;
        let mut matrix = Vec::with_capacity(3 * flame.vertices() * FEATURES);
        let rows = flame.directions.chunks_exact(DIRECTIONS);
        for (row, pose) in rows.zip(flame.pose_directions.chunks_exact(POSE_FEATURES)) {
            matrix.extend_from_slice(&row[IDENTITY..]);
            matrix.extend_from_slice(pose);
        }
        let shape = [3 * flame.vertices(), FEATURES];
        let offsets = PackedLinear::new(&matrix, Some(mesh.positions.as_flattened()), shape);
        let joint_rows = flame.joint_directions.chunks_exact(DIRECTIONS);
        Ok(Self {
            mesh,
            offsets,
            weights: flame.weights.clone(),
            parents: flame.parents,
            joints: flame.joints(identity, &[]),
            joint_directions: joint_rows.flat_map(|row| &row[IDENTITY..]).copied().collect(),
        })
    }

    /// Number of vertices.
    pub fn vertices(&self) -> usize {
        self.weights.len()
    }

    /// Vertices of the identity at rest, metres.
    pub fn rest(&self) -> &[Vec3] {
        &self.mesh.positions
    }

    /// Vertices of frames: `frames` is (T, 108), the result (T, V, 3), metres; `with_head` off leaves the head's
    /// rotation out. `out` is overwritten.
    ///
    /// # Errors
    /// [`Error::Argument`] if `frames` is not whole frames.
    pub fn positions(&self, frames: &[f32], with_head: bool, out: &mut Vec<f32>) -> Result<()> {
        let (frames, rest) = frames.as_chunks::<CHANNELS>();
        if !rest.is_empty() {
            let what = format!("{} numbers beyond whole frames of {CHANNELS}", rest.len());
            return Err(Error::argument("FLAME motion", what));
        }
        out.resize(frames.len() * 3 * self.vertices(), 0.0);
        let block = BLOCK * 3 * self.vertices();
        out.par_chunks_mut(block).zip(frames.par_chunks(BLOCK)).for_each(|(out, frames)| {
            self.pose_block(frames.iter().map(|frame| &frame[..]), with_head, out);
        });
        Ok(())
    }

    fn pose_block<'f>(
        &self,
        frames: impl ExactSizeIterator<Item = &'f [f32]>,
        with_head: bool,
        out: &mut [f32],
    ) {
        let count = frames.len();
        let mut features = Vec::with_capacity(count * FEATURES);
        let transforms: Vec<_> = frames.map(|frame| self.prepare(frame, with_head, &mut features)).collect();
        let rows = Rows { values: &features, count, width: FEATURES, stride: FEATURES };
        self.offsets.product(rows, out, 0.0, Activation::None);
        for (vertices, transforms) in out.chunks_exact_mut(3 * self.vertices()).zip(&transforms) {
            self.skin(vertices, transforms);
        }
    }

    /// Appends a frame's features and gives the transforms of its joints.
    fn prepare(&self, frame: &[f32], with_head: bool, features: &mut Vec<f32>) -> [Columns; JOINTS] {
        let expression = &frame[..frame.len().min(EXPRESSIONS)];
        let start = features.len();
        features.extend_from_slice(expression);
        features.resize(start + EXPRESSIONS, 0.0);
        let rotations = full_pose(frame, with_head).map(rotation);
        for rows in &rotations[1..] {
            features.extend(pose_features(rows));
        }
        let mut joints = self.joints;
        let rows = self.joint_directions.chunks_exact(EXPRESSIONS);
        for (coordinate, row) in joints.as_flattened_mut().iter_mut().zip(rows) {
            *coordinate += super::product(row, expression);
        }
        let transforms = Transforms::new(&self.parents, &joints, &rotations);
        std::array::from_fn(|joint| columns(&transforms.rotations[joint], transforms.offsets[joint]))
    }

    /// Moves each vertex by the blend of its joints' transforms.
    fn skin(&self, vertices: &mut [f32], transforms: &[Columns; JOINTS]) {
        for (vertex, weights) in vertices.as_chunks_mut::<3>().0.iter_mut().zip(&self.weights) {
            let mut blend = [[0.0_f32; 4]; 4];
            for (columns, &weight) in transforms.iter().zip(weights) {
                for (sum, column) in blend.as_flattened_mut().iter_mut().zip(columns.as_flattened()) {
                    *sum += weight * column;
                }
            }
            let [x, y, z] = *vertex;
            let [a, b, c, d] = blend;
            let moved: [f32; 4] = std::array::from_fn(|i| a[i] * x + b[i] * y + c[i] * z + d[i]);
            vertex.copy_from_slice(&moved[..3]);
        }
    }
}

impl Face for FlameFace {
    fn space(&self) -> Space {
        Space::Flame108
    }

    fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    fn pose(&self, frame: &[f32], positions: &mut Vec<Vec3>) {
        positions.resize(self.vertices(), [0.0; 3]);
        self.pose_block(std::iter::once(frame), true, positions.as_flattened_mut());
    }
}

/// A joint's nine pose features: its rotation without the identity.
fn pose_features(rows: &Rotation) -> impl Iterator<Item = f32> {
    let rows = *rows;
    (0..9).map(move |i| rows[i / 3][i % 3] - if i % 4 == 0 { 1.0 } else { 0.0 })
}

fn columns(rows: &Rotation, offset: Vec3) -> Columns {
    let column = |i: usize| [rows[0][i], rows[1][i], rows[2][i], 0.0];
    [column(0), column(1), column(2), [offset[0], offset[1], offset[2], 0.0]]
}
