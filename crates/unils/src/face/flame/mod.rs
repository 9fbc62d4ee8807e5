//! FLAME: a head model of vertices, directions and joints, loaded from its user's own copy (Li et al. 2017).
//!
//! Last in the pipeline for FLAME-108 motion: a frame of 108 numbers becomes vertices by linear blend skinning over
//! five joints (root, neck, jaw, eyes). Three ways through the same arithmetic:
//!
//! * [`Flame`] holds the model's numbers and the skeleton's arithmetic ([`skeleton`]);
//! * [`FlameFace`] poses one identity fast on the CPU, a frame or a whole clip at a time;
//! * [`FlameLayer`] does the same with Burn tensors, for batches and with gradients: the trainer's mesh losses.
//!
//! The model is not part of this library and must be downloaded by its user under its own licence: a missing file
//! is answered with where to get it. Read are the official pickles (without running anything in them), the
//! converted `.pt`, `.npz` and `.safetensors` with the same names.
//!
//! ```no_run
//! use unils::face::{Face, flame::{Flame, FlameFace}};
//! let flame = Flame::open("generic_model.pkl")?;
//! let face = FlameFace::new(&flame, &[])?;
//! let mut positions = Vec::new();
//! face.pose(&[0.0; 108], &mut positions);
//! assert_eq!(positions.len(), flame.vertices());
//! # Ok::<(), unils::Error>(())
//! ```

mod fast;
mod layer;
mod load;
mod pickled;
mod regions;
pub mod skeleton;

use std::collections::BTreeMap;

pub use fast::FlameFace;
pub use layer::FlameLayer;
pub use load::WHERE_TO_GET_FLAME;
pub use regions::{LIP_VERTICES, UPPER_FACE_VERTICES};

use self::skeleton::JOINTS;
use super::mesh::{MAX_TRIANGLES, MAX_VERTICES, Region, Vec3, dot, length, sub};
use super::{Material, Mesh, Part};
use crate::{Error, Result};

/// Directions of identity: the first columns of `shapedirs`.
pub const IDENTITY: usize = 300;

/// Directions of expression: the columns after those of identity.
pub const EXPRESSIONS: usize = 100;

/// Columns of `shapedirs`.
const DIRECTIONS: usize = IDENTITY + EXPRESSIONS;

/// Pose correctives: nine numbers of each rotation but the root's.
pub const POSE_FEATURES: usize = 9 * (JOINTS - 1);

/// Vertices of the published model: what [`LIP_VERTICES`] and [`UPPER_FACE_VERTICES`] count in.
pub const FLAME_VERTICES: usize = 5023;

/// The numbers of a FLAME model, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Flame {
    template: Vec<Vec3>,
    triangles: Vec<[u32; 3]>,
    /// (3 V, 400): for each coordinate its change per unit of identity, then of expression.
    directions: Vec<f32>,
    /// (3 V, 36).
    pose_directions: Vec<f32>,
    weights: Vec<[f32; JOINTS]>,
    parents: [Option<usize>; JOINTS],
    /// Joints of the template.
    joints: [Vec3; JOINTS],
    /// (15, 400): the regressor times `directions`.
    joint_directions: Vec<f32>,
}

/// The arrays that a [`Flame`] is made of, under the names of the published files, row-major.
#[derive(Debug, Clone, Default)]
pub struct FlameArrays {
    /// Vertices at rest, metres: (V, 3).
    pub v_template: Vec<f32>,
    /// Triangles: (F, 3).
    pub f: Vec<u32>,
    /// Change of each coordinate per unit of each direction, 300 of identity and 100 of expression: (V, 3, 400).
    pub shapedirs: Vec<f32>,
    /// Change of each coordinate per pose feature: (V, 3, 36).
    pub posedirs: Vec<f32>,
    /// Joints from vertices: (5, V).
    pub j_regressor: Vec<f32>,
    /// How far each vertex follows each joint: (V, 5).
    pub weights: Vec<f32>,
    /// The joint above each joint; none for the root.
    pub parents: [Option<usize>; JOINTS],
}

impl Flame {
    /// A model from its arrays; `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Face`] if an array has the wrong length, holds a number that is not finite, a triangle names a vertex
    /// that is not there, a joint hangs from one after it, or a vertex's weights do not add up to 1.
    pub fn new(arrays: FlameArrays, place: &str) -> Result<Self> {
        let (vertices, triangles) = (arrays.v_template.len() / 3, arrays.f.len() / 3);
        let fail = |what: String| Err(Error::face(place, what));
        if vertices == 0 || triangles == 0 || vertices > MAX_VERTICES || triangles > MAX_TRIANGLES {
            return fail(format!(
                "{vertices} vertices and {triangles} triangles: expected 1 to {MAX_VERTICES} and 1 to {MAX_TRIANGLES}"
            ));
        }
        let lengths = [
            ("v_template", arrays.v_template.len(), 3 * vertices),
            ("f", arrays.f.len(), 3 * triangles),
            ("shapedirs", arrays.shapedirs.len(), 3 * DIRECTIONS * vertices),
            ("posedirs", arrays.posedirs.len(), 3 * POSE_FEATURES * vertices),
            ("J_regressor", arrays.j_regressor.len(), JOINTS * vertices),
            ("weights", arrays.weights.len(), JOINTS * vertices),
        ];
        for (name, found, expected) in lengths {
            if found != expected {
                return fail(format!("{name}: {found} numbers, expected {expected} for {vertices} vertices"));
            }
        }
        let floats = [
            ("v_template", &arrays.v_template),
            ("shapedirs", &arrays.shapedirs),
            ("posedirs", &arrays.posedirs),
            ("J_regressor", &arrays.j_regressor),
            ("weights", &arrays.weights),
        ];
        for (name, values) in floats {
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(Error::face(place, format!("{name}: number {index} is {}", values[index]))
                    .with_hint("the file is damaged: download the model again"));
            }
        }
        if let Some(index) = arrays.f.iter().position(|&vertex| vertex as usize >= vertices) {
            let (triangle, vertex) = (index / 3, arrays.f[index]);
            return fail(format!("f: triangle {triangle} names vertex {vertex} of {vertices}"));
        }
        for (joint, parent) in arrays.parents.into_iter().enumerate().skip(1) {
            if parent.is_none_or(|parent| parent >= joint) {
                return fail(format!(
                    "kintree_table: joint {joint} hangs from {parent:?}, expected one before it"
                ));
            }
        }
        let weights = arrays.weights.as_chunks::<JOINTS>().0.to_vec();
        if let Some(vertex) = weights.iter().position(|row| (row.iter().sum::<f32>() - 1.0).abs() > 0.01) {
            let sum: f32 = weights[vertex].iter().sum();
            return fail(format!("weights: those of vertex {vertex} add up to {sum}, expected 1"));
        }
        let (joints, joint_directions) = joints(&arrays);
        let mut parents = arrays.parents;
        parents[0] = None;
        Ok(Self {
            template: arrays.v_template.as_chunks::<3>().0.to_vec(),
            triangles: arrays.f.as_chunks::<3>().0.to_vec(),
            directions: arrays.shapedirs,
            pose_directions: arrays.posedirs,
            weights,
            parents,
            joints,
            joint_directions,
        })
    }

    /// Number of vertices.
    pub fn vertices(&self) -> usize {
        self.template.len()
    }

    /// Vertices of the mean identity at rest, metres.
    pub fn template(&self) -> &[Vec3] {
        &self.template
    }

    /// Corners of the triangles, in the order of the file.
    pub fn triangles(&self) -> &[[u32; 3]] {
        &self.triangles
    }

    /// How far each vertex follows each joint.
    pub fn weights(&self) -> &[[f32; JOINTS]] {
        &self.weights
    }

    /// The joint above each joint; none for the root.
    pub fn parents(&self) -> [Option<usize>; JOINTS] {
        self.parents
    }

    /// Change of the coordinates per unit of a direction: of identity below [`IDENTITY`], of expression from there on.
    /// Empty past the last.
    pub fn direction(&self, index: usize) -> impl Iterator<Item = Vec3> {
        let column = self.directions.iter().skip(index).step_by(DIRECTIONS);
        let coordinates: Vec<f32> = if index < DIRECTIONS { column.copied().collect() } else { Vec::new() };
        coordinates.as_chunks::<3>().0.to_vec().into_iter()
    }

    /// Vertices at rest of an identity, metres: coefficients of the first directions, the others zero.
    ///
    /// # Errors
    /// [`Error::Argument`] for more than [`IDENTITY`] coefficients or one that is not finite.
    pub fn identity(&self, coefficients: &[f32]) -> Result<Vec<Vec3>> {
        check_identity(coefficients)?;
        let mut positions = self.template.clone();
        let rows = self.directions.chunks_exact(DIRECTIONS);
        for (coordinate, row) in positions.as_flattened_mut().iter_mut().zip(rows) {
            *coordinate += product(row, coefficients);
        }
        Ok(positions)
    }

    /// Joints at rest of an identity and an expression, metres; missing coefficients are zero.
    pub fn joints(&self, identity: &[f32], expression: &[f32]) -> [Vec3; JOINTS] {
        let mut joints = self.joints;
        let rows = self.joint_directions.chunks_exact(DIRECTIONS);
        for (coordinate, row) in joints.as_flattened_mut().iter_mut().zip(rows) {
            *coordinate += product(row, &identity[..identity.len().min(IDENTITY)]);
            *coordinate += product(&row[IDENTITY..], expression);
        }
        joints
    }

    /// The mesh of an identity at rest: its skin and eyeballs as parts, the lips and the upper face as regions if
    /// it has the published model's vertices.
    ///
    /// # Errors
    /// As [`Flame::identity`].
    pub fn mesh(&self, identity: &[f32]) -> Result<Mesh> {
        let positions = self.identity(identity)?;
        let joints = self.joints(identity, &[]);
        let (triangles, parts) = self.parts();
        let mut regions = BTreeMap::new();
        if self.vertices() == FLAME_VERTICES {
            for (region, list) in
                [(Region::Lips, &LIP_VERTICES[..]), (Region::UpperFace, &UPPER_FACE_VERTICES)]
            {
                let mut vertices: Vec<u32> = list.iter().map(|&vertex| u32::from(vertex)).collect();
                vertices.sort_unstable();
                vertices.dedup();
                regions.insert(region.name().to_owned(), vertices);
            }
        }
        let colors = self.colors(&positions, &joints);
        Ok(Mesh { positions, colors, uvs: Vec::new(), triangles, parts, regions })
    }

    /// The joint that a vertex follows most, if it is an eye's: 3 left, 4 right.
    pub(super) fn eye_of(&self, vertex: usize) -> Option<usize> {
        (3..JOINTS).find(|&joint| self.weights[vertex][joint] > 0.5)
    }

    /// Triangles sorted into skin, left eye and right eye, and these parts without the empty ones.
    fn parts(&self) -> (Vec<[u32; 3]>, Vec<Part>) {
        let eye = |corners: &[u32; 3]| {
            let [a, b, c] = corners.map(|vertex| self.eye_of(vertex as usize));
            a.filter(|_| a == b && b == c)
        };
        let (mut triangles, mut parts) = (Vec::with_capacity(self.triangles.len()), Vec::new());
        for (name, joint) in [("face", None), ("eye_left", Some(3)), ("eye_right", Some(4))] {
            let start = triangles.len();
            triangles.extend(self.triangles.iter().copied().filter(|corners| eye(corners) == joint));
            if triangles.len() > start {
                let material = if joint.is_some() { eyeball() } else { skin() };
                parts.push(Part { name: name.to_owned(), triangles: start..triangles.len(), material });
            }
        }
        (triangles, parts)
    }

    /// White, but for iris and pupil, which stand out of the eyeballs' front.
    fn colors(&self, positions: &[Vec3], joints: &[Vec3; JOINTS]) -> Vec<Vec3> {
        const IRIS: (f32, Vec3) = (0.42, [0.12, 0.22, 0.30]);
        const PUPIL: (f32, Vec3) = (0.17, [0.01, 0.01, 0.01]);
        let color = |(vertex, &position): (usize, &Vec3)| {
            let Some(joint) = self.eye_of(vertex) else { return [1.0; 3] };
            let outward = sub(position, joints[joint]);
            let angle = (dot(outward, [0.0, 0.0, 1.0]) / length(outward).max(1e-9)).clamp(-1.0, 1.0).acos();
            [PUPIL, IRIS].into_iter().find(|&(width, _)| angle < width).map_or([1.0; 3], |(_, color)| color)
        };
        positions.iter().enumerate().map(color).collect()
    }
}

fn skin() -> Material {
    Material {
        name: "skin".to_owned(),
        color: [0.66, 0.42, 0.33, 1.0],
        roughness: 0.55,
        softness: 0.4,
        ..Material::default()
    }
}

fn eyeball() -> Material {
    Material {
        name: "eyeball".to_owned(),
        color: [0.85, 0.84, 0.82, 1.0],
        roughness: 0.2,
        ..Material::default()
    }
}

/// The regressor applied to the template and to every direction, in double precision.
fn joints(arrays: &FlameArrays) -> ([Vec3; JOINTS], Vec<f32>) {
    let vertices = arrays.v_template.len() / 3;
    let mut joints = [[0.0_f64; 3]; JOINTS];
    let mut directions = vec![0.0_f64; 3 * JOINTS * DIRECTIONS];
    for (index, &factor) in arrays.j_regressor.iter().enumerate().filter(|(_, factor)| **factor != 0.0) {
        let (joint, vertex) = (index / vertices, index % vertices);
        for (axis, coordinate) in joints[joint].iter_mut().enumerate() {
            let (from, to) = (3 * vertex + axis, 3 * joint + axis);
            *coordinate += f64::from(factor) * f64::from(arrays.v_template[from]);
            let column = &arrays.shapedirs[from * DIRECTIONS..(from + 1) * DIRECTIONS];
            for (sum, &value) in directions[to * DIRECTIONS..(to + 1) * DIRECTIONS].iter_mut().zip(column) {
                *sum += f64::from(factor) * f64::from(value);
            }
        }
    }
    (
        joints.map(|joint| joint.map(|value| value as f32)),
        directions.iter().map(|&value| value as f32).collect(),
    )
}

/// The scalar product of the shorter's length.
fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check_identity(coefficients: &[f32]) -> Result<()> {
    if coefficients.len() > IDENTITY {
        let what = format!("{} coefficients, expected at most {IDENTITY}", coefficients.len());
        return Err(Error::argument("FLAME identity", what));
    }
    match coefficients.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            let what = format!("coefficient {index} is {}, expected a finite number", coefficients[index]);
            Err(Error::argument("FLAME identity", what))
        }
        None => Ok(()),
    }
}
